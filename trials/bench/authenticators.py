"""The cost of authenticated rows: CPU of one operation's codes, made and checked.

An operation's code is made when the operation is recorded. When it is taken up, its code and its
wallet's are checked. The transaction that carries it gets a code, and so does the record of its
envelope: here each operation has one of its own, as without a multicall.
"""

import secrets
import time
from typing import Any, cast

from libs.common.db.pool import Record
from libs.common.ids import new_id
from libs.kale.amounts import WHOLE
from services.wallet.domain.model import OperationKind
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store.orders import Orders

#: Operations of one measurement, and measurements: the smallest one was disturbed least.
_OPERATIONS, _TIMES = 2_000, 5


def authenticator_seconds() -> float:
    """Return the seconds of CPU that one operation's codes take."""
    return min(_measured() for _ in range(_TIMES)) / _OPERATIONS


def _measured() -> float:
    orders = Orders(RowMacs({1: secrets.token_bytes(32)}))
    wallet_id, farmer_id, pooler_id, address = new_id(), new_id(), new_id(), "G" * 56
    wallet_mac = orders.for_wallet(
        row_id=wallet_id, kind="farmer", address=address, farmer_id=farmer_id, pooler_id=pooler_id
    )
    order: dict[str, Any] = {"wallet_id": wallet_id, "block_index": 100_000, "amount": 10**9}
    wallet: dict[str, Any] = {
        "wallet_kind": "farmer",
        "farmer_id": farmer_id,
        "pooler_id": pooler_id,
        "address": address,
        "stake_bps": WHOLE,
        "wallet_mac": wallet_mac,
    }
    ids = [new_id() for _ in range(_OPERATIONS)]
    digest = secrets.token_bytes(32)
    started = time.process_time()
    for number, row_id in enumerate(ids, start=1):
        mac = orders.for_own_operation(OperationKind.PLANT, row_id=row_id, **order)
        own = {"id": row_id, "kind": "plant", "nonce": None, "hash": None, "mac": mac}
        row = cast("Record", order | wallet | own)
        if not orders.is_claimed(row):
            raise RuntimeError("wallet does not know its own code")
        orders.for_record(number, digest)
        orders.for_transaction(
            row_id=row_id,
            source=address,
            sequence=1,
            lookup_hash="a" * 64,
            max_time=1,
            operation_ids=[row_id],
        )
    return time.process_time() - started

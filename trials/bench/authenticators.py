"""The cost of authenticated rows: CPU of one operation's codes, made and checked.

An operation's code is made when the operation is recorded. When it is taken up, its code and its
wallet's are checked. The transaction that carries it gets a code, which is checked when it has
ended, and so does the record of its envelope: here each operation has one of its own, as without a
multicall. How the operation ended has a code, which is checked before other services are told.
"""

import secrets
import time
from typing import Any, cast

from asyncpg.pgproto.pgproto import UUID

from libs.common.db.pool import Record
from libs.common.ids import OperationId, WalletId, new_id
from libs.kale.amounts import WHOLE
from services.wallet.domain.model import (
    CarriedOperation,
    Ending,
    OpenTransaction,
    OperationKind,
    OperationState,
    TransactionId,
    TransactionState,
)
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store.orders import Orders

#: Operations of one measurement, and measurements: the smallest one was disturbed least.
_OPERATIONS, _TIMES = 2_000, 5


def authenticator_seconds() -> float:
    """Return the seconds of CPU that one operation's codes take."""
    return min(_measured() for _ in range(_TIMES)) / _OPERATIONS


def _measured() -> float:
    orders = Orders(RowMacs({1: secrets.token_bytes(32)}))
    # Whose an order is comes from its rows, in the database driver's type.
    wallet_id, farmer_id, pooler_id = (UUID(new_id().bytes) for _ in range(3))
    address = "G" * 56
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
    ids = [OperationId(new_id()) for _ in range(_OPERATIONS)]
    open_ones = [_open(row_id, WalletId(wallet_id), address) for row_id in ids]
    digest = secrets.token_bytes(32)
    started = time.process_time()
    for number, (row_id, transaction) in enumerate(zip(ids, open_ones, strict=True), start=1):
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
        orders.is_open_transaction(transaction)
        _end(orders, row_id, order)
    return time.process_time() - started


def _end(orders: Orders, row_id: OperationId, order: dict[str, Any]) -> None:
    """Make the code of how an operation ended, and check it."""
    state = OperationState.SUCCEEDED
    mac = orders.for_end(
        Ending(operation_id=row_id, state=state, amount=order["amount"], ledger=5_000_000)
    )
    row = {"operation_id": row_id, "kind": "plant", "state": state.value, "end_mac": mac}
    row |= {"amount": order["amount"], "stake_returned": 0, "gap": None, "ledger": 5_000_000}
    if not orders.is_end(cast("Record", row)):
        raise RuntimeError("wallet does not know its own code")


def _open(row_id: OperationId, wallet_id: WalletId, address: str) -> OpenTransaction:
    """Return a transaction in flight; its code is one that another key made."""
    carried = CarriedOperation(
        id=row_id,
        kind=OperationKind.PLANT,
        wallet_id=wallet_id,
        address=address,
        block_index=100_000,
        amount=10**9,
        zeros=None,
        attempts=1,
    )
    return OpenTransaction(
        id=TransactionId(row_id),
        state=TransactionState.SENT,
        source=address,
        sequence=1,
        hash="b" * 64,
        lookup_hash="a" * 64,
        envelope="",
        max_time=1,
        fee_bid=100,
        signed_ledger=1,
        resend_ledger=1,
        last_answer="",
        mac=b"\x00\x01" + bytes(32),
        operations=(carried,),
    )

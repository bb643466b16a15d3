"""A row of each table of payouts and fees, as wallet would have written it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.ids import OperationId
from services.wallet.domain.orders import Name
from services.wallet.store.payout_rows import (
    fee_mark_row,
    opening_row,
    payout_row,
    pool_payment_row,
)
from tests.support.orders import ORDERS
from tests.support.wallet_rows import BLOCK, WalletRow, WalletRows, ago


async def insert_payouts(rows: WalletRows, farmer: WalletRow, payer: WalletRow) -> dict[str, Name]:
    """Insert a payout and a payment that are open, sums of fees, and when a block opened.

    Return their names by table. The payment is from the farmer's account: whose that is counts for
    nothing here.
    """
    payout = await rows.payment(farmer, payer, "payout", block=1, amount=8)
    parts = {"amount": 5, "destination": "outside", "pooler": 1, "miners": 2, "operator": 0}
    accounts = {"pooler_account": "GPOOL", "operator_account": ""}
    row = _paid(payout, farmer, ago(9)) | parts | accounts
    await rows.insert("wallet.payouts", **row, mac=ORDERS.mac(payout_row(row)))
    payment = await rows.payment(farmer, payer, "pool_payment", block=1, amount=2)
    what = {"is_miner": True, "amount": 2, "destination": "outside"}
    row = _paid(payment, farmer, ago(8)) | what
    await rows.insert("wallet.pool_payments", **row, mac=ORDERS.mac(pool_payment_row(row)))
    numbers = ("pooler", "operator", "miners", "paid_pooler", "paid_operator", "paid_miners")
    row = {"wallet_id": farmer.id, "until_block": -1, "blocks": bytes(252), "until_number": 0}
    row |= dict.fromkeys(numbers, 0)
    await rows.insert("wallet.fee_marks", **row, mac=ORDERS.mac(fee_mark_row(row)))
    row = {"block_index": BLOCK, "opened_at": ago(600)}
    await rows.insert("wallet.block_openings", **row, mac=ORDERS.mac(opening_row(row)))
    return {
        "payouts": Name(table="payouts", key=payout),
        "pool_payments": Name(table="pool_payments", key=payment),
        "fee_marks": Name(table="fee_marks", key=farmer.id),
        "block_openings": Name(table="block_openings", key=UUID(int=0), number=BLOCK),
    }


def _paid(operation_id: OperationId, wallet: WalletRow, moment: datetime) -> dict[str, Any]:
    return {
        "operation_id": operation_id,
        "wallet_id": wallet.id,
        "number": 1,
        "request_id": "run 1",
        "requested_at": moment,
    }

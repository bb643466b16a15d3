"""Rows of payouts, of poolers' payments, of marks and of blocks' openings, as bytes."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from libs.common.db.pool import Record
from services.wallet.domain.orders import (
    block_opening_bytes,
    fee_mark_bytes,
    payout_bytes,
    pool_payment_bytes,
)

Row: TypeAlias = Record | Mapping[str, Any]


def payout_row(row: Row) -> bytes:
    """Return the bytes of a payout, as its row has it."""
    return payout_bytes(
        operation_id=row["operation_id"],
        wallet_id=row["wallet_id"],
        number=row["number"],
        request_id=row["request_id"],
        amount=row["amount"],
        destination=row["destination"],
        pooler=row["pooler"],
        operator=row["operator"],
        miners=row["miners"],
        pooler_account=row["pooler_account"],
        operator_account=row["operator_account"],
        requested_at=row["requested_at"],
    )


def pool_payment_row(row: Row) -> bytes:
    """Return the bytes of a payment from a pooler's account, as its row has it."""
    return pool_payment_bytes(
        operation_id=row["operation_id"],
        wallet_id=row["wallet_id"],
        number=row["number"],
        request_id=row["request_id"],
        is_miner=row["is_miner"],
        amount=row["amount"],
        destination=row["destination"],
        requested_at=row["requested_at"],
    )


def fee_mark_row(row: Row) -> bytes:
    """Return the bytes of a mark of fees, as its row has it."""
    return fee_mark_bytes(
        wallet_id=row["wallet_id"],
        until_block=row["until_block"],
        blocks=row["blocks"],
        pooler=row["pooler"],
        operator=row["operator"],
        miners=row["miners"],
        until_number=row["until_number"],
        paid_pooler=row["paid_pooler"],
        paid_operator=row["paid_operator"],
        paid_miners=row["paid_miners"],
    )


def opening_row(row: Row) -> bytes:
    """Return the bytes of a block's opening, as its row has it."""
    return block_opening_bytes(block_index=row["block_index"], opened_at=row["opened_at"])


def placed(row: Record) -> Mapping[str, Any]:
    """Return a row whose own number stands beside that of its name."""
    return {**dict(row), "number": row["place"]}

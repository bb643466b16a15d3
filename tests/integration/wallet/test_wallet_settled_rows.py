"""Settled operations by wallet's own role: what is left of them to be changed, and how."""

import asyncpg
import pytest

from libs.common.ids import new_id
from tests.support.database import DatabaseAccess, connect
from tests.support.wallet_rows import WalletRows

DIFFERENCE = """
INSERT INTO wallet.differences (id, kind, wallet_id, block_index, recorded, on_chain, ledger)
VALUES ($1, 'record_without_plant', $2, 7, '', '', 1)
"""
DENIED = "state = 'failed', reason = 'REFUSED', error_message = 'none', settled_at = now()"
CORRECTED = (
    "state = 'succeeded', reason = NULL, ledger = 9, transaction_id = $2, settled_at = now()"
)
#: What somebody would write besides.
MORE = (
    "stake_returned = 999",
    "gap = 3",
    "attempts = 9",
    "is_found = true",
    "found_hash = 'ab'",
    "created_at = '2021-01-01Z'",
    "fee_charged = 7",
    "settled_at = '2021-01-01Z'",
)
#: Some columns its role may change while an operation goes on, others never.
REFUSED = (asyncpg.RaiseError, asyncpg.InsufficientPrivilegeError)


def update(ends: str, more: str) -> str:
    """Return the statement that changes an operation ($1) so."""
    if more.startswith("settled_at"):
        ends = ends.removesuffix(", settled_at = now()")
    sets = ", ".join(filter(None, (ends, more)))
    return f"UPDATE wallet.operations SET {sets} WHERE id = $1"  # noqa: S608  (the test's own)


async def test_a_call_that_is_denied_changes_its_end_alone(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    farmer = await rows.wallet()
    plant = await rows.operation(farmer, state="succeeded", block=7, amount=5, ledger=100)
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(DIFFERENCE, new_id(), farmer.id)
        for more in MORE:
            with pytest.raises(REFUSED, match=r"never changes|permission denied"):
                await thief.execute(update(DENIED, more), plant)
        await thief.execute(update(DENIED, ""), plant)


async def test_a_payment_that_is_corrected_changes_its_end_alone(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    farmer, payer = await rows.wallet(), await rows.wallet("payer")
    paid = await rows.payment(farmer, payer, state="failed")
    carrier = await rows.transaction(payer.address, "failed", [paid], sequence=5, bump_to=77)
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.RaiseError, match="never changes"):
            await thief.execute(update(CORRECTED, ""), paid, carrier)
        await rows.shown(payer, 77)
        for more in MORE:
            with pytest.raises(REFUSED, match=r"never changes|permission denied"):
                await thief.execute(update(CORRECTED, more), paid, carrier)
        await thief.execute(update(CORRECTED, ""), paid, carrier)

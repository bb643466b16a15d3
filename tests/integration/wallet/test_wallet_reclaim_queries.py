"""Whose reserves may come back: who never planted, by wallet's own word."""

import asyncpg
import pytest

from libs.common.ids import PoolerId, new_id
from services.wallet.store.wallets import WalletStore
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.wallet_rows import BLOCK, LEDGER, WalletRow, WalletRows

POOLER = PoolerId(new_id())


async def idle(rows: WalletRows) -> set[object]:
    """The wallets of POOLER's farmers that never planted."""
    await rows.connection.execute("UPDATE wallet.wallets SET created_at = now() - interval '25 h'")
    store = WalletStore(rows.pool, ORDERS)
    return {one.id for one in await store.idle(POOLER, [], hours=24, limit=99)}


async def funded(rows: WalletRows) -> WalletRow:
    return await rows.wallet(pooler=POOLER, is_funded=True, ledger=LEDGER)


async def test_who_planted_or_has_something_open_is_not_idle(rows: WalletRows) -> None:
    fresh, refused, sent, planted, found, busy = [await funded(rows) for _ in range(6)]
    await rows.wallet(is_funded=True, ledger=LEDGER)  # another pooler's
    await rows.wallet(pooler=POOLER, is_funded=False, ledger=LEDGER)
    await rows.operation(refused, "plant", "failed")
    failed = await rows.operation(sent, "plant", "failed", ledger=LEDGER)
    await rows.transaction(state="failed", carries=[failed])
    await rows.operation(planted, "plant", "succeeded", amount=5, ledger=LEDGER)
    await rows.operation(found, "plant", "failed", is_found=True)
    await rows.operation(busy, "harvest", "queued")
    assert await idle(rows) == {fresh.id, refused.id, sent.id}


async def test_nobody_makes_a_farmer_one_that_never_planted(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    """With wallet's password: what was planted is with the farm, and the account looks empty."""
    settled, waiting = await funded(rows), await funded(rows)
    done = await rows.operation(settled, "plant", "succeeded", amount=5, ledger=LEDGER)
    await rows.transaction(state="succeeded", carries=[done])
    going = await rows.carried(waiting, amount=5)
    end = "UPDATE wallet.operations SET state = 'failed', reason = 'REFUSED', settled_at = now()"
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(
            "INSERT INTO wallet.differences"
            " (id, kind, wallet_id, block_index, recorded, on_chain, ledger)"
            " VALUES ($1, 'record_without_plant', $2, $3, '', '', $4)",
            new_id(),
            settled.id,
            BLOCK,
            LEDGER,
        )
        # The end that another plant of this farmer has, and none.
        other = await rows.operation(settled, "plant", "failed", block=BLOCK + 1)
        mac = (await rows.operations("end_mac"))[other]
        await thief.execute(f"{end}, end_mac = $2 WHERE id = $1", done, mac)
        await thief.execute(f"{end}, transaction_id = NULL WHERE id = $1", going)
        for statement in (
            "DELETE FROM wallet.transaction_operations",
            "DELETE FROM wallet.operations",
            "UPDATE wallet.operations SET is_found = false",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await thief.execute(statement)
    assert await idle(rows) == set()

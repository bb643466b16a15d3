"""Accounts that are closed, query by query: once each, and not while anything is under way."""

import asyncio
from typing import Any

import asyncpg
import pytest

from libs.common.ids import WalletId, new_id
from services.wallet.store.closings import ClosingStore
from services.wallet.store.lost_farmers import LostFarmerStore
from services.wallet.store.wallets import WalletStore
from tests.integration.wallet.test_wallet_lost_farmers import lost
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.wallet_rows import BLOCK, WalletRow, WalletRows

OPEN = ("queued", "signed", "sent")
ENDED = ("succeeded", "failed", "expired")


@pytest.fixture
def store(rows: WalletRows) -> ClosingStore:
    """The store, with wallet's own rights."""
    return ClosingStore(rows.pool, ORDERS)


async def close(store: ClosingStore, wallet: WalletRow) -> object:
    """Record that an account is to be closed."""
    return await store.record(wallet.id, actor="registry", details="GX into the treasury")


async def test_a_closing_is_recorded_once_with_its_record(
    rows: WalletRows, store: ClosingStore
) -> None:
    wallet, other = await rows.wallet(), await rows.wallet()
    assert await store.newest(wallet.id) is None
    made = await close(store, wallet)
    assert made is not None
    assert await close(store, wallet) is None
    assert await store.newest(wallet.id) == made
    assert await store.newest(other.id) is None
    rows_of = await rows.connection.fetch(
        "SELECT o.kind::text, o.state::text, o.block_index, o.mac FROM wallet.operations AS o"
        " WHERE o.wallet_id = $1",
        wallet.id,
    )
    assert [tuple(row)[:3] for row in rows_of] == [("close_account", "queued", 0)]
    told = await rows.connection.fetch(
        "SELECT actor, subject, details FROM wallet.audit_log WHERE action = 'close_account'"
    )
    assert [tuple(row) for row in told] == [
        ("registry", f"wallet {wallet.id}", f"GX into the treasury, {made}")
    ]


async def test_of_two_at_once_one_is_recorded(rows: WalletRows, store: ClosingStore) -> None:
    wallet = await rows.wallet()
    made = await asyncio.gather(*(close(store, wallet) for _ in range(4)))
    assert sum(one is not None for one in made) == 1


@pytest.mark.parametrize("state", OPEN)
async def test_nothing_is_recorded_while_an_operation_is_under_way(
    rows: WalletRows, store: ClosingStore, state: str
) -> None:
    wallet, other = await rows.wallet(), await rows.wallet()
    await rows.operation(wallet, "harvest", state)
    assert await close(store, wallet) is None
    assert await close(store, other) is not None


async def test_one_that_failed_may_follow_another(rows: WalletRows, store: ClosingStore) -> None:
    wallet = await rows.wallet()
    for state in ("failed", "expired"):
        await rows.operation(wallet, "close_account", state, block=0)
    for state in ENDED:
        await rows.operation(wallet, "harvest", state, block=7 + ENDED.index(state))
    made = await close(store, wallet)
    assert made is not None
    assert await store.newest(wallet.id) == made


async def test_what_is_under_way_beside_a_closing(rows: WalletRows, store: ClosingStore) -> None:
    queued, signed, sent, ended, closing, source, done = [await rows.wallet() for _ in range(7)]
    not_asked = await rows.wallet()
    await rows.operation(not_asked, "plant", "queued")
    for wallet, state in ((queued, "queued"), (signed, "signed"), (sent, "sent")):
        await rows.operation(wallet, "plant", state)
    for state in ENDED:
        await rows.operation(ended, "plant", state, block=BLOCK + ENDED.index(state))
    await rows.operation(closing, "close_account", "queued", block=0)
    await rows.transaction(state="sent", source=source.address)
    await rows.transaction(state="succeeded", source=done.address)
    asked = [queued, signed, sent, ended, closing, source, done]
    busy = await store.busy([wallet.id for wallet in asked])
    assert busy == {queued.id, signed.id, sent.id, source.id}
    assert await store.busy([]) == set()


async def test_blocks_that_were_planted_and_not_harvested(
    rows: WalletRows, store: ClosingStore
) -> None:
    wallet, other = await rows.wallet(), await rows.wallet()
    for block in (3, 4, 5, 6, 9):
        await rows.operation(wallet, "plant", "succeeded", block=block)
    await rows.operation(wallet, "plant", "failed", block=7)
    await rows.operation(wallet, "work", "succeeded", block=8)
    await rows.operation(other, "plant", "succeeded", block=10)
    await rows.operation(wallet, "harvest", "succeeded", block=5)
    await rows.operation(wallet, "harvest", "failed", block=6)
    await rows.operation(other, "harvest", "succeeded", block=9)
    await rows.operation(wallet, "work", "succeeded", block=9)
    assert await store.unharvested(wallet.id, first=4) == [4, 6, 9]


async def test_nobody_brings_a_closed_account_back(rows: WalletRows) -> None:
    found = LostFarmerStore(rows.pool, ORDERS)
    gone, closing, closed, failed, expired = [await lost(rows) for _ in range(5)]
    await rows.operation(closing, "close_account", "queued", block=0)
    await rows.operation(closed, "close_account", "succeeded", block=0)
    await rows.operation(failed, "close_account", "failed", block=0)
    await rows.operation(expired, "close_account", "expired", block=0)
    assert set(await found.find(limit=99)) == {gone.id, failed.id, expired.id}


async def test_the_custodial_account_of_a_pooler(rows: WalletRows) -> None:
    wallets, farmers = WalletStore(rows.pool, ORDERS), await rows.wallet()
    pooler = WalletId(new_id())
    await rows.insert(
        "wallet.wallets",
        id=pooler,
        kind="pooler",
        pooler_id=farmers.pooler_id,
        address="GPOOLER",
        mac=ORDERS.for_wallet(
            row_id=pooler, kind="pooler", pooler_id=farmers.pooler_id, address="GPOOLER"
        ),
    )
    await rows.insert("wallet.accounts", wallet_id=pooler)
    assert farmers.pooler_id is not None
    found = await wallets.by_pooler(farmers.pooler_id)
    assert found is not None
    assert (found.id, found.address) == (pooler, "GPOOLER")
    other = await rows.wallet()
    assert other.pooler_id is not None
    assert await wallets.by_pooler(other.pooler_id) is None


# Keys --------------------------------------------------------------------------------------------


async def closed(rows: WalletRows, state: str = "succeeded") -> WalletRow:
    """A wallet with a key, whose account is closed."""
    wallet = await rows.wallet()
    await rows.insert(
        "wallet.sealed_keys",
        wallet_id=wallet.id,
        kek_id="k",
        wrapped_data_key=b"w",
        nonce=bytes(12),
        sealed_seed=b"s",
    )
    await rows.operation(wallet, "close_account", state, block=0)
    return wallet


async def age(rows: WalletRows, wallet: WalletRow, hours: int) -> None:
    """Have a key be retired so long ago."""
    await rows.connection.execute(
        "UPDATE wallet.retired_keys SET retired_at = now() - make_interval(hours => $2)"
        " WHERE wallet_id = $1",
        wallet.id,
        hours,
    )


async def retired(store: ClosingStore, **asked: Any) -> list[WalletId]:
    """Wallets whose keys are to go."""
    found = await store.retired(**{"seconds": 0.0, "after": None, "limit": 99, **asked})
    return [one.wallet_id for one in found]


async def test_who_was_closed_is_retired_once(rows: WalletRows, store: ClosingStore) -> None:
    done, other = [await closed(rows) for _ in range(2)]
    await closed(rows, "failed")
    await closed(rows, "queued")
    plant = await rows.wallet()
    await rows.operation(plant, "plant", "succeeded")
    found = await store.unretired(limit=99)
    assert set(found) == {done.id, other.id}
    assert found[done.id] == await store.newest(done.id)
    assert list(await store.unretired(limit=1)) == sorted([done.id, other.id])[:1]
    for _ in range(2):
        await store.retire([done.id])
    assert set(await store.unretired(limit=99)) == {other.id}
    assert await retired(store) == [done.id]


async def test_keys_are_held_for_a_while_and_have_their_turn(
    rows: WalletRows, store: ClosingStore
) -> None:
    old, young, keyless = [await closed(rows) for _ in range(3)]
    unclosed = await rows.wallet()
    await store.retire([old.id, young.id, keyless.id, unclosed.id])
    for one in (old, keyless):
        await age(rows, one, 48)
    await store.destroy((await store.retired(seconds=90_000, after=None, limit=9))[0])
    await rows.insert(
        "wallet.sealed_keys",
        wallet_id=unclosed.id,
        kek_id="k",
        wrapped_data_key=b"w",
        nonce=bytes(12),
        sealed_seed=b"s",
    )
    left = {old.id, keyless.id} - {sorted([old.id, keyless.id])[0]}
    assert set(await retired(store, seconds=90_000.0)) == left
    every = sorted([*left, young.id, unclosed.id])
    assert await retired(store) == every
    assert await retired(store, after=every[0]) == every[1:]
    assert await retired(store, limit=1) == every[:1]
    by_wallet = {one.wallet_id: one for one in await store.retired(seconds=0, after=None, limit=9)}
    assert by_wallet[unclosed.id].operation_id is None
    assert by_wallet[young.id].operation_id == await store.newest(young.id)
    assert by_wallet[young.id].address == young.address


async def test_a_key_is_destroyed_with_a_record_and_no_other(
    rows: WalletRows, store: ClosingStore
) -> None:
    wallet, other = [await closed(rows) for _ in range(2)]
    await store.retire([wallet.id, other.id])
    await age(rows, wallet, 25)
    found = await store.retired(seconds=0, after=None, limit=9)
    (key,) = [one for one in found if one.wallet_id == wallet.id]
    assert await store.destroy(key)
    assert not await store.destroy(key)
    kept = await rows.connection.fetch("SELECT wallet_id FROM wallet.sealed_keys")
    assert [row["wallet_id"] for row in kept] == [other.id]
    told = await rows.connection.fetch(
        "SELECT actor, subject, details FROM wallet.audit_log WHERE action = 'destroy_key'"
    )
    assert [tuple(row) for row in told] == [
        ("wallet", f"wallet {wallet.id}", f"{wallet.address}, closed by {key.operation_id}")
    ]


@pytest.mark.parametrize("hours", [None, 23])
async def test_no_key_goes_before_a_day_is_over(
    rows: WalletRows, database: DatabaseAccess, hours: int | None
) -> None:
    """Whoever has wallet's password chooses no moment, and destroys no key at once."""
    wallet = await closed(rows)
    async with connect(database.dsn("wallet")) as thief:
        if hours is not None:
            await thief.execute(
                "INSERT INTO wallet.retired_keys (wallet_id) VALUES ($1)", wallet.id
            )
            await age(rows, wallet, hours)
        with pytest.raises(asyncpg.RaiseError, match="is never deleted"):
            await thief.execute("SELECT wallet.destroy_key($1)", wallet.id)
        for statement in (
            "INSERT INTO wallet.retired_keys (wallet_id, retired_at) VALUES ($1, '2025-01-01')",
            "UPDATE wallet.retired_keys SET retired_at = '2025-01-01' WHERE wallet_id = $1",
            "DELETE FROM wallet.sealed_keys WHERE wallet_id = $1",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await thief.execute(statement, wallet.id)

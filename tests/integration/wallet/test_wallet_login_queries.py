"""Logins in wallet's tables: challenges that count once, and whose farmers are whose."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from libs.common.db.pool import Database
from libs.common.ids import WalletId, new_id
from services.wallet.domain.errors import LoginUsedError, OwnerAccountTamperedError
from services.wallet.domain.logins import Challenge
from services.wallet.store.account_owners import AccountOwners
from services.wallet.store.logins import LoginStore
from tests.support.database import DatabaseAccess, connect
from tests.support.own_say import OwnSay
from tests.support.wallet_rows import WalletRow, WalletRows

HOUR = timedelta(hours=1)


def challenge(number: int = 1, *, ends: timedelta = HOUR) -> Challenge:
    now = datetime.now(UTC)
    return Challenge(
        transaction="",
        hash=number.to_bytes(32, "big"),
        account="G",
        signing_key="G",
        begins=now,
        ends=now + ends,
    )


async def kept(rows: WalletRows) -> list[int]:
    found = await rows.connection.fetch("SELECT challenge FROM wallet.used_challenges")
    return sorted(int.from_bytes(row["challenge"], "big") for row in found)


async def test_a_challenge_counts_once_whichever_process_has_it(rows: WalletRows) -> None:
    store, other = LoginStore(rows.pool), LoginStore(rows.pool)
    await store.use(challenge(1))
    for one in (store, other):
        with pytest.raises(LoginUsedError):
            await one.use(challenge(1))
    await other.use(challenge(2))
    assert await kept(rows) == [1, 2]


async def test_a_row_that_is_taken_away_brings_no_challenge_back(rows: WalletRows) -> None:
    store, other = LoginStore(rows.pool), LoginStore(rows.pool)
    await store.use(challenge(1))
    with pytest.raises(LoginUsedError):
        await other.use(challenge(1))
    await rows.connection.execute("DELETE FROM wallet.used_challenges")
    for one in (store, other):
        with pytest.raises(LoginUsedError):
            await one.use(challenge(1))
    assert await kept(rows) == []


async def test_challenges_that_have_ended_are_forgotten_a_hundred_at_a_time(
    rows: WalletRows,
) -> None:
    now = datetime.now(UTC)
    for number in range(1, 151):
        await rows.insert(
            "wallet.used_challenges",
            challenge=number.to_bytes(32, "big"),
            ends_at=now - HOUR - timedelta(seconds=number),
        )
    # For an hour after its end a clock that goes wrong does not bring it back.
    await rows.insert(
        "wallet.used_challenges",
        challenge=(200).to_bytes(32, "big"),
        ends_at=now - HOUR + timedelta(minutes=1),
    )
    store = LoginStore(rows.pool)
    await store.use(challenge(300))
    # The oldest go first.
    assert await kept(rows) == [*range(1, 51), 200, 300]
    await store.use(challenge(301))
    assert await kept(rows) == [200, 300, 301]


async def test_one_that_is_being_forgotten_keeps_nobody_waiting(rows: WalletRows) -> None:
    ended = datetime.now(UTC) - 2 * HOUR
    await rows.insert("wallet.used_challenges", challenge=bytes(32), ends_at=ended)
    async with connect(rows.dsn) as another, another.transaction():
        await another.execute("SELECT 1 FROM wallet.used_challenges FOR UPDATE")
        await LoginStore(rows.pool).use(challenge(1))
    assert await kept(rows) == [0, 1]


@pytest.mark.parametrize("service", ["registry", "plant", "work", "harvest"])
async def test_other_services_see_who_owns_which_farmer_and_no_more(
    database: DatabaseAccess, service: str
) -> None:
    async with connect(database.dsn(service)) as connection:
        assert await connection.fetch("SELECT * FROM wallet.farmer_owners") == []
        for table in ("owner_accounts", "owner_accounts_that_counted", "used_challenges"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT * FROM wallet.{table}")  # noqa: S608  (the test's own words)


async def test_wallets_own_password_takes_no_challenge_back(rows: WalletRows) -> None:
    """What was used stays until it has ended, whoever writes as wallet does."""
    store = LoginStore(rows.pool)
    await store.use(challenge(1))
    for statement in (
        "DELETE FROM wallet.used_challenges",
        "UPDATE wallet.used_challenges SET ends_at = '2020-01-02'",
        "TRUNCATE wallet.used_challenges",
    ):
        async with rows.pool.session() as session:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.connection.execute(statement)
    async with rows.pool.session() as session:
        assert await session.connection.fetchval("SELECT wallet.forget_challenges()") == 0
    assert await kept(rows) == [1]


# Whose farmers are whose ------------------------------------------------------------------------


async def write(
    rows: WalletRows, wallet: WalletRow, history: Sequence[tuple[str, float, float]]
) -> None:
    """Write owner accounts: each with the seconds, from now, of its record and its beginning."""
    now = datetime.now(UTC)
    for number, (address, registered, effective) in enumerate(history, start=1):
        await rows.insert(
            "wallet.owner_accounts",
            wallet_id=wallet.id,
            number=number,
            address=address,
            registered_at=now + timedelta(seconds=registered),
            effective_at=now + timedelta(seconds=effective),
        )


async def shown(rows: WalletRows, wallet: WalletRow) -> str:
    """The account that speaks for a farmer by the view of other services."""
    found = await rows.connection.fetch(
        "SELECT owner_account FROM wallet.farmer_owners WHERE farmer_id = $1", wallet.farmer_id
    )
    assert len(found) <= 1
    return found[0]["owner_account"] if found else ""


@pytest.mark.parametrize(
    ("history", "account"),
    [
        ([], ""),
        ([("GA", -9, -9)], "GA"),
        ([("GA", -9, -9), ("GB", -5, -5)], "GB"),
        # Announced, and still to come.
        ([("GA", -9, -9), ("GB", -5, 60)], "GA"),
        ([("GA", -9, 60)], ""),
        # Announced, and come.
        ([("GA", -9, -9), ("GB", -8, -2)], "GB"),
        # Replaced before it counted: never.
        ([("GA", -9, -9), ("GB", -8, -2), ("GA", -5, -5)], "GA"),
        ([("GA", -9, -9), ("GB", -8, -2), ("GC", -5, 60)], "GA"),
        # Replaced in the moment in which it begins to count.
        ([("GA", -9, -9), ("GB", -8, -5), ("GC", -5, 60)], "GB"),
        # None speaks for it any more.
        ([("GA", -9, -9), ("", -5, -5)], ""),
        ([("GA", -9, -9), ("", -5, 60)], "GA"),
    ],
    ids=str,
)
async def test_other_services_see_the_account_that_counts(
    rows: WalletRows, history: Sequence[tuple[str, float, float]], account: str
) -> None:
    wallet, beside = await rows.wallet(), await rows.wallet()
    await write(rows, wallet, history)
    await write(rows, beside, [("GX", -9, -9)])
    assert await shown(rows, wallet) == account
    assert await shown(rows, beside) == "GX"


async def test_they_see_what_wallets_own_read_shows(rows: WalletRows, pool: Database) -> None:
    """Whatever the history: the view and wallet's query are written apart."""
    chance = random.Random(53)
    for _ in range(60):
        wallet, at, history = await rows.wallet(), -20.0, list[tuple[str, float, float]]()
        for _ in range(chance.randint(1, 5)):
            at = min(-0.5, at + chance.choice([0.0, 1.0, 2.0, 4.0]))
            wait = chance.choice([0.0, 0.0, 1.0, 2.0, 5.0, 60.0])
            history.append((chance.choice(["GA", "GB", "GC", ""]), at, at + wait))
        await write(rows, wallet, history)
        found = await pool.many("owner_accounts", wallet.id, 86_400.0)
        counts = [row["address"] for row in found if row["is_shown"] and row["is_effective"]]
        assert await shown(rows, wallet) == (counts[0] if counts else ""), history


async def test_wallet_itself_goes_by_what_it_has_sealed(pool: Database, rows: WalletRows) -> None:
    say = OwnSay(pool=pool)
    owners = AccountOwners(say.wallets, say.owners)
    first, nobodys = await say.farmer(), await say.farmer(has_owner=False)
    same = await say.farmer(owner=first.owner)
    other = await say.farmer()
    account = first.owner.public_key

    def ids(*farmers: object) -> list[str]:
        return list(map(str, farmers))

    assert await owners.of_farmers(ids(first.farmer_id, same.farmer_id)) == {account}
    assert await owners.of_wallets(ids(first.wallet_id)) == {account}
    assert await owners.of_farmers(ids(first.farmer_id, other.farmer_id)) == {
        account,
        other.owner.public_key,
    }
    assert await owners.of_farmers(ids(nobodys.farmer_id)) == {""}
    # What there is not makes all of it somebody else's.
    assert await owners.of_farmers(ids(first.farmer_id, new_id())) == {""}
    assert await owners.of_wallets(ids(first.wallet_id, new_id())) == {""}
    operation = await rows.connection.fetchval(
        "SELECT id FROM wallet.operations WHERE wallet_id = $1", first.wallet_id
    )
    assert await owners.of_operations(ids(operation)) == {account}
    assert await owners.of_operations(ids(operation, new_id())) == {""}


async def test_rows_that_wallet_did_not_write_make_nobody_an_owner(
    pool: Database, rows: WalletRows
) -> None:
    say = OwnSay(pool=pool)
    owners = AccountOwners(say.wallets, say.owners)
    farmer, thief = await say.farmer(), await say.farmer()
    await rows.connection.execute(
        "UPDATE wallet.owner_accounts SET address = $1 WHERE wallet_id = $2",
        thief.owner.public_key,
        farmer.wallet_id,
    )
    with pytest.raises(OwnerAccountTamperedError):
        await owners.of_farmers([str(farmer.farmer_id)])
    await rows.connection.execute(
        "UPDATE wallet.wallets SET farmer_id = $1 WHERE id = $2", new_id(), thief.wallet_id
    )
    moved = await rows.connection.fetchval(
        "SELECT farmer_id FROM wallet.wallets WHERE id = $1", WalletId(thief.wallet_id)
    )
    assert await owners.of_farmers([str(moved)]) == {""}

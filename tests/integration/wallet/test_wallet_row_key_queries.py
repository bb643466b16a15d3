"""The queries of keys of rows, and of what the log says of keys: which they take and leave."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from libs.common.db.queries import load_queries
from services.wallet.domain.audit import Act, Action
from services.wallet.keys.row_macs import SealedRowKey
from services.wallet.store import QUERIES
from services.wallet.store.custody import CustodyStore
from services.wallet.store.keys import KeyStore, Rewrap
from tests.integration.wallet.test_wallet_key_queries import rotation, rotations, sealed, wrapped
from tests.support.orders import ORDERS
from tests.support.table_rows import mixed
from tests.support.wallet_rows import WalletRows

MINUTE, TICK = timedelta(minutes=1), timedelta(microseconds=1)


def key(number: int = 1, **values: Any) -> SealedRowKey:
    """A key of rows."""
    fixed: dict[str, Any] = {
        "number": number,
        "accepts_from": 1,
        "kek_id": "kek",
        "wrapped_key": bytes([number]),
    }
    return SealedRowKey(**fixed | values)


async def insert(rows: WalletRows, made: Mapping[int, timedelta]) -> None:
    """Write keys by their numbers, each so long ago."""
    # The database takes no key that does not follow the last one, made now.
    await rows.connection.execute("SET session_replication_role = replica")
    for number, age in made.items():
        await rows.connection.execute(
            "INSERT INTO wallet.row_keys (number, accepts_from, kek_id, wrapped_key, created_at) "
            "VALUES ($1, 1, 'kek', $2, now() - $3::interval)",
            number,
            bytes([number]),
            age,
        )


# Keys of rows ---------------------------------------------------------------------------------


async def test_a_key_is_used_a_minute_after_it_was_made_and_old_after_ten(rows: WalletRows) -> None:
    ages = {
        3: 60 * MINUTE,
        1: TICK,
        6: MINUTE - TICK,
        5: MINUTE,
        2: 10 * MINUTE,
        4: 10 * MINUTE - TICK,
    }
    sql = load_queries(*QUERIES)["row_keys"].sql
    # In one transaction, in which now is one moment.
    async with rows.connection.transaction():
        await insert(rows, ages)
        found = await rows.connection.fetch(sql)
    assert [(row["number"], row["is_active"], row["is_old"]) for row in found] == [
        (1, True, False),
        (2, True, True),
        (3, True, True),
        (4, True, False),
        (5, True, False),
        (6, False, False),
    ]


async def test_a_key_that_is_there_stays_and_is_recorded_once(rows: WalletRows) -> None:
    store = KeyStore(rows.pool, ORDERS)
    act = Act(actor="me", action=Action.REPLACE_ROW_KEY, subject="1")
    for made in (key(), key(kek_id="other", wrapped_key=b"other")):
        await store.insert_row_key(made, act)
    assert await store.row_keys() == [key()]
    assert len(await store.made_row_keys()) == 1


@pytest.mark.parametrize(
    "change", [{}, {"number": 3}, {"kek_id": "x"}, {"wrapped_key": b"x"}, {"accepts_from": 2}]
)
async def test_a_key_is_wrapped_anew_where_it_is_as_it_was_read(
    rows: WalletRows, change: dict[str, Any]
) -> None:
    await insert(rows, dict.fromkeys((1, 2), 60 * MINUTE))
    store = KeyStore(rows.pool, ORDERS)
    one, two = await store.row_keys()
    new = replace(two, kek_id="new", wrapped_key=b"new", accepts_from=2)
    is_there = not change
    assert await store.replace_row_key(replace(two, **change), new) is is_there
    assert await store.row_keys() == [one, new if is_there else two]
    assert await store.accepted_from() == (2 if is_there else 1)


# What the log says ----------------------------------------------------------------------------


async def test_the_log_says_which_keys_were_made_and_given_up(rows: WalletRows) -> None:
    custody, store = CustodyStore(rows.pool, ORDERS), KeyStore(rows.pool, ORDERS)
    assert (await store.made_row_keys(), await store.replaced_token_keys()) == ([], [])
    for action, subject in (
        (Action.GIVE_UP_ROW_KEYS, "3"),
        (Action.GIVE_UP_ROW_KEYS, "2"),
        (Action.REPLACE_ROW_KEY, "row key 7"),
        (Action.REPLACE_ROW_KEY, "row key 8"),
        (Action.REPLACE_TOKEN_KEY, "token key 9"),
        (Action.ROTATE_KEYS, "99"),
    ):
        await custody.record(Act(actor="me", action=action, subject=subject))
    assert await store.accepted_from() == 3
    assert [made.subject for made in await store.made_row_keys()] == ["row key 7", "row key 8"]
    (replaced,) = await store.replaced_token_keys()
    assert replaced.number == 9
    assert 0 <= replaced.age < 600


# KEKs and rotations ---------------------------------------------------------------------------


async def test_keys_of_each_table_are_counted_by_kek_also_when_they_are_alike(
    rows: WalletRows,
) -> None:
    for kek_id in mixed(["a", "b", "c"]):
        await sealed(rows, kek_id)
        await sealed(rows, kek_id)
    await rows.connection.execute("SET session_replication_role = replica")
    for number in (1, 2):
        await rows.insert(
            "wallet.row_keys", number=number, accepts_from=1, kek_id="a", wrapped_key=b""
        )
        await rows.insert("wallet.token_keys", number=number, kek_id="b", wrapped_key=b"")
    assert await KeyStore(rows.pool, ORDERS).kek_uses() == [("a", 4), ("b", 4), ("c", 2)]


async def test_a_database_is_empty_until_a_wallet_is_made(rows: WalletRows) -> None:
    store = KeyStore(rows.pool, ORDERS)
    assert await store.is_empty()
    await rows.wallet("treasury")
    assert not await store.is_empty()


async def test_keys_are_counted_no_further_than_numbers_go(rows: WalletRows) -> None:
    under_way = await rotation(rows, ended=False, rewrapped=2**31 - 2)
    store = KeyStore(rows.pool, ORDERS)
    rewraps = []
    for _ in range(2):
        account = await rows.wallet()
        old = wrapped(account, "old")
        await rows.insert(
            "wallet.sealed_keys",
            wallet_id=account.id,
            kek_id="old",
            wrapped_data_key=old.ciphertext,
            nonce=bytes(12),
            sealed_seed=b"seed",
        )
        rewraps.append(Rewrap(wallet_id=account.id, old=old, new=wrapped(account, "new")))
    assert await store.rewrap(under_way, rewraps) == 2
    assert (await rotations(rows))[under_way][0] == 2**31 - 1

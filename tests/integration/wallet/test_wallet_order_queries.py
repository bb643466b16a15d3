"""The queries of rows that wallet acts on, over real tables: which they take, which they leave."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from services.wallet.domain.orders import Name
from services.wallet.store.order_rows import PASTS, OrderRow, OrderRowStore, Place, Walk
from tests.support.order_history import aged, fill
from tests.support.table_rows import drop_indexes, new_ids
from tests.support.wallet_rows import WalletRow, WalletRows, ago

#: Rows of each table's past.
COUNT = 3
ZERO = UUID(int=0)
ONE_MAC, OTHER_MAC = bytes([1]) * 34, bytes([2]) * 34
NUMBERED = ("payout_addresses", "agreements", "shown_targets", "block_openings")
TABLES = ("wallets", *PASTS)
#: The table of rows that are named otherwise.
TABLE_OF = {"ends": "operations"}
#: The walks that are no table's past, by their queries.
OTHER_ENDS = Walk(table="ends", query="walk_other_ends")
IN_FORCE = Walk(
    table="payout_addresses",
    query="walk_addresses_in_force",
    place=(ZERO, 0),
    columns=("key", "number"),
)
LAST_TARGETS = Walk(table="shown_targets", query="walk_last_shown_targets")


@dataclass(frozen=True, kw_only=True)
class Past:
    """Rows of years ago in each table, none of them where its key would have it."""

    rows: WalletRows
    store: OrderRowStore
    farmer: WalletRow
    payer: WalletRow
    #: A farmer and a payer with rows of the same numbers.
    others: tuple[WalletRow, WalletRow]

    def names(self, table: str) -> list[Name]:
        """The names of all rows of a past, in the order of their keys."""
        if table == "wallets":
            keys = sorted(item.id for item in (self.farmer, self.payer, *self.others))
            return [Name(table=table, key=key) for key in keys]
        numbers = range(1, COUNT + 1)
        found = [aged(table, number, self.farmer, self.payer) for number in numbers]
        if table in NUMBERED and table != "block_openings":
            found += [aged(table, number, *self.others) for number in numbers]
        return sorted(found, key=lambda name: (name.key, name.number))


@pytest.fixture
async def past(rows: WalletRows) -> Past:
    first, second = new_ids(2), new_ids(2)
    beside = (
        await rows.wallet(id=second[1], status="pending"),
        await rows.wallet("payer", id=second[0]),
    )
    farmer, payer = await rows.wallet(id=first[1]), await rows.wallet("payer", id=first[0])
    await fill(rows, farmer, payer, COUNT, is_backwards=True)
    # From here on nothing keeps a test from writing what it likes.
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute(
        "INSERT INTO wallet.payout_addresses (wallet_id, number, address, registered_at, "
        "effective_at) SELECT $1, number, address, registered_at, effective_at "
        "FROM wallet.payout_addresses ORDER BY number DESC",
        beside[0].id,
    )
    await rows.connection.execute(
        "INSERT INTO wallet.agreements (wallet_id, number, stake_bps, pooler_bps, operator_bps, "
        "miners_bps, payout_threshold, payout_interval_seconds, harvest_blocks, given_by, proof, "
        "terms_version, terms_digest, registered_at, effective_at) "
        "SELECT $1, number, stake_bps, pooler_bps, operator_bps, miners_bps, payout_threshold, "
        "payout_interval_seconds, harvest_blocks, given_by, proof, terms_version, terms_digest, "
        "registered_at, effective_at FROM wallet.agreements ORDER BY number DESC",
        beside[0].id,
    )
    await rows.connection.execute(
        "INSERT INTO wallet.shown_targets (payer_id, target) "
        "SELECT $1, target FROM wallet.shown_targets ORDER BY target DESC",
        beside[1].id,
    )
    # Nobody signed them, as any other row here.
    await rows.connection.execute("UPDATE wallet.wallets SET mac = NULL")
    store = OrderRowStore(rows.pool)
    return Past(rows=rows, store=store, farmer=farmer, payer=payer, others=beside)


async def walked(
    rows: WalletRows, walk: Walk, *, place: Place | None = None, limit: int = 99
) -> list[Name]:
    """The names that a walk gives, in its order."""
    start = walk.place if place is None else place
    found = await rows.pool.many(walk.query, limit, *start, *walk.arguments)
    return [Name(table=walk.table, key=row["key"], number=row["number"]) for row in found]


def named(table: str, keys: Iterable[UUID]) -> list[Name]:
    return [Name(table=table, key=key) for key in keys]


def place_of(name: Name) -> Place:
    """Where a walk by keys stands at this row."""
    return (name.key, name.number) if name.table in NUMBERED else (name.key,)


# Rows by their names --------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
async def test_rows_of_these_names_come_in_the_order_of_their_keys(past: Past, table: str) -> None:
    names = past.names(table)
    # Of a numbered table: two of each account, with a number that both have.
    wanted = [names[0], names[2]] if len(names) < 5 else [names[0], names[2], names[3], names[4]]
    found = await past.store.rows(wanted[::-1])
    assert [row.name for row in found] == wanted
    assert {row.is_readable for row in found} == {True}


async def test_operations_are_acted_on_while_they_are_open_and_payments_for_ever(
    past: Past,
) -> None:
    rows, farmer = past.rows, past.farmer
    taken = [
        await rows.operation(farmer, "plant", state, block=block)
        for block, state in enumerate(("queued", "signed", "sent"), start=900)
    ]
    for state in ("succeeded", "failed", "expired"):
        await rows.operation(farmer, "plant", state, block=910)
        taken += [
            await rows.operation(farmer, "withdraw", state, block=920),
            await rows.operation(farmer, "top_up", state, block=930),
        ]
    everything = await rows.operations("id")
    found = await past.store.rows(named("operations", everything))
    paid = [name.key for name in past.names("operations")]
    assert [row.name.key for row in found] == sorted([*taken, *paid])


async def test_only_what_has_ended_has_an_end(past: Past) -> None:
    rows = past.rows
    ended = [
        await rows.operation(past.farmer, state=state, block=900)
        for state in ("succeeded", "failed", "expired")
    ]
    still_open = await rows.operation(past.farmer, block=901)
    found = await past.store.rows(named("ends", [*ended, still_open]))
    assert [row.name.key for row in found] == ended


async def test_transactions_are_acted_on_in_flight_and_those_of_payers_for_ever(
    past: Past,
) -> None:
    rows = past.rows
    taken = [await rows.transaction(state=state) for state in ("signed", "sent")]
    taken += [
        await rows.transaction(state=state, sequence=5, bump_to=6)
        for state in ("succeeded", "failed", "excluded", "sent")
    ]
    left = [await rows.transaction(state=state) for state in ("succeeded", "failed", "excluded")]
    found = await past.store.rows(named("transactions", [*left, *taken]))
    assert [row.name.key for row in found] == taken


async def test_a_transaction_is_told_with_what_it_carries(past: Past) -> None:
    rows = past.rows
    carried = [await rows.operation(past.farmer, block=block) for block in (900, 901, 902)]
    mine = await rows.transaction(carries=carried[:2])
    await rows.transaction(carries=carried[2:])
    (row,) = await past.store.rows(named("transactions", [mine]))
    assert set(dict(row.values)["operation_ids"]) == set(carried[:2])


async def test_only_a_pause_that_has_ended_is_told(past: Past) -> None:
    await past.rows.pause(past.farmer)
    in_force = await past.rows.connection.fetchval(
        "SELECT id FROM wallet.pauses WHERE resumed_at IS NULL"
    )
    names = past.names("pauses")
    found = await past.store.rows([*names, Name(table="pauses", key=in_force)])
    assert [row.name for row in found] == names


# Walks by keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
async def test_the_past_is_walked_in_the_order_of_keys_from_a_place_on(
    past: Past, table: str
) -> None:
    walk = PASTS.get(table, Walk(table="wallets", query="walk_wallets"))
    names = past.names(table)
    assert await walked(past.rows, walk) == names
    assert await walked(past.rows, walk, limit=2) == names[:2]
    await drop_indexes(past.rows.connection, f"wallet.{TABLE_OF.get(table, table)}")
    assert await walked(past.rows, walk) == names
    # That place is included.
    for number, name in enumerate(names):
        assert await walked(past.rows, walk, place=place_of(name)) == names[number:]


async def test_the_past_of_operations_is_of_payments_that_are_not_open(past: Past) -> None:
    rows, farmer = past.rows, past.farmer
    for block, state in enumerate(("queued", "signed", "sent"), start=900):
        await rows.operation(farmer, "withdraw", state, block=block)
    taken = [
        await rows.operation(farmer, kind, state, block=910)
        for state in ("failed", "expired", "succeeded")
        for kind in ("withdraw", "top_up")
    ]
    assert await walked(rows, PASTS["operations"]) == [
        *past.names("operations"),
        *named("operations", taken),
    ]


async def test_ends_are_walked_apart_by_who_found_them(past: Past) -> None:
    rows, farmer = past.rows, past.farmer
    # What is open has no end, whoever found it.
    for block, is_found in ((900, True), (901, False)):
        await rows.operation(farmer, block=block, is_found=is_found)
    found = await rows.operation(farmer, "plant", "succeeded", block=902, is_found=True)
    other = await rows.operation(farmer, "plant", "succeeded", block=903)
    assert await walked(rows, PASTS["ends"]) == [*past.names("ends"), *named("ends", [found])]
    ended = await rows.connection.fetch(
        "SELECT id FROM wallet.operations WHERE settled_at IS NOT NULL AND NOT is_found ORDER BY id"
    )
    others = named("ends", [row["id"] for row in ended])
    assert others[-1].key == other
    assert len(others) == 2 * COUNT + 1
    assert await walked(rows, OTHER_ENDS) == others
    assert await walked(rows, OTHER_ENDS, limit=2) == others[:2]
    assert await walked(rows, OTHER_ENDS, place=(others[1].key,)) == others[1:]


async def test_the_past_of_transactions_is_of_payers_envelopes_that_are_not_in_flight(
    past: Past,
) -> None:
    rows = past.rows
    for state in ("signed", "sent"):
        await rows.transaction(state=state, sequence=5, bump_to=6)
    await rows.transaction(state="succeeded")
    taken = [
        await rows.transaction(state=state, sequence=5, bump_to=6)
        for state in ("failed", "excluded", "succeeded")
    ]
    expected = [*past.names("transactions"), *named("transactions", taken)]
    assert await walked(rows, PASTS["transactions"]) == expected


async def test_the_past_of_pauses_is_of_those_that_have_ended(past: Past) -> None:
    await past.rows.pause(past.farmer)
    assert await walked(past.rows, PASTS["pauses"]) == past.names("pauses")


# Walks through what is live -------------------------------------------------------------------


async def test_open_operations_are_walked_by_kind_and_block_and_id(rows: WalletRows) -> None:
    farmer = await rows.wallet()
    names = new_ids(8)
    ids = iter([names[at] for at in (1, 5, 3, 6, 7, 2, 0, 4)])
    places = [
        ("work", 3),
        ("plant", 5),
        ("plant", 5),
        ("plant", 4),
        ("onboard", 9),
        ("withdraw", 1),
    ]
    kinds, states = ("onboard", "plant", "work", "withdraw"), ("queued", "signed", "sent")
    made: dict[UUID, tuple[int, int]] = {}
    for number, (kind, block) in enumerate(places):
        name, state = next(ids), states[number % 3]
        await rows.operation(await rows.wallet(), kind, state, id=name, block=block)
        made[name] = (kinds.index(kind), block)
    for state in ("succeeded", "failed"):
        await rows.operation(farmer, "plant", state, id=next(ids), block=4)
    await drop_indexes(rows.connection, "wallet.operations")
    ordered = sorted(made, key=lambda key: (made[key], key))

    async def found(
        place: Place = (None, 0, ZERO),
        *,
        kinds: list[str] | None = None,
        before: UUID | None = None,
        limit: int = 99,
    ) -> list[UUID]:
        arguments = (limit, *place, kinds, before)
        listed = await rows.pool.many("walk_open_operations", *arguments)
        assert {row["number"] for row in listed} <= {0}
        return [row["key"] for row in listed]

    assert await found() == ordered
    assert await found(limit=2) == ordered[:2]
    for number, row in enumerate(
        await rows.pool.many("walk_open_operations", 99, None, 0, ZERO, None, None)
    ):
        place = (row["at_kind"], row["at_block"], row["key"])
        assert await found(place) == ordered[number:]
    assert await found(kinds=["plant"]) == ordered[1:4]
    assert await found(kinds=["work", "withdraw"]) == ordered[4:]
    # All but the one with the greatest id.
    last = max(made)
    assert await found(before=last) == [key for key in ordered if key != last]


async def ended(rows: WalletRows, state: str, moment: datetime, **values: object) -> UUID:
    """A withdrawal that ended at a moment."""
    kind = str(values.pop("kind", "withdraw"))
    account = await rows.wallet()
    return await rows.operation(account, kind, state, settled_at=moment, **values)  # type: ignore[arg-type]


async def test_withdrawals_that_ended_lately_are_walked_by_moment_and_id(rows: WalletRows) -> None:
    first, now = new_ids(8), ago()
    moments = [now - timedelta(hours=hours) for hours in (47, 47, 30, 30, 30, 30, 10, 1)]
    states = ("failed", "expired", "succeeded", "failed", "succeeded", "expired", "failed")
    for number in reversed(range(8)):
        state = (*states, "succeeded")[number]
        await ended(rows, state, moments[number], id=first[number])
    for state in ("succeeded", "failed"):
        await ended(rows, state, ago(hours=49), id=UUID(int=len(state)))
        await ended(rows, state, ago(hours=5), id=UUID(int=9 + len(state)), kind="top_up")
        # This id and those after it are of what is young, which another walk meets.
        await ended(rows, state, ago(hours=5))
    await rows.operation(await rows.wallet(), "withdraw", id=UUID(int=50))
    await drop_indexes(rows.connection, "wallet.operations")
    before = UUID(int=first[-1].int + 1)
    query = "walk_ended_withdrawals"

    async def found(place: Place = (None, ZERO), limit: int = 99) -> list[UUID]:
        listed = await rows.pool.many(query, limit, *place, before)
        assert {row["number"] for row in listed} <= {0}
        return [row["key"] for row in listed]

    assert await found() == first
    for limit in (1, 2, 3):
        assert await found(limit=limit) == first[:limit]
    listed = await rows.pool.many(query, 99, None, ZERO, before)
    for number, row in enumerate(listed):
        place = (row["at_moment"], row["key"])
        assert await found(place) == first[number:]
        assert await found(place, limit=1) == first[number : number + 1]
    for last in (first[-1], first[-2]):
        older = await rows.pool.many(query, 99, None, ZERO, last)
        assert [row["key"] for row in older] == [name for name in first if name < last]


async def addresses(rows: WalletRows, key: UUID, *history: tuple[int, int]) -> list[Name]:
    """The names of a farmer's addresses; the newest one stands first.

    Each one has the hours since it was registered, and those since it counts.
    """
    account, now = await rows.wallet(id=key), ago()
    numbers = range(1, len(history) + 1)
    for number in reversed(numbers):
        registered, effective = history[number - 1]
        await rows.insert(
            "wallet.payout_addresses",
            wallet_id=account.id,
            number=number,
            address="G",
            registered_at=now - timedelta(hours=registered),
            effective_at=now - timedelta(hours=effective),
        )
    return [Name(table="payout_addresses", key=key, number=number) for number in numbers]


@pytest.mark.parametrize(
    ("history", "first"),
    [
        pytest.param([(9, -3)], 1, id="none has counted yet"),
        pytest.param([(9, 9), (8, 8), (7, 7)], 3, id="the newest of those that count"),
        pytest.param([(9, 9), (8, 8), (7, -3)], 2, id="the newest one cools"),
        pytest.param([(9, 9), (8, 2), (7, -3)], 1, id="one was replaced while it cooled"),
        pytest.param([(9, 9), (8, 7), (7, -3)], 2, id="one counted as it was replaced"),
        pytest.param(
            [(9, 9), (8, 2), (7, 7), (6, -3)], 3, id="one counts after one that never did"
        ),
        pytest.param([(9, 2), (8, 2), (7, -3)], 1, id="all were replaced while they cooled"),
    ],
)
async def test_the_address_that_counts_is_live_and_so_are_those_after_it(
    rows: WalletRows, history: list[tuple[int, int]], first: int
) -> None:
    await rows.connection.execute("SET session_replication_role = replica")
    one, two, three = new_ids(3)
    # Beside it are wallets of which no address counts, and of which the last one does.
    later = await addresses(rows, three, *[(9, -3)] * 30)
    mine = (await addresses(rows, two, *history))[first - 1 :]
    earlier = (await addresses(rows, one, (9, 9), (8, 8), (7, 7), (6, 6), (5, 5)))[-1:]
    await drop_indexes(rows.connection, "wallet.wallets", "wallet.payout_addresses")
    expected = [*earlier, *mine, *later]
    assert await walked(rows, IN_FORCE) == expected
    for limit in (1, 2):
        assert await walked(rows, IN_FORCE, limit=limit) == expected[:limit]
    for number, name in enumerate(expected):
        assert await walked(rows, IN_FORCE, place=(name.key, name.number)) == expected[number:]


async def test_the_last_target_of_each_account_of_the_pool_is_live(rows: WalletRows) -> None:
    ids = new_ids(4)
    farmer = await rows.wallet(id=ids[1])
    second, first, third = [
        await rows.wallet(kind, id=ids[number])
        for number, kind in ((2, "channel"), (0, "payer"), (3, "payer"))
    ]
    await rows.shown(farmer, 100)
    await rows.shown(first, 300, 500, 400)
    await rows.shown(second, 100)
    await rows.shown(third, 200)
    expected = [
        Name(table="shown_targets", key=account.id, number=number)
        for account, number in ((first, 500), (second, 100), (third, 200))
    ]
    assert await walked(rows, LAST_TARGETS) == expected
    assert await walked(rows, LAST_TARGETS, limit=2) == expected[:2]
    assert await walked(rows, LAST_TARGETS, place=(second.id,)) == expected[1:]


async def test_transactions_in_flight_are_walked_by_their_sources(rows: WalletRows) -> None:
    sources = {
        source: await rows.transaction(source, state)
        for source, state in (("b", "sent"), ("c", "signed"), ("a", "sent"))
    }
    for state in ("succeeded", "failed", "excluded"):
        await rows.transaction("b", state)
    walk = Walk(table="transactions", query="walk_open_transactions", place=("",))
    expected = named("transactions", [sources[source] for source in "abc"])
    assert await walked(rows, walk) == expected
    assert await walked(rows, walk, limit=2) == expected[:2]
    for number, source in enumerate("abc"):
        assert await walked(rows, walk, place=(source,)) == expected[number:]
    (row,) = await rows.pool.many(walk.query, 1, "")
    assert row["at_source"] == "a"


async def token(rows: WalletRows, key: UUID, moment: datetime) -> None:
    await rows.insert(
        "wallet.tokens",
        id=key,
        role="operator",
        subject="me",
        name="token",
        methods=[],
        is_read_only=False,
        secret_hash=key.bytes * 2,
        request_id="",
        created_by="me",
        created_at=ago(hours=200),
        expires_at=moment,
        mac=ONE_MAC,
    )


async def ended_pause(rows: WalletRows, key: UUID, moment: datetime) -> None:
    await rows.insert(
        "wallet.pauses",
        id=key,
        scope="everything",
        reason="fire",
        paused_by="me",
        resumed_by="me",
        resumed_at=moment,
    )


async def open_approval(rows: WalletRows, key: UUID, moment: datetime, **values: object) -> None:
    await rows.insert(
        "wallet.approvals",
        id=key,
        method="/m",
        digest=bytes(32),
        request="{}",
        asked_by="ann",
        asked_at=ago(hours=200),
        expires_at=moment,
        **values,
    )


@pytest.mark.parametrize(
    ("table", "query", "write", "hours"),
    [
        ("tokens", "walk_tokens_in_force", token, (-0.1, -1, -1, -9)),
        ("pauses", "walk_late_pauses", ended_pause, (71, 50, 50, 1)),
        ("approvals", "walk_open_approvals", open_approval, (-0.1, -1, -1, -9)),
    ],
)
async def test_what_still_counts_is_walked_by_moment_and_id(
    rows: WalletRows,
    table: str,
    query: str,
    write: Callable[[WalletRows, UUID, datetime], Awaitable[None]],
    hours: tuple[float, ...],
) -> None:
    ids, now = new_ids(6), ago()
    # The one with the least id lasts longest.
    keys = [*ids[2:5], ids[1]]
    moments = [now - timedelta(hours=hour) for hour in hours]
    for number in reversed(range(4)):
        await write(rows, keys[number], moments[number])
    await write(rows, ids[5], now - timedelta(hours=73 if table == "pauses" else 0.1))
    if table == "pauses":
        await rows.pause(await rows.wallet())
    if table == "approvals":
        given = {"approved_by": "bob", "approved_at": now}
        await open_approval(rows, ids[0], moments[1], **given, used_at=now)
    await drop_indexes(rows.connection, f"wallet.{table}")
    walk = Walk(table=table, query=query, place=(None, ZERO), columns=("at_moment", "key"))
    expected = named(table, keys)
    assert await walked(rows, walk) == expected
    assert await walked(rows, walk, limit=2) == expected[:2]
    for number, row in enumerate(await rows.pool.many(query, 99, None, ZERO)):
        place = (row["at_moment"], row["key"])
        assert await walked(rows, walk, place=place) == expected[number:]


# Signing --------------------------------------------------------------------------------------


async def macs(past: Past, table: str) -> dict[Name, bytes | None]:
    """The authenticators of all rows of a table."""
    return {row.name: row.mac for row in await past.store.rows(past.names(table))}


@pytest.mark.parametrize("table", TABLES)
async def test_a_row_is_signed_where_the_old_authenticator_still_is(past: Past, table: str) -> None:
    before = await macs(past, table)
    first, second = await past.store.rows(past.names(table)[:2])
    swapped = replace(second, mac=OTHER_MAC)
    assert await past.store.sign([(first, ONE_MAC), (swapped, ONE_MAC)]) == 1
    assert await macs(past, table) == before | {first.name: ONE_MAC}
    # There is another one by now.
    assert await past.store.sign([(first, OTHER_MAC)]) == 0
    assert await past.store.sign([(replace(first, mac=ONE_MAC), OTHER_MAC)]) == 1
    assert await macs(past, table) == before | {first.name: OTHER_MAC}


async def test_no_end_is_signed_of_what_has_not_ended(past: Past) -> None:
    key = await past.rows.operation(past.farmer, block=900)
    row = OrderRow(name=Name(table="ends", key=key), data=b"", mac=None, values={})
    assert await past.store.sign([(row, ONE_MAC)]) == 0
    assert (await past.rows.operations("end_mac"))[key] is None

"""Looks at the rows that wallet acts on: what is told, once, and how the past is gone through."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from libs.common.ids import new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.orders import Name, SeenRow
from services.wallet.engine.order_check import Checked, OrderCheck, Share
from services.wallet.engine.order_rounds import Passage, Round
from services.wallet.engine.order_tally import Tally
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store.order_rows import PASTS, OrderRow, Walk

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = {number: bytes([number]) * 32 for number in (1, 2)}
OLD, NEW = RowMacs({1: KEYS[1]}), RowMacs(KEYS)
#: Rows of this table are all live; those of the other are past, unless they are of today.
LIVE, PAST = "wallets", "ends"
Q = {LIVE: "walk_wallets", PAST: "walk_ends"}
FLAW = "rows that wallet did not write: {} (kalepool orders check)"


def row(table: str, number: int, mac: bytes | None = b"", key: UUID | None = None) -> OrderRow:
    """Return a row: one that wallet wrote, unless another authenticator is given."""
    data = f"{table}/{number}".encode()
    name = Name(table=table, key=key or UUID(int=number))
    found = NEW.mac(data) if mac == b"" else mac
    return OrderRow(name=name, data=data, mac=found, values=cast(Any, {"amount": number}))


def forged(table: str, number: int) -> OrderRow:
    return row(table, number, None)


class Store:
    """Has rows in the order of their keys."""

    def __init__(self, *rows: OrderRow) -> None:
        self.held = {item.name: item for item in rows}
        self.pages: list[tuple[str, int]] = []
        #: Where a look at the past begins.
        self.start = 0
        #: Rows that somebody else changes before they are signed.
        self.changing: set[Name] = set()

    async def page(self, walk: Walk, *, limit: int) -> tuple[list[OrderRow], Walk | None]:
        """As the store's."""
        first = walk.place[0] if isinstance(walk.place[0], UUID) else UUID(int=0)
        found = [
            self.held[name]
            for name in sorted(self.held, key=lambda item: item.key)
            if Q.get(name.table) == walk.query and name.key >= first
        ]
        if found or walk.query in Q.values():
            self.pages.append((walk.query, limit))
        if len(found) <= limit:
            return found, None
        return found[:limit], replace(walk, place=(found[limit].name.key,))

    async def rows(self, names: Collection[Name]) -> list[OrderRow]:
        """As the store's."""
        return [self.held[name] for name in names if name in self.held]

    async def anywhere(self, table: str) -> Walk:
        """As the store's."""
        return replace(PASTS[table], place=(UUID(int=self.start), *PASTS[table].place[1:]))

    async def sign(self, rows: Sequence[tuple[OrderRow, bytes]]) -> int:
        """As the store's."""
        assert len({item.name.table for item, _ in rows}) <= 1
        signed = 0
        for item, mac in rows:
            if item.name in self.changing or self.held[item.name].mac != item.mac:
                continue
            self.held[item.name] = replace(item, mac=mac)
            signed += 1
        return signed

    def number(self, item: OrderRow) -> int:
        """Return the key that a row's authenticator is under by now."""
        mac = self.held[item.name].mac
        return 0 if mac is None else NEW.number_of(mac)


class Keys:
    """Keys of rows that others may still write under."""

    def __init__(self, macs: RowMacs) -> None:
        self.macs = macs
        self.writes_alone = True
        self.made, self.opened, self.given_up = 0, 0, 0

    async def make_first(self) -> None:
        """As the real one's."""
        self.made += 1

    async def open(self) -> None:
        """As the real one's."""
        self.opened += 1
        vars(self.macs).update(vars(RowMacs(KEYS)))

    async def give_up_older(self) -> None:
        """As the real one's."""
        self.given_up += 1
        self.macs.give_up_below(2)


class World:
    """Looks over stand-ins."""

    def __init__(
        self, *rows: OrderRow, macs: RowMacs | None = None, share: Share | None = None
    ) -> None:
        self.store = Store(*rows)
        self.macs = macs or RowMacs({2: KEYS[2]})
        self.keys = Keys(self.macs)
        self.acts: list[Act] = []
        self.check = OrderCheck(
            cast(Any, self.store),
            cast(Any, self),
            cast(Any, self.keys),
            self.macs,
            cast(Any, SimpleNamespace(now=lambda: NOW)),
            share=share,
        )

    async def record(self, act: Act) -> None:
        """As the audit log's."""
        self.acts.append(act)

    async def step(self) -> Checked:
        """Look once."""
        return await self.check.step()


def names(found: Checked) -> list[Name]:
    return [item.name for item in found.forged]


# What is told


async def test_rows_that_wallet_wrote_are_counted_by_table() -> None:
    world = World(row(LIVE, 1), row(LIVE, 2), row(PAST, 3))
    assert world.check.last == Checked()
    found = await world.step()
    assert (found.at, found.forged, found.count) == (NOW, (), 0)
    assert {table: count for table, count in found.rows.items() if count} == {LIVE: 2, PAST: 1}
    assert world.check.is_clean
    assert (world.check.warnings, world.check.is_bringing_over) == ([], False)
    assert world.check.last is found


async def test_a_row_that_wallet_did_not_write_is_told_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    bad, worse = forged(LIVE, 1), forged(PAST, 2)
    world = World(bad, worse, row(LIVE, 3))
    for _ in range(2):
        found = await world.step()
        assert names(found) == [bad.name, worse.name]
        assert found.count == 2
    assert not world.check.is_clean
    assert world.check.warnings == [FLAW.format(2)]
    told = "".join(capfd.readouterr())
    assert told.count("row not written by wallet") == 2
    assert str(bad.name) in told
    assert "amount=1" in told


async def test_a_row_that_was_mended_or_is_gone_is_forged_no_more() -> None:
    mended, gone = forged(LIVE, 1), forged(LIVE, 2)
    world = World(mended, gone)
    await world.step()
    world.store.held[mended.name] = row(LIVE, 1)
    del world.store.held[gone.name]
    assert (await world.step()).count == 0
    assert world.check.is_clean


async def test_what_was_found_stays_known_when_a_look_does_not_end() -> None:
    world = World(forged(LIVE, 1))
    await world.step()
    page = world.store.page

    async def away(walk: Walk, *, limit: int) -> Any:
        raise OSError("away")

    world.store.page = away  # type: ignore[method-assign]
    with pytest.raises(OSError, match="away"):
        await world.step()
    assert world.check.warnings == [FLAW.format(1)]
    world.store.page = page  # type: ignore[method-assign]
    assert (await world.step()).count == 1


async def test_before_the_keys_are_there_all_rows_are_forged() -> None:
    world = World(row(LIVE, 1), row(PAST, 2), macs=RowMacs())
    found = await world.check.look()
    assert (found.count, found.at) == (2, NOW)
    assert found.rows[LIVE] == found.rows[PAST] == 1
    (warning,) = world.check.warnings
    assert "no row has an authenticator yet" in warning
    # A look for people changes nothing.
    assert world.check.last == Checked()


async def test_no_more_forged_rows_are_kept_than_are_shown() -> None:
    world = World(*(forged(LIVE, number) for number in range(1, 8)), share=Share(forged=3))
    for _ in range(2):
        found = await world.step()
        assert (len(found.forged), found.count) == (3, 7)
    assert world.check.warnings == [FLAW.format(7)]


@pytest.mark.parametrize("start", [0, 3, 7])
async def test_forged_rows_of_a_short_past_are_all_counted(start: int) -> None:
    world = World(*(forged(PAST, number) for number in range(1, 8)), share=Share(forged=3))
    world.store.start = start
    for _ in range(3):
        assert (await world.step()).count == 7


# The past


async def test_the_past_is_gone_through_a_part_at_a_time() -> None:
    rows = [row(PAST, number) for number in range(1, 8)]
    world = World(*rows, share=Share(past=3))
    assert [(await world.step()).rows[PAST] for _ in range(4)] == [3, 3, 1, 3]
    limits = [limit for query, limit in world.store.pages if query == Q[PAST] and limit < 500]
    # The third look meets the end after one row, the fourth one goes on with the beginning.
    assert limits == [3, 3, 3, 3]


async def test_a_past_that_is_short_is_gone_through_from_anywhere_to_there() -> None:
    world = World(row(PAST, 1), row(PAST, 2), share=Share(past=1200))
    world.store.start = 2
    found = await world.step()
    assert found.rows[PAST] == 2
    # What is of today first, then from the second row on, then from the first one on.
    assert [limit for query, limit in world.store.pages if query == Q[PAST]] == [500, 500, 500]
    world.store.pages.clear()
    found = await world.step()
    assert found.rows[PAST] == 2
    # What is of today, then from the first row on: that is all of it.
    assert [limit for query, limit in world.store.pages if query == Q[PAST]] == [500, 500]


async def test_pages_have_five_hundred_rows() -> None:
    world = World(*(row(PAST, number) for number in range(1, 1102)), share=Share(past=1100))
    found = await world.step()
    assert found.rows[PAST] == 1100
    past = [limit for query, limit in world.store.pages if query == Q[PAST]]
    assert past.count(500) >= 2
    assert 100 in past
    assert Share() == Share(past=2000, brought=10_000, forged=1000)


async def test_forged_rows_of_the_past_are_counted_for_a_round_and_the_next() -> None:
    bad = [forged(PAST, number) for number in range(1, 5)]
    world = World(*bad, share=Share(past=2, forged=1))
    assert [(await world.step()).count for _ in range(2)] == [2, 4]
    for item in bad[1:]:
        world.store.held[item.name] = row(PAST, item.name.key.int)
    counts = [(await world.step()).count for _ in range(6)]
    # What was counted in the round before counts until this round has met nothing any more.
    assert counts[0] == 4
    assert counts[-1] == 1


# Another key


async def test_rows_under_an_older_key_come_under_the_new_one_and_then_it_is_given_up() -> None:
    old = [row(LIVE, 1, OLD.mac(b"wallets/1")), row(PAST, 2, OLD.mac(b"ends/2"))]
    new, bad = row(LIVE, 3), forged(LIVE, 4)
    world = World(*old, new, bad, macs=RowMacs(KEYS))
    found = await world.step()
    assert [world.store.number(item) for item in (*old, new, bad)] == [2, 2, 2, 0]
    assert found.count == 1
    assert world.keys.given_up == 1
    assert not world.check.is_bringing_over
    # Nothing is brought over any more.
    await world.step()
    assert world.keys.given_up == 1


async def test_rows_are_brought_over_a_part_at_a_time() -> None:
    rows = [row(PAST, number, OLD.mac(f"ends/{number}".encode())) for number in range(1, 6)]
    world = World(*rows, macs=RowMacs(KEYS), share=Share(brought=2))
    states = []
    for _ in range(3):
        await world.step()
        states.append((world.check.is_bringing_over, world.keys.given_up))
    assert states == [(True, 0), (True, 0), (False, 1)]
    assert {world.store.number(item) for item in rows} == {2}


async def test_an_older_key_counts_as_long_as_others_may_write_under_it() -> None:
    old = row(PAST, 1, OLD.mac(b"ends/1"))
    world = World(old, macs=RowMacs(KEYS))
    world.keys.writes_alone = False
    await world.step()
    assert (world.store.number(old), world.keys.given_up) == (2, 0)
    # What others wrote meanwhile is found by a walk that begins once they do not any more.
    late = row(PAST, 2, OLD.mac(b"ends/2"))
    world.store.held[late.name] = late
    await world.step()
    assert world.keys.given_up == 0
    world.keys.writes_alone = True
    await world.step()
    assert (world.store.number(late), world.keys.given_up) == (2, 1)


async def test_an_older_key_counts_when_a_row_was_changed_while_it_was_signed() -> None:
    old = row(PAST, 1, OLD.mac(b"ends/1"))
    world = World(old, macs=RowMacs(KEYS))
    world.store.changing = {old.name}
    await world.step()
    assert world.keys.given_up == 0
    world.store.changing = set()
    await world.step()
    assert (world.store.number(old), world.keys.given_up) == (2, 1)


def test_a_walk_is_a_proof_when_it_is_whole_and_the_last() -> None:
    walk = PASTS[PAST]
    for walks, is_last, is_whole, is_proof in (
        ([], True, True, True),
        ([walk], True, True, False),
        ([], False, True, False),
        ([], True, False, False),
    ):
        passage = Passage(key=2, is_last=is_last, walks=walks, is_whole=is_whole)
        assert (passage.is_over, passage.is_proof) == (not walks, is_proof)
    assert Passage(key=2, is_last=True, walks=[]).is_whole


# Signing


async def test_an_operator_signs_the_rows_that_were_looked_at(
    capfd: pytest.CaptureFixture[str],
) -> None:
    one, two, three = forged(LIVE, 1), forged(PAST, 2), forged(LIVE, 3)
    world = World(one, two, three, row(LIVE, 4))
    await world.step()
    capfd.readouterr()
    nobody = SeenRow(name=Name(table=LIVE, key=new_id()), digest="0" * 32)
    chosen = [one.seen, two.seen, row(LIVE, 4).seen, nobody]
    assert await world.check.sign(chosen, actor="operator") == 2
    assert [world.store.number(item) for item in (one, two, three)] == [2, 2, 0]
    (act,) = world.acts
    assert (act.actor, act.action) == ("operator", Action.SIGN_ROWS)
    assert (act.subject, act.details) == ("rows", "2 rows")
    told = "".join(capfd.readouterr())
    assert told.count("row signed") == 2
    assert "operator" in told
    # All is looked at again, at once.
    assert names(world.check.last) == [three.name]
    assert world.check.warnings == [FLAW.format(1)]
    assert (world.keys.made, world.keys.opened) == (0, 0)


async def test_all_rows_are_signed_with_the_first_key() -> None:
    rows = [forged(LIVE, 1), forged(PAST, 2)]
    world = World(*rows, macs=RowMacs())
    assert await world.check.sign(None, actor="operator") == 2
    assert (world.keys.made, world.keys.opened) == (1, 1)
    assert {world.store.number(item) for item in rows} == {2}
    assert world.check.is_clean


async def test_where_nothing_is_to_be_signed_nothing_is_noted() -> None:
    world = World(row(LIVE, 1))
    assert await world.check.sign(None, actor="operator") == 0
    assert world.acts == []


async def test_counts_of_rows_that_are_not_kept_are_forgotten_when_all_was_signed() -> None:
    bad = [forged(PAST, number) for number in range(1, 5)]
    world = World(*bad, share=Share(forged=1))
    assert (await world.step()).count == 4
    await world.check.sign(None, actor="operator")
    assert world.check.is_clean
    assert (await world.step()).count == 0


# Parts


def test_a_round_tells_the_most_of_this_one_and_the_one_before() -> None:
    walk = PASTS[PAST]
    one = Round(walk=walk)
    one.beyond = 3
    assert one.most_beyond == 3
    start = replace(walk, place=(UUID(int=9),))
    one.turn(start)
    assert (one.walk, one.beyond, one.beyond_before, one.most_beyond) == (start, 0, 3, 3)
    one.turn(start)
    assert one.most_beyond == 0
    one.beyond, one.beyond_before = 2, 5
    one.forget()
    assert one.most_beyond == 0


def test_a_tally_counts_each_row_once() -> None:
    tally = Tally(most=1)
    one, two, sound = forged(LIVE, 1), forged(LIVE, 2), row(LIVE, 3)
    assert tally.unseen([one, two]) == [one, two]
    assert tally.unseen([one, sound]) == [sound]
    assert tally.rows[LIVE] == 3
    assert tally.take(one, is_genuine=False)
    assert not tally.take(one, is_genuine=False)
    assert not tally.take(two, is_genuine=False)
    assert (list(tally.forged), tally.beyond) == ([one.name], 1)
    assert not tally.take(one, is_genuine=True)
    assert (tally.forged, tally.beyond) == ({}, 1)
    assert Tally().most == 1000

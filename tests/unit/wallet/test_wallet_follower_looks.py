"""A follower's look: what is read again when, what makes it stop, and what is kept."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from libs.common.clock import SystemClock
from libs.common.errors import UnavailableError
from services.wallet.chain import (
    DisagreementError,
    NetworkMismatchError,
    RpcRejectedError,
    UnknownAnswerError,
)
from services.wallet.chain.unknowns import Unknowns
from services.wallet.domain.chain_facts import BlockState, FarmState, LedgerHead
from services.wallet.domain.model import Block, ChainHead
from services.wallet.domain.packing import CAUTIOUS, Limits
from services.wallet.domain.trust import Decision
from services.wallet.engine import follower as module
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.follower import Follower
from services.wallet.engine.wakeup import Wakeup
from tests.support.reconciling import BLOCK
from tests.support.signing import network_limits

NOW, LEDGER, SECONDS = 1_000_000, 100, 300


def block(index: int, **fields: Any) -> BlockState:
    values: dict[str, Any] = {"index": index, "timestamp": NOW - 10, "modified": 90}
    return replace(BLOCK, **{**values, **fields})


class Chain:
    """A node, and what several nodes say of the farm."""

    def __init__(self, index: int = 7) -> None:
        self.ledger = LedgerHead(sequence=LEDGER, close_time=NOW)
        self.one = FarmState(
            index=index,
            timestamp=NOW - 10,
            paused=False,
            token="",
            code_hash="aa",
            block=block(index),
        )
        #: What several nodes show; an error, or None while the second one does not answer.
        self.several: FarmState | Exception | None = self.one
        self.is_silent = False
        self.known: list[FarmState | None] = []
        self.closed: dict[int, BlockState] = {}
        self.limits_shown: Limits | Exception = network_limits()
        self.unknowns = Unknowns()
        self.decisions: list[Decision] = []
        self.verified, self.limit_reads = 0, 0
        self.blocks_read: list[int] = []

    def grow(self, ledgers: int) -> None:
        """Go on by so many ledgers."""
        self.ledger = replace(self.ledger, sequence=self.ledger.sequence + ledgers)

    def show(self, farm: FarmState) -> None:
        """Have all nodes show this."""
        self.one = self.several = farm

    def trusted(self, decision: Decision) -> "Chain":
        """As the chain's."""
        self.decisions.append(decision)
        return Several(self) if decision is Decision.PUBLISH_BLOCK else self

    async def verify(self) -> None:
        """As the chain's."""
        self.verified += 1

    async def head(self) -> LedgerHead:
        """As the chain's."""
        return self.ledger

    async def farm(self) -> FarmState | None:
        """As the chain's."""
        return self.one

    def is_known(self, farm: FarmState | None) -> bool:
        """As the chain's."""
        return farm in self.known

    async def block(self, index: int) -> BlockState | None:
        """As the chain's."""
        self.blocks_read.append(index)
        return self.closed.get(index)

    async def inclusion_fee(self) -> int:
        """As the chain's."""
        return 321

    async def limits(self) -> Limits:
        """As the chain's."""
        self.limit_reads += 1
        if isinstance(self.limits_shown, Exception):
            raise self.limits_shown
        return self.limits_shown


class Several(Chain):
    """What several nodes say of the farm."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    async def farm(self) -> FarmState | None:
        """As the chain's."""
        if self.chain.is_silent:
            await asyncio.sleep(3600)
        if isinstance(self.chain.several, Exception):
            raise self.chain.several
        return self.chain.several


class Store:
    """Keeps heads and blocks, also of another process."""

    def __init__(self) -> None:
        self.kept: ChainHead | None = None
        self.saved: list[ChainHead] = []
        self.blocks: dict[int, Block] = {}
        self.writes: list[tuple[int, int]] = []
        self.newest: int | None = None
        self.takes = True
        self.opened: dict[int, int] = {}
        self.asked = 0

    async def head(self) -> ChainHead | None:
        """As the store's."""
        self.asked += 1
        return self.kept

    async def save_head(self, head: ChainHead) -> bool:
        """As the store's."""
        self.saved.append(head)
        return self.takes

    async def newest_index(self) -> int | None:
        """As the store's."""
        return self.newest

    async def save_block(self, found: Block, *, updated_ledger: int) -> int:
        """As the store's."""
        self.writes.append((found.index, updated_ledger))
        self.blocks[found.index] = found
        return self.opened.get(found.index, found.opened_ledger)


class Turnings:
    """Turns heads back, unless told otherwise."""

    def __init__(self) -> None:
        self.forgets = 0
        self.error: Exception | None = None
        self.back: list[tuple[int, int]] = []

    def forget(self) -> None:
        """As the real one's."""
        self.forgets += 1

    async def back_to(self, head: ChainHead, kept: ChainHead) -> None:
        """As the real one's."""
        self.back.append((head.ledger, kept.ledger))
        if self.error is not None:
            raise self.error


class World:
    """A follower over stand-ins."""

    def __init__(self, index: int = 7) -> None:
        self.chain, self.store, self.turnings = Chain(index), Store(), Turnings()
        self.view = ChainView(SystemClock(), Wakeup())
        self.turned: list[int] = []
        self.follower = Follower(
            cast(Any, self.chain),
            cast(Any, self.store),
            self.view,
            cast(Any, self.turnings),
            block_seconds=SECONDS,
        )
        self.follower.on_turned.append(self.turned.append)


def head(ledger: int) -> ChainHead:
    return ChainHead(
        ledger=ledger,
        close_time=cast(Any, None),
        current_block=7,
        plantable_block=7,
        paused=False,
        block_seconds=SECONDS,
    )


# What is read again


async def test_a_ledger_that_was_seen_is_looked_at_once() -> None:
    world = World()
    first = await world.follower.refresh()
    assert await world.follower.refresh() is first
    assert (world.chain.verified, world.chain.limit_reads) == (1, 1)
    assert world.chain.decisions.count(Decision.PUBLISH_BLOCK) == 1
    assert first.inclusion_fee == 321
    world.chain.grow(1)
    second = await world.follower.refresh()
    assert second.ledger.sequence == LEDGER + 1
    assert world.view.newest is second


async def test_the_network_is_verified_again_when_that_is_wanted() -> None:
    world = World()
    await world.follower.refresh()
    world.follower.forget()
    await world.follower.refresh()
    assert world.chain.verified == 2
    assert world.chain.decisions.count(Decision.IDENTIFY_NETWORK) == 2


async def test_limits_are_read_every_sixty_ledgers(capfd: pytest.CaptureFixture[str]) -> None:
    world = World()
    reads = []
    for ledgers in (0, 1, 58, 1, 1):
        world.chain.grow(ledgers)
        seen = await world.follower.refresh()
        reads.append(world.chain.limit_reads)
    assert reads == [1, 1, 1, 2, 2]
    assert "limits changed" not in "".join(capfd.readouterr())
    world.chain.grow(60)
    world.chain.limits_shown = changed = network_limits(transaction_bytes=5)
    seen = await world.follower.refresh()
    assert seen.limits == changed
    assert "network limits changed" in "".join(capfd.readouterr())


@pytest.mark.parametrize("error", [UnknownAnswerError("moved"), RpcRejectedError("no such method")])
async def test_limits_that_are_not_understood_are_those_of_before_or_low(error: Exception) -> None:
    world = World()
    world.chain.limits_shown = error
    assert (await world.follower.refresh()).limits == CAUTIOUS
    (warning,) = world.chain.unknowns.warnings
    assert "the network's limits" in warning
    assert str(error) in warning
    world.chain.grow(59)
    assert (await world.follower.refresh()).limits == CAUTIOUS
    assert world.chain.limit_reads == 1
    world.chain.limits_shown = known = network_limits(transaction_bytes=5)
    world.chain.grow(1)
    assert (await world.follower.refresh()).limits == known
    world.chain.limits_shown = error
    world.chain.grow(60)
    assert (await world.follower.refresh()).limits == known


async def test_limits_that_nobody_answers_are_waited_for() -> None:
    world = World()
    world.chain.limits_shown = UnavailableError("away")
    with pytest.raises(UnavailableError):
        await world.follower.refresh()
    assert world.chain.unknowns.warnings == []


# The farm


async def test_a_farm_that_is_gone_or_has_other_code_stops_everything() -> None:
    world = World()
    await world.follower.refresh()
    world.chain.grow(1)
    world.chain.show(replace(world.chain.one, code_hash="bb"))
    with pytest.raises(NetworkMismatchError, match="code has changed") as caught:
        await world.follower.refresh()
    assert caught.value.metadata == {"expected": "aa", "found": "bb"}
    assert not world.view.is_fresh
    world = World()
    world.chain.several = world.chain.one = cast(Any, None)
    world.chain.known = [None]
    with pytest.raises(NetworkMismatchError, match="the farm is gone"):
        await world.follower.refresh()


@pytest.mark.parametrize("is_known", [True, False])
async def test_where_several_nodes_differ_one_is_believed_only_for_what_was_shown(
    is_known: bool,
) -> None:
    world = World()
    world.chain.several = DisagreementError("they differ")
    world.chain.known = [world.chain.one] if is_known else []
    if is_known:
        assert (await world.follower.refresh()).farm == world.chain.one
        return
    with pytest.raises(DisagreementError, match="they differ"):
        await world.follower.refresh()


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_second_node_is_not_waited_for_for_long(
    is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECOND_WORD", 0.01)
    world = World()
    world.chain.is_silent = True
    world.chain.known = [world.chain.one] if is_known else []
    if is_known:
        assert (await world.follower.refresh()).farm == world.chain.one
        return
    with pytest.raises(DisagreementError, match="in time"):
        await world.follower.refresh()


async def test_a_node_that_is_away_is_told_as_that() -> None:
    world = World()
    world.chain.several = UnavailableError("away")
    with pytest.raises(UnavailableError, match="away"):
        await world.follower.refresh()


# Heads that were kept


async def test_a_head_below_one_that_another_process_kept_is_not_published_at_once() -> None:
    world = World()
    world.store.kept = head(LEDGER + 3)
    world.turnings.error = DisagreementError("not sure")
    with pytest.raises(DisagreementError):
        await world.follower.refresh()
    assert (world.view.newest, world.turned) == (None, [])
    assert world.turnings.back == [(LEDGER, LEDGER + 3)]
    # Once it is sure, all that was remembered of higher ledgers is forgotten.
    world.turnings.error = None
    assert (await world.follower.refresh()).ledger.sequence == LEDGER
    assert world.turned == [LEDGER]
    world.chain.grow(1)
    await world.follower.refresh()
    assert len(world.turnings.back) == 2


async def test_a_head_that_nodes_may_differ_by_is_published() -> None:
    world = World()
    world.store.kept = head(LEDGER + 2)
    assert (await world.follower.refresh()).ledger.sequence == LEDGER
    assert (world.turnings.back, world.turnings.forgets) == ([], 1)


async def test_this_process_goes_on_whatever_another_one_kept() -> None:
    world = World()
    await world.follower.refresh()
    world.store.takes, world.store.kept = False, head(LEDGER + 500)
    world.chain.grow(1)
    await world.follower.refresh()
    world.turnings.error = DisagreementError("not sure")
    world.chain.grow(1)
    assert (await world.follower.refresh()).ledger.sequence == LEDGER + 2
    assert world.turnings.back == [(LEDGER + 2, LEDGER + 500)]
    # But not back from what it has seen itself.
    world.chain.grow(-5)
    with pytest.raises(DisagreementError):
        await world.follower.refresh()


async def test_the_store_is_asked_for_a_head_at_the_start_and_when_it_took_none() -> None:
    world = World()
    await world.follower.refresh()
    world.chain.grow(1)
    await world.follower.refresh()
    assert world.store.asked == 1
    assert [item.ledger for item in world.store.saved] == [LEDGER, LEDGER + 1]
    world.store.takes = False
    world.chain.grow(1)
    await world.follower.refresh()
    assert world.store.asked == 2


async def test_limits_and_blocks_are_read_again_after_a_head_was_turned_back() -> None:
    world = World()
    world.store.newest = 7
    world.chain.grow(1000)
    await world.follower.refresh()
    reads, writes = world.chain.limit_reads, len(world.store.writes)
    world.chain.grow(-1000)
    await world.follower.refresh()
    assert world.chain.limit_reads == reads + 1
    assert len(world.store.writes) == writes + 1


# Blocks


async def test_a_block_is_written_when_it_changes_and_keeps_its_first_ledger() -> None:
    world = World()
    world.store.opened = {7: 77}
    seen = await world.follower.refresh()
    assert seen.block is not None
    assert seen.block.opened_ledger == 77
    world.chain.grow(1)
    again = await world.follower.refresh()
    assert again.block == seen.block
    assert world.store.writes == [(7, 90)]
    world.chain.grow(1)
    world.chain.show(replace(world.chain.one, block=block(7, staked_total=9, modified=101)))
    later = await world.follower.refresh()
    assert later.block is not None
    assert (later.block.staked_total, later.block.opened_ledger) == (9, 77)
    assert world.store.writes == [(7, 90), (7, 101)]


async def test_a_farm_without_an_open_block_has_none_to_keep() -> None:
    world = World()
    world.chain.show(replace(world.chain.one, block=None))
    seen = await world.follower.refresh()
    assert (seen.block, seen.head.current_block, seen.head.plantable_block) == (None, 7, 8)
    assert world.store.writes == []
    fresh = World(index=0)
    fresh.chain.show(replace(fresh.chain.one, block=None, timestamp=NOW))
    first = await fresh.follower.refresh()
    assert (first.head.current_block, first.head.plantable_block) == (None, 0)
    opened = await World(index=0).follower.refresh()
    assert opened.head.current_block == 0


@pytest.mark.parametrize(
    ("index", "newest", "blocks"),
    [
        # The first start keeps nothing of before; a later one all since the last that was kept.
        (7, None, []),
        (7, 7, []),
        (7, 5, [5, 6]),
        (400, 0, list(range(100, 400))),
        (300, 0, list(range(300))),
    ],
)
async def test_blocks_that_closed_unseen_are_kept_as_far_back_as_a_day(
    index: int, newest: int | None, blocks: list[int]
) -> None:
    world = World(index)
    world.store.newest = newest
    world.chain.closed = {number: block(number) for number in blocks[1:]}
    await world.follower.refresh()
    assert world.chain.blocks_read == blocks
    # One that has expired is not there any more.
    assert sorted(world.store.blocks) == [*blocks[1:], index]


async def test_closed_blocks_are_looked_for_once_for_each_block() -> None:
    world = World()
    world.store.newest = 6
    await world.follower.refresh()
    world.chain.grow(1)
    await world.follower.refresh()
    assert world.chain.blocks_read == [6]


def test_a_second_node_is_given_five_seconds() -> None:
    assert module._SECOND_WORD == 5.0

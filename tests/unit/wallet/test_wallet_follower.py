"""When a block is said to close: by the farm's timestamp, which may be older than the block."""

from dataclasses import replace
from typing import Any, cast

import pytest

from libs.common.clock import SystemClock
from services.wallet.domain.chain_facts import BlockState, FarmState, LedgerHead
from services.wallet.domain.model import Block, ChainHead
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.follower import Follower
from services.wallet.engine.wakeup import Wakeup

NOW, SECONDS = 1_000_000, 300


def block_state(index: int, *, opened: int) -> BlockState:
    """Return a block's record that was opened at a moment."""
    return BlockState(
        index=index,
        timestamp=opened,
        entropy=bytes(32),
        min_gap=0,
        max_gap=0,
        min_stake=0,
        max_stake=0,
        min_zeros=0,
        max_zeros=0,
        staked_total=0,
        normalized_total=0,
        live_until=10**6,
        modified=90,
    )


class FarmChain:
    """The chain as one node shows it: a ledger, a farm and the closed blocks."""

    def __init__(self, index: int, *, since: int, opened: int) -> None:
        self.ledger = LedgerHead(sequence=100, close_time=NOW, oldest=1)
        self.state = FarmState(
            index=index,
            timestamp=since,
            paused=False,
            token="",
            code_hash="",
            block=block_state(index, opened=opened),
        )
        self.closed: dict[int, BlockState] = {}

    def trusted(self, _decision: object) -> "FarmChain":
        """As the chain's."""
        return self

    async def verify(self) -> None:
        """Accept the network."""

    async def head(self) -> LedgerHead:
        """As the chain's."""
        return self.ledger

    async def farm(self) -> FarmState:
        """As the chain's."""
        return self.state

    async def block(self, index: int) -> BlockState | None:
        """As the chain's."""
        return self.closed.get(index)

    async def inclusion_fee(self) -> int:
        """As the chain's."""
        return 100

    async def limits(self) -> Any:
        """As the chain's."""
        return cast("Any", None)


class Kept:
    """Keeps blocks in memory, as they were saved last."""

    def __init__(self) -> None:
        self.blocks: dict[int, Block] = {}

    async def head(self) -> None:
        """No other process has kept a head."""

    async def save_head(self, _head: object) -> bool:
        """As the store's."""
        return True

    async def newest_index(self) -> int | None:
        """As the store's."""
        return max(self.blocks, default=None)

    async def save_block(self, block: Block, *, updated_ledger: int) -> int:
        """As the store's, for blocks that are seen for the first time."""
        assert updated_ledger
        self.blocks[block.index] = block
        return block.opened_ledger


class Turnings:
    """Nothing is turned back."""

    def forget(self) -> None:
        """As the real one's."""


def following(chain: FarmChain, kept: Kept, turnings: object = Turnings()) -> Follower:
    """Return a follower of a chain."""
    return Follower(
        cast("Any", chain),
        cast("Any", kept),
        ChainView(SystemClock(), Wakeup()),
        cast("Any", turnings),
        block_seconds=SECONDS,
    )


@pytest.mark.parametrize(
    ("index", "since"),
    [
        # Block 0: its time runs from the farm's deployment (KALE_CONTRACT section 6, constructor).
        (0, NOW - 250),
        # The admin has removed block 6 while it was open: block 7 goes on with its time.
        (7, NOW - 120),
        # Any other block: its time runs from its own opening.
        (7, NOW - 10),
    ],
)
async def test_the_running_block_closes_by_the_farms_timestamp(index: int, since: int) -> None:
    chain, kept = FarmChain(index, since=since, opened=NOW - 10), Kept()
    seen = await following(chain, kept).refresh()
    assert seen.block is not None
    assert seen.block.opened_at.timestamp() == NOW - 10
    assert seen.block.closes_at.timestamp() == since + SECONDS
    assert kept.blocks == {index: seen.block}


async def test_a_block_that_closed_unseen_closed_an_interval_after_its_opening() -> None:
    chain, kept = FarmChain(5, since=NOW - 900, opened=NOW - 900), Kept()
    follower = following(chain, kept)
    await follower.refresh()
    chain.closed = {6: block_state(6, opened=NOW - 500)}
    chain.ledger = replace(chain.ledger, sequence=200)
    running = block_state(7, opened=NOW - 10)
    chain.state = replace(chain.state, index=7, timestamp=NOW - 10, block=running)
    await follower.refresh()
    closes = {index: block.closes_at.timestamp() for index, block in kept.blocks.items()}
    assert closes == {5: NOW - 600, 6: NOW - 200, 7: NOW + 290}


class Turned(Turnings):
    """Notes the heads that are to be turned back to, and the kept head at that time."""

    def __init__(self) -> None:
        self.back: list[tuple[int, int]] = []

    async def back_to(self, head: ChainHead, kept: ChainHead) -> None:
        """As the real one's."""
        self.back.append((head.ledger, kept.ledger))


@pytest.mark.parametrize(
    ("ledger", "shown", "back"),
    [
        (101, 101, []),
        # Nodes may be two ledgers apart: what was seen stays.
        (100, 100, []),
        (98, 100, []),
        (97, 97, [(97, 100)]),
    ],
)
async def test_a_head_is_turned_back_only_from_three_ledgers_on(
    ledger: int, shown: int, back: list[tuple[int, int]]
) -> None:
    chain, turned = FarmChain(5, since=NOW - 10, opened=NOW - 10), Turned()
    follower = following(chain, Kept(), turned)
    await follower.refresh()
    chain.ledger = replace(chain.ledger, sequence=ledger)
    seen = await follower.refresh()
    assert (seen.ledger.sequence, turned.back) == (shown, back)

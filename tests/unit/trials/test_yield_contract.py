"""The fast model of a block gives the same figures as the farm's state machine, call by call."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.kale import farm
from libs.kale.address import raw_key
from libs.kale.errors import FarmError
from libs.kale.farm import FarmState, Moment
from libs.kale.hash import leading_zeros, work_hash
from libs.kale.reward import BlockStats
from trials.yields.contract import Part, Work, close_block

FARMERS = (
    "GDBZZHQDKZTZXXAVEZ4X4P5A43MYRM764RPFBG45RJVK6M57BDDNE7HN",
    "CD732YC442NOHRL7W26HMRXOFSYVZMI6ZOXQ73XGWBTOSHWTID2GT2NB",
    "GAOOUR2FCVGFVWHP76J4QZAALVERBFPKYXCF64LVKONX53BK7PDLR64P",
    "CALG54XEFJ3L2BJMAEWQMLDHEUPMG3LO4KUHIDB66VJ2HKKB45AS5BW5",
)
START = Moment(ledger=1000, time=100_000)


@dataclass(frozen=True, kw_only=True)
class Farmed:
    """What one farmer does in one block."""

    #: Stroops.
    stake: int
    #: Ledgers after the block's first one in which it plants.
    planted: int
    #: Ledgers after its plant, and nonces, of its works; one that the contract refuses is no work.
    works: tuple[tuple[int, int], ...]


farmed = st.builds(
    Farmed,
    stake=st.sampled_from([0, 1, 10**9, 10**10, 3 * 10**10]),
    planted=st.integers(0, 5),
    works=st.lists(
        st.tuples(st.integers(1, 54), st.integers(0, 2**32)), max_size=3
    ).map(lambda works: tuple(sorted(works))),
)  # fmt: skip
blocks = st.lists(
    st.lists(farmed, min_size=len(FARMERS), max_size=len(FARMERS)), min_size=1, max_size=4
)


@given(blocks)
@settings(max_examples=150, deadline=None)
def test_every_figure_of_every_block_is_the_farms(history: list[list[Farmed]]) -> None:
    state, at = farm.founded(START), START
    bounds: BlockStats | None = None
    for number, doings in enumerate(history):
        at = Moment(ledger=at.ledger + 61, time=at.time + 305)
        state, parts = _farm(state, doings, at)
        index = number + 1
        # The opener is a stranger who stakes and never works.
        parts.append(Part(farmers=1, stake=7))
        opened = state.blocks[index].stats
        assert state.index == index
        if bounds is not None:
            assert _bounds(opened) == _bounds(bounds)
        closed = close_block(_bounds(opened), parts, index=index)
        assert closed.stats == opened
        bounds = closed.following
        _assert_paid(state, closed.rewards, parts, index, at)


def _farm(state: FarmState, doings: Sequence[Farmed], at: Moment) -> tuple[FarmState, list[Part]]:
    """Open a block and do all of it in the order of ledgers, as on the chain."""
    state = farm.plant(state, farmer=_opener(state), amount=7, at=at)
    calls = [
        *((doing.planted, 0, number, None) for number, doing in enumerate(doings)),
        *(
            (doing.planted + gap, 1, number, nonce)
            for number, doing in enumerate(doings)
            for gap, nonce in doing.works
        ),
    ]
    works: list[list[Work]] = [[] for _ in doings]
    for ledgers, _, number, nonce in sorted(calls, key=lambda call: call[:3]):
        now = Moment(ledger=at.ledger + ledgers, time=at.time + 5 * ledgers)
        if nonce is None:
            amount = doings[number].stake
            state = farm.plant(state, farmer=FARMERS[number], amount=amount, at=now)
            continue
        try:
            state, work = _work(state, FARMERS[number], nonce, now)
        except FarmError:
            continue
        works[number].append(work)
    return state, [
        Part(farmers=1, stake=doing.stake, works=tuple(works[number]))
        for number, doing in enumerate(doings)
    ]


def _opener(state: FarmState) -> str:
    """A contract's address that no farmer has."""
    del state
    return "CCQLTKBVXU4IG2K3ZYRTC4IM5KT66U6MHKRVW77LLUKNYDZXVTIKA66A"


def _work(state: FarmState, farmer: str, nonce: int, at: Moment) -> tuple[FarmState, Work]:
    index = state.index or 0
    digest = work_hash(
        index=index, nonce=nonce, entropy=state.blocks[index].entropy, farmer_key=raw_key(farmer)
    )
    state, gap = farm.work(state, farmer=farmer, digest=digest, nonce=nonce, at=at)
    return state, Work(gap=gap, zeros=leading_zeros(digest))


def _bounds(stats: BlockStats) -> BlockStats:
    return BlockStats(
        min_gap=stats.min_gap,
        max_gap=stats.max_gap,
        min_stake=stats.min_stake,
        max_stake=stats.max_stake,
        min_zeros=stats.min_zeros,
        max_zeros=stats.max_zeros,
        staked_total=0,
        normalized_total=0,
    )


def _assert_paid(
    state: FarmState, rewards: Sequence[int], parts: Sequence[Part], index: int, at: Moment
) -> None:
    """Harvest every worked pail of the block, in a farm where the next one is open."""
    later = Moment(ledger=at.ledger + 61, time=at.time + 305)
    state = farm.plant(state, farmer=_opener(state), amount=0, at=later)
    for farmer, reward, part in zip(FARMERS, rewards, parts, strict=False):
        if part.works:
            _, harvested = farm.harvest(state, farmer=farmer, index=index, at=later)
            assert harvested.reward == reward
            assert harvested.minted == reward + part.stake


@given(blocks, st.integers(2, 50))
@settings(max_examples=50, deadline=None)
def test_farmers_who_did_the_same_are_as_many_parts_of_one(
    history: list[list[Farmed]], times: int
) -> None:
    bounds = BlockStats(
        min_gap=1, max_gap=58, min_stake=0, max_stake=10**10, min_zeros=0, max_zeros=3,
        staked_total=0, normalized_total=0,
    )  # fmt: skip
    parts = [
        Part(farmers=times, stake=doing.stake, works=tuple(_rising(doing))) for doing in history[0]
    ]
    together = close_block(bounds, parts, index=1)
    single = [Part(farmers=1, stake=one.stake, works=one.works) for one in parts]
    apart = close_block(bounds, single * times, index=1)
    assert together.stats == apart.stats
    assert together.following == apart.following
    assert together.rewards == apart.rewards[: len(parts)]


def _rising(doing: Farmed) -> list[Work]:
    return [Work(gap=gap, zeros=number) for number, (gap, _) in enumerate(doing.works)]

"""What holds for the farm whatever is called, in whatever order, at whatever time."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from libs.kale import farm
from libs.kale.address import raw_key
from libs.kale.errors import FarmError
from libs.kale.farm import FarmState, Moment
from libs.kale.hash import work_hash
from libs.kale.reward import block_reward, weights

FARMERS = (
    "GDBZZHQDKZTZXXAVEZ4X4P5A43MYRM764RPFBG45RJVK6M57BDDNE7HN",
    "CD732YC442NOHRL7W26HMRXOFSYVZMI6ZOXQ73XGWBTOSHWTID2GT2NB",
    "GAOOUR2FCVGFVWHP76J4QZAALVERBFPKYXCF64LVKONX53BK7PDLR64P",
)
START = Moment(ledger=1000, time=100_000)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call, some ledgers after the one before."""

    #: plant, work or harvest.
    name: str
    #: Who it is for.
    farmer: str
    #: Ledgers of five seconds since the call before.
    ledgers: int
    #: Stroops of a plant, nonce of a work, blocks back of a harvest.
    number: int


calls = st.lists(
    st.builds(
        Call,
        name=st.sampled_from(["plant", "work", "harvest"]),
        farmer=st.sampled_from(FARMERS),
        ledgers=st.sampled_from([0, 1, 7, 30, 61, 17_300]),
        number=st.integers(-1, 200),
    ),
    max_size=40,
)


def later(at: Moment, ledgers: int) -> Moment:
    """Some ledgers on."""
    return Moment(ledger=at.ledger + ledgers, time=at.time + 5 * ledgers)


def apply(state: FarmState, call: Call, at: Moment) -> FarmState:
    """The state after one call; raises FarmError when it is refused."""
    if call.name == "plant":
        return farm.plant(state, farmer=call.farmer, amount=call.number, at=at)
    index = state.index or 0
    if call.name == "harvest":
        asked = max(0, index - max(0, call.number) % 3)
        return farm.harvest(state, farmer=call.farmer, index=asked, at=at)[0]
    return work(state, call.farmer, abs(call.number), at)


def work(state: FarmState, farmer: str, nonce: int, at: Moment) -> FarmState:
    """A work with its true hash."""
    index = state.index or 0
    entropy = state.blocks[index].entropy if index in state.blocks else bytes(32)
    digest = work_hash(index=index, nonce=nonce, entropy=entropy, farmer_key=raw_key(farmer))
    return farm.work(state, farmer=farmer, digest=digest, nonce=nonce, at=at)[0]


@given(calls)
def test_invariants_of_every_history(history: list[Call]) -> None:
    state, at = farm.founded(START), START
    for call in history:
        at = later(at, call.ledgers)
        before = state
        try:
            state = apply(state, call, at)
        except FarmError:
            continue
        assert (state.index or 0) - (before.index or 0) in {0, 1}
        assert_stakes_add_up(state)
        assert_marks_only_rise(before, state)


def assert_stakes_add_up(state: FarmState) -> None:
    """A block's staked_total is what its unworked pails hold."""
    for index, block in state.blocks.items():
        unworked = sum(
            pail.stake for (_, of), pail in state.pails.items() if of == index and pail.gap is None
        )
        assert block.stats.staked_total == unworked


def assert_marks_only_rise(before: FarmState, after: FarmState) -> None:
    """No call makes a pail poorer; totals never fall below what one share is worth."""
    for key, pail in after.pails.items():
        old = before.pails.get(key)
        if old is not None and old.zeros is not None:
            assert pail.zeros is not None
            assert pail.zeros >= old.zeros
            assert (pail.gap or 0) >= (old.gap or 0)
    for block in after.blocks.values():
        assert block.stats.normalized_total >= 0


@given(
    st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
    st.lists(st.integers(1, 59), min_size=3, max_size=3),
    st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3),
    st.integers(1, 10**12),
)
def test_who_works_once_shares_the_pot_and_no_more(
    stakes: list[int], gaps: list[int], nonces: list[int], deserted: int
) -> None:
    """With one work each, all rewards together are the pot but for the rounding of each share."""
    opener = "CALG54XEFJ3L2BJMAEWQMLDHEUPMG3LO4KUHIDB66VJ2HKKB45AS5BW5"
    at = later(START, 60)
    state = farm.plant(farm.founded(START), farmer=opener, amount=deserted, at=at)
    for farmer, stake in zip(FARMERS, stakes, strict=True):
        state = farm.plant(state, farmer=farmer, amount=stake, at=at)
    for farmer, gap, nonce in zip(FARMERS, gaps, nonces, strict=True):
        state = work(state, farmer, nonce, later(at, gap))
    closed = later(at, 60)
    state = farm.plant(state, farmer=opener, amount=0, at=closed)

    paid = []
    for farmer in FARMERS:
        state, harvested = farm.harvest(state, farmer=farmer, index=1, at=closed)
        paid.append(harvested)
    pot = block_reward(1) + deserted
    assert pot - len(FARMERS) < sum(one.reward for one in paid) <= pot
    assert [one.minted - one.reward for one in paid] == stakes


@given(st.integers(0, 60), st.integers(0, 10**12), st.integers(0, 64))
def test_more_of_anything_never_weighs_less(gap: int, stake: int, zeros: int) -> None:
    block = replace(
        farm.FRESH_STATS,
        min_gap=3, max_gap=50, min_stake=10**3, max_stake=10**11, min_zeros=2, max_zeros=9,
    )  # fmt: skip
    here = weights(block, gap=gap, stake=stake, zeros=zeros)
    more = weights(block, gap=gap + 1, stake=stake + 10**9, zeros=zeros + 1)
    assert more.gap >= here.gap
    assert more.stake >= here.stake
    assert more.zeros >= here.zeros


def test_one_silence_opens_one_block_only() -> None:
    state = farm.plant(farm.founded(START), farmer=FARMERS[0], amount=0, at=START)
    after_a_week = later(START, 120_960)
    state = farm.plant(state, farmer=FARMERS[0], amount=0, at=after_a_week)
    assert state.index == 1

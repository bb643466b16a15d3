"""The model beside a chain that the farm's own state machine has kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from client import PoolerId
from devstack.chain_view import ChainPlant, ChainView, ChainWork
from libs.kale import farm
from libs.kale.address import raw_key
from libs.kale.constants import STROOPS_PER_KALE
from libs.kale.farm import Moment
from libs.kale.hash import leading_zeros, work_hash
from libs.kale.reward import BlockStats
from pooler.run import RunSummary
from trials.machine import Origin
from trials.report import as_json, as_markdown
from trials.yields.localnet import LocalnetPlan, LocalnetResult, Pair, compare
from trials.yields.tables import report_of_localnet

KALE = STROOPS_PER_KALE
FARMERS = (
    "GDBZZHQDKZTZXXAVEZ4X4P5A43MYRM764RPFBG45RJVK6M57BDDNE7HN",
    "GAOOUR2FCVGFVWHP76J4QZAALVERBFPKYXCF64LVKONX53BK7PDLR64P",
)
FUNDED = dict(zip(FARMERS, (100 * KALE, 200 * KALE), strict=True))
#: Half of what each has; half of the rest, as the first stakes are locked; and as much as the
#: largest stake that counts, of what the first block has paid.
STAKES = ((50, 100), (25, 50), (100, 100))
FIRST = 1
NOTHING = BlockStats(
    min_gap=0,
    max_gap=0,
    min_stake=0,
    max_stake=0,
    min_zeros=0,
    max_zeros=0,
    staked_total=0,
    normalized_total=0,
)


def farmed(stakes: Sequence[tuple[int, int]]) -> ChainView:
    """Three blocks; both farmers plant with their stakes, work with gaps of 5 and 9, and harvest
    once the next block is open."""
    view = ChainView()
    at = Moment(ledger=1000, time=100_000)
    state = farm.founded(at)
    for number, amounts in enumerate((*stakes, (0, 0))):
        index = FIRST + number
        at = Moment(ledger=at.ledger + 61, time=at.time + 305)
        for name, amount in zip(FARMERS, amounts, strict=True):
            state = farm.plant(state, farmer=name, amount=amount * KALE, at=at)
            view.plants[name, index] = ChainPlant(ledger=at.ledger, stake=amount * KALE)
        for gap, name in zip((5, 9), FARMERS, strict=True):
            later = Moment(ledger=at.ledger + gap, time=at.time + 5 * gap)
            digest = work_hash(
                index=index,
                nonce=gap,
                entropy=state.blocks[index].entropy,
                farmer_key=raw_key(name),
            )
            state, _ = farm.work(state, farmer=name, digest=digest, nonce=gap, at=later)
            view.works[name, index] = ChainWork(gap=gap, zeros=leading_zeros(digest))
            if number:
                state, paid = farm.harvest(state, farmer=name, index=index - 1, at=later)
                view.harvests[name, index - 1] = paid.reward
    return view


def result_of(view: ChainView) -> LocalnetResult:
    """The comparison of a run over three blocks."""
    blocks = (FIRST, FIRST + 1, FIRST + 2)
    plan = LocalnetPlan(farmers=2, blocks=3, block_seconds=30, ledger_seconds=1.0, command="test")
    run = RunSummary(
        pooler_id=PoolerId(UUID(int=7)),
        blocks=blocks,
        planted=7,
        worked=7,
        harvested=6,
        rewards=1,
        hashes=1,
        still_pending=0,
    )
    origin = Origin(
        date="2026-11-30",
        commit="0123456789",
        cpu="",
        cores=2,
        memory_gib=1.0,
        system="",
        python="3.11",
        postgres="",
    )
    pairs = list(compare(view, FUNDED, blocks, NOTHING))
    return LocalnetResult(origin=origin, plan=plan, run=run, pairs=pairs)


def test_the_model_pays_and_stakes_what_the_farm_and_the_pooler_do() -> None:
    result = result_of(farmed(STAKES))
    assert [one.model_paid for one in result.pairs] == [one.paid for one in result.pairs]
    assert [one.model_stake for one in result.pairs] == [one.stake for one in result.pairs]
    assert len({one.paid for one in result.pairs}) > 2
    assert result.is_within


@pytest.mark.parametrize(
    "wrong",
    [
        lambda pair: replace(pair, paid=pair.paid * 98 // 100),
        lambda pair: replace(pair, stake=pair.stake * 98 // 100),
    ],
    ids=["paid", "stake"],
)
def test_one_figure_that_differs_by_more_than_a_hundredth_is_not_within(
    wrong: Callable[[Pair], Pair],
) -> None:
    result = result_of(farmed(STAKES))
    pairs = [*result.pairs[:3], wrong(result.pairs[3]), *result.pairs[4:]]
    worse = replace(result, pairs=pairs)
    assert not worse.is_within
    assert "NOT met" in as_markdown(report_of_localnet(worse))
    assert report_of_localnet(result).passed


def test_a_run_that_lost_works_or_blocks_shows_nothing() -> None:
    result = result_of(farmed(STAKES))
    assert not replace(result, run=replace(result.run, worked=6)).is_within
    assert not replace(result, pairs=result.pairs[:4]).is_within


def test_the_report_has_a_form_for_programs() -> None:
    assert '"pooler_id": "00000000-0000-0000-0000-000000000007"' in as_json(
        report_of_localnet(result_of(farmed(STAKES)))
    )

"""Our pool in a simulated world: what lands where, what is lost, and what it comes to."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.kale.constants import STROOPS_PER_KALE
from libs.kale.reward import block_reward
from pooler.strategies import harvests, stake, timing, works
from trials.yields.hindsight import best_within, clairvoyant, fixed_plans
from trials.yields.plans import Fees, Outcome, Plan
from trials.yields.pool import farm_all, fill
from trials.yields.run import stubborn
from trials.yields.world import Scene, World, scene_of, scenes, strangers, true_chances

KALE = STROOPS_PER_KALE
WORLD = World(
    name="test",
    seed=1,
    blocks=60,
    warm_up=10,
    farmers=25,
    hash_rate=12e6,
    crowds=strangers(homesteads=60, kale_farmers=40, strays=1),
    balances=(1_000 * KALE, 3_000 * KALE),
)
SAVING = Fees(harvest_saved=4_000)


def scene(takes: Sequence[bool]) -> Scene:
    """A block with a ledger every 6 s; the last one opens the next block."""
    return Scene(
        index=1,
        closes=tuple(6 * number for number in range(len(takes))),
        takes=tuple(takes),
        strangers=(),
    )


def farm(plan: Plan, world: World = WORLD, fees: Fees = SAVING) -> Outcome:
    return farm_all(world, plan, fees)


# Ledgers ----------------------------------------------------------------------------------------


def test_transactions_land_in_the_next_ledgers_that_take_them() -> None:
    block = scene([True, True, False, True, True, True])
    assert fill(block, {-1: 3}, 1) == [0, 1, 3]
    assert fill(block, {1: 2}, 5) == [3, 3]


def test_what_is_sent_later_waits_behind_what_was_sent_before() -> None:
    block = scene([True, True, False, True, True, True, True])
    assert fill(block, {1: 2, 2: 3}, 3) == [3, 3, 3, 4, 4]


def test_the_ledger_that_opens_the_next_block_is_too_late() -> None:
    block = scene([True, True, True])
    assert fill(block, {0: 3}, 2) == [1, 1]
    assert fill(block, {1: 3}, 2) == []
    assert fill(block, {}, 2) == []


def test_scenes_are_the_same_at_every_run_and_no_two_alike() -> None:
    assert scene_of(WORLD, 3) == scene_of(WORLD, 3)
    assert len({block.closes for block in scenes(WORLD)}) > 50


def test_a_scene_ends_with_the_first_ledger_after_the_opening() -> None:
    in_time = replace(WORLD, late_seconds=0.0)
    for number in range(50):
        closes = scene_of(in_time, number).closes
        assert closes[-2] < 300 <= closes[-1]
    late = [scene_of(WORLD, number).closes[-1] for number in range(500)]
    assert sum(late) / len(late) == pytest.approx(300 + 7.5 + 2.5, abs=1.5)


def test_true_chances_are_those_of_the_scenes() -> None:
    """One ledger in a hundred takes nothing, and openings are late by an exponential tail."""
    world = replace(WORLD, blocks=1_500)
    truth = true_chances(world)
    blocks = [scene_of(world, number) for number in range(world.blocks)]
    takes = [taken for block in blocks for taken in block.takes]
    assert takes.count(False) / len(takes) == pytest.approx(truth.pace.loss, abs=0.002)
    at_6 = [block.closes[-1] > 306 for block in blocks if 306 in block.closes]
    assert at_6.count(True) / len(at_6) == pytest.approx(truth.still_open[6], abs=0.1)


# What plans come to -----------------------------------------------------------------------------


def test_the_default_earns_more_than_what_others_do() -> None:
    default = farm(Plan(name="default"))
    for other in (
        Plan(name="240", send=timing.share),
        Plan(name="no stake", stake=stake.none),
        Plan(name="homestead", stake=stake.none, send=timing.share, enough=6),
    ):
        assert farm(other).kale_each < default.kale_each


def test_nothing_is_earned_that_the_blocks_do_not_pay() -> None:
    outcome = farm(Plan(name="default"))
    pots = sum(block_reward(block.index) for block in scenes(WORLD)[WORLD.warm_up :])
    assert 0 < outcome.rewards < pots
    assert outcome.farmer_blocks == 25 * 50
    assert outcome.planted == 25 * 60


def test_fees_are_those_of_each_plant_work_and_harvest() -> None:
    outcome = farm(Plan(name="default"), fees=Fees())
    fees = Fees()
    each = fees.plant_staked + fees.work + fees.harvest
    assert outcome.lost == 0
    assert outcome.fees == 25 * 50 * each
    twice = farm(Plan(name="second", early=works.second_work), fees=fees)
    assert twice.fees == outcome.fees + 25 * 50 * fees.work


def test_works_that_are_sent_too_late_lose_their_stakes() -> None:
    outcome = farm(Plan(name="gamble", send=timing.share, share=0.99))
    assert outcome.lost > 0
    assert outcome.stakes_lost > 0
    assert outcome.kale_each < 0


def test_what_was_to_be_expected_to_be_lost_is_what_is_lost_in_the_long_run() -> None:
    """Within five standard errors, all works of a block being lost or none."""
    world = replace(WORLD, blocks=600, warm_up=0)
    outcome = farm(Plan(name="16 s", send=timing.share, share=0.955), world)
    error = 5 * (25 * outcome.expected_lost) ** 0.5
    assert abs(outcome.lost - outcome.expected_lost) < error
    assert outcome.lost > 0


def test_whoever_knows_every_block_loses_nothing_and_earns_the_most() -> None:
    knowing = farm(clairvoyant(WORLD))
    others = [farm(plan) for plan in (Plan(name="default"), *fixed_plans(WORLD)[:4])]
    assert knowing.lost == 0
    assert max(other.kale_each for other in others) < knowing.kale_each


def test_the_best_within_a_bound_is_none_that_loses_more() -> None:
    outcomes = [farm(plan) for plan in fixed_plans(WORLD)]
    best = best_within(outcomes, bound=1e-5)
    assert best.lost_share <= 1e-5
    assert all(one.kale_each <= best.kale_each for one in outcomes if one.lost_share <= 1e-5)
    with pytest.raises(ValueError, match="no schedule loses"):
        best_within(outcomes[:1], bound=1e-9)


# Harvests ---------------------------------------------------------------------------------------


def test_rich_farmers_save_fees_by_groups_and_lose_nothing() -> None:
    rich = replace(WORLD, balances=(40_000 * KALE,))
    each = farm(Plan(name="each"), rich)
    grouped = farm(Plan(name="grouped", harvests=harvests.grouped, group=10), rich)
    assert grouped.kale_each == each.kale_each
    assert grouped.harvests * 10 == grouped.harvested
    assert each.fees - grouped.fees == 25 * 4_000 * 9 * grouped.harvests
    assert grouped.idle > 0
    assert each.idle == 0


def test_farmers_who_need_their_stakes_are_harvested_at_once() -> None:
    poor = replace(WORLD, balances=(100 * KALE,))
    each = farm(Plan(name="each"), poor)
    grouped = farm(Plan(name="grouped", harvests=harvests.grouped, group=10), poor)
    waiting = farm(Plan(name="stubborn", harvests=stubborn, group=10), poor)
    assert grouped.kale_each == each.kale_each
    assert waiting.kale_each < each.kale_each


@given(
    balance=st.integers(0, 10_000).map(lambda kale: kale * KALE),
    group=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=15, deadline=None)
def test_no_plant_of_a_grouped_farmer_lacks_its_stake(balance: int, group: int, seed: int) -> None:
    world = replace(WORLD, blocks=25, warm_up=0, seed=seed, balances=(balance,))
    send = Plan(name="each", send=timing.share)
    each = farm(send, world)
    grouped = farm(replace(send, harvests=harvests.grouped, group=group), world)
    assert grouped.stakes == each.stakes

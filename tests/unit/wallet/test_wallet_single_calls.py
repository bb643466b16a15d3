"""Calls that go alone: from a group of operations to drafts, and what becomes of the others."""

from typing import Any, cast

import pytest

from libs.common.errors import UnavailableError
from libs.kale.reward import block_reward
from services.wallet.chain import SimulationError, UnderivableError
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import AccountState, ContractError, PailState
from services.wallet.domain.model import (
    FailureReason,
    OperationEvent,
    OperationKind,
    QueuedOperation,
)
from services.wallet.domain.packing import WHOLE_LEDGER
from tests.support.call_world import CallWorld, drafted, harvests
from tests.support.signing import (
    BLOCK,
    LEDGER,
    LIMITS,
    operation,
)

DENIED = SimulationError(ContractError(raiser="farm", code="WorkMissing"), "no")


async def test_each_goes_under_a_fee_bump_of_its_own() -> None:
    world = CallWorld()
    group = harvests(world, 3)
    made = await world.make(group)
    assert drafted(made) == [item.id for item in group]
    assert len({draft.envelope.source for draft in made.drafts}) == 3
    assert {draft.envelope.sequence for draft in made.drafts} == {5}
    assert all(draft.envelope.inner_hash is not None for draft in made.drafts)
    # A harvest's stake is known from the pail, which is gone afterwards.
    assert {draft.stakes_returned for draft in made.drafts} == {(11,)}
    assert world.templates.asked == [1]


async def test_what_a_ledger_has_no_room_for_waits_untouched() -> None:
    world = CallWorld()
    group = harvests(world, 5)
    # Before one was built, a call is thought to take a hundredth of a ledger.
    made = await world.make(group, left=WHOLE_LEDGER * 3 // 100)
    assert (len(made.drafts), made.unused) == (3, tuple(group[3:]))
    assert world.calls.smallest_share == 10_000
    # One that is larger than what is left is tried only when a whole ledger is free.
    assert (await world.make(group[3:], left=9_999)).unused == tuple(group[3:])


async def test_whoever_has_no_account_is_given_up() -> None:
    world = CallWorld()
    group = harvests(world, 3)
    world.sources.missing = {group[1].address}
    made = await world.make(group)
    assert drafted(made) == [group[0].id, group[2].id]
    (settled,) = made.settled
    assert (settled.operation_id, settled.reason) == (group[1].id, FailureReason.NOT_FUNDED)


async def test_what_the_pails_show_costs_nothing() -> None:
    world = CallWorld()
    planted, fresh = (operation(OperationKind.PLANT, block=7) for _ in range(2))
    world.chain.shown[planted.address, 7] = PailState(
        sequence=90, stake=5, gap=None, zeros=None, live_until=10**6
    )
    made = await world.make([planted, fresh])
    assert drafted(made) == [fresh.id]
    (settled,) = made.settled
    assert (settled.operation_id, settled.event) == (planted.id, OperationEvent.SUCCEED)


async def test_one_that_is_refused_leaves_and_the_next_one_shows_the_template() -> None:
    world = CallWorld()
    group = harvests(world, 4)
    world.templates.answers = [DENIED, DENIED]
    made = await world.make(group)
    assert world.refuser.refused == [group[0].id, group[1].id]
    assert drafted(made) == [group[2].id, group[3].id]


async def test_after_some_that_are_refused_the_rest_waits_for_the_next_ledger() -> None:
    world = CallWorld()
    group = harvests(world, 7)
    world.templates.answers = [DENIED] * 9
    made = await world.make(group)
    assert (made.drafts, len(world.refuser.refused)) == ((), 5)
    waiting = [item for item in made.settled if item.event is OperationEvent.RETRY]
    assert [item.due_ledger for item in waiting] == [LEDGER + 1] * 2


async def test_what_cannot_be_derived_is_simulated_for_itself() -> None:
    world = CallWorld()
    group = harvests(world, 3)
    world.templates.answers = [UnderivableError("a key of its own")]
    made = await world.make(group)
    assert {(item.event, item.pack_limit) for item in made.settled} == {(OperationEvent.RETRY, 1)}
    alone = [operation(pack_limit=1) for _ in range(2)]
    world.chain.plant(*alone)
    world.chain.exact[alone[1].address] = DENIED
    made = await world.make(alone)
    assert world.chain.simulated == [item.address for item in alone]
    assert drafted(made) == [alone[0].id]
    assert world.refuser.refused == [alone[1].id]


async def test_a_harvest_whose_pail_is_not_shown_waits_although_it_would_work() -> None:
    """Its stake is nowhere on the chain afterwards."""
    world = CallWorld()
    hidden, shown = (operation(pack_limit=1) for _ in range(2))
    world.chain.plant(shown)
    made = await world.make([hidden, shown])
    assert drafted(made) == [shown.id]
    assert [(item.operation_id, item.due_ledger) for item in made.settled] == [
        (hidden.id, LEDGER + 1)
    ]


async def test_while_rent_is_due_what_was_simulated_for_itself_waits() -> None:
    world = CallWorld()
    item = operation(pack_limit=1)
    world.chain.plant(item)
    world.templates.is_rent_due = [True]
    made = await world.make([item])
    assert made.drafts == ()
    assert [one.due_ledger for one in made.settled] == [LEDGER + 1]


async def test_a_plant_ahead_of_its_block_takes_what_is_known() -> None:
    world = CallWorld()
    plant = operation(OperationKind.PLANT, block=8)
    made = await world.make([plant])
    assert (made.drafts, world.templates.asked) == ((), [])
    assert [one.due_ledger for one in made.settled] == [LEDGER + 1]


async def test_above_the_cap_everything_is_given_up_once_with_its_price() -> None:
    world = CallWorld(limits=OperatorLimits(lifetime=30, max_fee=5100, parallel=1))
    group = harvests(world, 2)
    made = await world.make(group)
    assert {item.reason for item in made.settled} == {FailureReason.FEE_CAP}
    assert {item.asked for item in made.settled} == {5200}
    assert "cap" in world.alarms.message("harvests")
    assert len(made.settled) == 2


async def test_a_price_that_is_odd_is_asked_for_again() -> None:
    """No inclusion fee would keep the cap: perhaps it is not the call's own price."""
    world = CallWorld(limits=OperatorLimits(lifetime=30, max_fee=5000, parallel=1))
    world.templates.is_doubted = True
    made = await world.make(harvests(world, 2))
    assert {(item.event, item.due_ledger) for item in made.settled} == {
        (OperationEvent.RETRY, LEDGER + 1)
    }
    assert world.alarms.message("harvests") == ""


async def test_the_alarm_is_over_when_something_goes_again() -> None:
    world = CallWorld(limits=OperatorLimits(lifetime=30, max_fee=5100, parallel=1))
    await world.make(harvests(world, 1))
    world.calls._limits = LIMITS
    await world.make(harvests(world, 1))
    assert world.alarms.message("harvests") == ""


async def test_whose_time_is_over_waits_for_the_next_ledger() -> None:
    world = CallWorld(limits=OperatorLimits(lifetime=0, max_fee=10**6, parallel=1))
    made = await world.make(harvests(world, 2))
    assert made.drafts == ()
    assert [item.due_ledger for item in made.settled] == [LEDGER + 1] * 2


async def test_while_the_node_is_away_all_wait() -> None:
    world = CallWorld()
    world.chain.error = UnavailableError("away")
    made = await world.make([operation() for _ in range(3)])
    assert [(item.event, item.pause) for item in made.settled] == [(OperationEvent.RETRY, 1.0)] * 3


async def test_what_was_made_before_the_node_went_away_is_kept() -> None:
    world = CallWorld()
    alone, other = operation(pack_limit=1), operation()
    world.chain.plant(alone, other)
    world.templates.answers = [cast(Any, UnavailableError("away"))]
    made = await world.make([alone, other])
    assert drafted(made) == [alone.id]
    assert [(item.operation_id, item.pause) for item in made.settled] == [(other.id, 1.0)]


@pytest.mark.parametrize("count", [1, 2])
async def test_two_go_together_where_there_is_a_multicall(count: int) -> None:
    world = CallWorld(channels=4, packs=True)
    group = harvests(world, count)
    made = await world.make(group)
    assert [len(draft.operation_ids) for draft in made.drafts] == [count]
    # One alone is cheaper without the multicall.
    assert [draft.envelope.inner_hash is None for draft in made.drafts] == [count == 2]
    assert world.calls.smallest_share == 10_000 // count


async def test_channels_carry_what_needs_no_consent() -> None:
    world = CallWorld(channels=2, for_singles=True)
    made = await world.make(harvests(world, 2))
    assert [draft.envelope.sequence for draft in made.drafts] == [70, 71]
    assert all(draft.envelope.inner_hash is None for draft in made.drafts)


# Accounts that stand in the way ---------------------------------------------------------------


def shows(world: CallWorld, item: QueuedOperation, **fields: Any) -> None:
    """The chain shows a farmer's account, which has a line unless it is said otherwise."""
    values = {"exists": True, "has_trustline": True, **fields}
    world.chain.odd[item.address] = AccountState(address=item.address, **values)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"exists": False}, FailureReason.NOT_FUNDED),
        ({"obeys": False}, FailureReason.ACCOUNT_LOCKED),
        ({"has_trustline": False, "is_frozen": True}, FailureReason.LINE_FROZEN),
        ({"has_trustline": False}, FailureReason.NO_TRUSTLINE),
    ],
)
@pytest.mark.parametrize("packs", [False, True])
async def test_a_plant_that_the_account_forbids_ends_before_anything_is_signed(
    fields: dict[str, bool], reason: FailureReason, *, packs: bool
) -> None:
    world = CallWorld(channels=3, packs=packs)
    group = [operation(OperationKind.PLANT, block=7, amount=5) for _ in range(4)]
    shows(world, group[1], **fields)
    made = await world.make(group)
    assert drafted(made) == [item.id for item in group if item is not group[1]]
    assert [(item.operation_id, item.reason) for item in made.settled] == [(group[1].id, reason)]


async def test_a_plant_of_nothing_needs_no_line() -> None:
    world = CallWorld()
    item = operation(OperationKind.PLANT, block=7)
    shows(world, item, has_trustline=False)
    assert drafted(await world.make([item])) == [item.id]


async def test_a_harvest_that_the_line_cannot_take_ends_before_anything_is_signed() -> None:
    world = CallWorld()
    full, frozen, gone, sound = group = harvests(world, 4, stake=11)
    shows(world, full, kale_room=10)
    shows(world, frozen, has_trustline=False, is_frozen=True)
    shows(world, gone, has_trustline=False)
    made = await world.make(group)
    assert drafted(made) == [sound.id]
    assert {item.operation_id: item.reason for item in made.settled} == {
        full.id: FailureReason.LINE_FULL,
        frozen.id: FailureReason.LINE_FROZEN,
        gone.id: FailureReason.NO_TRUSTLINE,
    }


async def test_a_harvest_that_may_pay_more_than_the_line_takes_is_simulated_by_itself() -> None:
    world = CallWorld()
    near, far = group = harvests(world, 2, stake=11)
    most = block_reward(near.block_index)
    shows(world, near, kale_room=11 + most - 1)
    shows(world, far, kale_room=11 + most)
    full = SimulationError(ContractError(raiser="token", code="BalanceError"), "no")
    world.chain.exact[near.address] = full
    made = await world.make(group)
    assert (world.chain.simulated, drafted(made)) == ([near.address], [far.id])
    assert world.refuser.refused == [near.id]


async def test_an_account_counts_for_nothing_when_the_pail_shows_all_to_be_done() -> None:
    world = CallWorld()
    item = operation(OperationKind.PLANT, block=7)
    world.chain.shown[item.address, 7] = PailState(
        sequence=90, stake=5, gap=None, zeros=None, live_until=10**6
    )
    shows(world, item, obeys=False)
    (settled,) = (await world.make([item])).settled
    assert settled.event is OperationEvent.SUCCEED


@pytest.mark.parametrize("channels", [0, 1])
async def test_a_work_whose_farmers_account_does_not_obey_waits_for_a_channel(
    channels: int,
) -> None:
    world = CallWorld(channels=channels)
    item = operation(OperationKind.WORK, block=BLOCK)
    world.chain.shown[item.address, BLOCK] = PailState(
        sequence=90, stake=5, gap=None, zeros=None, live_until=10**6
    )
    world.sources.locked = {item.address}
    (settled,) = (await world.make([item])).settled
    if channels:
        assert (settled.event, settled.pause) == (OperationEvent.RETRY, 1.0)
    else:
        assert settled.reason is FailureReason.ACCOUNT_LOCKED

"""A dispatcher's round: what is taken up, what is sent, and what becomes of the rest."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.ids import OperationId
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.errors import WalletNotFoundError
from services.wallet.domain.model import (
    FailureReason,
    OperationEvent,
    OperationKind,
    QueuedOperation,
    Settlement,
)
from services.wallet.domain.packing import IN_FLIGHT, WHOLE_LEDGER
from services.wallet.domain.settling import later
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.forgeries import Forgeries
from services.wallet.engine.submit.dispatch import Dispatcher
from services.wallet.engine.submit.round import Round
from services.wallet.engine.wakeup import Wakeup, Wakeups
from services.wallet.store.operations import Wanted
from services.wallet.store.transactions import Committed, Draft, Queue
from tests.support.signing import (
    BLOCK,
    LEDGER,
    LIMITS,
    MAX_FEE,
    FakeQueue,
    FakeSender,
    chain_state,
    operation,
)

#: Millionths of a ledger that each envelope takes here.
SHARE = WHOLE_LEDGER // 100
#: Instance and code of a farm whose rent is not due for long.
ALIVE = 3_000_000


def draft(*operations: QueuedOperation, fee: int = 900) -> Draft:
    envelope = cast(SignedEnvelope, SimpleNamespace(fee_bid=fee))
    ids = tuple(item.id for item in operations)
    return Draft(envelope=envelope, operation_ids=ids, stakes_returned=(0,) * len(ids), share=SHARE)


class SingleCalls:
    """Makes a draft of each operation, unless told otherwise."""

    smallest_share = SHARE
    has_packs = False

    def __init__(self) -> None:
        #: By the first operation of a group: what the group comes to.
        self.answers: dict[OperationId, Round | Exception] = {}
        #: Groups with the room that was left for them, and whether they were cut.
        self.groups: list[tuple[tuple[OperationId, ...], int, bool]] = []

    async def make(
        self, group: Sequence[QueuedOperation], state: ChainState, left: int, *, goes_on: bool
    ) -> Round:
        """As SingleCalls."""
        self.groups.append((tuple(item.id for item in group), left, goes_on))
        answer = self.answers.get(group[0].id) or Round(drafts=tuple(map(draft, group)))
        if isinstance(answer, Exception):
            raise answer
        return answer


class Operations(FakeQueue):
    """The queue."""

    def __init__(self) -> None:
        super().__init__()
        self.is_urgent = False
        self.claims: list[tuple[Wanted, int]] = []
        #: Harvests of a farmer that were asked for each time, and since when none was recorded.
        self.harvests: list[tuple[int, float]] = []
        self.marks: list[str] = []

    async def claim(
        self, wanted: Wanted, *, limit: int, lease: float, harvests: int, gathered: float
    ) -> list[QueuedOperation]:
        """As the store's."""
        self.claims.append((wanted, limit))
        self.harvests.append((harvests, gathered))
        return self.waiting[:limit]

    async def has_urgent(self, wanted: Wanted) -> bool:
        """As the store's."""
        return self.is_urgent

    async def note_terms(self, mark: str) -> None:
        """As the store's."""
        self.marks.append(mark)


class Transactions:
    """Records all drafts, but for operations without a budget."""

    def __init__(self) -> None:
        self.in_flight = Queue(share=0, is_empty=False)
        self.unpaid: Collection[OperationId] = ()
        self.spared: Collection[OperationId] = ()
        self.ledgers: list[int] = []

    async def queue(self) -> Queue:
        """As the store's."""
        return self.in_flight

    async def commit_signed(self, drafts: Sequence[Draft], *, ledger: int) -> Committed:
        """As the store's."""
        self.ledgers.append(ledger)
        lost = {*self.unpaid, *self.spared}
        return Committed(
            recorded=[item for item in drafts if not lost & {*item.operation_ids}],
            unpaid=frozenset(self.unpaid),
            spared=frozenset(self.spared),
        )


class Sources:
    """Notes whether sources were given back or doubted."""

    def __init__(self) -> None:
        self.given_back, self.doubts = 0, 0

    async def give_back(self) -> None:
        """As Sources."""
        self.given_back += 1

    def beware(self) -> None:
        """As Sources."""
        self.doubts += 1


class Broken:
    """Notes which operations have keys that do not open."""

    def __init__(self) -> None:
        self.aside: list[OperationId] = []

    async def set_aside(self, operations: Sequence[QueuedOperation], error: Exception) -> None:
        """As BrokenKeys."""
        self.aside += [item.id for item in operations]


class World:
    """A dispatcher over stand-ins."""

    def __init__(self, state: ChainState | None = None) -> None:
        alive = chain_state()
        farm = replace(alive.farm, instance_until=ALIVE, code_until=ALIVE)
        self.view = SimpleNamespace(is_fresh=True, current=state or replace(alive, farm=farm))
        self.accounts = SimpleNamespace(can_pay=True)
        self.single_calls, self.sources, self.operations = SingleCalls(), Sources(), Operations()
        self.transactions, self.sender, self.broken = Transactions(), FakeSender(), Broken()
        self.wakeups = Wakeups(changes=Wakeup(), settled=Wakeup())
        self.alarms = Alarms()
        self.dispatcher = Dispatcher(
            cast(Any, self.single_calls),
            cast(Any, self.sources),
            operations=cast(Any, self.operations),
            transactions=cast(Any, self.transactions),
            accounts=cast(Any, self.accounts),
            chain_view=cast(Any, self.view),
            sender=cast(Any, self.sender),
            broken_keys=cast(Any, self.broken),
            forgeries=Forgeries(cast(Any, self.operations)),
            wakeups=self.wakeups,
            limits=LIMITS,
            alarms=self.alarms,
        )

    async def step(self, *waiting: QueuedOperation) -> bool:
        """Do one round with these operations in the queue; tell whether it did anything."""
        self.operations.waiting = list(waiting)
        original = self.wakeups.changes.wait
        first, waited = self.wakeups.changes.count, list[float]()

        async def at_once(seen: int, timeout: float) -> None:
            assert seen == first  # before the round: no news is lost
            waited.append(timeout)

        self.wakeups.changes.wait = at_once  # type: ignore[method-assign]
        try:
            await self.dispatcher.step()
        finally:
            self.wakeups.changes.wait = original  # type: ignore[method-assign]
        assert waited in ([], [2.0])
        return not waited

    @property
    def sent(self) -> list[OperationId]:
        """The operations in what was sent."""
        return [item for ids, _ in self.sender.sent for item in ids]

    def settlement(self, item: QueuedOperation) -> Settlement:
        """The settlement of an operation."""
        (found,) = [one for one in self.operations.settled if one.operation_id == item.id]
        return found


def with_rent_due(state: ChainState) -> ChainState:
    return replace(state, farm=replace(state.farm, instance_until=LEDGER, code_until=ALIVE))


async def test_what_is_ready_is_committed_and_sent_with_the_cap_of_its_operations() -> None:
    world, plant = World(), operation(OperationKind.PLANT, block=BLOCK, amount=5)
    harvests = [operation(), operation()]
    together = Round(drafts=(draft(*harvests),))
    world.single_calls.answers[harvests[0].id] = together
    assert await world.step(plant, *harvests)
    assert world.sender.sent == [
        ((plant.id,), MAX_FEE),
        ((harvests[0].id, harvests[1].id), 2 * MAX_FEE),
    ]
    assert world.transactions.ledgers == [LEDGER, LEDGER]
    assert world.operations.settled == []
    assert world.sources.given_back == 1
    # Nobody waits for anything that has ended.
    assert world.wakeups.settled.count == 0


async def test_groups_are_alike_and_share_the_room() -> None:
    world = World()
    staked = operation(OperationKind.PLANT, block=BLOCK, amount=5)
    bare = operation(OperationKind.PLANT, block=BLOCK)
    work = operation(OperationKind.WORK, block=BLOCK)
    older, newer = operation(block=BLOCK - 2), operation(block=BLOCK - 1)
    await world.step(staked, bare, work, older, newer)
    # Harvests of several blocks are alike.
    assert [ids for ids, _, _ in world.single_calls.groups] == [
        (staked.id,),
        (bare.id,),
        (work.id,),
        (older.id, newer.id),
    ]
    lefts = [left for _, left, _ in world.single_calls.groups]
    assert lefts == [IN_FLIGHT - number * SHARE for number in range(4)]
    # A stake of a single stroop is one.
    least = operation(OperationKind.PLANT, block=BLOCK, amount=1)
    await world.step(bare, least)
    assert [ids for ids, _, _ in world.single_calls.groups[4:]] == [(bare.id,), (least.id,)]


async def test_only_the_last_group_of_a_full_round_may_have_been_cut() -> None:
    world = World()
    world.single_calls.smallest_share = 1
    plants = [operation(OperationKind.PLANT, block=BLOCK, amount=5) for _ in range(249)]
    await world.step(*plants, operation())
    assert [goes_on for _, _, goes_on in world.single_calls.groups] == [False, True]
    await world.step(*plants)
    assert world.single_calls.groups[-1][2] is False


@pytest.mark.parametrize(("has_packs", "harvests"), [(True, (20, 0.5)), (False, (1, 0.0))])
async def test_a_farmers_harvests_are_taken_up_together_where_they_can_share_a_transaction(
    has_packs: bool, harvests: tuple[int, float]
) -> None:
    world = World()
    world.single_calls.has_packs = has_packs
    await world.step(operation())
    assert world.operations.harvests == [harvests]


@pytest.mark.parametrize(
    ("share", "limit"), [(0, IN_FLIGHT // SHARE), (IN_FLIGHT - SHARE, 1), (IN_FLIGHT, None)]
)
async def test_no_more_is_taken_up_than_there_is_room_for(share: int, limit: int | None) -> None:
    world = World()
    world.transactions.in_flight = Queue(share=share, is_empty=False)
    assert await world.step(operation()) is (limit is not None)
    assert [most for _, most in world.operations.claims] == ([] if limit is None else [limit])


async def test_a_round_takes_up_250_at_most() -> None:
    world = World()
    world.single_calls.smallest_share = 1
    await world.step()
    assert [most for _, most in world.operations.claims] == [250]


async def test_an_empty_queue_is_not_searched() -> None:
    world = World()
    world.transactions.in_flight = Queue(share=0, is_empty=True)
    assert not await world.step(operation())
    assert world.operations.claims == []


@pytest.mark.parametrize(("is_fresh", "can_pay"), [(False, True), (True, False)])
async def test_nothing_is_taken_up_while_chain_or_treasury_is_away(
    is_fresh: bool, can_pay: bool
) -> None:
    world = World()
    world.view.is_fresh, world.accounts.can_pay = is_fresh, can_pay
    assert not await world.step(operation())
    assert (world.operations.claims, world.operations.marks) == ([], [])


@pytest.mark.parametrize("is_urgent", [True, False])
async def test_harvests_wait_while_plants_and_works_are_under_way(is_urgent: bool) -> None:
    world = World()
    world.operations.is_urgent = is_urgent
    await world.step(operation())
    ((wanted, _),) = world.operations.claims
    assert wanted == world.view.current.wanted(only_urgent=is_urgent)
    assert (wanted.harvest_before < BLOCK) == is_urgent


async def test_terms_are_noted_when_they_change_and_only_then() -> None:
    world = World()
    await world.step()
    await world.step()
    assert len(world.operations.marks) == 1
    limits = replace(world.view.current.limits, ledger_bytes=1, mark="other")
    world.view.current = replace(world.view.current, limits=limits)
    await world.step()
    assert len(set(world.operations.marks)) == 2


async def test_a_plant_whose_block_is_over_ends_without_an_envelope() -> None:
    world, plant = World(), operation(OperationKind.PLANT, block=BLOCK - 1, amount=5)
    seen = world.wakeups.settled.count
    assert await world.step(plant)
    assert world.settlement(plant).event is OperationEvent.FAIL
    assert world.settlement(plant).reason is FailureReason.BLOCK_CLOSED
    assert world.single_calls.groups == []
    assert world.wakeups.settled.count > seen


async def test_what_there_is_no_room_for_goes_back() -> None:
    world, first, second = World(), operation(), operation()
    world.single_calls.answers[first.id] = Round(drafts=(draft(first),), unused=(second,))
    await world.step(first, second)
    assert (world.sent, world.operations.released) == ([first.id], [second.id])


async def test_what_was_settled_while_it_was_built_is_recorded() -> None:
    world, item = World(), operation()
    put_off = later(item, due_ledger=LEDGER + 1)
    world.single_calls.answers[item.id] = Round(settled=(put_off,))
    assert await world.step(item)
    assert world.operations.settled == [put_off]
    assert world.transactions.ledgers == []


async def test_keys_that_do_not_open_hold_up_only_their_group() -> None:
    world, broken, sound = World(), operation(OperationKind.WORK, block=BLOCK), operation()
    world.single_calls.answers[broken.id] = WalletNotFoundError("no key")
    assert await world.step(broken, sound)
    assert (world.broken.aside, world.sent) == ([broken.id], [sound.id])
    assert (world.sources.doubts, world.sources.given_back) == (1, 1)
    assert await world.step(broken)


async def test_a_round_that_found_nothing_to_do_waits() -> None:
    world, item = World(), operation()
    assert not await world.step()
    world.single_calls.answers[item.id] = Round(unused=(item,))
    assert not await world.step(item)


async def test_what_was_not_recorded_is_no_progress_and_what_was_is() -> None:
    """Also where a group that was sent comes before one that was not."""
    world, sent, lost = World(), operation(OperationKind.WORK, block=BLOCK), operation()
    world.transactions.spared = [lost.id]
    assert not await world.step(lost)
    assert await world.step(sent, lost)
    world.transactions.spared = [sent.id]
    assert await world.step(lost, sent)


# Budgets -------------------------------------------------------------------------------------


async def test_a_plant_without_a_budget_is_given_up_with_its_price(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world, plant = World(), operation(OperationKind.PLANT, block=BLOCK, amount=5)
    other = operation(OperationKind.PLANT, block=BLOCK, amount=5)
    world.single_calls.answers[plant.id] = Round(drafts=(draft(plant, other, fee=901),))
    world.transactions.unpaid, world.transactions.spared = [plant.id], [other.id]
    settled = world.wakeups.settled.count
    await world.step(plant, other)
    found = world.settlement(plant)
    assert [item.operation_id for item in world.operations.settled] == [plant.id]
    assert world.wakeups.settled.count > settled
    assert (found.event, found.reason) == (OperationEvent.FAIL, FailureReason.FEE_BUDGET)
    assert (found.asked, world.sent) == (451, [])
    # The one beside it may go without it.
    assert world.operations.released == [other.id]
    assert "fee budget" in world.alarms.message("fees of plants")
    told = "".join(capfd.readouterr())
    assert "cause=FEE_DAILY_STROOPS " in told
    assert "operations=1" in told


async def test_a_harvest_without_a_budget_waits() -> None:
    world, harvest = World(), operation()
    world.transactions.unpaid = [harvest.id]
    await world.step(harvest)
    found = world.settlement(harvest)
    assert (found.event, found.pause) == (OperationEvent.RETRY, 30.0)
    world.transactions.unpaid = []
    await world.step(harvest)
    assert world.sent == [harvest.id]
    assert world.alarms.message("fees of harvests") == ""


# Rent ----------------------------------------------------------------------------------------


async def test_while_the_farm_s_rent_is_due_only_what_is_over_is_taken_up() -> None:
    world = World(with_rent_due(chain_state()))
    plant = operation(OperationKind.PLANT, block=BLOCK, amount=5)
    await world.step(plant)
    ((wanted, _),) = world.operations.claims
    assert wanted == world.view.current.over()
    assert (world.operations.released, world.single_calls.groups) == ([plant.id], [])


@pytest.mark.parametrize(
    ("attempts", "reason"), [(0, FailureReason.RENT_DUE), (1, FailureReason.BLOCK_CLOSED)]
)
async def test_a_plant_that_only_waited_for_rent_ends_for_that_reason(
    attempts: int, reason: FailureReason
) -> None:
    world = World(with_rent_due(chain_state()))
    await world.step()
    world.view.current = with_rent_due(chain_state(current=BLOCK + 1))
    held = operation(OperationKind.PLANT, block=BLOCK, amount=5, attempts=attempts)
    earlier = operation(OperationKind.PLANT, block=BLOCK - 3, amount=5)
    await world.step(held, earlier)
    assert world.settlement(held).reason is reason
    # Nobody held this one: its block was over before.
    assert world.settlement(earlier).reason is FailureReason.BLOCK_CLOSED


async def test_blocks_that_waited_for_rent_are_remembered_up_to_ten() -> None:
    first = BLOCK
    world = World(with_rent_due(chain_state(current=first)))
    for index in range(first, first + 11):
        world.view.current = with_rent_due(chain_state(current=index))
        await world.step()
    # Each time the running block is held; it may be all that there is.
    oldest, kept = (
        operation(OperationKind.PLANT, block=index, amount=5) for index in (first, first + 1)
    )
    await world.step(oldest, kept)
    assert world.settlement(oldest).reason is FailureReason.BLOCK_CLOSED
    assert world.settlement(kept).reason is FailureReason.RENT_DUE


async def test_before_the_first_block_the_one_that_can_be_planted_waits_for_rent() -> None:
    state = with_rent_due(chain_state(current=0))
    world = World(replace(state, head=replace(state.head, current_block=None)))
    await world.step()
    world.view.current = with_rent_due(chain_state(current=1))
    held = operation(OperationKind.PLANT, block=0, amount=5)
    await world.step(held)
    assert world.settlement(held).reason is FailureReason.RENT_DUE


# Forged orders -------------------------------------------------------------------------------


async def test_forged_orders_end_and_are_progress() -> None:
    world = World()
    forged, sound = replace(operation(), is_genuine=False), operation()
    assert await world.step(forged)
    assert world.settlement(forged).reason is FailureReason.TAMPERED
    assert world.wakeups.settled.count == 1
    assert await world.step(forged, sound)
    assert world.sent == [sound.id]

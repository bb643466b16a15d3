"""Transactions whose ledger no node remembers: settled by the chain's state, at the price bid."""

from typing import Any, cast

import pytest

from libs.common.ids import OperationId
from services.wallet.chain import StaleAnswerError
from services.wallet.domain.chain_facts import BlockState, LedgerHead, PailState
from services.wallet.domain.forgotten import NOT_REMEMBERED, Grown, reward_of
from services.wallet.domain.model import OperationEvent, OperationKind, TransactionEvent
from services.wallet.domain.trust import Decision
from services.wallet.engine.settle.forgotten import Forgotten
from tests.support.settling import (
    BLOCK,
    LEDGER,
    NOW,
    USED,
    FakeFollower,
    ReadChain,
    carried,
    in_flight,
)

OLD = BlockState(
    index=BLOCK - 1,
    timestamp=NOW - 400,
    entropy=bytes(32),
    min_gap=1,
    max_gap=20,
    min_stake=0,
    max_stake=1000,
    min_zeros=1,
    max_zeros=9,
    staked_total=5000,
    normalized_total=50_000,
    live_until=10**6,
    modified=USED,
)
GROWN = Grown(stake=700, gap=9, zeros=6)


class Records:
    """Tells what was planted and worked for harvests."""

    def __init__(self) -> None:
        self.known: dict[OperationId, Grown] = {}
        self.asked: list[list[OperationId]] = []

    async def grown(self, harvests: Any) -> dict[OperationId, Grown]:
        """As the store's."""
        self.asked.append(list(harvests))
        return {item: self.known[item] for item in harvests if item in self.known}


class World:
    """The settling over stand-ins."""

    def __init__(self, *, configured: int = 1) -> None:
        self.chain, self.records = ReadChain(), Records()
        self.chain.configured = configured
        self.forgotten = Forgotten(
            cast(Any, self.chain), cast(Any, FakeFollower()), cast(Any, self.records)
        )

    def shows(self, operation: Any, *, stake: int = 700, zeros: int | None = None) -> None:
        pail = PailState(
            sequence=90,
            stake=stake,
            gap=None if zeros is None else 9,
            zeros=zeros,
            live_until=10**6,
        )
        self.chain.pails_shown[operation.address, operation.block_index] = pail


async def test_a_plant_whose_pail_is_there_was_made() -> None:
    world, plant = World(), carried(OperationKind.PLANT, block=BLOCK)
    world.shows(plant)
    closing = await world.forgotten.closing(in_flight(plant), ledger=USED)
    (settlement,) = closing.settlements
    assert (closing.event, closing.error) == (TransactionEvent.SUCCEED, "")
    assert (settlement.event, settlement.amount) == (OperationEvent.SUCCEED, 700)
    assert settlement.ledger == 90


async def test_what_the_state_does_not_show_failed_and_may_be_signed_again() -> None:
    plants = [carried(OperationKind.PLANT, block=BLOCK) for _ in range(2)]
    closing = await World().forgotten.closing(in_flight(*plants), ledger=USED)
    assert (closing.event, closing.fee) == (TransactionEvent.FAIL, 1001)
    assert closing.error == "no node remembers its ledger"
    assert {item.event for item in closing.settlements} == {OperationEvent.RETRY}
    assert {item.is_unproven for item in closing.settlements} == {True}
    assert [item.fee for item in closing.settlements] == [501, 500]


async def test_one_that_worked_makes_the_transaction_a_success() -> None:
    world = World()
    there, missing = (carried(OperationKind.PLANT, block=BLOCK) for _ in range(2))
    world.shows(there)
    closing = await world.forgotten.closing(in_flight(missing, there), ledger=USED)
    assert closing.event is TransactionEvent.SUCCEED
    assert [item.event for item in closing.settlements] == [
        OperationEvent.RETRY,
        OperationEvent.SUCCEED,
    ]


@pytest.mark.parametrize(("shown", "is_done"), [(6, True), (7, False), (None, False)])
async def test_a_work_was_done_when_the_pail_has_its_zeros(
    shown: int | None, is_done: bool
) -> None:
    world, work = World(), carried(OperationKind.WORK, block=BLOCK, zeros=6)
    world.shows(work, zeros=shown)
    closing = await world.forgotten.closing(in_flight(work), ledger=USED)
    (settlement,) = closing.settlements
    assert (settlement.event is OperationEvent.SUCCEED) == is_done
    if is_done:
        assert (settlement.gap, settlement.ledger) == (9, 99)


async def test_a_harvest_was_made_when_its_pail_is_gone_and_its_block_is_not() -> None:
    world, harvest = World(), carried()
    world.chain.blocks = {OLD.index: OLD}
    world.records.known = {harvest.id: GROWN}
    closing = await world.forgotten.closing(in_flight(harvest), ledger=USED)
    (settlement,) = closing.settlements
    assert settlement.event is OperationEvent.SUCCEED
    assert settlement.amount == reward_of(OLD, GROWN) > 0
    assert settlement.ledger == USED


@pytest.mark.parametrize("block_is_there", [True, False])
async def test_a_harvest_was_not_made_while_its_pail_is_there(block_is_there: bool) -> None:
    world, harvest = World(), carried()
    world.chain.blocks = {OLD.index: OLD} if block_is_there else {}
    if block_is_there:
        world.shows(harvest, zeros=6)
    closing = await world.forgotten.closing(in_flight(harvest), ledger=USED)
    assert closing.settlements[0].event is not OperationEvent.SUCCEED


async def test_a_payment_counts_as_made_and_says_so() -> None:
    payment = carried(OperationKind.WITHDRAW, block=0)
    closing = await World().forgotten.closing(in_flight(payment), ledger=USED)
    (settlement,) = closing.settlements
    assert settlement.event is OperationEvent.SUCCEED
    assert settlement.message == NOT_REMEMBERED


async def test_one_node_is_kept_for_all_reads_where_there_is_one() -> None:
    world = World()
    await world.forgotten.closing(in_flight(carried()), ledger=USED)
    assert (world.chain.pins, world.chain.decisions) == (1, [])


@pytest.mark.parametrize("configured", [2, 3])
async def test_several_nodes_have_to_agree(configured: int) -> None:
    world = World(configured=configured)
    await world.forgotten.closing(in_flight(carried()), ledger=USED)
    assert (world.chain.pins, world.chain.decisions) == (0, [Decision.RECORD_FORGOTTEN])


@pytest.mark.parametrize("is_head_old", [True, False])
async def test_a_node_that_has_not_seen_the_ledger_settles_nothing(is_head_old: bool) -> None:
    world = World()
    if is_head_old:
        world.chain.shown_head = LedgerHead(sequence=USED - 1, close_time=NOW)
    else:
        world.chain.read_ledger = USED - 1
    with pytest.raises(StaleAnswerError, match="has not seen ledger 95"):
        await world.forgotten.closing(in_flight(carried()), ledger=USED)


async def test_a_node_at_that_very_ledger_settles() -> None:
    world = World()
    world.chain.shown_head = LedgerHead(sequence=USED, close_time=NOW)
    world.chain.read_ledger = USED
    assert LEDGER > USED
    closing = await world.forgotten.closing(in_flight(carried()), ledger=USED)
    assert closing.event is TransactionEvent.FAIL


async def test_only_what_an_operation_of_the_farm_needs_is_read() -> None:
    world = World()
    payment, plant = carried(OperationKind.WITHDRAW, block=3), carried(OperationKind.PLANT, block=4)
    harvest = carried(block=5)
    world.shows(payment)
    await world.forgotten.closing(in_flight(payment, plant, harvest), ledger=USED)
    # Withdrawals have no pail, and of a plant's block nothing has to be reckoned.
    assert world.records.asked == [[harvest.id]]
    assert world.chain.read_pails == [(plant.address, 4), (harvest.address, 5)]
    assert world.chain.read_blocks == [5]

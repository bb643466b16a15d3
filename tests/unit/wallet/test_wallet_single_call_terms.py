"""Calls that go alone: who signs and pays, by which template, and how many there is room for."""

from dataclasses import replace
from typing import Any

import pytest
from stellar_sdk import FeeBumpTransactionEnvelope, TransactionEnvelope

from services.wallet.chain import SimulationError
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import AccountState, ContractError, PailState
from services.wallet.domain.model import (
    FailureReason,
    OperationEvent,
    OperationKind,
    QueuedOperation,
)
from services.wallet.domain.packing import WHOLE_LEDGER
from services.wallet.domain.trust import Decision
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.template_book import TemplateKey
from tests.support.call_world import TREASURY, CallWorld, drafted, harvests
from tests.support.signing import (
    BLOCK,
    LEDGER,
    NETWORK,
    TEMPLATE,
    FakeChain,
    chain_state,
    operation,
)

#: More than this farm lives for any longer.
ALIVE = 3_000_000
DEAR = OperatorLimits(lifetime=30, max_fee=5000, parallel=1)


def work(world: CallWorld, **fields: Any) -> QueuedOperation:
    """Return a work whose pail is shown."""
    item = operation(OperationKind.WORK, block=BLOCK, **fields)
    pail = PailState(sequence=90, stake=5, gap=None, zeros=None, live_until=10**6)
    world.chain.shown[item.address, BLOCK] = pail
    return item


def farm(state: ChainState, **fields: Any) -> ChainState:
    """Return a state with another farm."""
    return replace(state, farm=replace(state.farm, **fields))


# Who signs


async def test_a_farmers_key_signs_and_the_treasury_pays() -> None:
    world = CallWorld()
    group = harvests(world, 2)
    made = await world.make(group)
    assert world.signers.opened == [[TREASURY, *(item.wallet_id for item in group)]]
    for draft, item in zip(made.drafts, group, strict=True):
        outer = FeeBumpTransactionEnvelope.from_xdr(draft.envelope.xdr, NETWORK.passphrase)
        assert outer.transaction.fee_source.account_id == world.signers.key(TREASURY).address
        inner = outer.transaction.inner_transaction_envelope.transaction
        farmer = world.signers.key(item.wallet_id).address
        assert inner.source.account_id == draft.envelope.source == farmer


async def test_a_channel_signs_and_pays_for_itself() -> None:
    world = CallWorld(channels=1, for_singles=True)
    (draft,) = (await world.make(harvests(world, 1))).drafts
    envelope = TransactionEnvelope.from_xdr(draft.envelope.xdr, NETWORK.passphrase)
    ((_, channel),) = world.signers.opened
    assert envelope.transaction.source.account_id == world.signers.key(channel).address
    assert draft.envelope.source == world.signers.key(channel).address


async def test_a_work_gives_no_stake_back() -> None:
    world = CallWorld()
    (draft,) = (await world.make([work(world)])).drafts
    assert draft.stakes_returned == (0,)
    # It moves no balance: nobody asks for the farmer's account.
    assert world.chain.read == []


async def test_accounts_are_read_for_what_moves_a_balance() -> None:
    world = CallWorld()
    group = harvests(world, 2)
    await world.make(group)
    assert world.chain.read == [item.address for item in group]


async def test_a_plant_whose_farmers_account_does_not_obey_finds_no_channel() -> None:
    world = CallWorld(channels=1)
    plant = operation(OperationKind.PLANT, block=BLOCK)
    world.sources.locked = {plant.address}
    (settled,) = (await world.make([plant])).settled
    assert settled.reason is FailureReason.ACCOUNT_LOCKED


# Templates


@pytest.mark.parametrize(
    ("kind", "amount", "is_open", "key"),
    [
        (OperationKind.PLANT, 0, True, (False, False)),
        (OperationKind.PLANT, 1, True, (True, False)),
        (OperationKind.PLANT, 1, False, (True, True)),
        (OperationKind.WORK, 0, False, (False, False)),
        (OperationKind.HARVEST, 0, True, (False, False)),
    ],
)
async def test_a_template_is_that_of_the_kind_with_its_stake_and_its_block(
    kind: OperationKind, amount: int, is_open: bool, key: tuple[bool, bool]
) -> None:
    world = CallWorld()
    if kind is OperationKind.PLANT:
        item = operation(kind, block=BLOCK, amount=amount)
    elif kind is OperationKind.WORK:
        item = work(world)
    else:
        (item,) = harvests(world, 1)
    state = chain_state() if is_open else farm(chain_state(), block=None)
    await world.make([item], state=state)
    has_stake, opens = key
    assert world.templates.keys == [TemplateKey(kind=kind, has_stake=has_stake, opens=opens)]


async def test_a_template_is_asked_for_by_the_source_of_the_first() -> None:
    world = CallWorld()
    group = harvests(world, 2)
    await world.make(group)
    assert world.templates.sources == [group[0].address]


async def test_where_all_are_refused_nothing_is_signed() -> None:
    world = CallWorld()
    group = harvests(world, 1)
    world.sources.missing = {group[0].address}
    made = await world.make(group)
    assert (drafted(made), world.templates.asked, world.signers.opened) == ([], [], [])


async def test_a_plant_for_the_next_block_is_signed_by_what_is_known() -> None:
    world = CallWorld()
    world.templates.ahead = TEMPLATE
    plant = operation(OperationKind.PLANT, block=BLOCK + 1)
    assert drafted(await world.make([plant])) == [plant.id]
    assert world.templates.asked == []


# Simulated one by one


@pytest.mark.parametrize("answers", [[True, False], [False, True]])
async def test_a_call_waits_when_rent_was_due_before_or_after_it_was_simulated(
    answers: list[bool],
) -> None:
    world = CallWorld()
    alone = operation(pack_limit=1)
    world.chain.plant(alone)
    world.templates.is_rent_due = answers
    made = await world.make([alone])
    assert made.drafts == ()
    assert [item.due_ledger for item in made.settled] == [LEDGER + 1]


async def test_rent_is_not_asked_about_when_nothing_was_simulated() -> None:
    world = CallWorld()
    await world.make(harvests(world, 2))
    assert world.templates.rent_asked == 0
    hidden = operation(pack_limit=1)
    await world.make([hidden])
    # It was asked before the simulation, and not again when nothing was left.
    assert world.templates.rent_asked == 1


async def test_a_work_that_is_simulated_for_itself_needs_no_stake() -> None:
    world = CallWorld()
    alone = work(world, pack_limit=1)
    assert drafted(await world.make([alone])) == [alone.id]


# Room


async def test_calls_are_thought_to_take_a_hundredth_of_a_ledger_at_first() -> None:
    world = CallWorld()
    assert world.calls.smallest_share == 10_000
    group = harvests(world, 3)
    made = await world.make(group, left=20_000)
    assert made.unused == (group[2],)


async def test_the_smallest_call_counts() -> None:
    world = CallWorld(channels=9, packs=True)
    await world.make(harvests(world, 50))
    # Of two packs, the one of forty tells what a call takes.
    assert world.calls.smallest_share == 250
    await world.make([work(world)])
    assert world.calls.smallest_share == 250


async def test_a_pack_of_one_tells_nothing_of_packs() -> None:
    world = CallWorld(channels=9, packs=True)
    group = harvests(world, 2)
    limits = replace(chain_state().limits, ledger_transactions=50)
    state = replace(chain_state(), limits=limits)
    error = ContractError(raiser="farm", code="WorkMissing")
    world.templates.answers = [SimulationError(error, "no", position=0)]
    made = await world.make(group, state=state)
    assert [len(draft.operation_ids) for draft in made.drafts] == [1]
    assert world.calls.smallest_share == 10_000


async def test_a_call_larger_than_a_ledger_is_tried_when_nothing_else_is_in_flight() -> None:
    world = CallWorld()
    limits = replace(chain_state().limits, ledger_bytes=10)
    state = replace(chain_state(), limits=limits)
    group = harvests(world, 2)
    await world.make(group[:1], state=state)
    assert world.calls.smallest_share > WHOLE_LEDGER
    made = await world.make(group, state=state)
    assert (drafted(made), made.unused) == ([group[0].id], (group[1],))
    assert (await world.make(group, state=state, left=WHOLE_LEDGER - 1)).unused == tuple(group)


@pytest.mark.parametrize(
    ("count", "room", "goes_on", "sizes"),
    [
        # More of the kind come next: what does not fill a transaction waits for them.
        (60, 60, True, [40]),
        (60, 60, False, [40, 20]),
        (60, 60, None, [40, 20]),
        # Where there is no room for all, nothing comes next.
        (60, 50, True, [40, 10]),
    ],
)
async def test_what_does_not_fill_a_transaction_waits_for_more(
    count: int, room: int, goes_on: bool | None, sizes: list[int]
) -> None:
    world = CallWorld(channels=9, packs=True)
    made = await world.make(harvests(world, count), left=room * 10_000, goes_on=goes_on)
    assert [len(draft.operation_ids) for draft in made.drafts] == sizes


# Prices


async def test_a_price_above_the_cap_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    world = CallWorld(limits=DEAR)
    state = farm(chain_state(), instance_until=ALIVE, code_until=ALIVE)
    made = await world.make(harvests(world, 2), state=state)
    assert {item.reason for item in made.settled} == {FailureReason.FEE_CAP}
    told = "".join(capfd.readouterr())
    assert "cause=MAX_FEE_STROOPS " in told
    assert "operations=2" in told


async def test_a_price_while_rent_is_due_is_asked_for_again() -> None:
    world = CallWorld(limits=DEAR)
    state = farm(chain_state(), instance_until=LEDGER, code_until=ALIVE)
    made = await world.make(harvests(world, 2), state=state)
    assert {(item.event, item.due_ledger) for item in made.settled} == {
        (OperationEvent.RETRY, LEDGER + 1)
    }
    assert world.alarms.message("harvests") == ""


# What was seen, and by how many nodes


async def test_accounts_that_were_just_read_are_not_read_again() -> None:
    world = CallWorld()
    group = harvests(world, 1)
    await world.make(group)
    exact, derived = world.sources.seen
    assert exact is None
    assert derived is not None
    assert (derived.ledger, list(derived.accounts)) == (LEDGER, [group[0].address])
    # After simulations, which take a while, they are.
    world.sources.seen.clear()
    alone = operation(pack_limit=1)
    world.chain.plant(alone)
    await world.make([alone, *harvests(world, 1)])
    assert world.sources.seen == [None, None]


def beside(world: CallWorld) -> FakeChain:
    """Have several nodes, which say the same as one of them for now."""
    agreed = FakeChain()
    agreed.shown, agreed.odd = dict(world.chain.shown), dict(world.chain.odd)
    world.chain.agreed, world.chain.configured = agreed, 2
    return agreed


async def test_a_stake_that_a_harvest_brings_back_is_what_several_nodes_show() -> None:
    world = CallWorld()
    (harvest,) = harvests(world, 1, stake=11)
    agreed = beside(world)
    agreed.plant(harvest, stake=12)
    (draft,) = (await world.make([harvest])).drafts
    assert draft.stakes_returned == (12,)
    assert world.chain.decisions == [Decision.SETTLE_BY_PAIL]
    assert agreed.pails_read == [(harvest.address, harvest.block_index)]


async def test_a_pail_that_would_end_an_operation_has_to_be_shown_by_several_nodes() -> None:
    world = CallWorld()
    planted, fresh = (operation(OperationKind.PLANT, block=BLOCK) for _ in range(2))
    pail = PailState(sequence=90, stake=5, gap=None, zeros=None, live_until=10**6)
    world.chain.shown[planted.address, BLOCK] = pail
    agreed = beside(world)
    made = await world.make([planted, fresh])
    assert [item.operation_id for item in made.settled] == [planted.id]
    # Only that one is asked for.
    assert agreed.pails_read == [(planted.address, BLOCK)]
    agreed.shown.clear()
    made = await world.make([planted, fresh])
    assert drafted(made) == [planted.id, fresh.id]


async def test_pails_that_end_nothing_are_taken_from_one_node() -> None:
    world = CallWorld()
    item = work(world)
    beside(world).shown.clear()
    assert drafted(await world.make([item])) == [item.id]
    assert world.chain.decisions == []


async def test_an_account_that_would_end_an_operation_is_read_by_agreement() -> None:
    world = CallWorld()
    locked, sound = (operation(OperationKind.PLANT, block=BLOCK) for _ in range(2))
    world.chain.odd[locked.address] = AccountState(
        address=locked.address, exists=True, has_trustline=True, obeys=False
    )
    agreed = beside(world)
    agreed.ledger = LEDGER - 1
    made = await world.make([locked, sound])
    assert [item.reason for item in made.settled] == [FailureReason.ACCOUNT_LOCKED]
    assert world.chain.decisions == [Decision.REFUSE_ACCOUNT]
    assert agreed.read == [locked.address]
    # What is known is from the earlier of the two ledgers.
    (seen,) = [item for item in world.sources.seen if item is not None]
    assert seen.ledger == LEDGER - 1
    agreed.odd.clear()
    agreed.ledger = LEDGER + 1
    made = await world.make([locked, sound])
    assert drafted(made) == [locked.id, sound.id]
    assert [item.ledger for item in world.sources.seen if item is not None] == [LEDGER - 1, LEDGER]

"""Several calls in one transaction: what goes together, and what becomes of what does not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from stellar_sdk import Address, InvokeHostFunction, TransactionEnvelope

from libs.common.ids import OperationId
from services.wallet.chain import SimulationError, UnderivableError
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import ContractError
from services.wallet.domain.model import (
    OperationEvent,
    OperationKind,
    QueuedOperation,
    Settlement,
)
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.submit.packs import Packs
from services.wallet.engine.submit.round import Round
from services.wallet.engine.template_book import TemplateKey
from tests.support.signing import (
    LEDGER,
    LIMITS,
    NETWORK,
    FakeChain,
    FakeRefuser,
    FakeSigners,
    FakeSources,
    FakeTemplates,
    chain_state,
    network_limits,
    operation,
)

KEY = TemplateKey(kind=OperationKind.HARVEST, has_stake=False, opens=False)
TOO_BIG = SimulationError(ContractError(raiser="host", code="Budget/ExceededLimit"), "too big")


def refused(position: int | None) -> SimulationError:
    error = ContractError(raiser="farm", code="WorkMissing")
    return SimulationError(error, "no", position=position)


class World:
    """Packs over stand-ins."""

    def __init__(self, *, channels: int, limits: OperatorLimits = LIMITS) -> None:
        self.templates, self.refuser = FakeTemplates(), FakeRefuser()
        self.signers, self.sources = FakeSigners(), FakeSources(channels=channels)
        self._packs = Packs(
            cast(Any, FakeChain()),
            cast(Any, self.signers),
            cast(Any, self.templates),
            cast(Any, self.sources),
            refuser=cast(Any, self.refuser),
            limits=limits,
            multicall=bytes(32),
        )

    async def make(
        self,
        operations: Sequence[QueuedOperation],
        *,
        goes_on: bool = False,
        state: ChainState | None = None,
        stakes: Mapping[OperationId, int] | None = None,
    ) -> Round:
        """All parts of one round, of which nothing may be lost."""
        if stakes is None:
            stakes = {item.id: number for number, item in enumerate(operations)}
        parts = self._packs.make(KEY, operations, stakes, state or chain_state(), goes_on=goes_on)
        made = Round()
        async for part in parts:
            made += part
        assert made.missing(operations) == ()
        return made


def packed(made: Round) -> list[tuple[OperationId, ...]]:
    return [draft.operation_ids for draft in made.drafts]


def ids(operations: Sequence[QueuedOperation]) -> tuple[OperationId, ...]:
    return tuple(item.id for item in operations)


def kept_for(settlements: Sequence[Settlement]) -> set[int | None]:
    """With how many others those may go that are tried again."""
    assert {item.event for item in settlements} == {OperationEvent.RETRY}
    return {item.pack_limit for item in settlements}


async def test_without_a_channel_nothing_is_done() -> None:
    operations = [operation() for _ in range(3)]
    made = await World(channels=0).make(operations)
    assert made == Round(unused=tuple(operations))


async def test_a_pack_has_its_stakes_its_cap_and_its_share() -> None:
    operations = [operation() for _ in range(3)]
    made = await World(channels=1).make(operations)
    (draft,) = made.drafts
    assert (draft.operation_ids, draft.stakes_returned) == (ids(operations), (0, 1, 2))
    assert draft.share == 10_000
    assert draft.envelope.fee_bid == 100 + 5000  # a harvest can wait for a quiet ledger
    assert draft.envelope.sequence == 70


async def test_several_blocks_of_a_farmer_share_a_transaction() -> None:
    world, first = World(channels=1), operation(block=3)
    operations = [first, replace(first, id=operation().id, block_index=5), operation(block=4)]
    made = await world.make(operations)
    assert packed(made) == [ids(operations)]
    (key,) = world.templates.keys
    assert (key.together, key.farmers, key.blocks) == (3, 2, 3)
    # What holds in the newest of the blocks held in those before it.
    assert world.templates.blocks == [5]


async def test_what_finds_no_channel_is_not_needed_now() -> None:
    operations = [operation() for _ in range(90)]
    made = await World(channels=2).make(operations)
    assert packed(made) == [ids(operations[:40]), ids(operations[40:80])]
    assert made.unused == tuple(operations[80:])


async def test_what_does_not_fill_a_transaction_waits_for_the_next_ones() -> None:
    operations = [operation() for _ in range(50)]
    made = await World(channels=9).make(operations, goes_on=True)
    assert packed(made) == [ids(operations[:40])]
    assert made.unused == tuple(operations[40:])
    # As long as transactions are full, they go on.
    many = [operation() for _ in range(90)]
    assert [len(pack) for pack in packed(await World(channels=9).make(many, goes_on=True))] == [
        *(40, 40)
    ]
    full = await World(channels=9).make(many[:80], goes_on=True)
    assert full.unused == ()
    # A few alone go all the same: nothing else was made.
    few = [operation() for _ in range(5)]
    assert packed(await World(channels=9).make(few, goes_on=True)) == [ids(few)]


async def test_what_is_too_much_for_a_simulation_is_halved_until_it_fits() -> None:
    world, operations = World(channels=9), [operation() for _ in range(40)]
    world.templates.answers = [TOO_BIG, TOO_BIG]
    made = await world.make(operations)
    assert world.templates.asked == [40, 20, 10, 15]
    assert [len(pack) for pack in packed(made)] == [10, 15]
    # Channels were taken for packs of forty: the rest has its turn in the next round.
    assert made.unused == tuple(operations[25:])


async def test_what_one_transaction_may_not_hold_is_halved_too() -> None:
    operations = [operation() for _ in range(40)]
    small = chain_state(limits=network_limits(transaction_bytes=4000))
    made = await World(channels=40).make(operations, state=small)
    assert sum(map(len, packed(made))) == 40
    assert max(len(draft.envelope.xdr) * 3 // 4 for draft in made.drafts) <= 4000


async def test_one_that_is_too_large_alone_is_left() -> None:
    item = operation()
    tiny = chain_state(limits=network_limits(transaction_bytes=10))
    made = await World(channels=1).make([item], state=tiny)
    assert made == Round(unused=(item,))


async def test_the_call_that_fails_leaves_and_the_others_go() -> None:
    world, operations = World(channels=1), [operation() for _ in range(4)]
    world.templates.answers = [refused(2), refused(0)]
    made = await world.make(operations)
    assert world.refuser.refused == [operations[2].id, operations[0].id]
    assert packed(made) == [(operations[1].id, operations[3].id)]
    assert len(made.settled) == 2


async def test_when_nobody_says_which_one_fails_fewer_go_together() -> None:
    world, operations = World(channels=1), [operation() for _ in range(8)]
    world.templates.answers = [refused(None)]
    made = await world.make(operations)
    assert (made.drafts, len(made.settled)) == ((), 8)
    assert kept_for(made.settled) == {2}
    alone = World(channels=1)
    alone.templates.answers = [refused(None)]
    (item,) = operations[:1]
    await alone.make([item])
    assert alone.refuser.refused == [item.id]


async def test_what_cannot_be_derived_goes_alone() -> None:
    world, operations = World(channels=2), [operation() for _ in range(50)]
    world.templates.answers = [UnderivableError("a key of its own")]
    made = await world.make(operations)
    assert (made.drafts, len(made.settled)) == ((), 50)
    assert kept_for(made.settled) == {1}


async def test_without_a_template_a_pack_waits_for_the_next_ledger() -> None:
    world, operations = World(channels=2), [operation() for _ in range(50)]
    world.templates.answers = [None]
    made = await world.make(operations)
    assert packed(made) == [ids(operations[40:])]
    assert {item.due_ledger for item in made.settled} == {LEDGER + 1}
    assert kept_for(made.settled) == {None}


async def test_the_cap_is_that_of_all_together() -> None:
    # One call may cost 2,000, its resources alone 5,000: three of them bring enough.
    limits = OperatorLimits(lifetime=30, max_fee=2000, parallel=1)
    enough, few = [operation() for _ in range(3)], [operation() for _ in range(2)]
    assert packed(await World(channels=1, limits=limits).make(enough)) == [ids(enough)]
    made = await World(channels=1, limits=limits).make(few)
    assert [item.operation for item in made.too_dear] == few


async def test_whose_time_is_over_waits() -> None:
    limits = OperatorLimits(lifetime=0, max_fee=10**6, parallel=1)
    operations = [operation() for _ in range(2)]
    made = await World(channels=1, limits=limits).make(operations)
    assert {item.due_ledger for item in made.settled} == {LEDGER + 1}


@pytest.mark.parametrize("limit", [1, 3])
async def test_those_that_failed_together_go_with_fewer(limit: int) -> None:
    free = [operation() for _ in range(2)]
    held = [operation(pack_limit=limit, attempts=1) for _ in range(3)]
    made = await World(channels=9).make([*free, *held])
    sizes = [len(pack) for pack in packed(made)]
    assert sizes == ([1, 1, 1, 2] if limit == 1 else [3, 2])


async def test_plants_of_farmers_carry_their_consent() -> None:
    world = World(channels=1)
    operations = [operation(OperationKind.PLANT, block=7, amount=5) for _ in range(2)]
    made = await world.make(operations)
    (draft,) = made.drafts
    assert draft.operation_ids == ids(operations)
    # Signed by the channel alone: the farmers' consent is inside.
    assert draft.envelope.inner_hash is None


async def test_no_more_channels_are_taken_than_there_may_be_transactions() -> None:
    for count, limit, most in ((81, None, 4), (80, None, 3), (3, 1, 4), (6, 2, 4), (1, None, 2)):
        world = World(channels=0)
        await world.make([operation(pack_limit=limit) for _ in range(count)])
        assert world.sources.asked == [most]


async def test_a_pack_without_stakes_gives_none_back() -> None:
    made = await World(channels=1).make([operation(), operation()], stakes={})
    assert [draft.stakes_returned for draft in made.drafts] == [(0, 0)]


async def test_a_call_too_large_for_a_simulation_by_itself_is_refused() -> None:
    world, item = World(channels=1), operation()
    world.templates.answers = [TOO_BIG]
    await world.make([item])
    assert (world.templates.asked, world.refuser.refused) == ([1], [item.id])


async def test_of_two_that_are_too_much_each_goes_by_itself() -> None:
    world, operations = World(channels=2), [operation() for _ in range(2)]
    world.templates.answers = [TOO_BIG]
    made = await world.make(operations)
    assert world.templates.asked == [2, 1, 1]
    assert packed(made) == [(item.id,) for item in operations]
    # For one transaction as for a simulation.
    whole = await World(channels=2).make(operations)
    (draft,) = whole.drafts
    size = len(draft.envelope.xdr) * 3 // 4
    small = chain_state(limits=network_limits(transaction_bytes=size - 10))
    made = await World(channels=2).make(operations, state=small)
    assert packed(made) == [(item.id,) for item in operations]


async def test_of_two_of_which_one_fails_each_goes_by_itself_the_next_time() -> None:
    world, operations = World(channels=1), [operation() for _ in range(2)]
    world.templates.answers = [refused(None)]
    made = await world.make(operations)
    assert (made.drafts, world.refuser.refused) == ((), [])
    assert kept_for(made.settled) == {1}


async def test_a_pack_is_simulated_by_its_channel() -> None:
    world = World(channels=1)
    made = await world.make([operation(), operation()])
    (draft,) = made.drafts
    ((channel,),) = world.signers.opened
    assert draft.envelope.source == world.signers.key(channel).address
    assert world.templates.sources == [world.sources.given[0].address]


@pytest.mark.parametrize(
    ("pace", "expiration"),
    [
        # An envelope lives for 30 s, the consent twelve ledgers longer.
        (5, LEDGER + 6 + 12),
        (7, LEDGER + 4 + 12),
        (0, LEDGER + 30 + 12),
    ],
)
async def test_a_consent_is_the_farmers_own_and_outlives_the_envelope(
    pace: int, expiration: int
) -> None:
    world = World(channels=1)
    first, second = (operation(OperationKind.PLANT, block=7, amount=5) for _ in range(2))
    operations = [
        replace(item, address=world.signers.key(item.wallet_id).address) for item in (first, second)
    ]
    made = await world.make(operations, state=replace(chain_state(), pace=pace))
    (draft,) = made.drafts
    envelope = TransactionEnvelope.from_xdr(draft.envelope.xdr, NETWORK.passphrase)
    (call,) = envelope.transaction.operations
    assert isinstance(call, InvokeHostFunction)
    consents = [item.credentials.address for item in call.auth]
    assert [item.signature_expiration_ledger.uint32 for item in consents if item] == [
        expiration
    ] * 2
    whose = [Address.from_xdr_sc_address(item.address).address for item in consents if item]
    assert whose == [item.address for item in operations]
    assert len({item.nonce.int64 for item in consents if item}) == 2
    assert world.signers.opened[0] == [item.wallet_id for item in operations]

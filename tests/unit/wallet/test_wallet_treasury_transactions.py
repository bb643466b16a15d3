"""The treasury's transactions: what is taken up, settled without one, signed, or put off."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from stellar_sdk import CreateAccount, TransactionEnvelope

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.chain import FeeCapExceededError
from services.wallet.domain.chain_facts import AccountState, SignedEnvelope
from services.wallet.domain.model import (
    OperationEvent,
    OperationKind,
    QueuedOperation,
)
from services.wallet.domain.trust import Decision
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.forgeries import Forgeries
from services.wallet.engine.treasury.new_accounts import NewAccounts
from services.wallet.engine.treasury.onboarding import Onboarder
from services.wallet.engine.treasury.transactions import RentTurn, TreasuryTransactions
from services.wallet.engine.wakeup import Wakeup, Wakeups
from services.wallet.keys.seal import SealBrokenError
from services.wallet.store.transactions import Committed, Draft
from tests.support.signing import (
    LEDGER,
    LIMITS,
    MAX_FEE,
    NETWORK,
    FakeQueue,
    FakeSender,
    FakeSigners,
    chain_state,
    operation,
)

ADDRESS = "G" + "A" * 55


def onboarding(*, attempts: int = 0, pack_limit: int | None = None) -> QueuedOperation:
    return operation(OperationKind.ONBOARD, block=0, attempts=attempts, pack_limit=pack_limit)


class Chain:
    """Shows accounts."""

    network = NETWORK

    def __init__(self) -> None:
        self.configured = 1
        self.there: dict[str, AccountState] = {}
        self.decisions: list[Decision] = []

    def trusted(self, decision: Decision) -> "Chain":
        """As the chain's."""
        self.decisions.append(decision)
        return self

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's."""
        missing = {item: AccountState(address=item, exists=False) for item in addresses}
        return LEDGER, [(missing | self.there)[item] for item in addresses]

    def show(self, item: QueuedOperation, *, trustline: bool = True) -> None:
        self.there[item.address] = AccountState(
            address=item.address, exists=True, has_trustline=trustline
        )


class Operations(FakeQueue):
    """The queue of one kind."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[tuple[OperationKind, int, str]] = []

    async def claim_for_treasury(
        self, kind: OperationKind, *, limit: int, lease: float, ledger: int, treasury: str
    ) -> list[QueuedOperation]:
        """As the store's."""
        self.claims.append((kind, limit, treasury))
        return self.waiting[:limit]


class Transactions:
    """Records drafts, but for operations without a budget."""

    def __init__(self) -> None:
        self.committed: list[Draft] = []
        self.unpaid: Collection[OperationId] = ()
        self.spared: Collection[OperationId] = ()
        self.is_busy = False

    async def commit_signed(self, drafts: Sequence[Draft], *, ledger: int) -> Committed:
        """As the store's."""
        recorded = [] if self.is_busy or self.unpaid else list(drafts)
        self.committed += recorded
        return Committed(
            recorded=recorded, unpaid=frozenset(self.unpaid), spared=frozenset(self.spared)
        )


class World:
    """Transactions of the treasury over stand-ins."""

    def __init__(self) -> None:
        self.chain, self.operations = Chain(), Operations()
        self.store, self.sender = Transactions(), FakeSender()
        self.touched: list[str] = []
        self.alarms, self.turn = Alarms(), RentTurn()
        self.view = SimpleNamespace(is_fresh=True, current=chain_state())
        self.accounts = SimpleNamespace(
            can_pay=True, touch=lambda seen: self.touched.extend(at for _, at in seen)
        )
        wallet = SimpleNamespace(id=WalletId(new_id()), address=ADDRESS)
        self.treasury = cast(Any, SimpleNamespace(is_open=True, wallet=wallet))
        self.chain.there[ADDRESS] = AccountState(address=ADDRESS, exists=True, sequence=41)
        self.wakeups = Wakeups(changes=Wakeup(), settled=Wakeup())
        self.transactions = TreasuryTransactions(
            chain=cast(Any, self.chain),
            operations=cast(Any, self.operations),
            transactions=cast(Any, self.store),
            treasury=self.treasury,
            accounts=cast(Any, self.accounts),
            chain_view=cast(Any, self.view),
            sender=cast(Any, self.sender),
            wakeups=self.wakeups,
            limits=LIMITS,
            alarms=self.alarms,
            forgeries=Forgeries(cast(Any, self.operations)),
            rent_turn=self.turn,
        )

    async def submit(self, *operations: QueuedOperation, error: Exception | None = None) -> None:
        def sign() -> SignedEnvelope:
            if error is not None:
                raise error
            return cast(SignedEnvelope, SimpleNamespace(fee_bid=900))

        await self.transactions.submit(operations, sign)

    def events(self) -> dict[OperationId, OperationEvent]:
        return {item.operation_id: item.event for item in self.operations.settled}


# Taking up -----------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["stale", "poor", "rent", ""])
async def test_operations_are_taken_up_when_the_treasury_is_free_for_them(why: str) -> None:
    world = World()
    world.operations.waiting = [onboarding()]
    world.view.is_fresh = why != "stale"
    world.accounts.can_pay = why != "poor"
    world.turn.is_waiting = why == "rent"
    taken = await world.transactions.take_up(OperationKind.ONBOARD, limit=19)
    assert bool(taken) is (why == "")
    assert world.operations.claims == ([] if why else [(OperationKind.ONBOARD, 19, ADDRESS)])


# Settling what is there ----------------------------------------------------------------------


async def test_one_node_s_word_is_enough_where_there_is_one_node() -> None:
    world, there = World(), onboarding()
    seen = world.wakeups.settled.count
    await world.transactions.settle_present([there], LEDGER)
    assert world.events() == {there.id: OperationEvent.SUCCEED}
    assert (world.touched, world.chain.decisions) == ([there.address], [])
    assert world.wakeups.settled.count > seen


async def test_several_nodes_have_to_agree_that_accounts_are_there() -> None:
    world = World()
    world.chain.configured = 3
    there, bare, missing = onboarding(), onboarding(), onboarding()
    channel = operation(OperationKind.OPEN_CHANNEL, block=0)
    absent = operation(OperationKind.OPEN_CHANNEL, block=0)
    world.chain.show(there)
    world.chain.show(bare, trustline=False)
    world.chain.show(channel, trustline=False)
    await world.transactions.settle_present([there, bare, missing, channel, absent], LEDGER)
    assert world.chain.decisions == [Decision.SETTLE_FUNDING]
    assert world.events() == {
        there.id: OperationEvent.SUCCEED,
        # A farmer needs a trustline, too; a channel account does not.
        bare.id: OperationEvent.RETRY,
        missing.id: OperationEvent.RETRY,
        channel.id: OperationEvent.SUCCEED,
        absent.id: OperationEvent.RETRY,
    }
    assert {item.due_ledger for item in world.operations.settled} == {0, LEDGER + 1}


async def test_nothing_is_asked_when_nothing_is_there() -> None:
    world = World()
    world.chain.configured = 3
    await world.transactions.settle_present([], LEDGER)
    assert (world.chain.decisions, world.operations.settled) == ([], [])


# Signing and sending -------------------------------------------------------------------------


async def test_what_is_committed_is_sent_within_the_cap_of_all_its_operations() -> None:
    world, operations = World(), [onboarding(), onboarding()]
    await world.submit(*operations)
    (draft,) = world.store.committed
    assert draft.operation_ids == tuple(item.id for item in operations)
    assert (draft.payer_id, draft.is_rent) == (None, False)
    assert draft.stakes_returned == (0, 0)
    assert world.sender.caps == [2 * MAX_FEE]


async def test_what_is_not_committed_is_not_sent() -> None:
    world = World()
    world.store.is_busy = True
    await world.submit(onboarding())
    assert (world.sender.caps, world.operations.settled) == ([], [])


async def test_a_bid_above_the_cap_waits_for_a_person_and_is_told_until_it_fits(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world, item = World(), onboarding()
    await world.submit(item, error=FeeCapExceededError("the cap is 5 stroops", bid=6))
    assert world.events() == {item.id: OperationEvent.RETRY}
    assert [one.pause for one in world.operations.settled] == [60]
    assert "cause=MAX_FEE_STROOPS " in "".join(capfd.readouterr())
    assert "the cap is 5 stroops" in world.alarms.message("onboards")
    await world.submit(item)
    assert world.alarms.message("onboards") == ""


async def test_operations_without_a_budget_wait_and_the_others_go_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world, poor, other = World(), onboarding(), onboarding()
    world.store.unpaid, world.store.spared = [poor.id], [other.id]
    await world.submit(poor, other)
    assert world.events() == {poor.id: OperationEvent.RETRY}
    assert world.operations.released == [other.id]
    assert [one.pause for one in world.operations.settled] == [60]
    assert "budget is used up" in world.alarms.message("onboards")
    assert "cause=FEE_DAILY_STROOPS " in "".join(capfd.readouterr())
    assert world.sender.caps == []


# Onboarding and new accounts -----------------------------------------------------------------


class Carrier:
    """Notes what is settled and submitted."""

    def __init__(self, claimed: Sequence[QueuedOperation]) -> None:
        self.claimed = list(claimed)
        self.present: list[OperationId] = []
        self.envelopes: list[tuple[tuple[OperationId, ...], SignedEnvelope]] = []
        self.limit = 0

    async def take_up(self, kind: OperationKind, *, limit: int) -> list[QueuedOperation]:
        """As TreasuryTransactions."""
        self.limit = limit
        return self.claimed

    async def settle_present(self, present: Sequence[QueuedOperation], ledger: int) -> None:
        """As TreasuryTransactions."""
        self.present += [item.id for item in present]

    async def next_sequence(self, treasury: AccountState, ledger: int) -> int:
        """As TreasuryTransactions."""
        assert (treasury.address, ledger) == (ADDRESS, LEDGER)
        return treasury.sequence + 1

    def bid(self, kind: OperationKind) -> Any:
        """As TreasuryTransactions."""
        return replace(chain_state().bid(kind, 0, LIMITS), max_fee=10**9)

    async def submit(
        self, operations: Sequence[QueuedOperation], sign: Callable[[], SignedEnvelope]
    ) -> None:
        """As TreasuryTransactions."""
        self.envelopes.append((tuple(item.id for item in operations), sign()))


class BrokenSigners(FakeSigners):
    """Finds no key that opens."""

    def open(self, wallet_ids: Sequence[WalletId]) -> Any:
        """As Signers."""
        raise SealBrokenError("damaged")


def onboarder(world: World, carrier: Carrier, signers: FakeSigners, aside: list[Any]) -> Onboarder:
    async def set_aside(operations: Sequence[QueuedOperation], error: Exception) -> None:
        aside.extend(item.id for item in operations)

    return Onboarder(
        chain=cast(Any, world.chain),
        operations=cast(Any, world.operations),
        treasury=world.treasury,
        signers=cast(Any, signers),
        transactions=cast(Any, carrier),
        broken_keys=cast(Any, SimpleNamespace(set_aside=set_aside)),
    )


async def test_nothing_is_signed_when_nobody_waits() -> None:
    world, carrier = World(), Carrier([])
    assert not await onboarder(world, carrier, FakeSigners(), []).step()
    assert carrier.envelopes == []


async def test_a_farmer_with_a_trustline_is_settled_without_a_transaction() -> None:
    world, there = World(), onboarding()
    carrier = Carrier([there])
    world.chain.show(there)
    assert await onboarder(world, carrier, FakeSigners(), []).step()
    assert (carrier.present, carrier.envelopes) == ([there.id], [])
    assert world.chain.decisions == [Decision.USE_NUMBER]
    # So many are looked through, that one pooler's do not hide those of others.
    assert carrier.limit == 3 * 19
    # Who is not there is not settled.
    missing = onboarding()
    carrier.claimed = [there, missing]
    await onboarder(world, carrier, BrokenSigners(), []).step()
    assert carrier.present == [there.id, there.id]


async def test_one_that_failed_before_goes_alone_and_the_others_wait_for_the_next() -> None:
    world, failed, fresh = World(), onboarding(attempts=1, pack_limit=1), onboarding()
    carrier, aside = Carrier([failed, fresh]), list[Any]()
    # No key opens, which tells who was to be signed for.
    assert await onboarder(world, carrier, BrokenSigners(), aside).step()
    assert aside == [failed.id]
    assert world.operations.released == [fresh.id]


async def test_whoever_locked_its_account_before_it_is_onboarded_keeps_nobody_waiting() -> None:
    world, locked, fresh = World(), onboarding(), onboarding()
    world.chain.show(locked, trustline=False)
    state = world.chain.there[locked.address]
    world.chain.there[locked.address] = replace(state, obeys=False)
    carrier, aside = Carrier([locked, fresh]), list[Any]()
    # No key opens, which tells who was to be signed for.
    assert await onboarder(world, carrier, BrokenSigners(), aside).step()
    assert aside == [fresh.id]
    assert world.events() == {locked.id: OperationEvent.RETRY}
    assert [item.due_ledger for item in world.operations.settled] == [LEDGER + 60]


async def test_new_accounts_are_made_but_for_those_that_are_there() -> None:
    world = World()
    there, missing = (operation(OperationKind.OPEN_CHANNEL, block=0) for _ in range(2))
    world.chain.show(there, trustline=False)
    carrier = Carrier([there, missing])
    accounts = NewAccounts(
        chain=cast(Any, world.chain),
        treasury=world.treasury,
        signers=cast(Any, FakeSigners()),
        transactions=cast(Any, carrier),
    )
    assert await accounts.create(OperationKind.OPEN_CHANNEL, funding=20_000_000)
    assert carrier.present == [there.id]
    ((ids, envelope),) = carrier.envelopes
    assert ids == (missing.id,)
    assert envelope.sequence == 42
    assert carrier.limit == 100


async def test_no_account_is_made_when_all_are_there() -> None:
    world, there = World(), operation(OperationKind.OPEN_PAYER, block=0)
    world.chain.show(there, trustline=False)
    carrier = Carrier([there])
    accounts = NewAccounts(
        chain=cast(Any, world.chain),
        treasury=world.treasury,
        signers=cast(Any, FakeSigners()),
        transactions=cast(Any, carrier),
    )
    assert await accounts.create(OperationKind.OPEN_PAYER, funding=20_000_000)
    assert carrier.envelopes == []
    carrier.claimed = []
    assert not await accounts.create(OperationKind.OPEN_PAYER, funding=20_000_000)


async def test_rent_is_not_waited_for_at_first() -> None:
    assert not RentTurn().is_waiting


async def test_farmers_are_onboarded_with_what_they_lack() -> None:
    world, signers = World(), FakeSigners()
    lined, bare = (
        replace(item, address=signers.key(item.wallet_id).address)
        for item in (onboarding(), onboarding())
    )
    world.chain.show(bare, trustline=False)
    carrier = Carrier([lined, bare])
    assert await onboarder(world, carrier, signers, []).step()
    ((ids, envelope),) = carrier.envelopes
    assert ids == (lined.id, bare.id)
    assert envelope.sequence == 42
    treasury = world.treasury.wallet.id
    assert signers.opened == [[treasury, lined.wallet_id, bare.wallet_id]]
    assert envelope.source == signers.key(treasury).address
    found = TransactionEnvelope.from_xdr(envelope.xdr, NETWORK.passphrase).transaction.operations
    made = [item.destination for item in found if isinstance(item, CreateAccount)]
    # One has its account already, and lacks its trustline.
    assert made == [lined.address]
    assert len(found) == 4 + 3


async def test_no_more_than_19_farmers_share_a_transaction() -> None:
    world, signers = World(), FakeSigners()
    items = [onboarding() for _ in range(20)]
    items = [replace(item, address=signers.key(item.wallet_id).address) for item in items]
    carrier = Carrier(items)
    await onboarder(world, carrier, signers, []).step()
    ((ids, _),) = carrier.envelopes
    assert len(ids) == 19
    assert world.operations.released == [items[-1].id]

"""A tracker's step: whom it follows, which ledgers it reads, and what becomes of the rest."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common import failpoints
from libs.common.errors import UnavailableError
from services.wallet.chain import DisagreementError, Included
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import LedgerHead, Outcome, OutcomeStatus, PailState
from services.wallet.domain.model import (
    Closing,
    OpenTransaction,
    OperationKind,
    TransactionEvent,
    TransactionId,
    TransactionState,
)
from services.wallet.engine.in_flight import InFlight
from services.wallet.engine.sender import Outgoing
from services.wallet.engine.settle.tracker import Tracker
from services.wallet.engine.wakeup import Wakeup, Wakeups
from tests.support.settling import (
    BLOCK,
    LEDGER,
    NOW,
    USED,
    FakeFollower,
    FakeNumbers,
    FakeTemplateBook,
    ReadChain,
    account,
    carried,
    in_flight,
    outcome,
)

CAP = 700
LIMITS = OperatorLimits(lifetime=30, max_fee=CAP, parallel=2)
NOT_FOUND = OutcomeStatus.NOT_FOUND
NEWER = outcome(OutcomeStatus.UNKNOWN, unknown="meta 9")


class Chain(ReadChain):
    """Shows ledgers, too."""

    def __init__(self) -> None:
        super().__init__()
        self.told = outcome(NOT_FOUND)
        self.outcomes: dict[str, Outcome] = {}
        #: Raised instead of ledgers.
        self.closed: Exception | None = None
        #: The first ledger of each reading, and the hashes that were asked for.
        self.readings: list[tuple[int, set[str]]] = []
        #: The ledger that used the source's number.
        self.used: int | None = None

    def witnesses(self) -> list["Chain"]:
        """As the chain's."""
        return [self]

    async def ledger_of_use(self, **_: Any) -> int | None:
        """As the chain's."""
        return self.used

    async def included(self, first: int, wanted: Mapping[str, Sequence[str]]) -> Included:
        """As the chain's."""
        self.readings.append((first, set(wanted)))
        if self.closed is not None:
            raise self.closed
        return Included(head=self.shown_head, outcomes=dict(self.outcomes))


class Transactions:
    """Has open transactions, and closes them."""

    def __init__(self) -> None:
        self.there: dict[TransactionId, OpenTransaction] = {}
        #: What others have signed, each with its ledger.
        self.others: dict[TransactionId, int] = {}
        self.asked_until: list[int] = []
        self.closings: list[Closing] = []
        #: What wallet did not write.
        self.forged: set[TransactionId] = set()
        self.unsealed: set[TransactionId] = set()

    def is_genuine(self, transaction: OpenTransaction) -> bool:
        """As the store's."""
        return transaction.id not in self.forged

    async def overdue(
        self, *, signed_until: int, known: Collection[TransactionId]
    ) -> dict[TransactionId, int]:
        """As the store's."""
        self.asked_until.append(signed_until)
        return {
            item: ledger
            for item, ledger in self.others.items()
            if ledger <= signed_until and item not in known
        }

    async def open(self, ids: Collection[TransactionId]) -> list[OpenTransaction]:
        """As the store's."""
        return [self.there[item] for item in sorted(ids) if item in self.there]

    async def close(
        self, closings: Sequence[Closing], *, forged: Collection[TransactionId] = frozenset()
    ) -> None:
        """As the store's."""
        self.unsealed |= set(forged)
        self.closings += closings
        for closing in closings:
            del self.there[closing.transaction_id]

    async def grown(self, harvests: Sequence[object]) -> dict[object, object]:
        """As the store's."""
        return {}


class World:
    """A tracker over stand-ins."""

    def __init__(self) -> None:
        self.chain, self.transactions = Chain(), Transactions()
        self.in_flight = InFlight()
        self.sent: list[Outgoing] = []
        self.touched: list[str] = []
        self.wakeups = Wakeups(changes=Wakeup(), settled=Wakeup())
        self.view = SimpleNamespace(newest=object(), current=SimpleNamespace())
        self.sees(LEDGER)
        self.tracker = Tracker(
            chain=cast(Any, self.chain),
            transactions=cast(Any, self.transactions),
            follower=cast(Any, FakeFollower()),
            chain_view=cast(Any, self.view),
            accounts=cast(
                Any, SimpleNamespace(touch=lambda seen: self.touched.extend(at for _, at in seen))
            ),
            sender=cast(Any, SimpleNamespace(send=self._send)),
            in_flight=self.in_flight,
            templates=cast(Any, FakeTemplateBook()),
            numbers=cast(Any, FakeNumbers()),
            limits=LIMITS,
            wakeups=self.wakeups,
        )

    async def _send(self, outgoing: Sequence[Outgoing], *, ledger: int) -> None:
        assert ledger == self.chain.shown_head.sequence
        self.sent += outgoing

    def sees(self, ledger: int, *, close_time: int = NOW, oldest: int = 0) -> None:
        """Have the chain, and what is known of it, at a ledger."""
        head = LedgerHead(sequence=ledger, close_time=close_time, oldest=oldest)
        self.chain.shown_head = self.view.current.ledger = head
        self.chain.read_ledger = ledger

    def follow(self, transaction: OpenTransaction, *, ledger: int = LEDGER - 2) -> None:
        """Follow a transaction that this process has sent."""
        self.transactions.there[transaction.id] = transaction
        self.in_flight.follow([transaction.id], ledger)

    @property
    def closed(self) -> dict[TransactionId, TransactionEvent]:
        return {item.transaction_id: item.event for item in self.transactions.closings}


def call(**values: Any) -> OpenTransaction:
    """A call of the farm; not due to be sent again."""
    return in_flight(carried(OperationKind.PLANT, block=BLOCK), **values)


def replace_hash(transaction: OpenTransaction, name: str) -> OpenTransaction:
    return replace(transaction, hash=name, lookup_hash=name)


async def test_nothing_is_asked_before_the_first_ledger() -> None:
    world = World()
    world.view.newest = None
    assert await world.tracker.step() == 0
    assert world.transactions.asked_until == []


async def test_what_ledgers_show_is_settled_at_once() -> None:
    world, shown, other = World(), call(), replace_hash(call(), "cc")
    for item in (shown, other):
        world.follow(item)
    world.chain.outcomes = {"aa": outcome()}
    settled = world.wakeups.settled.count
    assert await world.tracker.step() == 2
    assert world.closed == {shown.id: TransactionEvent.SUCCEED}
    assert world.in_flight.ids == {other.id}
    assert world.touched == [shown.operations[0].address]
    assert world.wakeups.settled.count == settled + 1
    assert world.chain.readings == [(LEDGER - 1, {"aa", "cc"})]
    # Neither is due to be sent, or past its bound: nobody is asked for a single hash.
    assert (world.chain.looked_up, world.sent) == ([], [])


async def test_a_work_moves_no_balance() -> None:
    world, work = World(), in_flight(carried(OperationKind.WORK, block=BLOCK))
    world.follow(work)
    world.chain.outcomes = {"aa": outcome()}
    await world.tracker.step()
    assert world.closed == {work.id: TransactionEvent.SUCCEED}
    assert world.touched == []


async def test_what_somebody_else_closed_is_forgotten() -> None:
    world, transaction = World(), call()
    world.follow(transaction)
    world.transactions.there.clear()
    assert await world.tracker.step() == 0
    assert world.in_flight.ids == set()


# Ledgers -------------------------------------------------------------------------------------


async def test_each_ledger_is_read_once() -> None:
    world = World()
    world.follow(call(), ledger=LEDGER - 2)
    for ledger in (LEDGER, LEDGER, LEDGER + 1, LEDGER + 3):
        world.sees(ledger)
        await world.tracker.step()
    assert [first for first, _ in world.chain.readings] == [LEDGER - 1, LEDGER + 1, LEDGER + 2]


async def test_no_more_than_twenty_ledgers_are_read_and_none_that_is_gone() -> None:
    world = World()
    world.follow(call(), ledger=LEDGER - 50)
    await world.tracker.step()
    assert world.chain.readings[0][0] == LEDGER - 19
    world = World()
    world.follow(call(), ledger=LEDGER - 50)
    world.sees(LEDGER, oldest=LEDGER - 5)
    await world.tracker.step()
    assert world.chain.readings[0][0] == LEDGER - 4


async def test_ledgers_that_nodes_do_not_give_are_read_again() -> None:
    world = World()
    world.follow(call())
    world.chain.closed = UnavailableError("away")
    await world.tracker.step()
    world.chain.closed = None
    world.sees(LEDGER + 1)
    await world.tracker.step()
    assert [first for first, _ in world.chain.readings] == [LEDGER - 1, LEDGER - 1]


async def test_ledgers_that_a_lagging_node_did_not_show_are_read_again() -> None:
    world = World()
    world.follow(call())
    world.chain.shown_head = LedgerHead(sequence=LEDGER - 1, close_time=NOW)
    await world.tracker.step()
    world.sees(LEDGER + 1)
    await world.tracker.step()
    assert [first for first, _ in world.chain.readings] == [LEDGER - 1, LEDGER]


async def test_a_ledger_that_never_was_is_not_taken_for_read() -> None:
    world = World()
    world.follow(call(), ledger=LEDGER - 2)
    world.sees(LEDGER + 100_000)
    await world.tracker.step()
    world.in_flight.turn_back(LEDGER)
    world.sees(LEDGER + 1)
    await world.tracker.step()
    world.sees(LEDGER + 2)
    await world.tracker.step()
    assert [first for first, _ in world.chain.readings[-2:]] == [LEDGER - 1, LEDGER + 2]


# Transactions of others ----------------------------------------------------------------------


async def test_at_the_start_all_that_is_open_is_followed_from_its_ledger() -> None:
    world, transaction = World(), call()
    world.transactions.there[transaction.id] = transaction
    world.transactions.others = {transaction.id: LEDGER - 7}
    assert await world.tracker.step() == 1
    assert world.transactions.asked_until == [LEDGER]
    assert world.chain.readings[0][0] == LEDGER - 6


async def test_later_what_others_signed_is_left_to_them_for_three_ledgers() -> None:
    world = World()
    await world.tracker.step()
    transaction = call()
    world.transactions.there[transaction.id] = transaction
    world.transactions.others = {transaction.id: LEDGER - 1}
    for ledger, count in ((LEDGER + 1, 0), (LEDGER + 2, 1)):
        world.sees(ledger)
        assert await world.tracker.step() == count
    assert world.transactions.asked_until == [LEDGER, LEDGER - 2, LEDGER - 1]
    # Its ledgers were passed before it was followed.
    assert world.chain.readings[0][0] == LEDGER


# What ledgers do not show --------------------------------------------------------------------


def due(**values: Any) -> OpenTransaction:
    """A call that is to be sent again."""
    return call(resend_ledger=LEDGER, **values)


async def test_what_is_due_is_looked_up_and_sent_again_with_its_cap() -> None:
    world, transaction = World(), due()
    world.follow(transaction)
    await world.tracker.step()
    assert world.chain.looked_up == ["bb"]
    (outgoing,) = world.sent
    assert (outgoing.id, outgoing.max_fee, outgoing.is_repeat) == (transaction.id, CAP, True)
    assert world.closed == {}


async def test_what_was_never_sent_is_no_repeat() -> None:
    world, transaction = World(), replace(due(), state=TransactionState.SIGNED)
    world.follow(transaction)
    await world.tracker.step()
    assert [item.is_repeat for item in world.sent] == [False]


async def test_a_transaction_without_operations_has_its_envelope_s_bid_as_its_cap() -> None:
    world = World()
    world.chain.bid = 4321
    # Whoever may write the row may write any bid into it.
    world.follow(in_flight(fee_bid=10**9, resend_ledger=LEDGER))
    await world.tracker.step()
    assert [item.max_fee for item in world.sent] == [4321]


async def test_a_row_that_wallet_did_not_write_is_not_sent() -> None:
    world, forged, sound = World(), due(), replace_hash(due(), "cc")
    for item in (forged, sound):
        world.follow(item)
    world.transactions.forged = {forged.id}
    await world.tracker.step()
    assert {item.id for item in world.sent} == {sound.id}


async def test_what_a_row_that_wallet_did_not_write_carried_does_not_end_by_its_word() -> None:
    world, forged, sound = World(), call(), replace_hash(call(), "cc")
    for item in (forged, sound):
        world.follow(item)
    world.transactions.forged = {forged.id}
    world.chain.outcomes = {"aa": outcome(), "cc": outcome()}
    await world.tracker.step()
    assert set(world.closed) == {forged.id, sound.id}
    assert world.transactions.unsealed == {forged.id}


async def test_an_envelope_that_holds_another_transaction_is_not_sent() -> None:
    world = World()
    world.follow(due())
    world.chain.bid = None
    await world.tracker.step()
    assert world.sent == []


async def test_what_the_hash_tells_settles_what_was_due() -> None:
    world, transaction = World(), due()
    world.follow(transaction)
    world.chain.told = outcome()
    await world.tracker.step()
    assert world.closed == {transaction.id: TransactionEvent.SUCCEED}
    assert (world.sent, world.in_flight.ids) == ([], set())


async def test_nodes_that_contradict_one_another_settle_nothing() -> None:
    world, transaction = World(), due()
    world.follow(transaction)
    world.chain.told = DisagreementError("one says so, one does not")
    await world.tracker.step()
    assert world.closed == {}
    assert [item.id for item in world.sent] == [transaction.id]


async def test_one_lookup_that_fails_does_not_hold_up_the_others() -> None:
    world, broken, sound = World(), due(), replace_hash(due(), "cc")
    for item in (broken, sound):
        world.follow(item)

    original = world.chain.outcome

    async def told(tx_hash: str, functions: Sequence[str]) -> Outcome:
        if tx_hash == "bb":
            raise RuntimeError("a defect")
        return await original(tx_hash, functions)

    world.chain.outcome = told  # type: ignore[method-assign]
    await world.tracker.step()
    assert [item.id for item in world.sent] == [sound.id]


async def test_a_lookup_that_is_not_understood_is_settled_by_the_state() -> None:
    world, newer = World(), due()
    world.follow(newer)
    world.chain.told = NEWER
    await world.tracker.step()
    (closing,) = world.transactions.closings  # there is no pail
    assert (closing.transaction_id, closing.event) == (newer.id, TransactionEvent.FAIL)
    assert closing.error == "its result is not known: meta 9"
    assert world.sent == []


async def test_past_the_bound_an_unused_number_excludes() -> None:
    world, transaction = World(), call(max_time=NOW - 1)
    world.follow(transaction)
    await world.tracker.step()
    assert world.closed == {transaction.id: TransactionEvent.EXCLUDE}
    assert world.sent == []


async def test_at_the_bound_itself_nothing_is_concluded() -> None:
    world = World()
    world.follow(call(max_time=NOW))
    await world.tracker.step()
    assert (world.closed, world.chain.looked_up) == ({}, [])


async def test_a_number_that_was_used_is_settled_by_the_state_in_the_end() -> None:
    world, transaction = World(), call(max_time=NOW - 100)
    world.follow(transaction)
    world.chain.used = 95
    await world.tracker.step()
    # There is no pail: the call failed.
    assert world.closed == {transaction.id: TransactionEvent.FAIL}


# Payments ------------------------------------------------------------------------------------


def payment(**values: Any) -> OpenTransaction:
    return in_flight(carried(OperationKind.WITHDRAW, block=0), bump_to=1005, **values)


async def test_payments_are_settled_by_their_payer_s_number_and_not_by_ledgers() -> None:
    world, waiting = World(), payment()
    world.follow(waiting)
    world.chain.outcomes = {"aa": outcome()}
    world.chain.account = account(4)
    await world.tracker.step()
    assert world.closed == {}
    world.chain.account = account(1005)
    await world.tracker.step()
    assert world.closed == {waiting.id: TransactionEvent.SUCCEED}
    assert world.touched == [waiting.operations[0].address]


async def test_a_payment_that_is_due_is_sent_again_without_a_lookup() -> None:
    world, waiting = World(), payment(resend_ledger=LEDGER)
    world.follow(waiting)
    world.chain.account = account(4)
    await world.tracker.step()
    assert world.chain.looked_up == []
    assert [item.max_fee for item in world.sent] == [LIMITS.cap(1, is_payment=True)]


async def test_payers_that_cannot_be_read_hold_up_no_call() -> None:
    world, waiting, shown = World(), payment(), replace_hash(call(), "cc")
    for item in (waiting, shown):
        world.follow(item)
    world.chain.outcomes = {"cc": outcome()}

    async def away(addresses: Sequence[str]) -> Any:
        raise UnavailableError("away")

    world.chain.accounts = away  # type: ignore[method-assign]
    await world.tracker.step()
    assert world.closed == {shown.id: TransactionEvent.SUCCEED}


# What is not understood -----------------------------------------------------------------------


@pytest.mark.parametrize(("charged", "counted"), [(101, 101), (0, 1001), (1002, 1001)])
async def test_a_result_that_is_not_understood_is_settled_by_the_state_at_what_it_cost(
    charged: int, counted: int
) -> None:
    world, planted = World(), in_flight(carried(OperationKind.PLANT, block=BLOCK, amount=9))
    operation = planted.operations[0]
    world.follow(planted)
    world.chain.pails_shown[operation.address, BLOCK] = PailState(
        sequence=USED, stake=9, gap=None, zeros=None, live_until=LEDGER + 1
    )
    world.chain.outcomes = {"aa": replace(NEWER, fee_charged=charged)}
    await world.tracker.step()
    (closing,) = world.transactions.closings
    assert (closing.event, closing.ledger) == (TransactionEvent.SUCCEED, USED)
    assert (closing.fee, closing.settlements[0].fee, closing.error) == (counted, counted, "")
    assert closing.settlements[0].amount == 9


async def test_it_is_told_once_what_is_not_understood(capfd: pytest.CaptureFixture[str]) -> None:
    world, one, other = World(), call(), replace_hash(call(), "cc")
    world.follow(one)
    world.follow(other)
    world.chain.outcomes = {"aa": NEWER, "cc": NEWER}
    await world.tracker.step()
    assert set(world.closed) == {one.id, other.id}
    assert "".join(capfd.readouterr()).count("not known") == 1
    (warning,) = world.chain.unknowns.warnings
    assert "results of transactions" in warning
    assert "meta 9; 2 times" in warning


async def test_a_state_that_cannot_be_read_holds_up_nobody_else() -> None:
    world, one, other = World(), call(), replace_hash(call(), "cc")
    world.follow(one)
    world.follow(other)
    world.chain.outcomes = {"aa": NEWER, "cc": outcome()}
    world.chain.read_ledger = USED - 1  # the node has not seen the ledger yet
    await world.tracker.step()
    assert world.closed == {other.id: TransactionEvent.SUCCEED}
    assert world.in_flight.ids == {one.id}


async def test_a_payment_is_settled_by_its_number_whatever_is_not_understood() -> None:
    world, paid = World(), payment()
    world.follow(paid)
    world.chain.outcomes = {"aa": NEWER}
    world.chain.account = account(1005)
    await world.tracker.step()
    assert world.closed == {paid.id: TransactionEvent.SUCCEED}


# What happens side by side -------------------------------------------------------------------


async def test_a_transaction_of_others_does_not_make_ledgers_be_passed_over() -> None:
    world = World()
    world.follow(call())
    await world.tracker.step()
    world.sees(LEDGER + 10)
    other = replace_hash(call(), "cc")
    world.transactions.there[other.id] = other
    world.transactions.others = {other.id: LEDGER + 5}
    await world.tracker.step()
    assert world.chain.readings[-1] == (LEDGER + 1, {"aa", "cc"})


async def test_what_ledgers_show_is_not_looked_up_although_it_is_due() -> None:
    world, shown = World(), due()
    world.follow(shown)
    world.chain.outcomes = {"aa": outcome()}
    await world.tracker.step()
    assert world.closed == {shown.id: TransactionEvent.SUCCEED}
    assert (world.chain.looked_up, world.sent) == ([], [])


async def test_a_forged_row_is_told_of_when_it_ends(capfd: pytest.CaptureFixture[str]) -> None:
    world, shown, forged = World(), call(), replace_hash(call(), "cc")
    for item in (shown, forged):
        world.follow(item)
    world.transactions.forged = {forged.id}
    world.chain.outcomes = {"aa": outcome()}
    await world.tracker.step()
    assert world.transactions.unsealed == set()
    assert "not written by wallet" not in "".join(capfd.readouterr())


async def test_sixteen_are_looked_up_at_the_same_time() -> None:
    world, now, most = World(), 0, 0
    for number in range(20):
        world.follow(replace_hash(due(), f"c{number}"))

    async def told(tx_hash: str, functions: Sequence[str]) -> Outcome:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return outcome()

    world.chain.outcome = told  # type: ignore[method-assign]
    await world.tracker.step()
    assert (len(world.closed), most) == (20, 16)


@pytest.mark.parametrize(
    ("name", "closed"), [("wallet.settle.before", 0), ("wallet.settle.after", 1)]
)
async def test_a_process_may_die_on_both_sides_of_a_closing(name: str, closed: int) -> None:
    world = World()
    world.follow(call())
    world.chain.outcomes = {"aa": outcome()}
    failpoints.arm(f"{name}=raise")
    try:
        with pytest.raises(failpoints.FailpointError, match=name):
            await world.tracker.step()
    finally:
        failpoints.arm("")
    assert len(world.closed) == closed

"""Payers' numbers against the records: who may sign, what is booked, and who has to stop."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from stellar_sdk import Keypair

from libs.common.errors import UnavailableError
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.errors import TamperedError
from services.wallet.domain.model import OperationEvent, OperationState, Settlement, TransactionId
from services.wallet.domain.payer_history import Mark, PastTransaction, PayerHistory
from services.wallet.domain.payments import PayerRecord, SeenTransaction
from services.wallet.domain.trust import Decision
from services.wallet.engine.payments.payer_numbers import PayerNumbers
from services.wallet.engine.wakeup import Wakeup, Wakeups
from services.wallet.store.payers import LeasedPayer, MadePayment

S = OperationState
#: The ledger that is read, and the one that used the payer's number.
LEDGER, USED = 100, 95
ADDRESS = Keypair.random().public_key
#: A number that nobody has used: the ledger that made the account is in its upper half.
BEGINNING = 90 << 32
PAID = PayerRecord(paid=1000, highest=1000)
AHEAD = "its number {} was used by a transaction that no record knows"
BEHIND = "payments are recorded as made that its number {} says were not"


def payer(stopped: str = "", address: str = ADDRESS) -> LeasedPayer:
    return LeasedPayer(
        wallet_id=WalletId(new_id()),
        address=address,
        until=datetime(2026, 1, 1, tzinfo=UTC),
        stopped=stopped,
    )


def made(state: OperationState, *, is_genuine: bool = True) -> MadePayment:
    return MadePayment(
        operation_id=OperationId(new_id()),
        state=state,
        transaction_id=TransactionId(new_id()),
        hash="cafe",
        is_genuine=is_genuine,
    )


def seen(*, sequence: int = 1001, bump_to: int | None = 2001, ok: bool = False) -> SeenTransaction:
    return SeenTransaction(
        hash="aa",
        inner_hash="bb",
        envelope="",
        sequence=sequence,
        bump_to=bump_to,
        max_time=0,
        ledger=USED,
        fee_charged=300,
        succeeded=ok,
        payments=(),
    )


@dataclass(frozen=True, kw_only=True)
class Booked:
    """What was booked at a number."""

    number: int
    paid: list[Settlement]
    given_up: list[MadePayment]
    ledger: int
    forged: Collection[OperationId]


class Chain:
    """Shows the payer's account, and the transaction that used its number."""

    def __init__(self, number: int) -> None:
        self.account: dict[str, Any] = {"exists": True, "used_ledger": USED, "sequence": number}
        self.used: SeenTransaction | Exception | None = None
        self.looked_up: list[tuple[str, int]] = []
        self.decisions: list[Decision] = []

    def trusted(self, decision: Decision) -> "Chain":
        """As the chain's."""
        self.decisions.append(decision)
        return self

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's."""
        return LEDGER, [AccountState(address=item, **self.account) for item in addresses]

    async def used_by(self, address: str, ledger: int) -> SeenTransaction | None:
        """As the chain's."""
        self.looked_up.append((address, ledger))
        if isinstance(self.used, Exception):
            raise self.used
        return self.used


class Payers:
    """Has the records of the payer."""

    def __init__(self, record: PayerRecord) -> None:
        self.record = record
        self.pasts: dict[str, list[PastTransaction]] = {}
        #: How often a whole past was read.
        self.read = 0
        #: By number: the payments that were made when the payer stands at it.
        self.shown: dict[int, list[MadePayment]] = {}
        #: Numbers that an envelope on record leads to.
        self.known: set[int] = set()
        self.missing: list[Any] = []
        self.is_recognised = True
        self.before: dict[OperationId, str] | Exception = {}
        #: What this process had seen of the payer, per question what was paid before.
        self.judged_by: list[dict[TransactionId, int]] = []
        self.booked: list[Booked] = []
        self.found: list[SeenTransaction] = []
        self.stops: list[str] = []

    async def past_marks(self, addresses: Sequence[str]) -> dict[str, Mark]:
        """As the store's."""
        marks = {}
        for address in addresses:
            if past := self.pasts.get(address, []):
                marks[address] = len(past), sum(item.bump_to for item in past)
        return marks

    async def past(self, address: str) -> list[PastTransaction]:
        """As the store's."""
        self.read += 1
        return self.pasts.get(address, [])

    async def records(self, addresses: Sequence[str]) -> dict[str, PayerRecord]:
        """As the store's."""
        return dict.fromkeys(addresses, self.record)

    async def paid_before(
        self, _address: str, payments: Collection[OperationId], history: PayerHistory
    ) -> dict[OperationId, str]:
        """As the store's."""
        self.judged_by.append(dict(history.seen))
        if isinstance(self.before, Exception):
            raise self.before
        return {item: by for item, by in self.before.items() if item in payments}

    async def is_known(self, _address: str, number: int) -> bool:
        """As the store's."""
        return number in self.known

    async def unmade(self, _address: str, _number: int) -> list[Any]:
        """As the store's."""
        return self.missing

    async def made(self, _address: str, number: int) -> list[MadePayment]:
        """As the store's."""
        return self.shown.get(number, [])

    async def book(
        self,
        _address: str,
        number: int,
        settlements: Sequence[Settlement],
        given_up: Sequence[MadePayment],
        *,
        ledger: int,
        forged: Collection[OperationId],
    ) -> None:
        """As the store's."""
        self.booked.append(
            Booked(
                number=number,
                paid=list(settlements),
                given_up=list(given_up),
                ledger=ledger,
                forged=forged,
            )
        )

    async def book_found(self, _payer: LeasedPayer, found: SeenTransaction) -> bool:
        """As the store's."""
        self.found.append(found)
        return self.is_recognised

    async def stop(self, _payer: WalletId, reason: str) -> bool:
        """As the store's."""
        self.stops.append(reason)
        return True


class Repayments:
    """Notes what is to be made good."""

    def __init__(self) -> None:
        self.is_behind_for_long = True
        self.asked: list[int] = []
        self.repaid: list[int] = []
        self.well = 0

    def is_sure(self, _address: str, ledger: int) -> bool:
        """As the real one's."""
        self.asked.append(ledger)
        return self.is_behind_for_long

    def is_well(self, _address: str) -> None:
        """As the real one's."""
        self.well += 1

    async def repay(self, _payer: LeasedPayer, _unmade: Sequence[Any], number: int) -> None:
        """As the real one's."""
        self.repaid.append(number)


class World:
    """Payers' numbers over stand-ins: a payer at a number, and what the records say of it."""

    def __init__(self, number: int = 1000, record: PayerRecord = PAID) -> None:
        self.chain, self.payers, self.repayments = Chain(number), Payers(record), Repayments()
        self.settled = Wakeup()
        self.numbers = PayerNumbers(
            cast(Any, self.chain),
            cast(Any, self.payers),
            cast(Any, self.repayments),
            Wakeups(settled=self.settled, changes=Wakeup()),
        )

    async def steady(self, stopped: str = "") -> tuple[int, PayerRecord] | None:
        """Return what the payer may sign by; None when it may not."""
        found = await self.numbers.steady([payer(stopped)])
        return next(iter(found.values()), None)


# Steady


async def test_a_payer_signs_after_the_number_that_the_records_explain() -> None:
    world = World()
    assert await world.steady() == (1000, PAID)
    assert world.chain.decisions == [Decision.SETTLE_PAYMENT]
    # There is nothing to note, to book or to read.
    assert (world.payers.stops, world.payers.booked, world.payers.read) == ([], [], 0)
    assert (world.chain.looked_up, world.repayments.well) == ([], 1)
    assert world.repayments.asked == []


async def test_an_account_that_does_not_exist_yet_is_left_alone() -> None:
    world = World()
    world.chain.account["exists"] = False
    assert await world.steady() is None
    assert world.payers.stops == []


async def test_an_account_that_was_never_used_may_begin() -> None:
    world = World(BEGINNING, PayerRecord())
    assert await world.steady() == (BEGINNING, PayerRecord())
    # Its number is not the one of a payment: whether one was made is asked all the same.
    assert world.payers.booked == []


async def test_a_payer_whose_key_does_not_suffice_stops() -> None:
    world = World()
    world.chain.account["obeys"] = False
    assert await world.steady() is None
    assert world.payers.stops == ["the pool's key alone does not suffice for its account any more"]


async def test_a_payer_goes_on_and_that_is_noted_once(capfd: pytest.CaptureFixture[str]) -> None:
    world = World()
    assert await world.steady(stopped="some reason") is not None
    assert await world.steady() is not None
    assert world.payers.stops == [""]
    assert "payer goes on" in "".join(capfd.readouterr())


# The past


def past(*pairs: tuple[int, int], is_genuine: bool = True) -> list[PastTransaction]:
    return [
        PastTransaction(
            id=TransactionId(new_id()), sequence=sequence, bump_to=bump_to, is_genuine=is_genuine
        )
        for sequence, bump_to in pairs
    ]


async def test_a_past_is_read_once_and_again_when_its_mark_changes() -> None:
    world = World()
    world.payers.pasts[ADDRESS] = past((BEGINNING + 1, 1000))
    assert await world.steady() is not None
    assert await world.steady() is not None
    assert world.payers.read == 1
    world.payers.pasts[ADDRESS] += past((1001, 2000))
    assert await world.steady() is not None
    assert world.payers.read == 2


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (past((BEGINNING + 1, 1000), is_genuine=False), "was not written by wallet"),
        (past((1500, 2000)), "the transaction that led to its number 1499 is gone"),
    ],
)
async def test_a_payer_whose_past_was_changed_stops_before_anything_else(
    changed: list[PastTransaction], reason: str
) -> None:
    world = World(500)
    world.payers.pasts[ADDRESS] = changed
    assert await world.steady() is None
    (told,) = world.payers.stops
    assert reason in told
    assert (world.repayments.asked, world.payers.booked) == ([], [])


async def test_a_payer_whose_past_is_gone_stops_and_the_others_go_on() -> None:
    world, other = World(), payer(address=Keypair.random().public_key)
    world.payers.pasts[ADDRESS] = past((BEGINNING + 1, 1000))
    assert await world.steady() is not None
    del world.payers.pasts[ADDRESS]
    assert list(await world.numbers.steady([payer(), other])) == [other]
    (told,) = world.payers.stops
    assert "of its past is gone" in told


async def test_what_was_paid_before_is_asked_of_the_records() -> None:
    world, mine = World(), OperationId(new_id())
    world.payers.before = {mine: "cafe"}
    assert await world.numbers.paid_before(payer(), [mine]) == {mine: "cafe"}
    assert await world.numbers.paid_before(payer(), []) == {}


async def test_what_was_paid_before_is_judged_by_what_the_process_has_seen() -> None:
    world = World()
    world.payers.pasts[ADDRESS] = seen = past((BEGINNING + 1, 1000))
    await world.steady()
    await world.numbers.paid_before(payer(), [OperationId(new_id())])
    assert world.payers.judged_by == [{seen[0].id: seen[0].bump_to}]


async def test_a_payer_with_a_forged_envelope_stops_and_its_past_is_judged_anew() -> None:
    world = World()
    world.payers.pasts[ADDRESS] = past((BEGINNING + 1, 1000))
    await world.steady()
    world.payers.before = TamperedError("not written by wallet")
    assert await world.numbers.paid_before(payer(), [OperationId(new_id())]) is None
    assert world.payers.stops == ["not written by wallet"]
    await world.steady()
    assert world.payers.read == 2


# Ahead


async def test_a_number_that_nobody_explains_stops_the_payer(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = World(1001)
    # That its key does not suffice either is told later.
    world.chain.account["obeys"] = False
    assert await world.steady() is None
    assert world.payers.stops == [AHEAD.format(1001)]
    assert "payer stops" in "".join(capfd.readouterr())
    assert world.chain.looked_up == [(ADDRESS, USED)]


async def test_a_payment_that_the_number_shows_is_booked_and_then_the_payer_signs() -> None:
    world = World(2000)
    waiting, wrong, again = (
        made(S.QUEUED), made(S.SUCCEEDED), made(S.EXPIRED, is_genuine=False)
    )  # fmt: skip
    failed = made(S.FAILED)
    world.payers.shown[2000] = [waiting, wrong, again, failed]
    found = await world.steady()
    assert found == (2000, PayerRecord(paid=2000, highest=1000))
    (booked,) = world.payers.booked
    (paid,) = booked.paid
    assert (paid.operation_id, paid.event) == (waiting.operation_id, OperationEvent.SUCCEED)
    assert (paid.ledger, paid.fee) == (USED, 0)
    assert paid.message.endswith("by cafe")
    assert (booked.number, booked.ledger) == (2000, USED)
    # Those that had been given up are corrected; who was never carried by wallet's word is forged.
    assert booked.given_up == [again, failed]
    assert booked.forged == {again.operation_id}
    assert world.settled.count == 1
    assert world.payers.stops == []


async def test_the_ledger_of_the_reading_counts_where_the_account_tells_none() -> None:
    world = World(2000)
    world.chain.account["used_ledger"] = 0
    world.payers.shown[2000] = [made(S.QUEUED)]
    await world.steady()
    assert [item.ledger for item in world.payers.booked] == [LEDGER]


@pytest.mark.parametrize(("state", "rings"), [(S.SUCCEEDED, 0), (S.FAILED, 1), (S.QUEUED, 1)])
async def test_who_waits_is_woken_when_anything_is_booked(
    state: OperationState, rings: int
) -> None:
    world = World(2000)
    world.payers.shown[2000] = [made(state)]
    await world.steady()
    assert len(world.payers.booked) == 1
    assert world.settled.count == rings


async def test_a_number_that_the_records_have_is_not_booked_again() -> None:
    world = World(1000)
    world.payers.shown[1000] = [made(S.QUEUED)]
    await world.steady()
    assert world.payers.booked == []


UNKNOWN = "payments that no record knows"


@pytest.mark.parametrize("is_recognised", [True, False])
async def test_a_lost_transaction_that_failed_paid_nothing(
    is_recognised: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    world = World(1001)
    world.chain.used = lost = seen(sequence=1001)
    world.payers.is_recognised = is_recognised
    assert await world.steady() == (1001, PayerRecord(paid=1000, highest=1000, failed=1001))
    assert world.payers.found == [lost]
    assert world.settled.count == int(is_recognised)
    assert world.payers.stops == []
    assert UNKNOWN not in "".join(capfd.readouterr())


@pytest.mark.parametrize("is_recognised", [True, False])
async def test_after_a_lost_transaction_that_paid_the_payer_waits_for_the_next_look(
    is_recognised: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    world = World(2001)
    world.chain.used = seen(bump_to=2001, ok=True)
    world.payers.is_recognised = is_recognised
    assert await world.steady() is None
    assert (UNKNOWN in "".join(capfd.readouterr())) is not is_recognised
    assert len(world.payers.found) == 1
    assert world.payers.stops == [AHEAD.format(2001)]


@pytest.mark.parametrize(
    "used",
    [
        # Another transaction than the one that led to this number.
        seen(sequence=1002),
        seen(sequence=1001, bump_to=2001, ok=True),
        None,
        UnavailableError("no node remembers"),
    ],
)
async def test_what_does_not_explain_the_number_is_not_booked(
    used: SeenTransaction | Exception | None,
) -> None:
    world = World(1001)
    world.chain.used = used
    assert await world.steady() is None
    assert (world.payers.found, world.payers.stops) == ([], [AHEAD.format(1001)])


# Behind


async def test_a_payer_that_has_just_fallen_behind_is_left_alone() -> None:
    world = World(500)
    world.repayments.is_behind_for_long = False
    world.payers.shown[500] = [made(S.QUEUED)]
    assert await world.steady() is None
    assert world.repayments.asked == [LEDGER]
    assert (world.payers.stops, world.payers.booked, world.repayments.repaid) == ([], [], [])


@pytest.mark.parametrize("number", [BEGINNING, 500])
async def test_payments_that_were_not_made_are_made_good(number: int) -> None:
    world = World(number, PayerRecord(paid=BEGINNING + 1000, highest=BEGINNING + 1000))
    world.payers.known = {500}
    world.payers.missing = ["unmade"]
    assert await world.steady() is None
    assert world.repayments.repaid == [number]
    assert world.payers.stops == [BEHIND.format(number)]
    assert world.repayments.well == 0


async def test_nothing_is_made_good_after_a_number_that_nobody_explains() -> None:
    world = World(500)
    world.payers.missing = ["unmade"]
    assert await world.steady() is None
    assert world.repayments.repaid == []
    assert world.payers.stops == [AHEAD.format(500)]


async def test_a_lost_failure_explains_a_number_that_lies_behind() -> None:
    world = World(500)
    world.chain.used = seen(sequence=500)
    world.payers.missing = ["unmade"]
    assert await world.steady() is None
    assert world.repayments.repaid == [500]


async def test_where_nothing_is_missing_the_payer_goes_on_from_its_number() -> None:
    world = World(500)
    world.payers.known = {500}
    assert await world.steady() == (500, PayerRecord(paid=500, highest=1000))
    assert (world.payers.stops, world.repayments.repaid) == ([], [])
    assert world.repayments.well == 1


async def test_a_payment_at_a_number_behind_is_booked_before_others_are_made_good() -> None:
    world = World(500)
    world.payers.known = {500}
    world.payers.shown[500] = [made(S.QUEUED)]
    world.payers.missing = ["unmade"]
    assert await world.steady() is None
    assert [item.number for item in world.payers.booked] == [500]
    assert world.repayments.repaid == [500]

"""Who is paid now, how much, and why an amount waits: rules without any table or clock."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, unique
from uuid import UUID

from libs.common.ids import PoolerId

#: Pauses after failures grow up to this many times the first one.
_LONGEST_PAUSE = 32
#: An estimate further away than this is none.
_FORESEEABLE = timedelta(days=3650)
_DAY = timedelta(days=1)


@unique
class PayeeKind(Enum):
    """Who is paid."""

    FARMER = "farmer"
    POOLER = "pooler"
    MINER = "miner"
    OPERATOR = "operator"


@unique
class Cause(Enum):
    """Why somebody is paid now; the values are those in the database."""

    THRESHOLD = "threshold"
    INTERVAL = "interval"
    NOW = "now"
    SWEEP = "sweep"
    LEAVING = "leaving"


@unique
class Reason(Enum):
    """Why an amount was not paid yet; the names are those of PendingReason."""

    DUE = "due"
    ON_ITS_WAY = "on its way"
    BELOW_THRESHOLD = "below threshold"
    INTERVAL = "interval"
    TOO_SMALL = "too small"
    NO_TERMS = "no terms"
    SWITCHED_OFF = "switched off"
    DAILY_LIMIT = "daily limit"
    NEEDS_APPROVAL = "needs approval"
    REFUSED = "refused"
    FARMER_SUSPENDED = "farmer suspended"
    POOLER_SUSPENDED = "pooler suspended"
    FARMER_DEPARTED = "farmer departed"
    SIGNING_PAUSED = "signing paused"
    STAKED = "staked"
    NOT_COLLECTED = "not collected"
    NOT_DIVIDED = "not divided"
    LEAVING = "leaving"


#: What an operator's own order passes over.
_BY_HAND = frozenset({Reason.FARMER_SUSPENDED, Reason.POOLER_SUSPENDED, Reason.FARMER_DEPARTED})


@dataclass(frozen=True, kw_only=True)
class Terms:
    """When a payee is paid."""

    #: Stroops from which on.
    threshold: int
    #: Seconds after which at the latest; 0: by the threshold alone.
    interval: int


@dataclass(frozen=True, kw_only=True)
class History:
    """What came of a payee's payouts so far."""

    #: When it was paid last; of one that never was: since when it has anything.
    since: datetime
    #: When fees were moved out of its account last; None: never.
    swept_at: datetime | None = None
    #: Stroops of fees that stayed there then: they could not go.
    fees_left: int = 0
    #: Tries that have failed since, one after the other.
    failures: int = 0
    #: When the last one did.
    failed_at: datetime | None = None
    #: The same of sweeps of its fees.
    sweep_failures: int = 0
    sweep_failed_at: datetime | None = None
    #: Why, for machines and for people.
    refusal: str = ""
    message: str = ""
    #: The run that has a payout of it now; None: none has.
    run_id: UUID | None = None
    #: Stroops that this payout is of.
    open_amount: int = 0
    #: Stroops that left to it within 24 hours, or are on their way, and since when.
    left_today: int = 0
    left_since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Waits:
    """An amount of a payee that cannot be paid out, and why."""

    #: Stroops.
    amount: int
    #: Why.
    reason: Reason
    #: Since when.
    since: datetime
    #: When that is over at the earliest; None: nobody knows.
    expected_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Payee:
    """Somebody who has something to get."""

    kind: PayeeKind
    #: The farmer, pooler or miner.
    payee_id: UUID
    pooler_id: PoolerId
    #: A miner's, and a pooler's that is paid for its own hashes; else empty: wallet has it.
    address: str = ""
    #: Stroops that can be paid out, without those that are on their way.
    payable: int
    #: Stroops of fees that lie in a farmer's account, and since when.
    fees: int = 0
    fees_since: datetime | None = None
    #: None: nothing was agreed.
    terms: Terms | None
    history: History
    #: What stands against all payouts; None: nothing.
    standing: Reason | None = None
    #: Whether it leaves the pool: then it is paid all that it has, whatever its terms.
    is_leaving: bool = False
    #: What cannot be paid out at all yet.
    others: Sequence[Waits] = ()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The operator's rules, and how the pool stands."""

    #: Whether payouts are switched off.
    is_off: bool
    #: Stroops that are worth a payment.
    minimum: int
    #: When fees are moved out of a farmer's account that is not paid itself.
    sweep: Terms
    #: Stroops above which a payout is for operators.
    approval: int
    #: Stroops that may leave to one payee, and to all, within 24 hours; 0: no limit.
    daily_payee: int
    daily_pool: int
    #: Seconds of the pause after a first failure.
    pause: float
    #: When the next run by itself may be; None: there are none.
    next_run: datetime | None


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody wants that is more than the loop's own rules; by default nothing."""

    #: Whether operators want it: the large, the suspended, and what has failed a moment ago, too.
    by_hand: bool = False
    #: Whether the suspended and the departed are meant, too: one farmer is, by name.
    whatever_stands: bool = False


@dataclass(frozen=True, kw_only=True)
class Due:
    """A payout that can be made now."""

    payee: Payee
    #: Stroops; 0: fees only.
    amount: int
    cause: Cause
    #: Why what is its own is not paid with it, or not all of it; None: there is nothing.
    rest: "Pending | None" = None


@dataclass(frozen=True, kw_only=True)
class Pending:
    """An amount that was not paid yet."""

    payee: Payee
    #: Stroops.
    amount: int
    reason: Reason
    since: datetime
    #: When it is paid or tried at the earliest; None: that depends on somebody's act.
    expected_at: datetime | None = None
    #: Whether that is reckoned from what was earned so far.
    is_estimate: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run pays, and what it leaves."""

    due: Sequence[Due]
    left: Sequence[Pending]

    @property
    def total(self) -> int:
        """Return the stroops that it pays."""
        return sum(one.amount for one in self.due)


@dataclass(frozen=True, kw_only=True)
class Left:
    """What left the pool within 24 hours."""

    #: Stroops, those that are on their way included.
    amount: int = 0
    #: When the first of it was recorded; None: nothing was.
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Claims:
    """A pooler's and its miners' fees, by where they lie."""

    #: Stroops that are the pooler's in all, and its miners', divided or not.
    fee: int
    divided: int
    undivided: int
    #: The pooler's part of rewards that lies in farmers' accounts.
    uncollected: int
    #: In the pooler's custodial account, as wallet reckons it: of both parts.
    pooler_funds: int
    miner_funds: int


def pay_of_pooler(claims: Claims) -> tuple[int, int]:
    """Return what a pooler can be paid from its own part, and for its own hashes from its miners'.

    What is its miners' is kept for them.
    """
    own = max(0, min(claims.fee, claims.pooler_funds))
    mined = claims.fee - own - max(0, claims.uncollected)
    return own, max(0, min(mined, claims.miner_funds - claims.divided - claims.undivided))


def pay_of_miner(earned: int, *, until: int, funds: int) -> int:
    """Return what a miner can be paid, all that it has or nothing: two payments cost twice.

    `until` is what it and those before it have, and `funds` what lies in its pooler's account.
    """
    return earned if until <= funds else 0


def plan(
    payees: Iterable[Payee], rules: Rules, left: Left, now: datetime, order: Order | None = None
) -> Plan:
    """Return what is paid now: who has waited longest goes first, within what may leave a day."""
    due, waiting = list[Due](), list[Pending]()
    for payee in payees:
        found = decide(payee, rules, now, order or Order())
        if isinstance(found, Due):
            due.append(found)
        waiting += _left(payee, found)
    taken = list[Due]()
    room = rules.daily_pool - left.amount
    for one in sorted(due, key=lambda one: (one.payee.history.since, one.payee.payee_id)):
        part = _part(one.amount, rules, rules.daily_pool, room)
        if part < one.amount:
            rest, since = one.amount - part, left.since or now
            waiting.append(_limited(one.payee, rest, rules, rules.daily_pool, since))
        if part or not one.amount:
            room -= part
            taken.append(replace(one, amount=part))
    return Plan(due=taken, left=waiting)


def decide(payee: Payee, rules: Rules, now: datetime, order: Order) -> Due | Pending | None:
    """Return what a payee is paid now, or why it is not; None: it has nothing to be paid.

    What is on its way already is no part of that, and nothing is paid beside it.
    """
    amount = payee.payable
    own = _own(payee, rules, now)
    if payee.history.run_id is not None:
        waits = _held_up(payee, rules, now, order, own)
        due = _pending(payee, amount, _due_reason(payee), rules.next_run)
        return (waits or due) if amount > 0 else None
    held = _held_up(payee, rules, now, order, own)
    if isinstance(own, Due) and held is None:
        return _within_its_day(own, rules, now)
    rest = held if amount > 0 else None
    # Whatever keeps its own back, its fees are others'.
    if _may_be_swept(held) and _has_fees_to_move(payee, rules, now):
        return Due(payee=payee, amount=0, cause=Cause.SWEEP, rest=rest)
    return rest


def pending_of(payee: Payee, rules: Rules, left: Left, now: datetime) -> Iterator[Pending]:
    """Yield each amount of a payee that was not paid yet, with its reason."""
    found = decide(payee, rules, now, Order())
    if isinstance(found, Due) and found.amount:
        limit = rules.daily_pool
        part = _part(found.amount, rules, limit, limit - left.amount)
        if part:
            yield _pending(payee, part, _due_reason(payee), rules.next_run)
        if part < found.amount:
            yield _limited(payee, found.amount - part, rules, limit, left.since or now)
    yield from _left(payee, found)


def _due_reason(payee: Payee) -> Reason:
    """Return why what the next run pays was not paid yet."""
    return Reason.LEAVING if payee.is_leaving else Reason.DUE


def _left(payee: Payee, found: Due | Pending | None) -> Iterator[Pending]:
    """Yield what is left of a payee when it is paid what was found."""
    if payee.history.run_id is not None and payee.history.open_amount > 0:
        yield _pending(payee, payee.history.open_amount, Reason.ON_ITS_WAY)
    waits = found.rest if isinstance(found, Due) else found
    if waits is not None:
        yield waits
    for one in payee.others:
        if one.amount > 0:
            yield Pending(
                payee=payee,
                amount=one.amount,
                reason=one.reason,
                since=one.since,
                expected_at=one.expected_at,
            )


def amount_now(payee: Payee, wanted: int | None) -> int:
    """Return what a farmer is paid who wants to be paid now; 0: it has less than that."""
    if wanted is None:
        return max(0, payee.payable)
    return wanted if wanted <= payee.payable else 0


def retried_at(failures: int, failed_at: datetime | None, pause: float) -> datetime | None:
    """Return when is tried again what has failed so often; None when it has not."""
    if failed_at is None or not failures:
        return None
    times = min(2 ** (min(failures, 10) - 1), _LONGEST_PAUSE)
    return failed_at + timedelta(seconds=pause * times)


def room_of(payee: Payee, rules: Rules, left: Left) -> int | None:
    """Return the stroops that may still leave to a payee within 24 hours; None: no limit."""
    rooms = [
        limit - used
        for limit, used in (
            (rules.daily_payee if payee.kind is PayeeKind.FARMER else 0, payee.history.left_today),
            (rules.daily_pool, left.amount),
        )
        if limit
    ]
    return max(0, min(rooms)) if rooms else None


def _own(payee: Payee, rules: Rules, now: datetime) -> Due | Pending:
    """Return what is due of a payee's own by terms alone."""
    terms, since, amount = payee.terms, payee.history.since, payee.payable
    if payee.is_leaving and amount > 0:
        return Due(payee=payee, amount=amount, cause=Cause.LEAVING)
    if terms is not None and amount > 0 and amount >= rules.minimum:
        if amount >= terms.threshold:
            return Due(payee=payee, amount=amount, cause=Cause.THRESHOLD)
        if terms.interval and now >= since + timedelta(seconds=terms.interval):
            return Due(payee=payee, amount=amount, cause=Cause.INTERVAL)
    return _wait(payee, rules, now)


def _may_be_swept(held: Pending | None) -> bool:
    """Tell whether what holds a farmer's own up lets its fees go on."""
    return held is None or held.reason in {
        Reason.BELOW_THRESHOLD,
        Reason.INTERVAL,
        Reason.TOO_SMALL,
        Reason.NO_TERMS,
        Reason.DAILY_LIMIT,
        Reason.NEEDS_APPROVAL,
        Reason.REFUSED,
    }


def _has_fees_to_move(payee: Payee, rules: Rules, now: datetime) -> bool:
    history = payee.history
    again = retried_at(history.sweep_failures, history.sweep_failed_at, rules.pause)
    # Of who leaves each stroop has to go.
    least = 1 if payee.is_leaving else max(rules.minimum, 1)
    if payee.fees < least or (again is not None and now < again):
        return False
    begun = max(filter(None, (payee.fees_since, history.swept_at)), default=now)
    enough = 1 if payee.is_leaving else max(rules.sweep.threshold, 1)
    # What a sweep has left is tried again, but at the interval's pace.
    return payee.fees - history.fees_left >= enough or (
        bool(rules.sweep.interval) and now >= begun + timedelta(seconds=rules.sweep.interval)
    )


def _held_up(
    payee: Payee, rules: Rules, now: datetime, order: Order, due: Due | Pending
) -> Pending | None:
    """Return what keeps a payee from being paid; None when nothing does."""
    shown = payee.payable if payee.payable > 0 else 0
    standing = payee.standing
    if order.whatever_stands and standing in _BY_HAND:
        standing = None
    again = None if order.by_hand else _again(payee.history, rules)
    if rules.is_off:
        held = _pending(payee, shown, Reason.SWITCHED_OFF)
    elif standing is not None:
        held = _pending(payee, shown, standing)
    elif again is not None and now < again:
        held = _pending(payee, shown, Reason.REFUSED, again)
    elif isinstance(due, Pending):
        held = due
    elif due.amount > rules.approval and not order.by_hand:
        held = _pending(payee, shown, Reason.NEEDS_APPROVAL)
    elif not _part_of_its_day(due, rules):
        held = _limited(payee, shown, rules, rules.daily_payee, payee.history.left_since or now)
    else:
        return None
    return held


def _again(history: History, rules: Rules) -> datetime | None:
    return retried_at(history.failures, history.failed_at, rules.pause)


def _within_its_day(due: Due, rules: Rules, now: datetime) -> Due:
    """Return what a payee is paid of that within the limit of its day, and why not the rest."""
    part, payee = _part_of_its_day(due, rules), due.payee
    if part == due.amount:
        return due
    since = payee.history.left_since or now
    rest = _limited(payee, due.amount - part, rules, rules.daily_payee, since)
    return replace(due, amount=part, rest=rest)


def _part_of_its_day(due: Due, rules: Rules) -> int:
    limit = rules.daily_payee if due.payee.kind is PayeeKind.FARMER else 0
    return _part(due.amount, rules, limit, limit - due.payee.history.left_today)


def _part(amount: int, rules: Rules, limit: int, room: int) -> int:
    """Return what is paid of an amount when there is so much room within the limit of a day.

    All or nothing: two payments cost twice. What is more than the limit never goes as a whole, and
    is paid in parts.
    """
    if not limit or amount <= room:
        return amount
    return room if amount > limit and room >= max(rules.minimum, 1) else 0


def _wait(payee: Payee, rules: Rules, now: datetime) -> Pending:
    """Return why an amount that nothing holds up is not due, and when it will be."""
    terms, amount, since = payee.terms, payee.payable, payee.history.since
    if terms is None:
        return _pending(payee, amount, Reason.NO_TERMS)
    reached = _reached_at(amount, max(terms.threshold, rules.minimum), since, now)
    if terms.interval:
        over = since + timedelta(seconds=terms.interval)
        if amount >= rules.minimum and (reached is None or over <= reached):
            return _pending(payee, amount, Reason.INTERVAL, max(over, now))
    reason = Reason.TOO_SMALL if amount >= terms.threshold else Reason.BELOW_THRESHOLD
    return _pending(payee, amount, reason, reached, is_estimate=reached is not None)


def _reached_at(amount: int, wanted: int, since: datetime, now: datetime) -> datetime | None:
    """Return when an amount reaches another one, if it goes on growing as it has so far."""
    passed = now - since
    if amount <= 0 or passed <= timedelta(0):
        return None
    missing = max(0, wanted - amount)
    # In whole seconds, so that no float is near money.
    seconds = missing * int(passed.total_seconds()) // amount
    if seconds > _FORESEEABLE.total_seconds():
        return None
    return now + timedelta(seconds=seconds)


def _limited(payee: Payee, amount: int, rules: Rules, limit: int, since: datetime) -> Pending:
    """Return an amount for which there is no room until what left first is a day ago.

    Within a limit that is not worth a payment there never is.
    """
    is_ever = limit >= rules.minimum
    return _pending(payee, amount, Reason.DAILY_LIMIT, since + _DAY if is_ever else None)


def _pending(
    payee: Payee,
    amount: int,
    reason: Reason,
    expected_at: datetime | None = None,
    *,
    is_estimate: bool = False,
) -> Pending:
    return Pending(
        payee=payee,
        amount=amount,
        reason=reason,
        since=payee.history.since,
        expected_at=expected_at,
        is_estimate=is_estimate,
    )

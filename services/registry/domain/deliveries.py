"""Deliveries: the states of a notification on its way to a webhook, and when it is tried again."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from libs.common.states import StateTable
from services.registry.domain.notifications import Kind, ListedNotification, Notification


class DeliveryState(Enum):
    """State of a delivery; the values are those in the database."""

    QUEUED = "queued"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeliveryEvent(Enum):
    """Event that can happen to a delivery."""

    BEGUN = "begun"
    TAKEN = "taken"
    REFUSED = "refused"
    GIVEN_UP = "given up"
    ENDED = "ended"


_S, _E = DeliveryState, DeliveryEvent

DELIVERY_EDGES: StateTable[DeliveryState, DeliveryEvent] = StateTable(
    initial=_S.QUEUED,
    edges={
        (_S.QUEUED, _E.BEGUN): (_S.SENDING, "An attempt begins, and is counted."),
        (_S.QUEUED, _E.ENDED): (_S.CANCELLED, "Its webhook was deleted or disabled."),
        (_S.SENDING, _E.BEGUN): (
            _S.SENDING,
            "The time of the attempt is over: its process has died, and another one tries again.",
        ),
        (_S.SENDING, _E.TAKEN): (_S.DELIVERED, "The receiver answered with a 2xx status."),
        (_S.SENDING, _E.REFUSED): (
            _S.QUEUED,
            "The receiver answered otherwise, or not in time: it is tried again later.",
        ),
        (_S.SENDING, _E.GIVEN_UP): (
            _S.FAILED,
            "It was tried for WEBHOOK_GIVE_UP_SECONDS, is a test, or the receiver answered 410.",
        ),
        (_S.SENDING, _E.ENDED): (
            _S.CANCELLED,
            "Its webhook was deleted or disabled; the attempt that is under way may arrive.",
        ),
    },
)

#: Seconds between attempts; the last pause is repeated.
PAUSES = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0)
#: Seconds for which a receiver may ask to be left alone.
LONGEST_REST = 3600.0
#: Status by which a receiver says that it wants nothing any more.
GONE = 410
_SUCCESS = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A delivery that was taken up."""

    #: The webhook that it goes to.
    webhook_id: UUID
    #: The number of this attempt, from 1 on.
    attempts: int
    #: Where it goes.
    url: str
    #: The key that the webhook's secret is made from.
    key_name: str
    #: Whose webhook it is; the id of zeros: the operators'.
    owner_id: UUID
    #: Seconds since it was queued.
    age: float
    #: What is sent.
    notification: Notification


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One notification on its way to one webhook, as its owner sees it."""

    #: What is sent.
    listed: ListedNotification
    #: What becomes of it.
    state: DeliveryState
    #: Attempts that were begun.
    attempts: int
    #: Status of HTTP of the last answer; 0 when there was none.
    last_status: int
    #: Why the last attempt failed; empty when it did not.
    last_error: str
    #: When it is tried next.
    due_at: datetime
    #: When it ended.
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an attempt met."""

    #: Status of HTTP; 0 when there was no answer.
    status: int = 0
    #: Why there was none.
    error: str = ""
    #: Seconds for which the receiver asks to be left alone.
    retry_after: float = 0.0

    @property
    def is_success(self) -> bool:
        """Tell whether the receiver has taken it."""
        return self.status in _SUCCESS

    @property
    def told(self) -> str:
        """Return why the attempt failed; empty when it did not."""
        return "" if self.is_success else self.error or f"HTTP {self.status}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What follows from an attempt."""

    #: What happens to the delivery.
    event: DeliveryEvent
    #: Seconds until the next attempt.
    pause: float = 0.0
    #: Why the webhook is disabled at once; empty: it is not.
    disables: str = ""


def judge(outcome: Outcome, attempt: Attempt, *, give_up: float) -> Verdict:
    """Return what follows from an attempt; `give_up` (s) is how long is tried at all."""
    if outcome.is_success:
        return Verdict(event=_E.TAKEN)
    if outcome.status == GONE:
        return Verdict(event=_E.GIVEN_UP, disables="the receiver has answered 410 Gone")
    pause = max(
        PAUSES[min(attempt.attempts, len(PAUSES)) - 1], min(outcome.retry_after, LONGEST_REST)
    )
    if attempt.notification.kind == Kind.TEST.value or attempt.age + pause > give_up:
        return Verdict(event=_E.GIVEN_UP)
    return Verdict(event=_E.REFUSED, pause=pause)


def disables(verdict: Verdict, attempt: Attempt, *, failing_for: float, give_up: float) -> str:
    """Return why a webhook is disabled after an attempt; empty when it is not.

    `failing_for` are the seconds for which all its attempts have failed. A webhook that has taken
    something lately stays, though one notification was given up.
    """
    if verdict.disables or verdict.event is not _E.GIVEN_UP:
        return verdict.disables
    is_test = attempt.notification.kind == Kind.TEST.value
    if is_test or failing_for < give_up / 2:
        return ""
    return "its receiver has failed for days"


def after(event: DeliveryEvent) -> DeliveryState:
    """Return the state that an event of an attempt leads to."""
    return DELIVERY_EDGES[_S.SENDING, event]

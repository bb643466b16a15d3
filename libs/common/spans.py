"""Hours, days and months (UTC): their beginnings, and pages of them, newest first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, unique

#: No event is before or after these.
FIRST = datetime(2020, 1, 1, tzinfo=UTC)
LAST = datetime(2200, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
#: Moments have no finer parts.
_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@unique
class Span(Enum):
    """Lengths of time that figures are summed over; the values are the database's."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, kw_only=True)
class SpanPage:
    """The hours, days or months to list."""

    #: Which of them.
    span: Span
    #: Only those that ended after this moment; None: no limit.
    since: datetime | None
    #: Only those that began before this moment; None: up to now.
    until: datetime | None
    #: How many at most.
    limit: int

    def starts(self, *, now: datetime, registered_at: datetime | None) -> "Starts":
        """Return the beginnings on the page, newest first.

        None is older than the registration; without one there are none.
        """
        if registered_at is None:
            return Starts(page=(), has_more=False)
        since = max(registered_at, self.since or FIRST)
        until = now + _TICK if self.until is None else min(self.until, LAST)
        found = list(_backwards(self.span, since=since, until=until, limit=self.limit + 1))
        return Starts(page=tuple(found[: self.limit]), has_more=len(found) > self.limit)


@dataclass(frozen=True, kw_only=True)
class Starts:
    """The beginnings on a page."""

    #: Newest first.
    page: Sequence[datetime]
    #: Whether older ones follow.
    has_more: bool


def start_of(span: Span, moment: datetime) -> datetime:
    """Return when the hour, day or month began that a moment (UTC) lies in."""
    match span:
        case Span.HOUR:
            return moment.replace(minute=0, second=0, microsecond=0)
        case Span.DAY:
            return moment.replace(hour=0, minute=0, second=0, microsecond=0)
        case Span.MONTH:
            return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def latest(span: Span, now: datetime, count: int) -> list[datetime]:
    """Return the beginnings of the newest spans, that of now first."""
    return list(_backwards(span, since=FIRST, until=now + _TICK, limit=count))


def hours_of(start: datetime) -> int:
    """Return a beginning as a number for page tokens."""
    return (start - _EPOCH) // _HOUR


def start_at(hours: int) -> datetime:
    """Return the beginning for a number in a page token, or the last moment that there can be."""
    return _EPOCH + _HOUR * min(hours, hours_of(LAST))


def _backwards(span: Span, *, since: datetime, until: datetime, limit: int) -> Iterator[datetime]:
    """Yield the beginnings before `until` of spans that end after `since`."""
    first = start_of(span, max(since, FIRST))
    # The first moments are no moment's successors: there is nothing before them.
    while limit > 0 and until > FIRST:
        until = start_of(span, until - _TICK)
        if until < first:
            return
        yield until
        limit -= 1

"""Hours, days and months: their beginnings, their pages, and requests that name them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from kalepool.report.v1 import fees_pb2, report_pb2

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.spans import next_token, span_page, timestamp
from libs.common.spans import (
    FIRST,
    LAST,
    Span,
    SpanPage,
    Starts,
    hours_of,
    latest,
    start_at,
    start_of,
)

NOW = datetime(2026, 3, 1, 10, 20, 30, 5, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 30, 23, 59, tzinfo=UTC)
MOMENTS = st.datetimes(
    FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC)
).filter(lambda moment: moment < LAST)
TICK = timedelta(microseconds=1)


def page(
    span: Span,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    registered_at: datetime | None = LONG_AGO,
) -> Starts:
    """A page of a pooler that was registered long ago."""
    asked = SpanPage(span=span, since=since, until=until, limit=limit)
    return asked.starts(now=NOW, registered_at=registered_at)


def test_a_moment_lies_in_its_hour_day_and_month() -> None:
    assert start_of(Span.HOUR, NOW) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert start_of(Span.DAY, NOW) == datetime(2026, 3, 1, tzinfo=UTC)
    assert start_of(Span.MONTH, NOW.replace(day=31)) == datetime(2026, 3, 1, tzinfo=UTC)


def test_the_latest_begin_with_the_running_one() -> None:
    assert latest(Span.DAY, NOW, 3) == [
        datetime(2026, 3, 1, tzinfo=UTC),
        datetime(2026, 2, 28, tzinfo=UTC),
        datetime(2026, 2, 27, tzinfo=UTC),
    ]
    assert latest(Span.HOUR, NOW.replace(hour=0, minute=0, second=0, microsecond=0), 2) == [
        datetime(2026, 3, 1, tzinfo=UTC),
        datetime(2026, 2, 28, 23, tzinfo=UTC),
    ]
    assert latest(Span.MONTH, FIRST, 5) == [FIRST]


def test_a_page_goes_back_to_the_span_of_the_registration() -> None:
    assert page(Span.MONTH).page == (
        datetime(2026, 3, 1, tzinfo=UTC),
        datetime(2026, 2, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    days = page(Span.DAY)
    assert (len(days.page), days.page[-1]) == (31, datetime(2026, 1, 30, tzinfo=UTC))
    assert not days.has_more
    assert page(Span.DAY, registered_at=None) == Starts(page=(), has_more=False)


def test_a_page_has_what_ended_after_a_moment_and_began_before_another() -> None:
    noon = datetime(2026, 2, 3, 12, tzinfo=UTC)
    midnight = datetime(2026, 2, 3, tzinfo=UTC)
    day = timedelta(days=1)
    assert page(Span.DAY, since=noon, until=noon).page == (midnight,)
    # A day ends as the next one begins: it did not end after that moment.
    assert page(Span.DAY, since=midnight, until=midnight + day).page == (midnight,)
    assert page(Span.DAY, since=midnight - TICK, until=midnight + TICK).page == (
        midnight,
        midnight - day,
    )
    # No earlier than the registration, and as late as was asked for.
    assert page(Span.DAY, since=FIRST).page[-1] == datetime(2026, 1, 30, tzinfo=UTC)
    assert page(Span.MONTH, until=LAST, limit=1).page == (datetime(2199, 12, 1, tzinfo=UTC),)
    assert page(Span.DAY, since=NOW + day).page == ()


def test_a_page_tells_whether_older_ones_follow() -> None:
    months = page(Span.MONTH, limit=2)
    assert (len(months.page), months.has_more) == (2, True)
    assert page(Span.MONTH, limit=3).has_more is False
    assert next_token(page(Span.MONTH, limit=3)) == ""


@given(
    st.sampled_from(Span),
    MOMENTS,
    st.timedeltas(timedelta(0), timedelta(days=40)),
    st.integers(1, 50),
)
def test_pages_together_have_every_span_once(
    span: Span, registered_at: datetime, age: timedelta, limit: int
) -> None:
    now = min(registered_at + age, LAST - TICK)
    request = report_pb2.ListEarningsRequest(
        span=report_pb2.Span.Value(f"SPAN_{span.name}"), page_size=limit
    )
    found: list[datetime] = []
    while True:
        starts = span_page(request).starts(now=now, registered_at=registered_at)
        assert len(starts.page) <= limit
        found += starts.page
        request.page_token = next_token(starts)
        if not request.page_token:
            break
    assert found[0] == start_of(span, now)
    assert found[-1] == start_of(span, registered_at)
    for newer, older in pairwise(found):
        # Nothing lies between two of them.
        assert start_of(span, newer - TICK) == older


@given(MOMENTS)
def test_a_beginning_goes_into_a_token_and_back(moment: datetime) -> None:
    start = start_of(Span.HOUR, moment)
    assert start_at(hours_of(start)) == start


def test_a_token_may_name_any_number() -> None:
    assert start_at(2**31 - 1) == LAST
    assert start_at(0) == datetime(1970, 1, 1, tzinfo=UTC)
    asked = SpanPage(span=Span.HOUR, since=None, until=start_at(0), limit=5)
    assert asked.starts(now=NOW, registered_at=LONG_AGO).page == ()


def test_a_request_names_its_page() -> None:
    request = fees_pb2.ListFeesRequest(span=report_pb2.SPAN_DAY)
    assert span_page(request) == SpanPage(span=Span.DAY, since=None, until=None, limit=100)
    request = fees_pb2.ListFeesRequest(
        span=report_pb2.SPAN_MONTH,
        start_time=timestamp(LONG_AGO),
        end_time=timestamp(NOW),
        page_size=7,
    )
    assert span_page(request) == SpanPage(span=Span.MONTH, since=LONG_AGO, until=NOW, limit=7)


@pytest.mark.parametrize("earlier", ["token", "end_time"])
def test_a_page_goes_on_before_its_token_and_before_its_end(earlier: str) -> None:
    early, late = datetime(2026, 2, 1, 3, tzinfo=UTC), datetime(2026, 2, 1, 4, tzinfo=UTC)
    token_at, end = (early, late) if earlier == "token" else (late, early)
    request = fees_pb2.ListFeesRequest(
        span=report_pb2.SPAN_HOUR,
        end_time=timestamp(end),
        page_token=next_token(Starts(page=(token_at,), has_more=True)),
    )
    assert span_page(request).until == early


@pytest.mark.parametrize(
    "wrong",
    [
        Timestamp(seconds=0),
        timestamp(FIRST - TICK),
        timestamp(LAST + TICK),
        Timestamp(seconds=2**62),
        Timestamp(seconds=-(2**62)),
    ],
)
def test_a_moment_that_is_none_of_ours_is_named(wrong: Timestamp) -> None:
    request = fees_pb2.ListFeesRequest(span=report_pb2.SPAN_DAY, start_time=wrong, end_time=wrong)
    with pytest.raises(InvalidArgumentError) as caught:
        span_page(request)
    assert [one.field for one in caught.value.violations] == ["start_time", "end_time"]
    assert "from 2020 to 2200" in caught.value.message

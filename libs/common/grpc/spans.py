"""Requests for figures by hour, day or month: their spans, their limits and their pages."""

from datetime import UTC, datetime
from typing import Literal, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.report.v1 import report_pb2

from libs.common.errors import FieldViolation, InvalidArgumentError
from libs.common.paging import decode_token, encode_token, size_of
from libs.common.spans import FIRST, LAST, Span, SpanPage, Starts, hours_of, start_at

_SPANS = {report_pb2.Span.Value(f"SPAN_{span.name}"): span for span in Span}
_Moment = Literal["start_time", "end_time"]


class SpanRequest(Protocol):
    """The fields that all these requests have."""

    span: report_pb2.Span.ValueType
    page_size: int
    page_token: str

    @property
    def start_time(self) -> Timestamp:
        """Return the moment after which something ended."""
        ...

    @property
    def end_time(self) -> Timestamp:
        """Return the moment before which something began."""
        ...

    def HasField(self, field_name: _Moment, /) -> bool:  # noqa: N802  (protobuf's)
        """Tell whether a message is set."""
        ...


def span_page(request: SpanRequest) -> SpanPage:
    """Return the page that a request that keeps the rules in its proto asks for.

    Raise InvalidArgumentError naming every moment that is none of ours.
    """
    found: list[FieldViolation] = []
    since = _moment(request, "start_time", found)
    until = _moment(request, "end_time", found)
    if found:
        words = "; ".join(f"{one.field} {one.description}" for one in found)
        raise InvalidArgumentError(words, violations=found)
    key = decode_token(request.page_token, [int])
    if key is not None:
        until = start_at(key[0]) if until is None else min(until, start_at(key[0]))
    return SpanPage(
        span=_SPANS[request.span], since=since, until=until, limit=size_of(request.page_size)
    )


def next_token(starts: Starts) -> str:
    """Return the token of the page after these beginnings; empty on the last one."""
    return encode_token([hours_of(starts.page[-1])]) if starts.has_more else ""


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment as on the wire."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _moment(request: SpanRequest, name: _Moment, found: list[FieldViolation]) -> datetime | None:
    """Return a moment of the request; None when it is absent or noted as wrong."""
    if not request.HasField(name):
        return None
    given: Timestamp = getattr(request, name)
    try:
        moment = given.ToDatetime(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is not None and FIRST <= moment <= LAST:
        return moment
    found.append(FieldViolation(field=name, description="must be a moment from 2020 to 2200"))
    return None

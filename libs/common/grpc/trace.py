"""The ids that follow a call from service to service: request id and trace (W3C traceparent)."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.log import running

#: Metadata with the request id; the request_id in messages is another: it makes calls repeatable.
REQUEST_ID = "x-request-id"
TRACEPARENT = "traceparent"
#: https://www.w3.org/TR/trace-context/#traceparent-header-field-values, version 00.
_TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
_NO_TRACE = "0" * 32
#: Request ids that are taken over from a caller; anything else could forge lines of a log.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The ids of one call in the records."""

    #: Names this call and all that it causes; the caller's, or made here.
    request_id: str
    #: 32 hex digits.
    trace_id: str


def trace_of(metadata: Mapping[str, object]) -> Trace:
    """Return the ids that the caller sent along, or fresh ids."""
    trace_id = _given_trace(metadata) or _hex(32)
    request_id = metadata.get(REQUEST_ID)
    if request_id is None or not _REQUEST_ID.fullmatch(str(request_id)):
        request_id = trace_id
    return Trace(request_id=str(request_id), trace_id=trace_id)


def _given_trace(metadata: Mapping[str, object]) -> str | None:
    parent = metadata.get(TRACEPARENT)
    found = None if parent is None else _TRACEPARENT.fullmatch(str(parent))
    return None if found is None or found["trace"] == _NO_TRACE else found["trace"]


def _hex(digits: int) -> str:
    """Make a random id for the records; the id opens nothing, so it need not be hard to guess."""
    return f"{random.getrandbits(4 * digits):0{digits}x}"


def passed_on() -> list[tuple[str, str]]:
    """Return the metadata of a call that the running call makes; empty outside of any call."""
    ids = running()
    if "request_id" not in ids:
        return []
    parent = f"00-{ids['trace_id']}-{_hex(16)}-00"
    return [(REQUEST_ID, ids["request_id"]), (TRACEPARENT, parent)]

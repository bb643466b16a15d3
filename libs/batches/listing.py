"""Lists of events on the wire: filter, pages and reasons.

They are the same for plantings, works and harvests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar
from uuid import UUID

from kalepool.common.v1 import common_pb2

from libs.batches.model import Event
from libs.common.ids import PoolerId
from libs.common.paging import decode_token, encode_token, size_of

EventT = TypeVar("EventT", bound=Event)


class ListRequest(Protocol):
    """The fields that all List requests have."""

    pooler_id: str
    block_index: int
    farmer_id: str
    page_size: int
    page_token: str

    def HasField(self, field_name: Literal["block_index"], /) -> bool:  # noqa: N802  (protobuf's)
        """Tell whether an optional field is set."""
        ...


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """The events to list, and the place to go on from."""

    #: The pooler whose events are listed.
    pooler_id: PoolerId
    #: Only this block; None means all.
    block_index: int | None
    #: Only this farmer; None means all.
    farmer_id: UUID | None
    #: Events before this (block, id); None means from the newest on.
    before: tuple[int, UUID] | None
    #: Events at most.
    limit: int

    def arguments(self) -> tuple[object, ...]:
        """Return the arguments of the list queries, $1 to $6.

        The limit is one more than a page, to know whether there is a next one.
        """
        block, event = self.before if self.before is not None else (None, None)
        return (self.pooler_id, self.block_index, self.farmer_id, block, event, self.limit + 1)

    def page_of(self, found: Sequence[EventT]) -> "Page[EventT]":
        """Return the page in what the list queries found."""
        events = tuple(found[: self.limit])
        if len(found) <= self.limit:
            return Page(events=events, next_token="")
        return Page(
            events=events, next_token=encode_token((events[-1].block_index, events[-1].event_id))
        )


@dataclass(frozen=True, kw_only=True)
class Page(Generic[EventT]):
    """A part of the events, newest block first."""

    #: At most as many as the filter says.
    events: Sequence[EventT]
    #: The token of the next page; empty on the last one.
    next_token: str


def failure_reason(name: str) -> common_pb2.FailureReason.ValueType:
    """Return the reason as on the wire.

    A reason that a newer wallet knows and this process does not becomes INTERNAL.
    """
    known = f"FAILURE_REASON_{name or 'UNSPECIFIED'}"
    if known not in common_pb2.FailureReason.keys():  # noqa: SIM118  (not a dict)
        return common_pb2.FAILURE_REASON_INTERNAL
    return common_pb2.FailureReason.Value(known)


def filter_of(request: ListRequest) -> EventFilter:
    """Return the filter in a List request that keeps the rules in its proto."""
    key = decode_token(request.page_token, [int, UUID])
    return EventFilter(
        pooler_id=PoolerId(UUID(request.pooler_id)),
        block_index=request.block_index if request.HasField("block_index") else None,
        farmer_id=UUID(request.farmer_id) if request.farmer_id else None,
        before=None if key is None else (key[0], key[1]),
        limit=size_of(request.page_size),
    )

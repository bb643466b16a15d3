"""The method getEvents."""

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stellar_sdk import StrKey, xdr

from localnet.ledger.apply import Applied
from localnet.ledger.close import ClosedLedger
from localnet.ledger.xdr_json import to_json
from localnet.rpc.context import Params, RpcContext, wants_json
from localnet.rpc.encoding import base64, timestamp
from localnet.rpc.errors import RpcError, invalid_params, invalid_request
from localnet.rpc.paging import page_limit, total_order_id

#: Number of events in a page: the default, and the maximum.
DEFAULT_LIMIT = 100
MAX_LIMIT = 10_000
#: Maximum number of ledgers that one call searches.
MAX_LEDGERS = 10_000
#: Maximum number of filters, of contracts per filter and of topic filters per filter.
MAX_FILTERS = 5
#: Place of the events that follow all transactions of a ledger.
_AFTER_ALL = (1 << 20) - 1
#: Maximum number of segments of a topic filter, besides a closing "**".
MAX_SEGMENTS = 4
_ANY_NUMBER = "**"
#: Bytes of a number in XDR.
_INT_BYTES = 4
_CURSOR = re.compile(r"(\d{1,19})-(\d{1,10})")
_TYPES = {
    xdr.ContractEventType.SYSTEM: "system",
    xdr.ContractEventType.CONTRACT: "contract",
    xdr.ContractEventType.DIAGNOSTIC: "diagnostic",
}
#: Types that a filter may name: diagnostic events are not searched.
FILTER_TYPES = frozenset({"system", "contract"})


@dataclass(frozen=True, kw_only=True)
class PlacedEvent:
    """One event and its place in the history."""

    #: Total order id of the event's operation, and index of the event in the operation.
    place: tuple[int, int]
    #: Ledger of the event.
    ledger: ClosedLedger
    #: Transaction of the event.
    transaction: Applied
    #: ContractEvent in XDR.
    packed: bytes

    @property
    def cursor(self) -> str:
        """The id of the event, which is also a cursor."""
        return f"{self.place[0]:019d}-{self.place[1]:010d}"


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """One filter; an event must pass at least one filter of the call."""

    #: Types that pass; all types when empty.
    types: frozenset[str]
    #: Contracts (C...) that pass; all contracts when empty.
    contracts: frozenset[str]
    #: Topic patterns in base64, with "*" (one topic) and a closing "**" (any number); all pass when
    #: empty.
    topics: tuple[tuple[str, ...], ...]

    def passes(self, kind: str, contract: str | None, topics: list[str]) -> bool:
        """Tell whether the event passes this filter."""
        return (
            (not self.types or kind in self.types)
            and (not self.contracts or contract in self.contracts)
            and (not self.topics or any(_matches(p, topics) for p in self.topics))
        )


def _matches(pattern: tuple[str, ...], topics: list[str]) -> bool:
    if pattern and pattern[-1] == _ANY_NUMBER:
        pattern = pattern[:-1]
        topics = topics[: len(pattern)]
    return len(pattern) == len(topics) and all(
        p in ("*", t) for p, t in zip(pattern, topics, strict=True)
    )


def ledger_events(ledger: ClosedLedger) -> Iterator[PlacedEvent]:
    """Yield all events of a ledger in their order: fees, then operations, then refunds."""
    stages: tuple[list[tuple[Applied, bytes]], ...] = ([], [], [])
    for transaction in ledger.transactions:
        for event in transaction.events:
            stages[int.from_bytes(event[:4], "big")].append((transaction, event[4:]))

    def placed(order: int, stage: int) -> Iterator[PlacedEvent]:
        start = total_order_id(ledger.sequence, order, 0)
        for index, (transaction, packed) in enumerate(stages[stage]):
            place = (start, index)
            yield PlacedEvent(place=place, ledger=ledger, transaction=transaction, packed=packed)

    before = int(xdr.TransactionEventStage.TRANSACTION_EVENT_STAGE_BEFORE_ALL_TXS)
    after = int(xdr.TransactionEventStage.TRANSACTION_EVENT_STAGE_AFTER_ALL_TXS)
    yield from placed(0, before)
    for order, transaction in enumerate(ledger.transactions, start=1):
        for operation, events in enumerate(transaction.contract_events):
            start = total_order_id(ledger.sequence, order, operation)
            for index, packed in enumerate(events):
                place = (start, index)
                yield PlacedEvent(
                    place=place, ledger=ledger, transaction=transaction, packed=packed
                )
    yield from placed(_AFTER_ALL, after)


async def get_events(rpc: RpcContext, params: Params) -> dict[str, Any]:
    """Return a page of the events that pass the filters."""
    cursor_place = _cursor(params)
    _check_segments(params)
    as_json, limit = wants_json(params), _limit(params)
    filters = _filters(params)
    after, first = _start(rpc, params, cursor_place)
    end = min(first + MAX_LEDGERS, rpc.latest.sequence + 1)
    if params.get("endLedger"):
        end = min(end, params["endLedger"])
    page: list[dict[str, Any]] = []
    # Without a full page, the cursor is the end of the searched ledgers.
    cursor = f"{total_order_id(end, 0, 0) - 1:019d}-{2**32 - 1:010d}"
    for ledger in rpc.node.history.range(first, end - 1):
        for event in ledger_events(ledger):
            body = None if event.place <= after else _event_json(event, filters, as_json=as_json)
            if body is None:
                continue
            page.append(body)
            if len(page) == limit:
                return _page(rpc, page, event.cursor)
    return _page(rpc, page, cursor)


def _limit(params: Params) -> int:
    try:
        return page_limit(params, DEFAULT_LIMIT, MAX_LIMIT)
    except RpcError as error:
        raise invalid_params(error.message) from error


def _page(rpc: RpcContext, page: list[dict[str, Any]], cursor: str) -> dict[str, Any]:
    return {
        "events": page,
        "cursor": cursor,
        "latestLedger": rpc.latest.sequence,
        "oldestLedger": rpc.oldest.sequence,
        "latestLedgerCloseTime": str(rpc.latest.close_time),
        "oldestLedgerCloseTime": str(rpc.oldest.close_time),
    }


def _cursor(params: Params) -> tuple[int, int] | None:
    """Return the place that the call's cursor names, or None without a cursor."""
    cursor = (params.get("pagination") or {}).get("cursor")
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise invalid_params("invalid parameters", f"invalid event id {cursor}")
    return int(found[1]), int(found[2])


def _start(
    rpc: RpcContext, params: Params, cursor: tuple[int, int] | None
) -> tuple[tuple[int, int], int]:
    """Return (the place after which the page starts, the first ledger)."""
    start: int = params.get("startLedger", 0)
    oldest, latest = rpc.oldest.sequence, rpc.latest.sequence
    if cursor is None and start < 1:
        raise invalid_params("startLedger must be positive")
    if cursor is not None:
        if start or params.get("endLedger"):
            raise invalid_params("ledger ranges and cursor cannot both be set")
        start = cursor[0] >> 32
    # A cursor may be the end of the ledgers that were searched.
    if not oldest <= start <= latest + (cursor is not None):
        raise invalid_request(f"startLedger must be within the ledger range: {oldest} - {latest}")
    return cursor or (0, -1), start


def _filters(params: Params) -> list[EventFilter]:
    given = params.get("filters") or []
    if len(given) > MAX_FILTERS:
        raise invalid_params(f"maximum {MAX_FILTERS} filters per request")
    return [_filter(f or {}, index) for index, f in enumerate(given, start=1)]


def _filter(given: dict[str, Any], index: int) -> EventFilter:
    def invalid(words: str) -> RpcError:
        return invalid_params(f"filter {index} invalid: {words}")

    types = frozenset(t for t in (given.get("type") or "").split(",") if t)
    if not types <= FILTER_TYPES:
        raise invalid("filter type invalid: if set, type must be either 'system' or 'contract'")
    contracts, topics = given.get("contractIds") or [], given.get("topics") or []
    if len(contracts) > MAX_FILTERS:
        raise invalid(f"maximum {MAX_FILTERS} contract IDs per filter")
    for place, contract in enumerate(contracts, start=1):
        if not StrKey.is_valid_contract(contract):
            raise invalid(f"contract ID {place} invalid")
    if len(topics) > MAX_FILTERS:
        raise invalid(f"maximum {MAX_FILTERS} topics per filter")
    for place, topic in enumerate(topics, start=1):
        wrong = _wrong_topic(topic)
        if wrong:
            raise invalid(f"topic {place} invalid: {wrong}")
    return EventFilter(
        types=types,
        contracts=frozenset(contracts),
        topics=tuple(tuple(topic) for topic in topics),
    )


def _wrong_topic(topic: list[str]) -> str:
    """Tell what is wrong about a pattern of topics; empty when nothing is."""
    if not topic:
        return "topic must have at least 1 segment"
    if _ANY_NUMBER in topic[:-1]:
        place = topic.index(_ANY_NUMBER) + 1
        return f"segment {place} invalid: wildcard '**' is only allowed as the last segment"
    if len(topic) - (topic[-1] == _ANY_NUMBER) > MAX_SEGMENTS:
        return f"topic cannot have more than {MAX_SEGMENTS} segments"
    return ""


def _check_segments(params: Params) -> None:
    """Check that each segment is a wildcard or a value, before anything else is looked at."""
    for given in params.get("filters") or []:
        for topic in (given or {}).get("topics") or []:
            for segment in topic or []:
                if segment not in ("*", _ANY_NUMBER):
                    _check_segment(segment)


def _check_segment(segment: str) -> None:
    try:
        packed = b64decode(segment, validate=True)
    except ValueError:
        packed = b""
    try:
        xdr.SCVal.from_xdr_bytes(packed)
    except Exception as error:
        words = f"{'decoding ScValType: ' * 2}xdr:DecodeInt: unexpected EOF while decoding"
        read = " ".join(str(byte) for byte in packed[:_INT_BYTES])
        wrong = f"{words} {_INT_BYTES} bytes - read: '[{read}]'"
        raise invalid_params("invalid parameters", wrong) from error


def _event_json(
    event: PlacedEvent, filters: list[EventFilter], *, as_json: bool
) -> dict[str, Any] | None:
    """Return the event in the form of an answer, or None when it passes no filter."""
    parsed = xdr.ContractEvent.from_xdr_bytes(event.packed)
    body = parsed.body.v0
    assert body is not None  # noqa: S101  (the union has one arm)
    kind = _TYPES[parsed.type]
    contract = None
    if parsed.contract_id is not None:
        contract = StrKey.encode_contract(parsed.contract_id.contract_id.hash)
    topics = [t.to_xdr() for t in body.topics]
    if filters and not any(f.passes(kind, contract, topics) for f in filters):
        return None
    place = event.place[0]
    values: dict[str, Any] = {"topic": topics, "value": base64(body.data.to_xdr_bytes())}
    if as_json:
        json_topics = [to_json(t) for t in body.topics]
        values = {"topicJson": json_topics, "valueJson": to_json(body.data)}
    return {
        "type": kind,
        "ledger": event.ledger.sequence,
        "ledgerClosedAt": timestamp(event.ledger.close_time),
        "contractId": contract or "",
        "id": event.cursor,
        "operationIndex": place & 0xFFF,
        "transactionIndex": place >> 12 & _AFTER_ALL,
        "txHash": event.transaction.hash.hex(),
        "inSuccessfulContractCall": True,
        **values,
    }

"""Diagnostic events that the ledger itself writes, and the text form of all diagnostic events."""

from collections.abc import Iterable
from functools import lru_cache

from stellar_sdk import StrKey, scval, xdr

from localnet.ledger.host_text import value_text

#: Names of the metrics that stellar-core appends to the diagnostics of every Soroban transaction.
METRICS = (
    "read_entry",
    "write_entry",
    "ledger_read_byte",
    "ledger_write_byte",
    "read_key_byte",
    "write_key_byte",
    "read_data_byte",
    "write_data_byte",
    "read_code_byte",
    "write_code_byte",
    "emit_event",
    "emit_event_byte",
    "cpu_insn",
    "mem_byte",
    "invoke_time_nsecs",
    "max_rw_key_byte",
    "max_rw_data_byte",
    "max_rw_code_byte",
    "max_emit_event_byte",
)


def _diagnostic(
    topics: list[xdr.SCVal], data: xdr.SCVal, *, successful: bool
) -> xdr.DiagnosticEvent:
    return xdr.DiagnosticEvent(
        in_successful_contract_call=successful,
        event=xdr.ContractEvent(
            ext=xdr.ExtensionPoint(0),
            contract_id=None,
            type=xdr.ContractEventType.DIAGNOSTIC,
            body=xdr.ContractEventBody(0, v0=xdr.ContractEventV0(topics=topics, data=data)),
        ),
    )


def error_event(
    kind: xdr.SCErrorType, message: str, *numbers: int, code: xdr.SCErrorCode | None = None
) -> bytes:
    """Make an error event of the ledger itself: a message and the numbers that did not fit."""
    reason = xdr.SCErrorCode.SCEC_EXCEEDED_LIMIT if code is None else code
    error = xdr.SCVal(xdr.SCValType.SCV_ERROR, error=xdr.SCError(kind, code=reason))
    data = scval.to_vec([scval.to_string(message), *(scval.to_uint64(n) for n in numbers)])
    return _diagnostic([scval.to_symbol("error"), error], data, successful=False).to_xdr_bytes()


def host_failed_event(error: xdr.SCError) -> bytes:
    """Make the event that follows the host's own events when a call failed."""
    value = xdr.SCVal(xdr.SCValType.SCV_ERROR, error=error)
    topics = [scval.to_symbol("host_fn_failed"), value]
    return _diagnostic(topics, scval.to_void(), successful=False).to_xdr_bytes()


@lru_cache(maxsize=64)
def _metric_prefix(name: str, successful: bool) -> bytes:
    topics = [scval.to_symbol("core_metrics"), scval.to_symbol(name)]
    packed = _diagnostic(topics, scval.to_uint64(0), successful=successful).to_xdr_bytes()
    return packed[:-8]


def metric_events(values: dict[str, int], *, successful: bool) -> list[bytes]:
    """Make one event per metric; a metric that `values` lacks is 0."""
    return [
        _metric_prefix(name, successful) + values.get(name, 0).to_bytes(8, "big")
        for name in METRICS
    ]


def event_log(events: Iterable[tuple[xdr.DiagnosticEvent, bool]]) -> str:
    """Return the "Event log" that follows an error's name in a simulation's error, newest first.

    Each event comes with the word whether a call that failed had emitted it.
    """
    lines = [
        f"   {index}: {_event_text(event, undone=undone)}\n"
        for index, (event, undone) in enumerate(reversed(list(events)))
    ]
    return "\n\nEvent log (newest first):\n" + "".join(lines)


def _event_text(event: xdr.DiagnosticEvent, *, undone: bool) -> str:
    name = event.event.type.name.capitalize()
    kind = f"[Failed {name} Event (not emitted)]" if undone else f"[{name} Event]"
    contract = event.event.contract_id
    who = ""
    if contract is not None:
        who = f" contract:{StrKey.encode_contract(contract.contract_id.hash)},"
    body = event.event.body.v0
    assert body is not None  # noqa: S101  (the union has one arm)
    topics = ", ".join(_topic_text(body.topics))
    return f"{kind}{who} topics:[{topics}], data:{value_text(body.data)}"


def _topic_text(topics: list[xdr.SCVal]) -> Iterable[str]:
    """Return the text of each topic.

    The second topic of fn_call, the contract's id of 32 bytes, is shown as an address.
    """
    for index, topic in enumerate(topics):
        if index == 1 and topic.bytes is not None and len(topic.bytes.sc_bytes) == 32:
            yield StrKey.encode_contract(topic.bytes.sc_bytes)
        else:
            yield value_text(topic)

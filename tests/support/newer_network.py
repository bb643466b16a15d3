"""Answers of a network that does not exist yet: its nodes say in other ways what ours say."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any

#: A protocol, a version of result metas, and a code of results that nobody knows.
PROTOCOL, META, CODE = 99, 9, 99
#: Bytes of the charged fee, behind which a result has its code.
_FEE_BYTES = 8

Change = Callable[[str, dict[str, Any]], dict[str, Any]]


def with_number(encoded: str, position: int, number: int) -> str:
    """Return the XDR (base64) with another number of four bytes at a place."""
    data = bytearray(b64decode(encoded))
    data[position : position + 4] = number.to_bytes(4, signed=True)
    return b64encode(data).decode()


def _transactions(result: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Change what is told of each transaction that a ledger has."""
    if "transactions" in result:
        return {**result, "transactions": [change(item) for item in result["transactions"]]}
    return change(result) if "resultXdr" in result else result


def newer_protocol(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Tell a protocol that nobody knows."""
    told = "protocolVersion" in result
    return {**result, "protocolVersion": PROTOCOL} if told else result


def newer_meta(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Tell all result metas in another version."""

    def change(item: dict[str, Any]) -> dict[str, Any]:
        if "resultMetaXdr" not in item:
            return item
        return {**item, "resultMetaXdr": with_number(item["resultMetaXdr"], 0, META)}

    return _transactions(result, change)


def newer_results(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Tell all results with another code."""

    def change(item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "resultXdr": with_number(item["resultXdr"], _FEE_BYTES, CODE)}

    return _transactions(result, change)


def newer_statuses(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Tell by other words what became of transactions."""
    return _transactions(result, lambda item: {**item, "status": "APPLIED"})


def renamed_fields(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Tell result and meta under other names."""
    names = {"resultXdr": "result", "resultMetaXdr": "meta"}

    def change(item: dict[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): value for name, value in item.items()}

    return _transactions(result, change)


def other_fees(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Tell the fees of others in another shape."""
    return {"fees": ["100"]} if method == "getFeeStats" else result


def other_limits(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Keep the network's limits elsewhere: entries of settings are not found."""
    if method != "getLedgerEntries":
        return result
    kind = (8).to_bytes(4)  # CONFIG_SETTING
    kept = [item for item in result["entries"] if not b64decode(item["xdr"]).startswith(kind)]
    return {**result, "entries": kept}


def less_told(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Leave out what can be done without, and tell something new in each answer."""
    spared = {"oldestLedger", "oldestLedgerCloseTime", "ledgerRetentionWindow", "friendbotUrl"}
    if method == "getHealth":
        spared |= {"latestLedger"}
    kept = {name: value for name, value in result.items() if name not in spared}
    return {**kept, "parallelClusters": [{"id": 1, "lanes": None}]}


def _all(method: str, result: dict[str, Any]) -> dict[str, Any]:
    for change in (newer_protocol, newer_meta, newer_results, other_fees, other_limits, less_told):
        result = change(method, result)
    return result


#: What may be newer, by name.
CHANGES: Mapping[str, Change] = {
    "protocol": newer_protocol,
    "meta": newer_meta,
    "results": newer_results,
    "statuses": newer_statuses,
    "names of fields": renamed_fields,
    "fees": other_fees,
    "limits": other_limits,
    "fields": less_told,
    "everything": _all,
}

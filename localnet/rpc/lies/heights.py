"""Lies about ledgers and clocks."""

from collections.abc import Callable, Mapping
from typing import Any

from localnet.rpc.lies.model import Lie, Result, Told, is_number

#: Members of answers that name the newest ledger.
_NEWEST = frozenset({"latestLedger"})
#: Members of answers that name any ledger.
_LEDGERS = _NEWEST | {"oldestLedger", "ledger", "lastModifiedLedgerSeq", "liveUntilLedgerSeq"}
#: Members of answers that are a ledger's close time.
_TIMES = frozenset(
    {
        "latestLedgerCloseTime",
        "latestLedgerCloseTimestamp",
        "oldestLedgerCloseTime",
        "oldestLedgerCloseTimestamp",
        "ledgerCloseTime",
        "closeTime",
        "createdAt",
    }
)
_PAGED = frozenset({"getTransactions", "getLedgers", "getEvents"})
_EVERYWHERE = frozenset(
    {
        "getHealth",
        "getLatestLedger",
        "getLedgerEntries",
        "getFeeStats",
        "getTransaction",
        "sendTransaction",
        "simulateTransaction",
        *_PAGED,
    }
)


def _added(value: Any, names: frozenset[str], more: int) -> Any:
    """Add to every member with one of these names, at any depth.

    A 0 means no ledger or no time and stays 0.
    """
    if isinstance(value, list):
        return [_added(item, names, more) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _sum(item, more) if name in names else _added(item, names, more)
        for name, item in value.items()
    }


def _sum(value: Any, more: int) -> Any:
    """Add to a number or to the text of a number; the type stays the same."""
    if value in (0, "0"):
        return value
    return type(value)(int(value) + more)


def _tell(names: frozenset[str]) -> Callable[[Told], Result]:
    def tell(told: Told) -> Result:
        wanted = names
        if told.method in {"getLatestLedger", "getLedgers"} and names & _NEWEST:
            own = told.method == "getLatestLedger" or "ledger" in names
            wanted = names | {"sequence"} if own else names
        changed: Result = _added(told.result, wanted, told.value)
        return changed

    return tell


def _known(told: Told) -> Mapping[str, Any]:
    """Replace a start that the node does not have by its newest ledger."""
    start, latest = told.params.get("startLedger"), told.rpc.latest.sequence
    if not isinstance(start, int) or start <= latest:
        return told.params
    return {**told.params, "startLedger": latest}


def _shifted(told: Told) -> Mapping[str, Any]:
    """Return the parameters with the real start and end of the range that is asked for."""
    names = {"startLedger", "endLedger"} & set(told.params)
    oldest, latest = told.rpc.oldest.sequence, told.rpc.latest.sequence
    real = {n: min(max(int(told.params[n]) - told.value, oldest), latest) for n in names}
    return {**told.params, **real}


ADD_LEDGERS = Lie(methods=_EVERYWHERE, tell=_tell(_NEWEST), check=is_number, ask=_known)
SHIFT_LEDGERS = Lie(methods=_EVERYWHERE, tell=_tell(_LEDGERS), check=is_number, ask=_shifted)
ADD_SECONDS = Lie(methods=_EVERYWHERE, tell=_tell(_TIMES), check=is_number)

"""The types of the parameters, which stellar-rpc holds against the structs of its language, Go.

A member of another type is refused before the method looks at it, in Go's words. Members that no
struct has are ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from localnet.rpc.errors import RpcError, invalid_params


@dataclass(frozen=True, kw_only=True)
class Number:
    """A whole number from 0."""

    #: Name of the type.
    name: str
    #: Number of bits.
    bits: int


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text."""

    #: Name of the type.
    name: str = "string"


@dataclass(frozen=True, kw_only=True)
class Struct:
    """An object with members of known types."""

    #: Name of the struct.
    struct: str
    #: Types of the members by their names.
    members: Mapping[str, "Kind"]

    @property
    def name(self) -> str:
        """Name of the type."""
        return f"protocol.{self.struct}"


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list of items of one type."""

    #: Type of the items.
    item: "Kind"
    #: Name of the type, if it has one of its own.
    own_name: str = ""

    @property
    def name(self) -> str:
        """Name of the type."""
        return self.own_name or f"[]{self.item.name}"


Kind: TypeAlias = Number | Text | Struct | Items

_TEXT, _UINT32 = Text(), Number(name="uint32", bits=32)
_LIMIT = Number(name="uint", bits=64)
_FORMAT = {"xdrFormat": _TEXT}
_LEDGER_PAGE = Struct(struct="LedgerPaginationOptions", members={"cursor": _TEXT, "limit": _LIMIT})
_EVENT_PAGE = Struct(struct="PaginationOptions", members={"cursor": _TEXT, "limit": _LIMIT})
_EVENT_FILTER = Struct(
    struct="EventFilter",
    members={
        "type": _TEXT,
        "contractIds": Items(item=_TEXT),
        "topics": Items(item=Items(item=_TEXT, own_name="protocol.TopicFilter")),
    },
)
_LEEWAY = Number(name="uint64", bits=64)

REQUESTS = {
    "getLedgers": Struct(
        struct="GetLedgersRequest",
        members={"startLedger": _UINT32, "pagination": _LEDGER_PAGE, **_FORMAT},
    ),
    "getTransactions": Struct(
        struct="GetTransactionsRequest",
        members={"startLedger": _UINT32, "pagination": _LEDGER_PAGE, **_FORMAT},
    ),
    "getEvents": Struct(
        struct="GetEventsRequest",
        members={
            "startLedger": _UINT32,
            "endLedger": _UINT32,
            "filters": Items(item=_EVENT_FILTER),
            "pagination": _EVENT_PAGE,
            **_FORMAT,
        },
    ),
    "getLedgerEntries": Struct(
        struct="GetLedgerEntriesRequest", members={"keys": Items(item=_TEXT), **_FORMAT}
    ),
    "getTransaction": Struct(struct="GetTransactionRequest", members={"hash": _TEXT, **_FORMAT}),
    "sendTransaction": Struct(
        struct="SendTransactionRequest", members={"transaction": _TEXT, **_FORMAT}
    ),
    "simulateTransaction": Struct(
        struct="SimulateTransactionRequest",
        members={
            "transaction": _TEXT,
            "authMode": _TEXT,
            "resourceConfig": Struct(
                struct="ResourceConfig", members={"instructionLeeway": _LEEWAY}
            ),
            **_FORMAT,
        },
    ),
}


def check_request(method: str, params: Mapping[str, Any]) -> None:
    """Check the types of the parameters; the RpcError has Go's words."""
    struct = REQUESTS.get(method)
    if struct is not None:
        _check_struct(struct, params, "")


def _check_struct(struct: Struct, given: Mapping[str, Any], path: str) -> None:
    for name, kind in struct.members.items():
        if given.get(name) is not None:
            _check(kind, given[name], struct.struct, f"{path}{name}")


def _check(kind: Kind, value: Any, struct: str, path: str) -> None:
    """Check one member; `struct` is the innermost one, `path` the way from the outermost."""
    if isinstance(kind, Struct) and isinstance(value, dict):
        _check_struct(kind, value, f"{path}.")
    elif isinstance(kind, Items) and isinstance(value, list):
        for item in value:
            if item is not None:
                _check(kind.item, item, struct, path)
    elif not _fits(kind, value):
        shown = _word(value, whole=isinstance(kind, Number))
        raise _mismatch(shown, struct, path, kind.name)


def _fits(kind: Kind, value: Any) -> bool:
    if isinstance(kind, Text):
        return isinstance(value, str)
    if isinstance(kind, Number):
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return is_number and 0 <= value < 1 << kind.bits
    return False


def _word(value: Any, *, whole: bool) -> str:
    """Return how Go names a JSON value; it shows a number where it wants another one."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if whole else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _mismatch(shown: str, struct: str, path: str, kind: str) -> RpcError:
    words = f"json: cannot unmarshal {shown} into Go struct field {struct}.{path} of type {kind}"
    return invalid_params("invalid parameters", words)

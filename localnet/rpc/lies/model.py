"""The model of a lie: a pure function from an answer to another one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from localnet.ledger.close import ClosedLedger
from localnet.ledger.node import Node
from localnet.ledger.transaction import Transaction

#: The result of a method.
Result = dict[str, Any]
EVERY = "*"
#: Number of hashes of sent transactions that are remembered.
_REMEMBERED = 20_000


@dataclass(kw_only=True)
class Memory:
    """The transactions that a chain's nodes were sent, and the inclusions that they invented."""

    #: Transactions by hash, also by the hash of the inner transaction.
    sent: dict[str, Transaction] = field(default_factory=dict)
    #: Ledger and close time at which an invented transaction seems to be included, by hash.
    invented: dict[str, tuple[int, int]] = field(default_factory=dict)

    def note(self, tx: Transaction) -> None:
        """Remember a sent transaction as the newest; forget the oldest ones."""
        for tx_hash in (tx.hash.hex(), tx.inner.hash.hex()):
            self.sent.pop(tx_hash, None)
            self.sent[tx_hash] = tx
        while len(self.sent) > _REMEMBERED:
            del self.sent[next(iter(self.sent))]


class HonestNode(Protocol):
    """The parts of a node that its lies need."""

    @property
    def node(self) -> Node:
        """The node without its lies."""
        ...

    @property
    def memory(self) -> Memory:
        """The transactions that the nodes of this chain were sent."""
        ...

    @property
    def latest(self) -> ClosedLedger:
        """The newest ledger that the node shows to clients."""
        ...

    @property
    def oldest(self) -> ClosedLedger:
        """The oldest ledger that clients can ask for."""
        ...


@dataclass(frozen=True, kw_only=True)
class Told:
    """One answer and the lie about it."""

    #: The node without its lies.
    rpc: HonestNode
    #: Name of the method.
    method: str
    #: Parameters of the call.
    params: Mapping[str, Any]
    #: The true answer, or the answer as changed by other lies.
    result: Result
    #: Setting of the lie.
    value: Any


@dataclass(frozen=True, kw_only=True)
class Lie:
    """One kind of lie."""

    #: Methods whose answers the lie may change.
    methods: frozenset[str]
    #: Returns the changed answer.
    tell: Callable[[Told], Result]
    #: Checks a setting; the ValueError names the error in the setting.
    check: Callable[[Any], None]
    #: Returns the parameters with which the node is asked, so that it can answer at all.
    ask: Callable[[Told], Mapping[str, Any]] | None = None


def is_number(value: Any) -> None:
    """Check that the value is an integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer, got {value!r}")  # noqa: TRY004


def is_flag(value: Any) -> None:
    """Check that the value is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")  # noqa: TRY004


def is_text(value: Any) -> None:
    """Check that the value is a text."""
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r}")  # noqa: TRY004


def one_of(*words: str) -> Callable[[Any], None]:
    """Make a check that the value is one of these words."""

    def check(value: Any) -> None:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}, got {value!r}")

    return check


def word_or_numbers(words: tuple[str, ...], names: frozenset[str] | None) -> Callable[[Any], None]:
    """Make a check for one of these words, or an object of numbers.

    The object's names must be among `names` (None: any).
    """

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            one_of(*words)(value)
            return
        unknown = set(value) - names if names is not None else set()
        if unknown:
            raise ValueError(f"unknown: {sorted(unknown)}")
        for number in value.values():
            is_number(number)

    return check


def by_address(value: Any) -> None:
    """Check that the value is {address or "*": integer or null}."""
    if not isinstance(value, dict):
        raise ValueError("expected an object of address -> integer")  # noqa: TRY004
    for number in value.values():
        if number is not None:
            is_number(number)

"""What a lie is: a pure function from an answer to another one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from localnet.ledger.close import ClosedLedger
from localnet.ledger.node import Node
from localnet.ledger.transaction import Transaction

#: A result of a method.
Result = dict[str, Any]
EVERY = "*"
#: Hashes of sent transactions that are remembered.
_REMEMBERED = 20_000


@dataclass(kw_only=True)
class Memory:
    """What the nodes of a chain were sent, and what they invented about it."""

    #: Transactions by hash, the inner one's too.
    sent: dict[str, Transaction] = field(default_factory=dict)
    #: Ledger and close time at which an invented transaction is said to be included.
    invented: dict[str, tuple[int, int]] = field(default_factory=dict)

    def note(self, tx: Transaction) -> None:
        """Remember what was sent, the newest last; the oldest are forgotten."""
        for tx_hash in (tx.hash.hex(), tx.inner.hash.hex()):
            self.sent.pop(tx_hash, None)
            self.sent[tx_hash] = tx
        while len(self.sent) > _REMEMBERED:
            del self.sent[next(iter(self.sent))]


class HonestNode(Protocol):
    """What lies need of the node that tells them."""

    @property
    def node(self) -> Node:
        """The node as it is."""
        ...

    @property
    def memory(self) -> Memory:
        """What the nodes of this chain were sent."""
        ...

    @property
    def latest(self) -> ClosedLedger:
        """The newest ledger that it admits to know."""
        ...

    @property
    def oldest(self) -> ClosedLedger:
        """The oldest ledger that can be asked for."""
        ...


@dataclass(frozen=True, kw_only=True)
class Told:
    """One answer and what is to be said instead."""

    #: The node as it is.
    rpc: HonestNode
    #: The method.
    method: str
    #: Its parameters.
    params: Mapping[str, Any]
    #: The true answer, or what another lie has made of it.
    result: Result
    #: The lie's setting.
    value: Any


@dataclass(frozen=True, kw_only=True)
class Lie:
    """One kind of lie."""

    #: Methods whose answers it may change.
    methods: frozenset[str]
    #: What is said.
    tell: Callable[[Told], Result]
    #: Checks a setting; ValueError says what is wrong with it.
    check: Callable[[Any], None]
    #: The parameters that the node is asked with, so that it can answer at all.
    ask: Callable[[Told], Mapping[str, Any]] | None = None


def is_number(value: Any) -> None:
    """An integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer, got {value!r}")  # noqa: TRY004


def is_flag(value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")  # noqa: TRY004


def is_text(value: Any) -> None:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r}")  # noqa: TRY004


def one_of(*words: str) -> Callable[[Any], None]:
    """One of these words."""

    def check(value: Any) -> None:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}, got {value!r}")

    return check


def word_or_numbers(words: tuple[str, ...], names: frozenset[str] | None) -> Callable[[Any], None]:
    """One of these words, or an object of numbers with these names (None: any)."""

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
    """{address or "*": integer or null}."""
    if not isinstance(value, dict):
        raise ValueError("expected an object of address -> integer")  # noqa: TRY004
    for number in value.values():
        if number is not None:
            is_number(number)

"""Statements: days that are closed, and what an owner is shown of a month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.kale.statements.document import Balances, Statement
from libs.kale.statements.lines import Line
from libs.kale.statements.roots import Root
from libs.kale.statements.sums_tree import Claim, Node, Step


@dataclass(frozen=True, kw_only=True)
class ClosingState:
    """Where closings stand."""

    #: The day that runs, as days since 1970.
    today: int
    #: Seconds since it began.
    seconds: int
    #: The newest day that is closed; None before the first.
    closed: int | None
    #: Whether anything was booked before the running day; None when nothing was booked at all.
    has_past: bool | None

    def due(self, delay: float) -> int | None:
        """Return the day that is to be closed now, so many seconds after its end; None: none is.

        What was booked on the first day of all belongs to that day, so that nothing is closed on
        it. Days on which no process ran have no closing of their own.
        """
        yesterday = self.today - 1
        is_closed = self.closed is not None and self.closed >= yesterday
        is_first = self.closed is None and not self.has_past
        return None if self.seconds < delay or is_closed or is_first else yesterday


@dataclass(frozen=True, kw_only=True)
class Closing:
    """A day that is closed."""

    #: The day, as days since 1970.
    day: int
    #: The newest journal that it covers.
    last_journal: int
    #: When it was closed.
    closed_at: datetime


@dataclass(frozen=True, kw_only=True)
class OpenLeaf:
    """An owner whose history is not worked out at a closing."""

    #: The farmer, pooler or miner.
    owner: UUID
    #: Whether it is a farmer.
    is_farmer: bool
    #: Its history at the closing before.
    previous: bytes
    #: The newest journal that this covers.
    after_journal: int


@dataclass(frozen=True, kw_only=True)
class PublishedRoot:
    """A root, and how it came to the chain."""

    #: The root.
    root: Root
    #: Hash of the transaction (hex) that wrote it there; empty until one has.
    transaction_hash: str
    #: Ledger of that transaction; 0 until there is one.
    ledger: int


@dataclass(frozen=True, kw_only=True)
class Written:
    """A root that stands on the chain, by wallet's word."""

    #: Hash of the transaction (hex); empty when the chain had it already.
    transaction_hash: str
    #: Its ledger.
    ledger: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a page of a statement ended."""

    #: The closing's day, of which all pages are.
    day: int
    #: Number of its last journal.
    journal: int


@dataclass(frozen=True, kw_only=True)
class StatementPage:
    """A page of a statement."""

    #: All but the lines.
    statement: Statement
    #: The lines of this page, and one more when there are more.
    lines: Sequence[Line]


@dataclass(frozen=True, kw_only=True)
class OwnerProof:
    """What an owner had at the end of a day, and the way from its leaf to the root."""

    #: What it had.
    claim: Claim
    #: Its leaf.
    leaf: Node
    #: The steps upwards.
    path: Sequence[Step]
    #: The root.
    root: Root

    @property
    def balances(self) -> Balances:
        """Return what it had at the end of the day."""
        return Balances(day=self.root.day, amounts=self.claim.balances, history=self.claim.history)

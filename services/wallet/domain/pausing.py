"""The kill switch: for whom nothing is signed."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique
from uuid import UUID


@unique
class Scope(Enum):
    """Extent of a pause."""

    EVERYTHING = "everything"
    POOLER = "pooler"
    WALLET = "wallet"
    #: As an operator names a wallet; records name the wallet itself.
    FARMER = "farmer"


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Scope and target of a pause: they tell for whom nothing is signed."""

    #: How far the pause reaches.
    scope: Scope
    #: The pooler's, wallet's or farmer's id; None for everything.
    target: UUID | None = None

    def __str__(self) -> str:
        """Return the text by which the audit log names this reach."""
        return self.scope.value if self.target is None else f"{self.scope.value} {self.target}"


@dataclass(frozen=True, kw_only=True)
class Held:
    """For whom nothing is signed, by all pauses that are in force."""

    #: What each pause reaches.
    reaches: frozenset[Reach] = frozenset()

    @property
    def everything(self) -> bool:
        """Tell whether nothing at all is signed."""
        return Reach(scope=Scope.EVERYTHING) in self.reaches

    def holds(self, wallet_id: UUID, pooler_id: UUID | None) -> bool:
        """Tell whether nothing is signed for a wallet of this pooler, or at all."""
        return bool(self.reaches) and (
            self.everything
            or Reach(scope=Scope.WALLET, target=wallet_id) in self.reaches
            or (
                pooler_id is not None
                and Reach(scope=Scope.POOLER, target=pooler_id) in self.reaches
            )
        )


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A pause, in force or over."""

    #: Those for whom nothing is signed.
    reach: Reach
    #: The reason for the pause.
    reason: str
    #: Who paused.
    paused_by: str
    #: When.
    paused_at: datetime
    #: Who resumed; None while it is in force.
    resumed_by: str | None
    #: When.
    resumed_at: datetime | None

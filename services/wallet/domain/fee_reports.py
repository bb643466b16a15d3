"""Reports of fees: what the network was paid, and what each KALE cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique

from libs.kale.constants import MAX_I64, STROOPS_PER_KALE


@unique
class FeeKind(Enum):
    """What a fee was paid for: a kind of operation, or something that no operation asked for."""

    ONBOARD = "onboard"
    PLANT = "plant"
    WORK = "work"
    HARVEST = "harvest"
    OPEN_CHANNEL = "open_channel"
    TOP_UP = "top_up"
    WITHDRAW = "withdraw"
    OPEN_PAYER = "open_payer"
    RENT = "rent"
    OTHER = "other"
    PAYOUT = "payout"
    POOL_PAYMENT = "pool_payment"
    DATA_ENTRY = "data_entry"
    CLOSE_ACCOUNT = "close_account"

    @classmethod
    def read(cls, text: str) -> "FeeKind":
        """Return the kind in a row; OTHER for a text that is none."""
        return next((kind for kind in cls if kind.value == text), cls.OTHER)


@dataclass(frozen=True, kw_only=True)
class Fee:
    """What one kind cost."""

    #: The kind.
    kind: FeeKind
    #: Stroops of XLM.
    stroops: int
    #: How often it was charged.
    charges: int


@dataclass(frozen=True, kw_only=True)
class Fees:
    """What the network was paid in one span of time."""

    #: When the hour, day or month began.
    starts_at: datetime
    #: By kind, in the order of FeeKind.
    kinds: Sequence[Fee]
    #: Stroops of KALE that were harvested in the same time.
    rewards: int

    @property
    def stroops(self) -> int:
        """Return the stroops of XLM of all kinds together."""
        return min(sum(fee.stroops for fee in self.kinds), MAX_I64)

    @property
    def stroops_per_kale(self) -> int | None:
        """Return the stroops of XLM that one KALE cost, rounded down; None without rewards."""
        if self.rewards <= 0:
            return None
        return min(self.stroops * STROOPS_PER_KALE // self.rewards, MAX_I64)


def in_order(fees: Sequence[Fee]) -> tuple[Fee, ...]:
    """Return fees in the order of their kinds."""
    order = list(FeeKind)
    return tuple(sorted(fees, key=lambda fee: order.index(fee.kind)))

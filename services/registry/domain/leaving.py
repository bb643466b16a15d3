"""Who may have a farmer leave or stay, and what a farmer that leaves still waits for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique
from uuid import UUID

from services.registry.domain.status import FarmerEvent, FarmerStatus, sources


@unique
class Word(Enum):
    """Whose word it is that a farmer leaves, the stronger one later; the values of the database."""

    POOLER = "pooler"
    OWNER = "owner"
    OPERATOR = "operator"


def may_leave_from(word: Word) -> tuple[FarmerStatus, ...]:
    """Return the statuses in which a farmer may leave by a word.

    An operator has suspended it, so that an operator's word alone takes it out of that: whoever
    asks in the moment of the suspension, too.
    """
    is_operator = word is Word.OPERATOR
    return tuple(
        status
        for status in sources(FarmerEvent.LEAVES)
        if is_operator or status is not FarmerStatus.SUSPENDED
    )


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """A farmer or a pooler that leaves, and is to be looked at."""

    #: The farmer, or the pooler.
    owner_id: UUID
    is_pooler: bool
    #: Its account is being closed.
    is_closing: bool


@dataclass(frozen=True, kw_only=True)
class Waits:
    """What keeps somebody from leaving."""

    #: For machines.
    reason: str
    #: For people.
    message: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How far a farmer's leaving is, as it is shown."""

    #: Whose word it is.
    word: Word
    #: When it was asked for.
    asked_at: datetime
    #: What it waits for; both empty: it was not looked at yet, or waits for nothing.
    waits: Waits


#: What may be left, in the order in which it goes, with what is told of it.
_LEFT: Mapping[str, tuple[str, str]] = {
    "farmers": ("FARMERS", "{} farmers have not left yet"),
    "unharvested": ("UNHARVESTED", "{} blocks are not harvested yet"),
    "payouts": ("ON_ITS_WAY", "{} payouts are on their way"),
    "farmer:pending_out": ("ON_ITS_WAY", "{} stroops of KALE are on their way"),
    "farmer:available": (
        "UNPAID",
        "{} stroops of KALE are to be paid out (kalepool payout pending tells why they wait)",
    ),
    "fees": ("FEES_UNPAID", "{} stroops of KALE are owed as fees, and lie in its account"),
    "pooler:fee": ("UNPAID", "{} stroops of KALE are to be paid to the pooler"),
    "miner:earned": ("NOT_DIVIDED", "{} stroops of KALE are not divided among miners"),
    "miners": ("MINERS_UNPAID", "{} stroops of KALE are to be paid to miners"),
    "funds": ("UNPAID", "{} stroops of KALE lie in its custodial account"),
}


def waits_for(left: Mapping[str, int]) -> Waits | None:
    """Return what of this has to go first; None when nothing is left."""
    for what, (reason, message) in _LEFT.items():
        if left.get(what):
            return Waits(reason=reason, message=message.format(left[what]))
    unknown = sorted(what for what, amount in left.items() if amount and what not in _LEFT)
    return Waits(reason="UNPAID", message=f"left: {', '.join(unknown)}") if unknown else None

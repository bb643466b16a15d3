"""The statuses of farmers and poolers, with tables of their changes: no other change can happen."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from libs.common.states import StateTable


class FarmerStatus(Enum):
    """Status of a farmer; the values are those in the database."""

    PROVISIONING = "provisioning"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEAVING = "leaving"
    CLOSING = "closing"
    DEPARTED = "departed"


class FarmerEvent(Enum):
    """Event that can happen to a farmer."""

    WALLET_MADE = "wallet made"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    LEAVES = "leaves"
    STAYS = "stays"
    EMPTIED = "emptied"
    REOPENED = "reopened"
    CLOSED = "closed"


_S, _E = FarmerStatus, FarmerEvent

TRANSITIONS: StateTable[FarmerStatus, FarmerEvent] = StateTable(
    initial=_S.PROVISIONING,
    edges={
        (_S.PROVISIONING, _E.WALLET_MADE): (_S.ACTIVE, "wallet has made its key."),
        (_S.ACTIVE, _E.SUSPENDED): (_S.SUSPENDED, "It is not planted any more."),
        (_S.SUSPENDED, _E.SUSPENDED): (_S.SUSPENDED, "Twice is the same as once."),
        (_S.SUSPENDED, _E.RESUMED): (_S.ACTIVE, "It is planted again."),
        (_S.ACTIVE, _E.RESUMED): (_S.ACTIVE, "Twice is the same as once."),
        (_S.ACTIVE, _E.LEAVES): (_S.LEAVING, "It is not planted any more, and paid all it has."),
        (_S.SUSPENDED, _E.LEAVES): (_S.LEAVING, "The same, by an operator's word."),
        (_S.LEAVING, _E.LEAVES): (
            _S.LEAVING,
            "Once more: the stronger word counts.",
        ),
        (_S.LEAVING, _E.STAYS): (_S.ACTIVE, "It is called off: it is planted again."),
        (_S.LEAVING, _E.SUSPENDED): (_S.SUSPENDED, "An operator stops it: it does not leave."),
        (_S.LEAVING, _E.EMPTIED): (_S.CLOSING, "All is harvested and paid: wallet closes it."),
        (_S.CLOSING, _E.REOPENED): (_S.LEAVING, "wallet found something left, and closes nothing."),
        (_S.CLOSING, _E.CLOSED): (_S.DEPARTED, "The chain shows its account gone."),
    },
)


class PoolerStage(Enum):
    """Stage of a pooler as a whole on its way out; the values are those in the database."""

    FARMING = "farming"
    LEAVING = "leaving"
    CLOSING = "closing"
    DEPARTED = "departed"


_P = PoolerStage

POOLER_TRANSITIONS: StateTable[PoolerStage, FarmerEvent] = StateTable(
    initial=_P.FARMING,
    edges={
        (_P.FARMING, _E.LEAVES): (_P.LEAVING, "All of its farmers leave, and no new ones come."),
        (_P.LEAVING, _E.LEAVES): (_P.LEAVING, "Twice is the same as once."),
        (_P.LEAVING, _E.STAYS): (
            _P.FARMING,
            "It is called off, for its farmers, too.",
        ),
        (_P.LEAVING, _E.EMPTIED): (_P.CLOSING, "Its farmers are gone, it and its miners are paid."),
        (_P.CLOSING, _E.REOPENED): (_P.LEAVING, "wallet found something left, and closes nothing."),
        (_P.CLOSING, _E.CLOSED): (_P.DEPARTED, "The chain shows its custodial account gone."),
    },
)

StatusT = TypeVar("StatusT", bound=Enum)


def sources(event: FarmerEvent) -> tuple[FarmerStatus, ...]:
    """Return the statuses in which an event can happen."""
    return _sources(TRANSITIONS, event)


def target(event: FarmerEvent) -> FarmerStatus:
    """Return the status that an event leads to; each event has one."""
    return _target(TRANSITIONS, event)


def pooler_sources(event: FarmerEvent) -> tuple[PoolerStage, ...]:
    """Return the stages of a pooler in which an event can happen."""
    return _sources(POOLER_TRANSITIONS, event)


def pooler_target(event: FarmerEvent) -> PoolerStage:
    """Return the stage of a pooler that an event leads to."""
    return _target(POOLER_TRANSITIONS, event)


def _sources(
    table: Mapping[tuple[StatusT, FarmerEvent], StatusT], event: FarmerEvent
) -> tuple[StatusT, ...]:
    return tuple(status for status, known in table if known is event)


def _target(table: Mapping[tuple[StatusT, FarmerEvent], StatusT], event: FarmerEvent) -> StatusT:
    (found,) = {end for (_, known), end in table.items() if known is event}
    return found

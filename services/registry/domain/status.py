"""The statuses of a farmer, with a table of their changes: no other change can happen."""

from enum import Enum

from libs.common.states import StateTable


class FarmerStatus(Enum):
    """Status of a farmer; the values are those in the database."""

    PROVISIONING = "provisioning"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEAVING = "leaving"
    DEPARTED = "departed"


class FarmerEvent(Enum):
    """Event that can happen to a farmer."""

    WALLET_MADE = "wallet made"
    SUSPENDED = "suspended"
    RESUMED = "resumed"


_S, _E = FarmerStatus, FarmerEvent

#: `leaving` and `departed` are kept for changes that have no RPC yet: no event leads to them.
TRANSITIONS: StateTable[FarmerStatus, FarmerEvent] = StateTable(
    initial=_S.PROVISIONING,
    edges={
        (_S.PROVISIONING, _E.WALLET_MADE): (_S.ACTIVE, "wallet has made its key."),
        (_S.ACTIVE, _E.SUSPENDED): (_S.SUSPENDED, "It is not planted any more."),
        (_S.SUSPENDED, _E.SUSPENDED): (_S.SUSPENDED, "Twice is the same as once."),
        (_S.SUSPENDED, _E.RESUMED): (_S.ACTIVE, "It is planted again."),
        (_S.ACTIVE, _E.RESUMED): (_S.ACTIVE, "Twice is the same as once."),
    },
)


def sources(event: FarmerEvent) -> tuple[FarmerStatus, ...]:
    """Return the statuses in which an event can happen."""
    return tuple(status for status, known in TRANSITIONS if known is event)


def target(event: FarmerEvent) -> FarmerStatus:
    """Return the status that an event leads to; each event has one."""
    (found,) = {end for (_, known), end in TRANSITIONS.items() if known is event}
    return found

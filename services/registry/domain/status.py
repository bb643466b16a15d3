"""Where a farmer stands, as a table: what is not in it cannot happen."""

from enum import Enum


class FarmerStatus(Enum):
    """Values as in the database."""

    PROVISIONING = "provisioning"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEAVING = "leaving"
    DEPARTED = "departed"


class FarmerEvent(Enum):
    """What can happen to a farmer."""

    WALLET_MADE = "wallet made"
    SUSPENDED = "suspended"
    RESUMED = "resumed"


_S = FarmerStatus

TRANSITIONS: dict[tuple[FarmerStatus, FarmerEvent], FarmerStatus] = {
    # wallet has made its key.
    (_S.PROVISIONING, FarmerEvent.WALLET_MADE): _S.ACTIVE,
    # Is not planted any more.
    (_S.ACTIVE, FarmerEvent.SUSPENDED): _S.SUSPENDED,
    # Twice is the same as once.
    (_S.SUSPENDED, FarmerEvent.SUSPENDED): _S.SUSPENDED,
    (_S.SUSPENDED, FarmerEvent.RESUMED): _S.ACTIVE,
    (_S.ACTIVE, FarmerEvent.RESUMED): _S.ACTIVE,
}


def sources(event: FarmerEvent) -> tuple[FarmerStatus, ...]:
    """The statuses in which an event can happen."""
    return tuple(status for status, known in TRANSITIONS if known is event)


def target(event: FarmerEvent) -> FarmerStatus:
    """The status that an event leads to; each has one."""
    (found,) = {end for (_, known), end in TRANSITIONS.items() if known is event}
    return found

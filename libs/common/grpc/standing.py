"""Standings of poolers and farmers that limit what may be done for them, and what they allow."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from enum import Enum, unique

from libs.common.errors import FailedPreconditionError


@unique
class Standing(Enum):
    """What a pooler or a farmer stands in."""

    #: An operator has suspended the pooler.
    POOLER_SUSPENDED = "pooler suspended"
    #: An operator has suspended the farmer.
    FARMER_SUSPENDED = "farmer suspended"
    #: The farmer is on its way out.
    FARMER_LEAVING = "farmer leaving"
    #: The farmer has gone.
    FARMER_DEPARTED = "farmer departed"
    #: An operator has stopped signing for the farmer or its pooler. A stop for everybody limits
    #: nobody in what may be asked for: it waits.
    SIGNING_PAUSED = "signing paused"


@unique
class Allows(Enum):
    """What a standing allows of one method."""

    #: Everything.
    YES = "yes"
    #: It is for operators alone.
    OPERATORS = "operators"
    #: Nothing, but a repeat of what was accepted before has its answer. The use case sees to it.
    NOTHING = "no"
    #: The method goes on without that farmer.
    LEAVES_OUT = "leaves it out"
    #: It is accepted, and done once the standing is over, as long as its block allows that.
    WAITS = "waits"


#: What each standing allows; empty: the method does nothing that a standing could limit.
Limits = Mapping[Standing, Allows]
#: The standings that ids are in.
Standings = Callable[[Sequence[str]], Awaitable[Collection[Standing]]]


class PoolerSuspendedError(FailedPreconditionError):
    """The pooler is suspended: it takes no new farmers, plants nothing and moves nothing."""

    default_reason = "POOLER_SUSPENDED"


class FarmerSuspendedError(FailedPreconditionError):
    """The farmer is suspended: what moves its money, or where it goes, is for operators."""

    default_reason = "FARMER_SUSPENDED"


class FarmerDepartedError(FailedPreconditionError):
    """The farmer has departed: what is left of it is for operators."""

    default_reason = "FARMER_DEPARTED"


class SigningPausedError(FailedPreconditionError):
    """An operator has paused signing for the farmer or its pooler."""

    default_reason = "SIGNING_PAUSED"


def standings_in(row: Mapping[str, object] | None) -> set[Standing]:
    """Return the standings that a row has columns for, named after them, that are true."""
    found = row or {}
    return {item for item in Standing if found.get(item.name.lower())}


_ERRORS: Mapping[Standing, type[FailedPreconditionError]] = {
    Standing.POOLER_SUSPENDED: PoolerSuspendedError,
    Standing.FARMER_SUSPENDED: FarmerSuspendedError,
    Standing.FARMER_DEPARTED: FarmerDepartedError,
    Standing.SIGNING_PAUSED: SigningPausedError,
}


def check_standings(limits: Limits, found: Collection[Standing]) -> None:
    """Raise the error of the first of these standings that leaves a method to operators."""
    for standing in Standing:
        if standing in found and limits.get(standing) is Allows.OPERATORS:
            error = _ERRORS.get(standing, FailedPreconditionError)
            raise error(f"{standing.value}: only an operator may do this")

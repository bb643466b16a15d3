"""Who may join a pooler by itself, so that nobody uses up what new accounts cost the treasury."""

from dataclasses import dataclass

from services.registry.domain.errors import (
    NotOpenToJoinError,
    PoolerLeavingError,
    PoolerSuspendedError,
    PoolFullError,
    SelfJoinLimitError,
    SelfJoinOffError,
    SelfJoinOwnerLimitError,
)
from services.registry.domain.model import Pooler
from services.registry.domain.status import PoolerStage


@dataclass(frozen=True, kw_only=True)
class JoinLimits:
    """The operator's limits: farmers that may join by themselves within 24 hours."""

    #: All together; 0: none may.
    daily: int
    #: Of one owner account.
    owner_daily: int


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Farmers that have joined by themselves within the last 24 hours."""

    #: All together.
    total: int
    #: Of the owner account that wants to join.
    of_owner: int


def check_place(pooler: Pooler) -> None:
    """Raise PoolerSuspendedError, PoolerLeavingError or PoolFullError: the pooler takes nobody."""
    if not pooler.is_active:
        raise PoolerSuspendedError(f"pooler {pooler.pooler_id} is suspended")
    if pooler.stage is not PoolerStage.FARMING:
        raise PoolerLeavingError(f"pooler {pooler.pooler_id} leaves the pool")
    if pooler.current_farmers >= pooler.max_farmers:
        raise PoolFullError(
            f"the pooler has its {pooler.max_farmers} farmers",
            metadata={"max_farmers": str(pooler.max_farmers)},
        )


def check_allowed(pooler: Pooler, limits: JoinLimits) -> None:
    """Raise SelfJoinOffError or NotOpenToJoinError where nobody joins the pooler by itself."""
    if not limits.daily:
        raise SelfJoinOffError("the operator lets nobody join by itself: ask the pooler")
    if not pooler.is_open_to_join:
        raise NotOpenToJoinError(
            f"pooler {pooler.pooler_id} registers its farmers itself: ask it",
            metadata={"pooler_id": str(pooler.pooler_id)},
        )


def check_joined(joined: Joined, limits: JoinLimits) -> None:
    """Raise SelfJoinOwnerLimitError or SelfJoinLimitError when as many have joined as may."""
    if joined.of_owner >= limits.owner_daily:
        raise SelfJoinOwnerLimitError(
            f"{limits.owner_daily} of the owner account may join within 24 hours, and have",
            metadata={"limit": str(limits.owner_daily)},
        )
    if joined.total >= limits.daily:
        raise SelfJoinLimitError(
            f"{limits.daily} may join by themselves within 24 hours, and have",
            metadata={"limit": str(limits.daily)},
        )

"""Approvals: requests of one operator that another one has to agree to."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto, unique
from typing import NewType
from uuid import UUID

ApprovalId = NewType("ApprovalId", UUID)


#: Requests to wallet that one operator has waiting at most.
MOST_OWN = 50
#: Requests to other services that wait at most, of all operators: those services say who has sent
#: them.
MOST_BROUGHT = 100


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One request, and who agreed to it: a whole row of wallet.approvals."""

    #: Id of the approval.
    id: ApprovalId
    #: The method that was called, in full.
    method: str
    #: SHA-256 over the method and the request's bytes: what is agreed to.
    digest: bytes
    #: The request for people, as JSON.
    request: str
    #: The operator who has sent the request.
    asked_by: str
    #: When.
    asked_at: datetime
    #: Until when it can be approved and used.
    expires_at: datetime
    #: The other operator; None until then.
    approved_by: str | None
    #: When; None until then.
    approved_at: datetime | None
    #: When it was used; None until then.
    used_at: datetime | None


@unique
class Verdict(Enum):
    """What to do with a request that takes a second person."""

    #: Nobody was asked yet, or it is too late: ask.
    ASK = auto()
    #: Somebody was asked and has not agreed yet.
    WAIT = auto()
    #: Somebody has agreed: use the approval up and go on.
    USE = auto()
    #: The same request went on before, and does nothing new: go on.
    REPEAT = auto()


def verdict(newest: Approval | None, now: datetime, *, is_repeatable: bool) -> Verdict:
    """Decide by the newest approval of exactly this request by this operator."""
    if newest is None:
        return Verdict.ASK
    if newest.used_at is not None:
        return Verdict.REPEAT if is_repeatable else Verdict.ASK
    if newest.expires_at <= now:
        return Verdict.ASK
    return Verdict.WAIT if newest.approved_at is None else Verdict.USE


def expiry(now: datetime, *, seconds: int) -> datetime:
    """Return until when a request that is sent now can be approved and used."""
    return now + timedelta(seconds=seconds)


def is_anothers(approval: Approval, actor: str) -> bool:
    """Tell whether this is not the operator who asked, in whatever letters its name is written."""
    return approval.asked_by.casefold() != actor.casefold()


def is_wallets_own(method: str) -> bool:
    """Tell whether a method is wallet's: no other service has a say in those."""
    return method.startswith("/kalepool.wallet.")


def has_room(method: str, *, own: int, brought: int) -> bool:
    """Tell whether one more request to a method may wait, beside those that wait already.

    What other services bring never takes the room of what operators ask wallet for.
    """
    return own < MOST_OWN if is_wallets_own(method) else brought < MOST_BROUGHT

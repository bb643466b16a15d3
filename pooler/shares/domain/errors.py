"""Errors of whole requests, by the fixed codes that miners' programs know."""

from datetime import UTC, datetime
from typing import ClassVar

from libs.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
)


class MalformedError(InvalidArgumentError):
    """The request is not what the reference asks for; `violations` names every field."""

    default_reason = "MALFORMED"


class BadCredentialError(UnauthenticatedError):
    """The request shows no credential, or one that there is not."""

    default_reason = "BAD_CREDENTIAL"


class BannedError(PermissionDeniedError):
    """The credential is banned; `metadata` says until when and why."""

    default_reason = "BANNED"

    @classmethod
    def until(cls, moment: float, why: str) -> "BannedError":
        """Return the error with the end of the ban (unix seconds), and its reason."""
        ends = datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
        told = ends.replace("+00:00", "Z")
        return cls(f"banned until {told}: {why}", metadata={"until": told, "why": why})


class LimitedError(ResourceExhaustedError):
    """A limit is reached; `retry_after` says when to come again, if that helps."""

    default_reason = "LIMITED"


class PausedError(FailedPreconditionError):
    """There is no work now; `retry_after` says when to ask again."""

    default_reason = "PAUSED"
    http_status: ClassVar[int] = 409


class TermsChangedError(FailedPreconditionError):
    """The terms that were agreed to are not those that hold; `metadata` has the version."""

    default_reason = "TERMS_CHANGED"
    http_status: ClassVar[int] = 409

    @classmethod
    def to(cls, version: str) -> "TermsChangedError":
        """Return the error with the version that holds."""
        told = f"the terms are now {version}: read GET /v1/pool, then agree by POST /terms"
        return cls(told, metadata={"terms": version})


class BadTokenError(InvalidArgumentError):
    """A job's token that is none of this pool's."""

    default_reason = "BAD_TOKEN"


class OtherChainError(FailedPreconditionError):
    """The database of shares has this block with another entropy: it is of another chain."""

    default_reason = "OTHER_CHAIN"

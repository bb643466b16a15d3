"""Typed errors: one class per gRPC status.

They are mapped in one place (grpc/errors.py) and restored by clients. Domains subclass these
classes with a fixed `reason`, so an error keeps its meaning across hops.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class ErrorCode(Enum):
    """The gRPC status codes that this pool uses (values as in grpc.StatusCode)."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


@dataclass(frozen=True, kw_only=True)
class FieldViolation:
    """One field of a request that breaks a rule."""

    #: Path of the field as in the proto, such as `submissions[3].farmer_id`.
    field: str
    #: The violation in words.
    description: str


class PoolError(Exception):
    """Base of all errors that a caller may see."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    #: Machine-readable, UPPER_SNAKE_CASE; google.rpc.ErrorInfo.reason.
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        """Set the message and the details.

        The details go to ErrorInfo, BadRequest (violations) and RetryInfo (retry_after, s).
        """
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after


class InvalidArgumentError(PoolError):
    """The request breaks rules that do not depend on any state; `violations` names every field."""

    code = ErrorCode.INVALID_ARGUMENT
    default_reason = "INVALID_REQUEST"

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidArgumentError":
        """Return the error for one field that breaks a rule that no proto can declare."""
        violation = FieldViolation(field=field, description=description)
        return cls(f"{field} {description}", violations=[violation])


class NotFoundError(PoolError):
    """Something named by id does not exist."""

    code = ErrorCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExistsError(PoolError):
    """Something that must be unique is there already."""

    code = ErrorCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class PermissionDeniedError(PoolError):
    """The caller is known and may not do this."""

    code = ErrorCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class ResourceExhaustedError(PoolError):
    """A limit is reached."""

    code = ErrorCode.RESOURCE_EXHAUSTED
    default_reason = "RESOURCE_EXHAUSTED"


class FailedPreconditionError(PoolError):
    """The request is sound, but the state does not allow it now."""

    code = ErrorCode.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class ConflictError(PoolError):
    """Somebody else changed the same thing at the same time; the call may be repeated."""

    code = ErrorCode.ABORTED
    default_reason = "CONFLICT"


class OutOfRangeError(PoolError):
    """A cursor or range points at what is no longer, or not yet, there."""

    code = ErrorCode.OUT_OF_RANGE
    default_reason = "OUT_OF_RANGE"


class DeadlineExceededError(PoolError):
    """The call's time is over; what was accepted goes on."""

    code = ErrorCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class UnavailableError(PoolError):
    """Something that this process needs is away; the same call succeeds later."""

    code = ErrorCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class UnauthenticatedError(PoolError):
    """The caller did not show who it is."""

    code = ErrorCode.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class InternalError(PoolError):
    """A defect of the pool; details are in its log only."""

"""Errors of the gateway's own; those that all of HTTP has are in libs/http/errors.py."""

from libs.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)


class RequestIdDiffersError(InvalidArgumentError):
    """Idempotency-Key and the request's own requestId differ."""

    default_reason = "REQUEST_ID_DIFFERS"


class TokenUnknownError(UnauthenticatedError):
    """There is no such token, or it has ended or was revoked."""

    default_reason = "TOKEN_UNKNOWN"


class NoServiceError(UnavailableError):
    """None of the services answers."""

    default_reason = "NO_SERVICE"


class PoolerSilentError(UnavailableError):
    """A pooler that the page is to show tells nothing of its mining."""

    default_reason = "POOLER_SILENT"


class ForeignFormError(PermissionDeniedError):
    """A form was not sent from a page of this gateway and of this session."""

    default_reason = "FOREIGN_FORM"


class StatementTooLongError(FailedPreconditionError):
    """The file has more lines than a page gives: take a day's, or `kalepool statement save`."""

    default_reason = "STATEMENT_TOO_LONG"


class SessionEndedError(UnauthenticatedError):
    """A form was sent after its session had ended."""

    default_reason = "SESSION_ENDED"

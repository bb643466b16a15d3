"""Errors as HTTP tells them: RFC 9457 problems, by the table that gRPC and HTTP agree on."""

import http
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from libs.common.errors import (
    DeadlineExceededError,
    ErrorCode,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PoolError,
    UnauthenticatedError,
)

#: Puts a text into the words of those who call.
Words = Callable[[str], str]

#: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
STATUSES = {
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.FAILED_PRECONDITION: 400,
    ErrorCode.OUT_OF_RANGE: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.ALREADY_EXISTS: 409,
    ErrorCode.ABORTED: 409,
    ErrorCode.RESOURCE_EXHAUSTED: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.DEADLINE_EXCEEDED: 504,
}


class NoSuchPathError(NotFoundError):
    """Nothing is served at this path."""

    default_reason = "NO_SUCH_PATH"


class MethodNotAllowedError(InvalidArgumentError):
    """The path is served by another method of HTTP."""

    default_reason = "METHOD_NOT_ALLOWED"
    http_status: ClassVar[int] = 405

    def __init__(self, message: str, *, allowed: Sequence[str]) -> None:
        """Take the methods that the path is served by."""
        super().__init__(message, metadata={"allowed": ", ".join(allowed)})
        self.allowed = ", ".join(allowed)


class BodyTooLargeError(InvalidArgumentError):
    """The body of the request is longer than is taken (MAX_BODY_BYTES)."""

    default_reason = "BODY_TOO_LARGE"
    http_status: ClassVar[int] = 413


class MediaTypeError(InvalidArgumentError):
    """The body is not said to be JSON in UTF-8, or it is compressed."""

    default_reason = "UNSUPPORTED_MEDIA_TYPE"
    http_status: ClassVar[int] = 415


class BodyMissingError(DeadlineExceededError):
    """The body of the request did not arrive in time."""

    default_reason = "BODY_MISSING"
    http_status: ClassVar[int] = 408


class AmbiguousHeadersError(InvalidArgumentError):
    """The head of the request says one thing in two ways, which others may read otherwise."""

    default_reason = "AMBIGUOUS_HEADERS"


class TokenMissingError(UnauthenticatedError):
    """The request has no token, and is not for everybody."""

    default_reason = "TOKEN_MISSING"


class StreamTooSlowError(FailedPreconditionError):
    """The reader of a stream took events more slowly than they came; it may resume."""

    default_reason = "STREAM_TOO_SLOW"


def status_of(error: PoolError) -> int:
    """Return the status of HTTP for an error."""
    own: int | None = getattr(error, "http_status", None)
    return own or STATUSES[error.code]


def phrase_of(status: int) -> str:
    """Return what a status of HTTP is called."""
    return http.HTTPStatus(status).phrase


def problem_of(
    error: PoolError,
    *,
    instance: str,
    request_id: str,
    words: Words = str,
) -> dict[str, Any]:
    """Return an error as a problem (RFC 9457), in the words of those who call.

    Its type is about:blank, so its title is the status's; reason tells errors apart.
    """
    status = status_of(error)
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": phrase_of(status),
        "status": status,
        "detail": words(error.message),
        "instance": instance,
        "reason": error.reason,
        "metadata": error.metadata,
        "requestId": request_id,
    }
    if error.violations:
        problem["violations"] = [
            {"field": words(one.field), "description": words(one.description)}
            for one in error.violations
        ]
    return problem


def headers_of(error: PoolError, *, had_token: bool) -> list[tuple[str, str]]:
    """Return the headers that go with an error."""
    headers: list[tuple[str, str]] = []
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after)))))
    if error.code is ErrorCode.UNAUTHENTICATED:
        is_wrong = had_token and not isinstance(error, TokenMissingError)
        ending = ', error="invalid_token"' if is_wrong else ""
        headers.append(("www-authenticate", f'Bearer realm="kalepool"{ending}'))
    if isinstance(error, MethodNotAllowedError):
        headers.append(("allow", error.allowed))
    return headers

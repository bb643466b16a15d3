"""The statuses and reasons of HTTP: callers decide by them."""

import pytest

from libs.common.errors import ErrorCode, PoolError
from libs.http import errors
from libs.http.errors import MethodNotAllowedError, phrase_of, status_of
from tests.support.reasons import reasons_of


def test_every_code_has_the_status_that_grpc_and_http_agree_on() -> None:
    assert errors.STATUSES == {
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


def test_every_error_of_http_has_its_reason() -> None:
    assert reasons_of(errors) == {
        errors.NoSuchPathError: "NO_SUCH_PATH",
        errors.MethodNotAllowedError: "METHOD_NOT_ALLOWED",
        errors.BodyTooLargeError: "BODY_TOO_LARGE",
        errors.MediaTypeError: "UNSUPPORTED_MEDIA_TYPE",
        errors.BodyMissingError: "BODY_MISSING",
        errors.AmbiguousHeadersError: "AMBIGUOUS_HEADERS",
        errors.TokenMissingError: "TOKEN_MISSING",
        errors.StreamTooSlowError: "STREAM_TOO_SLOW",
    }


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.NoSuchPathError, 404),
        (errors.AmbiguousHeadersError, 400),
        (errors.TokenMissingError, 401),
        (errors.StreamTooSlowError, 400),
    ],
)
def test_an_error_without_a_status_of_its_own_has_its_codes(
    kind: type[PoolError], status: int
) -> None:
    assert status_of(kind("x")) == status


def test_a_method_that_is_not_served_is_told_those_that_are() -> None:
    error = MethodNotAllowedError("only GET", allowed=["GET", "PUT"])
    assert error.metadata == {"allowed": "GET, PUT"}
    assert phrase_of(status_of(error)) == "Method Not Allowed"

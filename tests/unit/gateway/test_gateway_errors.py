"""Errors as HTTP tells them."""

import pytest

from gateway.errors import TokenUnknownError
from gateway.words import in_http
from libs.common.errors import (
    ErrorCode,
    FieldViolation,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from libs.http.errors import (
    STATUSES,
    BodyMissingError,
    BodyTooLargeError,
    MediaTypeError,
    MethodNotAllowedError,
    TokenMissingError,
    headers_of,
    problem_of,
    status_of,
)


def test_every_code_has_a_status() -> None:
    assert set(STATUSES) == set(ErrorCode)


def test_what_is_of_http_alone_has_its_own_status() -> None:
    assert status_of(BodyTooLargeError("x")) == 413
    assert status_of(MediaTypeError("x")) == 415
    assert status_of(BodyMissingError("x")) == 408
    error = MethodNotAllowedError("x", allowed=["GET", "POST"])
    assert status_of(error) == 405
    assert headers_of(error, had_token=False) == [("allow", "GET, POST")]


def test_a_problem_has_all_that_a_caller_needs() -> None:
    error = PermissionDeniedError("not yours", reason="NOT_YOURS", metadata={"fields": "x"})
    assert problem_of(error, instance="/v1/x", request_id="1") == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "not yours",
        "instance": "/v1/x",
        "reason": "NOT_YOURS",
        "metadata": {"fields": "x"},
        "requestId": "1",
    }


@pytest.mark.parametrize(("wait", "told"), [(0.001, "1"), (1.0, "1"), (1.2, "2"), (60.0, "60")])
def test_the_time_to_wait_is_told_in_whole_seconds(wait: float, told: str) -> None:
    error = UnavailableError("x", retry_after=wait)
    assert headers_of(error, had_token=False) == [("retry-after", told)]


def test_no_token_is_no_wrong_token() -> None:
    """RFC 6750: whoever has shown nothing is told no error."""
    challenge = 'Bearer realm="kalepool"'
    for error, had_token, told in (
        (TokenMissingError("x"), False, challenge),
        (TokenMissingError("x"), True, challenge),
        (TokenUnknownError("x"), True, f'{challenge}, error="invalid_token"'),
    ):
        assert headers_of(error, had_token=had_token) == [("www-authenticate", told)]


def test_paths_of_fields_are_those_of_json() -> None:
    violations = [
        FieldViolation(
            field="submissions[3].farmer_id", description="repeats submissions[0].nonce"
        ),
        FieldViolation(field="max_farmers", description="must not be set beside public_key"),
        FieldViolation(field="Idempotency-Key", description="is too long"),
    ]
    error = InvalidArgumentError("max_farmers must not be set", violations=violations)
    problem = problem_of(error, instance="/v1/x", request_id="1", words=in_http)
    assert problem["detail"] == "maxFarmers must not be set"
    assert [(one["field"], one["description"]) for one in problem["violations"]] == [
        ("submissions[3].farmerId", "repeats submissions[0].nonce"),
        ("maxFarmers", "must not be set beside publicKey"),
        ("Idempotency-Key", "is too long"),
    ]

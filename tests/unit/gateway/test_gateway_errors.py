"""Errors as HTTP tells them."""

import pytest

from gateway.errors import (
    STATUSES,
    BodyMissingError,
    BodyTooLargeError,
    MediaTypeError,
    MethodNotAllowedError,
    camel,
    headers_of,
    problem_of,
    status_of,
)
from libs.common.errors import ErrorCode, PermissionDeniedError, UnavailableError


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


def test_paths_of_fields_are_those_of_json() -> None:
    assert camel("submissions[3].farmer_id") == "submissions[3].farmerId"
    assert camel("max_farmers") == "maxFarmers"
    assert camel("Idempotency-Key") == "Idempotency-Key"

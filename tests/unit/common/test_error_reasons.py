"""Codes and reasons of the errors that all services share: callers decide by them."""

import pytest

from libs.common import errors
from libs.common.db.version import DatabaseTooOldError
from libs.common.errors import ErrorCode, FieldViolation, InvalidArgumentError, PoolError
from tests.support.reasons import reasons_of

#: Reason and code of each.
EXPECTED: dict[type[PoolError], tuple[str, ErrorCode]] = {
    errors.PoolError: ("INTERNAL", ErrorCode.INTERNAL),
    errors.InternalError: ("INTERNAL", ErrorCode.INTERNAL),
    errors.InvalidArgumentError: ("INVALID_REQUEST", ErrorCode.INVALID_ARGUMENT),
    errors.NotFoundError: ("NOT_FOUND", ErrorCode.NOT_FOUND),
    errors.AlreadyExistsError: ("ALREADY_EXISTS", ErrorCode.ALREADY_EXISTS),
    errors.PermissionDeniedError: ("PERMISSION_DENIED", ErrorCode.PERMISSION_DENIED),
    errors.ResourceExhaustedError: ("RESOURCE_EXHAUSTED", ErrorCode.RESOURCE_EXHAUSTED),
    errors.FailedPreconditionError: ("FAILED_PRECONDITION", ErrorCode.FAILED_PRECONDITION),
    errors.ConflictError: ("CONFLICT", ErrorCode.ABORTED),
    errors.OutOfRangeError: ("OUT_OF_RANGE", ErrorCode.OUT_OF_RANGE),
    errors.DeadlineExceededError: ("DEADLINE_EXCEEDED", ErrorCode.DEADLINE_EXCEEDED),
    errors.UnavailableError: ("UNAVAILABLE", ErrorCode.UNAVAILABLE),
    errors.UnauthenticatedError: ("UNAUTHENTICATED", ErrorCode.UNAUTHENTICATED),
}


def test_every_shared_error_has_its_reason_and_code() -> None:
    found = {kind: (reason, kind.code) for kind, reason in reasons_of(errors).items()}
    assert found == EXPECTED


@pytest.mark.parametrize("kind", EXPECTED)
def test_an_error_has_its_own_reason_unless_another_is_given(kind: type[PoolError]) -> None:
    error = kind("in words")
    assert (str(error), error.message, error.reason) == ("in words", "in words", EXPECTED[kind][0])
    assert (error.metadata, error.violations, error.retry_after) == ({}, (), None)
    assert kind("in words", reason="OTHER").reason == "OTHER"


def test_an_old_database_is_told_by_its_reason() -> None:
    assert DatabaseTooOldError("of a test").reason == "DATABASE_TOO_OLD"


def test_one_field_that_breaks_a_rule_is_named() -> None:
    error = InvalidArgumentError.of("amount", "is too small")
    assert error.message == "amount is too small"
    assert error.violations == (FieldViolation(field="amount", description="is too small"),)

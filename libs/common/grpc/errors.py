"""The mapping of typed errors to gRPC statuses with google.rpc details, and back; nowhere else."""

from collections.abc import Iterable, Sequence
from typing import cast

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from libs.common import errors
from libs.common.errors import ErrorCode, FieldViolation, PoolError

DOMAIN = "kalepool"
#: Bytes of violations that a status carries at most. A peer takes 8 KiB of trailers by default, in
#: base64 and with the rest of the status; with more the whole error is lost on its way.
MAX_VIOLATION_BYTES = 4_096

_CLASSES: dict[ErrorCode, type[PoolError]] = {
    ErrorCode.INVALID_ARGUMENT: errors.InvalidArgumentError,
    ErrorCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    ErrorCode.NOT_FOUND: errors.NotFoundError,
    ErrorCode.ALREADY_EXISTS: errors.AlreadyExistsError,
    ErrorCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    ErrorCode.RESOURCE_EXHAUSTED: errors.ResourceExhaustedError,
    ErrorCode.FAILED_PRECONDITION: errors.FailedPreconditionError,
    ErrorCode.ABORTED: errors.ConflictError,
    ErrorCode.OUT_OF_RANGE: errors.OutOfRangeError,
    ErrorCode.INTERNAL: errors.InternalError,
    ErrorCode.UNAVAILABLE: errors.UnavailableError,
    ErrorCode.UNAUTHENTICATED: errors.UnauthenticatedError,
}


def to_status(error: PoolError) -> grpc.Status:
    """Return the gRPC status of an error: code, message, ErrorInfo, BadRequest and RetryInfo."""
    status = status_pb2.Status(
        code=code_pb2.Code.ValueType(error.code.value),
        message=error.message,
        details=list(_details(error)),
    )
    packed: grpc.Status = rpc_status.to_status(status)
    return packed


def from_rpc_error(error: grpc.aio.AioRpcError) -> PoolError:
    """Return the typed error that a peer raised; transport failures become UnavailableError."""
    code = ErrorCode(error.code().value[0]) if _is_known(error.code()) else ErrorCode.INTERNAL
    reason: str | None = None
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    retry_after: float | None = None
    for detail in _unpack(error):
        if isinstance(detail, error_details_pb2.ErrorInfo):
            reason, metadata = detail.reason, dict(detail.metadata)
        elif isinstance(detail, error_details_pb2.BadRequest):
            violations += [
                FieldViolation(field=item.field, description=item.description)
                for item in detail.field_violations
            ]
        elif isinstance(detail, error_details_pb2.RetryInfo):
            retry_after = detail.retry_delay.ToTimedelta().total_seconds()
    return _CLASSES[code](
        error.details() or code.name,
        reason=reason,
        metadata=metadata,
        violations=violations,
        retry_after=retry_after,
    )


def is_answered(error: BaseException) -> bool:
    """Tell whether a call's error is the words of a service; false: nobody has answered."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, grpc.aio.AioRpcError):
        cause = cause.__cause__
    return cause is None or any(True for _ in _unpack(cause))


def _is_known(code: grpc.StatusCode) -> bool:
    return any(code.value[0] == known.value for known in ErrorCode)


def _details(error: PoolError) -> Iterable[any_pb2.Any]:
    yield _pack(
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    )
    if error.violations:
        yield _pack(_bad_request(error.violations))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after * 1000))
        yield _pack(error_details_pb2.RetryInfo(retry_delay=delay))


def _bad_request(violations: Sequence[FieldViolation]) -> error_details_pb2.BadRequest:
    """Return the violations in order, as many as a status can carry.

    The last violation tells how many more there are.
    """
    message = error_details_pb2.BadRequest()
    for told, violation in enumerate(violations):
        message.field_violations.add(field=violation.field, description=violation.description)
        if message.ByteSize() > MAX_VIOLATION_BYTES:
            left = len(violations) - told
            message.field_violations[-1].description = f"is wrong, and {left - 1} more are"
            break
    return message


def _pack(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _unpack(error: grpc.aio.AioRpcError) -> Iterable[Message]:
    status = rpc_status.from_call(cast("grpc.Call", error))
    for detail in status.details if status is not None else ():
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
        ):
            message = kind()
            if detail.Unpack(message):
                yield message

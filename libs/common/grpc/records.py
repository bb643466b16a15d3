"""One log line per request, and a separate line when the request matters for security."""

import asyncio
import logging
import time
from typing import Any, NoReturn, TypeAlias

import grpc

from libs.common.errors import DeadlineExceededError, ErrorCode, InternalError, PoolError
from libs.common.grpc.errors import to_status
from libs.common.grpc.identity import Caller, caller_of, host_of_peer, set_caller
from libs.common.grpc.trace import trace_of
from libs.common.log import RepeatedLine, get_logger, get_security_logger, set_running
from libs.common.metrics import METER

log = get_logger(__name__)
_duration = METER.create_histogram(
    "kalepool.call.duration", unit="s", description="Calls by method and status."
)
_request = RepeatedLine(
    __name__, "request", ("method", "identity", "via", "status", "reason"), "duration_ms"
)
security = get_security_logger()

# Quoted: the class has type arguments in its stub only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

#: Statuses that say something about the pool, not about the caller.
_OURS = frozenset({ErrorCode.INTERNAL, ErrorCode.UNAVAILABLE, ErrorCode.DEADLINE_EXCEEDED})
#: Statuses and reasons that say something about who calls.
_SUSPICIOUS = frozenset({ErrorCode.PERMISSION_DENIED, ErrorCode.UNAUTHENTICATED})
_SUSPICIOUS_REASONS = frozenset(
    {
        *("RATE_LIMITED", "TOO_MANY_STREAMS", "MALFORMED_REQUEST"),
        *("REQUEST_MISSING", "ANSWERS_NOT_TAKEN"),
    }
)


class CallRecord:
    """The record of one call, from the call's beginning to its log line."""

    __slots__ = ("_context", "_error", "_started", "identity", "metadata", "method", "via")

    def __init__(self, method: str, context: Context) -> None:
        self.method = method
        #: Until it is known who calls, the host.
        self.identity = host_of_peer(context.peer())
        #: Who has brought the call, where that is not the caller itself.
        self.via: str | None = None
        #: What was sent along with the call.
        self.metadata = tuple(context.invocation_metadata() or ())
        self._context = context
        self._error: PoolError | None = None
        self._started = time.monotonic()

    def __enter__(self) -> "CallRecord":
        trace = trace_of(dict(self.metadata))
        set_running({"request_id": trace.request_id, "trace_id": trace.trace_id})
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        error = self._error
        status = "OK" if error is None else error.code.name
        if kind is asyncio.CancelledError or kind is GeneratorExit:
            status = "CANCELLED"
        seconds = time.monotonic() - self._started
        _duration.record(seconds, {"method": self.method, "status": status})
        is_ours = error is not None and error.code in _OURS
        _request.write(
            logging.WARNING if is_ours else logging.INFO,
            (self.method, self.identity, self.via, status, None if error is None else error.reason),
            round(seconds * 1000, 1),
        )
        set_running(None)

    def identify(self, trust_domain: str | None) -> Caller:
        """Identify the caller, for this record and all that the call does.

        Raise UnauthenticatedError.
        """
        return self.named(caller_of(self._context, trust_domain=trust_domain))

    def named(self, caller: Caller) -> Caller:
        """Note who calls, for this record and all that the call does."""
        self.identity, self.via = caller.identity, caller.via or None
        set_caller(caller)
        return caller

    async def abort(self, error: Exception) -> NoReturn:
        """End the call with the status of `error`.

        A defect is logged with all details; the caller is told none of them.
        """
        self._error = typed = self._typed(error)
        if typed.code in _SUSPICIOUS or typed.reason in _SUSPICIOUS_REASONS:
            security.warning(
                "refused",
                method=self.method,
                identity=self.identity,
                via=self.via,
                status=typed.code.name,
                reason=typed.reason,
                **_why(typed),
            )
        await self._context.abort_with_status(to_status(typed))
        raise AssertionError("abort_with_status returned")

    def _typed(self, error: Exception) -> PoolError:
        if isinstance(error, PoolError):
            return error
        if isinstance(error, TimeoutError):
            return DeadlineExceededError("the call's time is over; what was accepted goes on")
        log.error("defect", method=self.method, exc_info=error)
        return InternalError("internal error; the pool's log has the details")


def _why(error: PoolError) -> dict[str, str]:
    """Return what is wrong with a certificate or a token, in words of ours."""
    return {"why": error.message} if error.code is ErrorCode.UNAUTHENTICATED else {}

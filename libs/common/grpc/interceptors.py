"""What every call passes, from outside in: log line, errors, rate limit, rules, time, handler."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc.aio import ServerInterceptor

from libs.common.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    PoolError,
)
from libs.common.grpc.deadlines import set_deadline
from libs.common.grpc.errors import to_status
from libs.common.grpc.limits import RateLimit, caller_of
from libs.common.ids import new_id
from libs.common.log import get_logger
from libs.common.rules.book import RuleBook

log = get_logger(__name__)

# Quoted: these classes have type arguments in their stubs only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]

#: Standard services that watch for hours and must answer whatever the load.
_EXEMPT = ("/grpc.health.", "/grpc.reflection.")


@dataclass(frozen=True, kw_only=True)
class CallPolicy:
    """What holds for all methods of one server."""

    #: What requests may hold.
    rules: RuleBook
    #: Calls per minute.
    rate_limit: RateLimit
    #: Seconds that a method may take when it is not named in `method_timeouts`.
    default_timeout: float
    #: Seconds by full method name; None for a stream without an end.
    method_timeouts: Mapping[str, float | None]

    def timeout(self, method: str, remaining: float | None) -> float | None:
        """Seconds that this call gets: the method's cap, or less when the caller wants less."""
        cap = self.method_timeouts.get(method, self.default_timeout)
        if cap is None or remaining is None:
            return cap
        return min(cap, remaining)


class CallInterceptor(ServerInterceptor):
    """Wraps every unary and streaming handler of our own services."""

    def __init__(self, policy: CallPolicy) -> None:
        self._policy = policy

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """grpc.aio's hook: gives the handler that is called in place of the servicer's."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_EXEMPT):
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, method),
                request_deserializer=_tolerant(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary, method),
            request_deserializer=_tolerant(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _unary(self, inner: Any, method: str) -> Any:
        async def handle(request: Any, context: Context) -> Any:
            with _CallRecord(method, context) as call:
                try:
                    timeout = self._enter(method, context, request)
                    async with asyncio.timeout(timeout):
                        return await inner(request, context)
                except Exception as error:
                    await call.abort(error)

        return handle

    def _stream(self, inner: Any, method: str) -> Any:
        async def handle(request: Any, context: Context) -> AsyncIterator[Any]:
            with _CallRecord(method, context) as call:
                try:
                    timeout = self._enter(method, context, request)
                    async for response in _until(inner(request, context), timeout):
                        yield response
                except Exception as error:
                    await call.abort(error)

        return handle

    def _enter(self, method: str, context: Context, request: Any) -> float | None:
        self._policy.rate_limit.check(caller=caller_of(context.peer()), method=method)
        if isinstance(request, _Malformed):
            raise InvalidArgumentError("the request is no message of this method")
        self._policy.rules.check(request)
        timeout = self._policy.timeout(method, context.time_remaining())
        set_deadline(timeout)
        return timeout


class _Malformed:
    """Stands for bytes that are no message: grpc itself would answer UNKNOWN."""


def _tolerant(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if deserialize is None:
        return None

    def read(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except DecodeError:
            return _Malformed()

    return read


async def _until(responses: AsyncIterator[Any], timeout: float | None) -> AsyncIterator[Any]:
    """Passes responses on; the clock runs while the handler works, not while the reader does."""
    deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                response = await anext(responses)
        except StopAsyncIteration:
            return
        yield response


class _CallRecord:
    """One log line per call: method, caller, status, duration, and the fields bound meanwhile."""

    def __init__(self, method: str, context: Context) -> None:
        self._method = method
        self._context = context
        self._status = "OK"
        self._reason: str | None = None
        self._started = time.monotonic()

    def __enter__(self) -> "_CallRecord":
        metadata = dict(self._context.invocation_metadata() or ())
        self._call_id = str(metadata.get("x-call-id") or new_id())[:64]
        self._caller = caller_of(self._context.peer())
        structlog.contextvars.bind_contextvars(call_id=self._call_id)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is asyncio.CancelledError or kind is GeneratorExit:
            self._status = "CANCELLED"
        log.info(
            "call",
            method=self._method,
            caller=self._caller,
            status=self._status,
            reason=self._reason,
            duration_ms=round((time.monotonic() - self._started) * 1000, 1),
        )
        structlog.contextvars.unbind_contextvars("call_id")

    async def abort(self, error: Exception) -> NoReturn:
        """Ends the call with the status of `error`; a defect is logged whole and told bare."""
        typed = _typed(error, self._method)
        self._status, self._reason = typed.code.name, typed.reason
        await self._context.abort_with_status(to_status(typed))
        raise AssertionError("abort_with_status returned")


def _typed(error: Exception, method: str) -> PoolError:
    if isinstance(error, PoolError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineExceededError("the call's time is over; what was accepted goes on")
    log.error("defect", method=method, exc_info=error)
    return InternalError("internal error; the pool's log has the details")

"""The steps that every call passes through.

From outside in: record, errors, identity, access, limits, rules, deadline, owner, handler.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import ServerInterceptor

from libs.common.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)
from libs.common.grpc.access import AccessControl
from libs.common.grpc.alarm import Alarm
from libs.common.grpc.deadlines import set_deadline
from libs.common.grpc.draining import Draining
from libs.common.grpc.identity import Caller, CallerKind, Grant, calling
from libs.common.grpc.limits import Admission, RateLimit
from libs.common.grpc.records import CallRecord, Context
from libs.common.grpc.second_person import SecondPerson
from libs.common.grpc.tokens import TokenCheck, TokenExpiredError, TokenMissingError, bearer
from libs.common.grpc.untaken import Untaken
from libs.common.rules.book import RuleBook

# Quoted: the class has type arguments in its stub only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]

#: Standard services that watch for hours and must answer whatever the load.
_EXEMPT = ("/grpc.health.", "/grpc.reflection.")
_MALFORMED = "the request is no message of this method"


@dataclass(frozen=True, kw_only=True)
class CallPolicy:
    """The rules and limits that hold for all methods of one server."""

    #: The access rules.
    access: AccessControl
    #: The domain of the names that callers show; None: they show none.
    trust_domain: str | None
    #: The check of access tokens; None: callers show no names, and no tokens.
    tokens: TokenCheck | None
    #: The rules of requests' fields.
    rules: RuleBook
    #: Calls per minute and caller.
    rate_limit: RateLimit
    #: Calls and streams in progress: how many there may be, and their end when the service stops.
    admission: Admission
    draining: Draining
    #: The orders that take a second person; None: there are none.
    second_person: SecondPerson | None
    #: Answers that their callers have not taken.
    untaken: Untaken
    #: Seconds in which a call has to bring its request.
    request_wait: float
    #: Seconds that a method may take when it is not named in `method_timeouts`.
    default_timeout: float
    #: Seconds by full method name; None for a stream without an end.
    method_timeouts: Mapping[str, float | None]

    def is_endless(self, method: str) -> bool:
        """Tell whether the method is a stream without an end."""
        return self.method_timeouts.get(method, self.default_timeout) is None

    def timeout(self, method: str, remaining: float | None) -> float | None:
        """Return the seconds that this call gets.

        They are the method's cap, or less when the caller wants less.
        """
        cap = self.method_timeouts.get(method, self.default_timeout)
        if cap is None or remaining is None:
            return cap
        return min(cap, remaining)


class CallInterceptor(ServerInterceptor):
    """The interceptor that wraps every unary and streaming handler of our own services."""

    def __init__(self, policy: CallPolicy, *, is_for_tokens: bool = False) -> None:
        """Take `is_for_tokens` for a port on which nobody is asked for a certificate."""
        self._policy = policy
        self._is_for_tokens = is_for_tokens
        self._alarm = Alarm()
        #: Handlers by method, made with its first call; only methods that exist have one.
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Return the handler that grpc.aio calls in place of the servicer's (grpc.aio's hook)."""
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        is_standard = method.startswith(_EXEMPT)
        wrapped = self._sturdy(handler, method) if is_standard else self._wrap(handler, method)
        self._wrapped[method] = wrapped
        return wrapped

    def _wrap(self, handler: "grpc.RpcMethodHandler[Any, Any]", method: str) -> Handler:
        """Wrap a method of ours so that the steps come before its request does.

        To grpc, each is a method to which a stream of requests is sent, of which we read one: a
        handler that is called with its request would not be called, and nothing be counted, until
        there is one. On the wire there is no difference.
        """
        read = _tolerant(handler.request_deserializer)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(handler.unary_stream, method), read, handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(
            self._unary(handler.unary_unary, method),
            read,
            self._counted(handler.response_serializer),
        )

    def _unary(self, inner: Any, method: str) -> Any:
        policy = self._policy

        async def handle(_requests: Any, context: Context) -> Any:
            with CallRecord(method, context) as call:
                try:
                    caller = await self._identify(call)
                    with self._taken(method), self._admitted(call, caller):
                        request = await self._request(context)
                        timeout = self._checked(method, context, request)
                        with self._alarm.within(timeout):
                            if policy.access.asks_owner(method, caller):
                                await policy.access.check_owner(method, caller, request)
                            if policy.second_person is not None:
                                await policy.second_person.check(method, caller, request)
                            return await inner(request, context)
                except Exception as error:
                    await call.abort(error)

        return handle

    def _stream(self, inner: Any, method: str) -> Any:
        async def handle(_requests: Any, context: Context) -> AsyncIterator[Any]:
            with CallRecord(method, context) as call:
                try:
                    caller = await self._identify(call)
                    with self._taken(method), self._admitted(call, caller):
                        request = await self._request(context)
                        timeout = self._checked(method, context, request)
                        await self._policy.access.check_owner(method, caller, request)
                        responses = _until(inner(request, context), timeout)
                        if timeout is None and caller.grant is not None:
                            responses = _while_granted(responses, caller.grant)
                        async for response in responses:
                            yield response
                except Exception as error:
                    await call.abort(error)

        return handle

    async def _request(self, context: Context) -> Any:
        """Return the call's one request; raise DeadlineExceededError when it does not come."""
        try:
            with self._alarm.within(self._policy.request_wait):
                request = await context.read()
        except TimeoutError:
            raise DeadlineExceededError(
                "the request did not arrive", reason="REQUEST_MISSING"
            ) from None
        return _Malformed() if request is grpc.aio.EOF else request

    def _counted(self, serialize: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
        """Count what is written as an answer that its caller has not taken yet."""
        if serialize is None:
            return None

        def write(answer: Any) -> bytes:
            raw = serialize(answer)
            self._policy.untaken.leave(calling(), len(raw))
            return raw

        return write

    def _sturdy(self, handler: "grpc.RpcMethodHandler[Any, Any]", method: str) -> Handler:
        """Wrap a standard service, which otherwise stays as it is.

        Refuse a caller that nobody of the pool is, bytes that are no message, and a caller that
        keeps too many of the service's streams open.
        """
        read, write = _tolerant(handler.request_deserializer), handler.response_serializer
        inner: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream

        async def unary(_requests: Any, context: Context) -> Any:
            call = await self._known(method, context)
            async with _told(call):
                request = await self._request(context)
                await _refuse_malformed(request, context)
                return await inner(request, context)

        async def watch(_requests: Any, context: Context) -> None:
            async with self._one_of_few(method, context) as call, _told(call):
                request = await self._request(context)
                await _refuse_malformed(request, context)
                await inner(request, context)

        async def talk(requests: Any, context: Context) -> AsyncIterator[Any]:
            async with self._one_of_few(method, context) as call, _told(call):
                async for response in inner(_well_formed(requests, context), context):
                    yield response

        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(talk, read, write)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(watch, read, write)
        return grpc.stream_unary_rpc_method_handler(unary, read, write)

    async def _known(self, method: str, context: Context) -> CallRecord:
        """Return the record of a caller that has shown who it is; end the call of others.

        The standard services are for every caller of the pool, and for nobody else.
        """
        call = CallRecord(method, context)
        try:
            caller = await self._identify(call)
            if caller.kind is CallerKind.STRANGER:
                raise TokenMissingError("send an access token as authorization: Bearer ...")
        except (UnauthenticatedError, UnavailableError) as error:
            await call.abort(error)
        return call

    async def _identify(self, call: CallRecord) -> Caller:
        """Return who calls, by the certificate or by a token that came along.

        Raise UnauthenticatedError, TokenKeysUnknownError.
        """
        tokens = self._policy.tokens
        if tokens is None:
            return call.identify(self._policy.trust_domain)
        if self._is_for_tokens:
            host, token = call.identity, bearer(call.metadata)
            if token is None:
                stranger = Caller(kind=CallerKind.STRANGER, name=host, identity=host)
                return call.named(stranger)
            return call.named(await tokens.caller(token, via=host))
        peer = call.identify(self._policy.trust_domain)
        token = bearer(call.metadata)
        return peer if token is None else call.named(await tokens.brought(peer, token))

    @asynccontextmanager
    async def _one_of_few(self, method: str, context: Context) -> AsyncIterator[CallRecord]:
        """Count one stream of a standard service while the block runs.

        End a call that is one too many. These streams are counted apart, so that a caller who
        watches our health uses up none of its other streams.
        """
        call = await self._known(method, context)
        try:
            with self._policy.admission.stream(f"{call.identity} (standard)"):
                yield call
        except ResourceExhaustedError as error:
            await call.abort(error)

    def _taken(self, method: str) -> AbstractContextManager[None]:
        return self._policy.draining.taking(is_endless=self._policy.is_endless(method))

    def _admitted(self, call: CallRecord, caller: Caller) -> AbstractContextManager[None]:
        """Count the call while the block runs.

        Raise when the method is not for this caller, or when the caller or the process has too many
        calls.
        """
        policy = self._policy
        policy.access.check_caller(call.method, caller)
        policy.rate_limit.check(identity=call.identity, method=call.method)
        if caller.kind is not CallerKind.SERVICE:
            policy.untaken.check(call.identity)
        if policy.is_endless(call.method):
            return policy.admission.stream(call.identity)
        is_stranger = caller.kind is CallerKind.STRANGER
        return policy.admission.call(call.identity, is_stranger=is_stranger)

    def _checked(self, method: str, context: Context, request: Any) -> float | None:
        """Return the seconds that the call gets; raise when the request breaks its rules."""
        if isinstance(request, _Malformed):
            raise InvalidArgumentError(_MALFORMED, reason="MALFORMED_REQUEST")
        self._policy.rules.check(request)
        timeout = self._policy.timeout(method, context.time_remaining())
        set_deadline(timeout)
        return timeout


async def _refuse_malformed(request: Any, context: Context) -> None:
    if isinstance(request, _Malformed):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _MALFORMED)


async def _well_formed(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
    async for request in requests:
        await _refuse_malformed(request, context)
        yield request


class _Malformed:
    """A placeholder for bytes that are no message: grpc itself would answer UNKNOWN."""


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
    """Pass responses on within the time limit.

    The time counts while the handler works, not while the reader does.
    """
    deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                response = await anext(responses)
        except StopAsyncIteration:
            return
        yield response


@asynccontextmanager
async def _told(call: CallRecord) -> AsyncIterator[None]:
    """End a call of a standard service by its error; a defect tells nothing of itself."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except Exception as error:
        await call.abort(error)


async def _while_granted(responses: AsyncIterator[Any], grant: Grant) -> AsyncIterator[Any]:
    """Pass the responses of a stream without an end on until the caller's token has ended.

    A token that was revoked is not exchanged again, and so ends its streams, too.
    """
    ends = asyncio.get_running_loop().time() + grant.ends - time.time()
    while True:
        try:
            async with asyncio.timeout_at(ends) as limit:
                response = await anext(responses)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if limit.expired():
                raise TokenExpiredError("the access token has ended: go on with another") from None
            raise
        yield response

"""The ASGI application: finds who serves a path, and answers whatever goes wrong."""

import logging
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException

from libs.common.errors import ErrorCode, InternalError, PoolError
from libs.common.grpc.trace import trace_of
from libs.common.log import RepeatedLine, get_logger, get_security_logger, set_running
from libs.common.metrics import METER
from libs.http.addresses import CallerAddress
from libs.http.errors import MethodNotAllowedError, NoSuchPathError, Words
from libs.http.heads import with_common
from libs.http.request import ClientGoneError, Receive, Record, Request, Scope, Send
from libs.http.routes import Refusal, Route, refuse
from libs.http.template import PathTree, Template

log = get_logger(__name__)
security = get_security_logger()
_line = RepeatedLine(
    __name__, "request", ("route", "identity", "address", "status", "reason"), "duration_ms"
)
_duration = METER.create_histogram(
    "kalepool.http.duration", unit="s", description="Requests by route and status."
)
#: Statuses that say something about who calls.
_SUSPICIOUS = frozenset({ErrorCode.PERMISSION_DENIED, ErrorCode.UNAUTHENTICATED})
#: The status that a request is recorded with whose caller went away (as nginx has it).
_GONE = 499


class Front:
    """The application: the routes of the API and of pages first, then files."""

    def __init__(
        self,
        addresses: CallerAddress,
        files: Any,
        *,
        refusal: Refusal = refuse,
        words: Words = str,
    ) -> None:
        """Take the application of the files, which serves what no route does.

        `refusal` makes the reply to paths that nothing serves; `words` puts the texts of errors
        into the words of those who call, unless a route has a way of its own.
        """
        self._words = words
        self._addresses = addresses
        self._files = files
        self._refusal = refusal
        self._routes: PathTree[Route] = PathTree()
        self._owned: dict[str, Refusal] = {}

    def add(self, method: str, template: Template, route: Route) -> None:
        """Serve a path; raise ValueError when it is served already."""
        self._routes.add(method, template, route)

    def own(self, path: str, refusal: Refusal) -> None:
        """Have errors of a path, and of all below, told in a form of its own, served or not."""
        self._owned[path] = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI's interface)."""
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in _pairs(scope)}
        trace = trace_of(headers)
        set_running({"request_id": trace.request_id, "trace_id": trace.trace_id})
        address = self._address(scope)
        record = Record(identity=address)
        request = Request(
            scope=scope,
            receive=receive,
            send=_Answer(send, trace.request_id, record).send,
            address=address,
            request_id=trace.request_id,
            record=record,
            headers=headers,
            words=self._words,
        )
        started = time.monotonic()
        try:
            await self._serve(request)
        finally:
            _write(record, address, time.monotonic() - started)
            set_running(None)

    async def _serve(self, request: Request) -> None:
        route: Route | None = None
        try:
            request.check_head()
            found = self._routes.find(request.path)
            if found is None:
                await self._file(request)
                return
            route = _allowed(found.by_method, request)
            request.record.route = route.name
            request.words = route.words or self._words
            request.variables = dict(zip(route.variables, found.raw_values, strict=True))
            reply = await route.handle(request)
            if reply is not None:
                await reply.send(request)
        except ClientGoneError:
            request.record.status = _GONE
        except PoolError as error:
            await self._refuse(error, route, request)
        except Exception as error:  # a defect must not end the connection without a word
            log.exception("defect", route=request.record.route, exc_info=error)
            told = InternalError("internal error; the log has the details")
            await self._refuse(told, route, request)

    def _refusal_of(self, path: str) -> Refusal:
        """Return what tells the errors of a path where no route serves the request."""
        for owned, refusal in self._owned.items():
            if path == owned or path.startswith(f"{owned}/"):
                return refusal
        return self._refusal

    async def _file(self, request: Request) -> None:
        """Serve a file; raise NoSuchPathError or MethodNotAllowedError."""
        request.scope["app"] = self
        try:
            await self._files(request.scope, request.receive, request.send)
        except HTTPException as error:
            if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                allow = (error.headers or {}).get("Allow", "GET")
                allowed = sorted(one.strip() for one in allow.split(","))
                raise MethodNotAllowedError(f"only {', '.join(allowed)}", allowed=allowed) from None
            raise NoSuchPathError(f"nothing is at {request.path[:100]}; see /docs") from None
        finally:
            route = request.scope.get("route")
            if route is not None:
                request.record.route = f"{request.method} {route.path}"

    async def _refuse(self, error: PoolError, route: Route | None, request: Request) -> None:
        record = request.record
        record.reason = error.reason
        if error.code in _SUSPICIOUS:
            security.warning(
                "refused",
                route=record.route,
                identity=record.identity,
                address=request.address,
                status=error.code.name,
                reason=error.reason,
            )
        if record.status:  # it has begun to answer: what is left is to end the connection
            request.abort()
            return
        refusal = self._refusal_of(request.path) if route is None else route.refuse
        await refusal(error, request).send(request)

    def _address(self, scope: Scope) -> str:
        client = scope.get("client")
        forwarded = [
            value.decode("latin-1") for name, value in _pairs(scope) if name == b"x-forwarded-for"
        ]
        return self._addresses.of(client[0] if client else "", forwarded)


def _allowed(by_method: Mapping[str, Route], request: Request) -> Route:
    """Return the route of the request's method; raise MethodNotAllowedError."""
    route = by_method.get(request.method)
    if route is None:
        allowed = sorted(by_method)
        raise MethodNotAllowedError(f"only {', '.join(allowed)}", allowed=allowed)
    return route


def _pairs(scope: Scope) -> list[tuple[bytes, bytes]]:
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    return pairs


class _Answer:
    """An answer in parts: its status is noted, and headers that all have are added."""

    def __init__(self, send: Send, request_id: str, record: Record) -> None:
        self._send = send
        self._request_id = request_id
        self._record = record

    async def send(self, message: Any) -> None:
        """Send a part of the answer (ASGI's interface)."""
        if message["type"] == "http.response.start":
            self._record.status = message["status"]
            own = (*message["headers"], (b"x-request-id", self._request_id.encode()))
            message = {**message, "headers": with_common(own)}
        await self._send(message)


def _write(record: Record, address: str, seconds: float) -> None:
    """Write the request's log line, and count it."""
    status = record.status
    _duration.record(seconds, {"route": record.route, "status": str(status)})
    _line.write(
        logging.WARNING if status >= 500 else logging.INFO,
        (record.route, record.identity, address, str(status), record.reason),
        round(seconds * 1000, 1),
    )

"""The application: which route serves a request, how errors are told, what is written of both."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from starlette.exceptions import HTTPException

from libs.common.errors import NotFoundError, PermissionDeniedError, PoolError, UnauthenticatedError
from libs.common.log import running
from libs.http.addresses import CallerAddress, parse_networks
from libs.http.front import Front
from libs.http.heads import COMMON
from libs.http.request import ClientGoneError, Reply, Request
from libs.http.routes import Route
from libs.http.strict_json import parse
from libs.http.template import parse_template

Handle = Callable[[Request], Awaitable[Reply | None]]


class Wire:
    """A connection that notes what it is told."""

    def __init__(self) -> None:
        self.head, self.body = b"", b""
        self.is_aborted = False

    async def answer(self, head: bytes, body: bytes, *, is_last: bool) -> None:
        self.head, self.body = head, body

    def abort(self) -> None:
        self.is_aborted = True

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1])


class Files:
    """An application of files that does as a test says."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.scope: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        if self.error is not None:
            raise self.error
        scope["route"] = type("Found", (), {"path": "/logo.svg"})
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"<svg/>"})


class Trial:
    """A front with a route, and what a request to it leads to."""

    def __init__(self, handle: Handle, files: Files | None = None, **route: Any) -> None:
        self.wire = Wire()
        #: The parts of an answer in parts.
        self.parts: list[Any] = []
        self.lines: list[Any] = []
        self.front = Front(
            CallerAddress(parse_networks("10.0.0.0/8")),
            Files(HTTPException(404)) if files is None else files,
            refusal=told_as("all"),
            words=str.upper,
        )
        template = parse_template("/v1/farmers/{farmer_id}")
        served = Route(
            name="GET /v1/farmers/{farmer_id}", handle=handle, variables=("farmer_id",), **route
        )
        self.front.add("GET", template, served)

    async def ask(self, path: str = "/v1/farmers/7", method: str = "GET", **headers: str) -> Wire:
        pairs = {"host": "pool", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "http_version": "1.1",
            "client": ("10.0.0.1", 4711),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in pairs.items()],
            "state": {"connection": self.wire},
        }
        with structlog.testing.capture_logs() as lines:
            await self.front(scope, _nothing, self._send)
        self.lines = lines
        return self.wire

    async def _send(self, message: Any) -> None:
        self.parts.append(message)

    def line(self, event: str) -> Any:
        (found,) = (one for one in self.lines if one["event"] == event)
        return found


async def _nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def found(request: Request) -> Reply:
    return Reply(status=200, body=request.variables["farmer_id"].encode())


def told_as(name: str) -> Any:
    """A refusal that says whose it is."""

    def refuse(error: PoolError, _: Request) -> Reply:
        return Reply(status=418, body=f"{name}: {error.reason}".encode())

    return refuse


def raising(error: Exception, *, status: int = 0) -> Handle:
    async def handle(request: Request) -> None:
        request.record.status = status
        raise error

    return handle


async def test_a_route_serves_its_path_and_is_written_down() -> None:
    trial = Trial(found)
    wire = await trial.ask(x_forwarded_for="192.0.2.9")
    assert (wire.status, wire.body) == (200, b"7")
    line = trial.line("request")
    assert {name: line[name] for name in ("route", "identity", "address", "status", "reason")} == {
        "route": "GET /v1/farmers/{farmer_id}",
        "identity": "192.0.2.9",
        "address": "192.0.2.9",
        "status": "200",
        "reason": None,
    }
    assert line["log_level"] == "info"
    assert line["duration_ms"] >= 0


async def test_another_method_is_told_which_there_are() -> None:
    trial = Trial(found)
    trial.front.add(
        "DELETE", parse_template("/v1/farmers/{other}"), Route(name="DELETE", handle=found)
    )
    wire = await trial.ask(method="PUT")
    assert wire.body == b"all: METHOD_NOT_ALLOWED"
    assert trial.line("request")["reason"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (HTTPException(404), b"all: NO_SUCH_PATH"),
        (HTTPException(405, headers={"Allow": "POST, GET"}), b"all: METHOD_NOT_ALLOWED"),
        (HTTPException(405), b"all: METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_no_file_serves_either_is_told_in_the_form_of_all(
    error: Exception, told: bytes
) -> None:
    trial = Trial(found, Files(error))
    wire = await trial.ask("/nowhere")
    assert (wire.status, wire.body) == (418, told)
    assert trial.line("request")["route"] == "none"


@pytest.mark.parametrize(
    ("headers", "allowed"), [({"Allow": "POST, GET"}, "GET, POST"), (None, "GET")]
)
async def test_a_file_says_which_methods_it_takes(headers: Any, allowed: str) -> None:
    trial = Trial(found, Files(HTTPException(405, headers=headers)))
    told: list[Any] = []

    def refuse(error: PoolError, _: Request) -> Reply:
        told.append(error)
        return Reply(status=405, body=b"")

    trial.front.own("/pages", refuse)
    await trial.ask("/pages", "PUT")
    assert (told[0].allowed, told[0].message) == (allowed, f"only {allowed}")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/pages", b"pages: NO_SUCH_PATH"),
        ("/pages/x", b"pages: NO_SUCH_PATH"),
        ("/pagesx", b"all: NO_SUCH_PATH"),
        ("/", b"all: NO_SUCH_PATH"),
    ],
)
async def test_a_path_may_have_a_form_of_its_own_for_errors(path: str, told: bytes) -> None:
    trial = Trial(found)
    trial.front.own("/pages", told_as("pages"))
    assert (await trial.ask(path)).body == told


async def test_a_file_is_an_answer_in_parts_with_what_all_have() -> None:
    files = Files()
    trial = Trial(found, files)
    await trial.ask("/logo.svg")
    start, body = trial.parts
    assert (start["status"], body["body"]) == (200, b"<svg/>")
    names = [name for name, _ in start["headers"]]
    assert names == [b"a", b"x-request-id", *(name for name, _ in COMMON)]
    assert files.scope["app"] is trial.front
    assert trial.line("request")["route"] == "GET /logo.svg"
    assert trial.line("request")["status"] == "200"


async def test_an_error_of_a_route_is_told_in_its_form_and_words() -> None:
    trial = Trial(raising(NotFoundError("no farmer")))
    problem = parse((await trial.ask(authorization="Bearer x")).body)
    assert (problem["status"], problem["detail"], problem["instance"]) == (
        404,
        "NO FARMER",
        "/v1/farmers/7",
    )
    trial = Trial(raising(NotFoundError("no farmer")), words=str.title)
    assert parse((await trial.ask()).body)["detail"] == "No Farmer"
    trial = Trial(raising(NotFoundError("no farmer")), refuse=told_as("own"))
    assert (await trial.ask()).body == b"own: NOT_FOUND"


async def test_a_wrong_token_is_told_apart_from_none() -> None:
    trial = Trial(raising(UnauthenticatedError("who?")))
    assert b'error="invalid_token"' in (await trial.ask(authorization="Bearer x")).head
    assert b'error="invalid_token"' not in (await trial.ask()).head
    assert b"content-type: application/problem+json\r\n" in trial.wire.head


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (PermissionDeniedError("no"), True),
        (UnauthenticatedError("who?"), True),
        (NotFoundError("what?"), False),
    ],
)
async def test_who_is_refused_is_told_to_security(error: PoolError, *, is_told: bool) -> None:
    trial = Trial(raising(error))
    await trial.ask()
    found_lines = [one for one in trial.lines if one["event"] == "refused"]
    assert len(found_lines) == is_told
    if is_told:
        names = ("log", "log_level", "route", "identity", "address", "status", "reason")
        assert {name: found_lines[0][name] for name in names} == {
            "log": "security",
            "log_level": "warning",
            "route": "GET /v1/farmers/{farmer_id}",
            "identity": "10.0.0.1",
            "address": "10.0.0.1",
            "status": error.code.name,
            "reason": error.reason,
        }


async def test_a_defect_is_told_without_its_details() -> None:
    trial = Trial(raising(ZeroDivisionError("of a test")))
    problem = parse((await trial.ask()).body)
    assert (problem["status"], problem["reason"]) == (500, "INTERNAL")
    assert "of a test" not in trial.wire.body.decode()
    assert isinstance(trial.line("defect")["exc_info"], ZeroDivisionError)
    assert trial.line("defect")["route"] == "GET /v1/farmers/{farmer_id}"
    assert trial.line("request")["log_level"] == "warning"


async def test_an_error_in_the_middle_of_an_answer_ends_the_connection() -> None:
    trial = Trial(raising(NotFoundError("gone"), status=200))
    wire = await trial.ask()
    assert wire.is_aborted
    assert wire.head == b""
    assert trial.line("request")["reason"] == "NOT_FOUND"


async def test_who_went_away_is_written_down_as_gone() -> None:
    trial = Trial(raising(ClientGoneError()))
    wire = await trial.ask()
    assert (wire.head, wire.is_aborted) == (b"", False)
    assert trial.line("request")["status"] == "499"


async def test_a_handler_may_send_everything_itself() -> None:
    async def handle(request: Request) -> None:
        request.record.status = 200

    trial = Trial(handle)
    wire = await trial.ask()
    assert (wire.head, trial.line("request")["status"]) == (b"", "200")


async def test_a_head_that_reads_in_two_ways_is_served_by_nobody() -> None:
    trial = Trial(found)
    wire = await trial.ask(transfer_encoding="gzip")
    assert wire.body == b"all: AMBIGUOUS_HEADERS"


async def test_only_http_is_served() -> None:
    with pytest.raises(RuntimeError, match="no websocket here"):
        await Trial(found).front({"type": "websocket"}, _nothing, _nothing)  # type: ignore[arg-type]


async def test_lines_of_a_request_name_it_while_it_runs() -> None:
    seen: list[Any] = []

    async def handle(request: Request) -> Reply:
        seen.append((request.request_id, dict(running())))
        return Reply(status=200, body=b"")

    trace = "0af7651916cd43dd8448eb211c80319c"
    await Trial(handle).ask(x_request_id="mine", traceparent=f"00-{trace}-b7ad6b7169203331-01")
    assert seen == [("mine", {"request_id": "mine", "trace_id": trace})]
    assert running() == {}


async def test_a_request_is_measured_by_route_and_status(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Any] = []
    clock = iter([100.0, 100.25])
    monkeypatch.setattr("libs.http.front.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        "libs.http.front._duration",
        SimpleNamespace(record=lambda seconds, labels: measured.append((seconds, labels))),
    )
    trial = Trial(found)
    await trial.ask()
    assert measured == [(0.25, {"route": "GET /v1/farmers/{farmer_id}", "status": "200"})]
    assert trial.line("request")["duration_ms"] == 250.0


async def test_only_one_header_says_whom_a_proxy_has_forwarded() -> None:
    trial = Trial(found)
    await trial.ask(x_forwarded_for="192.0.2.9", x_other="198.51.100.9")
    assert trial.line("request")["address"] == "192.0.2.9"

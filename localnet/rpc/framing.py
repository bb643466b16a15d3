"""JSON-RPC in HTTP, as the bridge that stellar-rpc uses (creachadair/jrpc2) reads and writes it.

Checked against what stellar-rpc 27.1.1 answered to odd requests (tests/vectors/recordings/v27).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from localnet.rpc.errors import INVALID_REQUEST, PARSE_ERROR, RpcError, invalid_params

#: Members that a call may have.
_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})

#: Every answer says so.
VARY = {"Vary": "Origin"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a request."""

    #: What the answer repeats; None where there is none to give.
    id: Any
    #: The method; empty when the call is not well formed.
    method: str
    #: Parameters as they came.
    params: Any
    #: What is wrong with the call, before its method is looked up.
    wrong: RpcError | None = None

    @property
    def is_notification(self) -> bool:
        """True for a call that wants no answer."""
        return self.wrong is None and self.id is None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What came in one body."""

    #: The calls in order.
    calls: Sequence[Call]
    #: A list of calls is answered by a list.
    is_list: bool


def check_content_type(request: web.Request) -> None:
    """Only JSON is read."""
    if request.content_type != "application/json" or "Content-Type" not in request.headers:
        text = "content-type must be application/json\n"
        raise web.HTTPUnsupportedMediaType(text=text, headers=VARY)


def read_request(body: bytes) -> Request:
    """Parse a body; HTTP 500 where it is not JSON at all."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        text = f"[{PARSE_ERROR}] invalid request value\n"
        raise web.HTTPInternalServerError(text=text, headers=VARY) from error
    if isinstance(parsed, list):
        return Request(calls=[_call(item) for item in parsed], is_list=True)
    return Request(calls=[_call(parsed)], is_list=False)


def _call(item: Any) -> Call:
    if item is not None and not isinstance(item, dict):
        return _wrong(None, RpcError(PARSE_ERROR, "request is not a JSON object"))
    given = item or {}
    call_id, method, params = given.get("id"), given.get("method", ""), given.get("params")
    if given.get("jsonrpc") != "2.0":
        return _wrong(call_id, RpcError(INVALID_REQUEST, "invalid version marker"))
    more = sorted(set(given) - _MEMBERS)
    if more:
        return _wrong(call_id, RpcError(INVALID_REQUEST, "extra fields in request", more))
    if not isinstance(method, str) or not method:
        return _wrong(call_id, RpcError(INVALID_REQUEST, "empty method name"))
    if not isinstance(params, dict | list | None):
        words = "parameters must be array or object"
        return _wrong(call_id, RpcError(INVALID_REQUEST, words))
    return Call(id=call_id, method=method, params=params)


def _wrong(call_id: Any, error: RpcError) -> Call:
    return Call(id=call_id, method="", params=None, wrong=error)


def members(call: Call) -> Mapping[str, Any]:
    """The parameters by name; as in Go, a member that is null is one that is not there."""
    if isinstance(call.params, list):
        name = call.method[:1].upper() + call.method[1:]
        words = f"json: cannot unmarshal array into Go value of type protocol.{name}Request"
        raise invalid_params("invalid parameters", words)
    return {name: value for name, value in (call.params or {}).items() if value is not None}


def result(call_id: Any, value: Any) -> dict[str, Any]:
    """An answer with a result."""
    return {"jsonrpc": "2.0", "id": call_id, "result": value}


def failure(call_id: Any, error: RpcError) -> dict[str, Any]:
    """An answer with an error."""
    return {"jsonrpc": "2.0", "id": call_id, "error": error.to_json()}


def written(request: Request, answers: Sequence[Any]) -> bytes | None:
    """The body of an answer; None for nothing to say."""
    if not answers:
        return None
    body = list(answers) if request.is_list else answers[0]
    return json.dumps(body, separators=(",", ":")).encode()


def cors(origin: str | None) -> dict[str, str]:
    """Headers of every answer; browsers from anywhere may ask."""
    return VARY if origin is None else {**VARY, "Access-Control-Allow-Origin": origin}


def preflight(request: web.Request) -> web.Response:
    """The answer to a browser that asks whether it may ask."""
    wanted = {
        "Access-Control-Allow-Headers": "Access-Control-Request-Headers",
        "Access-Control-Allow-Methods": "Access-Control-Request-Method",
    }
    headers = {name: request.headers[asked] for name, asked in wanted.items()}
    vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    return web.Response(
        status=204, headers={**headers, "Access-Control-Allow-Origin": "*", "Vary": vary}
    )

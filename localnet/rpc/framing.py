"""JSON-RPC in HTTP, read and written like the bridge of stellar-rpc (creachadair/jrpc2).

The behaviour was checked against the answers of stellar-rpc 27.1.1 to odd requests
(tests/vectors/recordings/v27).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from localnet.rpc.errors import INVALID_REQUEST, PARSE_ERROR, RpcError, invalid_params

#: Members that a call may have.
_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})

#: Header of every answer.
VARY = {"Vary": "Origin"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a request."""

    #: The id that the answer repeats; None when the call has no id.
    id: Any
    #: Name of the method; empty when the call is not well formed.
    method: str
    #: Parameters as received.
    params: Any
    #: The error of the call that is found before its method is looked up.
    wrong: RpcError | None = None

    @property
    def is_notification(self) -> bool:
        """True when the call wants no answer."""
        return self.wrong is None and self.id is None


@dataclass(frozen=True, kw_only=True)
class Request:
    """The content of one HTTP body."""

    #: The calls in order.
    calls: Sequence[Call]
    #: True for a list of calls, which is answered by a list.
    is_list: bool


def check_content_type(request: web.Request) -> None:
    """Check that the content type is JSON; no other type is read."""
    if request.content_type != "application/json" or "Content-Type" not in request.headers:
        text = "content-type must be application/json\n"
        raise web.HTTPUnsupportedMediaType(text=text, headers=VARY)


def read_request(body: bytes) -> Request:
    """Parse a body; HTTP 500 when the body is not JSON."""
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
    """Return the parameters by name; as in Go, a member that is null counts as absent."""
    if isinstance(call.params, list):
        name = call.method[:1].upper() + call.method[1:]
        words = f"json: cannot unmarshal array into Go value of type protocol.{name}Request"
        raise invalid_params("invalid parameters", words)
    return {name: value for name, value in (call.params or {}).items() if value is not None}


def result(call_id: Any, value: Any) -> dict[str, Any]:
    """Make an answer with a result."""
    return {"jsonrpc": "2.0", "id": call_id, "result": value}


def failure(call_id: Any, error: RpcError) -> dict[str, Any]:
    """Make an answer with an error."""
    return {"jsonrpc": "2.0", "id": call_id, "error": error.to_json()}


def written(request: Request, answers: Sequence[Any]) -> bytes | None:
    """Return the body of an answer; None when there is no answer to send."""
    if not answers:
        return None
    body = list(answers) if request.is_list else answers[0]
    return json.dumps(body, separators=(",", ":")).encode()


def cors(origin: str | None) -> dict[str, str]:
    """Return the headers of every answer, which allow calls from browsers of any origin."""
    return VARY if origin is None else {**VARY, "Access-Control-Allow-Origin": origin}


def preflight(request: web.Request) -> web.Response:
    """Answer a browser that asks for permission to call."""
    wanted = {
        "Access-Control-Allow-Headers": "Access-Control-Request-Headers",
        "Access-Control-Allow-Methods": "Access-Control-Request-Method",
    }
    headers = {name: request.headers[asked] for name, asked in wanted.items()}
    vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    return web.Response(
        status=204, headers={**headers, "Access-Control-Allow-Origin": "*", "Vary": vary}
    )

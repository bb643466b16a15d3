"""The HTTP server: JSON-RPC at POST /, and the endpoints that only localnet has.

With several nodes, each one has a path of its own: /node/1 and so on. /node/0 is the same as /.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from localnet.funding import Funding, FundingError
from localnet.rpc import framing
from localnet.rpc.context import Params, RpcContext
from localnet.rpc.entries import get_ledger_entries
from localnet.rpc.errors import INTERNAL_ERROR, METHOD_NOT_FOUND, RpcError
from localnet.rpc.events import get_events
from localnet.rpc.faults import Faults
from localnet.rpc.info import (
    get_fee_stats,
    get_health,
    get_latest_ledger,
    get_network,
    get_version_info,
)
from localnet.rpc.ledgers import get_ledgers
from localnet.rpc.lies import shapes
from localnet.rpc.nodes import Nodes
from localnet.rpc.requests import check_request
from localnet.rpc.send import send_transaction
from localnet.rpc.simulate import simulate_transaction
from localnet.rpc.transactions import get_transaction, get_transactions

_log = logging.getLogger(__name__)

#: Maximum bytes of a request, as in stellar-rpc.
_LARGEST_BODY = 512 * 1024
#: Path of the nodes.
_NODE = r"/node/{number:\d{1,2}}"
#: Seconds from an answer to the closing of its connection, when a fault asks for it.
_LAST_WORDS = 0.005

Method = Callable[[RpcContext, Params], Awaitable[dict[str, Any]]]

METHODS: dict[str, Method] = {
    "getHealth": get_health,
    "getNetwork": get_network,
    "getVersionInfo": get_version_info,
    "getLatestLedger": get_latest_ledger,
    "getLedgers": get_ledgers,
    "getLedgerEntries": get_ledger_entries,
    "getFeeStats": get_fee_stats,
    "getEvents": get_events,
    "getTransaction": get_transaction,
    "getTransactions": get_transactions,
    "sendTransaction": send_transaction,
    "simulateTransaction": simulate_transaction,
}


def make_app(nodes: Nodes, funding: Funding) -> web.Application:
    """Make the application; the caller runs it."""
    app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_polite])
    handlers = _Handlers(nodes, funding)
    app.add_routes(
        [
            web.post("/", handlers.json_rpc),
            web.options("/", handlers.preflight),
            web.get("/friendbot", handlers.friendbot),
            web.post("/friendbot", handlers.friendbot),
            web.get("/kale", handlers.kale),
            web.get("/faults", handlers.show_faults),
            web.post("/faults", handlers.change_faults),
            web.post(_NODE, handlers.json_rpc),
            web.get(f"{_NODE}/faults", handlers.show_faults),
            web.post(f"{_NODE}/faults", handlers.change_faults),
        ]
    )
    return app


@web.middleware
async def _polite(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer wrong paths and methods with the texts of Go's server."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404, text="404 page not found\n", headers=framing.VARY)
    except web.HTTPMethodNotAllowed:
        return web.Response(status=405, headers=framing.VARY)


class _Handlers:
    """The handlers, one method per endpoint."""

    def __init__(self, nodes: Nodes, funding: Funding) -> None:
        self._nodes = nodes
        self._funding = funding

    async def json_rpc(self, request: web.Request) -> web.StreamResponse:
        """Answer one call or a list of calls; for faults, a list counts as a single request."""
        rpc = self._nodes.contexts[self._number(request)]
        framing.check_content_type(request)
        try:
            asked = framing.read_request(await request.read())
        except web.HTTPRequestEntityTooLarge as error:
            raise web.HTTPInternalServerError(text="http: request body too large") from error
        faults, name = rpc.faults, next((c.method for c in asked.calls if c.method), "")
        await faults.hold_up(name)
        _refuse(faults, name)
        huge = rpc.lies.setting("huge", name)
        if huge is not None:
            faults.used["huge"] += 1
            return await shapes.send_huge(request, huge)
        answers = [await _answer(rpc, call) for call in asked.calls]
        pairs = zip(answers, asked.calls, strict=True)
        given = [answer for answer, call in pairs if not call.is_notification]
        await faults.hold_back()
        if faults.drops_answer(name) and request.transport is not None:
            request.transport.abort()
        if faults.closes_connection(name):
            asyncio.get_running_loop().call_later(_LAST_WORDS, _close, request)
        return _response(request, _body(rpc, asked, given, name))

    async def preflight(self, request: web.Request) -> web.StreamResponse:
        """Answer a browser that asks for permission to call."""
        return framing.preflight(request)

    def _number(self, request: web.Request) -> int:
        """Return the number of the node that is asked."""
        number = int(request.match_info.get("number", "0"))
        if number >= len(self._nodes.contexts):
            raise web.HTTPNotFound
        return number

    async def friendbot(self, request: web.Request) -> web.StreamResponse:
        """Create an account with 10,000 XLM."""
        return await self._fund(self._funding.create_account(request.query.get("addr", "")))

    async def kale(self, request: web.Request) -> web.StreamResponse:
        """Pay KALE to an account that has the trustline."""
        address, amount = request.query.get("addr", ""), request.query.get("amount", "")
        return await self._fund(self._funding.pay_kale(address, amount))

    async def _fund(self, work: Awaitable[dict[str, Any]]) -> web.StreamResponse:
        try:
            return web.json_response(await work)
        except FundingError as error:
            problem = {
                "type": "https://stellar.org/horizon-errors/bad_request",
                "title": "Bad Request",
                "status": 400,
                "detail": str(error),
            }
            return web.json_response(problem, status=400)

    async def show_faults(self, request: web.Request) -> web.StreamResponse:
        """Show the faults and lies that are switched on."""
        return web.json_response(self._nodes.show(self._number(request)))

    async def change_faults(self, request: web.Request) -> web.StreamResponse:
        """Switch faults and lies on or off."""
        number = self._number(request)
        try:
            body = json.loads(await request.read())
            if not isinstance(body, dict):
                raise ValueError("expected an object")  # noqa: TRY004, TRY301
            self._nodes.change(number, body)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self._nodes.show(number))


def _refuse(faults: Faults, name: str) -> None:
    if faults.is_busy(name):
        headers = {"Retry-After": str(faults.retry_after)}
        raise web.HTTPTooManyRequests(text="localnet was told to be busy", headers=headers)
    if faults.fails(name):
        raise web.HTTPServiceUnavailable(text="localnet was told to fail")


async def _answer(rpc: RpcContext, call: framing.Call) -> dict[str, Any]:
    if call.wrong is not None:
        return framing.failure(call.id, call.wrong)
    try:
        answer = framing.result(call.id, await _repeatable(rpc, call))
    except RpcError as error:
        answer = framing.failure(call.id, error)
    except Exception:
        _log.exception("%s failed", call.method)
        answer = framing.failure(call.id, RpcError(INTERNAL_ERROR, "internal error"))
    rpc.faults.note_age(rpc.node.snapshot)
    return answer


async def _repeatable(rpc: RpcContext, call: framing.Call) -> dict[str, Any]:
    """Return the answer, or that of an earlier call when the node was told to repeat answers."""
    faults = rpc.faults
    if not faults.may_repeat(call.method):
        return await _call(rpc, call)
    key, given = (call.method, json.dumps(call.params, sort_keys=True)), faults.given
    if key in given:
        faults.repeated(call.method)
    else:
        given[key] = await _call(rpc, call)
    return given[key]


async def _call(rpc: RpcContext, call: framing.Call) -> dict[str, Any]:
    """Return the true answer as changed by the node's lies."""
    method = METHODS.get(call.method)
    if method is None:
        raise RpcError(METHOD_NOT_FOUND, "method not found", call.method)
    params = framing.members(call)
    check_request(call.method, params)
    true = await method(rpc, rpc.lies.asked(rpc, call.method, params))
    return rpc.lies.answer(rpc, call.method, params, true, rpc.faults.used)


def _body(
    rpc: RpcContext, asked: framing.Request, answers: list[dict[str, Any]], name: str
) -> bytes | None:
    form = rpc.lies.setting("form", name)
    if form is None or not answers:
        return framing.written(asked, answers)
    rpc.faults.used["form"] += 1
    said = [shapes.deformed(form, answer) for answer in answers]
    if isinstance(said[0], str):
        return said[0].encode()
    return framing.written(asked, said)


def _response(request: web.Request, body: bytes | None) -> web.Response:
    headers = framing.cors(request.headers.get("Origin"))
    if body is None:
        return web.Response(status=204, headers=headers)
    return web.Response(body=body, headers={**headers, "Content-Type": "application/json"})


def _close(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()

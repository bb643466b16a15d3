"""The HTTP server: JSON-RPC at POST /, and the localnet-only endpoints beside it."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from localnet.funding import Funding, FundingError
from localnet.rpc.context import Params, RpcContext
from localnet.rpc.entries import get_ledger_entries
from localnet.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
    invalid_params,
)
from localnet.rpc.events import get_events
from localnet.rpc.info import (
    get_fee_stats,
    get_health,
    get_latest_ledger,
    get_network,
    get_version_info,
)
from localnet.rpc.ledgers import get_ledgers
from localnet.rpc.send import send_transaction
from localnet.rpc.simulate import simulate_transaction
from localnet.rpc.transactions import get_transaction, get_transactions

_log = logging.getLogger(__name__)

#: Bytes of a request at most, as stellar-rpc has it.
_LARGEST_BODY = 512 * 1024

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


def make_app(rpc: RpcContext, funding: Funding) -> web.Application:
    """The application; the caller runs it."""
    app = web.Application(client_max_size=_LARGEST_BODY)
    handlers = _Handlers(rpc, funding)
    app.add_routes(
        [
            web.post("/", handlers.json_rpc),
            web.get("/friendbot", handlers.friendbot),
            web.post("/friendbot", handlers.friendbot),
            web.get("/kale", handlers.kale),
            web.get("/faults", handlers.show_faults),
            web.post("/faults", handlers.change_faults),
        ]
    )
    return app


class _Handlers:
    """One method per endpoint."""

    def __init__(self, rpc: RpcContext, funding: Funding) -> None:
        self._rpc = rpc
        self._funding = funding

    async def json_rpc(self, request: web.Request) -> web.StreamResponse:
        """One call, or a list of calls, which is a single request for what goes wrong."""
        try:
            body = json.loads(await request.read())
        except web.HTTPRequestEntityTooLarge as error:
            raise web.HTTPInternalServerError(text="http: request body too large") from error
        except ValueError:
            return web.json_response(_error(None, RpcError(PARSE_ERROR, "invalid JSON value")))
        calls, faults = body if isinstance(body, list) and body else [body], self._rpc.faults
        name = next((call["method"] for call in calls if _is_call(call)), "")
        await faults.hold_up(name)
        if faults.fails(name):
            raise web.HTTPServiceUnavailable(text="localnet was told to fail")
        answers = [await self._answer(call) for call in calls]
        await faults.hold_back()
        if faults.drops_answer(name) and request.transport is not None:
            request.transport.abort()
        # A single answer comes alone.
        return web.json_response(answers if len(answers) > 1 else answers[0])

    async def _answer(self, call: Any) -> dict[str, Any]:
        if not _is_call(call):
            return _error(None, RpcError(INVALID_REQUEST, "empty method name"))
        name = call["method"]
        try:
            answer = _result(call.get("id"), await self._repeatable(name, call.get("params")))
        except RpcError as error:
            answer = _error(call.get("id"), error)
        except Exception:
            _log.exception("%s failed", name)
            answer = _error(call.get("id"), RpcError(INTERNAL_ERROR, "internal error"))
        self._rpc.faults.note_age(self._rpc.node.snapshot)
        return answer

    async def _repeatable(self, name: str, params: Any) -> dict[str, Any]:
        """The answer, or that of an earlier call when the node was told to repeat itself."""
        faults = self._rpc.faults
        if not faults.may_repeat(name):
            return await self._call(name, params)
        key, given = (name, json.dumps(params, sort_keys=True)), faults.given
        if key in given:
            faults.repeated(name)
        else:
            given[key] = await self._call(name, params)
        return given[key]

    async def _call(self, name: str, params: Any) -> dict[str, Any]:
        method = METHODS.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "method not found", name)
        if not isinstance(params, dict | None):
            raise invalid_params("invalid parameters")
        # As in Go, a member that is null is one that is not there.
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return await method(self._rpc, given)

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

    async def show_faults(self, _request: web.Request) -> web.StreamResponse:
        """The misbehaviour that is switched on."""
        return web.json_response(self._rpc.faults.to_json())

    async def change_faults(self, request: web.Request) -> web.StreamResponse:
        """Switch misbehaviour on or off."""
        try:
            body = json.loads(await request.read())
            if not isinstance(body, dict):
                raise ValueError("expected an object")  # noqa: TRY004, TRY301
            self._rpc.faults.change(body, self._rpc.node.snapshot)
            if "forget_before" in body:
                self._rpc.node.history.forget_before(int(body["forget_before"]))
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self._rpc.faults.to_json())


def _is_call(call: Any) -> bool:
    return isinstance(call, dict) and isinstance(call.get("method"), str)


def _result(call_id: Any, result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "result": result}


def _error(call_id: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "error": error.to_json()}

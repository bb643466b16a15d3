"""A JSON-RPC server that answers as a test tells it, like a Stellar node that misbehaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[Any], Awaitable[web.Response] | web.Response]


@asynccontextmanager
async def json_rpc_server(answer: Answer) -> AsyncIterator[str]:
    """Run a server while the block runs; yield its URL."""

    async def handle(request: web.Request) -> web.Response:
        given = answer(await request.json())
        return given if isinstance(given, web.Response) else await given

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def result(request: Mapping[str, Any], **fields: Any) -> web.Response:
    """Return a JSON-RPC result."""
    return web.json_response({"jsonrpc": "2.0", "id": request["id"], "result": fields})


def failure(request: Mapping[str, Any], code: int) -> web.Response:
    """Return a JSON-RPC error."""
    error = {"code": code, "message": "x"}
    return web.json_response({"jsonrpc": "2.0", "id": request["id"], "error": error})


class ScriptedNode:
    """A node on a network, at a ledger, whose single methods answer as told."""

    def __init__(self, *, passphrase: str, ledger: int = 100) -> None:
        self.passphrase = passphrase
        self.ledger = ledger
        #: Seconds before each answer.
        self.delay = 0.0
        #: Answer of sendTransaction; None: no answer, the connection breaks off with a 503.
        self.says: str | None = "PENDING"
        #: Answers of sendTransaction for single envelopes.
        self.says_to: dict[str, str] = {}
        #: Answer of every method in place of the right one.
        self.garbage: Callable[[Mapping[str, Any]], web.Response] | None = None
        #: Methods that were called, in order.
        self.calls: list[str] = []
        #: Most calls in one list, and the answer to a longer list.
        self.longest = 1000
        self.refusal: Callable[[], web.Response] = lambda: web.Response(status=400)
        #: Function that changes the answers to a list.
        self.twist: Callable[[list[Any]], list[Any] | web.Response] = list
        #: Envelope that is never answered.
        self.hangs_at = ""
        #: Number of calls in each received list.
        self.lists: list[int] = []

    async def answer(self, request: Any) -> web.Response:
        """Return the answer to a request: a call, or a list of calls."""
        calls = request if isinstance(request, list) else [request]
        self.calls += [call["method"] for call in calls]
        await asyncio.sleep(self.delay)
        if any(call.get("params", {}).get("transaction") == self.hangs_at for call in calls):
            await asyncio.sleep(3600)
        if not isinstance(request, list):
            return self._answer(request)
        self.lists.append(len(request))
        if len(request) > self.longest:
            return self.refusal()
        replies = [self._answer(call) for call in request]
        broken = [reply for reply in replies if reply.status != 200]
        if broken:
            return broken[0]
        twisted = self.twist([json.loads(reply.text or "") for reply in replies])
        return twisted if isinstance(twisted, web.Response) else web.json_response(twisted)

    def _answer(self, request: Mapping[str, Any]) -> web.Response:
        if self.garbage is not None:
            return self.garbage(request)
        if request["method"] == "sendTransaction":
            return self._take(request)
        return result(
            request,
            passphrase=self.passphrase,
            latestLedger=self.ledger,
            sequence=self.ledger,
            latestLedgerCloseTime="1700000000",
            latestLedgerCloseTimestamp=1_700_000_000,
            transactions=[],
            oldestLedger=1,
            status="NOT_FOUND" if request["method"] == "getTransaction" else "healthy",
            entries=[],
            sorobanInclusionFee={"p90": str(self.ledger)},
        )

    def _take(self, request: Mapping[str, Any]) -> web.Response:
        envelope = request["params"]["transaction"]
        says = self.says_to.get(envelope, self.says)
        if says is None:
            return web.Response(status=503)
        return result(request, status=says, hash=envelope, latestLedger=self.ledger)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run the node while the block runs; yield its URL."""
        async with json_rpc_server(self.answer) as url:
            yield url

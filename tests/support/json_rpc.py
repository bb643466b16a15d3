"""A JSON-RPC server that answers as a test tells it, as a Stellar node that misbehaves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[dict[str, Any]], Awaitable[web.Response] | web.Response]


@asynccontextmanager
async def json_rpc_server(answer: Answer) -> AsyncIterator[str]:
    """Runs while the block runs; its URL."""

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
    """A JSON-RPC result."""
    return web.json_response({"jsonrpc": "2.0", "id": request["id"], "result": fields})


def failure(request: Mapping[str, Any], code: int) -> web.Response:
    """A JSON-RPC error."""
    error = {"code": code, "message": "x"}
    return web.json_response({"jsonrpc": "2.0", "id": request["id"], "error": error})


class ScriptedNode:
    """A node on a network, at a ledger, whose single methods answer as told."""

    def __init__(self, *, passphrase: str, ledger: int = 100) -> None:
        self.passphrase = passphrase
        self.ledger = ledger
        #: Seconds before each answer.
        self.delay = 0.0
        #: What sendTransaction says; None: nothing, the connection breaks off with a 503.
        self.says: str | None = "PENDING"
        #: What every method answers instead of the right thing.
        self.garbage: Callable[[Mapping[str, Any]], web.Response] | None = None
        #: Methods that were called, in order.
        self.calls: list[str] = []

    async def answer(self, request: dict[str, Any]) -> web.Response:
        """What it says to a request."""
        self.calls.append(request["method"])
        await asyncio.sleep(self.delay)
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
            oldestLedger=1,
            entries=[],
            sorobanInclusionFee={"p90": str(self.ledger)},
        )

    def _take(self, request: Mapping[str, Any]) -> web.Response:
        if self.says is None:
            return web.Response(status=503)
        return result(request, status=self.says, latestLedger=self.ledger)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Runs while the block runs; its URL."""
        async with json_rpc_server(self.answer) as url:
            yield url

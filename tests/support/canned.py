"""A node whose answers a test supplies: `Rpc` reads them without a network."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar, cast

import aiohttp

from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.node.transport import Transport
from services.wallet.domain.heights import Heights

T = TypeVar("T")


class Canned(Transport):
    """A transport that answers every call with `result`."""

    def __init__(self) -> None:
        nothing = cast(aiohttp.ClientSession, None)
        super().__init__((nothing, nothing), "http://node", "node", asyncio.Semaphore())
        self.result: Any = {}

    async def ask(
        self, method: str, body: bytes, read: Callable[[Any], T], *, is_list: bool = False
    ) -> T:
        """Return `result` like a node's answer that has arrived intact."""
        call = json.loads(body)
        return read({"jsonrpc": "2.0", "id": call["id"], "result": self.result})


def canned_rpc() -> tuple[Canned, Rpc]:
    """Return the transport, and the endpoint that asks through it."""
    transport = Canned()
    rpc = Rpc(transport, "node", passphrase="", seen=Heights(1))
    return transport, rpc

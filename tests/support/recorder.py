"""A server of every method: for what the command kalepool asks, and makes of the answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from cli.main import main


class Recorder(grpc.GenericRpcHandler):
    """A server of every method: notes what is asked and answers with an empty message."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Message]] = []
        #: Seconds that a method takes.
        self.slow: dict[str, float] = {}
        #: What a request is answered with: an empty message.
        self.answer: Callable[[Any], bytes] = lambda _: b""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """grpc's hook."""
        method = handler_call_details.method

        async def unary(request: bytes, context: Any) -> bytes:
            await asyncio.sleep(self.slow.get(method, 0.0))
            asked = request_of(method, request)
            self.calls.append((method, asked))
            return self.answer(asked)

        async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
            yield await unary(request, context)

        if method.endswith("/WatchBlocks"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


def request_of(method: str, data: bytes) -> Message:
    """Return the request that was sent."""
    service, _, name = method.strip("/").partition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    return message_factory.GetMessageClass(found.input_type).FromString(data)


@asynccontextmanager
async def open_recorder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorder]:
    """Open a recorder that all five targets point at."""
    recorder = Recorder()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([recorder])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    for name in ("REGISTRY", "WALLET", "PLANT", "WORK", "HARVEST"):
        monkeypatch.setenv("TRANSPORT", "plaintext")
        monkeypatch.setenv(f"{name}_TARGET", f"127.0.0.1:{port}")
    yield recorder
    await server.stop(None)


async def run(*arguments: str) -> int:
    """Run the command in a thread, where it has an event loop of its own."""
    return await asyncio.to_thread(main, arguments)

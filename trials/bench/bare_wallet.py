"""python -m trials.bench.bare_wallet PORT CERTIFICATE KEY AUTHORITY: a server that does nothing.

It stands in for wallet behind the gateway, and is called without the gateway, too: it answers
GetBlock at once, takes every API token, and tells of a ledger twice a second.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop
from kalepool.wallet.v1 import token_pb2, wallet_pb2

from libs.common.grpc.tls import TlsFiles, transport_of

#: Seconds between two ledgers.
LEDGER = 0.5
#: Seconds that its access tokens live.
_LIFE = 3600.0


def _head() -> wallet_pb2.ChainHead:
    now = time.time_ns()
    head = wallet_pb2.ChainHead(
        ledger=now // int(LEDGER * 1e9) % 2**31, current_block=12_345, plantable_block=12_345
    )
    head.close_time.FromNanoseconds(now)
    return head


def _block() -> wallet_pb2.Block:
    block = wallet_pb2.Block(
        index=12_345, entropy=bytes(32), min_zeros=5, max_zeros=9, staked_total=123_456_789
    )
    block.opened_at.GetCurrentTime()
    block.closes_at.GetCurrentTime()
    return block


async def get_block(_request: wallet_pb2.GetBlockRequest, _context: Any) -> Any:
    """Return a block of the usual size."""
    return wallet_pb2.GetBlockResponse(block=_block(), head=_head())


async def watch_blocks(
    _request: wallet_pb2.WatchBlocksRequest, _context: Any
) -> AsyncIterator[Any]:
    """Yield a ledger again and again; its close time is when it was sent."""
    block = _block()
    while True:
        yield wallet_pb2.WatchBlocksResponse(block=block, head=_head())
        await asyncio.sleep(LEDGER)


async def exchange_token(request: token_pb2.ExchangeTokenRequest, _context: Any) -> Any:
    """Take any token; nobody checks what is given for it."""
    answer = token_pb2.ExchangeTokenResponse(
        access_token="x" * 500,
        info=token_pb2.TokenInfo(subject=f"spiffe://kalepool/operator/{request.token[-4:]}"),
    )
    answer.expires_at.FromMilliseconds(round((time.time() + _LIFE) * 1000))
    return answer


async def serve(port: int, files: TlsFiles) -> None:
    """Serve until the process is killed."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {
        "GetBlock": grpc.unary_unary_rpc_method_handler(
            get_block,
            request_deserializer=wallet_pb2.GetBlockRequest.FromString,
            response_serializer=wallet_pb2.GetBlockResponse.SerializeToString,
        ),
        "WatchBlocks": grpc.unary_stream_rpc_method_handler(
            watch_blocks,
            request_deserializer=wallet_pb2.WatchBlocksRequest.FromString,
            response_serializer=wallet_pb2.WatchBlocksResponse.SerializeToString,
        ),
    }
    exchange: Any = grpc.unary_unary_rpc_method_handler(
        exchange_token,
        request_deserializer=token_pb2.ExchangeTokenRequest.FromString,
        response_serializer=token_pb2.ExchangeTokenResponse.SerializeToString,
    )
    for name, methods in (
        ("kalepool.wallet.v1.WalletService", handlers),
        ("kalepool.wallet.v1.TokenService", {"ExchangeToken": exchange}),
    ):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    certificates = transport_of(files).certificates
    if certificates is None:
        raise RuntimeError("no certificates")
    server.add_secure_port(f"127.0.0.1:{port}", certificates.server_credentials())
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    _port, *_paths = sys.argv[1:]
    _certificate, _key, _authority = map(Path, _paths)
    uvloop.run(
        serve(int(_port), TlsFiles(certificate=_certificate, key=_key, authority=_authority))
    )

"""python -m trials.bench.bare_wallet PORT CERTIFICATE KEY AUTHORITY: services that do nothing.

It stands in for all services behind the gateway, and is called without the gateway, too: it answers
GetBlock and what pages read at once, takes every API token, and tells of a ledger twice a second.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2
from kalepool.common.v1 import common_pb2
from kalepool.report.v1 import report_pb2
from kalepool.wallet.v1 import token_pb2, wallet_pb2

from libs.common.grpc.rpcs import services
from libs.common.grpc.tls import TlsFiles, transport_of
from trials.bench import bare_reports

#: Seconds between two ledgers, and of a block. The network's are 5 and 300.
LEDGER, BLOCK = 0.5, 10
#: Seconds that its access tokens live.
_LIFE = 3600.0


def _current() -> int:
    """Return the index of the block that runs now."""
    return int(time.time()) // BLOCK


def _head() -> wallet_pb2.ChainHead:
    now = time.time_ns()
    head = wallet_pb2.ChainHead(
        ledger=now // int(LEDGER * 1e9) % 2**31,
        current_block=_current(),
        plantable_block=_current(),
    )
    head.close_time.FromNanoseconds(now)
    return head


def _block(index: int) -> wallet_pb2.Block:
    block = wallet_pb2.Block(
        index=index,
        is_current=index == _current(),
        entropy=bytes(32),
        min_zeros=5,
        max_zeros=9,
        staked_total=123_456_789,
    )
    block.opened_at.FromSeconds(index * BLOCK)
    block.closes_at.FromSeconds((index + 1) * BLOCK)
    return block


async def get_block(request: wallet_pb2.GetBlockRequest, _context: Any) -> Any:
    """Return a block of the usual size."""
    index = request.index if request.HasField("index") else _current()
    return wallet_pb2.GetBlockResponse(block=_block(index), head=_head())


async def watch_blocks(
    _request: wallet_pb2.WatchBlocksRequest, _context: Any
) -> AsyncIterator[Any]:
    """Yield a ledger again and again; its close time is when it was sent."""
    while True:
        yield wallet_pb2.WatchBlocksResponse(block=_block(_current()), head=_head())
        await asyncio.sleep(LEDGER)


async def exchange_token(request: token_pb2.ExchangeTokenRequest, _context: Any) -> Any:
    """Take any token; nobody checks what is given for it."""
    answer = token_pb2.ExchangeTokenResponse(
        access_token="x" * 500,
        info=token_pb2.TokenInfo(subject=f"spiffe://kalepool/operator/{request.token[-4:]}"),
    )
    answer.expires_at.FromMilliseconds(round((time.time() + _LIFE) * 1000))
    return answer


async def get_info(_request: common_pb2.GetInfoRequest, _context: Any) -> Any:
    """Return what the overview shows of the pool."""
    return common_pb2.GetInfoResponse(
        service="registry",
        network=common_pb2.NetworkInfo(type="testnet"),
        limits=common_pb2.Limits(max_farmers=1000),
    )


async def get_pool_summary(_request: report_pb2.GetPoolSummaryRequest, _context: Any) -> Any:
    """Return what the pool earned."""
    return report_pb2.GetPoolSummaryResponse(summary=bare_reports.summary())


async def get_farmer_summary(request: report_pb2.GetFarmerSummaryRequest, _context: Any) -> Any:
    """Return what a farmer earned."""
    return bare_reports.farmer(request)


async def list_block_reports(request: report_pb2.ListBlockReportsRequest, _context: Any) -> Any:
    """Return the newest blocks."""
    blocks = (bare_reports.block(_current() - past, BLOCK) for past in range(request.page_size))
    return report_pb2.ListBlockReportsResponse(blocks=blocks)


async def get_block_report(request: report_pb2.GetBlockReportRequest, _context: Any) -> Any:
    """Return what a block came to."""
    block = bare_reports.block(request.block_index, BLOCK)
    return report_pb2.GetBlockReportResponse(block=block)


async def check(_request: health_pb2.HealthCheckRequest, _context: Any) -> Any:
    """Return that all is well."""
    return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


#: What answers, by the short name of the method.
_ANSWERS = {
    "GetBlock": get_block,
    "WatchBlocks": watch_blocks,
    "ExchangeToken": exchange_token,
    "GetInfo": get_info,
    "GetPoolSummary": get_pool_summary,
    "GetFarmerSummary": get_farmer_summary,
    "ListBlockReports": list_block_reports,
    "GetBlockReport": get_block_report,
}


def _handlers() -> list[grpc.GenericRpcHandler]:
    """Return a handler of each service that has a method above, and of the health protocol."""
    health: Any = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=health_pb2.HealthCheckRequest.FromString,
        response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
    )
    found = [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": health})]
    for service in services():
        methods = {
            method.name: _handler(method) for method in service.methods if method.name in _ANSWERS
        }
        if methods:
            found.append(grpc.method_handlers_generic_handler(service.full_name, methods))
    return found


def _handler(method: MethodDescriptor) -> Any:
    request = message_factory.GetMessageClass(method.input_type)
    response = message_factory.GetMessageClass(method.output_type)
    make: Any = (
        grpc.unary_stream_rpc_method_handler
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return make(
        _ANSWERS[method.name],
        request_deserializer=request.FromString,
        response_serializer=response.SerializeToString,
    )


async def serve(port: int, files: TlsFiles) -> None:
    """Serve until the process is killed."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(_handlers()))
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

"""python -m trials.security.bare PORT: a bare grpc.aio server that answers only GetInfo.

`python -m trials.security.cost` compares the pool's own servers with this server.
"""

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from kalepool.common.v1 import common_pb2


async def get_info(_request: common_pb2.GetInfoRequest, _context: Any) -> Any:
    """Return a reply of the usual size."""
    return common_pb2.GetInfoResponse(
        service="wallet",
        version="0.1.0",
        network=common_pb2.NetworkInfo(type="localnet", kale_contract_id="C" * 56),
        limits=common_pb2.Limits(
            max_farmers=1000,
            rate_limit_per_minute=100,
            request_timeout_ms=30_000,
            max_request_bytes=4_194_304,
        ),
        uptime_seconds=1,
    )


async def serve(port: int) -> None:
    """Serve until the process is killed."""
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        get_info,
        request_deserializer=common_pb2.GetInfoRequest.FromString,
        response_serializer=common_pb2.GetInfoResponse.SerializeToString,
    )
    name = common_pb2.DESCRIPTOR.services_by_name["InfoService"].full_name
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(name, {"GetInfo": handler}),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))

"""The Info RPCs that every service serves."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from kalepool.common.v1 import common_pb2, common_pb2_grpc

from libs.common.grpc.health import is_serving
from libs.common.version import VERSION


@dataclass(frozen=True, kw_only=True)
class ServiceInfo:
    """The data that GetInfo returns."""

    #: Short name of the service.
    name: str
    #: mainnet, testnet or localnet.
    network: str
    #: Contract id of the KALE farm.
    kale_contract_id: str
    #: Farmers per call or pooler at most.
    max_farmers: int
    #: Calls a minute per caller and method.
    rate_limit: int
    #: Milliseconds that a call may take.
    request_timeout_ms: int
    #: Bytes of a request at most.
    max_request_bytes: int


class InfoServicer(common_pb2_grpc.InfoServiceServicer):
    """The servicer of the Info RPCs.

    It answers from memory; GetStatus asks the peers' health.
    """

    def __init__(self, info: ServiceInfo, peers: Mapping[str, grpc.aio.Channel]) -> None:
        """Take a channel per service name as `peers`, this service's own included."""
        self._info = info
        self._peers = peers
        self._started = time.monotonic()

    async def GetInfo(  # noqa: N802
        self, request: common_pb2.GetInfoRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> common_pb2.GetInfoResponse:
        """Return name, version, network, limits and uptime."""
        info = self._info
        return common_pb2.GetInfoResponse(
            service=info.name,
            version=VERSION,
            network=common_pb2.NetworkInfo(
                type=info.network, kale_contract_id=info.kale_contract_id
            ),
            limits=common_pb2.Limits(
                max_farmers=info.max_farmers,
                rate_limit_per_minute=info.rate_limit,
                request_timeout_ms=info.request_timeout_ms,
                max_request_bytes=info.max_request_bytes,
            ),
            uptime_seconds=self._uptime(),
        )

    async def GetStatus(  # noqa: N802
        self, request: common_pb2.GetStatusRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> common_pb2.GetStatusResponse:
        """Ask every service's health check at once."""
        names = list(self._peers)
        serving = await asyncio.gather(*(is_serving(self._peers[name]) for name in names))
        services = dict(zip(names, serving, strict=True))
        response = common_pb2.GetStatusResponse(
            status=verdict(services), services=services, uptime_seconds=self._uptime()
        )
        response.timestamp.GetCurrentTime()
        return response

    def _uptime(self) -> int:
        return int(time.monotonic() - self._started)


def verdict(services: Mapping[str, bool]) -> common_pb2.PoolHealth.ValueType:
    """Return healthy when all services serve.

    Return unhealthy when wallet is away or all services but one are away, else degraded.
    """
    if all(services.values()):
        return common_pb2.POOL_HEALTH_HEALTHY
    if not services.get("wallet", False) or sum(services.values()) <= 1:
        return common_pb2.POOL_HEALTH_UNHEALTHY
    return common_pb2.POOL_HEALTH_DEGRADED

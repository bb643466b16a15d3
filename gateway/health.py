"""Whether the services serve, as the standard health protocol says; asked once a second at most."""

import asyncio
import time
from collections.abc import Callable, Mapping

import grpc
from kalepool.common.v1 import common_pb2

from libs.common.grpc.health import is_serving
from libs.common.grpc.info import verdict
from libs.common.singleflight import SingleFlight

#: Seconds for which an answer counts.
_FRESH = 1.0
_WORDS = {
    common_pb2.POOL_HEALTH_HEALTHY: "healthy",
    common_pb2.POOL_HEALTH_DEGRADED: "degraded",
    common_pb2.POOL_HEALTH_UNHEALTHY: "unhealthy",
}


class PoolHealth:
    """The health of all services, for any number of callers."""

    def __init__(
        self,
        channels: Mapping[str, grpc.aio.Channel],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a channel by each service's short name."""
        self._channels = channels
        self._clock = clock
        self._started = clock()
        self._asked_at = -_FRESH
        self._services: dict[str, bool] = {}
        self._flight: SingleFlight[None] = SingleFlight()

    async def services(self) -> dict[str, bool]:
        """Return which services serve."""
        if self._clock() - self._asked_at >= _FRESH:
            await self._flight.run("health", self._ask)
        return dict(self._services)

    def uptime(self) -> int:
        """Return the seconds since this process began."""
        return int(self._clock() - self._started)

    async def _ask(self) -> None:
        names = list(self._channels)
        serving = await asyncio.gather(*(is_serving(self._channels[name]) for name in names))
        self._services = dict(zip(names, serving, strict=True))
        self._asked_at = self._clock()


def word_for(services: Mapping[str, bool]) -> str:
    """Return healthy, degraded or unhealthy."""
    return _WORDS[verdict(services)]

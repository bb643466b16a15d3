"""The standard health protocol: SERVING only while Postgres and every needed peer answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from libs.common.log import get_logger

log = get_logger(__name__)

#: Tells whether one thing that the service needs is there, at once or when somebody has answered.
Check = Callable[[], bool | Awaitable[bool]]

#: Seconds between two rounds of checks.
INTERVAL = 1.0
#: Seconds that a check may take before it counts as failed.
TIMEOUT = 3.0


class _Health(health.aio.HealthServicer):
    """The library's servicer, which lists all entries, too."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: dict[str, Any] = {}

    async def List(self, request: object, context: object) -> Any:  # noqa: N802  (as in its proto)
        """Return the status of each entry (grpc.health.v1.Health/List)."""
        messages: Any = health_pb2  # its types do not know this method yet
        answer = messages.HealthListResponse()
        for name, status in self.statuses.items():
            answer.statuses[name].status = status
        return answer


class HealthMonitor:
    """The loop that runs the checks and tells the health service their result."""

    def __init__(self, names: tuple[str, ...], checks: Mapping[str, Check]) -> None:
        """Take the health entries `names` (the empty name and the service's), all of one status."""
        self.servicer = _Health()
        self._names = names
        self._checks = checks
        self._failing: frozenset[str] | None = None

    async def run(self) -> None:
        """Run the checks until the task is cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(INTERVAL)

    async def check(self) -> None:
        """Run one round of checks; log and publish a change."""
        results = await asyncio.gather(*map(_passes, self._checks.values()))
        failing = frozenset(
            name for name, passed in zip(self._checks, results, strict=True) if not passed
        )
        if failing == self._failing:
            return
        self._failing = failing
        log.info("health", serving=not failing, failing=sorted(failing))
        await self._publish(serving=not failing)

    async def drain(self) -> None:
        """Answer NOT_SERVING from now on, and end all Watch streams."""
        await self.servicer.enter_graceful_shutdown()
        not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
        self.servicer.statuses = dict.fromkeys(self._names, not_serving)

    async def _publish(self, *, serving: bool) -> None:
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if serving else statuses.NOT_SERVING
        self.servicer.statuses = dict.fromkeys(self._names, status)
        for name in self._names:
            await self.servicer.set(name, status)


async def _passes(check: Check) -> bool:
    try:
        answer = check()
        if isinstance(answer, bool):
            return answer
        async with asyncio.timeout(TIMEOUT):
            return await answer
    except Exception:  # a check that raises has failed, whatever it raises
        return False


async def is_serving(
    channel: grpc.aio.Channel, service: str = "", timeout: float = 1.0, tries: int = 2
) -> bool:
    """Tell whether a peer answers SERVING; return False for any failure.

    A peer that says nothing in `timeout` seconds is asked again, up to `tries` times in all: the
    seconds also pass while it is this process that gets no processor.
    """
    stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know no methods
    request = health_pb2.HealthCheckRequest(service=service)
    for _ in range(tries):
        try:
            answer = await stub.Check(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                continue
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    return False

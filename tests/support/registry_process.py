"""A registry in a process of its own, which tests start, see killed, and start again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc

from devstack.ports import free_ports
from devstack.processes import Command, Process, ProcessDiedError
from libs.common.grpc.client import open_channel
from tests.support.database import DatabaseAccess
from tests.support.fake_custody import FakeCustody


class Start(Protocol):
    """Starts the process."""

    async def __call__(self, **environment: str) -> Process:
        """Start it with further settings."""
        ...


@asynccontextmanager
async def open_registry_process(
    database: DatabaseAccess, wallet: FakeCustody, folder: Path, **environment: str
) -> AsyncIterator[tuple[grpc.aio.Channel, Start]]:
    """Yield a channel to a registry process that does not run yet, and what starts it.

    `environment` are settings of every start; the logs are written to `folder`.
    """
    (port,) = free_ports(1)
    processes: list[Process] = []
    always = {
        "TRANSPORT": "plaintext",
        "DATABASE_URL": database.dsn("registry"),
        "PORT": str(port),
        "WALLET_TARGET": wallet.target,
        "API_RATE_LIMIT": "0",
        **environment,
    }

    async def start(**more: str) -> Process:
        command = Command(
            name="registry", arguments=("-m", "services.registry"), environment={**always, **more}
        )
        processes.append(Process(command, folder))
        await processes[-1].start()
        return processes[-1]

    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            yield channel, start
    finally:
        for process in processes:
            await process.stop()


async def patiently(call: Any, request: Any) -> Any:
    """Call until the process serves."""
    while True:
        try:
            return await call(request, timeout=10)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            await asyncio.sleep(0.05)


async def has_died(process: Process) -> bool:
    """Tell whether the failpoint has killed the process."""
    try:
        process.check()
    except ProcessDiedError:
        return True
    return False

"""The demo's external miner: a process of its own that joins the demo's pooler by HTTP."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from devstack.processes import Command, Process
from pooler.events import Event, Observer, ServingMiners
from pooler.shares.config import SharesSettings
from pooler.shares.store.opening import open_store
from pooler.shares.store.store import MinerResult

#: Shares of a worker in 300 s that difficulty is set for: the demo's blocks are much shorter.
_SHARES_PER_BLOCK = 200
#: Blocks that are read at the end; the demo farms fewer.
_MOST_BLOCKS = 2_000
#: No block has this index.
_NO_BLOCK = 2**62


def shares_settings(directory: Path, port: int) -> SharesSettings:
    """Return how the demo's pooler serves miners."""
    return SharesSettings(
        shares_port=port,
        shares_database=str(directory / "shares.db"),
        shares_name="demo",
        shares_per_block=_SHARES_PER_BLOCK,
    )


class MinerBeside:
    """An observer of a pooler that starts a miner once the pooler serves miners."""

    def __init__(self, directory: Path, address: str, observe: Observer) -> None:
        """Take the folder of the demo's data, whom to pay, and who hears of the pooler, too."""
        self._directory = directory
        self._address = address
        self._observe = observe
        self._process: Process | None = None
        self._starting: asyncio.Task[None] | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, ServingMiners):
            self._process = Process(self._command(event.port), self._directory / "logs")
            self._starting = asyncio.create_task(self._process.start())
        self._observe(event)

    async def stop(self) -> None:
        """End the miner, if there is one."""
        if self._process is not None and self._starting is not None:
            await self._starting
            await self._process.stop()

    def _command(self, port: int) -> Command:
        arguments = (
            *("-m", "miner", "join", f"http://127.0.0.1:{port}", "--agree", "--json"),
            *("--address", self._address, "--name", "demo", "--worker", "beside"),
            # The pooler's own engines have the other processors.
            *("--threads", "1", "--credential-file", str(self._directory / "credential.json")),
        )
        return Command(name="miner", arguments=arguments, environment={})


@asynccontextmanager
async def miner_beside(
    directory: Path, address: str, observe: Observer
) -> AsyncIterator[MinerBeside]:
    """Have a miner, who is paid at an address, beside a pooler while the block runs."""
    beside = MinerBeside(directory, address, observe)
    try:
        yield beside
    finally:
        await beside.stop()


async def results_of_miners(directory: Path) -> Sequence[MinerResult]:
    """Return the blocks in which the demo's miner earned something, the oldest first."""
    async with open_store(str(directory / "shares.db")) as store:
        found = [
            result
            for miner in await store.miners()
            for result in await store.results(miner.number, before=_NO_BLOCK, limit=_MOST_BLOCKS)
            if result.shares
        ]
    return sorted(found, key=lambda one: one.block)

"""A process that serves miners (devstack/stand_in_pooler.py), which a trial kills and starts."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from trials.machine import pin

#: Seconds in which the process has to serve; a busy machine takes minutes.
_PATIENCE = 600.0


@dataclass(kw_only=True)
class Server:
    """The process, and how it is started again."""

    #: Where its database and its log are.
    folder: Path
    #: Farmers of a block.
    farmers: int = 25
    #: Seconds of a block, and the part after which its works are sent: one block for the whole
    #: trial, unless the trial says otherwise.
    block_seconds: float = 1e6
    sent_share: float = 1.0
    #: Settings besides.
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Cores that it may use; empty: all.
    cores: Sequence[int] = ()
    #: Whether it tells of each block.
    tells_blocks: bool = False
    port: int = 0
    _process: Process | None = None

    @property
    def database(self) -> str:
        """Return where shares are kept."""
        return self.settings.get("SHARES_DATABASE", str(self.folder / "shares.db"))

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it; return once it serves. Raise AssertionError when it does not."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "devstack.stand_in_pooler"),
                *("--farmers", str(self.farmers), "--block-seconds", str(self.block_seconds)),
                *("--sent-share", str(self.sent_share)),
                *(["--tell-blocks"] if self.tells_blocks else []),
                env={**os.environ, **self._settings()},
                stdout=PIPE,
                stderr=log,
            )
        pin(self._process.pid, self.cores)
        told = await self.line()
        self.port = int(told["port"])

    async def line(self) -> dict[str, float]:
        """Return the next line that it writes; raise AssertionError when it ends instead."""
        process = self._running()
        assert process.stdout is not None  # noqa: S101  (a PIPE)
        async with asyncio.timeout(_PATIENCE):
            line = await process.stdout.readline()
        if not line:
            raise AssertionError(f"it ended: see {self.folder / 'server.log'}")
        told: dict[str, float] = json.loads(line)
        return told

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start it, and stop it when the block ends, whatever has happened in it."""
        try:
            await self.start()
            yield
        finally:
            await self.stop()

    async def kill(self) -> None:
        """End it as a power failure would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it as an operator would."""
        await self._end(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait until it has ended by itself; return its status."""
        return await self._running().wait()

    @property
    def process(self) -> psutil.Process:
        """Return what can be asked for its memory and its time."""
        return psutil.Process(self._running().pid)

    async def _end(self, number: int) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(number)
        await process.wait()

    def _running(self) -> Process:
        if self._process is None:
            raise AssertionError("it was not started")
        return self._process

    def _settings(self) -> dict[str, str]:
        return {
            "SHARES_PORT": str(self.port),
            "SHARES_DATABASE": self.database,
            "SHARES_LOWEST_DIFFICULTY": "16",
            "SHARES_RATE_LIMIT": "0",
            "SHARES_PUBLIC_RATE_LIMIT": "0",
            "SHARES_JOIN_LIMIT": "100000",
            "SHARES_MOST_PER_BLOCK": "10000000",
            **self.settings,
        }

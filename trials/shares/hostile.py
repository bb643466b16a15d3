"""Hostile miners: whatever they send, nothing falls, and the honest have what is theirs."""

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import aiohttp

from trials.shares.hostility import Hostility, Request, submit
from trials.shares.kills import judged
from trials.shares.miner import TrialMiner, shares_of
from trials.shares.server import Server

#: Connections that send hostile requests, and those that send nothing, or slowly.
_CONNECTIONS, _SLOW = 16, 100
#: Requests of one credential, after which another one is taken: most are banned by then.
_OF_ONE = 200
#: Seconds of one answer, and between two bytes of those who send slowly.
_PATIENCE, _BETWEEN = 10.0, 0.5
#: Part of the requests after which memory counts as warm, and the growth that it may have then.
_WARM, _GROWTH = 0.2, 24 << 20
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)


@dataclass(kw_only=True)
class HostileResult:
    """What became of it."""

    requests: int = 0
    #: Answers by status; 0 where the connection was closed without one.
    statuses: Counter[int] = field(default_factory=Counter)
    #: Resident bytes when it was warm, and at the end.
    warm: int = 0
    memory: int = 0
    #: Shares of the honest that were told to be credited, and that are in the database.
    acknowledged: int = 0
    credited: int = 0
    #: What an honest miner was told that was no success.
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Tell whether nothing is wrong, and the honest got through."""
        return not self.problems and self.acknowledged > 0


async def attacked(
    requests: int, *, seed: int = 1, progress: Callable[[str], None] = lambda _: None
) -> HostileResult:
    """Attack a server of its own with so many requests while honest miners work."""
    with tempfile.TemporaryDirectory() as scratch:
        # The honest come from the same address: they have to get on beside the others.
        settings = {"SHARES_HEAD_TIMEOUT_MS": "3000", "SHARES_BODY_TIMEOUT_MS": "3000"}
        server = Server(folder=Path(scratch), settings=settings)
        timeout = aiohttp.ClientTimeout(total=60)
        async with server.running(), aiohttp.ClientSession(timeout=timeout) as http:
            honest = [
                TrialMiner(http=http, url=server.url, worker=f"honest-{number}")
                for number in range(3)
            ]
            for miner in honest:
                await miner.join()
            result = await _beside(honest, server, requests, seed, progress)
        await _judge(server, honest, result)
        return result


async def _beside(
    honest: Sequence[TrialMiner],
    server: Server,
    requests: int,
    seed: int,
    progress: Callable[[str], None],
) -> HostileResult:
    """Attack while the honest mine."""
    result = HostileResult()
    job = await honest[0].outlasting(honest[0].job)
    shares = list(islice(shares_of(job), 20))
    await honest[0].bring(shares)
    hostility = Hostility(seed, job=job, shares=shares)
    mining = [asyncio.create_task(miner.mine(5)) for miner in honest]
    slow = [asyncio.create_task(_slowly(server, number)) for number in range(_SLOW)]
    try:
        attack = _Attack(server, hostility, result, requests, progress)
        await attack.run()
    finally:
        for task in (*mining, *slow):
            task.cancel()
        await asyncio.gather(*mining, *slow, return_exceptions=True)
    result.memory = server.process.memory_info().rss
    return result


class _Attack:
    """Sends so many hostile requests by some connections."""

    def __init__(
        self,
        server: Server,
        hostility: Hostility,
        result: HostileResult,
        requests: int,
        progress: Callable[[str], None],
    ) -> None:
        self._server = server
        self._hostility = hostility
        self._result = result
        self._left = requests
        self._all = requests
        self._progress = progress

    async def run(self) -> None:
        """Send all of them."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_CONNECTIONS):
                tasks.create_task(self._connection())

    async def _connection(self) -> None:
        async with aiohttp.ClientSession() as http:
            while self._left > 0:
                miner = TrialMiner(http=http, url=self._server.url, worker="hostile")
                await miner.outlasting(miner.join)  # a connection that idled may be closed
                await self._by(miner.credential)

    async def _by(self, credential: str) -> None:
        wire = Wire(self._server.port)
        try:
            for _ in range(_OF_ONE):
                if self._left <= 0:
                    return
                self._left -= 1
                status = await wire.send(self._hostility.next(credential))
                self._count(status)
        finally:
            await wire.close()

    def _count(self, status: int) -> None:
        result = self._result
        result.requests += 1
        result.statuses[status] += 1
        if result.requests == max(1, int(self._all * _WARM)):
            result.warm = self._server.process.memory_info().rss
        if result.requests % 10_000 == 0:
            self._progress(f"{result.requests:,} hostile requests: {dict(result.statuses)}")


class Wire:
    """A connection that is opened again when it is closed."""

    def __init__(self, port: int) -> None:
        """Take the port; nothing is opened yet."""
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: Request) -> int:
        """Send a request; return the status of its answer, 0 when the connection ends instead."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        try:
            async with asyncio.timeout(_PATIENCE):
                writer.write(request)
                return await self._answer(reader, is_head=request.startswith(b"HEAD "))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            await self.close()
            return 0

    async def _answer(self, reader: asyncio.StreamReader, *, is_head: bool) -> int:
        head = await reader.readuntil(b"\r\n\r\n")
        found, length = _STATUS.match(head), _LENGTH.search(head)
        status = 0 if found is None else int(found[1])
        if length is None or b"\r\nconnection: close\r\n" in head.lower():
            await self.close()  # a stream, or the last answer
        elif not is_head:
            await reader.readexactly(int(length[1]))
        return status

    async def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None


async def _slowly(server: Server, number: int) -> None:
    """Hold connections: without a word, with half a head, with a byte of a body now and then."""
    half = submit([("x", 1)], "km_x")
    parts = (
        b"",
        half[:30],
        half[: half.index(b"\r\n\r\n") + 4],
        b"GET /events HTTP/1.1\r\nHost: x\r\n",
    )
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                writer.write(parts[number % len(parts)])
                while not writer.is_closing():
                    await asyncio.sleep(_BETWEEN)
                    writer.write(b" ")
                    await writer.drain()
            finally:
                writer.close()
        await asyncio.sleep(_BETWEEN)


async def _judge(server: Server, honest: Sequence[TrialMiner], result: HostileResult) -> None:
    kept = await judged(server, list(honest))
    result.acknowledged, result.credited = kept.acknowledged, kept.credited
    result.problems += kept.problems
    for miner in honest:
        result.refused.update({code: n for code, n in miner.codes.items() if code != "ACCEPTED"})
        refused = {str(status): n for status, n in miner.statuses.items() if status >= 400}
        result.refused.update(refused)
    if result.refused:
        result.problems.append(f"the honest were refused: {dict(result.refused)}")
    faults = {status: n for status, n in result.statuses.items() if status >= 500}
    if faults:
        result.problems.append(f"answers of a defect: {faults}")
    if not set(range(400, 500)) & result.statuses.keys():
        result.problems.append("nothing was refused: nothing was tried")
    if result.memory - result.warm > _GROWTH:
        grown = (result.memory - result.warm) >> 20
        result.problems.append(f"memory grew by {grown} MiB after it was warm")

"""A limit to the CPU of processes, like the limit of a container: a share of a core for each.

`python -m trials.bench.throttle SHARE PID...` stops a process (SIGSTOP) that has used up its share,
and continues it (SIGCONT) when the share has grown again. The throttle ends when its standard input
ends, and so also with the process that started it, however that process ends. The throttle leaves
no process stopped.
"""

import asyncio
import contextlib
import select
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import psutil

#: Seconds between two readings.
_LOOK = 0.005
#: Seconds whose share a process may save up while it waits: the usual period of a container.
_PERIOD = 0.1
#: Seconds that the throttle gets to end.
_GRACE = 5.0


class ThrottleDiedError(Exception):
    """The throttle ended before it was told to, so that the measurement had no limit."""


@dataclass(kw_only=True)
class Account:
    """The CPU time that one process may still use."""

    #: Seconds of CPU that the process may use in a second.
    share: float
    #: Seconds of CPU that are left; below 0 when the process used more.
    left: float = 0.0

    def pass_time(self, seconds: float, *, used: float) -> None:
        """Record that `seconds` went by, in which the process used `used` seconds of CPU."""
        self.left = min(self.left + seconds * self.share - used, _PERIOD * self.share)

    @property
    def may_run(self) -> bool:
        """Tell whether any CPU time is left."""
        return self.left >= 0.0


class Limited:
    """One process under a limit."""

    def __init__(self, pid: int, share: float) -> None:
        self._process = psutil.Process(pid)
        self._account = Account(share=share)
        self._used = self._cpu()
        self._is_stopped = False

    def look(self, seconds: float) -> None:
        """Stop or continue the process; `seconds` went by since the last call."""
        used = self._cpu()
        self._account.pass_time(seconds, used=used - self._used)
        self._used = used
        if self._account.may_run and self._is_stopped:
            self.release()
        elif not self._account.may_run and not self._is_stopped:
            self._process.suspend()
            self._is_stopped = True

    def release(self) -> None:
        """Let the process run from now on."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.resume()
        self._is_stopped = False

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def throttled(pids: Sequence[int], share: float | None) -> AsyncIterator[None]:
    """Limit each of these processes to a share of a core while the block runs; None: no limit.

    ThrottleDiedError at the end when the limit did not hold for the whole block.
    """
    if share is None:
        yield
        return
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trials.bench.throttle", str(share), *map(str, pids)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches only us
    )
    try:
        if child.stdout is not None and not await child.stdout.readline():
            raise ThrottleDiedError("the throttle did not begin")
        yield
        if child.returncode is not None:
            raise ThrottleDiedError(f"the throttle ended ({child.returncode})")
    finally:
        await _end(child)
        for pid in pids:  # needed if the throttle was killed
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).resume()


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        async with asyncio.timeout(_GRACE):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    share, pids = float(arguments[0]), [int(text) for text in arguments[1:]]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with _limits(pids, share) as limits:
        last = time.monotonic()
        while not select.select([sys.stdin], [], [], _LOOK)[0]:
            now = time.monotonic()
            for limited in limits:
                limited.look(now - last)
            last = now


@contextmanager
def _limits(pids: Sequence[int], share: float) -> Iterator[list[Limited]]:
    limits = [Limited(pid, share) for pid in pids]
    print("limited", flush=True)  # noqa: T201
    try:
        yield limits
    except psutil.NoSuchProcess as error:
        print(f"process {error.pid} has ended", file=sys.stderr)  # noqa: T201
    finally:
        for limited in limits:
            limited.release()


if __name__ == "__main__":
    main(sys.argv[1:])

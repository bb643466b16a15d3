"""The threads of all engines on one board, seen from the event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from miner.engine import Engine
from miner.roster import Roster
from miner.runner import Runner, Shared

#: Seconds that threads get to stop; they take milliseconds, but for a device that hangs.
_STOP_SECONDS = 5.0
#: Hears in words what is wrong with an engine.
Notice = Callable[[str], None]


class Crew:
    """Runners of the usable engines; an engine that fails is left out, the spare one steps in."""

    def __init__(self, board: Shared, roster: Roster, notice: Notice, *, every: bool) -> None:
        """Take what they share; `every`: all hits are wanted, see miner.engine.Engine.scanner."""
        self._board = board
        self._roster = roster
        self._notice = notice
        self._every = every
        self._loop = asyncio.get_running_loop()
        self._runners: set[Runner] = set()
        self._failed: list[Engine] = []
        self._is_stopped = False
        #: Set once no thread searches any more.
        self.over = asyncio.Event()

    def start(self) -> None:
        """Start the threads of all usable engines."""
        for engine in self._roster.usable():
            for _ in range(engine.appetite.threads):
                self._start(engine)

    def stop(self) -> None:
        """Tell all threads to end."""
        self._is_stopped = True
        for runner in self._runners:
            runner.stop()
        self._end_when_idle()

    async def end(self) -> None:
        """Stop, and wait until no thread searches any more; name the engines that do not stop."""
        self.stop()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.over.wait()
        except TimeoutError:
            for name in sorted({runner.engine.name for runner in self._runners}):
                self._notice(f"{name} does not stop; it may hang")

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function in the event loop, from any thread.

        Without a loop any more nobody waits for the call.
        """
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _start(self, engine: Engine) -> None:
        runner = Runner(engine, self._board, self._ended, every=self._every)
        self._runners.add(runner)
        runner.start()

    def _ended(self, runner: Runner, error: Exception | None) -> None:
        self.call(self._remove, runner, error)

    def _remove(self, runner: Runner, error: Exception | None) -> None:
        self._runners.discard(runner)
        if error is not None and not self._is_stopped and runner.engine not in self._failed:
            self._give_up(runner.engine, error)
        self._end_when_idle()

    def _give_up(self, engine: Engine, error: Exception) -> None:
        """Search without an engine; when no other one is left, with the spare one."""
        self._failed.append(engine)
        self._notice(self._roster.failed(engine, error))
        for runner in self._runners:
            if runner.engine is engine:
                runner.stop()
        spare = self._roster.spare
        # Other threads of engines that have failed may still be about to end.
        is_last = all(runner.engine in self._failed for runner in self._runners)
        if is_last and spare not in self._failed and self._board.open:
            self._start(spare)

    def _end_when_idle(self) -> None:
        if not self._runners:
            self.over.set()

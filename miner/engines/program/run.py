"""One run of a program: bounded in time, in what it prints, and by our own life."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from time import monotonic
from typing import IO, cast

from miner.model import EngineFailedError

#: Bytes of output that are kept: the last ones, as results come at the end.
_KEPT_BYTES = 65_536
#: Seconds until a program that was told to end counts as hanging.
_END_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended."""

    #: The last 64 KiB of what it printed.
    output: str
    #: The last line of what it complained of.
    complaint: str
    #: Seconds that it ran.
    seconds: float
    #: It was told to end.
    was_stopped: bool


class ProgramRun:
    """A program that runs."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raise EngineFailedError when that fails."""
        # -I: as little as possible of this process's own surroundings.
        guard = [sys.executable, "-I", str(Path(__file__).with_name("guard.py"))]
        self._began = monotonic()
        self._was_stopped = threading.Event()
        try:
            self._process = subprocess.Popen(  # noqa: S603  (what the operator named)
                [*guard, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **environment},
            )
        except OSError as error:
            raise EngineFailedError(f"{command[0]}: {error}") from error

    def wait(self, seconds: float) -> Ended:
        """Wait for its end; it is told to end after so many seconds.

        What holds its output open all the same is not waited for.
        """
        output, complaints = _Reader(self._process.stdout), _Reader(self._process.stderr)
        output.join(seconds)
        if output.is_alive():
            self.stop()
            output.join(_END_SECONDS)
        self._end()
        complaints.join(_END_SECONDS)
        lines = complaints.text.strip().splitlines()
        return Ended(
            output=output.text,
            complaint=lines[-1] if lines else "",
            seconds=monotonic() - self._began,
            was_stopped=self._was_stopped.is_set(),
        )

    def stop(self) -> None:
        """End it, from any thread: its guard kills it when our end of the pipe closes."""
        self._was_stopped.set()
        self._close_input()

    def _end(self) -> None:
        self._close_input()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _close_input(self) -> None:
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
        except OSError:
            # It has ended by itself.
            return


class _Reader(threading.Thread):
    """Reads a stream to its end, and keeps the last part."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        super().__init__(daemon=True)
        self._stream = cast("BufferedReader", stream)
        self._kept = b""
        self.start()

    def run(self) -> None:
        with self._stream:
            while more := self._stream.read1(_KEPT_BYTES):
                self._kept = (self._kept + more)[-_KEPT_BYTES:]

    @property
    def text(self) -> str:
        """What was read so far."""
        return self._kept.decode(errors="replace")

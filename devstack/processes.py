"""Child processes with logs in files, that never outlive their parent."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds that a process gets to end after SIGTERM before it is killed.
GRACE = 15.0


class ProcessDiedError(Exception):
    """A process ended although nobody asked it to; the message has the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command that starts one process."""

    #: The process's name, also of its log file.
    name: str
    #: Arguments of the Python interpreter, such as `-m services.plant`.
    arguments: Sequence[str]
    #: Its environment on top of a minimal one.
    environment: Mapping[str, str]


class Process:
    """One running child; its output goes to `<logs>/<name>.log`."""

    def __init__(self, command: Command, logs: Path) -> None:
        self.command = command
        self.log_path = logs / f"{command.name}.log"
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the child in a process group of its own, so that Ctrl-C reaches only us."""
        with self.log_path.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.command.arguments,
                env=_environment(self.command.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the child's process id."""
        if self._child is None:
            raise ProcessDiedError(f"{self.command.name} was not started")
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Tell whether the child was started and has not ended."""
        return self._child is not None and self._child.returncode is None

    @property
    def status(self) -> int | None:
        """Return the exit status once the child has ended.

        After a signal it is minus the number of the signal.
        """
        return None if self._child is None else self._child.returncode

    def check(self) -> None:
        """Raise ProcessDiedError when the child has ended."""
        if self.status is not None:
            text = f"{self.command.name} ended ({self.status}):\n{self.log_tail()}"
            raise ProcessDiedError(text)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the child's log."""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    async def stop(self, *, number: int = signal.SIGTERM) -> None:
        """Ask the child to end with a signal, wait, and kill it when it does not."""
        child = self._child
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        try:
            async with asyncio.timeout(GRACE):
                await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that any program needs, plus the program's own.

    No others are inherited.
    """
    kept = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    inherited = {name: value for name, value in os.environ.items() if name in kept}
    return inherited | {"PYTHONUNBUFFERED": "1"} | dict(extra)


def is_alive(pid: int) -> bool:
    """Tell whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def listens(port: int, check: Callable[[], None], *, seconds: float) -> None:
    """Return when a process of this machine takes connections at a port.

    Raise what `check` raises once it never will, and TimeoutError after so many seconds.
    """
    async with asyncio.timeout(seconds):
        while True:
            check()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return

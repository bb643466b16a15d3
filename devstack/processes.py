"""Child processes with logs in files, that never outlive their parent."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.owned import PIPE_VARIABLE

#: Seconds that a process gets to end after SIGTERM before it is killed.
GRACE = 15.0
#: Ends a program that is none of ours when its standard input ends without a line: we are gone.
_GUARD = (
    'read -r line && exit 0; kill -TERM "$1" 2>/dev/null; sleep 15; kill -KILL "$1" 2>/dev/null'
)


class ProcessDiedError(Exception):
    """A process ended although nobody asked it to; the message has the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command that starts one process."""

    #: The process's name, also of its log file.
    name: str
    #: Arguments of the program, such as `-m services.plant` of this Python.
    arguments: Sequence[str]
    #: Its environment on top of a minimal one.
    environment: Mapping[str, str]
    #: Path of the program; None: this Python.
    program: str | None = None
    #: Folder in which it runs; None: ours.
    folder: Path | None = None


class Process:
    """One running child; its output goes to `<logs>/<name>.log`. It ends when we are gone."""

    def __init__(self, command: Command, logs: Path) -> None:
        self.command = command
        self.log_path = logs / f"{command.name}.log"
        self._child: asyncio.subprocess.Process | None = None
        #: Each ends the child when we are gone: our end of a pipe, or another program's guard.
        self._pipe: int | None = None
        self._guard: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the child in a process group of its own, so that Ctrl-C reaches only us."""
        if self.command.program is None:
            await self._start_python()
        else:
            self._child = await self._spawn(self.command.program, *self.command.arguments)
            self._guard = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", _GUARD, "guard", str(self.pid)),
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,
            )

    async def _start_python(self) -> None:
        theirs, self._pipe = os.pipe()
        try:
            self._child = await self._spawn(
                *(sys.executable, "-m", "devstack.owned", *self.command.arguments),
                pipe=theirs,
            )
        except BaseException:
            self._close_pipe()
            raise
        finally:
            os.close(theirs)

    async def _spawn(self, *words: str, pipe: int | None = None) -> asyncio.subprocess.Process:
        owner = {} if pipe is None else {PIPE_VARIABLE: str(pipe)}
        with self.log_path.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *words,
                env=_environment(self.command.environment) | owner,
                cwd=self.command.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=() if pipe is None else (pipe,),
            )

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

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
        if child is not None and child.returncode is None:
            await _end(child, number)
        self._close_pipe()
        if self._guard is not None:
            await self._guard.communicate(b"ended\n")
            self._guard = None


async def _end(child: asyncio.subprocess.Process, number: int) -> None:
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

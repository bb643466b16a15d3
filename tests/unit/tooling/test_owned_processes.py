"""Processes that we start end when we are gone, however that went; a clean-up is not cut short."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.processes import Command, Process, ProcessDiedError, is_alive
from devstack.stack import Stack

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 30.0
SLEEP = "import time; time.sleep(600)"
#: Starts a module, code and another program, says their ids, and waits.
OWNER = """
import asyncio, sys
from pathlib import Path
from devstack.processes import Command, Process

COMMANDS = [
    Command(name="module", arguments=("-m", "timeit", "-n1", "-r1", "import time; time.sleep(600)"),
            environment={}),
    Command(name="code", arguments=("-c", "import time; time.sleep(600)"), environment={}),
    Command(name="program", program="/bin/sleep", arguments=("600",), environment={}),
]

async def main():
    processes = [Process(command, Path(sys.argv[1])) for command in COMMANDS]
    for process in processes:
        await process.start()
    print(*(process.pid for process in processes), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
#: Has a clean-up that takes a while, and says when it is through.
CLEANING = """
import asyncio, sys
from devstack.interrupt import run_to_end

async def work():
    print("begun", flush=True)
    try:
        await asyncio.sleep(600)
    finally:
        print("ending", flush=True)
        await asyncio.sleep(0.5)
        print("ended", flush=True)
    return 0

sys.exit(run_to_end(work()))
"""


def until(holds: Callable[[], object]) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def python(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start some code of ours."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_what_was_started_ends_with_who_started_it(tmp_path: Path, how: signal.Signals) -> None:
    with python(OWNER, str(tmp_path)) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 3
        assert all(map(is_alive, pids))
        owner.send_signal(how)
        owner.wait(PATIENCE)
    until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGHUP, signal.SIGTERM),
        (signal.SIGQUIT, signal.SIGHUP),
    ],
)
def test_a_second_signal_does_not_cut_a_clean_up_short(
    first: signal.Signals, second: signal.Signals
) -> None:
    with python(CLEANING) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "begun\n"
        command.send_signal(first)
        assert command.stdout.readline() == "ending\n"
        command.send_signal(second)
        assert command.stdout.read() == "ended\n"
        assert command.wait(PATIENCE) == 130


def test_one_that_was_stopped_leaves_no_guard(tmp_path: Path) -> None:
    async def run() -> int:
        command = Command(name="sleep", program="/bin/sleep", arguments=("600",), environment={})
        process = Process(command, tmp_path)
        await process.start()
        guard = process._guard
        assert guard is not None
        await process.stop()
        assert not process.is_running
        return guard.pid

    assert not is_alive(asyncio.run(run()))


class OneProcess(Stack):
    """A pool of one process, which does as its code says."""

    def __init__(self, process: Process) -> None:
        self._processes = {"registry": process}


async def watched(code: str, folder: Path, seconds: float) -> str:
    """Do some work of so many seconds while a process runs; return what the work returns."""
    process = Process(Command(name="registry", arguments=("-c", code), environment={}), folder)
    await process.start()

    async def work() -> str:
        await asyncio.sleep(seconds)
        return "done"

    try:
        return await OneProcess(process).watched(work())
    finally:
        await process.stop()


async def test_a_process_that_dies_ends_the_work_that_needs_it(tmp_path: Path) -> None:
    with pytest.raises(ProcessDiedError, match=r"registry ended \(3\)"):
        await asyncio.wait_for(watched("raise SystemExit(3)", tmp_path, 600), PATIENCE)


async def test_the_work_is_done_while_the_process_runs(tmp_path: Path) -> None:
    assert await watched(SLEEP, tmp_path, 0.1) == "done"

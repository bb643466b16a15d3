"""A process that runs pytest once per line of its input, each time in a fork of itself.

The process has imported modules that take long and that no mutant changes, so that a run begins at
once. It never imports our own code: a fork imports the mutated file like any other. A line is a
JSON object with "arguments" for pytest, a "log" file and "seconds". The answer has "status"
(pytest's status, None when the time was over) and "killer", the first test that failed.
"""

import contextlib
import importlib
import json
import os
import select
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import sleep  # tests may replace time.sleep
from typing import Any

import pytest

from trials.mutants.endings import end_fork

#: The status of a fork that died.
CRASHED = -2
#: Seconds between two looks of a fork that has answered.
_MOMENT = 0.1
#: Modules that nearly every test imports; a module that is not installed is skipped.
PRELOADED = (
    "_pytest.assertion.rewrite",
    "aiohttp",
    "asyncpg",
    "cryptography.hazmat.primitives.ciphers.aead",
    "cryptography.x509",
    "cyclopts",
    "google.protobuf.descriptor_pb2",
    "google.rpc.error_details_pb2",
    "hypothesis.stateful",
    "nacl.signing",
    "opentelemetry.sdk.metrics",
    "psutil",
    "pydantic_settings",
    "pytest_asyncio.plugin",
    "rich.console",
    "rich.table",
    "stellar_sdk",
    "structlog",
    "uuid_utils.compat",
)


class FirstFailure:
    """A plugin that notes the first test that fails."""

    def __init__(self) -> None:
        self.test = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure; this is pytest's hook."""
        if report.failed and not self.test:
            self.test = report.nodeid


def main() -> int:
    """Read lines until the input ends."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        run = partial(_run, request["arguments"])
        answer = answer_of_fork(
            run, request["log"], request["seconds"], asked_by=sys.stdin.fileno()
        )
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


def answer_of_fork(
    run: Callable[[], dict[str, Any]], log: str, seconds: float, *, asked_by: int
) -> dict[str, Any]:
    """Return what `run` answers in a fork of this process.

    Both its outputs go to `log`. The status is None when the time was over. The processes that the
    fork has left are ended, whatever groups and sessions they are in. This process ends, too, when
    `asked_by` ends: a file from which requests come, one after an answer.
    """
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_fork(run, log, writing, parent=parent)
    os.close(writing)
    ready, _, _ = select.select([reading, asked_by], [], [], seconds)
    # The answer is one write; a process that the run left behind may keep the pipe open.
    told = os.read(reading, 1 << 16) if reading in ready else b""
    os.close(reading)
    end_fork(child)
    if reading in ready:
        # A fork that died without a word failed, too.
        answer: dict[str, Any] = json.loads(told) if told else {"status": CRASHED, "killer": ""}
        return answer
    if asked_by in ready:
        sys.exit("nobody waits for the answer")
    return {"status": None, "killer": ""}


def _be_the_fork(run: Callable[[], dict[str, Any]], log: str, writing: int, *, parent: int) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    answer: dict[str, Any] = {"status": CRASHED, "killer": ""}
    try:
        answer = run()
    finally:
        os.write(writing, json.dumps(answer).encode())
        # The parent ends this process: until then it can find what was started here.
        while os.getppid() == parent:
            sleep(_MOMENT)
        os._exit(0)


def _run(arguments: list[str]) -> dict[str, Any]:
    importlib.invalidate_caches()
    first = FirstFailure()
    status = int(pytest.main(arguments, plugins=[first]))
    return {"status": status, "killer": first.test}


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    sys.exit(main())

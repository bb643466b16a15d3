"""A process that has imported and collected all tests, and runs some of them in forks of itself.

To import the code and the tests takes longer than most tests: here this happens once, not once per
mutant. The fork gives the mutated functions their new code (trials.mutants.swap); the queries are
read again by each test. Where a change takes effect at an import, a new process has to decide
(trials.mutants.host).

The arguments are test files. A line of the input is a JSON object: "tests" in their order, the
mutated "path" with its "source" before the change ("" for both: nothing is mutated), a "log" file
and "seconds". The answer has "status": 0 when all passed, 1 when "killer" failed, None when the
time was over, and -1 when this process cannot tell.
"""

import gc
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from trials.mutants.host import FirstFailure, answer_of_fork
from trials.mutants.swap import Functions, NotSwappableError, functions_in, swap

UNFIT = -1


class Collected:
    """A plugin that runs the collected tests as requests say, instead of all of them."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests = requests
        self._answers = answers
        self._first = FirstFailure()
        self._items: dict[str, pytest.Item] = {}
        self._functions: Functions = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure; this is pytest's hook."""
        self._first.pytest_runtest_logreport(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Answer requests until the input ends; this is pytest's hook."""
        self._items = {item.nodeid: item for item in session.items}
        # The collector lists no frozen object, and the tests' conftest freezes what was collected.
        gc.unfreeze()
        self._functions = functions_in(gc.get_objects(), f"{Path.cwd()}{os.sep}")
        # A collection in a fork would copy all memory of this process.
        gc.freeze()
        self._answer({"collected": len(self._items), "failed": session.testsfailed})
        for line in self._requests:
            request = json.loads(line)
            run = partial(self._run, request)
            fork = answer_of_fork(
                run, request["log"], request["seconds"], asked_by=self._requests.fileno()
            )
            self._answer(fork)
        return True

    def _answer(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the tests in a fork, up to the first failure."""
        items = [self._items[name] for name in request["tests"] if name in self._items]
        is_complete = len(items) == len(request["tests"]) > 0
        if not is_complete or not self._is_mutated(request["path"], request["source"]):
            return {"status": UNFIT, "killer": ""}
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._first.test:
                return {"status": 1, "killer": self._first.test}
        return {"status": 0, "killer": ""}

    def _is_mutated(self, path: str, source: str) -> bool:
        if not path.endswith(".py"):
            return True
        file = Path.cwd() / path
        try:
            swap(self._functions, str(file), old=source, new=file.read_text(encoding="utf-8"))
        except NotSwappableError:
            return False
        return True


def main(arguments: list[str]) -> int:
    """Collect the tests, and answer requests until the input ends."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return int(pytest.main(arguments, plugins=[Collected(requests, answers)]))


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    sys.exit(main(sys.argv[1:]))

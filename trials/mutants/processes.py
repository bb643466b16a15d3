"""Processes that run tests in a copy of the tree: one new for each mutant, one prepared for all."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from trials.mutants.model import Mutant
from trials.mutants.selection import Selection
from trials.mutants.tree import Tree

#: Arguments of each run of pytest.
PYTEST = ("-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short")
#: Seconds that a run may take besides its tests: to start, to make a database.
_START = 30.0
#: The same for tests that are collected already; a run that takes longer is begun anew.
_QUICK_START = 10.0
#: A run may take this many times the time that its tests took when they were measured.
_SLOWER = 4.0


class ProcessError(Exception):
    """The process ended; the message has the end of its output."""


class _Process:
    """A process in one copy that answers requests, a line of JSON each."""

    def __init__(
        self,
        tree: Tree,
        log: Path,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", module, *arguments],
                cwd=tree.folder,
                env={**tree.environment(), **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def _ask(self, request: Mapping[str, object], log: Path) -> dict[str, Any]:
        self._send(json.dumps({**request, "log": str(log)}))
        return self._answer()

    def _send(self, line: str) -> None:
        sending, _ = _pipes(self._process)
        sending.write(line + "\n")
        sending.flush()

    def _answer(self) -> dict[str, Any]:
        line = _pipes(self._process)[1].readline()
        if not line:
            raise ProcessError(self._log.read_text(encoding="utf-8", errors="replace")[-3000:])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        _pipes(self._process)[0].close()
        self._process.wait()


class Host(_Process):
    """A process that runs pytest from its beginning, imports included."""

    def __init__(self, tree: Tree, folder: Path) -> None:
        """Start it; `folder` takes its outputs."""
        super().__init__(tree, folder / "host.log", "trials.mutants.host")
        self._output = folder / "pytest.log"

    def run(self, selection: Selection) -> dict[str, Any]:
        """Run tests; see trials.mutants.host."""
        tests = self._output.with_name("tests.txt")
        tests.write_text("\n".join(selection.tests), encoding="utf-8")
        arguments = [*PYTEST, "-x", f"@{tests}"]
        seconds = _START + _SLOWER * selection.seconds
        return self._ask({"arguments": arguments, "seconds": seconds}, self._output)


class StandingPostgres(_Process):
    """A PostgreSQL server for the tests of all mutants in a copy; see tests.support.standing."""

    def __init__(self, tree: Tree, folder: Path) -> None:
        """Start it and wait until it serves; `folder` takes its outputs."""
        super().__init__(tree, folder / "postgres.log", "tests.support.standing")
        #: The variables of the environment by which tests find it.
        self.environment: Mapping[str, str] = self._answer()

    def clean(self) -> None:
        """Remove what killed tests have left in it."""
        self._send("clean")
        self._answer()


class CollectedTests(_Process):
    """A process that has collected all tests and imported what these import."""

    def __init__(
        self,
        tree: Tree,
        folder: Path,
        test_files: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it and wait until it has collected; `folder` takes its outputs."""
        arguments = (*PYTEST, "-s", *test_files)
        module, log = "trials.mutants.collected", folder / "collected.log"
        super().__init__(tree, log, module, *arguments, environment=environment)
        self._output = folder / "pytest.log"
        self._answer()
        #: Whether a test passes here while nothing is mutated.
        self._is_sound: dict[str, bool] = {}

    def run(self, mutant: Mutant, source: str, selection: Selection) -> dict[str, Any]:
        """Run tests; see trials.mutants.collected.

        `source` is the text of the file before the change, which the file has already.
        """
        seconds = _QUICK_START + _SLOWER * selection.seconds
        return self._run(selection.tests, mutant.path, source, seconds)

    def is_sound(self, test: str) -> bool:
        """Tell whether a test passes here; the file has to be as it was."""
        if test not in self._is_sound:
            self._is_sound[test] = self._run([test], "", "", _START)["status"] == 0
        return self._is_sound[test]

    def _run(self, tests: Sequence[str], path: str, source: str, seconds: float) -> dict[str, Any]:
        request = {"tests": tests, "path": path, "source": source, "seconds": seconds}
        return self._ask(request, self._output)


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    return process.stdin, process.stdout

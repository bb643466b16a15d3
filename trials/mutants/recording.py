"""A plugin of pytest that notes which lines and which statements each test runs.

The plugin is loaded by `-p trials.mutants.recording` before our code is imported; MUTANTS_RECORD
names the file that it writes. Each test has one context of coverage.py; lines that run at an import
or between tests are noted apart.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import coverage
import pytest

from trials.mutants.measured import RECORD_VARIABLE, SOURCES, digest_of_statement

_STATEMENTS = "_get_statement"


class Recorder:
    """A recorder of lines and statements, test by test."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._root = Path.cwd()
        self._coverage = coverage.Coverage(
            data_file=None, config_file=False, source=[str(self._root / name) for name in SOURCES]
        )
        self._current = ""
        self._statements: defaultdict[str, set[str]] = defaultdict(set)
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()

    def begin(self) -> None:
        """Start to record."""
        self._coverage.start()
        # Every call that prepares, fetches or executes with arguments goes through this function.
        original = getattr(asyncpg.Connection, _STATEMENTS)
        setattr(asyncpg.Connection, _STATEMENTS, self._noting(original))

    def _noting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def get_statement(connection: Any, query: str, *rest: Any, **named: Any) -> Any:
            self._statements[self._current].add(digest_of_statement(query))
            return await original(connection, query, *rest, **named)

        return get_statement

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Assign everything that runs from setup to teardown to this test."""
        started = time.monotonic()
        self._switch(item.nodeid)
        try:
            return (yield)
        finally:
            self._switch("")
            self._seconds[item.nodeid] = round(time.monotonic() - started, 3)

    def _switch(self, context: str) -> None:
        self._current = context
        self._coverage.switch_context(context)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the test if it does not pass: such a test cannot show anything."""
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write the record."""
        self._coverage.stop()
        data = self._coverage.get_data()
        lines: dict[str, dict[str, list[str]]] = {}
        outside: dict[str, list[int]] = {}
        for measured in sorted(data.measured_files()):
            path = Path(measured).relative_to(self._root).as_posix()
            by_line = data.contexts_by_lineno(measured)
            lines[path] = {
                str(line): sorted(context for context in contexts if context)
                for line, contexts in by_line.items()
            }
            outside[path] = sorted(line for line, contexts in by_line.items() if "" in contexts)
        record = {
            "seconds": self._seconds,
            "failed": sorted(self._failed),
            "statements": {name: sorted(found) for name, found in self._statements.items()},
            "lines": lines,
            "outside": outside,
        }
        self._target.write_text(json.dumps(record), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Begin before any test file is imported."""
    target = os.environ.get(RECORD_VARIABLE)
    if target is not None:
        recorder = Recorder(Path(target))
        recorder.begin()
        config.pluginmanager.register(recorder, "mutants-recorder")

"""The tests that run each line and each statement: measured once, kept per test file."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Folders whose lines are measured.
SOURCES = ("services", "libs", "pooler")
#: The environment variable that names the file for a record.
RECORD_VARIABLE = "MUTANTS_RECORD"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measurements of all test files together."""

    #: Seconds that each test took, with its setup; only tests that passed are there.
    seconds: Mapping[str, float] = field(default_factory=dict)
    #: The tests that run a line, by file and line.
    lines: Mapping[str, Mapping[int, Collection[str]]] = field(default_factory=dict)
    #: The tests that run a statement, by the statement's digest.
    statements: Mapping[str, Collection[str]] = field(default_factory=dict)
    #: Lines that run at an import or between tests, by file.
    outside: Mapping[str, Collection[int]] = field(default_factory=dict)


class MapStore:
    """The records in a folder, one per test file."""

    def __init__(
        self, root: Path, folder: Path, senders: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """Take as `senders` the .sql files that each statement comes from, by its digest."""
        self._root = root
        self._folder = folder
        self._senders = senders or {}
        self._digests: dict[str, str] = {}

    def stale(self, test_files: Iterable[str]) -> list[str]:
        """Return the test files that have changed since, or that run a file which has changed."""
        return [path for path in test_files if not self._is_fresh(path)]

    def keep(self, record: Mapping[str, Any], test_files: Collection[str]) -> None:
        """Split a record of several test files, and write the part of each."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in test_files:
            part = _part(record, path)
            sources = {
                source: self._digest(source)
                for source in [path, *part["lines"], *self._sent_from(part["statements"])]
            }
            self._file(path).write_text(json.dumps({**part, "sources": sources}), encoding="utf-8")

    def read(self, test_files: Iterable[str]) -> Measured:
        """Read all measurements of these test files."""
        seconds: dict[str, float] = {}
        lines: dict[str, dict[int, set[str]]] = {}
        statements: dict[str, set[str]] = {}
        outside: dict[str, set[int]] = {}
        for path in test_files:
            if not self._file(path).exists():
                continue
            record = json.loads(self._file(path).read_text(encoding="utf-8"))
            passed = set(record["seconds"]) - set(record["failed"])
            seconds |= {name: record["seconds"][name] for name in passed}
            for source, by_line in record["lines"].items():
                for line, tests in by_line.items():
                    known = lines.setdefault(source, {}).setdefault(int(line), set())
                    known |= passed.intersection(tests)
            for source, own in record["outside"].items():
                outside.setdefault(source, set()).update(own)
            for test, digests in record["statements"].items():
                for digest in digests:
                    if test in passed:
                        statements.setdefault(digest, set()).add(test)
        return Measured(seconds=seconds, lines=lines, statements=statements, outside=outside)

    def _sent_from(self, statements: Mapping[str, Iterable[str]]) -> set[str]:
        """Return the .sql files whose statements the tests have sent.

        A statement's digest changes with its text: a record of an older text names no tests.
        """
        digests = {digest for found in statements.values() for digest in found}
        return {path for digest in digests for path in self._senders.get(digest, ())}

    def _is_fresh(self, path: str) -> bool:
        if not self._file(path).exists():
            return False
        sources = json.loads(self._file(path).read_text(encoding="utf-8"))["sources"]
        return all(self._digest(source) == digest for source, digest in sources.items())

    def _file(self, path: str) -> Path:
        return self._folder / (path.replace("/", "+") + ".json")

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            self._digests[path] = digest_of(self._root / path)
        return self._digests[path]


def digest_of(path: Path) -> str:
    """Return a short digest of a file's content; "" when the file is not there."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def digest_of_statement(sql: str) -> str:
    """Return the digest that names a statement in the record."""
    return hashlib.sha256(sql.encode()).hexdigest()[:16]


def file_of(test: str) -> str:
    """Return the file of a test."""
    return test.partition("::")[0]


def _part(record: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the part of a record that belongs to one test file."""
    lines: dict[str, dict[str, list[str]]] = {}
    for source, by_line in record["lines"].items():
        own = {
            line: [test for test in tests if file_of(test) == path]
            for line, tests in by_line.items()
        }
        if used := {line: tests for line, tests in own.items() if tests}:
            lines[source] = used
    return {
        "seconds": {
            name: value for name, value in record["seconds"].items() if file_of(name) == path
        },
        "failed": [name for name in record["failed"] if file_of(name) == path],
        "statements": {
            name: found for name, found in record["statements"].items() if file_of(name) == path
        },
        "lines": lines,
        "outside": {source: record["outside"][source] for source in lines},
    }

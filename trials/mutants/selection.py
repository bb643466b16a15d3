"""The choice and the order of the tests that a mutant is tried against."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from trials.mutants.measured import Measured, file_of
from trials.mutants.model import Mutant
from trials.mutants.usage import Usage

#: Folders of tests that start no database.
_QUICK = "tests/unit/"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The tests for a mutant."""

    #: The tests in the order in which they run.
    tests: tuple[str, ...]
    #: Number of tests that run its line and do not fit into the time.
    left_out: int
    #: Seconds that the tests take together, as measured.
    seconds: float
    #: Whether the changed code may run at an import, before any test.
    is_imported: bool = True


class Selector:
    """A selector of tests by means of the measurements."""

    def __init__(self, measured: Measured, usage: Usage, *, budget: float) -> None:
        self._measured = measured
        self._usage = usage
        self._budget = budget
        #: Tests that failed for earlier mutants, by file and function: they run first for the next
        #: mutants.
        self._killers: dict[tuple[str, str], dict[str, None]] = {}

    def note_killer(self, mutant: Mutant, test: str) -> None:
        """Remember the test that noticed a mutant."""
        if test:
            known = self._killers.setdefault((mutant.path, mutant.function), {})
            known.pop(test, None)
            known[test] = None

    def select(self, mutant: Mutant, statements: Collection[str] = ()) -> Selection:
        """Return the tests for a mutant.

        `statements` are the digests of the statements that send the mutant's query.
        """
        found = self._of_statements(statements) if statements else self._of_code(mutant)
        ordered = sorted(found, key=lambda test: self._rank(mutant, test))
        chosen: list[str] = []
        seconds = 0.0
        for test in ordered:
            seconds_then = seconds + self._measured.seconds.get(test, 0.0)
            if chosen and seconds_then > self._budget:
                continue
            chosen.append(test)
            seconds = seconds_then
        left_out = len(ordered) - len(chosen)
        return Selection(
            tests=tuple(chosen),
            left_out=left_out,
            seconds=seconds,
            is_imported=self._is_imported(mutant),
        )

    def _is_imported(self, mutant: Mutant) -> bool:
        outside = self._measured.outside.get(mutant.path)
        # Nothing was measured of a file of queries.
        return outside is None or any(line in outside for line in mutant.span.lines())

    def _of_statements(self, statements: Collection[str]) -> set[str]:
        return {test for item in statements for test in self._measured.statements.get(item, ())}

    def _of_code(self, mutant: Mutant) -> set[str]:
        found = self._of_lines(mutant.path, mutant.span.lines())
        if not mutant.names:
            return found
        for use in self._usage.of(mutant.names):
            found |= self._of_lines(use.path, use.body.lines())
            if use.path.startswith("tests/"):
                found |= self._of_test(use.path, use.function)
        files = self._usage.files(mutant.names)
        return found | {test for test in self._measured.seconds if file_of(test) in files}

    def _of_lines(self, path: str, lines: Collection[int]) -> set[str]:
        by_line = self._measured.lines.get(path, {})
        return {test for line in lines for test in by_line.get(line, ())}

    def _of_test(self, path: str, function: str) -> set[str]:
        """Return the tests with this name.

        When there is none, the function only serves tests: return all tests of its file.
        """
        own = {test for test in self._measured.seconds if file_of(test) == path}
        named = {test for test in own if test.partition("[")[0].endswith(f"::{function}")}
        return named or own

    def _rank(self, mutant: Mutant, test: str) -> tuple[int, bool, bool, float, str]:
        killers = list(self._killers.get((mutant.path, mutant.function), {}))
        late = -killers.index(test) if test in killers else 1
        # tests/unit/wallet/test_wallet_budget.py is about services/wallet/domain/budget.py.
        about = PurePosixPath(mutant.path).stem in PurePosixPath(file_of(test)).stem
        seconds = self._measured.seconds.get(test, 0.0)
        return (late, not test.startswith(_QUICK), not about, seconds, test)

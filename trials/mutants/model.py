"""Mutants, their names, and their verdicts."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, unique


@dataclass(frozen=True, kw_only=True)
class Span:
    """Lines of a file, both ends included."""

    #: The first line, from 1.
    first: int
    #: The last line.
    last: int

    def lines(self) -> range:
        """Return all line numbers of the span."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One wrong change of one file."""

    #: The file, relative to the repository's root.
    path: str
    #: The function (with its class), "" at the top of a module; the query's name in SQL.
    function: str
    #: The change, such as "`<` to `<=`".
    mutation: str
    #: The line that the change begins in, without indentation.
    text: str
    #: 1 for the first mutant of this file with the same function, mutation and text; 2 for the
    #: second, and so on.
    nth: int = 1
    #: The line's number.
    line: int
    #: The lines that run when the changed code runs.
    span: Span
    #: Offset in the file's text where the change begins.
    start: int
    #: Offset where it ends.
    end: int
    #: Text that replaces the old text.
    replacement: str
    #: Names whose users depend on the change, when the changed code runs as its module is imported.
    names: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """Return a short name that stays the same while other lines change."""
        parts = (self.path, self.function, self.mutation, self.text, str(self.nth))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]

    def applied(self, source: str) -> str:
        """Return the file's text with the change."""
        return source[: self.start] + self.replacement + source[self.end :]


def numbered(mutants: Iterable[Mutant]) -> list[Mutant]:
    """Put mutants in the order of the file and number those that would have the same name."""
    seen: Counter[tuple[str, str, str]] = Counter()
    result = []
    for mutant in sorted(mutants, key=lambda item: (item.start, item.end, item.mutation)):
        key = (mutant.function, mutant.mutation, mutant.text)
        seen[key] += 1
        result.append(replace(mutant, nth=seen[key]))
    return result


@unique
class Verdict(Enum):
    """The verdict on a mutant."""

    #: A test failed.
    KILLED = "killed"
    #: All tests that run the line passed, or no test runs it.
    SURVIVED = "survived"
    #: The tests did not end in time.
    TIMED_OUT = "timed out"
    #: Not tried: the change has no visible effect, as the list of excuses says.
    EXCUSED = "excused"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A mutant and its verdict."""

    #: The mutant.
    mutant: Mutant
    #: The verdict.
    verdict: Verdict
    #: The test that failed.
    killer: str = ""
    #: Number of tests that were chosen for the mutant.
    tests: int = 0
    #: Number of further tests that run its line and were left out for time.
    left_out: int = 0
    #: Seconds that the tests took.
    seconds: float = 0.0

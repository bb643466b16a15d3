"""The wrong changes that are made of Python code, and what is left alone."""

import ast

import pytest

from trials.mutants.model import Mutant
from trials.mutants.python_code import python_mutants


def made(source: str) -> list[Mutant]:
    """The mutants of a module; each can still be parsed."""
    mutants = python_mutants("services/a.py", source)
    for mutant in mutants:
        ast.parse(mutant.applied(source))
    return mutants


def results(line: str) -> set[str]:
    """What becomes of the one line of a function."""
    source = f"def f():\n    {line}\n"
    return {mutant.applied(source).splitlines()[1].strip() for mutant in made(source)}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return a < b", {"return a <= b"}),
        ("return a >= b", {"return a > b"}),
        ("return a == b", {"return a != b"}),
        ("return a is not None", {"return a is None"}),
        ("return a not in b", {"return a in b"}),
        ("return (a) <= (b)", {"return (a) < (b)"}),
        ("return a < b < c", {"return a <= b < c", "return a < b <= c"}),
        ("return a and b", {"return ((a))", "return ((b))"}),
        ("return not a", {"return (a)"}),
        ("return a + b * c", {"return a - b * c", "return a + b // c"}),
        ("return a << b", {"return a >> b"}),
        ("a += b", {"a -= b"}),
        ("return 7", {"return 8"}),
        ("return 0.5", {"return 1.0"}),
        ("return True", {"return False"}),
        ("return 'A_CODE'", {'return "A_CODEx"'}),
        ("return min(a, b)", {"return max(a, b)"}),
        ("return [x for x in a if x]", {"return [x for x in a if True]"}),
        ("return a if b else c", {"return a if (not (b)) else c"}),
        ("await a.b(c)", {"pass"}),
        ("return 'ü' + b", {"return 'ü' - b"}),
    ],
)
def test_each_place_is_changed_alone(line: str, expected: set[str]) -> None:
    assert results(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "log.info('code', a=1 + 2)",
        "assert a == 1",
        "raise ValueError(f'{a + 1} is wrong')",
        "return 'A sentence, not a code.'",
        "x: int | None",
        "import a",
    ],
)
def test_what_no_test_should_have_to_notice_is_left_alone(line: str) -> None:
    assert results(line) == set()


def test_an_arm_of_many_lines_is_dropped_whole() -> None:
    source = "def f():\n    return (\n        a  # and b\n        and b > 1\n        and c\n    )\n"
    dropped = [mutant for mutant in made(source) if mutant.mutation.startswith("drop")]
    assert [mutant.mutation for mutant in dropped] == ["drop `a`", "drop `b > 1`", "drop `c`"]
    assert [mutant.text for mutant in dropped] == ["a  # and b", "and b > 1", "and c"]
    assert "return (\n        ((a) and (c))\n    )" in dropped[1].applied(source)


def test_types_docstrings_and_values_of_enums_are_left_alone() -> None:
    source = '''"""Doc."""
from typing import TYPE_CHECKING, NewType
if TYPE_CHECKING:
    a = 1
Alias = int | None
Id = NewType("Id", int)
class E(Enum):
    """Doc."""
    A = "a"
def f(a: int | None) -> int | None:
    """Doc."""
'''
    assert made(source) == []


def test_a_mutant_has_its_function_and_the_lines_that_run_with_it() -> None:
    source = (
        "class A:\n    def f(self):\n        if (\n            a\n            > 1\n        ):\n"
    )
    source += "            g()\n"
    [comparison, one, call] = made(source)
    assert comparison.function == one.function == call.function == "A.f"
    assert (comparison.span.first, comparison.span.last) == (3, 6)
    assert (call.span.first, call.span.last) == (7, 7)
    assert comparison.names == frozenset()


def test_what_runs_at_the_import_has_the_names_that_stand_for_it() -> None:
    source = "LIMIT = 5\nclass A:\n    size: int = 7\n    def f(self, a=8): return a\n"
    limit, size, default = made(source)
    assert limit.names == {"LIMIT"}
    assert size.names == {"A", "size"}
    assert default.names == {"A", "f"}


def test_twins_are_told_apart_and_a_name_does_not_depend_on_other_lines() -> None:
    source = "def f():\n    return a + 1 + 1\n"
    mutants = made(source)
    ones = [mutant for mutant in mutants if mutant.mutation == "`1` to `2`"]
    assert [mutant.nth for mutant in ones] == [1, 2]
    assert len({mutant.id for mutant in mutants}) == len(mutants)
    later = made("# a comment\n\n" + source)
    assert [mutant.id for mutant in later] == [mutant.id for mutant in mutants]

"""Functions that were imported get the code of a changed file; what ran at the import cannot."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from trials.mutants.swap import NotSwappableError, functions_in, swap

FILE = "/somewhere/money.py"
SOURCE = """
from functools import wraps

LIMIT = 3
ORDER = [item for item in (1, 2) if item > 0]
SIGN = lambda value: value < 0


def twice(function):
    @wraps(function)
    def called(value):
        return function(value) * 2
    return called


class Purse:
    kind = "purse"

    def __init__(self, content=5):
        self._content = content

    @property
    def is_full(self):
        return self._content > LIMIT

    @twice
    def after(self):
        return self._content + 1


def adder(step):
    def add(value):
        return value + step
    return add


ADD = adder(1)


def big(values):
    return [value for value in values if value > LIMIT]
"""


def imported() -> tuple[dict[str, Any], Callable[[str, str], None]]:
    """Return the module's names, and a function that changes its text in one place."""
    names: dict[str, Any] = {"wraps": wraps}
    exec(compile(SOURCE, FILE, "exec"), names)  # noqa: S102
    functions = functions_in(_objects(names), "/somewhere/")

    def change(was: str, now: str) -> None:
        assert SOURCE.count(was) == 1
        swap(functions, FILE, old=SOURCE, new=SOURCE.replace(was, now))

    return names, change


def _objects(names: dict[str, Any]) -> list[object]:
    """Return everything that the garbage collector would show of this module."""
    purse = names["Purse"]
    after = vars(purse)["after"]
    methods = [purse.__init__, vars(purse)["is_full"].fget, after, after.__wrapped__]
    own = [names[name] for name in ("SIGN", "twice", "adder", "ADD", "big")]
    return [*methods, *own, sys.exit, wraps, "text"]


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ("self._content > LIMIT", "self._content < LIMIT", (False, 12, 6, False)),
        ("self._content + 1", "self._content - 1", (True, 8, 6, False)),
        ("* 2", "* 3", (True, 18, 6, False)),
        ("value + step", "value - step", (True, 12, 4, False)),
        ("value < 0", "value >= 0", (True, 12, 6, True)),
        ("self._content = content", "self._content = content\n        pass", (True, 12, 6, False)),
    ],
)
def test_what_runs_later_is_changed_in_place(
    was: str, now: str, expected: tuple[bool, int, int, bool]
) -> None:
    names, change = imported()
    change(was, now)
    purse = names["Purse"]()
    assert (purse.is_full, purse.after(), names["ADD"](5), names["SIGN"](1)) == expected


def test_a_comprehension_within_a_function_is_changed_with_it() -> None:
    names, change = imported()
    change("value > LIMIT]", "value < LIMIT]")
    assert names["big"]([1, 9]) == [1]


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("item > 0", "item > 1"),
        ("content=5", "content=6"),
        ('kind = "purse"', 'kind = "bag"'),
        ("    @twice\n", ""),
        ("ADD = adder(1)", "ADD = adder(2)"),
        ("value + step", "value"),
    ],
)
def test_what_ran_at_the_import_is_refused(was: str, now: str) -> None:
    _, change = imported()
    with pytest.raises(NotSwappableError):
        change(was, now)


def test_a_changed_function_that_nobody_has_is_refused() -> None:
    with pytest.raises(NotSwappableError):
        swap({}, FILE, old=SOURCE, new=SOURCE.replace("value > LIMIT]", "value < LIMIT]"))
    swap({}, FILE, old=SOURCE, new=SOURCE + "# no function differs")

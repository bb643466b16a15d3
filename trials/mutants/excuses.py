"""The reviewed list of mutants that no test can notice, each with the reason why.

    [[mutant]]
    file = "services/wallet/domain/payments.py"
    function = "target_for"
    mutation = "`<` to `<=`"
    line = "if highest is not None and is_same and number + 1 < highest:"
    reason = "..."

`nth = 2` tells the second one from the first, where both would have the same name. There are no
line numbers: an entry stays with its line until the line itself is another.
"""

import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from trials.mutants.model import Mutant

_TEXTS = ("file", "function", "mutation", "line", "reason")


class ExcuseError(Exception):
    """The list cannot be used; the message says which entry is wrong, and why."""


@dataclass(frozen=True, kw_only=True)
class Excuse:
    """One entry of the list."""

    #: Mutant.path.
    path: str
    #: Mutant.function.
    function: str
    #: Mutant.mutation.
    mutation: str
    #: Mutant.text.
    text: str
    #: Mutant.nth.
    nth: int
    #: Reason why no visible behaviour differs, in one sentence.
    reason: str

    def is_for(self, mutant: Mutant) -> bool:
        """Tell whether the excuse names this mutant."""
        mine = (self.path, self.function, self.mutation, self.text, self.nth)
        return mine == (mutant.path, mutant.function, mutant.mutation, mutant.text, mutant.nth)


def read_excuses(path: Path) -> list[Excuse]:
    """Read all entries; none when there is no such file."""
    if not path.exists():
        return []
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])
    excuses = [_excuse(number, entry) for number, entry in enumerate(entries, start=1)]
    for number, excuse in enumerate(excuses, start=1):
        if excuse in excuses[: number - 1]:
            raise ExcuseError(f"entry {number} stands twice")
    return excuses


def _excuse(number: int, entry: dict[str, object]) -> Excuse:
    unknown = set(entry) - {*_TEXTS, "nth"}
    if unknown:
        raise ExcuseError(f"entry {number}: what is {sorted(unknown)[0]!r}?")
    texts = {}
    for name in _TEXTS:
        value = entry.get(name)
        if not isinstance(value, str) or (not value.strip() and name != "function"):
            raise ExcuseError(f"entry {number}: {name} is missing")
        texts[name] = value
    nth = entry.get("nth", 1)
    if not isinstance(nth, int) or nth < 1:
        raise ExcuseError(f"entry {number}: nth counts from 1")
    return Excuse(
        path=texts["file"],
        function=texts["function"],
        mutation=texts["mutation"],
        text=texts["line"],
        nth=nth,
        reason=texts["reason"],
    )


def excused(mutants: Iterable[Mutant], excuses: Collection[Excuse]) -> dict[str, Excuse]:
    """Return the excuses that name one of the mutants, by the mutant's id."""
    by_key = {
        (item.path, item.function, item.mutation, item.text, item.nth): item for item in excuses
    }
    found = {}
    for mutant in mutants:
        key = (mutant.path, mutant.function, mutant.mutation, mutant.text, mutant.nth)
        if key in by_key:
            found[mutant.id] = by_key[key]
    return found


def stale(mutants: Collection[Mutant], excuses: Iterable[Excuse]) -> list[Excuse]:
    """Return the excuses for mutants that are no longer made, in the files of the given mutants."""
    paths = {mutant.path for mutant in mutants}
    known = excused(mutants, list(excuses)).values()
    return [excuse for excuse in excuses if excuse.path in paths and excuse not in known]

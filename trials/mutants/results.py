"""The outcomes of mutants in earlier runs, kept per file, so that an interrupted run goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trials.mutants.measured import digest_of, file_of
from trials.mutants.model import Mutant, Outcome, Verdict
from trials.mutants.selection import Selection


class ResultStore:
    """A folder with a file of outcomes for each mutated file."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._known: dict[str, dict[str, Any]] = {}
        self._digests: dict[str, str] = {}

    def find(self, mutant: Mutant, selection: Selection) -> Outcome | None:
        """Return a mutant's outcome if its file and the tests that count are still the same."""
        entry = self._entries(mutant.path).get(mutant.id)
        if entry is None or entry["source"] != self._digest(mutant.path):
            return None
        if any(self._digest(path) != digest for path, digest in entry["tests"].items()):
            return None
        verdict = Verdict(entry["verdict"])
        if verdict is not Verdict.KILLED and set(selection.tests) - set(entry["tried"]):
            return None
        return Outcome(
            mutant=mutant,
            verdict=verdict,
            killer=entry["killer"],
            tests=entry["count"],
            left_out=selection.left_out,
            seconds=entry["seconds"],
        )

    def keep(self, outcome: Outcome, selection: Selection) -> None:
        """Write down the outcome of one mutant."""
        mutant = outcome.mutant
        is_killed = outcome.verdict is Verdict.KILLED
        counting = [outcome.killer] if is_killed and outcome.killer else list(selection.tests)
        entry = {
            "verdict": outcome.verdict.value,
            "killer": outcome.killer,
            "count": outcome.tests,
            "tried": [] if is_killed else counting,
            "seconds": round(outcome.seconds, 2),
            "source": self._digest(mutant.path),
            "tests": {path: self._digest(path) for path in sorted(map(file_of, counting))},
        }
        self._entries(mutant.path)[mutant.id] = entry
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._file(mutant.path).with_suffix(".partial")
        partial.write_text(json.dumps(self._known[mutant.path]), encoding="utf-8")
        partial.replace(self._file(mutant.path))

    def _entries(self, path: str) -> dict[str, Any]:
        if path not in self._known:
            file = self._file(path)
            self._known[path] = json.loads(file.read_text("utf-8")) if file.exists() else {}
        return self._known[path]

    def _file(self, path: str) -> Path:
        return self._folder / (path.replace("/", "+") + ".json")

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            self._digests[path] = digest_of(self._root / path)
        return self._digests[path]


def as_entry(outcome: Outcome) -> Mapping[str, object]:
    """Return an outcome's entry for --json."""
    mutant = outcome.mutant
    return {
        "id": mutant.id,
        "file": mutant.path,
        "function": mutant.function,
        "line": mutant.line,
        "mutation": mutant.mutation,
        "text": mutant.text,
        "nth": mutant.nth,
        "verdict": outcome.verdict.value,
        "killer": outcome.killer,
        "tests": outcome.tests,
        "left_out": outcome.left_out,
        "seconds": round(outcome.seconds, 2),
    }

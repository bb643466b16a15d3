"""One run, from the files to the outcome of each of their mutants."""

import fcntl
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from trials.mutants.excuses import Excuse, excused, read_excuses, stale
from trials.mutants.measured import MapStore, digest_of_statement
from trials.mutants.model import Mutant, Outcome, Verdict
from trials.mutants.results import ResultStore
from trials.mutants.runner import Attempts, Lane, Progress, measure_all, try_all
from trials.mutants.selection import Selection, Selector
from trials.mutants.statements import read_sources, sent
from trials.mutants.targets import changed_lines, files_of_tests, mutants_of, target_files
from trials.mutants.tree import listed_files
from trials.mutants.usage import Usage

#: Folder of everything that is kept; git ignores this folder.
FOLDER = "var/mutants"
EXCUSES = "tests/mutants/equivalent.toml"
_USERS = re.compile(r"(?:services|libs|pooler|tests)/.*\.py")


class BusyError(Exception):
    """Another run uses the same copies."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of a run."""

    #: The repository.
    root: Path
    #: Files, folders or patterns to mutate; all when there are none.
    only: tuple[str, ...] = ()
    #: Ids of mutants, as the report shows them; all when there are none.
    ids: tuple[str, ...] = ()
    #: Folders or files of tests; the tests that belong to each target when there are none.
    tests: tuple[str, ...] = ()
    #: Whether to mutate only lines that have changed.
    only_changed: bool = False
    #: Number of mutants to try of those that are chosen; 0: all.
    sample: int = 0
    #: Number of copies of the tree.
    workers: int = 2
    #: Seconds of tests for one mutant.
    budget: float = 60.0
    #: Whether to try again the mutants that were tried.
    is_fresh: bool = False
    #: Whether to try excused mutants, too: an excuse is wrong when a test notices its mutant.
    tries_excused: bool = False


class Campaign:
    """All mutants of a plan."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._folder = plan.root / FOLDER
        self._files = listed_files(plan.root)
        self._targets = target_files(self._files, plan.only)
        excuses = read_excuses(plan.root / EXCUSES)
        everything = [mutant for path in self._targets for mutant in mutants_of(plan.root, path)]
        #: Excuses for mutants that are no longer made.
        self.stale: list[Excuse] = stale(everything, excuses)
        self._mutants = self._chosen(everything)
        self._excused = {} if plan.tries_excused else excused(self._mutants, excuses)
        self._statements = self._digests()
        self._outcomes: dict[str, Outcome] = {}

    def _chosen(self, everything: list[Mutant]) -> list[Mutant]:
        if self._plan.ids:
            return [item for item in everything if item.id in self._plan.ids]
        chosen = everything
        if self._plan.only_changed:
            changed = changed_lines(self._plan.root)
            chosen = [item for item in everything if item.line in changed.get(item.path, ())]
        if not self._plan.sample:
            return chosen
        # Ids are digests: in their order, the first ones are of everywhere, and a larger sample
        # holds the smaller ones.
        ids = set(sorted(item.id for item in chosen)[: self._plan.sample])
        return [item for item in chosen if item.id in ids]

    def _digests(self) -> dict[tuple[str, str], frozenset[str]]:
        """Return the recorder's names for the statements of each section, by file and section."""
        sources = read_sources(self._plan.root, target_files(self._files))
        return {
            (path, name): frozenset(map(digest_of_statement, texts))
            for path in sources
            for name, texts in sent(path, sources).items()
        }

    def _senders(self) -> dict[str, set[str]]:
        """Return the files that each statement comes from, by its digest."""
        senders: dict[str, set[str]] = {}
        for (path, _), digests in self._statements.items():
            for digest in digests:
                senders.setdefault(digest, set()).add(path)
        return senders

    def listing(self) -> list[str]:
        """Return a line for each mutant."""
        return [
            f"{item.id} {item.path}:{item.line} {item.function}: {item.mutation}: {item.text}"
            for item in self._mutants
        ]

    def run(self) -> list[Outcome]:
        """Try the mutants; a mutant whose outcome is known from before is not tried again."""
        for mutant in self._mutants:
            if mutant.id in self._excused:
                self._outcomes[mutant.id] = Outcome(mutant=mutant, verdict=Verdict.EXCUSED)
        if len(self._outcomes) < len(self._mutants):
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "lock").open("w") as lock:
                self._hold(lock)
                self._try()
        return [self._outcomes[mutant.id] for mutant in self._mutants]

    def _hold(self, lock: IO[str]) -> None:
        """Lock the copies, into which two runs would write; the lock ends with the process."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError("another run is in progress here") from None

    def _try(self) -> None:
        lanes = [
            Lane(self._plan.root, self._folder / f"copy{number}")
            for number in range(self._plan.workers)
        ]
        for lane in lanes:
            lane.prepare()
        test_files = files_of_tests(
            self._files, {mutant.path for mutant in self._mutants}, self._plan.tests
        )
        selector = self._selector(lanes, test_files)
        results = ResultStore(self._plan.root, self._folder / "results")
        open_ones = []
        for mutant in self._mutants:
            if mutant.id in self._outcomes:
                continue
            selection = self._select(selector, mutant)
            known = None if self._plan.is_fresh else results.find(mutant, selection)
            if known is None and selection.tests:
                open_ones.append(mutant)
                continue
            known = known or Outcome(mutant=mutant, verdict=Verdict.SURVIVED)
            selector.note_killer(mutant, known.killer)
            self._outcomes[mutant.id] = known

        def done(outcome: Outcome, selection: Selection) -> None:
            selector.note_killer(outcome.mutant, outcome.killer)
            results.keep(outcome, selection)
            self._outcomes[outcome.mutant.id] = outcome
            self._tell(outcome)

        self._progress(f"{len(self._mutants)} mutants, {len(open_ones)} to try")
        openers = [partial(Attempts, self._plan.root, lane, test_files) for lane in lanes]
        try_all(openers, open_ones, lambda mutant: self._select(selector, mutant), done)

    def _selector(self, lanes: list[Lane], test_files: list[str]) -> Selector:
        store = MapStore(self._plan.root, self._folder / "map", self._senders())
        measure_all(lanes, test_files, store, self._progress)
        users = [path for path in self._files if _USERS.fullmatch(path)]
        usage = Usage({path: (self._plan.root / path).read_text("utf-8") for path in users})
        return Selector(store.read(test_files), usage, budget=self._plan.budget)

    def _select(self, selector: Selector, mutant: Mutant) -> Selection:
        return selector.select(
            mutant, self._statements.get((mutant.path, mutant.function), frozenset())
        )

    def _tell(self, outcome: Outcome) -> None:
        mutant = outcome.mutant
        where = f"{mutant.path}:{mutant.line} {mutant.mutation}"
        count = f"{len(self._outcomes)}/{len(self._mutants)}"
        self._progress(f"{count}  {outcome.verdict.value}  {where}  ({outcome.seconds:.1f} s)")

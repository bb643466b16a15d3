"""Runs of pytest in copies of the tree: once to measure, then once per mutant."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from trials.mutants.measured import RECORD_VARIABLE, MapStore
from trials.mutants.model import Mutant, Outcome, Verdict
from trials.mutants.processes import (
    PYTEST,
    CollectedTests,
    Host,
    ProcessError,
    StandingPostgres,
)
from trials.mutants.selection import Selection
from trials.mutants.tree import Tree

Progress = Callable[[str], None]
#: Folders of tests that have a database.
FOLDERS_WITH_DATABASE = ("tests/contract/", "tests/integration/")


class Lane:
    """A copy of the tree in which one mutant after the other is tried."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.tree = Tree(root, folder / "tree")
        self.folder = folder

    def prepare(self) -> None:
        """Make the copy as the tree is now."""
        self.tree.folder.mkdir(parents=True, exist_ok=True)
        self.tree.refresh()

    def measure(self, test_files: Sequence[str], store: MapStore) -> None:
        """Run test files under the recorder, and keep the record."""
        record = self.folder / "record.json"
        record.unlink(missing_ok=True)
        done = subprocess.run(  # noqa: S603
            [
                sys.executable,
                "-m",
                "pytest",
                *PYTEST,
                "-p",
                "trials.mutants.recording",
                *test_files,
            ],
            cwd=self.tree.folder,
            env={**self.tree.environment(), RECORD_VARIABLE: str(record)},
            check=False,
            capture_output=True,
            text=True,
        )
        if not record.exists():
            raise ProcessError((done.stdout + done.stderr)[-3000:])
        store.keep(json.loads(record.read_text(encoding="utf-8")), test_files)


class Attempts:
    """The attempts in one lane, with their processes."""

    def __init__(self, root: Path, lane: Lane, test_files: Sequence[str]) -> None:
        """Start the processes, which know these tests; block for some seconds."""
        self._root = root
        self._tree = lane.tree
        self._host = Host(lane.tree, lane.folder)
        # The host has none: what it says is the last word, and a test may have spoiled a server.
        self._postgres = (
            StandingPostgres(lane.tree, lane.folder) if _need_database(test_files) else None
        )
        environment = {} if self._postgres is None else self._postgres.environment
        self._collected = CollectedTests(lane.tree, lane.folder, test_files, environment)

    def close(self) -> None:
        """End the processes."""
        self._host.close()
        self._collected.close()
        if self._postgres is not None:
            self._postgres.close()

    def attempt(self, mutant: Mutant, selection: Selection) -> Outcome:
        """Write the mutant, run its tests, and restore the file."""
        started = time.monotonic()
        status, killer = self._tried(mutant, selection)
        verdicts = {None: Verdict.TIMED_OUT, 0: Verdict.SURVIVED}
        return Outcome(
            mutant=mutant,
            verdict=verdicts.get(status, Verdict.KILLED),
            killer=killer,
            tests=len(selection.tests),
            left_out=selection.left_out,
            seconds=time.monotonic() - started,
        )

    def _tried(self, mutant: Mutant, selection: Selection) -> tuple[int | None, str]:
        """Return pytest's status and the test that failed."""
        source = (self._root / mutant.path).read_text(encoding="utf-8")
        with self._written(mutant, source):
            answer = self._collected.run(mutant, source, selection)
        if self._postgres is not None and _need_database(selection.tests):
            self._postgres.clean()
        if not self._is_final(answer, selection):
            with self._written(mutant, source):
                answer = self._host.run(selection)
        return answer["status"], answer["killer"]

    def _is_final(self, answer: Mapping[str, Any], selection: Selection) -> bool:
        """Tell whether a process that begins anew would say the same."""
        if answer["killer"]:
            return self._collected.is_sound(answer["killer"])
        return answer["status"] == 0 and not selection.is_imported

    @contextmanager
    def _written(self, mutant: Mutant, source: str) -> Iterator[None]:
        self._tree.write(mutant.path, mutant.applied(source))
        try:
            yield
        finally:
            self._tree.write(mutant.path, source)


def _need_database(tests: Iterable[str]) -> bool:
    """Tell whether some of these tests, or files of tests, may ask for a database."""
    return any(test.startswith(FOLDERS_WITH_DATABASE) for test in tests)


def measure_all(
    lanes: Sequence[Lane], test_files: Sequence[str], store: MapStore, progress: Progress
) -> None:
    """Measure the stale test files, a share of them in each lane."""
    stale = store.stale(test_files)
    if not stale:
        return
    progress(f"measuring {len(stale)} test files")
    shares = [stale[number :: len(lanes)] for number in range(len(lanes))]
    _side_by_side(
        [
            partial(lane.measure, share, store)
            for lane, share in zip(lanes, shares, strict=True)
            if share
        ]
    )


def try_all(
    openers: Sequence[Callable[[], Attempts]],
    mutants: Sequence[Mutant],
    select: Callable[[Mutant], Selection],
    done: Callable[[Outcome, Selection], None],
) -> None:
    """Try all mutants, each in a lane that is free; one thread at a time calls `done`.

    `openers` start the processes of the lanes.
    """
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    lock = threading.Lock()

    def work(opener: Callable[[], Attempts]) -> None:
        attempts = opener()
        try:
            while True:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                with lock:
                    selection = select(mutant)
                outcome = attempts.attempt(mutant, selection)
                with lock:
                    done(outcome, selection)
        finally:
            attempts.close()

    _side_by_side([partial(work, opener) for opener in openers])


def _side_by_side(jobs: Sequence[Callable[[], None]]) -> None:
    """Run jobs in threads; raise the first failure when all jobs have ended."""
    failures: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]

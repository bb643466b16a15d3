"""Runs of pytest in copies of the tree: once to measure, then once per mutant."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from trials.mutants.measured import RECORD_VARIABLE, MapStore
from trials.mutants.model import Mutant, Outcome, Verdict
from trials.mutants.selection import Selection
from trials.mutants.tree import Tree

Progress = Callable[[str], None]
#: Seconds that a run may take besides its tests: to start, to make a database.
_START = 30.0
#: A run may take this many times the time that its tests took when they were measured.
_SLOWER = 4.0
_PYTEST = ("-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short")


class MeasureError(Exception):
    """The tests could not be measured; the message has the end of pytest's output."""


class Host:
    """A process of trials.mutants.host in one copy."""

    def __init__(self, tree: Tree, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trials.mutants.host"],
            cwd=tree.folder,
            env=tree.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, arguments: Sequence[str], seconds: float) -> dict[str, Any]:
        """Run pytest once; see trials.mutants.host."""
        request = {"arguments": list(arguments), "log": str(self._log), "seconds": seconds}
        sending, receiving = _pipes(self._process)
        sending.write(json.dumps(request) + "\n")
        sending.flush()
        answer: dict[str, Any] = json.loads(receiving.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        _pipes(self._process)[0].close()
        self._process.wait()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    return process.stdin, process.stdout


class Lane:
    """A copy of the tree in which one mutant after the other is tried."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.tree = Tree(root, folder / "tree")
        self.folder = folder
        self._root = root

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
                *_PYTEST,
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
            raise MeasureError((done.stdout + done.stderr)[-3000:])
        store.keep(json.loads(record.read_text(encoding="utf-8")), test_files)

    def attempt(self, host: Host, mutant: Mutant, selection: Selection) -> Outcome:
        """Write the mutant, run its tests, and restore the file."""
        started = time.monotonic()
        source = (self._root / mutant.path).read_text(encoding="utf-8")
        chosen = self.folder / "tests.txt"
        chosen.write_text("\n".join(selection.tests), encoding="utf-8")
        self.tree.write(mutant.path, mutant.applied(source))
        try:
            limit = _START + _SLOWER * selection.seconds
            answer = host.run([*_PYTEST, "-x", f"@{chosen}"], limit)
        finally:
            self.tree.write(mutant.path, source)
        verdicts = {None: Verdict.TIMED_OUT, 0: Verdict.SURVIVED}
        return Outcome(
            mutant=mutant,
            verdict=verdicts.get(answer["status"], Verdict.KILLED),
            killer=answer["killer"],
            tests=len(selection.tests),
            left_out=selection.left_out,
            seconds=time.monotonic() - started,
        )


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
    lanes: Sequence[Lane],
    mutants: Sequence[Mutant],
    select: Callable[[Mutant], Selection],
    done: Callable[[Outcome, Selection], None],
) -> None:
    """Try all mutants, each in a lane that is free; one thread at a time calls `done`."""
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    lock = threading.Lock()

    def work(lane: Lane) -> None:
        host = Host(lane.tree, lane.folder / "pytest.log")
        try:
            while True:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                with lock:
                    selection = select(mutant)
                outcome = lane.attempt(host, mutant, selection)
                with lock:
                    done(outcome, selection)
        finally:
            host.close()

    _side_by_side([partial(work, lane) for lane in lanes])


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

"""The processes that run tests for mutants: one has imported everything, one begins anew."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from trials.mutants import processes
from trials.mutants.model import Mutant, Span, Verdict
from trials.mutants.processes import CollectedTests, ProcessError
from trials.mutants.runner import Attempts, Lane
from trials.mutants.selection import Selection

ROOT = Path(__file__).resolve().parents[3]
SOURCE = """LIMIT = 3


def is_full(content):
    return content > LIMIT


def wait(seconds):
    return seconds < 0
"""
TESTS = """import subprocess
import sys
import time
from pathlib import Path

import money


def start_another():
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    another = subprocess.Popen(waits, start_new_session=True)
    Path("another").write_text(str(another.pid))
    return another


def test_a_full_one():
    assert money.is_full(4)
    assert not money.is_full(2)


def test_a_wait():
    assert not money.wait(1)


def test_that_the_file_is_as_it_was():
    assert "content > LIMIT" in Path(money.__file__).read_text()


def test_that_does_not_end():
    another = start_another()
    while not money.is_full(0):
        time.sleep(0.01)


def test_that_fails_and_leaves_a_process():
    another = start_another()
    assert not money.is_full(3)
"""
#: As the tests of this repository do it: what was collected is frozen.
CONFTEST = """import gc

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    gc.freeze()
"""
FILE = "money.py"
TEST = "test_money.py::test_a_full_one"
WAIT = "test_money.py::test_a_wait"
READS = "test_money.py::test_that_the_file_is_as_it_was"
ENDLESS = "test_money.py::test_that_does_not_end"
LEAVES = "test_money.py::test_that_fails_and_leaves_a_process"


def write_all(folder: Path) -> None:
    for name, text in {FILE: SOURCE, "test_money.py": TESTS, "conftest.py": CONFTEST}.items():
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def lane(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Lane:
    return Lane(root, tmp_path_factory.mktemp("lane"))


@pytest.fixture(scope="module")
def attempts(root: Path, lane: Lane) -> Iterator[Attempts]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        lane.tree.folder.mkdir()
        for folder in (root, lane.tree.folder):
            write_all(folder)
        running = Attempts(root, lane, ["test_money.py"])
        try:
            yield running
        finally:
            running.close()


def mutant(was: str, now: str) -> Mutant:
    start = SOURCE.index(was)
    return Mutant(
        path=FILE,
        function="",
        mutation=f"`{was}` to `{now}`",
        text=was,
        line=1,
        span=Span(first=1, last=1),
        start=start,
        end=start + len(was),
        replacement=now,
    )


def verdict(attempts: Attempts, was: str, now: str, *tests: str) -> tuple[Verdict, str]:
    selection = Selection(tests=tests, left_out=0, seconds=0)
    outcome = attempts.attempt(mutant(was, now), selection)
    return outcome.verdict, outcome.killer


def test_frozen_functions_are_changed_without_a_new_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    tree = Lane(tmp_path, tmp_path).tree
    tree.folder.mkdir()
    write_all(tree.folder)
    change = mutant("content > LIMIT", "content < LIMIT")
    tests = CollectedTests(tree, tmp_path, ["test_money.py"])
    try:
        tree.write(FILE, change.applied(SOURCE))
        selection = Selection(tests=(WAIT, TEST), left_out=0, seconds=0)
        assert tests.run(change, SOURCE, selection) == {"status": 1, "killer": TEST}
    finally:
        tests.close()


def test_a_function_that_is_changed_is_noticed_where_everything_is_imported(
    attempts: Attempts,
) -> None:
    assert verdict(attempts, "content > LIMIT", "content < LIMIT", WAIT, TEST) == (
        Verdict.KILLED,
        TEST,
    )


def test_an_import_is_begun_anew_for_what_takes_effect_there(attempts: Attempts) -> None:
    assert verdict(attempts, "LIMIT = 3", "LIMIT = 4", TEST) == (Verdict.KILLED, TEST)


def test_what_no_test_notices_survives_and_leaves_nothing_behind(attempts: Attempts) -> None:
    assert verdict(attempts, "seconds < 0", "seconds < 1", WAIT, TEST) == (Verdict.SURVIVED, "")
    assert verdict(attempts, "content > LIMIT", "content >= LIMIT", TEST) == (Verdict.SURVIVED, "")


def test_a_test_that_reads_the_file_is_run_with_the_change_in_place(attempts: Attempts) -> None:
    assert verdict(attempts, "content > LIMIT", "content >= LIMIT", TEST, READS) == (
        Verdict.KILLED,
        READS,
    )


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_START", "_QUICK_START"):
        monkeypatch.setattr(processes, name, 3.0)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("change", "test", "expected"),
    [
        (("content > LIMIT", "content >= LIMIT"), ENDLESS, (Verdict.TIMED_OUT, "")),
        (("content > LIMIT", "content >= LIMIT"), LEAVES, (Verdict.KILLED, LEAVES)),
        (("LIMIT = 3", "LIMIT = 2"), LEAVES, (Verdict.KILLED, LEAVES)),
    ],
)
def test_what_a_test_started_ends_with_it(
    attempts: Attempts,
    lane: Lane,
    change: tuple[str, str],
    test: str,
    expected: tuple[Verdict, str],
) -> None:
    assert verdict(attempts, *change, test) == expected
    assert not is_running(int((lane.tree.folder / "another").read_text()))


def test_a_process_ends_when_nobody_waits_for_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    tree = Lane(tmp_path, tmp_path).tree
    tree.folder.mkdir()
    write_all(tree.folder)
    tests = CollectedTests(tree, tmp_path, ["test_money.py"])
    selection = Selection(tests=(ENDLESS,), left_out=0, seconds=60)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(tests.run, mutant("3", "4"), SOURCE, selection)
        another = tree.folder / "another"
        while not (another.exists() and another.read_text()):
            assert not running.done()
        tests.close()
        with pytest.raises(ProcessError):
            running.result()
    assert not is_running(int(another.read_text()))

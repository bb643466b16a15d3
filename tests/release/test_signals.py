"""Whatever signal ends a pool, at whatever moment: nothing is left behind, and `down` is true."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
#: Seconds that a whole demo may take, and the words that start a pool.
LONG = 300.0
UP = ("up", "--ports-from", "61000")
#: Moments (s) after the start of a command at which it is ended.
MOMENTS = [0.05, 0.2, 0.4, 0.7, 1.0, 1.4, 1.8, 2.3, 2.8, 3.4, 4, 5, 6, 7, 8, 10, 12, 15, 18, 22]
WAYS = {
    "INT": (signal.SIGINT,),
    "TERM": (signal.SIGTERM,),
    "HUP": (signal.SIGHUP,),
    "QUIT": (signal.SIGQUIT,),
    "TERM twice": (signal.SIGTERM, signal.SIGTERM),
    "INT, then TERM": (signal.SIGINT, signal.SIGTERM),
    "KILL": (signal.SIGKILL,),
}
#: Each moment once, with the ways in turn: twenty moments of each command. With the variable, every
#: way at every moment, which takes hours.
EVERY = "RELEASE_EVERY_SIGNAL"
CASES = [
    (moment, way)
    for number, moment in enumerate(MOMENTS)
    for position, way in enumerate(WAYS)
    if os.environ.get(EVERY) or position == number % len(WAYS)
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder of this test's own, with the variables that the commands need."""
    monkeypatch.setenv("KALEPOOL_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "gen"))))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for process in left(tmp_path):
        process.kill()


def left(place: Path) -> list[psutil.Process]:
    """Return the processes that run in this folder, or below it, or have been started there."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join([process.cwd(), *process.cmdline()])
        except psutil.Error:
            continue
        if str(place) in words and process.pid != os.getpid():
            found.append(process)
    return found


def demo(*words: str) -> "subprocess.Popen[bytes]":
    """Start a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def end(command: "subprocess.Popen[bytes]", signals: Sequence[signal.Signals]) -> None:
    """Send the signals, the second one while the first is being heeded; wait for the end."""
    for number in signals:
        if command.poll() is None:
            command.send_signal(number)
            time.sleep(0.2)
    command.wait(PATIENCE)


def until(holds: Callable[[], object], words: Callable[[], object]) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends, words()
        time.sleep(0.1)


def nothing_is_left(place: Path) -> None:
    """Wait until no process of the folder runs; a guard may need some seconds."""
    until(lambda: not left(place), lambda: [one.cmdline() for one in left(place)])


@pytest.mark.parametrize(("moment", "way"), CASES)
def test_a_demo_leaves_nothing(place: Path, moment: float, way: str) -> None:
    command = demo("run", "--farmers", "2", "--blocks", "1")
    time.sleep(moment)
    end(command, WAYS[way])
    nothing_is_left(place)


@pytest.mark.parametrize(("moment", "way"), CASES)
def test_down_knows_of_all_that_up_has_started(place: Path, moment: float, way: str) -> None:
    command = demo("up", "--ports-from", "61000")
    time.sleep(moment)
    end(command, WAYS[way])
    assert demo("down").wait(PATIENCE) == 0
    nothing_is_left(place)


@pytest.mark.parametrize("moment", [1.0, 5, 12])
@pytest.mark.parametrize("words", [("run", "--farmers", "2", "--blocks", "1"), UP])
def test_the_parent_of_a_command_is_killed(
    place: Path, moment: float, words: tuple[str, ...]
) -> None:
    """As by a kill of make, or of a terminal: the command goes on, and leaves nothing either."""
    parent = subprocess.Popen(
        ["/bin/sh", "-c", '"$@"; true', "sh", sys.executable, "-m", "demo", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(moment)
    children = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait(PATIENCE)
    psutil.wait_procs(children, timeout=LONG)
    assert demo("down").wait(PATIENCE) == 0
    nothing_is_left(place)


@pytest.mark.parametrize("way", WAYS)
def test_a_pool_ends_with_its_supervisor(place: Path, way: str) -> None:
    assert demo("up", "--ports-from", "61000").wait(PATIENCE) == 0
    (supervisor,) = [one for one in left(place) if "supervise" in one.cmdline()]
    for number in WAYS[way]:
        supervisor.send_signal(number)
        time.sleep(0.2)
    nothing_is_left(place)
    assert demo("down").wait(PATIENCE) == 0


def test_two_pools_run_side_by_side(place: Path) -> None:
    folders = [place / "one", place / "two"]
    for folder, port in zip(folders, (61000, 61100), strict=True):
        folder.mkdir()
        os.chdir(folder)
        assert demo("up", "--ports-from", str(port)).wait(PATIENCE) == 0
    first, second = [len(left(folder)) for folder in folders]
    assert first == second
    os.chdir(folders[0])
    assert demo("down").wait(PATIENCE) == 0
    nothing_is_left(folders[0])
    assert len(left(folders[1])) == second
    os.chdir(folders[1])
    assert demo("down").wait(PATIENCE) == 0
    nothing_is_left(folders[1])

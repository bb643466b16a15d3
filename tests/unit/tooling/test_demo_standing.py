"""`make up` and `make down`, whatever is in their way; a stand-in is what they start."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
from rich.console import Console

from demo import standing
from devstack import stack
from devstack.folder import held
from devstack.processes import Command, Process, ProcessDiedError, is_alive

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 30.0
#: The stand-in says something, and serves when there is a file `serve`. The last words are what
#: `ps` shows of the real one.
SUPERVISOR = (
    sys.executable,
    "-c",
    """
import os, pathlib, time
from demo import standing
from devstack.stack import FIXED_PORTS
print("starting PostgreSQL", flush=True)
while not pathlib.Path("serve").exists():
    time.sleep(0.05)
state = {"supervisor": os.getpid(), "ready": True, "pids": {}, "ports": dict(FIXED_PORTS)}
standing._write({**state, "gateway_url": "http://127.0.0.1:3000"})
time.sleep(600)
""",
    "-m",
    "demo supervise",
)
UP = f"""
import sys
from rich.console import Console
from demo import standing
from devstack import stack
standing.SUPERVISOR = {SUPERVISOR!r}
stack.FIXED_PORTS.clear()
sys.exit(standing.up(Console(width=300)))
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of this test's own, in which nothing runs at the end."""
    monkeypatch.setenv("KALEPOOL_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "gen"))))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    if (pid := supervisor()) is not None and is_alive(pid):
        os.kill(pid, signal.SIGKILL)


def starting() -> "subprocess.Popen[str]":
    """An `up` whose pool does not serve before `serve` is there."""
    return subprocess.Popen(
        [sys.executable, "-c", UP], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def supervisor() -> int | None:
    """The supervisor's process id, as it is recorded."""
    try:
        return int(json.loads(Path("var/up.json").read_text("utf-8"))["supervisor"])
    except FileNotFoundError:
        return None


def until(holds: Callable[[], object]) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def has_begun() -> bool:
    """Tell whether a supervisor is recorded, and has said its first words."""
    return supervisor() is not None and "starting" in standing.LOG.read_text("utf-8")


def recorded() -> int:
    """The process id of the supervisor that is recorded."""
    pid = supervisor()
    assert pid is not None
    return pid


def said(command: Callable[[Console], int], *, status: int = 0) -> str:
    """What a command prints."""
    console = Console(width=300)
    with console.capture() as printed:
        assert command(console) == status
    return printed.get()


def test_a_port_that_is_taken_is_told_before_anything_is_started() -> None:
    local = ("127.0.0.1", 0)
    with socket.create_server(local) as other, socket.create_server(local) as another:
        ports = {"wallet": other.getsockname()[1], "gateway": another.getsockname()[1]}
        text = said(lambda console: standing.up(console, ports), status=1)
    assert f"port {ports['wallet']} (wallet), {ports['gateway']} (gateway) of 127.0.0.1" in text
    assert not standing.STATE.exists()
    assert not standing.LOG.exists()
    stack.check_ports(ports)


def test_a_pool_may_have_other_ports() -> None:
    assert list(stack.ports_from(61_000)) == list(stack.FIXED_PORTS)
    assert sorted(stack.ports_from(61_000).values()) == list(range(61_000, 61_007))


def test_ctrl_c_leaves_nothing() -> None:
    command = starting()
    until(has_begun)
    pid = recorded()
    command.send_signal(signal.SIGINT)
    output, _ = command.communicate(timeout=PATIENCE)
    assert (command.returncode, "Traceback" in output) == (130, False)
    assert not is_alive(pid)
    assert "no pool is running" in said(standing.down)


def test_down_ends_a_pool_whose_up_was_killed_before_it_served() -> None:
    command = starting()
    until(has_begun)
    command.kill()
    command.communicate(timeout=PATIENCE)
    pid = recorded()
    assert is_alive(pid)
    assert "the next make up begins anew" in said(standing.down)
    assert not is_alive(pid)
    assert supervisor() is None


def test_up_goes_on_where_one_that_was_killed_left_off() -> None:
    command = starting()
    until(has_begun)
    command.kill()
    command.communicate(timeout=PATIENCE)
    pid = recorded()
    Path("serve").touch()
    assert "The pool is running" in said(standing.up)
    assert recorded() == pid
    assert "The pool is running already." in said(standing.up)
    said(standing.down)


def test_a_second_up_waits_for_the_first_and_leaves_its_log_alone() -> None:
    first, second = starting(), starting()
    until(has_begun)
    pid = recorded()
    # One of them has the lock; the other has said that it waits, or will.
    Path("serve").touch()
    outputs = sorted(command.communicate(timeout=PATIENCE)[0] for command in (first, second))
    assert (first.returncode, second.returncode) == (0, 0)
    assert sum("another make up is starting the pool" in text for text in outputs) == 1
    assert sum("The pool is running already." in text for text in outputs) == 1
    assert sum("make down ends it, with all that it holds" in text for text in outputs) == 2
    assert (recorded(), standing.LOG.read_text("utf-8")) == (pid, "starting PostgreSQL\n")
    said(standing.down)


def test_a_process_that_has_the_supervisors_id_by_now_is_left_alone(place: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        (place / "var").mkdir()
        ports = {"wallet": 50052}
        state = {"supervisor": stranger.pid, "ready": True, "pids": {}, "ports": ports}
        standing._write(state)
        assert "no pool is running" in said(standing.down)
        assert stranger.poll() is None
        stranger.kill()


def test_a_pool_that_is_kept_out_of_the_folder_leaves_the_state_of_the_one_inside(
    place: Path,
) -> None:
    (place / "var").mkdir()
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    standing._write({"supervisor": other.pid, "ready": True, "pids": {}, "ports": {}})
    with held(standing.DIRECTORY):
        ended = subprocess.run(
            [sys.executable, "-m", "demo", "supervise"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    assert (ended.returncode, "another run is in progress" in ended.stderr) == (2, True)
    assert recorded() == other.pid


@pytest.fixture
async def pool(place: Path) -> AsyncIterator[stack.Stack]:
    """A pool whose processes only wait, and serve as soon as they run."""
    made = Waiting(place)
    for name in ("localnet", "wallet", "gateway"):
        await made.begin(name)
    yield made
    for name in made.pids():
        await made.end(name)


class Waiting(stack.Stack):
    """A pool whose processes only wait; those named `broken` end before they serve."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: set[str] = set()
        self._processes: dict[str, Process] = {}

    async def begin(self, name: str, *, environment: Mapping[str, str] | None = None) -> None:
        """Start a process."""
        code = "" if name in self.broken else "import time; time.sleep(600)"
        command = Command(name=name, arguments=("-c", code), environment=environment or {})
        self._processes[name] = Process(command, self.folder)
        await self._processes[name].start()

    async def wait_ready(self, name: str) -> None:
        """Return when a process runs; raise ProcessDiedError for one that ends."""
        while name in self.broken:
            self._processes[name].check()
            await asyncio.sleep(0.05)


async def test_a_process_that_is_killed_is_started_again(
    pool: stack.Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pool.pids()
    await pool.end("gateway")
    await pool.end("wallet")
    await asyncio.wait_for(standing.until_started_again(pool, every=0.05), PATIENCE)
    after = pool.pids()
    assert after["localnet"] == before["localnet"]
    assert {name: is_alive(pid) for name, pid in after.items()} == dict.fromkeys(before, True)
    assert capsys.readouterr().out.splitlines() == [
        "wallet has ended; it is started again",
        "gateway has ended; it is started again",
    ]


async def test_a_pool_ends_with_its_chain(pool: stack.Stack) -> None:
    await pool.end("localnet")
    with pytest.raises(ProcessDiedError, match="localnet ended"):
        await asyncio.wait_for(standing.until_started_again(pool, every=0.05), PATIENCE)


async def test_a_pool_ends_when_a_process_does_not_serve_again(pool: Waiting) -> None:
    pool.broken = {"gateway"}
    await pool.end("gateway")
    with pytest.raises(ProcessDiedError, match="gateway ended"):
        await asyncio.wait_for(standing.until_started_again(pool, every=0.05), PATIENCE)

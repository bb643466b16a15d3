"""A pool that keeps running: `make up` and `make down`."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from cli import profiles
from cli.errors import CommandLineError
from devstack.folder import BusyError, held
from devstack.interrupt import INTERRUPTED
from devstack.processes import is_alive
from devstack.stack import (
    CERTIFICATES,
    FIXED_PORTS,
    OPERATOR,
    START_TIMEOUT,
    PortTakenError,
    Stack,
    StackConfig,
    check_ports,
    open_stack,
)
from libs.common.authority import CERTIFICATE_FILE
from libs.common.grpc.identity import CallerKind
from libs.common.names import GATEWAY, SERVICES
from libs.common.private_file import new_private_file

DIRECTORY = Path("var") / "up"
#: Process ids and addresses of the running pool.
STATE = Path("var") / "up.json"
LOG = Path("var") / "up.log"
#: For a shell: how its database is reached by who may do everything there.
DATABASE = DIRECTORY / "database.env"
#: Name of the profile that calls it.
PROFILE = "local"
#: Seconds until everything has stopped at the latest.
STOP_TIMEOUT = 60.0
#: Seconds within which an `up` records what it starts.
SOON = 5.0
#: Folder whose lock an `up` holds while it starts the pool; there is no such folder.
STARTING = Path("var") / "starting"
#: The process that is the chain.
LOCALNET = "localnet"
#: What runs the pool in the background.
SUPERVISOR = (sys.executable, "-m", "demo", "supervise")
#: Seconds until a farmer's changed payout address counts: a day would be long for who tries it.
COOLING_SECONDS = 120
#: What to know before the pool is stopped.
ANEW = "the next make up begins anew, with an empty pool on a new chain"
AFTERWARDS = f"make down ends it, with all that it holds: {ANEW}"


async def supervise(ports: Mapping[str, int]) -> int:
    """Run the pool until it is told to stop; `up` leaves this running in the background."""
    config = StackConfig(
        directory=DIRECTORY,
        ledger_seconds=5.0,
        block_seconds=300,
        ports=ports,
        gateway=True,
        environment={"wallet": {"WITHDRAW_COOLING_MS": str(COOLING_SECONDS * 1000)}},
    )

    def progress(text: str) -> None:
        # The first word comes once nobody else is in the folder, and before anything runs: from now
        # on `down` finds the pool, whatever becomes of the `up` that has started this process.
        if not is_recorded():
            _write(_beginning(os.getpid(), ports))
        print(text, flush=True)  # noqa: T201

    def is_recorded() -> bool:
        state = _last_state()
        return state is not None and state["supervisor"] == os.getpid()

    try:
        async with open_stack(config, progress) as stack:
            # The certificate by which the services know the gateway.
            stack.certificates(CallerKind.SERVICE, GATEWAY)
            with new_private_file(DATABASE) as file:
                file.write(f"export DATABASE_ADMIN_URL='{stack.admin_dsn}'\n".encode())
            while True:
                _write(
                    {
                        **_beginning(os.getpid(), ports),
                        "ready": True,
                        "pids": stack.pids(),
                        "ports": stack.ports,
                        "gateway_url": stack.gateway_url,
                    }
                )
                await until_started_again(stack)
    finally:
        _forget(os.getpid())


async def until_started_again(stack: Stack, every: float = 1.0) -> None:
    """Wait until processes have ended by themselves, and start them again.

    Services and gateway keep nothing that a kill could lose. The chain ends with localnet: then,
    and when a process does not serve again, raise ProcessDiedError.
    """
    while not (ended := [one for one in stack.pids() if stack.has_ended(one)]):  # noqa: ASYNC110
        await asyncio.sleep(every)
    if LOCALNET in ended:
        stack.check()
    for name in ended:
        print(f"{name} has ended; it is started again", flush=True)  # noqa: T201
        await stack.begin(name)
    for name in ended:
        await stack.wait_ready(name)


def up(console: Console, ports: Mapping[str, int] = FIXED_PORTS) -> int:
    """Start the pool at these ports in the background and print where it is.

    Another `up` that is starting the pool is waited for.
    """
    is_told = False
    while True:
        try:
            with held(STARTING):
                return _up(console, ports)
        except BusyError:
            if not is_told:
                console.print("another make up is starting the pool; this one waits for it")
                is_told = True
            time.sleep(0.2)


def _up(console: Console, ports: Mapping[str, int]) -> int:
    _clear_orphans(console)
    state = _state()
    was_ready = state is not None and state["ready"]
    if not was_ready:
        try:
            # Without its `up`, which was killed, a supervisor goes on.
            state = _start(console, ports) if state is None else _wait(_Supervisor(state), console)
        except PortTakenError as error:
            console.print(str(error), style="red", highlight=False, soft_wrap=True)
            return 1
        except KeyboardInterrupt:
            return INTERRUPTED
    if state is None:
        console.print(f"the pool did not start; {LOG} has all that was said", style="red")
        return 1
    _show(state, console, was_ready=was_ready)
    return 0


def _start(console: Console, ports: Mapping[str, int]) -> dict[str, Any] | None:
    """Start the supervisor; return the state of the pool once it serves.

    Raise PortTakenError before anything is started.
    """
    check_ports(ports)
    STATE.parent.mkdir(exist_ok=True)
    with LOG.open("wb") as log:
        child = subprocess.Popen(
            (*SUPERVISOR, "--ports-from", str(min(ports.values())))
            if ports != FIXED_PORTS
            else SUPERVISOR,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    beginning = _beginning(child.pid, ports)
    # From now on `down` finds the pool, also when this process is killed.
    state = _last_state()
    if state is None or state["supervisor"] != child.pid:
        _write(beginning)
    return _wait(child, console)


def _beginning(pid: int, ports: Mapping[str, int]) -> dict[str, Any]:
    """Return the state of a pool whose supervisor has just begun."""
    return {
        "supervisor": pid,
        "since": _since(pid),
        "ready": False,
        "pids": {},
        "ports": dict(ports),
    }


def _show(state: Mapping[str, Any], console: Console, *, was_ready: bool) -> None:
    """Print where the pool is, and select the profile that calls it."""
    console.print("The pool is running already." if was_ready else "The pool is running.")
    table = Table("service", "address")
    for name, port in state["ports"].items():
        scheme = "http://" if name in {"localnet", "gateway"} else ""
        table.add_row(name, f"{scheme}127.0.0.1:{port}")
    console.print(table)
    console.print(
        f"in a browser and by HTTP: {state['gateway_url']} (its reference is at /docs)",
        highlight=False,
    )
    console.print(f"logs: {DIRECTORY / 'logs'}", highlight=False)
    console.print(f"certificates: {DIRECTORY / CERTIFICATES}", highlight=False)
    select_profile(console, state["ports"])
    console.print(f"for backups and migrations:\n  . {DATABASE}", highlight=False)
    console.print(AFTERWARDS, highlight=False, soft_wrap=True)


def select_profile(console: Console, ports: Mapping[str, int]) -> None:
    """Write the profile that calls this pool as its operator, select it, and say so.

    A folder that cannot be written is told, and nothing more: the pool runs all the same.
    """
    folder = (DIRECTORY / CERTIFICATES).absolute()
    # Pools beside each other, from two clones, have profiles of their own.
    name = PROFILE if ports == FIXED_PORTS else f"{PROFILE}-{min(ports.values())}"
    settings = {
        **{f"{name}_target": f"127.0.0.1:{ports[name]}" for name in SERVICES},
        "tls_cert_file": str(folder / f"{OPERATOR}.pem"),
        "tls_key_file": str(folder / f"{OPERATOR}.key"),
        "tls_ca_file": str(folder / CERTIFICATE_FILE),
    }
    try:
        before = profiles.load()
        place = profiles.save(before.put(name, settings).select(name))
    except CommandLineError as error:
        console.print(f"no profile was written: {error}", style="yellow", markup=False)
        return
    console.print(
        f"to call it: .venv/bin/kalepool watch (profile {name} in {place}, selected)",
        highlight=False,
        soft_wrap=True,
    )
    if before.selected not in {"", name}:
        again = f"kalepool profile use {before.selected}"
        console.print(
            f"{before.selected} was selected before: {again} selects it again", highlight=False
        )


def down(console: Console) -> int:
    """Stop the pool, also one that is being started, and wait until it is gone."""
    state = _state() or _state_to_come()
    if state is None:
        if not _clear_orphans(console):
            console.print("no pool is running")
        return 0
    with console.status("stopping the pool"):
        is_gone = _end(int(state["supervisor"]), lambda pid: not is_alive(pid))
    if not is_gone:
        console.print(f"process {state['supervisor']} does not stop", style="red")
        return 1
    console.print(f"stopped; {ANEW}", highlight=False)
    return 0


class _Supervisor:
    """The supervisor that another process has started; looked at as Popen is."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.pid = int(state["supervisor"])

    def poll(self) -> int | None:
        """Return None while it runs; its exit status is not known."""
        return None if is_alive(self.pid) else 1


def _wait(
    child: "subprocess.Popen[bytes] | _Supervisor", console: Console
) -> dict[str, Any] | None:
    """Wait until the pool serves, and say meanwhile what is being started.

    What does not serve in time, or is interrupted, is stopped.
    """
    deadline = time.monotonic() + 2 * START_TIMEOUT
    try:
        with LOG.open(encoding="utf-8", errors="replace") as log:
            while child.poll() is None and time.monotonic() < deadline:
                _tell(log, console)
                state = _last_state()
                if state is not None and state["ready"]:
                    return state
                time.sleep(0.2)
            _tell(log, console)
    except KeyboardInterrupt:
        console.print("stopping what was started")
        _end(child.pid, lambda _pid: child.poll() is not None)
        raise
    _end(child.pid, lambda _pid: child.poll() is not None)
    return None


def _end(pid: int, is_gone: Callable[[int], bool]) -> bool:
    """Have a supervisor stop the pool; tell whether it is gone within STOP_TIMEOUT."""
    deadline = time.monotonic() + STOP_TIMEOUT
    if not is_gone(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    while not is_gone(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    # Before it has read its code a signal ends it at once, and its state stays.
    _forget(pid)
    return True


def _tell(log: TextIO, console: Console) -> None:
    """Print what the supervisor has written since the last look: a line for each step."""
    for line in log.readlines():
        console.print(line.rstrip(), style="dim", markup=False, highlight=False)


def _state() -> dict[str, Any] | None:
    """Return the state of the pool that runs or is being started, or None.

    The state that a killed pool has left does not count, whoever has its process id now.
    """
    state = _last_state()
    return state if state is not None and _is_supervised(state) else None


def _state_to_come() -> dict[str, Any] | None:
    """Return the state that an `up` of this moment is about to write, or None."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        if (state := _state()) is not None:
            return state
        try:
            with held(STARTING):
                return _state()
        except BusyError:
            time.sleep(0.05)
    return None


def _is_supervised(state: Mapping[str, Any]) -> bool:
    """Tell whether the state's supervisor runs: its process, and not a later one of that number."""
    pid = int(state["supervisor"])
    if not is_alive(pid) or "demo supervise" not in _command_of(pid):
        return False
    return state.get("since") in {None, _since(pid)}


def _since(pid: int) -> str:
    """Return when a process began, as `ps` tells it; empty when there is none."""
    return _ps(pid, "lstart=").strip()


def _write(state: Mapping[str, Any]) -> None:
    """Write the state, whole at every moment."""
    passing = STATE.with_name(f".{STATE.name}.{os.getpid()}")
    passing.write_text(json.dumps(state), encoding="utf-8")
    passing.replace(STATE)


def _forget(supervisor: int) -> None:
    """Remove the state, unless it is another supervisor's."""
    state = _last_state()
    if state is not None and state["supervisor"] == supervisor:
        STATE.unlink(missing_ok=True)


def _last_state() -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads(STATE.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return state


def _clear_orphans(console: Console) -> bool:
    """End the processes of a pool whose supervisor was killed; return whether there were any."""
    state = _last_state()
    if state is None or _is_supervised(state):
        return False
    orphans = {name: pid for name, pid in state["pids"].items() if _is_ours(name, int(pid))}
    for pid in orphans.values():
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while any(is_alive(pid) for pid in orphans.values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    STATE.unlink(missing_ok=True)
    if orphans:
        console.print(f"stopped what a killed pool had left: {', '.join(orphans)}")
    return bool(orphans)


def _is_ours(name: str, pid: int) -> bool:
    """Tell whether the process with this id is still the one that was started, not another's."""
    command = _command_of(pid)
    return f"-m services.{name}" in command or f"-m {name}" in command


def _command_of(pid: int) -> str:
    return _ps(pid, "command=")


def _ps(pid: int, column: str) -> str:
    shown = subprocess.run(
        ["ps", "-ww", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout

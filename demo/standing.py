"""A pool that keeps running: `make up` and `make down`."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from cli import profiles
from cli.errors import CommandLineError
from devstack.processes import is_alive
from devstack.stack import CERTIFICATES, OPERATOR, START_TIMEOUT, StackConfig, open_stack
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


async def supervise() -> int:
    """Run the pool until it is told to stop; `up` leaves this running in the background."""
    config = StackConfig(
        directory=DIRECTORY,
        ledger_seconds=5.0,
        block_seconds=300,
        fixed_ports=True,
        gateway=True,
    )
    try:
        async with open_stack(config, partial(print, flush=True)) as stack:
            # The certificate by which the services know the gateway.
            stack.certificates(CallerKind.SERVICE, GATEWAY)
            state = {
                "supervisor": os.getpid(),
                "ready": True,
                "pids": stack.pids(),
                "ports": stack.ports,
                "gateway_url": stack.gateway_url,
            }
            with new_private_file(DATABASE) as file:
                file.write(f"export DATABASE_ADMIN_URL='{stack.admin_dsn}'\n".encode())
            STATE.write_text(json.dumps(state), encoding="utf-8")
            while True:
                stack.check()
                await asyncio.sleep(1)
    finally:
        STATE.unlink(missing_ok=True)


def up(console: Console) -> int:
    """Start the pool in the background and print where it is."""
    _clear_orphans(console)
    state = _state()
    if state is None:
        STATE.parent.mkdir(exist_ok=True)
        with LOG.open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "demo", "supervise"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        state = _wait_ready(child, console)
    if state is None:
        console.print("the pool did not start", style="red")
        return 1
    table = Table("service", "address", title="The pool is running; stop it with make down")
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
    return 0


def select_profile(console: Console, ports: Mapping[str, int]) -> None:
    """Write the profile that calls this pool as its operator, select it, and say so.

    A folder that cannot be written is told, and nothing more: the pool runs all the same.
    """
    folder = (DIRECTORY / CERTIFICATES).absolute()
    settings = {
        **{f"{name}_target": f"127.0.0.1:{ports[name]}" for name in SERVICES},
        "tls_cert_file": str(folder / f"{OPERATOR}.pem"),
        "tls_key_file": str(folder / f"{OPERATOR}.key"),
        "tls_ca_file": str(folder / CERTIFICATE_FILE),
    }
    try:
        before = profiles.load()
        place = profiles.save(before.put(PROFILE, settings).select(PROFILE))
    except CommandLineError as error:
        console.print(f"no profile was written: {error}", style="yellow", markup=False)
        return
    console.print(
        f"to call it: .venv/bin/kalepool watch (profile {PROFILE} in {place}, selected)",
        highlight=False,
        soft_wrap=True,
    )
    if before.selected not in {"", PROFILE}:
        again = f"kalepool profile use {before.selected}"
        console.print(
            f"{before.selected} was selected before: {again} selects it again", highlight=False
        )


def down(console: Console) -> int:
    """Stop the pool and wait until it is gone."""
    state = _state()
    if state is None:
        if not _clear_orphans(console):
            console.print("no pool is running")
        return 0
    pid = int(state["supervisor"])
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    with console.status("stopping the pool"):
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
    if is_alive(pid):
        console.print(f"process {pid} does not stop", style="red")
        return 1
    console.print("stopped")
    return 0


def _wait_ready(child: "subprocess.Popen[bytes]", console: Console) -> dict[str, Any] | None:
    """Wait until the pool serves, and say meanwhile what is being started."""
    deadline = time.monotonic() + 2 * START_TIMEOUT
    with LOG.open(encoding="utf-8", errors="replace") as log:
        while child.poll() is None and time.monotonic() < deadline:
            _tell(log, console)
            state = _state()
            if state is not None:
                return state
            time.sleep(0.2)
        _tell(log, console)
    return None


def _tell(log: TextIO, console: Console) -> None:
    """Print what the supervisor has written since the last look: a line for each step."""
    for line in log.readlines():
        console.print(line.rstrip(), style="dim", markup=False, highlight=False)


def _state() -> dict[str, Any] | None:
    """Return the running pool's state, or None.

    The state that a killed pool has left does not count.
    """
    state = _last_state()
    return state if state is not None and is_alive(int(state["supervisor"])) else None


def _last_state() -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads(STATE.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return state


def _clear_orphans(console: Console) -> bool:
    """End the processes of a pool whose supervisor was killed; return whether there were any."""
    state = _last_state()
    if state is None or is_alive(int(state["supervisor"])):
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
    shown = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return f"-m services.{name}" in shown.stdout or f"-m {name}" in shown.stdout

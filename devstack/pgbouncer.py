"""A PgBouncer in transaction mode before the pool's PostgreSQL, for tests and to look at.

The program is the system's (`apt install pgbouncer`): there is no wheel of it.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from devstack.postgres_place import UNPRIVILEGED
from devstack.processes import Command

NAME = "pgbouncer"
#: Connections to PostgreSQL for each role: fewer than a service would open by itself, so that
#: transactions of several of its connections take turns on one.
_CONNECTIONS = 6
#: Distributions install it where only root looks.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"


def is_installed() -> bool:
    """Tell whether there is a PgBouncer on this machine."""
    return shutil.which(NAME, path=_PATH) is not None


def through(dsn: str, port: int) -> str:
    """Return the address of a database as it is reached through PgBouncer."""
    parts = urlsplit(dsn)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))


def command(folder: Path, port: int, admin_dsn: str, passwords: Mapping[str, str]) -> Command:
    """Write its files into a folder; return the command that starts it.

    `passwords` are those of the roles that may log in. Raise FileNotFoundError when it is not
    installed.
    """
    program = shutil.which(NAME, path=_PATH)
    if program is None:
        raise FileNotFoundError("pgbouncer is not installed")
    folder.mkdir(parents=True)
    users = "".join(f'"{role}" "{word}"\n' for role, word in passwords.items())
    (folder / "users.txt").write_text(users, encoding="utf-8")
    (folder / "pgbouncer.ini").write_text(_settings(port, admin_dsn), encoding="utf-8")
    if os.geteuid() == 0:  # it refuses to run as root, and becomes another user by itself
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, UNPRIVILEGED)
    return Command(
        name=NAME, program=program, arguments=("pgbouncer.ini",), environment={}, folder=folder
    )


def _settings(port: int, admin_dsn: str) -> str:
    server = urlsplit(admin_dsn)
    lines = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "plain",
        "auth_file": "users.txt",
        "pool_mode": "transaction",
        "max_client_conn": "1000",
        "default_pool_size": str(_CONNECTIONS),
        "server_reset_query": "",
        **({"user": UNPRIVILEGED} if os.geteuid() == 0 else {}),
    }
    settings = "".join(f"{name} = {value}\n" for name, value in lines.items())
    return f"[databases]\n* = host={server.hostname} port={server.port}\n[pgbouncer]\n{settings}"

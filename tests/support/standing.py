"""A server with the migrated template that stands for many runs of the tests, one after the other.

`python -m tests.support.standing` starts one and prints a line of JSON with the variable by which
tests find it. Each line of its input has it remove what killed runs have left in it, and the end of
the input ends it. `make mutants` needs it: to start a server takes longer than most tests.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from devstack.postgres import ADMIN, EmbeddedPostgres
from services.migrations import role_of
from tests.support.database import DatabaseFactory, connect, server_folder

#: The environment variable with a StandingServer as JSON.
VARIABLE = "STANDING_POSTGRES"
#: The databases of single tests.
_LEFT = "SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'"


@dataclass(frozen=True, kw_only=True)
class StandingServer:
    """The server as its users know it; satisfies tests.support.database.Server."""

    #: The superuser's connection string for the database `postgres`.
    admin_dsn: str
    #: Passwords of the services' roles, by service.
    role_passwords: Mapping[str, str]

    def dsn(self, *, database: str = ADMIN, user: str = ADMIN, password: str | None = None) -> str:
        """Return a connection string; without a password it is the superuser's."""
        admin = urlsplit(self.admin_dsn)
        secret = admin.password if password is None else password
        return f"postgresql://{user}:{secret}@{admin.hostname}:{admin.port}/{database}"


def standing_server() -> StandingServer | None:
    """Return the server that the environment names."""
    told = os.environ.get(VARIABLE)
    return None if told is None else StandingServer(**json.loads(told))


async def _clean(factory: DatabaseFactory, admin_dsn: str) -> None:
    async with connect(admin_dsn) as admin:
        for row in await admin.fetch(_LEFT):
            await admin.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')
        for service in factory.passwords:
            await admin.execute(f'ALTER ROLE "{role_of(service)}" LOGIN')


def _tell(answer: Mapping[str, str]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until the input ends."""
    with (
        tempfile.TemporaryDirectory() as home,
        server_folder(Path(home)) as folder,
        EmbeddedPostgres(folder, durable=False) as server,
    ):
        factory = DatabaseFactory(server)
        asyncio.run(factory.make_template())
        standing = StandingServer(admin_dsn=server.admin_dsn, role_passwords=factory.passwords)
        _tell({VARIABLE: json.dumps(asdict(standing))})
        for _ in sys.stdin:
            asyncio.run(_clean(factory, server.admin_dsn))
            _tell({})


if __name__ == "__main__":
    main()

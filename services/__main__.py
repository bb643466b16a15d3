"""python -m services migrate [restrict]: bring every schema up to date; bound what a role can take.

`restrict` takes from PUBLIC what no service needs. That is for a database of the pool's own, and
takes its owner or, for part of it, a superuser; exit status 3 when something is left.
"""

import asyncio
import json
import sys
from typing import Any

import asyncpg

from libs.common.errors import PoolError
from libs.common.start import read_settings
from services.migrations import MigrationSettings, migrate_all, restrict_all

_USAGE = "usage: python -m services migrate [restrict] | restrict"
_STEPS = (["migrate"], ["restrict"], ["migrate", "restrict"])
#: Something that is to be restricted is not.
LEFT = 3


def main(arguments: list[str]) -> int:
    """Run the steps that are named; print what each did as one JSON line."""
    if arguments and set(arguments) <= {"-h", "--help"}:
        print(f"{_USAGE}\n\n{__doc__}")  # noqa: T201
        return 0
    if arguments not in _STEPS:
        print(_USAGE, file=sys.stderr)  # noqa: T201
        return 2
    settings = read_settings(MigrationSettings)
    status = 0
    for step in arguments:
        try:
            told = asyncio.run(_run(step, settings))
        except (PoolError, OSError, TimeoutError, asyncpg.PostgresError) as error:
            print(f"{step}: {error or type(error).__name__}", file=sys.stderr)  # noqa: T201
            return 1
        print(json.dumps(told))  # noqa: T201
        status = LEFT if told.get("left") else status
    return status


async def _run(step: str, settings: MigrationSettings) -> dict[str, Any]:
    admin = settings.admin()
    if step == "restrict":
        bound = settings.database_temp_file_bytes
        return {"event": "restricted", "left": await restrict_all(admin, temp_file_bytes=bound)}
    connections = settings.database_role_connections
    ran = await migrate_all(admin, settings.passwords(), connections=connections)
    return {"event": "migrated", "ran": ran}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

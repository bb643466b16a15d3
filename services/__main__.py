"""python -m services migrate: bring every schema up to date."""

import asyncio
import json
import sys

import asyncpg

from libs.common.errors import PoolError
from services.main import read_settings
from services.migrations import MigrationSettings, migrate_all


def main(arguments: list[str]) -> int:
    """Run the one command there is; print what ran as one JSON line."""
    if arguments != ["migrate"]:
        print("usage: python -m services migrate", file=sys.stderr)  # noqa: T201
        return 2
    settings = read_settings(MigrationSettings)
    try:
        ran = asyncio.run(migrate_all(settings.admin(), settings.passwords()))
    except (PoolError, OSError, TimeoutError, asyncpg.PostgresError) as error:
        print(f"migrate: {error or type(error).__name__}", file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps({"event": "migrated", "ran": ran}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

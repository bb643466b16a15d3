"""python -m services migrate: brings every schema up to date."""

import asyncio
import json
import sys

from services.migrations import MigrationSettings, migrate_all


def main(arguments: list[str]) -> int:
    """Runs the one command there is; prints what ran as one JSON line."""
    if arguments != ["migrate"]:
        print("usage: python -m services migrate", file=sys.stderr)  # noqa: T201
        return 2
    settings = MigrationSettings()
    ran = asyncio.run(migrate_all(settings.admin(), settings.passwords()))
    print(json.dumps({"event": "migrated", "ran": ran}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

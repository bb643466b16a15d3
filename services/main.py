"""The main function of every service's process: serve (the default) or migrate."""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from libs.common.config import ServiceSettings
from libs.common.errors import PoolError
from libs.common.grpc.server import RunningServer, run_service
from libs.common.start import OF_SETTINGS, fail, read_settings
from services.migrations import MigrationSettings, migrate_one

_HELP = f"""serve     answers calls until SIGTERM; the default
migrate   brings the service's schema up to date, by DATABASE_ADMIN_URL, and ends

{OF_SETTINGS}"""

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def main(
    name: str,
    settings_class: type[SettingsT],
    open_app: Callable[[SettingsT], AbstractAsyncContextManager[RunningServer]],
) -> None:
    """Run the command in sys.argv; exit with status 2 for a wrong command or wrong settings."""
    command = sys.argv[1:] or ["serve"]
    usage = f"usage: python -m services.{name} [serve|migrate]"
    if set(command) <= {"-h", "--help"}:
        print(f"{usage}\n\n{_HELP}")  # noqa: T201
    elif command == ["serve"]:
        settings = read_settings(settings_class)
        run_service(name, settings, lambda: open_app(settings))
    elif command == ["migrate"]:
        try:
            ran = asyncio.run(migrate_one(name, read_settings(MigrationSettings)))
        except PoolError as error:
            sys.exit(f"migrate: {error}")
        print(json.dumps({"event": "migrated", "ran": ran}))  # noqa: T201
    else:
        fail(usage)

"""The migrations of all services, in the order that their foreign keys require.

Command line: python -m services migrate
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from libs.common.config import Settings
from libs.common.db.migrate import ensure_roles, migrate
from libs.common.db.tls import DatabaseAddress
from libs.common.names import SERVICES


class MigrationSettings(Settings):
    """Settings of the migration job."""

    #: PostgreSQL, with a role that may create roles and schemas.
    database_admin_url: SecretStr
    #: Certificates (PEM) of the authorities that vouch for PostgreSQL; empty: the system's.
    database_ca_file: Path | None = None
    #: Password to set for the role kalepool_registry; empty leaves it as it is.
    registry_db_password: SecretStr = SecretStr("")
    #: Password to set for the role kalepool_wallet; empty leaves it as it is.
    wallet_db_password: SecretStr = SecretStr("")
    #: Password to set for the role kalepool_plant; empty leaves it as it is.
    plant_db_password: SecretStr = SecretStr("")
    #: Password to set for the role kalepool_work; empty leaves it as it is.
    work_db_password: SecretStr = SecretStr("")
    #: Password to set for the role kalepool_harvest; empty leaves it as it is.
    harvest_db_password: SecretStr = SecretStr("")

    def admin(self) -> DatabaseAddress:
        """Return the address of PostgreSQL and the authorities that vouch for it."""
        dsn = self.database_admin_url.get_secret_value()
        return DatabaseAddress(dsn=dsn, authority=self.database_ca_file)

    def passwords(self) -> dict[str, str | None]:
        """Return the password of each service by its name; None leaves the password as it is."""
        fields: dict[str, SecretStr] = {
            name: getattr(self, f"{name}_db_password") for name in SERVICES
        }
        return {name: field.get_secret_value() or None for name, field in fields.items()}


def role_of(service: str) -> str:
    """Return the database role of a service."""
    return f"kalepool_{service}"


def migrations_of(service: str) -> Path:
    """Return the folder of a service's migrations."""
    return Path(__file__).parent / service / "store" / "migrations"


async def migrate_all(
    admin: DatabaseAddress, passwords: Mapping[str, str | None] | None = None
) -> dict[str, list[str]]:
    """Make the roles, then migrate every schema; return the files that ran, by service.

    The call is safe to repeat.
    """
    given = passwords or {}
    await ensure_roles(admin, {role_of(name): given.get(name) for name in SERVICES})
    ran: dict[str, list[str]] = {}
    for name in SERVICES:
        ran[name] = await migrate(admin, schema=name, folder=migrations_of(name))
    return ran


async def migrate_one(service: str, settings: MigrationSettings) -> list[str]:
    """Make the roles, then migrate one service's schema; return the files that ran.

    The schemas that its foreign keys refer to must exist.
    """
    admin, given = settings.admin(), settings.passwords()
    await ensure_roles(admin, {role_of(name): given[name] for name in SERVICES})
    return await migrate(admin, schema=service, folder=migrations_of(service))

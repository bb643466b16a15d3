"""All services' migrations in the order that their foreign keys want.

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
    """What the migration job reads."""

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
        """Where PostgreSQL is, and how it is trusted."""
        dsn = self.database_admin_url.get_secret_value()
        return DatabaseAddress(dsn=dsn, authority=self.database_ca_file)

    def passwords(self) -> dict[str, str | None]:
        """Service name to password, None for "leave it"."""
        fields: dict[str, SecretStr] = {
            name: getattr(self, f"{name}_db_password") for name in SERVICES
        }
        return {name: field.get_secret_value() or None for name, field in fields.items()}


def role_of(service: str) -> str:
    """The database role of a service."""
    return f"kalepool_{service}"


def migrations_of(service: str) -> Path:
    """The folder of a service's migrations."""
    return Path(__file__).parent / service / "store" / "migrations"


async def migrate_all(
    admin: DatabaseAddress, passwords: Mapping[str, str | None] | None = None
) -> dict[str, list[str]]:
    """Roles first, then every schema; returns the files that ran, by service. Safe to repeat."""
    given = passwords or {}
    await ensure_roles(admin, {role_of(name): given.get(name) for name in SERVICES})
    ran: dict[str, list[str]] = {}
    for name in SERVICES:
        ran[name] = await migrate(admin, schema=name, folder=migrations_of(name))
    return ran


async def migrate_one(service: str, settings: MigrationSettings) -> list[str]:
    """Roles, then one service's schema; those that it points at must be there."""
    admin, given = settings.admin(), settings.passwords()
    await ensure_roles(admin, {role_of(name): given[name] for name in SERVICES})
    return await migrate(admin, schema=service, folder=migrations_of(service))

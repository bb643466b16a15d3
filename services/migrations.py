"""The migrations of all services, in the order in which they refer to each other.

Command line: python -m services migrate, or migrate restrict: then PUBLIC loses, too, what no
service needs (libs/common/db/rights.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from libs.common.config import Bytes, Count, Settings
from libs.common.db.migrate import ensure_roles, migrate
from libs.common.db.rights import restrict
from libs.common.db.tls import DatabaseAddress, check_dsn
from libs.common.names import SERVICES, role_of

#: Connections that a role may have, unless a setting says otherwise: the pools of three processes.
ROLE_CONNECTIONS = 60
#: Bytes of temporary files that a connection may write, unless a setting says otherwise.
TEMP_FILE_BYTES = 268_435_456


__all__ = [
    "MigrationSettings",
    "migrate_all",
    "migrate_one",
    "migrations_of",
    "restrict_all",
    "role_of",
]


class MigrationSettings(Settings):
    """Settings of the migration job."""

    #: PostgreSQL, with a role that may create roles and schemas.
    database_admin_url: SecretStr
    #: Certificates (PEM) of the authorities that vouch for PostgreSQL; empty: the system's.
    database_ca_file: Path | None = None
    #: Connections that each service's role may have: more than DATABASE_POOL_SIZE times the
    #: processes of one service that run side by side. The server needs room for all roles'.
    database_role_connections: Annotated[Count, Field(ge=5, le=10_000)] = ROLE_CONNECTIONS
    #: Bytes of temporary files that each connection of a service may write (restrict).
    database_temp_file_bytes: Annotated[Bytes, Field(ge=1_048_576)] = TEMP_FILE_BYTES
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

    @field_validator("database_admin_url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        check_dsn(url.get_secret_value())
        return url

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


def migrations_of(service: str) -> Path:
    """Return the folder of a service's migrations."""
    return Path(__file__).parent / service / "store" / "migrations"


#: The database roles of all services.
ROLES = tuple(map(role_of, SERVICES))


async def migrate_all(
    admin: DatabaseAddress,
    passwords: Mapping[str, str | None] | None = None,
    *,
    connections: int = ROLE_CONNECTIONS,
) -> dict[str, list[str]]:
    """Make the roles, then migrate every schema; return the files that ran, by service.

    The call is safe to repeat.
    """
    given = passwords or {}
    wanted = {role_of(name): given.get(name) for name in SERVICES}
    await ensure_roles(admin, wanted, connections=connections)
    ran: dict[str, list[str]] = {}
    for name in SERVICES:
        ran[name] = await _migrate(admin, name)
    return ran


async def _migrate(admin: DatabaseAddress, name: str) -> list[str]:
    return await migrate(admin, schema=name, folder=migrations_of(name), reader=role_of(name))


async def migrate_one(service: str, settings: MigrationSettings) -> list[str]:
    """Make the roles, then migrate one service's schema; return the files that ran.

    The schemas that it refers to must exist.
    """
    admin, given = settings.admin(), settings.passwords()
    wanted = {role_of(name): given[name] for name in SERVICES}
    await ensure_roles(admin, wanted, connections=settings.database_role_connections)
    return await _migrate(admin, service)


async def restrict_all(
    admin: DatabaseAddress, *, temp_file_bytes: int = TEMP_FILE_BYTES
) -> list[str]:
    """Take from PUBLIC what no service needs; return in words what could not be taken away."""
    return await restrict(admin, ROLES, temp_file_kib=temp_file_bytes // 1024)

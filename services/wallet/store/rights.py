"""What the database lets other roles do."""

from libs.common.db.pool import Database
from libs.common.db.rights import findings
from libs.common.names import SERVICES, role_of

_ROLES = tuple(map(role_of, SERVICES))


class RightsStore:
    """The catalogue's word on what any role can take that wallet needs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def findings(self) -> list[str]:
        """Return in words what is not restricted (python -m services restrict)."""
        async with self._database.session() as session:
            return await findings(session.connection, _ROLES)

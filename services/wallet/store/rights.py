"""What the database lets other roles do."""

from libs.common.db.pool import Database
from libs.common.db.rights import findings
from libs.common.names import SERVICES, role_of

_ROLES = tuple(map(role_of, SERVICES))
#: Those whose sessions wallet ends when they hold up everybody.
_OTHERS = tuple(role for role in _ROLES if role != role_of("wallet"))


class RightsStore:
    """The catalogue's word on what any role can take that wallet needs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def findings(self) -> list[str]:
        """Return in words what is not restricted (python -m services restrict).

        And what nobody ends, since whoever ran the migrations may not.
        """
        async with self._database.session() as session:
            found = await findings(session.connection, _ROLES)
            rights = await session.many("hold_up_rights", _OTHERS)
        ends = [row["role"] for row in rights if not row["may_end"]]
        ages = [row["role"] for row in rights if not row["may_see"]]
        if ends:
            found.append(f"sessions that hold up everybody are not ended: {', '.join(ends)}")
        if ages:
            found.append(f"the age of transactions is not seen: {', '.join(ages)}")
        return found

"""Sessions of other services' roles that hold up everybody, and their end."""

from libs.common.db.pool import Database
from libs.common.log import get_security_logger

security = get_security_logger()


class HoldUps:
    """The watch over what the sessions of other roles take of the server.

    It has a connection of its own, which is open before the table of locks is full. What is too
    much is the database's word (wallet.hold_up_limits).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Sessions that were told as not ended.
        self._left: set[int] = set()

    async def step(self) -> int:
        """End sessions that hold up everybody; return how many there were."""
        rows = await self._database.many("end_hold_ups")
        left = {row["pid"] for row in rows if not row["is_ended"]}
        for row in rows:
            if row["is_ended"] or row["pid"] not in self._left:
                security.critical(
                    "session ended" if row["is_ended"] else "session holds up others, and stays",
                    role=row["role"],
                    locks=row["locks"],
                    seconds=round(row["seconds"] or 0.0),
                )
        self._left = left
        return len(rows) - len(left)

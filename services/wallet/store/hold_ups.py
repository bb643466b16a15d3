"""Sessions of other services' roles that hold up everybody, and their end."""

from libs.common.db.pool import Database
from libs.common.log import get_security_logger

security = get_security_logger()

#: Locks that a session of another service never needs: it has a few dozen, and each savepoint takes
#: one of the server's table, which is everybody's.
MOST_LOCKS = 500
#: Seconds that a transaction of another service never takes.
MOST_SECONDS = 300.0


class HoldUps:
    """The watch over what the sessions of other roles take of the server.

    It has a connection of its own, which is open before the table of locks is full.
    """

    def __init__(
        self, database: Database, *, locks: int = MOST_LOCKS, seconds: float = MOST_SECONDS
    ) -> None:
        self._database = database
        self._locks = locks
        self._seconds = seconds

    async def step(self) -> int:
        """End sessions that hold up everybody; return how many there were."""
        rows = await self._database.many("end_hold_ups", self._locks, self._seconds)
        for row in rows:
            security.critical(
                "session ended",
                role=row["role"],
                locks=row["locks"],
                seconds=round(row["seconds"] or 0.0),
            )
        return len(rows)

"""Challenges that somebody has logged in with: each counts once."""

from libs.common.db.pool import Database
from libs.common.once import Spent
from services.wallet.domain.errors import LoginUsedError
from services.wallet.domain.logins import Challenge


class LoginStore:
    """The table used_challenges."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: What this process has seen used: no row that is taken away brings it back.
        self._used: Spent[bytes] = Spent()

    async def use(self, challenge: Challenge) -> None:
        """Use a challenge up; forget some that have ended. Raises LoginUsedError."""
        if challenge.hash in self._used:
            raise _used()
        async with self._database.transaction() as session:
            await session.one("forget_challenges")
            made = await session.execute("use_challenge", challenge.hash, challenge.ends)
        self._used.add(challenge.hash)
        if not made:
            raise _used()


def _used() -> LoginUsedError:
    return LoginUsedError("somebody has logged in with this challenge: begin again")

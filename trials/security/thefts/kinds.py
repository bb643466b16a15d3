"""A theft: who tries it, what for, and what came of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg

from trials.security.thefts.pool import Pool

Connection: TypeAlias = "asyncpg.Connection[Any]"

#: The whole rights on the database, in words.
ALL_RIGHTS = "all rights"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a thief has in the end, and what was in the way."""

    #: What was gained, in words; empty when nothing was.
    got: Sequence[str] = ()
    #: What stopped it, in words; empty where the measure finds it.
    stopped: str = ""


#: Does what a thief does; the connection has the rights of the role.
Act: TypeAlias = Callable[[Pool, Connection], Awaitable[Outcome]]


@dataclass(frozen=True, kw_only=True)
class Theft:
    """One row of the table."""

    #: What is done.
    name: str
    #: Services whose database password is used, one after the other; or ALL_RIGHTS.
    roles: Sequence[str] = ()
    #: What the thief shows besides, or alone.
    shows: str = ""
    #: What it could gain.
    gain: str
    #: Does it.
    act: Act
    #: Whether it waits for what wallet does once in a while: left out of a quick run.
    is_slow: bool = False
    #: Whether it may stop wallet, as SECURITY.md's table says of who has that password: then a
    #: payout that is not made is no failure.
    may_stop: bool = False


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One theft by one thief, and what came of it."""

    #: What was done, with what, and what for.
    name: str
    who: str
    gain: str
    #: What was gained besides money.
    got: Sequence[str]
    #: Stroops of KALE at addresses of the thief's.
    kale: int
    #: Stroops of XLM that the treasury spent beyond what honest acts cost.
    xlm: int
    #: Seconds that an honest payout took longer than alone; None when it was not made.
    delayed: float | None
    #: What stopped it.
    stopped: str
    #: What wallet's security log has of it.
    noticed: Sequence[str]
    #: See Theft.
    may_stop: bool = False

    @property
    def failures(self) -> list[str]:
        """Return in words what must not be."""
        taken = [
            *self.got,
            *([f"{self.kale} stroops of KALE"] if self.kale else []),
            *([f"{self.xlm} stroops of the treasury's XLM"] if self.xlm else []),
        ]
        found = [f"{self.name} ({self.who}) took {words}" for words in taken]
        if self.may_stop:
            return found
        if self.delayed is None:
            found.append(f"beside {self.name} ({self.who}) an honest payout was not made")
        elif self.delayed > MOST_DELAYED:
            found.append(f"beside {self.name} ({self.who}) a payout took {self.delayed:.1f} s more")
        return found


#: Seconds that a payout may take longer beside a theft: no matter of the machine.
MOST_DELAYED = 15.0

"""The measure of all thefts: what was taken, how long others waited, what was noticed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg

from devstack.stack import Progress, Stack, open_stack
from libs.common.names import SERVICES
from trials.report import Table
from trials.security.thefts.kinds import ALL_RIGHTS, Outcome, Theft, Tried
from trials.security.thefts.pool import Pool, open_pool, pool_config
from trials.security.thefts.table import THEFTS

#: Farmers that thefts use up; some are to be paid beside.
FEW, MANY = 24, 56
#: Stroops of XLM that payouts and changes beside a theft cost at most.
_HONEST = 2_000_000
#: The database's own word that a role may not do something.
_REFUSALS = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.RaiseError,
    asyncpg.CheckViolationError,
    asyncpg.UniqueViolationError,
)


async def steal(
    directory: Path, progress: Progress, thefts: Sequence[Theft] = THEFTS
) -> list[Tried]:
    """Try thefts on a pool of their own, one after the other."""
    progress("a pool to steal from")
    farmers = MANY if any(theft.is_slow for theft in thefts) else FEW
    async with (
        open_stack(pool_config(directory, farmers=farmers), progress) as stack,
        open_pool(stack, progress, farmers=farmers) as pool,
    ):
        found = []
        for theft, who in _rows(thefts):
            progress(f"{theft.name}, by {_words(theft, who)}")
            found.append(await _try(pool, theft, who))
            stack.check()
        return found


def quick() -> Sequence[Theft]:
    """Return the thefts that wait for nothing."""
    return [theft for theft in THEFTS if not theft.is_slow]


def _rows(thefts: Sequence[Theft]) -> Iterator[tuple[Theft, str]]:
    """Yield each theft with each role; with none where a certificate is all that it takes."""
    for theft in thefts:
        for who in theft.roles or ("",):
            yield theft, who


def _words(theft: Theft, who: str) -> str:
    password = f"{who}'s password" if who in SERVICES else who
    return " and ".join(filter(None, (password, theft.shows)))


async def _try(pool: Pool, theft: Theft, who: str) -> Tried:
    pool.thieves.clear()
    pool.cost = _HONEST
    since, before = pool.log_size, await pool.treasury()
    connection = await asyncpg.connect(_dsn(pool.stack, who))
    try:
        outcome = await theft.act(pool, connection)
    except _REFUSALS as error:
        outcome = Outcome(stopped=f"the database: {str(error).partition(chr(10))[0]}")
    except Exception as error:  # one that broke shows nothing, and the others still do
        outcome = Outcome(got=[f"nobody knows what, as the trial broke: {error!r}"])
    finally:
        await connection.close()
    delayed = await pool.delay()
    noticed = pool.noticed(since)
    return Tried(
        name=theft.name,
        who=_words(theft, who),
        gain=theft.gain,
        got=outcome.got,
        kale=sum([await pool.kale(address) for address in pool.thieves]),
        xlm=max(0, before - await pool.treasury() - pool.cost),
        delayed=delayed,
        stopped=outcome.stopped,
        noticed=noticed,
        may_stop=theft.may_stop,
    )


def _dsn(stack: Stack, who: str) -> str:
    """Return the connection string of a role; of no use to who has a certificate alone."""
    return stack.admin_dsn if who in {"", ALL_RIGHTS} else stack.service_dsn(who)


def table_of(found: Sequence[Tried]) -> Table:
    """Return what was taken, delayed and noticed."""
    return Table(
        title="thefts: what was taken, and how many seconds an honest payout took longer",
        columns=("theft", "by", "to gain", "taken", "delayed", "stopped by", "security log"),
        rows=[
            (
                one.name,
                one.who,
                one.gain,
                _taken(one),
                "not paid" if one.delayed is None else f"{max(0.0, one.delayed):.1f}",
                one.stopped,
                "; ".join(one.noticed),
            )
            for one in found
        ],
    )


def _taken(one: Tried) -> str:
    amounts = [f"{one.kale:,} KALE"] * bool(one.kale) + [f"{one.xlm:,} XLM"] * bool(one.xlm)
    return "; ".join([*one.got, *amounts]) or "0"

"""The command `python -m pooler.shares`: miners, bans, parts and backups."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import cyclopts
from cyclopts import Parameter, validators

from libs.common.errors import PoolError
from libs.common.start import read_settings
from libs.kale.amounts import format_kale
from pooler.shares.config import SharesSettings
from pooler.shares.domain.model import BlockRow, BlockState, Miner, MinerId
from pooler.shares.events import moment
from pooler.shares.figures import miner_content
from pooler.shares.store.database import BackupError, WrongDatabaseError
from pooler.shares.store.opening import is_postgres, open_store
from pooler.shares.store.store import Store

Hours = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=876_000))]
Json = Annotated[bool, Parameter(negative="")]
#: Rows that are read at a time.
_PAGE = 1000

app = cyclopts.App(
    name="shares",
    help="Looks after the database of shares that SHARES_DATABASE names, also while the pooler "
    "runs.",
    version_flags=(),
)


@app.command
def miners(*, as_json: Annotated[Json, Parameter(name="--json")] = False) -> int:
    """List who has joined."""
    return _run(lambda store: _miners(store, as_json=as_json))


@app.command
def ban(miner: UUID, /, *, hours: Hours, why: str) -> int:
    """Ban a miner; its streams end within a second.

    Parameters
    ----------
    miner
        Id of the miner.
    hours
        How long the ban lasts.
    why
        The reason, which the miner is told.
    """
    until = int((time.time() + hours * 3600) * 1000)
    return _run(lambda store: _ban(store, MinerId(miner), until, why))


@app.command
def unban(miner: UUID, /) -> int:
    """End the ban of a miner.

    Parameters
    ----------
    miner
        Id of the miner.
    """
    return _run(lambda store: _ban(store, MinerId(miner), 0, ""))


@app.command
def parts(
    *,
    after: Annotated[int, Parameter(validator=validators.Number(gte=-1))] = -1,
    as_json: Annotated[Json, Parameter(name="--json")] = False,
) -> int:
    """List miners' parts of blocks that are final, the oldest block first.

    Parameters
    ----------
    after
        Only blocks after this one.
    """
    return _run(lambda store: _parts(store, after, as_json=as_json))


@app.command
def backup(target: Path, /) -> int:
    """Copy the database into a new file, while it is used.

    Parameters
    ----------
    target
        The new file.
    """
    return _run(lambda store: _backup(store, target))


def _run(act: Callable[[Store], Awaitable[int]]) -> int:
    """Do something with the database; exit status 1 when it fails, 2 when it is not there."""
    settings = read_settings(SharesSettings)
    place = settings.place
    if not is_postgres(place) and not Path(place).is_file():
        return _fail(f"there is no file {place}: SHARES_DATABASE names it", status=2)

    async def run() -> int:
        async with open_store(place, authority=settings.shares_database_ca_file) as store:
            return await act(store)

    try:
        return asyncio.run(run())
    except (PoolError, WrongDatabaseError, BackupError) as error:
        return _fail(str(error))


async def _miners(store: Store, *, as_json: bool) -> int:
    after, now = 0, time.time() * 1000
    while page := await store.miners(after=after, limit=_PAGE):
        for one in page:
            _line(json.dumps(_content(one)) if as_json else _described(one, now))
        after = page[-1].number
    return 0


async def _ban(store: Store, miner: MinerId, until: int, why: str) -> int:
    if await store.ban(miner, until=until, why=why):
        return 0
    return _fail(f"there is no miner {miner}")


async def _parts(store: Store, after: int, *, as_json: bool) -> int:
    states = (BlockState.FINAL, BlockState.HANDED_ON)
    rows = [row for state in states for row in await _all_in(store, state, after)]
    for row in sorted(rows, key=lambda row: row.block):
        for part in await store.paid_parts(row.block):
            content: dict[str, Any] = {
                "block": part.block,
                "state": row.state.value,
                "minerId": str(part.miner_id),
                "address": part.address,
                "points": part.points,
                "amount": part.amount,
            }
            told = f"{part.block}  {part.address}  {part.points:,} hashes"
            _line(json.dumps(content) if as_json else f"{told}  {format_kale(part.amount)} KALE")
    return 0


async def _all_in(store: Store, state: BlockState, after: int) -> list[BlockRow]:
    found: list[BlockRow] = []
    while page := await store.blocks_in(state, after=after, limit=_PAGE):
        found += page
        after = page[-1].block
    return found


async def _backup(store: Store, target: Path) -> int:
    await store.backup(target)
    return 0


def _content(miner: Miner) -> dict[str, Any]:
    return {
        **miner_content(miner),
        "bannedUntil": moment(miner.banned_until) if miner.banned_until else None,
        "banReason": miner.ban_reason,
    }


def _described(miner: Miner, now: float) -> str:
    told = f"{miner.miner_id}  {moment(miner.joined_at)}  {miner.address}  {miner.name}"
    if miner.banned_until > now:
        told += f"  banned until {moment(miner.banned_until)}: {miner.ban_reason}"
    return told


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")


def _fail(message: str, *, status: int = 1) -> int:
    sys.stderr.write(f"shares: {message}\n")
    return status

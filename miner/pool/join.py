"""Joins a pooler, or finds the credential of before, and mines for it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.kale.address import is_account
from miner.bench.measure import sample
from miner.choice import Choice, roster_of
from miner.model import MinerError
from miner.pool import credentials
from miner.pool.client import (
    DoorClient,
    PoolAwayError,
    RefusedError,
    checked_url,
    open_client,
)
from miner.pool.events import Joined, Note, Observer
from miner.pool.fields import number_of, object_of, text_of
from miner.pool.mining import PoolMiner, Wishes
from miner.roster import Roster

#: Seconds of the first look at the engines' rate, which decides the first difficulty.
_SAMPLE_SECONDS = 0.2
#: Seconds between tries to reach the pooler at the start.
_PAUSE_SECONDS = 5.0
_MUXED_LENGTH = 69


class TermsError(MinerError):
    """The pooler's terms have to be agreed to."""


@dataclass(frozen=True, kw_only=True)
class Joining:
    """For whom is mined, and as whom."""

    #: The pooler's address.
    url: str
    #: Stellar address that is paid (G... or M...).
    address: str
    #: What searches.
    choice: Choice
    #: What the miner and this worker are called.
    name: str = ""
    worker: str = "default"
    #: Agree to the terms that hold now.
    agrees: bool = False
    #: Hashes that a share takes; None: the pooler chooses.
    difficulty: int | None = None
    #: File with the credential; None: one of the user's own.
    credential_file: Path | None = None
    #: Who vouches for the pooler (PEM); None: the system's authorities.
    ca_file: Path | None = None
    #: HTTP without TLS is good enough.
    plaintext: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for an address that is none."""
        muxed = len(self.address) == _MUXED_LENGTH and self.address.startswith("M")
        if not (muxed or is_account(self.address)):
            raise ValueError("address: must be the address of a Stellar account (G... or M...)")


async def join(joining: Joining, observe: Observer) -> None:
    """Join and mine until cancelled; raise MinerError when that cannot be."""
    url = checked_url(joining.url, plaintext=joining.plaintext)
    roster = await asyncio.to_thread(roster_of, joining.choice)
    async with open_client(url, joining.ca_file) as client:
        pool = await _pool(client, observe)
        await _identify(client, url, joining, pool, observe)
        for words in await asyncio.to_thread(roster.warm):
            observe(Note(text=words))
        rate = await asyncio.to_thread(_rate, roster)
        wishes = _wishes(joining, roster, pool)
        miner = PoolMiner(client, roster, wishes, observe, rate=rate)
        await miner.run()


async def _pool(client: DoorClient, observe: Observer) -> Mapping[str, Any]:
    """Return what the pooler tells everybody, once it answers."""
    while True:
        try:
            return await client.pool()
        except (PoolAwayError, RefusedError) as error:
            if isinstance(error, RefusedError) and not error.is_passing:
                raise
            observe(Note(text=f"{error}; again in {_PAUSE_SECONDS:.0f} s"))
            await asyncio.sleep(_PAUSE_SECONDS)


async def _identify(
    client: DoorClient,
    url: str,
    joining: Joining,
    pool: Mapping[str, Any],
    observe: Observer,
) -> None:
    """Give the client its credential: the one of before, or one by joining now."""
    path = joining.credential_file or credentials.default_file(url, joining.address)
    terms = object_of(pool, "terms")
    client.credential = credentials.read(path)
    is_new = client.credential is None
    if is_new:
        if not joining.agrees:
            raise TermsError(f"agree to the terms by --agree: {_described(terms)}")
        credentials.prepare(path)
        credential = await client.join(joining.address, text_of(terms, "version"), joining.name)
        credentials.keep(path, url=url, address=joining.address, credential=credential)
        client.credential = credential
    else:
        await _check_terms(client, joining, terms)
    observe(Joined(url=url, address=joining.address, is_new=is_new))


async def _check_terms(client: DoorClient, joining: Joining, terms: Mapping[str, Any]) -> None:
    """See whether the pooler still gives work to this miner."""
    try:
        await client.work({"worker": joining.worker})
    except RefusedError as error:
        if error.reason == "TERMS_CHANGED":
            if not joining.agrees:
                raise TermsError(f"agree to new terms by --agree: {_described(terms)}") from error
            await client.agree(text_of(terms, "version"))
        elif error.reason != "PAUSED" and not error.is_passing:
            raise


def _described(terms: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in terms.items() if value != "")


def _rate(roster: Roster) -> float:
    """Return what the engines hash in a second, as far as a short look tells."""
    rate = 0.0
    for engine in roster.usable():
        # What fails here fails again in the search, which tells it.
        with suppress(MinerError):
            if not _is_program(engine.name):
                rate += sample(engine, engine.appetite.threads, _SAMPLE_SECONDS).per_second
    return rate


def _wishes(joining: Joining, roster: Roster, pool: Mapping[str, Any]) -> Wishes:
    limits = {"lowestDifficulty": 1, "highestDifficulty": 2**63, **object_of(pool, "limits")}
    return Wishes(
        worker=joining.worker,
        difficulty=joining.difficulty,
        whole_zeros=any(_is_program(engine.name) for engine in roster.usable()),
        least_difficulty=number_of(limits, "lowestDifficulty", least=1, most=2**64),
        most_difficulty=number_of(limits, "highestDifficulty", least=1, most=2**64),
    )


def _is_program(name: str) -> bool:
    return name.startswith("program ")

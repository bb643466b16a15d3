"""Work for miners as a pooler gives it: its blocks, its own finds, and what its blocks have earned.

Without settings for it, everything here does nothing.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from client import (
    Block,
    ChainWatch,
    FarmerOutcome,
    PoolClient,
    PoolerId,
    PoolError,
    Submission,
    UnavailableError,
    raw_key,
)
from libs.common.log import get_logger
from miner.model import NO_CAP
from miner.model import Find as OwnFind
from miner.search import Search
from pooler.credits import PoolPayer
from pooler.events import Observer, ServingMiners, Trouble
from pooler.settling import Settling
from pooler.shares.app import open_app
from pooler.shares.block import Find, Target
from pooler.shares.config import SharesSettings
from pooler.shares.dividing import Payer
from pooler.shares.service import Shares

log = get_logger(__name__)

#: Seconds between two notes of the pooler's own hashes and finds, and two looks at closed blocks.
_NOTE, _LOOK = 1.0, 5.0
#: Seconds until a block is given to miners again that the database could not take.
_AGAIN = 1.0


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best nonce of a farmer, whoever has found it."""

    #: Leading zero hex digits of its hash.
    zeros: int
    #: The nonce as it is sent.
    submission: Submission


class MinedBlock:
    """The block that is mined, by the pooler's own engines and by miners; see RunningBlock."""

    def __init__(
        self, block: Block, planted: Sequence[FarmerOutcome], search: Search, *, cap: int
    ) -> None:
        """Take the farmers in the order of the search's targets."""
        self.index = block.index
        self.entropy = block.entropy
        self.cap = cap
        self.opened_at = block.opened_at
        self.closes_at = block.closes_at
        self.targets = [
            Target(farmer_id=one.farmer_id, address=one.address, key=raw_key(one.address))
            for one in planted
        ]
        self._search = search
        self._places = {one.farmer_id: place for place, one in enumerate(planted)}
        self._zeros = [-1] * len(planted)
        #: The best nonces that miners have found, or that were known before, by place.
        self._brought: dict[int, Best] = {}
        #: Places of farmers whose works are sent.
        self._sent: set[int] = set()
        #: Hashes that miners have proved since the search began.
        self.proved = 0
        #: Own finds that are not written down yet.
        self._fresh: dict[int, OwnFind] = {}

    @property
    def hashes(self) -> int:
        """Return the hashes that the pooler's own engines have computed."""
        return self._search.hashes

    @property
    def rate(self) -> float:
        """Return the hashes a second of engines and miners together, since the search began."""
        return (self.hashes + self.proved) / max(1.0, self._search.seconds)

    def zeros_of(self, position: int) -> int:
        """See RunningBlock."""
        return self._zeros[position]

    def is_sent(self, position: int) -> bool:
        """See RunningBlock."""
        return position in self._sent

    def offer(self, find: Find) -> None:
        """See RunningBlock. A farmer that the block has not is left out."""
        place = self._places.get(find.farmer_id)
        if place is None or place in self._sent or find.zeros <= self._brought_zeros(place):
            return
        submission = Submission(
            farmer_id=find.farmer_id, nonce=find.nonce, found_at=datetime.now(UTC)
        )
        self._brought[place] = Best(zeros=find.zeros, submission=submission)
        self._zeros[place] = max(self._zeros[place], find.zeros)
        self._search.offer(place, find.zeros)

    def sent(self, places: Collection[int]) -> None:
        """Mine no more for these farmers: their works are on their way."""
        self._sent.update(places)
        for place in places:
            self._search.offer(place, NO_CAP)

    async def follow(self) -> None:
        """Take up what the own engines find, until the search is over."""
        async for find in self._search.improvements():
            self._zeros[find.target] = max(self._zeros[find.target], find.zeros)
            self._fresh[find.target] = find

    def fresh_finds(self) -> list[Find]:
        """Return own finds that were not returned before."""
        found, self._fresh = self._fresh, {}
        return [
            Find(farmer_id=self.targets[place].farmer_id, nonce=one.nonce, zeros=one.zeros)
            for place, one in found.items()
        ]

    def best(self) -> dict[int, Best]:
        """Return the best nonce of each farmer that has one, by its place."""
        own = {
            place: Best(zeros=one.zeros, submission=self._submission(place, one))
            for place, one in self._search.best.items()
            if one.zeros >= self._brought_zeros(place)
        }
        return {**self._brought, **own}

    def zeros(self) -> Mapping[int, int]:
        """Return how many farmers have a nonce, by its zeros."""
        return dict(sorted(Counter(one.zeros for one in self.best().values()).items()))

    def _brought_zeros(self, place: int) -> int:
        brought = self._brought.get(place)
        return -1 if brought is None else brought.zeros

    def _submission(self, place: int, find: OwnFind) -> Submission:
        farmer = self.targets[place].farmer_id
        return Submission(farmer_id=farmer, nonce=find.nonce, found_at=find.found_at)


class Miners:
    """What the block loop tells of its blocks; see open_miners."""

    def __init__(
        self,
        shares: Shares | None,
        settling: Settling | None,
        observe: Observer,
        payer: Payer | None = None,
    ) -> None:
        """Take the work for miners, what divides its blocks, and who credits; None: nobody."""
        self._shares = shares
        self._settling = settling
        self._observe = observe
        self._payer = payer

    @asynccontextmanager
    async def mining(self, mined: MinedBlock) -> AsyncIterator[None]:
        """Give a block to miners while the block runs; own finds are followed in any case.

        At its end shares come too late: all works are sent, or the block is over.
        """
        tasks = [asyncio.create_task(mined.follow())]
        if self._shares is not None:
            tasks.append(asyncio.create_task(self._give(self._shares, mined)))
        try:
            yield
            if self._shares is not None:
                self._shares.own_hashes(mined.index, mined.hashes)
                await self._reported(self._shares.works_sent(mined.index))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def worked(self, index: int) -> None:
        """Note that all works of a block are settled."""
        if self._settling is not None:
            self._settling.worked(index)

    async def settle(self, *, is_last: bool = False) -> None:
        """Divide what closed blocks have earned, as far as it is harvested; see Settling."""
        if self._settling is not None:
            await self._reported(self._settling.settle(is_last=is_last))
        if is_last and self._shares is not None and self._payer is not None:
            await self._reported(self._hand_on(self._shares, self._payer))

    async def keep_settling(self) -> None:
        """Do that again and again, until the task is cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                await self.settle()
            except Exception as error:  # a defect in one round must not end all of them
                log.exception("defect", exc_info=error)

    async def _give(self, shares: Shares, mined: MinedBlock) -> None:
        """Open a block for miners; then note own hashes and finds, until the task is cancelled."""
        while True:
            try:
                await shares.open_block(mined)
                break
            except UnavailableError as error:
                self._tell(error, retry_in=_AGAIN)
                await asyncio.sleep(_AGAIN)
            except PoolError as error:
                self._tell(error)
                return
        before = shares.proved(mined.index)
        while True:
            await asyncio.sleep(_NOTE)
            mined.proved = shares.proved(mined.index) - before
            shares.own_hashes(mined.index, mined.hashes)
            finds = mined.fresh_finds()
            if finds:
                await self._reported(shares.keep_finds(mined.index, finds))

    async def _hand_on(self, shares: Shares, payer: Payer) -> None:
        await shares.dividing.hand_on(payer)

    async def _reported(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do something; report an error instead of raising it: farming goes on without miners."""
        try:
            await doing
        except PoolError as error:
            self._tell(error)

    def _tell(self, error: PoolError, *, retry_in: float | None = None) -> None:
        told = f"{error.reason}: {error}"
        self._observe(Trouble(what="give work to miners", error=told, retry_in=retry_in))


@asynccontextmanager
async def open_miners(
    settings: SharesSettings | None,
    client: PoolClient,
    pooler_id: PoolerId,
    watch: ChainWatch,
    observe: Observer,
) -> AsyncIterator[Miners]:
    """Serve miners while the block runs, if there are settings for it.

    Raise WrongDatabaseError, UnavailableError, or ListenError for a port that is taken.
    """
    if settings is None:
        yield Miners(None, None, observe)
        return
    payer = PoolPayer(client, pooler_id) if settings.shares_credits else None
    async with open_app(settings, payer=payer) as (shares, port):
        observe(ServingMiners(host=settings.shares_host, port=port))
        miners = Miners(shares, Settling(shares, client, pooler_id, watch), observe, payer)
        settling = asyncio.create_task(miners.keep_settling())
        try:
            yield miners
        finally:
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)

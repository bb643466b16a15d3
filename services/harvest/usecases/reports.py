"""Use cases of reports: summaries, blocks and earnings."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.batches.model import FarmerNotFoundError, PoolerNotFoundError
from libs.common.grpc.identity import Caller, CallerKind
from libs.common.ids import FarmerId, PoolerId
from libs.common.paging import MAX_INDEX
from libs.common.spans import Span, SpanPage, Starts, latest
from services.harvest.domain.errors import BlockNotFarmedError, FarmerPagesClosedError
from services.harvest.domain.reports import (
    DAYS,
    HOURS,
    Began,
    BlockReport,
    Blocks,
    Earned,
    Earnings,
    FarmerSummary,
    ReportedFarmer,
    Summary,
    blocks_of_late,
)
from services.harvest.store.reports import ReportStore, Whose

#: Tells the index of the running block; None before any was opened.
CurrentBlock = Callable[[], Awaitable[int | None]]


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """The use cases of one process."""

    #: The sums.
    store: ReportStore
    #: Where the chain is.
    current_block: CurrentBlock
    #: Whether everybody may see a farmer's figures.
    are_farmers_public: bool
    #: Tells the owner accounts of farmers.
    accounts_of_farmers: Callable[[Sequence[str]], Awaitable[Collection[str]]]

    async def summary(self, pooler_id: PoolerId | None) -> Summary:
        """Summarise a pooler, or the pool."""
        began = await self._began(Whose(pooler_id=pooler_id))
        blocks = await self._blocks_of_late()
        ever = await self.store.ever(pooler_id)
        return Summary(
            people=await self.store.people(pooler_id),
            earned=await self._earned(
                Whose(pooler_id=pooler_id), began.now, rewards=ever.rewards, harvests=ever.harvests
            ),
            blocks=blocks,
            success=await self.store.success(pooler_id, blocks),
        )

    async def farmer(
        self, viewer: Caller, *, farmer_id: FarmerId | None, address: str
    ) -> FarmerSummary:
        """Summarise a farmer, named by its id or its address, as far as the viewer may see it."""
        found = await self.store.farmer(farmer_id=farmer_id, address=address)
        await self._check_shown(viewer, found)
        if found is None:
            raise FarmerNotFoundError(f"no farmer {farmer_id or address}")
        blocks = await self._blocks_of_late()
        return FarmerSummary(
            farmer=found,
            earned=await self._earned(
                Whose(farmer_id=found.farmer_id),
                found.now,
                rewards=found.rewards,
                harvests=found.harvests,
            ),
            blocks=blocks,
            success=await self.store.farmer_success(found.farmer_id, blocks),
        )

    async def blocks(
        self, pooler_id: PoolerId | None, *, before: int | None, limit: int
    ) -> list[BlockReport]:
        """List the blocks that a pooler, or the pool, took part in, newest first."""
        if pooler_id is not None:
            await self._began(Whose(pooler_id=pooler_id))
        # No block has the last index: what comes before it is everything.
        newest = MAX_INDEX if before is None else before
        return await self.store.blocks(pooler_id, before=newest, limit=limit)

    async def block(self, block_index: int) -> tuple[BlockReport, list[int]]:
        """Return one block of the pool, with its farmers by zeros."""
        if block_index < MAX_INDEX:
            found = await self.store.blocks(None, before=block_index + 1, limit=1)
            if found and found[0].block_index == block_index:
                return found[0], await self.store.farmers_by_zeros(block_index)
        raise BlockNotFarmedError(f"the pool took no part in block {block_index}")

    async def earnings(self, whose: Whose, page: SpanPage) -> tuple[Sequence[Earnings], Starts]:
        """List what was earned, with the beginnings on the page."""
        began = await self._began(whose)
        starts = page.starts(now=began.now, registered_at=began.registered_at)
        return await self.store.earnings(whose, page.span, starts.page), starts

    async def _earned(self, whose: Whose, now: datetime, *, rewards: int, harvests: int) -> Earned:
        return Earned(
            rewards=rewards,
            harvests=harvests,
            days=await self.store.earnings(whose, Span.DAY, latest(Span.DAY, now, DAYS)),
            hours=await self.store.earnings(whose, Span.HOUR, latest(Span.HOUR, now, HOURS)),
        )

    async def _began(self, whose: Whose) -> Began:
        began = await self.store.began(whose)
        if began is not None:
            return began
        if whose.farmer_id is not None:
            raise FarmerNotFoundError(f"no farmer {whose.farmer_id}")
        raise PoolerNotFoundError(f"no pooler {whose.pooler_id}")

    async def _blocks_of_late(self) -> Blocks:
        return blocks_of_late(await self.current_block())

    async def _check_shown(self, viewer: Caller, found: ReportedFarmer | None) -> None:
        """Raise FarmerPagesClosedError unless the viewer may see the farmer.

        The error is the same for a farmer that there is not.
        """
        if self.are_farmers_public or viewer.kind in {CallerKind.OPERATOR, CallerKind.UNKNOWN}:
            return
        if found is not None and viewer.name == await self._whose(viewer, found):
            return
        raise FarmerPagesClosedError(
            "farmers' figures are for operators, their poolers and their owner accounts"
        )

    async def _whose(self, viewer: Caller, found: ReportedFarmer) -> str | None:
        """Return the name of who has the farmer, of the viewer's kind; None for other kinds."""
        if viewer.kind is CallerKind.POOLER:
            return str(found.pooler_id)
        if viewer.kind is CallerKind.OWNER:
            (account,) = await self.accounts_of_farmers([str(found.farmer_id)])
            return account
        return None

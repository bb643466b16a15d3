"""The use case of the public list of poolers."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.ids import PoolerId
from services.harvest.domain.poolers import (
    Figures,
    ListedPooler,
    ProvenRate,
    Window,
    proven_rate,
)
from services.harvest.domain.reports import Blocks
from services.harvest.store.poolers import PoolerStore
from services.harvest.usecases.reports import CurrentBlock


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is shown of a pooler in one window."""

    #: The blocks.
    blocks: Blocks
    #: What its farmers came to.
    figures: Figures
    #: The rate that its works prove, if they do.
    rate: ProvenRate | None


@dataclass(frozen=True, kw_only=True)
class FoundPooler:
    """A pooler of the list."""

    #: The pooler, with its terms.
    pooler: ListedPooler
    #: Farmers may join it by themselves now.
    can_join: bool
    #: Its figures.
    shown: Mapping[Window, Shown]


@dataclass(frozen=True, kw_only=True)
class Finder:
    """The list, as one process tells it."""

    #: The sums.
    store: PoolerStore
    #: Where the chain is.
    current_block: CurrentBlock
    #: Whether the operator lets farmers join by themselves.
    is_join_allowed: bool

    async def poolers(self, *, after: PoolerId | None, limit: int) -> list[FoundPooler]:
        """List poolers after one, in the order of their ids."""
        listed = await self.store.listed(after=after, limit=limit)
        current = await self.current_block()
        windows = [(window, window.blocks(current)) for window in Window]
        blocks = [one for _, one in windows]
        ids = [pooler.pooler_id for pooler in listed]
        found = {
            (one.pooler_id, one.window_number): one for one in await self.store.figures(ids, blocks)
        }
        openings = {one.number: one for one in await self.store.openings(blocks)}

        def shown(pooler_id: PoolerId, number: int, window: Blocks) -> Shown:
            figures = found.get((pooler_id, number)) or _nothing(pooler_id, number)
            rate = proven_rate(figures, openings.get(number))
            return Shown(blocks=window, figures=figures, rate=rate)

        return [
            FoundPooler(
                pooler=pooler,
                can_join=self._can_join(pooler),
                shown={
                    window: shown(pooler.pooler_id, number, one)
                    for number, (window, one) in enumerate(windows, 1)
                },
            )
            for pooler in listed
        ]

    def _can_join(self, pooler: ListedPooler) -> bool:
        return self.is_join_allowed and pooler.is_open_to_join and pooler.room > 0


def _nothing(pooler_id: PoolerId, number: int) -> Figures:
    """Return the figures of a window without a block: the chain has not begun."""
    return Figures(
        pooler_id=pooler_id,
        window_number=number,
        planted=0,
        not_planted=0,
        staked=0,
        worked=0,
        not_worked=0,
        worked_blocks=0,
        farmers_by_zeros=(),
        harvested=0,
        not_harvested=0,
        rewards=0,
    )

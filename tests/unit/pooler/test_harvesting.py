"""What a pooler counts as locked while blocks wait for their harvest."""

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest

from client import BatchSummary, Block, FarmerId, FarmerOutcome, PoolClient, PoolerId
from libs.common.errors import FailedPreconditionError
from pooler.config import PoolerConfig
from pooler.events import Event, Harvested, Trouble
from pooler.harvesting import Harvests
from pooler.memory import Memory
from pooler.strategies.choice import StrategyNames

BLOCK = Block(index=7, opened_at=0.0, closes_at=300.0, entropy=bytes(32), max_zeros=9)
FARMER = FarmerId(UUID(int=1))
PLANTED = FarmerOutcome(
    farmer_id=FARMER, address="", succeeded=True, reason="UNSPECIFIED", amount=500
)


class Pool:
    """A pool that harvests, or refuses to."""

    def __init__(self, *, refuses: bool) -> None:
        self.refuses = refuses

    async def harvest(self, _pooler: PoolerId, index: int, *, patience: float) -> BatchSummary:
        """As the client's."""
        assert patience > 0
        if self.refuses:
            raise FailedPreconditionError("of no use", reason="BLOCK_NOT_CLOSED")
        return BatchSummary(
            block_index=index, requested=1, succeeded=1, amount=9, milliseconds=1, outcomes=()
        )


@pytest.mark.parametrize(("refuses", "told"), [(False, Harvested), (True, Trouble)])
async def test_a_stake_counts_as_locked_until_its_harvest_has_ended_in_any_way(
    refuses: bool, told: type[Event]
) -> None:
    events: list[Event] = []
    harvests = Harvests(
        cast("PoolClient", Pool(refuses=refuses)),
        PoolerConfig(),
        cast("Any", UUID(int=2)),
        memory=Memory(),
        strategies=StrategyNames().strategies(),
        observe=events.append,
    )
    harvests.hold(BLOCK, [PLANTED])
    assert harvests.locked == {FARMER: 500}
    async with asyncio.TaskGroup() as tasks:
        harvests.begin(tasks)
        assert harvests.locked == {FARMER: 500}
    assert harvests.locked == {}
    assert [type(event) for event in events] == [told]

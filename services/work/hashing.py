"""Computation of the hashes of many nonces: in batches, in parallel, each with a time limit."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.ids import FarmerId
from libs.kale.address import raw_key
from libs.kale.hash import work_hash
from services.work.domain.judging import TIMED_OUT
from services.work.domain.model import Block, FarmerState, Submission


@dataclass(frozen=True, kw_only=True)
class Hasher:
    """Hasher with the seed's limits: batches of 50, 10 in parallel, 5 s per nonce."""

    #: Nonces of one batch.
    batch_size: int
    #: Checks at a time.
    parallel: int
    #: Seconds for one check.
    timeout: float

    async def hashes(
        self,
        submissions: Sequence[Submission],
        farmers: Mapping[FarmerId, FarmerState],
        block: Block,
    ) -> list[bytes | None]:
        """Return one result per submission: its hash, or None for an unknown farmer.

        A check that takes too long gives TIMED_OUT.
        """
        found: list[bytes | None] = []
        limit = asyncio.Semaphore(self.parallel)
        for start in range(0, len(submissions), self.batch_size):
            part = submissions[start : start + self.batch_size]
            found += await asyncio.gather(
                *(self._hash(one, farmers.get(one.farmer_id), block, limit) for one in part)
            )
        return found

    async def _hash(
        self,
        submission: Submission,
        farmer: FarmerState | None,
        block: Block,
        limit: asyncio.Semaphore,
    ) -> bytes | None:
        if farmer is None:
            return None
        async with limit:
            try:
                async with asyncio.timeout(self.timeout):
                    return await asyncio.to_thread(
                        work_hash,
                        index=block.index,
                        nonce=submission.nonce,
                        entropy=block.entropy,
                        farmer_key=raw_key(farmer.address),
                    )
            except TimeoutError:
                return TIMED_OUT

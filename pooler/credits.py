"""The pool as who takes miners' parts: it is told who mined a block, and credits them."""

from collections import Counter
from collections.abc import Sequence

from client import MinersTold, PoolClient, PoolerId, PoolError
from libs.common.log import get_security_logger
from pooler.shares.domain.model import BlockRow, PaidPart

security = get_security_logger()

#: Miners that one call tells of at most.
CHUNK = 10_000
#: Reasons of refusals that no repeat changes: something else was told of the block before, and the
#: pool knows of no farmer in it, so that nothing was earned.
_TOLD, _NOT_FARMED = "MINERS_TOLD", "BLOCK_NOT_FARMED"


class PoolPayer:
    """The pool; satisfies pooler.shares.dividing.Payer.

    It divides the miners' part of the agreed fees itself, by the same hashes. Whatever is told
    again counts once.
    """

    def __init__(self, client: PoolClient, pooler_id: PoolerId, *, chunk: int = CHUNK) -> None:
        self._client = client
        self._pooler_id = pooler_id
        self._chunk = chunk

    async def take(self, block: BlockRow, parts: Sequence[PaidPart]) -> None:
        """See Payer."""
        proven: Counter[str] = Counter()
        for part in parts:
            # Who has joined twice is paid at one address.
            proven[part.address] += part.points
        addresses = sorted(proven)
        chunks = [
            addresses[first : first + self._chunk]
            for first in range(0, len(addresses) or 1, self._chunk)
        ]
        try:
            for number, chunk in enumerate(chunks, start=1):
                await self._client.credit_miners(
                    MinersTold(
                        pooler_id=self._pooler_id,
                        block_index=block.block,
                        points={address: proven[address] for address in chunk},
                        own_points=block.own_hashes if block.own_takes_part else 0,
                        chunk=number,
                        chunks=len(chunks),
                    )
                )
        except PoolError as error:
            if error.reason == _TOLD:
                # A database that was put back has divided the block anew: what came first stands.
                security.critical("miners told otherwise before", block=block.block)
            elif error.reason != _NOT_FARMED or block.rewards:
                raise

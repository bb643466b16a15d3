"""The loop that sweeps all pending harvests, so that none is forgotten."""

import asyncio

from libs.common.errors import PoolError
from libs.common.log import get_logger
from services.harvest.usecases.harvest import Harvester

log = get_logger(__name__)

#: Blocks of one sweep at most: about a day's.
BLOCKS = 300


async def sweep_for_ever(harvester: Harvester, *, interval: float, after: int) -> None:
    """Harvest all pending blocks every `interval` seconds.

    A pooler's blocks wait until the running block is `after` blocks behind the oldest of them. A
    harvest that has failed is tried less and less often.
    """
    while True:
        await asyncio.sleep(interval)
        try:
            summaries, left = await harvester.harvest_pending(
                None, BLOCKS, pause=interval, after=after
            )
        except PoolError as error:
            log.warning("sweep delayed", reason=error.reason)
            continue
        except Exception:  # a defect must not end the loop: the next round may do better
            log.exception("defect", loop="sweep")
            continue
        if summaries or left:
            log.info("swept", blocks=len(summaries), still_pending=left)

"""The loops of harvest: sweeps, the pool's ledger, miners' parts, payouts, and closings."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from libs.common.errors import PoolError
from libs.common.log import get_logger
from services.harvest.usecases.bookkeeping import Bookkeeper, Deposits
from services.harvest.usecases.closing import Closer
from services.harvest.usecases.credits import MinerCredits
from services.harvest.usecases.harvest import Harvester
from services.harvest.usecases.ledger import Ledger
from services.harvest.usecases.payout_runner import PayoutRunner
from services.harvest.usecases.payouts import Payouts

log = get_logger(__name__)

#: The day on which the whole ledger is looked at, as datetime counts them.
_SUNDAY = 6
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


async def book_for_ever(bookkeeper: Bookkeeper, *, interval: float) -> None:
    """Book what wallet tells, now and every `interval` seconds."""
    while True:
        await _attempt(bookkeeper.step, loop="bookkeeping", delayed="bookkeeping delayed")
        await asyncio.sleep(interval)


async def pay_for_ever(payouts: Payouts, *, interval: float) -> None:
    """Pay who is due every `interval` seconds."""
    while True:
        await asyncio.sleep(interval)
        await _attempt(payouts.step, loop="payouts", delayed="payouts delayed")


async def resume_payouts(runner: PayoutRunner, *, interval: float) -> None:
    """Have runs go on that a crash has left open, at start and every `interval` seconds."""
    while True:
        await _attempt(runner.recover, loop="open payouts", delayed="payouts delayed")
        await asyncio.sleep(interval)


async def look_for_deposits(deposits: Deposits, *, interval: float) -> None:
    """Book what came from outside, now and every `interval` seconds."""
    while True:
        await _attempt(deposits.step, loop="deposits", delayed="accounts not looked at")
        await asyncio.sleep(interval)


async def divide_for_ever(crediting: MinerCredits, *, interval: float) -> None:
    """Divide the miners' parts of blocks that have changed, now and every `interval` seconds."""
    while True:
        await _attempt(crediting.divide, loop="credits", delayed="miners not credited")
        await asyncio.sleep(interval)


async def check_every_night(ledger: Ledger, *, hour: int) -> None:
    """Look at the ledger once a day, at this hour (UTC): at all of it on Sundays."""
    while True:
        await asyncio.sleep(seconds_until(hour, datetime.now(UTC)))
        is_sunday = datetime.now(UTC).weekday() == _SUNDAY
        look = partial(ledger.watch, is_full=is_sunday)
        await _attempt(look, loop="ledger", delayed="ledger not checked")


async def close_for_ever(closer: Closer, *, interval: float, delay: float) -> None:
    """Close days `delay` seconds after their ends, and have their roots published.

    Look every `interval` seconds.
    """
    while True:
        await _attempt(partial(closer.step, delay), loop="closing", delayed="closing delayed")
        await asyncio.sleep(interval)


async def _attempt(step: Callable[[], Awaitable[object]], *, loop: str, delayed: str) -> None:
    """Run one round of a loop; log `delayed` and the reason where it can do nothing now."""
    try:
        await step()
    except PoolError as error:
        log.warning(delayed, reason=error.reason, error=error.message)
    except Exception:  # a defect must not end the loop: the next round may do better
        log.exception("defect", loop=loop)


def seconds_until(hour: int, now: datetime) -> float:
    """Return the seconds until the clock next shows this hour."""
    then = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return ((then if then > now else then + timedelta(days=1)) - now).total_seconds()

"""Workers whose true rate is known, under the rules of difficulty; seeded, without a clock."""

from collections.abc import Iterator
from random import Random

from pooler.shares.domain.difficulty import BLOCK_SECONDS, Bounds, Vardiff, retargeted
from pooler.shares.domain.points import hashes_of, target_of

BOUNDS = Bounds()
#: Seconds after which a worker asks for another job.
_ASKS = 60.0


def shares_of(
    chance: Random, rate: float, seconds: float, vardiff: Vardiff
) -> Iterator[tuple[float, int]]:
    """Yield moment and points of the shares of a worker with a difficulty to begin with."""
    now, block, asks_at = 0.0, 1, _ASKS
    while True:
        points = hashes_of(target_of(vardiff.difficulty))
        step = chance.expovariate(rate / points)
        stop = min(float(block * BLOCK_SECONDS), asks_at)
        if now + step > stop:  # an exponential time has no memory: it may be drawn again
            now = stop
            if now >= seconds:
                return
            is_new = now == block * BLOCK_SECONDS
            block += is_new
            asks_at = now + _ASKS if now >= asks_at else asks_at
            vardiff = retargeted(vardiff, now, BOUNDS, is_new_block=is_new)
            continue
        now += step
        if now >= seconds:
            return
        yield now, points
        vardiff = retargeted(vardiff.counted(now, points), now, BOUNDS)

"""The world in which strategies are compared: ledgers, openings, and what strangers do.

A scene is one block of it. Scenes depend on the world alone and never on what our pool does, so
every strategy meets the same ones; what a block is measured by follows from all works of the block
before, ours among them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp
from random import Random

from libs.kale.constants import INTERVAL_SECONDS, STROOPS_PER_KALE
from pooler.strategies.model import Learned, Pace
from trials.yields.contract import Part, Work
from trials.yields.hashes import best_of, more_zeros

#: Seconds of late openings that the true chances go to.
_LATE = 200
#: Seconds between two ledgers of mainnet: rarely under 5, mostly 6, some 8 or 9; about 50 a block.
MAINNET_SPANS = ((5, 0.22), (6, 0.58), (7, 0.12), (8, 0.06), (9, 0.02))


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Strangers who farm alike, each with one account."""

    #: What they are.
    name: str
    #: How many they are.
    farmers: int
    #: Stroops that each stakes.
    stake: int = 0
    #: Ledgers after the block's first one in which they plant.
    planted: int = 1
    #: Seconds after the opening at which they send their works.
    send_seconds: float = 240.0
    #: Hashes a second of each; 0: they stop at the first nonce with `zeros`.
    hash_rate: float = 0.0
    #: Zeros at which they stop.
    zeros: int = 0


def strangers(*, homesteads: int, kale_farmers: int, strays: int = 0) -> tuple[Crowd, ...]:
    """Return the usual strangers: farmers with homestead and KALE-farmer, a GPU owner, a whale.

    A stray works as soon as it can with a poor nonce: one in a block is enough to keep the least
    gap and the least zeros that count low.
    """
    return (
        Crowd(name="homestead", farmers=homesteads, zeros=6),
        Crowd(name="KALE-farmer", farmers=kale_farmers, send_seconds=282.0, hash_rate=1.5e6),
        Crowd(name="GPU owner", farmers=1, send_seconds=270.0, hash_rate=1.9e9),
        Crowd(
            name="whale",
            farmers=1,
            stake=1_000 * STROOPS_PER_KALE,
            send_seconds=276.0,
            hash_rate=12e6,
        ),
        Crowd(name="stray", farmers=strays, send_seconds=5.0, zeros=4),
    )


@dataclass(frozen=True, kw_only=True)
class World:
    """One world."""

    #: What it is called.
    name: str
    #: From which everything is drawn.
    seed: int
    #: Blocks, and those of them at the beginning whose yields do not count: the pool learns.
    blocks: int
    warm_up: int
    #: Farmers of our pool.
    farmers: int
    #: Hashes a second of our pool.
    hash_rate: float
    #: Everybody else.
    crowds: tuple[Crowd, ...]
    #: Stroops of KALE that our farmers have, each amount as many farmers as any other.
    balances: tuple[int, ...]
    #: Mean seconds by which a block is opened later than it could be; exponential.
    late_seconds: float = 7.5
    #: Chance that a ledger takes none of our transactions.
    loss: float = 0.01
    #: Seconds between two ledgers, with the chance of each.
    spans: tuple[tuple[int, float], ...] = MAINNET_SPANS
    #: Our plants and works that a ledger takes: multicalls as measured on mainnet's settings.
    plants_per_ledger: int = 281
    works_per_ledger: int = 738
    #: Index of the first block: the reward decays with it.
    first_index: int = 160_000
    #: Seconds of a block's interval.
    interval: int = INTERVAL_SECONDS


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One block, as it goes whatever our pool does."""

    #: Index of the block.
    index: int
    #: Close time of each ledger in seconds after that of the first one, which opens the block. The
    #: last one opens the next block.
    closes: tuple[int, ...]
    #: Whether each of them takes our transactions.
    takes: tuple[bool, ...]
    #: What strangers do in it.
    strangers: tuple[Part, ...]

    @property
    def end(self) -> int:
        """Return the number of the ledger that opens the next block."""
        return len(self.closes) - 1

    def ledgers_after(self, sent: int) -> Iterator[int]:
        """Yield the ledgers that take transactions sent after ledger `sent`, while it is open."""
        return (number for number in range(sent + 1, self.end) if self.takes[number])


@lru_cache(maxsize=1)
def scenes(world: World) -> tuple[Scene, ...]:
    """Return all blocks of the world."""
    return tuple(scene_of(world, number) for number in range(world.blocks))


def draw_of(world: World, purpose: str, number: int) -> Random:
    """Return where the draws of a block for one purpose come from: the same at every run."""
    return Random(f"{world.seed} {world.name} {purpose} {number}")


def draw_ledgers(world: World, draw: Random) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return close times of a block's ledgers, and whether each takes our transactions."""
    spans, chances = zip(*world.spans, strict=True)
    opened = float(world.interval)
    if world.late_seconds:
        opened += draw.expovariate(1 / world.late_seconds)
    closes = [0]
    while closes[-1] < opened:
        closes.append(closes[-1] + draw.choices(spans, chances)[0])
    return tuple(closes), tuple(draw.random() >= world.loss for _ in closes)


def scene_of(world: World, number: int) -> Scene:
    """Return one block of the world; -1 is the one before the first."""
    closes, takes = draw_ledgers(world, draw_of(world, "ledgers", number))
    draw = draw_of(world, "strangers", number)
    parts = [part for crowd in world.crowds for part in _parts(crowd, closes, draw)]
    return Scene(
        index=world.first_index + number, closes=closes, takes=takes, strangers=tuple(parts)
    )


def _parts(crowd: Crowd, closes: Sequence[int], draw: Random) -> Iterable[Part]:
    """Return what a crowd does in a block; all of a crowd have one gap, each its own zeros."""
    landed = next(
        (number for number, at in enumerate(closes) if at > crowd.send_seconds), len(closes)
    )
    gap = max(1, landed - crowd.planted)
    found = Counter(_zeros(crowd, draw) for _ in range(crowd.farmers))
    return [
        Part(farmers=count, stake=crowd.stake, works=(Work(gap=gap, zeros=zeros),))
        for zeros, count in sorted(found.items())
    ]


def _zeros(crowd: Crowd, draw: Random) -> int:
    if crowd.hash_rate:
        return best_of(draw, crowd.hash_rate * crowd.send_seconds)
    return crowd.zeros + more_zeros(draw)


def true_chances(world: World) -> Learned:
    """Return what nobody in the world can know: the chances that it is drawn from."""
    late = world.late_seconds
    return Learned(
        pace=Pace(delay=1, per_ledger=world.works_per_ledger, is_full=True, loss=world.loss),
        spans=world.spans,
        still_open=tuple(exp(-seconds / late) for seconds in range(_LATE)) if late else (),
    )

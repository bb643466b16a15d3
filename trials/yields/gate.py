"""The profitability gate, beside one that knows what each block pays and every price."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from libs.kale.constants import STROOPS_PER_KALE
from libs.kale.reward import BlockStats
from pooler.strategies.model import StakeFacts
from pooler.strategies.profit import Outlook, Prices, profitable, weight_in, who_takes_part
from pooler.strategies.stake import full
from trials.yields.contract import ClosedBlock, Part, Work, close_block
from trials.yields.hashes import fewest_first
from trials.yields.plans import Fees
from trials.yields.pool import opening_bounds
from trials.yields.world import Scene, World, draw_of, scenes

#: KALE that the farmers of each class have.
BALANCES = tuple(kale * STROOPS_PER_KALE for kale in (0, 500, 1_000, 2_000))
#: What one XLM costs in KALE, one after the other: some farmers earn their fees, all, or none.
XLM_PRICES = tuple(map(Decimal, ("20", "46", "28", "60", "46", "20", "60", "28", "46", "60")))
#: Blocks between two changes of the price, each while a block is under way.
_BETWEEN = 10
#: Seconds before the end at which works are sent.
_SENT_SECONDS = 24


@dataclass(frozen=True, kw_only=True)
class Done:
    """What one of our farmers did in a block."""

    #: Stroops.
    stake: int
    #: Ledgers.
    gap: int
    zeros: int


@dataclass(kw_only=True)
class GateOutcome:
    """What the gate decided, and how often it was wrong."""

    #: Changes of the price.
    changes: int = 0
    #: Blocks in which it was wrong about a farmer after one change, at most.
    most_wrong: int = 0
    #: Blocks of farmers that took part, that sat out, and that were decided wrongly.
    took_part: int = 0
    sat_out: int = 0
    wrong: int = 0


class _GatedPool:
    """A pool that knows a block's prices when it opens, and what the block before has paid."""

    def __init__(self, world: World, fees: Fees) -> None:
        self._world = world
        self._fees = fees
        self._bounds = opening_bounds(world)
        self._closed = self._bounds
        self._ours = 0
        self._gap, self._zeros = 45, 5.0
        self._wrong_since = [0] * world.farmers
        self.outcome = GateOutcome()

    def farm(self, scene: Scene, number: int) -> None:
        """Farm one block; the price may change in the middle of it."""
        out = self.outcome
        before, after = _prices(number)
        if before != after:
            out.changes += 1
            self._wrong_since = [0] * self._world.farmers
        outlooks = self._outlooks()
        takes = self._decide(outlooks, scene, self._closed, before)
        done = self._done(scene, number, outlooks)
        ours = [one for one, takes_part in zip(done, takes, strict=True) if takes_part]
        closed = self._close(scene, ours)
        self._remember(closed, ours)
        knowing = [
            replace(outlook, gap=one.gap, zeros=self._zeros if ours else outlook.zeros)
            for outlook, one in zip(outlooks, done, strict=True)
        ]
        self._judge(takes, self._decide(knowing, scene, self._closed, after), counts=number > 0)

    def _outlooks(self) -> list[Outlook]:
        """Return what is expected of each farmer; farmer n is of class n modulo the classes."""
        classes = []
        for balance in BALANCES:
            facts = StakeFacts(
                balance=balance, locked=0, agreed=balance, max_stake=self._bounds.max_stake
            )
            stake = full(facts)
            plant = self._fees.plant_staked if stake else self._fees.plant
            fees = plant + self._fees.work + self._fees.harvest
            classes.append(Outlook(gap=self._gap, stake=stake, zeros=self._zeros, fees=fees))
        return [classes[number % len(classes)] for number in range(self._world.farmers)]

    def _decide(
        self, outlooks: Sequence[Outlook], scene: Scene, closed: BlockStats, prices: Prices
    ) -> list[bool]:
        if not closed.normalized_total:
            return [True] * len(outlooks)
        return who_takes_part(
            profitable,
            closed,
            index=scene.index,
            ours=self._ours,
            outlooks=outlooks,
            prices=prices,
        )

    def _done(self, scene: Scene, number: int, outlooks: Sequence[Outlook]) -> list[Done]:
        """Return what each farmer does if it takes part."""
        sent = self._world.interval - _SENT_SECONDS
        landed = next(ledger for ledger, at in enumerate(scene.closes) if at > sent)
        draw = draw_of(self._world, "nonces", number)
        found = fewest_first(
            draw, self._world.hash_rate * sent, self._world.farmers, self._bounds.max_zeros
        )
        draw.shuffle(found)
        return [
            Done(stake=outlook.stake, gap=landed, zeros=zeros)
            for outlook, zeros in zip(outlooks, found, strict=True)
        ]

    def _close(self, scene: Scene, ours: Sequence[Done]) -> ClosedBlock:
        parts = [
            Part(farmers=1, stake=one.stake, works=(Work(gap=one.gap, zeros=one.zeros),))
            for one in ours
        ]
        return close_block(self._bounds, [*scene.strangers, *parts], index=scene.index)

    def _remember(self, closed: ClosedBlock, ours: Sequence[Done]) -> None:
        self._bounds, self._closed = closed.following, closed.stats
        self._ours = weight_in(closed.stats, ((one.gap, one.stake, one.zeros) for one in ours))
        if ours:
            self._gap = round(sum(one.gap for one in ours) / len(ours))
            self._zeros = sum(one.zeros for one in ours) / len(ours)

    def _judge(self, takes: Sequence[bool], right: Sequence[bool], *, counts: bool) -> None:
        out = self.outcome
        out.took_part += sum(takes)
        out.sat_out += len(takes) - sum(takes)
        for farmer, (done, best) in enumerate(zip(takes, right, strict=True)):
            if counts and done != best:
                out.wrong += 1
                self._wrong_since[farmer] += 1
                out.most_wrong = max(out.most_wrong, self._wrong_since[farmer])


def simulate_gate(world: World, fees: Fees) -> GateOutcome:
    """Farm a world whose prices change; compare each decision with the best one in hindsight."""
    pool = _GatedPool(world, fees)
    for number, scene in enumerate(scenes(world)):
        pool.farm(scene, number)
    return pool.outcome


def _prices(number: int) -> tuple[Prices, Prices]:
    """Return the prices when a block opens, and when it closes."""
    before, after = (
        XLM_PRICES[(number + moment) // _BETWEEN % len(XLM_PRICES)] for moment in (0, 1)
    )
    return Prices(kale=Decimal(1), xlm=before), Prices(kale=Decimal(1), xlm=after)

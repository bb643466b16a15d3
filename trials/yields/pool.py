"""Our pool in a world: it farms every block by one plan, with the pooler's own strategies."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from libs.kale.constants import TEMPORARY_TTL
from libs.kale.reward import BlockStats
from pooler.strategies.learning import Opening, Records, landing_of, learn
from pooler.strategies.model import (
    EarlyFacts,
    HarvestFacts,
    Learned,
    SendFacts,
    StakeFacts,
    ZerosFacts,
)
from pooler.strategies.odds import odds
from trials.yields.contract import Part, Work, close_block
from trials.yields.plans import Fees, Outcome, Plan, Sends
from trials.yields.world import Scene, World, draw_of, scene_of, scenes, true_chances

#: Blocks between two looks at what was learned, after as many with a look in each; a pooler looks
#: in every block.
_LEARN_EVERY = 20
#: Seconds before the end at which the strategy is first asked: no strategy sends earlier.
_ASKED_SECONDS = 120
#: Zeros of an early, poor work.
_POOR = 1
#: Seconds after the opening at which mining begins.
_FIRST_HASH_SECONDS = 1.0


class Pool:
    """Our pool, which farms one scene after the other."""

    def __init__(self, world: World, plan: Plan, fees: Fees) -> None:
        self._world = world
        self._plan = plan
        self._fees = fees
        self._bounds = opening_bounds(world)
        self._records = Records()
        self._others = 1.0
        #: Stakes by class of the blocks that are not harvested, oldest first.
        self._held: list[list[int]] = []
        self._learned: Learned | None = plan.known
        self._truth = true_chances(world)
        self._measured = False
        self.outcome = Outcome(plan=plan)

    def farm(self, scene: Scene, number: int) -> None:
        """Farm one block, the number-th of the world."""
        stakes = self._stakes()
        planted = self._planted(scene)
        if (number < _LEARN_EVERY or number % _LEARN_EVERY == 0) and self._plan.known is None:
            self._learned = learn(self._records)
        sends = self._sends(scene, stakes, planted)
        landed = fill(scene, sends, self._world.works_per_ledger)
        found = self._mined(scene, sends, number)
        early = self._early(scene, planted)
        parts = _parts(stakes, planted, landed, found, early)
        closed = close_block(self._bounds, [*scene.strangers, *parts], index=scene.index)
        self._expect(scene, sends, landed)
        self._measured = number >= self._world.warm_up
        self._count(parts, closed.rewards[len(scene.strangers) :])
        self._remember(scene, sends, landed)
        self._bounds = closed.following
        self._harvest(stakes)

    # What the strategies decide -------------------------------------------------------------------

    def _stakes(self, harvested: int = 0) -> list[int]:
        """Return the next stake of each class, with this many blocks harvested before."""
        classes = []
        for number, total in enumerate(self._world.balances):
            locked = sum(held[number] for held in self._held[harvested:])
            facts = StakeFacts(
                balance=total - locked,
                locked=locked,
                agreed=total - locked,
                max_stake=self._bounds.max_stake,
            )
            classes.append(self._plan.stake(facts))
        return classes

    def _harvest(self, stakes: list[int]) -> None:
        """Harvest the closed blocks that the strategy says, and hold this block's stakes."""
        closed = len(self._held)
        self._held.append(stakes)
        later, sooner = self._stakes(), self._stakes(harvested=closed)
        facts = HarvestFacts(
            closed=tuple(range(closed)),
            expires=(TEMPORARY_TTL,) * closed,
            ledger=0,
            short=sum(max(0, one - other) for one, other in zip(sooner, later, strict=True)),
            saved=self._fees.harvest_saved,
            group=self._plan.group,
        )
        now = len(self._plan.harvests(facts))
        del self._held[:now]
        if not self._measured:
            return
        out, farmers = self.outcome, self._world.farmers
        out.harvested += now
        out.harvests += now > 0
        out.fees -= farmers * self._fees.harvest_saved * max(0, now - 1)
        waiting = (stake for held in self._held[:-1] for stake in held)
        out.idle += sum(waiting) * farmers // len(stakes)

    def _sends(self, scene: Scene, stakes: Sequence[int], planted: Sequence[int]) -> Sends:
        """Return the works that are sent by the ledger after which they are."""
        facts = self._facts(stakes, planted)
        if self._plan.sender is not None:
            return self._plan.sender(scene, facts)
        first = self._world.interval - _ASKED_SECONDS
        sends: dict[int, int] = {}
        for ledger, close_time in enumerate(scene.closes[:-1]):
            if close_time < first:
                continue
            now = replace(facts, ledger=ledger, close_time=close_time, now=float(close_time))
            count = self._plan.send(now)
            if count:
                sends[ledger] = count
                facts = replace(facts, works=facts.works - count)
            if not facts.works:
                break
        return sends

    def _facts(self, stakes: Sequence[int], planted: Sequence[int]) -> SendFacts:
        """Return what strategies are told, as of the block's first ledger."""
        assert self._learned is not None  # noqa: S101  (farm sets it in the first block)
        at_risk = any(stakes) and not self._shows_early
        return SendFacts(
            works=self._world.farmers,
            ledger=0,
            close_time=0,
            now=0.0,
            opened_at=0,
            closes_at=self._world.interval,
            planted=max(planted),
            min_gap=self._bounds.min_gap,
            max_gap=self._bounds.max_gap,
            others=self._others,
            growth=self._growth(),
            learned=self._learned,
            risk=self._plan.risk if at_risk else self._plan.reward_risk,
            share=self._plan.share,
        )

    @property
    def _shows_early(self) -> bool:
        return self._plan.early(EarlyFacts(ledger=1, planted=0, stake=0))

    def _growth(self) -> float:
        """Return what one more ledger of mining adds to the zeros' weight, about."""
        span = max(1, self._bounds.max_zeros - self._bounds.min_zeros)
        hashes = self._world.hash_rate * self._world.interval
        mined_out = hashes > 3.0 * self._world.farmers * 16.0 ** self._cap()
        return 0.0 if mined_out else 6 / self._world.interval / 2.77 / span

    def _cap(self) -> int:
        bounds = self._bounds
        facts = ZerosFacts(min_zeros=bounds.min_zeros, max_zeros=bounds.max_zeros)
        return min(self._plan.zeros(facts), self._plan.enough)

    # What becomes of it ---------------------------------------------------------------------------

    def _planted(self, scene: Scene) -> list[int]:
        """Return the ledger in which each farmer is planted, from the block's first one on."""
        return fill(scene, {-1: self._world.farmers}, self._world.plants_per_ledger)

    def _early(self, scene: Scene, planted: Sequence[int]) -> list[int] | None:
        """Return the ledger of each early work; None where the plan has none."""
        if not self._shows_early:
            return None
        return fill(scene, {max(planted): self._world.farmers}, self._world.works_per_ledger)

    def _mined(self, scene: Scene, sends: Sends, number: int) -> list[int]:
        """Return the zeros of each farmer, mined for until its work is sent."""
        seconds = sum(scene.closes[ledger] * count for ledger, count in sends.items())
        mean = seconds / max(1, sum(sends.values()))
        hashes = self._world.hash_rate * max(0.0, mean - _FIRST_HASH_SECONDS)
        draw = draw_of(self._world, "nonces", number)
        found = self._plan.sharing(draw, hashes, self._world.farmers, self._cap())
        draw.shuffle(found)
        return found

    def _expect(self, scene: Scene, sends: Sends, landed: Sequence[int]) -> None:
        """Add what was to be expected to be lost when the last works were sent."""
        last = max(sends, default=0)
        under_way = self._world.farmers - sum(ledger <= last for ledger in landed)
        knows_what_comes = self._plan.sender is not None
        if not under_way or self._shows_early or knows_what_comes:
            return
        facts = replace(
            self._facts((), (0,)), ledger=last, close_time=scene.closes[last], learned=self._truth
        )
        self.outcome.expected_lost += under_way * odds(facts, works=under_way).lost

    def _count(self, parts: Sequence[Part], rewards: Sequence[int]) -> None:
        out, fees = self.outcome, self._fees
        for part, reward in zip(parts, rewards, strict=True):
            out.planted += part.farmers
            out.lost += 0 if part.works else part.farmers
            if not self._measured:
                continue
            out.farmer_blocks += part.farmers
            out.stakes += part.farmers * part.stake
            out.fees += part.farmers * (fees.plant_staked if part.stake else fees.plant)
            if not part.works:
                out.stakes_lost += part.farmers * part.stake
                continue
            out.rewards += part.farmers * reward
            out.gaps += part.farmers * part.works[-1].gap
            out.zeros += part.farmers * part.works[-1].zeros
            out.fees += part.farmers * (len(part.works) * fees.work + fees.harvest)
        self._others = self._weights_beside_the_gap(parts)

    def _weights_beside_the_gap(self, parts: Sequence[Part]) -> float:
        """Return the mean weight of stake and zeros, in parts of the most that one weighs."""
        bounds = self._bounds
        stakes = max(1, bounds.max_stake - bounds.min_stake)
        span = max(1, bounds.max_zeros - bounds.min_zeros)
        weight = sum(
            part.farmers
            * (
                min(1.0, max(0, part.stake - bounds.min_stake) / stakes)
                + min(1.0, max(0, part.works[-1].zeros - bounds.min_zeros) / span)
            )
            for part in parts
            if part.works
        )
        return weight / self._world.farmers

    def _remember(self, scene: Scene, sends: Sends, landed: Sequence[int]) -> None:
        missing = len(landed) < self._world.farmers
        landing = landing_of(
            sends, ledgers=landed, missing_until=scene.end - 1 if missing else None
        )
        before, opened = (at - self._world.interval for at in scene.closes[-2:])
        opening = Opening(last_closed=before, opened=opened)
        self._records = (
            self._records.with_landing(landing)
            .with_spans(one - other for other, one in pairwise(scene.closes))
            .with_opening(opening)
        )


def opening_bounds(world: World) -> BlockStats:
    """Return the bounds of the first block: strangers alone farmed the one before it."""
    nothing = BlockStats(
        min_gap=0, max_gap=0, min_stake=0, max_stake=0, min_zeros=0, max_zeros=0,
        staked_total=0, normalized_total=0,
    )  # fmt: skip
    before = scene_of(world, -1)
    return close_block(nothing, before.strangers, index=before.index).following


def farm_all(world: World, plan: Plan, fees: Fees) -> Outcome:
    """Farm all scenes of a world by a plan."""
    pool = Pool(world, plan, fees)
    for number, scene in enumerate(scenes(world)):
        pool.farm(scene, number)
    return pool.outcome


def fill(scene: Scene, sends: Sends, per_ledger: int) -> list[int]:
    """Return the ledger of each farmer's transaction, in order; fewer where the block ends first.

    What was sent earlier goes first, and what does not fit waits for the next ledger.
    """
    filled: list[int] = []
    due = sum(sends.values())
    for number in scene.ledgers_after(min(sends, default=scene.end)):
        sent = sum(count for ledger, count in sends.items() if ledger < number)
        filled += [number] * min(per_ledger, sent - len(filled))
        if len(filled) == due:
            break
    return filled


def _parts(
    stakes: Sequence[int],
    planted: Sequence[int],
    landed: Sequence[int],
    found: Sequence[int],
    early: Sequence[int] | None,
) -> list[Part]:
    """Group the farmers by what they did; farmer n is of class n modulo the classes."""
    alike: Counter[tuple[int, tuple[Work, ...]]] = Counter()
    works: dict[tuple[int, int], Work] = {}
    for farmer, best in enumerate(found):
        if farmer >= len(planted):
            break
        at = planted[farmer]
        done: tuple[Work, ...] = ()
        if early is not None and farmer < len(early):
            done = (_once(works, early[farmer] - at, min(_POOR, best)),)
        if farmer < len(landed) and landed[farmer] > at and (not done or best > done[-1].zeros):
            done = (*done, _once(works, landed[farmer] - at, best))
        alike[stakes[farmer % len(stakes)], done] += 1
    return [
        Part(farmers=count, stake=staked, works=done) for (staked, done), count in alike.items()
    ]


def _once(works: dict[tuple[int, int], Work], gap: int, zeros: int) -> Work:
    """Return the work with this gap and these zeros, the same object for the same figures."""
    work = works.get((gap, zeros))
    if work is None:
        work = works[gap, zeros] = Work(gap=gap, zeros=zeros)
    return work

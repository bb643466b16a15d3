"""The height and the clock of the network, as several nodes show them and no node can fake alone.

Ledgers and their close times both grow with the clock, so one rule serves for both. A value counts
when enough nodes show it, or a later one. The word of a single node counts within what the clock
allows since the last value that counted. A jump beyond that counts when it stays steady for a
while. So no single answer of a node has a lasting effect. Neither an outage (its length is in the
bound) nor a restart (nothing is remembered) is mistaken for a lie.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, unique

#: Ledgers by which honest nodes may differ.
TOLERATED_LEDGERS = 2
#: Seconds by which the close time of a ledger may run ahead of the clock that earlier ones showed.
TOLERATED_SECONDS = 3
#: The same tolerance until a few ledgers have shown how late they are heard of.
_TOLERATED_AT_FIRST = 15
#: Seconds by which a close time may lie behind: nodes that are a few ledgers late.
_LATE_SECONDS = 60
#: How far a claim has to exceed the limit to count as a contradiction, not as merely early.
_CONTRADICTORY_LEDGERS = 10
_CONTRADICTORY_SECONDS = 60
#: Seconds after which a claim that was not repeated counts no more.
FRESH = 15.0
#: Seconds after which a claim that does not rise counts no more, while others rise.
FROZEN = 15.0
#: Seconds without enough nodes after which fewer of them are enough.
FEWER_AFTER = 10.0
#: Seconds for which a jump that the clock does not explain has to stay steady before it counts.
STEADY = 30.0
#: Values by which the pace is known, and seconds that they have to span.
_MARKS = 64
_WINDOW = 60.0
_SPAN = 10.0
#: How much faster ledgers may come than they did lately.
_HASTE = 1.5
#: Ledgers a second while the pace is not known: with one node, and with several.
_ANY_PACE = (20.0, 2.0)
#: Ledgers whose close times are compared.
_TIMES = 16


def needed(nodes: int) -> int:
    """Return how many of so many nodes have to show a value.

    One of the returned number is honest, if most of all nodes are.
    """
    return 2 if nodes == 2 else (nodes + 1) // 2


@unique
class Standing(Enum):
    """Worth of a claim."""

    #: It may be used.
    FINE = "fine"
    #: It is older than the value that was agreed before the question.
    BEHIND = "behind"
    #: It is above what the clock allows, and no second node shows it.
    AHEAD = "ahead"
    #: More than one other node contradicts it.
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Verdict on a claim."""

    #: Worth of the claim.
    standing: Standing
    #: Why, in words; empty when it is fine.
    reason: str = ""


_FINE = Judgement(standing=Standing.FINE)


@dataclass(frozen=True, kw_only=True)
class _Claim:
    """The last statement of a node."""

    #: The ledger or the close time.
    value: int
    #: When it was said.
    heard: float
    #: When it last changed.
    moved: float


@dataclass(frozen=True, kw_only=True)
class _Jump:
    """A value that the clock does not explain, but that may turn out to be true."""

    #: The value at first, and when that was.
    value: int
    since: float
    #: The value now.
    last: int


class Line:
    """One number that grows with the clock, as nodes show it."""

    def __init__(self, nodes: int, *, pace: float | None, late: int) -> None:
        """Start without any value.

        `pace` is the growth in a second, None when that is to be found out. Values lie at most
        `late` below the value that counts.
        """
        #: The value that counts; None before the first.
        self.agreed: int | None = None
        #: Nodes that show it, or a later one.
        self.witnesses = 0
        self._nodes = nodes
        self._needed = needed(nodes)
        self._pace = pace
        self._any_pace = _ANY_PACE[0] if nodes == 1 else _ANY_PACE[1]
        self._late = late
        self._claims: dict[int, _Claim] = {}
        self._marks: deque[tuple[float, int]] = deque(maxlen=_MARKS)
        #: The value at time 0 by the marks, where the pace is known.
        self._clock = 0.0
        #: The greatest growth in a second, by the marks, where the pace is to be found out.
        self._haste = self._any_pace
        self._jump: _Jump | None = None
        #: When a node was heard for the first time; minus infinity before.
        self._first = float("-inf")
        #: When there were enough nodes for the last time.
        self._enough = float("-inf")

    @property
    def tolerance(self) -> int:
        """Return by how much a value may exceed what the clock allows."""
        if self._pace is None:
            return TOLERATED_LEDGERS
        return TOLERATED_SECONDS if len(self._marks) > _TIMES // 2 else _TOLERATED_AT_FIRST

    def limit(self, now: float) -> float:
        """Return the greatest value at which a single node is believed."""
        if not self._marks:
            return float("inf")
        if self._pace is not None:
            return self._clock + now * self._pace + self.tolerance
        heard, value = self._marks[-1]
        return value + (now - heard) * self._haste + self.tolerance

    def hear(self, node: int, value: int, now: float) -> None:
        """Take in the value that a node shows."""
        if not self._claims:
            self._first = self._enough = now
        before = self._claims.get(node)
        moved = now if before is None or before.value != value else before.moved
        self._claims[node] = _Claim(value=value, heard=now, moved=moved)
        found = self._shown(now)
        if found is None:
            return
        shown, self.witnesses = found
        agreed = self.agreed
        if agreed is None:
            self._count(shown, now)
        elif self._continues(agreed, shown, now):
            self._jump = None
            if shown > agreed:
                self._count(shown, now)
        elif shown > agreed and self.witnesses > 1:
            self._begin_anew(shown, now)
        else:
            self._watch_jump(agreed, shown, now)

    def others_at(self, node: int, value: int, now: float) -> int:
        """Count the other nodes that were heard of lately and show no more than this value."""
        return sum(
            claim.value <= value and now - claim.heard <= FRESH
            for other, claim in self._claims.items()
            if other != node
        )

    # How values are counted ------------------------------------------------------------------

    def _shown(self, now: float) -> tuple[int, int] | None:
        """Return the greatest value that enough nodes show, and the number of these nodes.

        Returns None when nobody knows.
        """
        fresh = self._fresh(now)
        claims = self._moving(fresh, now)
        if len(fresh) >= self._needed:
            self._enough = now
        elif now - self._enough < FEWER_AFTER:
            return None
        values = sorted((claim.value for claim in claims), reverse=True)
        shown = values[min(self._needed, len(values)) - 1]
        if self.agreed is None and not self._may_begin(values, shown, now):
            return None
        return shown, sum(value >= shown for value in values)

    def _may_begin(self, values: Sequence[int], shown: int, now: float) -> bool:
        """Tell whether the first value may count.

        At the start nothing tells which node is right: nodes that differ wait for the others.
        """
        is_all = len(self._claims) >= self._nodes
        is_late = now - self._first >= FEWER_AFTER
        return is_all or is_late or values[0] - shown <= self.tolerance

    def _fresh(self, now: float) -> list[_Claim]:
        """Return the claims that were heard lately."""
        return [claim for claim in self._claims.values() if now - claim.heard <= FRESH]

    def _moving(self, fresh: list[_Claim], now: float) -> list[_Claim]:
        """Leave out the claims of nodes that stand still while others go on."""
        moving = [claim for claim in fresh if now - claim.moved <= FROZEN]
        still = len(fresh) - len(moving)
        is_halted = still >= max(2, self._needed)  # the network itself stands still
        return fresh if is_halted or not moving else moving

    def _continues(self, agreed: int, value: int, now: float) -> bool:
        """Tell whether a value goes on from the one that counts, as the clock allows."""
        return agreed - self._late <= value <= self.limit(now)

    def _count(self, value: int, now: float) -> None:
        self.agreed = value
        self._marks.append((now, value))
        while now - self._marks[0][0] > 10 * _WINDOW:
            self._marks.popleft()
        if self._pace is not None:
            # Some values are heard of late, none early: the earliest values tell the clock.
            self._clock = max(mark - heard * self._pace for heard, mark in self._marks)
        else:
            self._haste = self._known_pace()

    def _begin_anew(self, value: int, now: float) -> None:
        self._marks.clear()
        self._jump = None
        self._count(value, now)

    def _watch_jump(self, agreed: int, value: int, now: float) -> None:
        """Believe a jump that stays steady, unless as many nodes go on from before."""
        claims = self._moving(self._fresh(now), now)
        going_on = sum(self._continues(agreed, claim.value, now) for claim in claims)
        if 2 * going_on >= len(claims):
            self._jump = None
            return
        jump = self._jump
        if jump is None or not self._is_steady(jump, value, now):
            self._jump = _Jump(value=value, since=now, last=value)
            return
        self._jump = replace(jump, last=value)
        if now - jump.since >= STEADY and value > jump.value:
            self._begin_anew(value, now)

    def _is_steady(self, jump: _Jump, value: int, now: float) -> bool:
        """Tell whether a jump grows from its first value on at the pace of such a line."""
        pace = self._any_pace if self._pace is None else self._pace
        most = jump.value + (now - jump.since) * pace + _TOLERATED_AT_FIRST
        return jump.last <= value <= most

    def _known_pace(self) -> float:
        """Return the greatest growth in a second, by the last minute."""
        last = self._marks[-1]
        first = next(mark for mark in self._marks if last[0] - mark[0] <= _WINDOW)
        span = last[0] - first[0]
        return self._any_pace if span < _SPAN else _HASTE * (last[1] - first[1]) / span


class Heights:
    """Joint statement of all nodes about the newest ledger and its close time."""

    def __init__(self, nodes: int) -> None:
        self.ledgers = Line(nodes, pace=None, late=TOLERATED_LEDGERS)
        self.times = Line(nodes, pace=1.0, late=_LATE_SECONDS)
        #: Number of nodes whose contradiction makes another node's claim a lie.
        self._accusers = max(2, needed(nodes))
        #: Close times by ledger and node, of the last ledgers.
        self._told: dict[int, dict[int, int]] = {}

    @property
    def floor(self) -> int:
        """Return the agreed ledger: later answers should not lie far below it."""
        return self.ledgers.agreed or 0

    def claim(
        self, node: int, ledger: int, *, now: float, floor: int, close_time: int | None = None
    ) -> Judgement:
        """Judge what a node shows in one answer.

        `floor` is the value of `Heights.floor` before the question. `now` is by the monotonic
        clock.
        """
        self.ledgers.hear(node, ledger, now)
        if close_time is not None:
            self.times.hear(node, close_time, now)
        judgement = self._judge_ledger(node, ledger, now, min(floor, self.floor))
        if judgement is _FINE and close_time is not None:
            judgement = self._judge_time(node, ledger, close_time, now)
        return judgement

    def _judge_ledger(self, node: int, ledger: int, now: float, floor: int) -> Judgement:
        if ledger + TOLERATED_LEDGERS < floor:
            reason = f"is at ledger {ledger}, {floor} was seen before"
            return Judgement(standing=Standing.BEHIND, reason=reason)
        if ledger <= self.ledgers.limit(now):
            return _FINE
        return Judgement(
            standing=self._ahead(self.ledgers, node, ledger, now, _CONTRADICTORY_LEDGERS),
            reason=f"says ledger {ledger}, the others are at {self.floor}",
        )

    def _judge_time(self, node: int, ledger: int, close_time: int, now: float) -> Judgement:
        if self._is_told_otherwise(node, ledger, close_time):
            reason = f"says that ledger {ledger} closed at {close_time}, others say otherwise"
            return Judgement(standing=Standing.CONTRADICTED, reason=reason)
        agreed = self.times.agreed
        if agreed is None:  # then no time has a limit
            return _FINE
        if close_time > self.times.limit(now):
            return Judgement(
                standing=self._ahead(self.times, node, close_time, now, _CONTRADICTORY_SECONDS),
                reason=f"says that it is {close_time}, the clock of the others is at {agreed}",
            )
        if close_time + _LATE_SECONDS < agreed:
            reason = f"says that it is {close_time}, {agreed} was seen before"
            return Judgement(standing=Standing.BEHIND, reason=reason)
        return _FINE

    def _is_told_otherwise(self, node: int, ledger: int, close_time: int) -> bool:
        """Tell whether most nodes, and never one alone, gave this ledger one other close time."""
        told = self._told.setdefault(ledger, {})
        told[node] = close_time
        if len(self._told) > _TIMES:
            del self._told[next(iter(self._told))]
        votes: dict[int, int] = {}
        for said in told.values():
            votes[said] = votes.get(said, 0) + 1
        del votes[close_time]
        return max(votes.values(), default=0) >= self._accusers

    def _ahead(self, line: Line, node: int, value: int, now: float, margin: int) -> Standing:
        """Judge a value above the limit: being a little ahead is no lie."""
        limit = line.limit(now)
        is_lie = value > limit + margin
        is_lie = is_lie and line.others_at(node, int(limit), now) >= self._accusers
        return Standing.CONTRADICTED if is_lie else Standing.AHEAD

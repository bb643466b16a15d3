"""Faults on demand, for the fault tests: a small table that POST /faults changes.

Each field of the body sets one fault. {"reset": true} clears all faults. Faults whose fields are
left out stay as they are. A list of calls counts here as one call, that of its first method, except
for repeats and try_again_later. GET /faults also shows in "used" how often each fault has had an
effect since the last reset: a fault that was set and met nothing has not happened.

* delays: {method: seconds} before a call is looked at ("*" is every method)
* failures: {method: calls} that answer HTTP 503 before they are looked at
* busy: {method: calls} that answer HTTP 429 with Retry-After: retry_after (seconds, a whole number)
* closes: {method: calls} after whose answer the connection is closed without an announcement
* drops: {method: calls} that are carried out, but whose answer is lost (the connection breaks)
* repeats: {method: calls} that get the answer of an earlier call with the same parameters
* jitter: seconds; every answer is held back for a random part of it, so answers overtake each other
* try_again_later: submissions that answer TRY_AGAIN_LATER without being looked at
* skip_ledgers: ledgers that close without any pending transaction
* stale: true freezes answers at the latest ledger, false ends the freeze
* read_gap: seconds between the two reads of getTransaction
* forget_before: ledgers below this sequence are lost from the history, at once
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localnet.ledger.state import Snapshot

#: Method name that stands for every method.
EVERY = "*"
#: Fields that nobody sets: the use of the faults, and the data kept for them.
_INNER = frozenset({"frozen", "given", "used"})


def _use(table: dict[str, int], method: str) -> bool:
    """Count one use of a fault for this method; return True when a use was left."""
    for name in (method, EVERY):
        if table.get(name, 0) > 0:
            table[name] -= 1
            return True
    return False


@dataclass(kw_only=True)
class Faults:
    """The faults of one node at the moment."""

    #: Delay in seconds, by method.
    delays: dict[str, float] = field(default_factory=dict)
    #: Calls left that fail, by method.
    failures: dict[str, int] = field(default_factory=dict)
    #: Calls left that are told to come later (HTTP 429), by method.
    busy: dict[str, int] = field(default_factory=dict)
    #: Seconds that these calls are told to wait.
    retry_after: int = 1
    #: Calls left after which the connection is closed, by method.
    closes: dict[str, int] = field(default_factory=dict)
    #: Calls left whose answer is lost, by method.
    drops: dict[str, int] = field(default_factory=dict)
    #: Calls left that get an older answer, by method.
    repeats: dict[str, int] = field(default_factory=dict)
    #: Maximum time in seconds for which an answer is held back.
    jitter: float = 0.0
    #: Submissions left that answer TRY_AGAIN_LATER.
    try_again_later: int = 0
    #: Ledgers left that skip all pending transactions.
    skip_ledgers: int = 0
    #: Seconds between the two reads of getTransaction, in which ledgers may close.
    read_gap: float = 0.0
    #: The state at which answers are frozen.
    frozen: Snapshot | None = None
    #: Answers by call that are given to later calls.
    given: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    #: Number of times that each fault had an effect, by its name.
    used: Counter[str] = field(default_factory=Counter)

    def change(self, body: Mapping[str, Any], snapshot: Snapshot) -> None:
        """Apply a POST /faults body; the ValueError names the error in the body."""
        known = {"reset", "stale", "forget_before", *self.table()}
        unknown = set(body) - known
        if unknown:
            raise ValueError(f"unknown faults: {sorted(unknown)}")
        if body.get("reset"):
            vars(self).update(vars(Faults()))
        vars(self).update({n: read(n, body[n]) for n, read in _SETTINGS.items() if n in body})
        if "stale" in body:
            self.frozen = snapshot if body["stale"] else None
        if "repeats" in body:
            self.given.clear()

    def table(self) -> dict[str, Any]:
        """Return the faults that are counted or timed."""
        return {name: value for name, value in vars(self).items() if name not in _INNER}

    def to_json(self) -> dict[str, Any]:
        """Return the answer to GET /faults."""
        return {**self.table(), "stale": self.frozen is not None, "used": dict(self.used)}

    async def hold_up(self, method: str) -> None:
        """Wait before this call is looked at."""
        await self._sleep("delays", self.delays.get(method, self.delays.get(EVERY, 0.0)))

    def fails(self, method: str) -> bool:
        """Tell whether this call answers 503."""
        return self._count("failures", _use(self.failures, method))

    def is_busy(self, method: str) -> bool:
        """Tell whether this call answers 429."""
        return self._count("busy", _use(self.busy, method))

    def closes_connection(self, method: str) -> bool:
        """Tell whether the connection is closed after this call."""
        return self._count("closes", _use(self.closes, method))

    def may_repeat(self, method: str) -> bool:
        """Tell whether calls of this method are to get older answers."""
        return self.repeats.get(method, self.repeats.get(EVERY, 0)) > 0

    def repeated(self, method: str) -> None:
        """Count one older answer that was given."""
        self._count("repeats", _use(self.repeats, method))

    async def hold_back(self) -> None:
        """Hold this answer back, so that other answers overtake it."""
        await self._sleep("jitter", random.uniform(0, self.jitter))

    def drops_answer(self, method: str) -> bool:
        """Tell whether this call's answer is lost."""
        return self._count("drops", _use(self.drops, method))

    async def between_reads(self) -> None:
        """Wait between the two reads of getTransaction."""
        await self._sleep("read_gap", self.read_gap)

    def storms(self) -> bool:
        """Tell whether this submission answers TRY_AGAIN_LATER."""
        if self.try_again_later <= 0:
            return False
        self.try_again_later -= 1
        return self._count("try_again_later", True)

    def skips_ledger(self, *, pending: bool) -> bool:
        """Tell whether this ledger takes no pending transaction.

        `pending` says whether there are pending transactions.
        """
        if self.skip_ledgers <= 0:
            return False
        self.skip_ledgers -= 1
        self._count("skip_ledgers", pending)
        return True

    def note_age(self, newest: Snapshot) -> None:
        """Count an answer whose state is older than the newest state."""
        frozen = self.frozen
        self._count("stale", frozen is not None and frozen.sequence < newest.sequence)

    async def _sleep(self, name: str, seconds: float) -> None:
        if self._count(name, seconds > 0):
            await asyncio.sleep(seconds)

    def _count(self, name: str, happened: bool) -> bool:
        self.used[name] += happened
        return happened


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name}: expected a number of at least 0, got {value!r}")
    return value


def _count(name: str, value: Any) -> int:
    return int(_number(name, value))


def _numbers(name: str, value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected an object of method -> number")  # noqa: TRY004
    return {str(k): _number(f"{name}.{k}", v) for k, v in value.items()}


#: Functions that read each fault from a body.
_SETTINGS: dict[str, Callable[[str, Any], object]] = {
    "delays": _numbers,
    "failures": _numbers,
    "busy": _numbers,
    "retry_after": _count,
    "closes": _numbers,
    "drops": _numbers,
    "repeats": _numbers,
    "jitter": _number,
    "try_again_later": _count,
    "skip_ledgers": _count,
    "read_gap": _number,
}

"""Misbehaviour on demand, for the fault tests: a small table that POST /faults changes.

Each field of the body sets one fault, {"reset": true} clears all, fields left out stay as they are.
A list of calls is one call here, that of its first method, but for repeats and try_again_later.
GET /faults also says by "used" how often each has done something since the last reset: a fault that
was set and met nothing has not happened.

* delays: {method: seconds} before a call is looked at ("*" is every method)
* failures: {method: calls} that answer HTTP 503 before they are looked at
* busy: {method: calls} that answer HTTP 429 with Retry-After: retry_after (seconds, a whole number)
* closes: {method: calls} after whose answer the connection is closed, without a word of it
* drops: {method: calls} that are carried out, but whose answer is lost (the connection breaks)
* repeats: {method: calls} that get the answer of an earlier call with the same parameters
* jitter: seconds; every answer is held back for a random part of it, so answers overtake each other
* try_again_later: submissions that answer TRY_AGAIN_LATER without being looked at
* skip_ledgers: ledgers that close without any pending transaction
* stale: true freezes answers at the latest ledger, false ends it
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

#: Applies to every method.
EVERY = "*"
#: What nobody sets: what was done, and what is remembered for it.
_INNER = frozenset({"frozen", "given", "used"})


def _use(table: dict[str, int], method: str) -> bool:
    """Count one use of a fault for this method; True when there was one left."""
    for name in (method, EVERY):
        if table.get(name, 0) > 0:
            table[name] -= 1
            return True
    return False


@dataclass(kw_only=True)
class Faults:
    """What is wrong with this node at the moment."""

    #: Seconds by method.
    delays: dict[str, float] = field(default_factory=dict)
    #: Calls left that fail, by method.
    failures: dict[str, int] = field(default_factory=dict)
    #: Calls left that are told to come later, by method.
    busy: dict[str, int] = field(default_factory=dict)
    #: Seconds that they are told to wait.
    retry_after: int = 1
    #: Calls left after which the connection is closed, by method.
    closes: dict[str, int] = field(default_factory=dict)
    #: Calls left whose answer is lost, by method.
    drops: dict[str, int] = field(default_factory=dict)
    #: Calls left that get an older answer, by method.
    repeats: dict[str, int] = field(default_factory=dict)
    #: Longest time in seconds that an answer is held back.
    jitter: float = 0.0
    #: Submissions left that answer TRY_AGAIN_LATER.
    try_again_later: int = 0
    #: Ledgers left that skip all pending transactions.
    skip_ledgers: int = 0
    #: Seconds between the two reads of getTransaction, in which ledgers may close.
    read_gap: float = 0.0
    #: The state that answers are frozen at.
    frozen: Snapshot | None = None
    #: Answers by call that are given again.
    given: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    #: How often each fault has done something, by its name.
    used: Counter[str] = field(default_factory=Counter)

    def change(self, body: Mapping[str, Any], snapshot: Snapshot) -> None:
        """Apply a POST /faults body; ValueError names what is wrong with it."""
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
        """The faults that are counted or timed."""
        return {name: value for name, value in vars(self).items() if name not in _INNER}

    def to_json(self) -> dict[str, Any]:
        """What GET /faults answers."""
        return {**self.table(), "stale": self.frozen is not None, "used": dict(self.used)}

    async def hold_up(self, method: str) -> None:
        """Wait before this call is looked at."""
        await self._sleep("delays", self.delays.get(method, self.delays.get(EVERY, 0.0)))

    def fails(self, method: str) -> bool:
        """True when this call answers 503."""
        return self._count("failures", _use(self.failures, method))

    def is_busy(self, method: str) -> bool:
        """True when this call answers 429."""
        return self._count("busy", _use(self.busy, method))

    def closes_connection(self, method: str) -> bool:
        """True when the connection is closed after this call."""
        return self._count("closes", _use(self.closes, method))

    def may_repeat(self, method: str) -> bool:
        """True when calls of this method are to get older answers."""
        return self.repeats.get(method, self.repeats.get(EVERY, 0)) > 0

    def repeated(self, method: str) -> None:
        """Count one older answer that was given."""
        self._count("repeats", _use(self.repeats, method))

    async def hold_back(self) -> None:
        """Let other answers overtake this one."""
        await self._sleep("jitter", random.uniform(0, self.jitter))

    def drops_answer(self, method: str) -> bool:
        """True when this call's answer is lost."""
        return self._count("drops", _use(self.drops, method))

    async def between_reads(self) -> None:
        """Wait between the two reads of getTransaction."""
        await self._sleep("read_gap", self.read_gap)

    def storms(self) -> bool:
        """True when this submission answers TRY_AGAIN_LATER."""
        if self.try_again_later <= 0:
            return False
        self.try_again_later -= 1
        return self._count("try_again_later", True)

    def skips_ledger(self, *, pending: bool) -> bool:
        """True when this ledger takes no pending transaction; `pending` says if there are any."""
        if self.skip_ledgers <= 0:
            return False
        self.skip_ledgers -= 1
        self._count("skip_ledgers", pending)
        return True

    def note_age(self, newest: Snapshot) -> None:
        """Count an answer if the state that it was made from is older than the newest."""
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


#: What reads each fault from a body.
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

"""A pooler's events as lines on standard output: text for people, or one JSON object per event."""

import json
import re
import sys
from collections import Counter
from dataclasses import asdict
from time import monotonic
from typing import assert_never

from libs.kale.amounts import format_kale
from pooler.events import (
    Deciding,
    Event,
    Harvested,
    Mining,
    Planted,
    Registered,
    SatOut,
    ServingMiners,
    Swept,
    Trouble,
    Waiting,
    Worked,
)
from pooler.run import RunSummary

#: Seconds between two lines about the same search.
_MINING_SECONDS = 5.0


def write_json(event: Event | RunSummary) -> None:
    """Write one JSON object with the event's name and fields; amounts in stroops, as numbers."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    _line(json.dumps({"event": name, **asdict(event)}, default=str))


#: What farmers did, and what the KALE of it is.
_VERBS = {
    Planted: ("planted", "staked"),
    Worked: ("worked", "expected"),
    Harvested: ("harvested", "earned"),
}


class TextReport:
    """An observer that writes lines for people; a search gets a line every few seconds only."""

    def __init__(self) -> None:
        self._mining_told_at = float("-inf")

    def __call__(self, event: Event) -> None:
        """Write the event, except an event of a search that is not due yet."""
        if isinstance(event, Mining) and not self._is_due(event):
            return
        _line(describe(event))

    def _is_due(self, event: Mining) -> bool:
        if not event.is_over and monotonic() - self._mining_told_at < _MINING_SECONDS:
            return False
        self._mining_told_at = monotonic()
        return True


def describe(event: Event) -> str:
    """Describe an event in one line."""
    match event:
        case Deciding():
            chosen = (f"{kind} {name}" for kind, name in asdict(event.strategies).items())
            line = f"strategies: {', '.join(chosen)}"
        case Registered():
            line = f"pooler {event.pooler_id}: {event.funded} of {event.farmers} farmers funded"
        case ServingMiners():
            line = f"miners are served at {event.host}:{event.port}"
        case Waiting():
            line = f"waiting for {event.what}"
        case SatOut():
            line = (
                f"block {event.block_index}: {event.farmers} of {event.of} farmers sit out: "
                f"their fees, {format_kale(event.fees)} XLM each, are worth more than their rewards"
            )
        case Mining():
            line = _mining(event)
        case Planted() | Worked() | Harvested():
            line = _batch(event)
        case Swept():
            line = (
                f"swept {len(event.summary.blocks)} blocks: "
                f"{format_kale(event.summary.total_rewards)} KALE earned, "
                f"{event.summary.still_pending} still pending"
            )
        case Trouble():
            then = "given up" if event.retry_in is None else f"again in {event.retry_in:.1f} s"
            line = f"{event.what} failed: {event.error}; {then}"
        case unknown:
            assert_never(unknown)
    return line


def describe_run(summary: RunSummary) -> str:
    """Describe a whole run in one line."""
    return (
        f"{len(summary.blocks)} blocks farmed: {summary.planted} planted, {summary.worked} worked, "
        f"{summary.harvested} harvested, {format_kale(summary.rewards)} KALE earned, "
        + (
            "how many harvests are still pending is not known: the last sweep failed"
            if summary.still_pending is None
            else f"{summary.still_pending} still pending"
        )
    )


def write_line(text: str) -> None:
    """Write a text as a line of its own."""
    _line(text)


def _batch(event: Planted | Worked | Harvested) -> str:
    summary, (verb, amount) = event.summary, _VERBS[type(event)]
    line = (
        f"block {summary.block_index}: {verb} {summary.succeeded} of {summary.requested}, "
        f"{format_kale(summary.amount)} KALE {amount}, {summary.milliseconds} ms"
    )
    reasons = Counter(one.reason for one in summary.outcomes if not one.succeeded)
    failures = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"{line} (failed: {failures})" if failures else line


def _mining(event: Mining) -> str:
    rate = sum(event.rates.values()) / 1e6
    zeros = ", ".join(f"{count} with {zeros}" for zeros, count in event.zeros.items())
    return (
        f"block {event.block_index}: mined {event.seconds:.0f} of {event.budget:.0f} s, "
        f"{event.hashes:,} hashes ({rate:.1f} million a second); zeros: {zeros or 'none yet'}"
    )


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

"""What a miner tells while it mines for a pooler."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Joined:
    """The pooler knows this miner."""

    #: The pooler's address, and the Stellar address that is paid.
    url: str
    address: str
    #: Whether it has joined just now.
    is_new: bool


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How the search goes; comes every ten seconds."""

    #: Index of the block.
    block: int
    #: Hashes a second, by engine.
    rates: Mapping[str, float]
    #: Hashes that a share takes.
    difficulty: int
    #: Shares by what the pooler said of them.
    shares: Mapping[str, int]
    #: Points that were credited.
    points: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """The miner's part of a block is final."""

    #: Index of the block.
    block: int
    #: Stroops of KALE.
    amount: int


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something happened that people should know."""

    #: In words.
    text: str


Event = Joined | Progress | Part | Note
Observer = Callable[[Event], None]


def write_json(event: Event) -> None:
    """Write one JSON object with the event's name and fields."""
    _write(json.dumps({"event": type(event).__name__.lower(), **asdict(event)}))


def write_text(event: Event) -> None:
    """Write a line for people."""
    _write(describe(event))


def describe(event: Event) -> str:
    """Describe an event in one line."""
    match event:
        case Joined():
            how = "joined" if event.is_new else "known as a miner"
            return f"{event.url}: {how}; {event.address} is paid"
        case Progress():
            rate = sum(event.rates.values()) / 1e6
            others = ", ".join(
                f"{count} {code}" for code, count in event.shares.items() if code != "ACCEPTED"
            )
            return (
                f"block {event.block}: {rate:.2f} MH/s, {event.shares.get('ACCEPTED', 0)} shares, "
                f"{event.points:,} points, {event.difficulty:,} hashes a share"
                + (f" ({others})" if others else "")
            )
        case Part():
            return f"block {event.block}: your part is {event.amount} stroops of KALE"
        case Note():
            return event.text


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

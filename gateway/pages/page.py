"""A page before it is rendered, and what several pages show alike."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kalepool.report.v1 import report_pb2
from kalepool.wallet.v1 import wallet_pb2

from gateway.pages.show import utc


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: its template, and what the template shows."""

    #: Name of the template.
    template: str
    #: The title, without the pool's name.
    title: str
    #: What the template shows, by name.
    content: Mapping[str, Any]
    #: Status of HTTP.
    status: int = 200


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file that a page links to."""

    #: Its name, for whoever saves it.
    name: str
    #: Its media type.
    media_type: str
    #: What it holds.
    text: str


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The chain's current block as a clock."""

    #: Index of the block.
    index: int
    #: Seconds until a plant opens the next block, by the chain's own clock.
    left: int
    #: Seconds that the block lasts.
    lasts: int

    @property
    def share(self) -> int:
        """Return how much of the block is left, in percent."""
        return min(100, self.left * 100 // max(1, self.lasts))


def clock_of(answer: wallet_pb2.GetBlockResponse | None) -> Clock | None:
    """Return the clock of the current block; None when none was ever opened."""
    if answer is None or not answer.HasField("block"):
        return None
    block, head = answer.block, answer.head
    closes = block.closes_at.ToMilliseconds()
    return Clock(
        index=block.index,
        left=max(0, closes - head.close_time.ToMilliseconds()) // 1000,
        lasts=max(1, closes - block.opened_at.ToMilliseconds()) // 1000,
    )


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What some blocks earned and cost together."""

    #: When the first of them was opened; None for no span of time.
    starts_at: datetime | None = None
    #: How many they are.
    blocks: int = 0
    #: Stroops of KALE that they earned.
    rewards: int = 0
    #: Stroops of XLM that the network charged.
    fees: int = 0

    def with_block(self, block: report_pb2.BlockReport) -> "Spent":
        """Return the sum with one more block."""
        return Spent(
            starts_at=self.starts_at,
            blocks=self.blocks + 1,
            rewards=self.rewards + block.rewards,
            fees=self.fees + block.fees,
        )


def spent_in(blocks: Iterable[report_pb2.BlockReport]) -> Spent:
    """Return what blocks earned and cost together."""
    total = Spent()
    for block in blocks:
        total = total.with_block(block)
    return total


def spent_by_hour(blocks: Iterable[report_pb2.BlockReport]) -> list[Spent]:
    """Return what blocks earned and cost by the hour in which they were opened, newest first.

    Blocks of which the chain's moment is not known are left out.
    """
    hours: dict[datetime, Spent] = {}
    for block in blocks:
        opened = utc(block.opened_at)
        if opened is None:
            continue
        hour = opened.replace(minute=0, second=0, microsecond=0)
        hours[hour] = hours.get(hour, Spent(starts_at=hour)).with_block(block)
    return [hours[hour] for hour in sorted(hours, reverse=True)]

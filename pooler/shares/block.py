"""What the work for miners needs of the pooler: the running block, and word of what becomes of it.

The pooler fulfils RunningBlock and calls BlockEvents; nothing else passes between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.common.ids import FarmerId


@dataclass(frozen=True, kw_only=True)
class Target:
    """A farmer that is planted in the block."""

    #: The farmer whose nonce is searched.
    farmer_id: FarmerId
    #: Its address (G...).
    address: str
    #: The 32 bytes in its address.
    key: bytes


@dataclass(frozen=True, kw_only=True)
class Find:
    """A nonce of a farmer in the running block."""

    #: The farmer whose nonce it is.
    farmer_id: FarmerId
    #: The nonce, below 2^64.
    nonce: int
    #: Leading zero hex digits of its hash.
    zeros: int


class RunningBlock(Protocol):
    """The block that is mined."""

    @property
    def index(self) -> int:
        """Return the index of the block."""

    @property
    def entropy(self) -> bytes:
        """Return the 32 bytes that go into every hash."""

    @property
    def cap(self) -> int:
        """Return the zeros above which nothing more is earned in this block; 64 for no bound."""

    @property
    def opened_at(self) -> float:
        """Return when the block was opened, in unix seconds of the chain's clock."""

    @property
    def closes_at(self) -> float:
        """Return from when on a plant opens the next block, in unix seconds of that clock."""

    @property
    def targets(self) -> Sequence[Target]:
        """Return the farmers that are planted; the same ones in the same order all the time."""

    def zeros_of(self, position: int) -> int:
        """Return the best zeros so far of the farmer at a position of `targets`; -1 for none."""

    def is_sent(self, position: int) -> bool:
        """Tell whether the work of the farmer at a position is sent: it needs no nonce any more."""

    def offer(self, find: Find) -> None:
        """Take a miner's nonce; its hash was computed here. Keep it where it is the best."""


class BlockEvents(Protocol):
    """What the pooler tells of its blocks."""

    async def open_block(self, block: RunningBlock) -> None:
        """Take up a block that is mined from now on, also one that a run before has begun.

        The best nonces that are known of it already are offered to the block.
        """

    async def works_sent(self, index: int) -> None:
        """Take no more shares of a block: its works are on their way."""

    async def close_before(self, index: int) -> None:
        """Close the blocks before one that is open on the chain: nothing of them is mined."""

    async def harvested(self, index: int, rewards: int) -> None:
        """Share out a block: all that it will ever earn was harvested (stroops, without stakes)."""

    def own_hashes(self, index: int, hashes: int) -> None:
        """Note the hashes that the pooler itself has computed in a block, all told."""

"""Miners' credits: what a pooler tells of a block, and how the miners' part is divided."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from libs.common.ids import PoolerId
from libs.kale.fees import by_largest_remainder


@dataclass(frozen=True, kw_only=True)
class Proven:
    """What a miner did in a block."""

    #: Where it is paid.
    address: str
    #: Hashes that it proved.
    points: int


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A part of what a pooler tells of a block."""

    #: The pooler.
    pooler_id: PoolerId
    #: The block.
    block_index: int
    #: Which chunk it is, from 1 on, and how many there are.
    number: int
    chunks: int
    #: Hashes of the pooler's own that take part.
    own_points: int
    #: The miners; each address once.
    miners: Sequence[Proven]

    @property
    def digest(self) -> bytes:
        """Return what tells whether two chunks tell the same, in whatever order."""
        lines = sorted(f"{one.address} {one.points}" for one in self.miners)
        return hashlib.sha256("\n".join(lines).encode()).digest()


@dataclass(frozen=True, kw_only=True)
class Pot:
    """The miners' part of a pooler's block."""

    #: Whether all is told of who mined it.
    is_complete: bool
    #: Stroops that are the miners', by what is harvested so far.
    pot: int
    #: Stroops that are divided.
    divided: int


@dataclass(frozen=True, kw_only=True)
class Miner:
    """A miner of a pooler."""

    #: Owner of its account.
    miner_id: UUID
    #: Stroops that were credited and are not paid.
    unpaid: int


@dataclass(frozen=True, kw_only=True)
class Credit:
    """What a miner has of a block."""

    #: The block.
    block_index: int
    #: Hashes that the miner proved.
    points: int
    #: Hashes of all that take part.
    block_points: int
    #: Stroops that are the miners', by what is harvested so far.
    pot: int
    #: Stroops that the miner has of them.
    amount: int
    #: When the pooler told it.
    told_at: datetime


def miner_id(pooler_id: PoolerId, address: str) -> UUID:
    """Return the id of the miner of a pooler who is paid at an address."""
    return uuid5(pooler_id, address)


def divide(pot: int, proven: Mapping[str, int], own: int) -> tuple[dict[str, int], int]:
    """Divide a pot; return miners' parts by address, and the pooler's own.

    harvest.divide_pot in the database has the same rule: of equal remainders the address that comes
    first goes first, the pooler last; where nobody proved anything, all is the pooler's.
    """
    addresses = sorted(proven)
    weights = [*(proven[one] for one in addresses), own if proven else 1]
    *parts, rest = by_largest_remainder(pot, weights)
    return dict(zip(addresses, parts, strict=True)), rest

"""The fewest ledgers that could hold a phase: the network's limits against the leanest usage."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trials.bench.chain import DIMENSIONS, FarmTransaction, Limits, Usage


@dataclass(frozen=True, kw_only=True)
class Fewest:
    """A lower bound for the ledgers of a phase."""

    #: Ledgers.
    ledgers: int
    #: The dimension whose limit decides.
    bound_by: str
    #: Operations that a ledger holds in that dimension.
    per_ledger: int


def leanest(transactions: Sequence[FarmTransaction]) -> Usage:
    """Return the least that one operation takes in any transaction of a run, for each dimension.

    The shared entries of a full multicall are spread over its operations, those of a single call
    belong to its one operation. ValueError when no transaction carried an operation.
    """
    shares = [item.usage.per(item.operations) for item in transactions if item.operations]
    if not shares:
        raise ValueError("no transaction did anything")
    return Usage(**{name: min(getattr(share, name) for share in shares) for name in DIMENSIONS})


def fewest(count: int, each: Usage, limits: Limits, *, collide: bool) -> Fewest:
    """Return the number of ledgers that `count` operations need at least.

    `collide`: all operations write the same entry (the Block of a plant or a work, STELLAR.md
    section 3), so that they run one after another in one cluster.
    """
    clusters = 1 if collide else limits.clusters
    rooms = {name: float(getattr(limits.ledger, name)) for name in DIMENSIONS}
    rooms["instructions"] *= clusters
    per_ledger = {
        name: rooms[name] / getattr(each, name) for name in DIMENSIONS if getattr(each, name)
    }
    bound_by = min(per_ledger, key=lambda name: per_ledger[name])
    return Fewest(
        ledgers=math.ceil(count / per_ledger[bound_by]),
        bound_by=bound_by,
        per_ledger=math.floor(per_ledger[bound_by]),
    )

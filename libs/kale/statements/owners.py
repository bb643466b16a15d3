"""Whose a statement is, and what of its lines is the owner's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, unique
from uuid import UUID

from libs.kale.statements.lines import payments

#: What a line of a pooler or a miner moved between its accounts and all others.
OTHERS = "others"
#: What leaves the pool.
OUT = "chain:out"
#: What lies in a pooler's custodial account: it is owed as the pooler's fees, and to its miners.
_HELD = "pooler:held"


@unique
class OwnerKind(Enum):
    """What an owner is to the pool."""

    FARMER = "farmer"
    POOLER = "pooler"
    #: Of one pooler, by the address at which it is paid.
    MINER = "miner"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose a statement is."""

    #: What it is to the pool.
    kind: OwnerKind
    #: Its id: a miner's is made of its pooler's and its address.
    id: UUID

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Return the fields that name it: two of them are empty."""
        return [
            (f"{kind.value}Id", str(self.id) if kind is self.kind else "") for kind in OwnerKind
        ]


#: What an owner has, by what it is for: its balances, which its leaf covers.
ROLES: dict[OwnerKind, tuple[str, ...]] = {
    OwnerKind.FARMER: ("farmer:available", "farmer:staked", "farmer:pending_out"),
    OwnerKind.POOLER: ("pooler:fee", "miner:earned"),
    OwnerKind.MINER: ("miner:earned",),
}


def moves_at_address(kind: OwnerKind, amounts: Sequence[tuple[str, int]]) -> tuple[int, ...]:
    """Return what a line gives the owner's address on the chain, each payment by itself.

    A pooler's address is its custodial account at the pool, a miner's the one at which it is paid.
    """
    if kind is OwnerKind.FARMER:
        return payments(amounts)
    role = _HELD if kind is OwnerKind.POOLER else OUT
    return (sum(amount for name, amount in amounts if name == role),)

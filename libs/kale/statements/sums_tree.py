"""The Merkle-sum tree of a day: each claim is a leaf, and the root names the sum of all of them.

A parent's hash covers the hashes and the sums of both its children, so that no sum can be changed
in between. No leaf is negative: whoever could hide a negative one could owe less than it says. Each
leaf has a random salt, so that nobody who sees its hash in another's proof can guess whose it is. A
path names the sums beside it in plain numbers, though: its first step is what one other owner has.
Leaves, nodes and padding are hashed under names of their own: none can be taken for another.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

#: Bytes of a hash, and of a salt.
HASH_BYTES = 32
#: Bytes of a sum in what is hashed.
_SUM_BYTES = 16
#: The largest sum: beyond it no balance can be.
MAX_SUM = 2**127 - 1
_LEAF, _NODE, _PADDING = b"kalepool leaf 1\n", b"kalepool node 1\n", b"kalepool padding 1\n"


class ClaimError(ValueError):
    """What is to become a leaf cannot be one."""


class NegativeClaimError(ClaimError):
    """A claim is below zero: no tree is made of it."""


class PathError(ValueError):
    """A path from a leaf upwards cannot be one; `step` is the number of the step."""

    def __init__(self, message: str, *, step: int) -> None:
        """Set the step."""
        super().__init__(message)
        self.step = step


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of a tree: a leaf, what stands above two others, or padding."""

    #: 32 bytes.
    hash: bytes
    #: Stroops of KALE of all leaves under it; never below zero.
    total: int


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one owner had at the end of a day."""

    #: The farmer, pooler or miner; all zeros of the operator.
    owner: UUID
    #: strkey G... of a farmer's custodial account; empty for others.
    address: str
    #: Stroops of KALE by what they are for, sorted: farmer:available.
    balances: tuple[tuple[str, int], ...]
    #: What all lines of the owner came to until then (lines.py), 32 bytes.
    history: bytes
    #: 32 random bytes, which only the owner is told.
    salt: bytes

    @property
    def total(self) -> int:
        """Return the stroops of KALE that the owner has in all."""
        return sum(amount for _, amount in self.balances)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step from a node to the one above it: the other child of that one."""

    #: The other child's hash.
    hash: bytes
    #: The other child's sum; of a leaf what its owner has, which whoever has the path is told.
    total: int
    #: Whether the other child stands at the left.
    is_left: bool


#: Stands beside a node that has no neighbour; it has nothing.
PADDING = Node(hash=hashlib.sha256(_PADDING).digest(), total=0)


def texts_bytes(texts: Sequence[str]) -> bytes:
    """Return texts a line each, so that none runs into the next one.

    Raise ClaimError for a text that has lines of its own.
    """
    joined = "\n".join(texts)
    if joined.count("\n") > len(texts) - 1:
        raise ClaimError("a text has a line feed")
    return joined.encode()


def leaf_of(claim: Claim) -> Node:
    """Return the leaf of a claim.

    Raise NegativeClaimError for one below zero, ClaimError for one that cannot be hashed.
    """
    if claim.total < 0:
        raise NegativeClaimError(f"{claim.owner} has {claim.total} stroops")
    if claim.total > MAX_SUM:
        raise ClaimError(f"{claim.owner} has more than can be")
    if len(claim.salt) != HASH_BYTES or len(claim.history) != HASH_BYTES:
        raise ClaimError(f"salt and history of {claim.owner} have {HASH_BYTES} bytes each")
    roles = [role for role, _ in claim.balances]
    if roles != sorted(set(roles)):
        raise ClaimError(f"the balances of {claim.owner} are not in order")
    texts = [claim.address]
    for role, amount in claim.balances:
        texts += [role, str(amount)]
    covered = claim.salt + claim.owner.bytes + claim.history + texts_bytes(texts)
    return Node(hash=hashlib.sha256(_LEAF + covered).digest(), total=claim.total)


def parent_of(left: Node, right: Node) -> Node:
    """Return the node above two others. Raise ClaimError when a sum is not one."""
    total = left.total + right.total
    if min(left.total, right.total) < 0 or total > MAX_SUM:
        raise ClaimError("a sum is below zero, or more than can be")
    covered = b"".join(node.hash + node.total.to_bytes(_SUM_BYTES, "big") for node in (left, right))
    return Node(hash=hashlib.sha256(_NODE + covered).digest(), total=total)


def depth_of(leaves: int) -> int:
    """Return the steps from a leaf to the root of a tree with so many leaves."""
    return max(0, leaves - 1).bit_length()


def root_above(leaf: Node, path: Sequence[Step]) -> Node:
    """Return the root to which a path leads from a leaf. Raise PathError."""
    node = leaf
    for number, step in enumerate(path):
        if len(step.hash) != HASH_BYTES:
            raise PathError(f"a hash has {HASH_BYTES} bytes", step=number)
        other = Node(hash=step.hash, total=step.total)
        try:
            node = parent_of(other, node) if step.is_left else parent_of(node, other)
        except ClaimError as error:
            raise PathError(str(error), step=number) from None
    return node


class Tree:
    """The tree over the claims of one day."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        """Make the tree. Raise ClaimError, and NegativeClaimError for a claim below zero.

        Leaves stand in the order of their hashes, which says nothing of whose they are.
        """
        leaves = {claim.owner: leaf_of(claim) for claim in claims}
        if len(leaves) != len(claims):
            raise ClaimError("an owner has two claims")
        ordered = sorted(leaves.values(), key=lambda node: node.hash)
        self._places: Mapping[bytes, int] = {node.hash: at for at, node in enumerate(ordered)}
        if len(self._places) != len(ordered):
            raise ClaimError("two leaves are alike")
        self._leaves = leaves
        self._levels = [ordered or [PADDING]]
        while len(self._levels[-1]) > 1:
            self._levels.append(_above(self._levels[-1]))

    @property
    def root(self) -> Node:
        """Return the root; without any claim it is padding."""
        return self._levels[-1][0]

    def __len__(self) -> int:
        """Return the number of leaves."""
        return len(self._leaves)

    def leaf(self, owner: UUID) -> Node:
        """Return an owner's leaf. Raise KeyError when it has none."""
        return self._leaves[owner]

    def path(self, owner: UUID) -> list[Step]:
        """Return the steps from an owner's leaf to the root. Raise KeyError when it has none."""
        place = self._places[self._leaves[owner].hash]
        steps: list[Step] = []
        for level in self._levels[:-1]:
            beside = place ^ 1
            other = level[beside] if beside < len(level) else PADDING
            steps.append(Step(hash=other.hash, total=other.total, is_left=bool(place & 1)))
            place //= 2
        return steps


def _above(level: Sequence[Node]) -> list[Node]:
    """Return the nodes above those of a level."""
    padded = [*level, PADDING] if len(level) % 2 else level
    return [parent_of(*pair) for pair in zip(padded[::2], padded[1::2], strict=True)]

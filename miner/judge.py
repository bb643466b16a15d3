"""The judge of finds: every nonce is hashed again by safe-pysha3, as the contract hashes it.

A hash is compared by its head: its first 8 bytes as a big-endian number. Zeros are its leading zero
hex digits, so a hash has at least z of them just when its head is at most `most_head(z)`.
"""

from datetime import UTC, datetime

from libs.kale.hash import leading_zeros, work_hash
from miner.engine import Hit, Slice
from miner.model import Find, Work, WrongFindError

#: A head has 16 hex digits; it does not tell more zeros than that.
HEAD_DIGITS = 16
#: The largest head: every hash has one that is at most this.
ANY_HEAD = 2**64 - 1


def most_head(zeros: int) -> int:
    """Return the largest head of a hash with at least this many zeros; 0 from 16 on."""
    return ANY_HEAD >> 4 * zeros if zeros < HEAD_DIGITS else 0


def head_of(digest: bytes) -> int:
    """Return the first 8 bytes of a hash as a number."""
    return int.from_bytes(digest[:8], "big")


def found(work: Work, target: int, nonce: int) -> Find:
    """Hash a nonce for a target."""
    digest = work_hash(
        index=work.index,
        nonce=nonce,
        entropy=work.entropy,
        farmer_key=work.targets[target].key,
    )
    return Find(
        target=target,
        nonce=nonce,
        zeros=leading_zeros(digest),
        digest=digest,
        found_at=datetime.now(UTC),
    )


def judge(work: Work, piece: Slice | None, hit: Hit) -> Find:
    """Return the find of a hit in a slice.

    Raise WrongFindError when its head is above the slice's bound, or nothing was asked for its
    farmer.
    """
    if piece is None:
        raise WrongFindError(f"nonce {hit.nonce} was told for a farmer that was not asked for")
    find = found(work, hit.target, hit.nonce)
    if head_of(find.digest) > piece.at_most:
        raise WrongFindError(
            f"nonce {hit.nonce} was told to hash to at most {piece.at_most:016x}, "
            f"and hashes to {head_of(find.digest):016x}"
        )
    return find

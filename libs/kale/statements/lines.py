"""The lines of a statement: what each says, what its digest covers, what lines of days come to."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

from libs.kale.statements.roots import moment_text
from libs.kale.statements.sums_tree import HASH_BYTES, texts_bytes

#: The history of an owner of whom nothing was booked yet, and of all who are no farmers.
NO_HISTORY = bytes(HASH_BYTES)
_LINE, _DAY = b"kalepool line 1\n", b"kalepool day 1\n"
#: What a line says, by the names that the file has for it, in the order of its digest.
FIELDS = (
    *("number", "kind", "sourceKey", "blockIndex", "ledger"),
    *("transactionHash", "happenedAt", "amounts"),
)
#: What is owed and in no farmer's account: what is staked is burned until a harvest.
_ELSEWHERE = frozenset({"farmer:staked"})
#: What is owed to nobody: what KALE comes from and goes to, what things cost, and what poolers'
#: accounts hold, which is owed as fees and as what miners earned.
_CONTRA = ("chain:", "treasury:", "pooler:held")
#: What was moved into poolers' accounts is taken off what the farmers' hold.
_MOVED = "chain:moved"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that was booked for a farmer."""

    #: Number of the journal.
    number: int
    #: Its kind: harvest.
    kind: str
    #: What names it: wallet's operation, for most.
    source_key: str
    #: KALE block; None of what belongs to none.
    block_index: int | None
    #: Ledger in which it happened; 0 when none did it.
    ledger: int
    #: Hash of the transaction (hex), or empty.
    transaction_hash: str
    #: When it happened, in microseconds since 1970.
    happened_at: int
    #: Stroops of KALE by what they are for, sorted; together they are nothing.
    amounts: tuple[tuple[str, int], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Return what the line says as texts, one for each of FIELDS."""
        return (
            str(self.number),
            self.kind,
            self.source_key,
            "" if self.block_index is None else str(self.block_index),
            str(self.ledger),
            self.transaction_hash,
            moment_text(self.happened_at),
            amounts_text((role, str(amount)) for role, amount in self.amounts),
        )

    @property
    def sealed(self) -> tuple[str, str]:
        """Return the line's checks and its digest (hex)."""
        texts = self.texts
        checks = checks_of(texts)
        return checks, digest_of(texts, checks).hex()


def amounts_text(amounts: Iterable[tuple[str, str]]) -> str:
    """Return amounts as one text."""
    return ",".join(f"{role}={amount}" for role, amount in amounts)


def checks_of(texts: Sequence[str]) -> str:
    """Return a checksum of each text, 8 hex digits for each: they tell which one was changed."""
    return "".join(f"{crc32(text.encode()):08x}" for text in texts)


def digest_of(texts: Sequence[str], checks: str) -> bytes:
    """Return the digest of a line that says this, and has these checks."""
    return hashlib.sha256(_LINE + texts_bytes((*texts, checks))).digest()


def history_after(previous: bytes, day: int, digests: Sequence[bytes]) -> bytes:
    """Return what an owner's lines come to after a day with lines of these digests.

    A day without a line changes nothing: who came later has the same history as who was there.
    """
    if not digests:
        return previous
    head = _DAY + previous + day.to_bytes(4, "big") + len(digests).to_bytes(4, "big")
    return hashlib.sha256(head + b"".join(digests)).digest()


def is_owed(role: str) -> bool:
    """Tell whether what an account of this role has is somebody's."""
    return not role.startswith(_CONTRA)


def is_in_account(role: str) -> bool:
    """Tell whether what an account of this role has stands in a farmer's account on the chain."""
    return role == _MOVED or (is_owed(role) and role not in _ELSEWHERE)


def payments(amounts: Sequence[tuple[str, int]]) -> tuple[int, int]:
    """Return what a line moves to a pooler's account, and all else that it moves.

    Fees leave a farmer's account in two payments: to its pooler's account, and to the operator.
    """
    to_pooler = sum(amount for role, amount in amounts if role == _MOVED)
    return to_pooler, moved(amounts) - to_pooler


def moved(amounts: Iterable[tuple[str, int]]) -> int:
    """Return the stroops by which a line changes the farmer's account on the chain."""
    return sum(amount for role, amount in amounts if is_in_account(role))

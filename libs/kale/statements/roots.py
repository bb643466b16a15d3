"""The roots of days, chained: the record of each covers the record before it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from libs.kale.statements.sums_tree import HASH_BYTES, Node, texts_bytes

#: Name of the data entry that holds the newest root.
ENTRY_NAME = "kalepool root"
#: What the first root names as the record before it.
NO_RECORD = bytes(HASH_BYTES)
_ROOT = b"kalepool root 1\n"
_EPOCH = date(1970, 1, 1)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MOMENT = (datetime.max.replace(tzinfo=UTC) - _BEGINNING) // timedelta(microseconds=1)
_DAY_BYTES = 4
#: Characters of a day as people write it.
_DAY_LENGTH = 10


@dataclass(frozen=True, kw_only=True)
class Root:
    """The root of a day's tree, with what its record covers besides."""

    #: The day, as days since 1970.
    day: int
    #: When the day's balances were taken, in microseconds since 1970.
    closed_at: int
    #: Number of the newest journal that they cover.
    last_journal: int
    #: Number of leaves.
    leaves: int
    #: Accounts that were left out, since they were below zero.
    refused: int
    #: The tree's root.
    node: Node
    #: strkey G... of the pool's account whose data entry holds the newest root.
    account: str
    #: Record of the root before; zeros of the first.
    previous: bytes

    @property
    def record(self) -> bytes:
        """Return the record: a hash over all of it, and so over all roots before."""
        texts = (
            *map(str, (self.day, self.closed_at, self.last_journal, self.leaves, self.refused)),
            *(self.node.hash.hex(), str(self.node.total), self.account),
        )
        return hashlib.sha256(_ROOT + self.previous + texts_bytes(texts)).digest()


def entry_value(day: int, record: bytes) -> bytes:
    """Return the value of the data entry: the day and the record."""
    return day.to_bytes(_DAY_BYTES, "big") + record


def read_entry(value: bytes) -> tuple[int, bytes]:
    """Return day and record of a data entry. Raise ValueError for what is none of ours."""
    if len(value) != _DAY_BYTES + HASH_BYTES:
        raise ValueError("the data entry holds no root")
    day = int.from_bytes(value[:_DAY_BYTES], "big")
    day_text(day)
    return day, value[_DAY_BYTES:]


def day_text(day: int) -> str:
    """Return a day as people write it: 2026-01-31. Raise ValueError for one after 9999."""
    return _date_of(day).isoformat()


def _date_of(day: int) -> date:
    try:
        return _EPOCH + timedelta(days=day)
    except OverflowError:
        raise ValueError("there is no such day") from None


def day_number(text: str) -> int:
    """Return the days since 1970 of a day that is written as 2026-01-31. Raise ValueError."""
    found = date.fromisoformat(text)
    if found.isoformat() != text or found < _EPOCH:
        raise ValueError("must be a day, as 2026-01-31")
    return (found - _EPOCH).days


def days_of(month: str) -> tuple[int, int]:
    """Return the first day of a month (2026-01), and that of the next; of a day (2026-01-31) the
    day, and the next one. Raise ValueError."""
    if len(month) == _DAY_LENGTH:
        return day_number(month), day_number(month) + 1
    first = day_number(f"{month}-01")
    following = _date_of(first + 31).replace(day=1)
    return first, (following - _EPOCH).days


def month_of(day: int) -> str:
    """Return the month that a day is in: 2026-01."""
    return day_text(day)[:7]


def moment_text(micros: int) -> str:
    """Return a moment as protobuf's JSON has it: 2026-01-31T23:59:59.250Z."""
    seconds, rest = divmod(micros, 1_000_000)
    shown = (_BEGINNING + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if not rest:
        return f"{shown}Z"
    return f"{shown}.{rest // 1000:03d}Z" if rest % 1000 == 0 else f"{shown}.{rest:06d}Z"


def read_moment(text: str) -> int:
    """Return the microseconds since 1970 of what `moment_text` gives. Raise ValueError."""
    found = datetime.fromisoformat(text)
    micros = (found - _BEGINNING) // timedelta(microseconds=1) if found.tzinfo else -1
    if not 0 <= micros <= _LAST_MOMENT or moment_text(micros) != text:
        raise ValueError("must be a moment, as 2026-01-31T23:59:59Z")
    return micros


def broken_at(roots: Sequence[Root]) -> int | None:
    """Return the place of the first root that does not follow the one before it; None: all do."""
    for place, (before, root) in enumerate(pairwise(roots), start=1):
        is_later = root.day > before.day and root.last_journal >= before.last_journal
        if root.previous != before.record or not is_later:
            return place
    return None

"""All transactions of a payer account, as proof that no paid payment is paid again.

A transaction of a payer is signed for the number after one that the records explain. So each of its
transactions follows another one, or is the first; a row that was deleted leaves a gap, and a row
that was changed has an authenticator that does not fit. What a process has seen once stays known to
it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.wallet.domain.model import TransactionId
from services.wallet.domain.payments import is_beginning

#: Number of transactions, and the sum of their targets: no transaction can go or come unseen.
Mark = tuple[int, int]
#: The mark of an account without transactions.
NOTHING: Mark = (0, 0)


@dataclass(frozen=True, kw_only=True)
class PastTransaction:
    """A transaction of a payer account on record."""

    #: Its id.
    id: TransactionId
    #: The number that it uses.
    sequence: int
    #: The number that it bumps to.
    bump_to: int
    #: Whether wallet itself wrote the row.
    is_genuine: bool


@dataclass(kw_only=True)
class PayerHistory:
    """The transactions of one payer account that a process has seen on record."""

    #: Their targets, by id.
    seen: dict[TransactionId, int] = field(default_factory=dict)
    #: The numbers that they use.
    numbers: frozenset[int] = frozenset()

    @property
    def mark(self) -> Mark:
        """Return the mark of the transactions that were seen."""
        return len(self.seen), sum(self.seen.values())

    def flaw(self, records: Sequence[PastTransaction]) -> str:
        """Return why all records of the account cannot be what wallet wrote; "" when they can."""
        forged = [item for item in records if not item.is_genuine]
        if forged:
            return f"transaction {forged[0].id} of its past was not written by wallet"
        missing = self.seen.keys() - {item.id for item in records}
        if missing:
            return f"transaction {min(missing)} of its past is gone"
        gap = _gap(records)
        if gap is not None:
            return f"the transaction that led to its number {gap} is gone"
        self.seen = {item.id: item.bump_to for item in records}
        self.numbers = frozenset(item.sequence for item in records)
        return ""

    def missing(self, told: Collection[TransactionId], *, since: UUID) -> list[TransactionId]:
        """Return transactions that were seen, with ids from `since` on, and are not told now."""
        return sorted(item for item in self.seen if item >= since and item not in told)

    def goes_on_from(self, target: int) -> bool:
        """Tell whether a transaction was signed for the number after this target.

        The account stood at it then: what was to bring it there has paid.
        """
        return target + 1 in self.numbers


def _gap(records: Iterable[PastTransaction]) -> int | None:
    """Return a number that a transaction follows and that no record leads to; None without any."""
    items = list(records)
    known = {number for item in items for number in (item.sequence, item.bump_to)}
    followed = sorted({item.sequence - 1 for item in items})
    return next((item for item in followed if item not in known and not is_beginning(item)), None)

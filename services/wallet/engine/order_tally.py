"""What a look at orders has found: the rows that wallet did not write, and how many others."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.wallet.domain.orders import Name
from services.wallet.store.order_rows import TABLES, OrderRow

#: Forged rows that are kept to be shown.
MOST_SHOWN = 1000


@dataclass(kw_only=True)
class Tally:
    """The rows of one look, each counted once."""

    #: Forged rows that are kept at most.
    most: int = MOST_SHOWN
    #: Rows that were looked at, by table.
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    #: The forged rows that are kept, by name; at first those of the look before.
    forged: dict[Name, OrderRow] = field(default_factory=dict)
    #: Number of forged rows besides those.
    beyond: int = 0
    #: Names of the rows that were counted.
    seen: set[Name] = field(default_factory=set)

    def unseen(self, page: Iterable[OrderRow]) -> list[OrderRow]:
        """Return the rows that were not counted before, and count them."""
        fresh = [row for row in page if row.name not in self.seen]
        for row in fresh:
            self.seen.add(row.name)
            self.rows[row.name.table] += 1
        return fresh

    def take(self, row: OrderRow, *, is_genuine: bool) -> bool:
        """Take the judgement on a row, and tell whether it is kept as forged and was not before."""
        if is_genuine:
            self.forged.pop(row.name, None)
            return False
        is_known = row.name in self.forged
        if not is_known and len(self.forged) >= self.most:
            self.beyond += 1
            return False
        self.forged[row.name] = row
        return not is_known

"""All rows that wallet acts on, page by page, with their authenticators."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from libs.common.db.pool import Database, Record
from libs.common.ids import new_id
from services.wallet.domain.orders import Name
from services.wallet.store import orders
from services.wallet.store.payers import since

#: Milliseconds for which other services may still have to book how an operation ended: two days of
#: blocks, and one more.
_BOOKED = 3 * 24 * 60 * 60 * 1000
#: More than the number of any key.
_ANY_KEY = 1 << 16
#: Columns that name a row and carry no order.
_NOT_SHOWN = frozenset({"key", "number", "mac"})


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    """A row that wallet acts on."""

    #: Its name.
    name: Name
    #: The bytes that the authenticator covers.
    data: bytes = field(repr=False)
    #: The authenticator; None when there is none.
    mac: bytes | None = field(repr=False)
    #: All columns, as they were read.
    values: Record = field(repr=False, compare=False)

    @property
    def columns(self) -> Mapping[str, str]:
        """Return the columns in words, for people: few rows are ever shown."""
        return {
            column: str(value)
            for column, value in dict(self.values).items()
            if column not in _NOT_SHOWN and value is not None
        }


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The ends of operations that are looked at, besides those that were found on the chain."""

    #: Operations from this id on; None: no others.
    since: UUID | None = None
    #: Only those with an authenticator of a key below this number, or with none.
    below: int = _ANY_KEY

    @classmethod
    def late(cls, *, below: int = _ANY_KEY) -> "Ends":
        """Return those that other services may still have to book."""
        return cls(since=since(new_id(), minus=_BOOKED), below=below)


#: By table: the ending of its queries' names, and the bytes of its rows.
_TABLES: Mapping[str, tuple[str, Callable[[Record], bytes]]] = {
    "wallets": ("wallets", orders.wallet_row),
    "operations": ("operations", orders.operation_row),
    "ends": ("ends", orders.end_row),
    "withdrawals": ("withdrawals", orders.withdrawal_row),
    "payments": ("payments", orders.payment_row),
    "payout_addresses": ("addresses", orders.address_row),
    "shown_targets": ("shown_targets", orders.shown_target_row),
    "transactions": ("transactions", orders.transaction_row),
    "tokens": ("tokens", orders.token_row),
    "pauses": ("pauses", orders.resume_row),
    "approvals": ("approvals", orders.approval_row),
}
#: Tables whose rows are named by a wallet and a number.
_NUMBERED = frozenset({"payout_addresses", "shown_targets"})
#: The ends that are looked at again and again.
_FOUND = Ends()
#: The tables, in the order in which they are looked through.
TABLES = tuple(_TABLES)


class OrderRowStore:
    """The rows that wallet acts on, of all tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, table: str, *, after: Name | None, limit: int, ends: Ends = _FOUND
    ) -> list[OrderRow]:
        """Return the next rows of a table, after a row of it; of ends, those that are named."""
        name, data = _TABLES[table]
        arguments: list[object] = [None if after is None else after.key, limit]
        if table in _NUMBERED:
            arguments.append(0 if after is None else after.number)
        if table == "ends":
            arguments += [ends.since, ends.below]
        rows = await self._database.many(f"order_{name}", *arguments)
        return [
            OrderRow(
                name=Name(table=table, key=row["key"], number=row["number"]),
                data=data(row),
                mac=row["mac"],
                values=row,
            )
            for row in rows
        ]

    async def sign(self, rows: Sequence[tuple[OrderRow, bytes]]) -> int:
        """Write authenticators of rows of one table, where the old ones are still there."""
        if not rows:
            return 0
        table = rows[0][0].name.table
        arguments: list[object] = [
            [row.name.key for row, _ in rows],
            [row.mac for row, _ in rows],
            [mac for _, mac in rows],
        ]
        if table in _NUMBERED:
            arguments.append([row.name.number for row, _ in rows])
        return await self._database.execute(f"sign_order_{_TABLES[table][0]}", *arguments)

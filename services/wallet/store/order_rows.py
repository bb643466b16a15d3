"""The rows that wallet acts on, with their authenticators: what is live, and the past, by pages.

Live is what wallet may still act on by itself: what is open or in force, and what was made within
the last days, which limits count. The past is all rows of a table in the order of their keys. Each
walk follows an index, so that a page costs the same after years.
"""

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from uuid import UUID

from libs.common.db.pool import Database, Record
from libs.common.ids import new_id
from services.wallet.domain.orders import Name, SeenRow, digest_of
from services.wallet.store import orders, payout_rows, versions
from services.wallet.store.payers import since

#: Milliseconds for which other services may still have to book how an operation ended: two days of
#: blocks, and one more. What is younger is live.
_BOOKED = 3 * 24 * 60 * 60 * 1000
#: Columns that name a row and carry no order.
_NOT_SHOWN = frozenset({"key", "number", "mac"})
_ZERO = UUID(int=0)
#: Less than any number of an address, and the least target.
_NO_NUMBER, _LEAST_TARGET = 0, -(2**63)
#: Kinds of operations that are payments.
_PAYMENTS = ("withdraw", "top_up", "payout", "pool_payment")

#: What a value raises that no row of wallet's has: a moment without an end, a list in a list.
_STRANGE = (ArithmeticError, LookupError, TypeError, ValueError)

#: The values of the columns that tell a row's place in a walk.
Place: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    """A row that wallet acts on."""

    #: Its name.
    name: Name
    #: The bytes that the authenticator covers.
    data: bytes = field(repr=False)
    #: The authenticator; None when there is none.
    mac: bytes | None = field(repr=False)
    #: All columns, as they were read; none where they could not be.
    values: Record | Mapping[str, object] = field(repr=False, compare=False)
    #: Whether there are such bytes at all: a row that wallet cannot have written may have none.
    is_readable: bool = True

    @property
    def seen(self) -> SeenRow:
        """Return the row as it is now, for whoever looks at it and signs it then."""
        return SeenRow(name=self.name, digest=digest_of(self.data))

    @property
    def columns(self) -> Mapping[str, str]:
        """Return the columns in words, for people: few rows are ever shown."""
        return {
            column: str(value)
            for column, value in dict(self.values).items()
            if column not in _NOT_SHOWN and value is not None
        }


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A walk through rows of a table in the order of an index, and where it goes on."""

    #: The table.
    table: str
    #: The query that gives the names of the next rows (queries/orders.sql).
    query: str
    #: The place of the next row: there, or after it.
    place: Place = (_ZERO,)
    #: Columns that tell a row's place.
    columns: tuple[str, ...] = ("key",)
    #: Further arguments of the query.
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Table:
    """The walks through one table."""

    #: The ending of the names of its queries order_... and sign_order_...
    ending: str
    #: The bytes of its rows.
    data: Callable[[Record], bytes]
    #: All rows but those of `open`, by their keys.
    past: Walk
    #: Rows that are open, where `past` leaves them out.
    open: Walk | None = None
    #: Rows of `past` that are live besides those of the last days; its arguments are added.
    live: Callable[[UUID], tuple[Walk, ...]] = lambda _first: ()
    #: Whether the keys are ids, so that the rows of the last days are the last ones of `past`.
    is_by_age: bool = False
    #: Whether all rows are live: there are as many as there are farmers, however old the pool is.
    is_live: bool = False
    #: Whether only rows of the last days are ever looked at, and not before somebody asks for all:
    #: what is older is in a mark.
    is_late: bool = False


def _by_key(table: str, query: str, least: int | None = None) -> Walk:
    """Return the walk by a table's key: an id, and a number where there is a least one."""
    if least is None:
        return Walk(table=table, query=query)
    return Walk(table=table, query=query, place=(_ZERO, least), columns=("key", "number"))


def _by_moment(table: str, query: str, *arguments: object) -> Walk:
    """Return a walk by moments from one on that the query knows."""
    columns = ("at_moment", "key")
    return Walk(table=table, query=query, place=(None, _ZERO), columns=columns, arguments=arguments)


def _of_open(table: str, kinds: Sequence[str] | None = None, before: UUID | None = None) -> Walk:
    """Return the walk through what belongs to open operations."""
    return Walk(
        table=table,
        query="walk_open_operations",
        place=(None, 0, _ZERO),
        columns=("at_kind", "at_block", "key"),
        arguments=(kinds, before),
    )


_TABLES: Mapping[str, _Table] = {
    "wallets": _Table(
        ending="wallets",
        data=orders.wallet_row,
        past=_by_key("wallets", "walk_wallets"),
        is_live=True,
    ),
    "operations": _Table(
        ending="operations",
        data=orders.operation_row,
        past=_by_key("operations", "walk_operations"),
        open=_of_open("operations"),
        is_by_age=True,
    ),
    "ends": _Table(
        ending="ends",
        data=orders.end_row,
        past=_by_key("ends", "walk_ends"),
        is_by_age=True,
    ),
    "withdrawals": _Table(
        ending="withdrawals",
        data=orders.withdrawal_row,
        past=_by_key("withdrawals", "walk_withdrawals"),
        live=lambda first: (
            _of_open("withdrawals", ["withdraw"], first),
            _by_moment("withdrawals", "walk_ended_withdrawals", first),
        ),
        is_by_age=True,
    ),
    "payouts": _Table(
        ending="payouts",
        data=lambda row: payout_rows.payout_row(payout_rows.placed(row)),
        past=_by_key("payouts", "walk_payouts"),
        live=lambda first: (
            _of_open("payouts", ["payout"], first),
            _by_moment("payouts", "walk_ended_withdrawals", first),
        ),
        is_by_age=True,
    ),
    "pool_payments": _Table(
        ending="pool_payments",
        data=lambda row: payout_rows.pool_payment_row(payout_rows.placed(row)),
        past=_by_key("pool_payments", "walk_pool_payments"),
        live=lambda first: (_of_open("pool_payments", ["pool_payment"], first),),
        is_by_age=True,
    ),
    "fee_marks": _Table(
        ending="fee_marks",
        data=payout_rows.fee_mark_row,
        past=_by_key("fee_marks", "walk_fee_marks"),
        is_live=True,
    ),
    "harvests": _Table(
        ending="harvests",
        data=orders.operation_row,
        past=_by_key("harvests", "walk_harvests"),
        is_late=True,
    ),
    "block_openings": _Table(
        ending="openings",
        data=payout_rows.opening_row,
        past=_by_key("block_openings", "walk_openings", _NO_NUMBER),
        live=lambda _: (_by_key("block_openings", "walk_late_openings", _NO_NUMBER),),
    ),
    "payments": _Table(
        ending="payments",
        data=orders.payment_row,
        past=_by_key("payments", "walk_payments"),
        live=lambda first: (_of_open("payments", _PAYMENTS, first),),
        is_by_age=True,
    ),
    "data_entries": _Table(
        ending="data_entries",
        data=orders.data_entry_row,
        past=_by_key("data_entries", "walk_data_entries"),
        is_by_age=True,
    ),
    "payout_addresses": _Table(
        ending="addresses",
        data=orders.address_row,
        past=_by_key("payout_addresses", "walk_addresses", _NO_NUMBER),
        live=lambda _: (_by_key("payout_addresses", "walk_addresses_in_force", _NO_NUMBER),),
    ),
    "agreements": _Table(
        ending="agreements",
        data=versions.agreement_row,
        past=_by_key("agreements", "walk_agreements", _NO_NUMBER),
        live=lambda _: (_by_key("agreements", "walk_agreements_in_force", _NO_NUMBER),),
    ),
    "owner_accounts": _Table(
        ending="owner_accounts",
        data=versions.owner_account_row,
        past=_by_key("owner_accounts", "walk_owner_accounts", _NO_NUMBER),
        is_live=True,
    ),
    "pooler_marks": _Table(
        ending="pooler_marks",
        data=versions.pooler_mark_row,
        past=_by_key("pooler_marks", "walk_pooler_marks", _NO_NUMBER),
        is_live=True,
    ),
    "shown_targets": _Table(
        ending="shown_targets",
        data=orders.shown_target_row,
        past=_by_key("shown_targets", "walk_shown_targets", _LEAST_TARGET),
        live=lambda _: (_by_key("shown_targets", "walk_last_shown_targets"),),
    ),
    "transactions": _Table(
        ending="transactions",
        data=orders.transaction_row,
        past=_by_key("transactions", "walk_transactions"),
        open=Walk(
            table="transactions",
            query="walk_open_transactions",
            place=("",),
            columns=("at_source",),
        ),
        is_by_age=True,
    ),
    "tokens": _Table(
        ending="tokens",
        data=orders.token_row,
        past=_by_key("tokens", "walk_tokens"),
        live=lambda _: (_by_moment("tokens", "walk_tokens_in_force"),),
        is_by_age=True,
    ),
    "pauses": _Table(
        ending="pauses",
        data=orders.resume_row,
        past=_by_key("pauses", "walk_pauses"),
        live=lambda _: (_by_moment("pauses", "walk_late_pauses"),),
        is_by_age=True,
    ),
    "approvals": _Table(
        ending="approvals",
        data=orders.approval_row,
        past=_by_key("approvals", "walk_approvals"),
        live=lambda _: (_by_moment("approvals", "walk_open_approvals"),),
        is_by_age=True,
    ),
}
#: Tables whose rows are named by whose they are and a number, with the greatest that can be.
_NUMBERED = {
    **dict.fromkeys(
        ("payout_addresses", "agreements", "owner_accounts", "pooler_marks"), 2**31 - 1
    ),
    "shown_targets": 2**63 - 1,
    "block_openings": 2**31 - 1,
}
#: The ends of all operations but those that were found on the chain.
_OTHER_ENDS = _by_key("ends", "walk_other_ends")
#: The tables, in the order in which they are looked through.
TABLES = tuple(_TABLES)
#: Those with rows that are not live.
PASTS: Mapping[str, Walk] = {
    name: table.past for name, table in _TABLES.items() if not (table.is_live or table.is_late)
}


def live_walks() -> Iterator[Walk]:
    """Yield the walks through all rows that are live; some rows are met twice."""
    first = first_late()
    for table in _TABLES.values():
        if table.is_late:
            continue
        if table.open is not None:
            yield table.open
        yield from table.live(first)
        if table.is_live:
            yield table.past
        elif table.is_by_age:
            yield replace(table.past, place=(first,))


def all_walks() -> Iterator[Walk]:
    """Yield the walks through all rows.

    Of the ends of operations, which are many, these are those that were found on the chain, and
    those that other services may still have to book: the others are judged when they are told.
    """
    for name, table in _TABLES.items():
        if table.is_late:
            yield replace(table.past, place=(first_late(),))
            continue
        if table.open is not None:
            yield table.open
        yield table.past
        if name == "ends":
            yield replace(_OTHER_ENDS, place=(first_late(),))


def first_late() -> UUID:
    """Return the least id of the last three days."""
    return since(new_id(), minus=_BOOKED)


class OrderRowStore:
    """The rows that wallet acts on, of all tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, walk: Walk, *, limit: int) -> tuple[list[OrderRow], Walk | None]:
        """Return the next rows of a walk, and the walk from there on; None: it is over."""
        # One more than is wanted: it tells where the walk goes on.
        found = await self._database.many(walk.query, limit + 1, *walk.place, *walk.arguments)
        names = [
            Name(table=walk.table, key=row["key"], number=row["number"]) for row in found[:limit]
        ]
        rows = await self._named(walk.table, names) if names else []
        if len(found) <= limit:
            return rows, None
        place = tuple(found[limit][column] for column in walk.columns)
        return rows, replace(walk, place=place)

    async def rows(self, names: Collection[Name]) -> list[OrderRow]:
        """Return the rows of these names, of any table, as far as wallet acts on them."""
        found = list[OrderRow]()
        for table in TABLES:
            most = _NUMBERED.get(table, 0)
            named = [one for one in names if one.table == table and abs(one.number) <= most]
            if named:
                found += await self._named(table, named)
        return found

    async def _named(self, table: str, names: Sequence[Name]) -> list[OrderRow]:
        """Read rows of one table; one that cannot be read keeps no other one from being read."""
        arguments: list[object] = [[name.key for name in names]]
        if table in _NUMBERED:
            arguments.append([name.number for name in names])
        try:
            rows = await self._database.many(f"order_{_TABLES[table].ending}", *arguments)
        except _STRANGE:
            if len(names) == 1:
                return [_unreadable(names[0], {}, mac=None)]
            middle = len(names) // 2
            parts = [await self._named(table, part) for part in (names[:middle], names[middle:])]
            return [row for part in parts for row in part]
        return [_order_row(table, row) for row in rows]

    async def anywhere(self, table: str) -> Walk:
        """Return the walk through the past of a table from any place in it on.

        A process that begins there has looked at every part of the past sooner or later, however
        often it is started anew.
        """
        walk = PASTS[table]
        rows = await self._database.many(walk.query, 1, *walk.place, *walk.arguments)
        least = rows[0]["key"].int if rows else 0
        key = UUID(int=least + secrets.randbelow(max(1, new_id().int - least)))
        return replace(walk, place=(key, *walk.place[1:]))

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
        return await self._database.execute(f"sign_order_{_TABLES[table].ending}", *arguments)


def _order_row(table: str, row: Record) -> OrderRow:
    name = Name(table=table, key=row["key"], number=row["number"])
    try:
        data = _TABLES[table].data(row)
    except _STRANGE:
        return _unreadable(name, row, mac=row["mac"])
    return OrderRow(name=name, data=data, mac=row["mac"], values=row)


def _unreadable(
    name: Name, values: Record | Mapping[str, object], *, mac: bytes | None
) -> OrderRow:
    return OrderRow(name=name, data=b"", mac=mac, values=values, is_readable=False)

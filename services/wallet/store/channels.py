"""Channel accounts of the pool: made, leased, topped up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.db.pool import Database, Session
from libs.common.ids import OperationId, WalletId
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.model import OperationKind
from services.wallet.domain.payment_orders import spread
from services.wallet.keys.seal import SealedKey
from services.wallet.store.custody import add_records, append, lock_audit_log
from services.wallet.store.orders import Orders
from services.wallet.store.wallets import created


@dataclass(frozen=True, kw_only=True)
class ChannelTotals:
    """The numbers of channel accounts."""

    #: All accounts that were made.
    made: int
    #: Accounts that exist on the chain.
    ready: int
    #: Accounts with a transaction in flight.
    busy: int
    #: Accounts whose spendable XLM is below the mark.
    low: int
    #: Stroops of XLM on all of them.
    xlm: int


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A channel account that nobody else gets meanwhile."""

    #: The channel account's wallet.
    wallet_id: WalletId
    #: strkey G...
    address: str
    #: When the lease ends by itself, by the database's clock.
    until: datetime


@dataclass(frozen=True, kw_only=True)
class TopUps:
    """What became of top-ups that were wanted."""

    #: The number that was asked for.
    queued: int
    #: The number that the budget does not allow.
    refused: int


class ChannelStore:
    """Wallets of the kind `channel`."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def insert(self, made: Sequence[tuple[SealedKey, OperationId]], *, most: int) -> int:
        """Record new channel accounts with their creation, while there are less than `most`."""
        async with self._database.transaction() as session:
            return await insert_pool_accounts(
                session, self._orders, "channel", OperationKind.OPEN_CHANNEL, made, most=most
            )

    async def lease(self, count: int, *, seconds: float) -> list[Lease]:
        """Lease up to `count` channel accounts that exist, can pay and have nothing in flight."""
        rows = await self._database.many("lease_channels", count, seconds)
        return [
            Lease(wallet_id=WalletId(row["id"]), address=row["address"], until=row["leased_until"])
            for row in rows
            if self._orders.is_wallet(row)
        ]

    async def give_back(self, leases: Sequence[Lease]) -> None:
        """End leases: what was signed with them is committed, or never will be."""
        await self._database.execute(
            "return_channels",
            [lease.wallet_id for lease in leases],
            [lease.until for lease in leases],
        )

    async def totals(self, *, low: int) -> ChannelTotals:
        """Return the totals of channel accounts; `low` is the mark in stroops of XLM."""
        row = await self._database.one("channel_totals", low)
        if row is None:
            return ChannelTotals(made=0, ready=0, busy=0, low=0, xlm=0)
        return ChannelTotals(**dict(row))

    async def poor(self, *, below: int, limit: int) -> dict[WalletId, str]:
        """Return the addresses of the poorest channel accounts below a mark, by their rows.

        An account that waits for a top-up already is not among them, nor is a row that wallet did
        not write.
        """
        rows = await self._database.many("poor_channels", below, limit)
        return {WalletId(row["id"]): row["address"] for row in rows if self._orders.is_wallet(row)}

    async def topped_up(self) -> int:
        """Return the stroops that top-ups of the last 24 hours come to."""
        return await _topped_up(self._database)

    async def queue_top_ups(
        self, wanted: Mapping[WalletId, OperationId], *, amount: int, ledger: int, budget: int
    ) -> TopUps:
        """Have channel accounts topped up that were seen to be low at a ledger.

        An account that waits for a top-up already, or has got one since that ledger, gets no other.
        What is asked for within 24 hours comes to no more than `budget` stroops, whatever becomes
        of it: the audit log counts, of which nobody who writes rows can take anything away.
        """
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            allowed = max(0, budget - await _topped_up(session)) // amount
            pairs = list(wanted.items())[:allowed]
            macs = [
                self._orders.for_own_operation(
                    OperationKind.TOP_UP,
                    row_id=name,
                    wallet_id=wallet_id,
                    block_index=ledger,
                    amount=amount,
                )
                for wallet_id, name in pairs
            ]
            made = await session.many(
                "insert_top_ups",
                [name for _, name in pairs],
                [wallet_id for wallet_id, _ in pairs],
                ledger,
                amount,
                macs,
            )
            # All of them to one payer: one transaction takes them.
            await assign(session, self._orders, [row["id"] for row in made], among=1)
            acts = [_topping_up(row["id"], row["wallet_id"], amount) for row in made]
            await add_records(session, acts, self._orders)
        return TopUps(queued=len(made), refused=len(wanted) - len(pairs))


async def _topped_up(session: Session | Database) -> int:
    row = await session.one("topped_up_lately")
    return 0 if row is None else int(row["stroops"])


def _topping_up(operation_id: UUID, wallet_id: UUID, amount: int) -> Act:
    """Return the act for the audit log; queries/channels.sql reads the amount."""
    return Act(
        actor="wallet",
        action=Action.TOP_UP,
        subject=f"wallet {wallet_id}",
        details=f"{amount} stroops of XLM, {operation_id}",
    )


async def free_payers(session: Session, orders: Orders) -> list[WalletId]:
    """Return the payers that may be given payments, the one with the fewest first.

    A payment belongs to its payer for ever, so an account that wallet did not make gets none: it
    would never be paid.
    """
    rows = await session.many("free_payers")
    return [WalletId(row["id"]) for row in rows if orders.is_wallet(row)]


async def assign(
    session: Session,
    orders: Orders,
    payments: Sequence[OperationId],
    *,
    among: int | None = None,
    each: int = 1,
) -> int:
    """Assign payments to payers for ever, the payer with the fewest first; return their number.

    With `among`, only so many payers get any; `each` gets so many before the next one. None is
    assigned while there is no payer.
    """
    payers = (await free_payers(session, orders))[:among]
    pairs = spread(payments, payers, each=each)
    if not pairs:
        return 0
    return await session.execute(
        "insert_payments",
        [payment for payment, _ in pairs],
        [payer for _, payer in pairs],
        [orders.for_payment(payment, payer) for payment, payer in pairs],
    )


async def insert_pool_accounts(
    session: Session,
    orders: Orders,
    wallet_kind: str,
    opening: OperationKind,
    made: Sequence[tuple[SealedKey, OperationId]],
    *,
    most: int,
) -> int:
    """Record new accounts of the pool with the operations that open them.

    Record as long as there are less than `most` of their kind. Return the number of accounts that
    were recorded.
    """
    await session.one("lock_pool_accounts")
    row = await session.one("count_pool_accounts", wallet_kind)
    room = max(0, most - (0 if row is None else row["made"]))
    for sealed, operation_id in made[:room]:
        await session.one(
            "insert_pool_account",
            sealed.wallet_id,
            sealed.address,
            sealed.kek_id,
            sealed.wrapped_data_key,
            sealed.nonce,
            sealed.sealed_seed,
            operation_id,
            wallet_kind,
            opening.value,
            orders.for_wallet(row_id=sealed.wallet_id, kind=wallet_kind, address=sealed.address),
            orders.for_own_operation(opening, row_id=operation_id, wallet_id=sealed.wallet_id),
        )
    await append(session, [created(sealed, wallet_kind) for sealed, _ in made[:room]], orders)
    return len(made[:room])

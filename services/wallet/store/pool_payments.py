"""Payments from poolers' custodial accounts: recorded once, never beyond what they received."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import OperationId, WalletId
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import PayoutAddressMissingError, RequestIdReusedError
from services.wallet.domain.fees_due import FeeMark, Paid, Past, paid
from services.wallet.domain.model import OperationKind
from services.wallet.domain.orders import pool_payment_bytes
from services.wallet.domain.payment_orders import filling, spread
from services.wallet.domain.payouts import (
    PoolerAccount,
    PoolPayment,
    Refusal,
    WantedPayment,
    affordable,
)
from services.wallet.store.channels import free_payers
from services.wallet.store.custody import append
from services.wallet.store.fee_marks import FeeMarkStore
from services.wallet.store.operations import operation_of
from services.wallet.store.orders import Orders
from services.wallet.store.paid_before import PaidBefore
from services.wallet.store.payouts import PayoutStore
from services.wallet.store.wallets import moment_of
from services.wallet.store.withdrawals import WithdrawalStore

#: Payments that are recorded at once: they fill twenty transactions.
AT_ONCE = 1980


class PoolPaymentStore:
    """The table pool_payments."""

    def __init__(
        self,
        database: Database,
        orders: Orders,
        *,
        payouts: PayoutStore,
        withdrawals: WithdrawalStore,
        marks: FeeMarkStore,
    ) -> None:
        """Take the store of payouts, which tells what poolers' accounts received."""
        self._database = database
        self._orders = orders
        self._payouts = payouts
        self._withdrawals = withdrawals
        self._marks = marks
        self._before = PaidBefore(database, orders, Action.PAY_FROM_POOLER)

    async def of_request(
        self,
        request_id: str,
        account: PoolerAccount,
        wanted: Sequence[WantedPayment],
        *,
        is_miner: bool,
    ) -> dict[str, OperationId | Refusal]:
        """Return the payments of a request that are recorded, by address.

        Raises RequestIdReusedError when one has another amount than is asked for.
        """
        return await self._known(self._database, request_id, account, wanted, is_miner=is_miner)

    async def record_miners(
        self,
        request_id: str,
        account: PoolerAccount,
        wanted: Sequence[WantedPayment],
        *,
        actor: str,
    ) -> dict[str, OperationId | Refusal]:
        """Make payments to miners durable, and find those that the request stands for already.

        The result is by address. Raises RequestIdReusedError, FeesTamperedError.
        """
        async with self._database.transaction() as session:
            await session.one("lock_withdrawals")
            known = await self._known(session, request_id, account, wanted, is_miner=True)
            fresh = [item for item in wanted if item.destination not in known]
            return known | await self._record(session, request_id, account, fresh, actor)

    async def record_pooler(
        self, request_id: str, account: PoolerAccount, wanted: WantedPayment, *, actor: str
    ) -> OperationId | Refusal:
        """Make a payment to the pooler durable, to the address that counts for it now.

        Raises RequestIdReusedError, FeesTamperedError, PayoutAddressTamperedError.
        """
        async with self._database.transaction() as session:
            await session.one("lock_withdrawals")
            known = await self._known(session, request_id, account, [wanted], is_miner=False)
            if known:
                return next(iter(known.values()))
            try:
                address = await self._withdrawals.counting(session, account.wallet_id)
            except PayoutAddressMissingError as error:
                return Refusal(reason="POOLER_ADDRESS_MISSING", message=error.message)
            to_pooler = WantedPayment(
                id=wanted.id, destination=address, amount=wanted.amount, is_miner=False
            )
            found = await self._record(session, request_id, account, [to_pooler], actor)
        return found[address]

    async def _known(
        self,
        session: Session | Database,
        request_id: str,
        account: PoolerAccount,
        wanted: Sequence[WantedPayment],
        *,
        is_miner: bool,
    ) -> dict[str, OperationId | Refusal]:
        amounts = {item.destination: item.amount for item in wanted}
        found: dict[str, OperationId | Refusal] = {}
        for row in await session.many(
            "pool_payments_of_request", account.wallet_id, request_id, is_miner
        ):
            place = row["destination"]
            if not is_miner:  # whichever address counted when it was recorded
                amounts[place] = wanted[0].amount
            if amounts.get(place, row["amount"]) != row["amount"]:
                raise RequestIdReusedError(f"request_id {request_id!r} stands for other payments")
            if place in amounts:
                found[place] = OperationId(row["operation_id"])
        return found

    async def _record(
        self,
        session: Session,
        request_id: str,
        account: PoolerAccount,
        wanted: Sequence[WantedPayment],
        actor: str,
    ) -> dict[str, OperationId | Refusal]:
        found: dict[str, OperationId | Refusal] = {}
        if not wanted:
            return found
        marks = await self._marks.marks([account.wallet_id], session=session)
        past = (await self._before.past(marks, session=session))[account.wallet_id]
        received = await self._payouts.received(account.pooler_id, session=session)
        gone = paid(marks[account.wallet_id], past).all
        made = list[WantedPayment]()
        for item, refusal in affordable(wanted, left=received.beyond(gone)):
            found[item.destination] = refusal or item.id
            made += [] if refusal else [item]
        last = past[-1].number if past else marks[account.wallet_id].until_number
        if made:
            await self._insert(session, request_id, account.wallet_id, made, last + 1)
            await append(session, [_act(account.wallet_id, made, last + 1, actor)], self._orders)
        return found

    async def _insert(
        self,
        session: Session,
        request_id: str,
        wallet_id: WalletId,
        made: Sequence[WantedPayment],
        first: int,
    ) -> None:
        moment = await moment_of(session)
        payers = await free_payers(session, self._orders)
        each = filling(OperationKind.POOL_PAYMENT)
        given = dict(spread([item.id for item in made], payers, each=each))
        numbered = list(enumerate(made, start=first))
        await session.execute(
            "insert_pool_payments",
            wallet_id,
            [item.id for item in made],
            [number for number, _ in numbered],
            [item.amount for item in made],
            [item.destination for item in made],
            [item.is_miner for item in made],
            [given.get(item.id) for item in made],
            [
                self._orders.for_own_operation(
                    OperationKind.POOL_PAYMENT,
                    row_id=item.id,
                    wallet_id=wallet_id,
                    block_index=number,
                    amount=item.amount,
                )
                for number, item in numbered
            ],
            [self._mac(request_id, wallet_id, number, item, moment) for number, item in numbered],
            [
                self._orders.for_payment(item.id, given[item.id]) if item.id in given else None
                for item in made
            ],
            request_id,
            moment,
        )

    def _mac(
        self,
        request_id: str,
        wallet_id: WalletId,
        number: int,
        item: WantedPayment,
        moment: datetime,
    ) -> bytes:
        return self._orders.mac(
            pool_payment_bytes(
                operation_id=item.id,
                wallet_id=wallet_id,
                number=number,
                request_id=request_id,
                is_miner=item.is_miner,
                amount=item.amount,
                destination=item.destination,
                requested_at=moment,
            )
        )

    async def by_ids(self, ids: Sequence[OperationId]) -> list[PoolPayment]:
        """Return payments in their current state."""
        rows = await self._database.many("pool_payments_by_ids", list(ids))
        return [_payment(row) for row in rows]

    async def past(self, marks: Mapping[WalletId, FeeMark]) -> dict[WalletId, list[Past]]:
        """Return what accounts have paid after their marks. Raises FeesTamperedError."""
        return await self._before.past(marks)

    async def paid(self, wallet_id: WalletId) -> Paid:
        """Return what a pooler's account has paid. Raises FeesTamperedError."""
        marks = await self._marks.marks([wallet_id])
        return paid(marks[wallet_id], (await self._before.past(marks))[wallet_id])

    async def address(self, wallet_id: WalletId) -> str:
        """Return where a pooler is paid to; empty when there is no such address."""
        return (await self._withdrawals.addresses(wallet_id)).address


def _act(wallet_id: WalletId, made: Sequence[WantedPayment], first: int, actor: str) -> Act:
    """Return the act for the audit log; queries/audit.sql holds rows against it."""
    last, total = first + len(made) - 1, sum(item.amount for item in made)
    return Act(
        actor=actor,
        action=Action.PAY_FROM_POOLER,
        subject=f"wallet {wallet_id}",
        details=f"{last} from {first} on: {total} stroops, {_digest(made, first)}",
    )


def _digest(made: Sequence[WantedPayment], first: int) -> str:
    """Return the SHA-256 over what is paid, and to whom."""
    lines = [
        f"{number} {item.amount} {'miner' if item.is_miner else 'pooler'} {item.destination}"
        for number, item in enumerate(made, start=first)
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _payment(row: Record) -> PoolPayment:
    return PoolPayment(
        request_id=row["request_id"],
        is_miner=row["is_miner"],
        amount=row["amount"],
        destination=row["destination"],
        requested_at=row["requested_at"],
        operation=operation_of(row),
    )

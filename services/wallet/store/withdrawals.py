"""Withdrawals and the addresses that they go to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import FarmerId, OperationId, WalletId, new_id
from libs.common.log import get_security_logger
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import (
    PayoutAddressDiffersError,
    PayoutAddressLimitError,
    PayoutAddressMissingError,
    PayoutAddressTamperedError,
    RequestIdReusedError,
    SigningPausedError,
    WithdrawalLimitError,
)
from services.wallet.domain.model import OperationKind
from services.wallet.domain.withdrawals import (
    AddressPast,
    Asset,
    CountLimits,
    DailyLimit,
    NewWithdrawal,
    PayoutAddresses,
    Withdrawal,
)
from services.wallet.store.channels import free_payers
from services.wallet.store.custody import append, is_held_apart
from services.wallet.store.operations import operation_of
from services.wallet.store.orders import Orders
from services.wallet.store.payers import since

security = get_security_logger()

#: Addresses that a farmer may have registered within a day.
MOST_CHANGES = 10
#: Milliseconds for which a withdrawal that is said to have failed counts against limits after it
#: was signed for: all payers are compared with the chain far more often.
DOUBTED = 10 * 60 * 1000
_COUNTS = CountLimits()
#: Seconds of a day.
_DAY = 86_400.0
_NOBODY = PayoutAddresses(address="", pending=None, pending_at=None)


class WithdrawalStore:
    """The tables withdrawals and payout_addresses."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def set_address(
        self,
        wallet_id: WalletId,
        address: str,
        *,
        cooling: float,
        actor: str,
        most: int = MOST_CHANGES,
    ) -> datetime:
        """Register an address, unless the newest is the same; return from when on it counts.

        The address replaces one that still cools. An address that stops an intruder counts at once:
        the address that counts already, and no address at all.

        Raises PayoutAddressTamperedError when wallet did not write the addresses that are there,
        and PayoutAddressLimitError for more than `most` addresses within a day, or the cooling time
        where that is longer: all that a decision is made by are the newest addresses.
        """
        async with self._database.transaction() as session:
            await session.one("lock_wallet", wallet_id)
            return await self.change_address(
                session, wallet_id, address, cooling=cooling, actor=actor, most=most
            )

    async def change_address(
        self,
        session: Session,
        wallet_id: WalletId,
        address: str,
        *,
        cooling: float,
        actor: str,
        most: int = MOST_CHANGES,
        how: str = "",
    ) -> datetime:
        """Register an address as `set_address` does, where the wallet's row is locked already.

        `how` is added to what the audit log says.
        """
        rows = await self._judged(session, wallet_id, lately=max(_DAY, cooling))
        newest = rows[-1]["address"] if rows else ""
        # Where the newest row is gone, no older one is an address that counts already.
        is_whole = newest == await _recorded(session, wallet_id)
        if rows and is_whole and newest == address:
            return _moment(rows[-1])
        lately = sum(row["is_late"] and row["address"] != "" for row in rows)
        if address and lately >= most:
            raise PayoutAddressLimitError(
                f"the farmer has had {lately} payout addresses lately, and no more may follow",
                metadata={"limit": str(most), "used": str(lately)},
            )
        at_once = {"", _addresses(rows).address} if is_whole else {""}
        wait = 0.0 if address in at_once else cooling
        moment = await self._insert_address(session, wallet_id, address, wait)
        details = f"{address or 'none'} from {moment.isoformat()} on{how}"
        await append(
            session, [_act(actor, Action.SET_PAYOUT_ADDRESS, wallet_id, details)], self._orders
        )
        return moment

    async def past_of(self, wallet_id: WalletId, *, session: Session | None = None) -> AddressPast:
        """Return the addresses that a farmer has and has had, the newest of which is the log's.

        Raises PayoutAddressTamperedError.
        """
        source = session or self._database
        found = await self._recorded_addresses(source, wallet_id)
        rows = await self._judged(source, wallet_id)
        return AddressPast(
            now=found,
            number=rows[-1]["number"] if rows else 0,
            newest=rows[-1]["address"] if rows else "",
            has_had_one=any(row["address"] for row in rows),
        )

    async def _judged(
        self, session: Session | Database, wallet_id: WalletId, *, lately: float = _DAY
    ) -> list[Record]:
        """Return the addresses of a wallet, in one look, that wallet wrote.

        Late are those that were registered within so many seconds.

        Raises PayoutAddressTamperedError when any of them is missing, or not wallet's.
        """
        rows = await session.many("payout_addresses", wallet_id, lately)
        if not self._orders.are_addresses(rows):
            security.critical("payout addresses not written by wallet", wallet=str(wallet_id))
            raise PayoutAddressTamperedError(
                "the farmer's payout addresses are not as wallet wrote them"
            )
        return rows

    async def _insert_address(
        self, session: Session, wallet_id: WalletId, address: str, wait: float
    ) -> datetime:
        """Record an address that counts after so many seconds; return when that is."""
        row = await session.one("next_payout_address", wallet_id)
        if row is None:
            raise LookupError("a wallet has no next address")
        number, registered_at = row["number"], row["registered_at"]
        effective_at: datetime = registered_at + timedelta(seconds=wait)
        mac = self._orders.for_payout_address(
            wallet_id=wallet_id,
            number=number,
            address=address,
            registered_at=registered_at,
            effective_at=effective_at,
        )
        await session.execute(
            "insert_payout_address", wallet_id, number, address, registered_at, effective_at, mac
        )
        return effective_at

    async def addresses(self, wallet_id: WalletId) -> PayoutAddresses:
        """Return the address that counts and the newest that is to come.

        Raises PayoutAddressTamperedError.
        """
        return _addresses(await self._judged(self._database, wallet_id))

    async def record(
        self, new: NewWithdrawal, limit: DailyLimit, counts: CountLimits = _COUNTS
    ) -> OperationId:
        """Make a withdrawal durable, or find the one that its request_id stands for.

        Raises RequestIdReusedError, PayoutAddressMissingError, PayoutAddressDiffersError,
        PayoutAddressTamperedError, WithdrawalLimitError, and SigningPausedError. The last one has a
        reason: a withdrawal that waits counts against the pool's limit, which farmers whom an
        operator has stopped must not use up.
        """
        async with self._database.transaction() as session:
            await session.one("lock_withdrawals")
            known = await session.one("withdrawal_of_request", new.wallet_id, new.request_id)
            if known is not None:
                return _same(new, known)
            if await is_held_apart(session, new.wallet_id):
                raise SigningPausedError("signing is paused for this farmer or its pooler")
            address = await self.counting(session, new.wallet_id)
            if new.destination not in {"", address}:
                raise PayoutAddressDiffersError(
                    f"destination: another address counts now, {address}",
                    metadata={"expected": new.destination, "found": address},
                )
            await _check_counts(session, new, counts)
            await self._check_limit(session, new, limit)
            await self._insert(session, new, address)
            details = f"{new.amount} stroops of {new.asset.name} to {address}, {new.id}"
            await append(
                session, [_act(new.actor, Action.WITHDRAW, new.wallet_id, details)], self._orders
            )
        return new.id

    async def counting(self, session: Session, wallet_id: WalletId) -> str:
        """Return the address that counts for a wallet now.

        Raises PayoutAddressMissingError, PayoutAddressTamperedError.
        """
        found = await self._recorded_addresses(session, wallet_id)
        if not found.address:
            raise _no_address(found)
        return found.address

    async def _recorded_addresses(
        self, session: Session | Database, wallet_id: WalletId
    ) -> PayoutAddresses:
        """Return a wallet's addresses, of which the newest has to be the audit log's."""
        rows = await self._judged(session, wallet_id)
        newest = rows[-1]["address"] if rows else ""
        recorded = await _recorded(session, wallet_id)
        if newest != recorded:
            security.critical(
                "payout address is not the audit log's",
                wallet=str(wallet_id),
                address=newest,
                recorded=recorded,
            )
            raise PayoutAddressTamperedError(
                "the farmer's newest payout address is not the one in the audit log"
            )
        return _addresses(rows)

    async def _check_limit(self, session: Session, new: NewWithdrawal, limit: DailyLimit) -> None:
        used = await self._used(session, new)
        for whose, most in (("farmer", limit.farmer), ("pool", limit.pool)):
            if used[whose] + new.amount > most:
                raise WithdrawalLimitError(
                    f"{max(0, most - used[whose])} stroops of {new.asset.name} may leave the "
                    f"{whose} within the 24 hours that end now, not {new.amount}",
                    metadata={"limit": str(most), "used": str(used[whose]), "of": whose},
                )

    async def _used(self, session: Session, new: NewWithdrawal) -> Mapping[str, int]:
        """Return the stroops that have left within 24 hours, or may have: the farmer's, the pool's.

        What failed by wallet's own word has not left, once it is old enough for its payer's number
        to have told. What failed by somebody else's word counts all day: who writes that may hold
        the row, so that wallet cannot correct it.
        """
        row = await session.one("withdrawn_lately", new.wallet_id, new.asset.value)
        used = Counter({} if row is None else dict(row))
        young = since(new_id(), minus=DOUBTED)
        for said in await session.many("withdrawals_said_to_fail", new.asset.value, young):
            if said["is_young"] or not self._orders.is_end(said):
                used["pool"] += said["withdrawn"]
                used["farmer"] += said["withdrawn"] * (said["wallet_id"] == new.wallet_id)
        return used

    async def _insert(self, session: Session, new: NewWithdrawal, destination: str) -> None:
        row = await session.one("next_withdrawal", new.wallet_id)
        if row is None:
            raise LookupError("a wallet has no next withdrawal")
        payer = next(iter(await free_payers(session, self._orders)), None)
        await session.execute(
            "insert_withdrawal",
            new.id,
            new.wallet_id,
            new.request_id,
            new.asset.value,
            new.amount,
            destination,
            row["number"],
            row["requested_at"],
            payer,
            self._orders.for_own_operation(
                OperationKind.WITHDRAW,
                row_id=new.id,
                wallet_id=new.wallet_id,
                block_index=row["number"],
                amount=new.amount,
            ),
            self._orders.for_withdrawal(
                operation_id=new.id,
                wallet_id=new.wallet_id,
                request_id=new.request_id,
                asset=new.asset.value,
                amount=new.amount,
                destination=destination,
                requested_at=row["requested_at"],
            ),
            None if payer is None else self._orders.for_payment(new.id, payer),
        )

    async def by_id(self, withdrawal_id: OperationId) -> Withdrawal | None:
        """Return one withdrawal; None when it does not exist."""
        row = await self._database.one("withdrawal", withdrawal_id)
        return None if row is None else _withdrawal(row)

    async def page(
        self, *, farmer_id: FarmerId | None, before: UUID | None, limit: int
    ) -> list[Withdrawal]:
        """Return withdrawals, newest first."""
        rows = await self._database.many("list_withdrawals", farmer_id, before, limit)
        return [_withdrawal(row) for row in rows]


async def _recorded(session: Session | Database, wallet_id: WalletId) -> str:
    """Return a wallet's newest address by the audit log; empty when it names none."""
    record = await session.one("recorded_payout_address", wallet_id)
    return "" if record is None else str(record["address"])


async def _check_counts(session: Session, new: NewWithdrawal, counts: CountLimits) -> None:
    row = await session.one("withdrawal_counts", new.wallet_id)
    if row is None:
        return
    for whose, most, what in (
        ("open", counts.open, "withdrawals of the farmer are not settled"),
        ("failures", counts.failures, "withdrawals of the farmer failed within 24 hours"),
        ("failures_of_pooler", counts.failures_of_pooler, "of its pooler failed within 24 hours"),
    ):
        if row[whose] >= most:
            raise WithdrawalLimitError(
                f"{row[whose]} {what}, and no more than {most} may",
                metadata={"limit": str(most), "used": str(row[whose]), "of": whose},
            )


def _act(actor: str, action: Action, wallet_id: WalletId, details: str) -> Act:
    return Act(actor=actor, action=action, subject=f"wallet {wallet_id}", details=details)


def _same(new: NewWithdrawal, known: Record) -> OperationId:
    if (known["asset"], known["amount"]) != (new.asset.value, new.amount):
        raise RequestIdReusedError(f"request_id {new.request_id!r} stands for another withdrawal")
    return OperationId(known["operation_id"])


def _no_address(found: PayoutAddresses) -> PayoutAddressMissingError:
    if found.pending and found.pending_at is not None:
        moment = found.pending_at.isoformat()
        return PayoutAddressMissingError(
            f"the payout address counts from {moment} on", metadata={"effective_at": moment}
        )
    return PayoutAddressMissingError("the farmer has no payout address")


def _addresses(rows: Sequence[Record]) -> PayoutAddresses:
    """Return the address that counts, if any, and the newest that is to come."""
    found = _NOBODY
    for row in rows:
        if not row["is_shown"]:
            continue
        if row["is_effective"]:
            found = PayoutAddresses(address=row["address"], pending=None, pending_at=None)
        else:
            found = PayoutAddresses(
                address=found.address, pending=row["address"], pending_at=row["effective_at"]
            )
    return found


def _moment(row: Record | None) -> datetime:
    if row is None:
        raise LookupError("an inserted address was not given back")
    moment: datetime = row["effective_at"]
    return moment


def _withdrawal(row: Record) -> Withdrawal:
    return Withdrawal(
        request_id=row["request_id"],
        asset=Asset(row["asset"]),
        amount=row["withdrawn"],
        destination=row["destination"],
        operation=operation_of(row),
    )

"""Owner accounts of farmers, and poolers that farm for themselves: whose word decides."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import PoolerId, WalletId
from libs.common.log import get_security_logger
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import OwnerAccountTamperedError, PoolerMarkTamperedError
from services.wallet.domain.orders import owner_account_bytes, pooler_mark_bytes
from services.wallet.store.custody import add_records, lock_audit_log
from services.wallet.store.orders import Orders
from services.wallet.store.versions import (
    moments_after,
    newest_number,
    owner_account_row,
    pooler_mark_row,
    recorded_numbers,
)

security = get_security_logger()

#: Seconds of a day.
_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class OwnerAccounts:
    """The owner account of a farmer, and what it is to become."""

    #: The account (strkey G...) whose signature counts; empty: none.
    address: str = ""
    #: Number of the newest row, one to come included; 0: there is none.
    number: int = 0
    #: The account to come; None when no change is waiting.
    pending: str | None = None
    #: When it counts.
    pending_at: datetime | None = None
    #: When the newest row was registered; None: there is none.
    newest_at: datetime | None = None
    #: Accounts that were set within a day.
    late: int = 0


class OwnerStore:
    """The tables owner_accounts and pooler_marks."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def accounts(
        self, wallet_id: WalletId, *, session: Session | None = None
    ) -> OwnerAccounts:
        """Return the owner account of a farmer, and the one that is to come.

        Raises OwnerAccountTamperedError when wallet did not write all of them, or the newest is not
        the one that the audit log tells of.
        """
        source, subject = session or self._database, f"wallet {wallet_id}"
        rows = await source.many("owner_accounts", wallet_id, _DAY)
        recorded = await recorded_numbers(source, Action.SET_OWNER_ACCOUNT, [subject])
        is_whole = newest_number(rows) == recorded.get(subject, "0")
        if not (is_whole and self._orders.are_versions(rows, owner_account_row)):
            security.critical("owner accounts not written by wallet", wallet=str(wallet_id))
            raise OwnerAccountTamperedError("the farmer's owner accounts are not wallet's own")
        return _accounts(rows)

    async def addresses(self, wallet_ids: Iterable[WalletId]) -> set[str]:
        """Return the accounts that speak for these farmers; "" when one has none.

        It ends with the second one: whoever asks wants to know whether all have the same.

        Raises OwnerAccountTamperedError.
        """
        found = set[str]()
        for wallet_id in wallet_ids:
            found.add((await self.accounts(wallet_id)).address)
            if len(found) > 1:
                break
        return found

    async def farms_for_itself(
        self, pooler_id: PoolerId | None, *, session: Session | None = None
    ) -> bool:
        """Tell whether an operator has marked a pooler as farming for itself.

        Raises PoolerMarkTamperedError when wallet did not write all that was said of it, or the
        newest is not what the audit log tells of.
        """
        if pooler_id is None:
            return False
        source = session or self._database
        rows = await self._marks(source, pooler_id)
        return bool(rows) and bool(rows[-1]["farms_for_itself"])

    async def _marks(self, source: Session | Database, pooler_id: PoolerId) -> Sequence[Record]:
        subject = f"pooler {pooler_id}"
        rows = await source.many("pooler_marks", pooler_id)
        recorded = await recorded_numbers(source, Action.MARK_POOLER, [subject])
        is_whole = newest_number(rows) == recorded.get(subject, "0")
        if not (is_whole and self._orders.are_versions(rows, pooler_mark_row)):
            security.critical("marks of a pooler not written by wallet", pooler=str(pooler_id))
            raise PoolerMarkTamperedError("what was said of the pooler is not as wallet wrote it")
        return rows

    async def mark(self, pooler_id: PoolerId, *, farms_for_itself: bool, actor: str) -> bool:
        """Record whether a pooler farms for itself; return False when that was said already.

        Raises PoolerMarkTamperedError.
        """
        async with self._database.transaction() as session:
            # One mark is recorded at a time.
            await lock_audit_log(session)
            rows = await self._marks(session, pooler_id)
            if farms_for_itself == (bool(rows) and rows[-1]["farms_for_itself"]):
                return False
            moments = await moments_after(session, rows[-1]["registered_at"] if rows else None)
            number, now = (rows[-1]["number"] if rows else 0) + 1, moments.now
            mac = self._orders.mac(
                pooler_mark_bytes(
                    pooler_id=pooler_id,
                    number=number,
                    farms_for_itself=farms_for_itself,
                    registered_at=now,
                    effective_at=now,
                )
            )
            await session.execute(
                "insert_pooler_mark", pooler_id, number, farms_for_itself, now, mac
            )
            act = Act(
                actor=actor,
                action=Action.MARK_POOLER,
                subject=f"pooler {pooler_id}",
                details=f"{number} farms for {'itself' if farms_for_itself else 'others'}",
            )
            await add_records(session, [act], self._orders)
        return True


async def insert_owner_account(
    session: Session,
    orders: Orders,
    wallet_id: WalletId,
    address: str,
    *,
    number: int,
    registered_at: datetime,
    wait: float,
    actor: str,
    how: str = "",
) -> tuple[datetime, Act]:
    """Record the account that speaks for a farmer after so many seconds.

    Return when that is, and the act, which belongs into the audit log; `how` is added to it.
    """
    effective_at = registered_at + timedelta(seconds=wait)
    mac = orders.mac(
        owner_account_bytes(
            wallet_id=wallet_id,
            number=number,
            address=address,
            registered_at=registered_at,
            effective_at=effective_at,
        )
    )
    await session.execute(
        "insert_owner_account", wallet_id, number, address, registered_at, effective_at, mac
    )
    act = Act(
        actor=actor,
        action=Action.SET_OWNER_ACCOUNT,
        subject=f"wallet {wallet_id}",
        details=f"{number} {address or 'none'} from {effective_at.isoformat()} on{how}",
    )
    return effective_at, act


def _accounts(rows: Sequence[Record]) -> OwnerAccounts:
    """Return the account that counts, if any, and the newest that is to come."""
    address, pending, pending_at = "", None, None
    for row in rows:
        if not row["is_shown"]:
            continue
        if row["is_effective"]:
            address, pending, pending_at = row["address"], None, None
        else:
            pending, pending_at = row["address"], row["effective_at"]
    return OwnerAccounts(
        address=address,
        number=rows[-1]["number"] if rows else 0,
        newest_at=rows[-1]["registered_at"] if rows else None,
        pending=pending,
        pending_at=pending_at,
        late=sum(row["is_late"] for row in rows),
    )

"""Roots of the pool's claims that were asked for, in order."""

from datetime import datetime

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import OperationId, WalletId
from libs.common.log import get_security_logger
from libs.kale.statements.roots import day_text
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import (
    DataEntryTamperedError,
    DayToComeError,
    RootDiffersError,
    RootTooOldError,
)
from services.wallet.domain.model import OperationKind
from services.wallet.store.custody import add_records, lock_audit_log
from services.wallet.store.orders import Orders

security = get_security_logger()


class DataEntryStore:
    """The table data_entries."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def record(
        self, operation_id: OperationId, treasury: WalletId, *, day: int, root: bytes, actor: str
    ) -> OperationId:
        """Make a day's root durable, or find the operation that stands for it.

        Raises RootDiffersError, RootTooOldError, DayToComeError, DataEntryTamperedError.
        """
        async with self._database.transaction() as session:
            # One at a time, so that what was asked for before is known.
            await lock_audit_log(session)
            known = self._judged(await session.one("data_entry", day))
            if known is not None:
                return _same(known, root)
            now = await session.one("next_data_entry")
            if now is None:
                raise LookupError("a time without a row")
            if day > now["today"]:
                raise DayToComeError(f"{day_text(day)} has not begun")
            if now["newest"] is not None and day < now["newest"]:
                raise RootTooOldError(
                    f"the root of {day_text(now['newest'])} was asked for already",
                    metadata={"newest_day": str(now["newest"])},
                )
            moment: datetime = now["requested_at"]
            await self._insert(session, operation_id, treasury, day=day, root=root, moment=moment)
            act = Act(
                actor=actor,
                action=Action.PUBLISH_ROOT,
                subject=f"wallet {treasury}",
                # queries/audit.sql reads these words.
                details=f"day {day}, {root.hex()}, {operation_id}",
            )
            await add_records(session, [act], self._orders)
        return operation_id

    async def newest(self) -> tuple[int, bytes, OperationId] | None:
        """Return day, root and operation of the newest root; None when there is none.

        Raises DataEntryTamperedError.
        """
        row = self._judged(await self._database.one("data_entry", None))
        return None if row is None else (row["day"], row["root"], OperationId(row["operation_id"]))

    async def _insert(
        self,
        session: Session,
        operation_id: OperationId,
        treasury: WalletId,
        *,
        day: int,
        root: bytes,
        moment: datetime,
    ) -> None:
        await session.execute(
            "insert_data_entry",
            operation_id,
            treasury,
            day,
            root,
            moment,
            self._orders.for_own_operation(
                OperationKind.DATA_ENTRY,
                row_id=operation_id,
                wallet_id=treasury,
                block_index=day,
                digest=root,
            ),
            self._orders.for_data_entry(
                operation_id=operation_id, day=day, root=root, requested_at=moment
            ),
        )

    def _judged(self, row: Record | None) -> Record | None:
        if row is not None and not self._orders.is_data_entry(row):
            security.critical("root not written by wallet", operation=str(row["operation_id"]))
            raise DataEntryTamperedError("the row of the root is not as wallet wrote it")
        return row


def _same(known: Record, root: bytes) -> OperationId:
    if known["root"] != root:
        raise RootDiffersError(f"another root stands for {day_text(known['day'])}")
    return OperationId(known["operation_id"])

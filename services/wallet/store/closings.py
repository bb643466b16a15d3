"""The closing of accounts of farmers and poolers that leave, as wallet records it."""

from collections.abc import Sequence

from libs.common.db.pool import Database
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.model import OperationKind
from services.wallet.store.custody import add_records, lock_audit_log
from services.wallet.store.orders import Orders


class ClosingStore:
    """Operations that close accounts."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def newest(self, wallet_id: WalletId) -> OperationId | None:
        """Return the newest operation that closes a wallet's account; None: there is none."""
        row = await self._database.one("newest_closing", wallet_id)
        return None if row is None else OperationId(row["id"])

    async def busy(self, wallet_ids: Sequence[WalletId]) -> set[WalletId]:
        """Return the wallets that have anything but their closing under way."""
        rows = await self._database.many("busy_wallets", list(wallet_ids))
        return {WalletId(row["id"]) for row in rows}

    async def unharvested(self, wallet_id: WalletId, *, first: int) -> list[int]:
        """Return the blocks from `first` on that a wallet planted in and did not harvest."""
        rows = await self._database.many("unharvested_blocks", wallet_id, first)
        return [row["block_index"] for row in rows]

    async def record(self, wallet_id: WalletId, *, actor: str, details: str) -> OperationId | None:
        """Make it durable that an account is to be closed, and return the operation.

        None: another call was faster, or something of the wallet is under way by now.
        """
        operation_id = OperationId(new_id())
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            mac = self._orders.for_own_operation(
                OperationKind.CLOSE_ACCOUNT, row_id=operation_id, wallet_id=wallet_id
            )
            made = await session.one("insert_closing", operation_id, wallet_id, mac)
            if made is None:
                return None
            act = Act(
                actor=actor,
                action=Action.CLOSE_ACCOUNT,
                subject=f"wallet {wallet_id}",
                details=f"{details}, {operation_id}",
            )
            await add_records(session, [act], self._orders)
        return operation_id

"""The closing of accounts of farmers and poolers that leave, as wallet records it."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.db.pool import Database
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.model import OperationKind
from services.wallet.store.custody import add_records, lock_audit_log
from services.wallet.store.orders import Orders


@dataclass(frozen=True, kw_only=True)
class RetiredKey:
    """The key of an account that is closed."""

    wallet_id: WalletId
    #: strkey G...
    address: str
    #: What closed it; None: nothing did.
    operation_id: OperationId | None


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

    # Keys ---------------------------------------------------------------------------------------

    async def unretired(self, *, limit: int) -> dict[WalletId, OperationId]:
        """Return wallets whose account is closed, and whose key is not retired, with the closing.

        Who wrote that is for the caller to judge.
        """
        rows = await self._database.many("unretired_closings", limit)
        return {WalletId(row["wallet_id"]): OperationId(row["operation_id"]) for row in rows}

    async def retire(self, wallet_ids: Sequence[WalletId]) -> None:
        """Note that the keys of closed accounts are not needed from now on."""
        await self._database.execute("insert_retired_keys", list(wallet_ids))

    async def retired(
        self, *, seconds: float, after: WalletId | None, limit: int
    ) -> list[RetiredKey]:
        """Return keys that are there and were retired so many seconds ago, in order."""
        rows = await self._database.many("retired_keys", seconds, after, limit)
        return [RetiredKey(**row) for row in rows]

    async def destroy(self, key: RetiredKey) -> bool:
        """Destroy a key, and record that; return False when it was gone already."""
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            row = await session.one("destroy_key", key.wallet_id)
            if row is None or not row["destroyed"]:
                return False
            act = Act(
                actor="wallet",
                action=Action.DESTROY_KEY,
                subject=f"wallet {key.wallet_id}",
                details=f"{key.address}, closed by {key.operation_id}",
            )
            await add_records(session, [act], self._orders)
        return True

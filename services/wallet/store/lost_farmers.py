"""Farmers whose account or KALE line has gone from the chain."""

from collections.abc import Sequence

from libs.common.db.pool import Database
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.model import OperationKind
from services.wallet.store.orders import Orders


class LostFarmerStore:
    """The wallets that were on the chain and are to be brought back."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def find(self, *, limit: int) -> dict[WalletId, str]:
        """Return addresses by wallet of farmers who seem to be lost, of rows that wallet wrote."""
        rows = await self._database.many("lost_farmers", limit)
        return {WalletId(row["id"]): row["address"] for row in rows if self._orders.is_wallet(row)}

    async def bring_back(self, wallets: Sequence[WalletId], *, ledger: int) -> int:
        """Have farmers brought back; return how many were not on the way already."""
        names = [OperationId(new_id()) for _ in wallets]
        macs = [
            self._orders.for_own_operation(
                OperationKind.ONBOARD, row_id=name, wallet_id=wallet_id, block_index=ledger
            )
            for name, wallet_id in zip(names, wallets, strict=True)
        ]
        made = await self._database.many("insert_returns", names, list(wallets), ledger, macs)
        return len(made)

"""Owner accounts that things belong to, by what wallet has sealed."""

from collections.abc import Iterable, Sequence

from libs.common.ids import WalletId
from services.wallet.store.owners import OwnerStore
from services.wallet.store.wallets import WalletStore


class AccountOwners:
    """The owner accounts of farmers, of their wallets, and of operations."""

    def __init__(self, wallets: WalletStore, owners: OwnerStore) -> None:
        self._wallets = wallets
        self._owners = owners

    async def of_farmers(self, ids: Sequence[str]) -> set[str]:
        """Return the owner accounts of these farmers; "" is among them when one has none."""
        return await self._of(await self._wallets.wallets_of_farmers(ids))

    async def of_wallets(self, ids: Sequence[str]) -> set[str]:
        """Return the owner accounts of these wallets; "" is among them when one has none."""
        return await self._of(await self._wallets.known_wallets(ids))

    async def of_operations(self, ids: Sequence[str]) -> set[str]:
        """Return the owner accounts of these operations; "" is among them when one has none."""
        return await self._of(await self._wallets.wallets_of_operations(ids))

    async def _of(self, wallet_ids: Iterable[WalletId | None]) -> set[str]:
        found = list(wallet_ids)
        known = [wallet_id for wallet_id in found if wallet_id is not None]
        # What is not wallet's own is nobody's, and nobody else needs to be looked up.
        return {""} if len(known) < len(found) else await self._owners.addresses(known)

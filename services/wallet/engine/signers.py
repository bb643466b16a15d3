"""Signers for wallets, which are kept only as long as they are needed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from libs.common.ids import WalletId
from services.wallet.domain.errors import ReceiverKeyError, WalletNotFoundError
from services.wallet.keys.export import Parcel
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.seal import broken_keys, unsealed
from services.wallet.keys.signer import SeedSigner
from services.wallet.store.kill_switch import KillSwitch, PausedHereError
from services.wallet.store.wallets import WalletStore


class Signers:
    """The opener of the database's sealed keys, with the key provider."""

    def __init__(
        self, provider: KeyProvider, wallets: WalletStore, kill_switch: KillSwitch | None = None
    ) -> None:
        self._provider = provider
        self._wallets = wallets
        self._switch = kill_switch or KillSwitch()

    @asynccontextmanager
    async def open(self, wallet_ids: Sequence[WalletId]) -> AsyncIterator[list[SeedSigner]]:
        """Yield the wallets' signers, in order; wipe all of them when the block ends.

        Raises PausedHereError when this process was told to sign nothing at all.
        """
        if self._switch.holds_everything:
            raise PausedHereError("signing is paused in this process")
        sealed = await self._wallets.sealed_keys(wallet_ids)
        for wallet_id in wallet_ids:
            if wallet_id not in sealed:
                raise WalletNotFoundError(f"there is no key of wallet {wallet_id}")
        keys = [sealed[wallet_id] for wallet_id in wallet_ids]
        async with unsealed(self._provider, keys) as signers:
            yield signers

    async def broken(self, wallet_ids: Sequence[WalletId]) -> set[WalletId]:
        """Return the wallets whose keys do not open or do not exist."""
        sealed = await self._wallets.sealed_keys(wallet_ids)
        missing = set(wallet_ids) - sealed.keys()
        return missing | await broken_keys(self._provider, list(sealed.values()))

    async def export(self, wallet_id: WalletId, receiver_key: bytes) -> Parcel:
        """Return a wallet's seed, encrypted to an X25519 key.

        Raises ReceiverKeyError when `receiver_key` is no X25519 key.
        """
        async with self.open([wallet_id]) as (signer,):
            try:
                return signer.export(receiver_key)
            except ValueError as error:
                raise ReceiverKeyError.of("receiver_key", "is no X25519 key") from error

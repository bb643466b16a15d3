"""Several providers as one: one that seals, and others that still open what they sealed."""

from collections.abc import Sequence

from services.wallet.keys.provider import KeyProvider, KeyProviderError, WrappedKey


class Keychain:
    """Several providers as one, so that a pool can move from one kind to another while it runs."""

    def __init__(self, sealing: KeyProvider, *opening: KeyProvider) -> None:
        self._sealing = sealing
        self._all = (sealing, *opening)

    def __repr__(self) -> str:
        """Return the providers of the keychain."""
        return f"Keychain({', '.join(map(repr, self._all))})"

    @property
    def kind(self) -> str:
        """Return the kind of the provider that seals."""
        return self._sealing.kind

    async def current_kek(self) -> str:
        """Return the current KEK of the provider that seals."""
        return await self._sealing.current_kek()

    def holds(self, kek_id: str) -> bool:
        """Tell whether one of the providers has the KEK."""
        return any(provider.holds(kek_id) for provider in self._all)

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """Wrap a data key by the provider that seals."""
        return await self._sealing.wrap(data_key, context)

    async def unwrap(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        """Unwrap each data key by the provider that wrapped it."""
        found: dict[WrappedKey, bytes | KeyProviderError] = {
            key: KeyProviderError(f"wrapped by KEK {key.kek_id}, of which no provider is set up")
            for key in keys
        }
        for provider in self._all:
            its = [key for key in found if provider.holds(key.kek_id)]
            if its:
                found.update(zip(its, await provider.unwrap(its), strict=True))
        return [found[key] for key in keys]

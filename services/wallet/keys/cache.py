"""Unwrapped data keys, kept for a short time, for providers that are a server away.

A block's plants need a thousand keys within a ledger, and the treasury's key is needed with every
transaction. A kept key can be read out of this process's memory while it is kept. The same holds
for the seeds that are just being used for signing. docs/custody.md weighs this.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from services.wallet.keys.provider import KeyProvider, KeyProviderError, WrappedKey


class DataKeyCache:
    """A limited number of data keys.

    Each key is kept for `seconds` after it was unwrapped, whether it is used or not.
    """

    def __init__(self, *, entries: int, seconds: float) -> None:
        self._entries = entries
        self._seconds = seconds
        #: Kept keys, oldest first, each with the loop's time at which it expires.
        self._kept: OrderedDict[WrappedKey, tuple[float, bytearray]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        """Return the number of kept keys and their limit."""
        return f"DataKeyCache({len(self._kept)} of {self._entries})"

    def __len__(self) -> int:
        """Return the number of kept keys."""
        return len(self._kept)

    def get(self, key: WrappedKey) -> bytes | None:
        """Return the data key if it is kept."""
        self._drop_expired()
        kept = self._kept.get(key)
        return None if kept is None else bytes(kept[1])

    def put(self, key: WrappedKey, data_key: bytes) -> None:
        """Keep the data key; the oldest key is dropped when there is no room."""
        self._drop(key)
        while len(self._kept) >= self._entries:
            self._drop(next(iter(self._kept)))
        ends = asyncio.get_running_loop().time() + self._seconds
        self._kept[key] = (ends, bytearray(data_key))
        self._wind()

    def clear(self) -> None:
        """Drop all kept keys."""
        for key in list(self._kept):
            self._drop(key)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self, key: WrappedKey) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            # Our copy is overwritten; short-lived copies of the callers are left to Python.
            kept[1][:] = bytes(len(kept[1]))

    def _drop_expired(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._kept:
            key, (ends, _) = next(iter(self._kept.items()))
            if ends > now:
                return
            self._drop(key)

    def _wind(self) -> None:
        """Set the timer for the oldest key.

        So expired keys are dropped even if nobody asks again.
        """
        if self._timer is None and self._kept:
            ends, _ = next(iter(self._kept.values()))
            self._timer = asyncio.get_running_loop().call_at(ends, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._drop_expired()
        self._wind()


class CachedProvider:
    """A provider whose data keys are kept for a short time."""

    def __init__(self, provider: KeyProvider, cache: DataKeyCache) -> None:
        self._provider = provider
        self._cache = cache

    def __repr__(self) -> str:
        """Return the provider, and the number of kept keys."""
        return f"CachedProvider({self._provider!r}, {self._cache!r})"

    @property
    def kind(self) -> str:
        """Return the provider's kind."""
        return self._provider.kind

    async def current_kek(self) -> str:
        """Return the provider's current KEK."""
        return await self._provider.current_kek()

    def holds(self, kek_id: str) -> bool:
        """Tell whether the provider has the KEK."""
        return self._provider.holds(kek_id)

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """Wrap a data key by the provider; nothing is kept."""
        return await self._provider.wrap(data_key, context)

    async def unwrap(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        """Return the kept data keys, and unwrap the rest by the provider. Errors are not kept."""
        kept = {key: self._cache.get(key) for key in keys}
        missing = [key for key, data_key in kept.items() if data_key is None]
        found: dict[WrappedKey, bytes | KeyProviderError] = {
            key: data_key for key, data_key in kept.items() if data_key is not None
        }
        if missing:
            found.update(zip(missing, await self._provider.unwrap(missing), strict=True))
        for key in missing:
            if isinstance(fresh := found[key], bytes):
                self._cache.put(key, fresh)
        return [found[key] for key in keys]

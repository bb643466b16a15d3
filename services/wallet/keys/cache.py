"""Unwrapped data keys, kept for a moment: for providers that are a server away.

A block's plants need a thousand keys within a ledger, and the treasury's key is needed with every
transaction. What is kept can be read out of this process's memory while it is kept, which the seeds
that are just being signed with can, too. docs/custody.md weighs it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from services.wallet.keys.provider import KeyProvider, KeyProviderError, WrappedKey


class DataKeyCache:
    """So many data keys at most, each for so many seconds after it was unwrapped, used or not."""

    def __init__(self, *, entries: int, seconds: float) -> None:
        self._entries = entries
        self._seconds = seconds
        #: Oldest first, with the loop's time at which it ends.
        self._kept: OrderedDict[WrappedKey, tuple[float, bytearray]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        """How many there are."""
        return f"DataKeyCache({len(self._kept)} of {self._entries})"

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def get(self, key: WrappedKey) -> bytes | None:
        """The data key, if it is kept."""
        self._drop_expired()
        kept = self._kept.get(key)
        return None if kept is None else bytes(kept[1])

    def put(self, key: WrappedKey, data_key: bytes) -> None:
        """Keeps it; the oldest makes room."""
        self._drop(key)
        while len(self._kept) >= self._entries:
            self._drop(next(iter(self._kept)))
        ends = asyncio.get_running_loop().time() + self._seconds
        self._kept[key] = (ends, bytearray(data_key))
        self._wind()

    def clear(self) -> None:
        """Forgets all of them."""
        for key in list(self._kept):
            self._drop(key)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self, key: WrappedKey) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            # Our copy is overwritten; short-lived ones of the callers are left to Python.
            kept[1][:] = bytes(len(kept[1]))

    def _drop_expired(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._kept:
            key, (ends, _) = next(iter(self._kept.items()))
            if ends > now:
                return
            self._drop(key)

    def _wind(self) -> None:
        """Sets the timer for the oldest one: what is over goes even if nobody asks again."""
        if self._timer is None and self._kept:
            ends, _ = next(iter(self._kept.values()))
            self._timer = asyncio.get_running_loop().call_at(ends, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._drop_expired()
        self._wind()


class CachedProvider:
    """A provider whose data keys are kept for a moment."""

    def __init__(self, provider: KeyProvider, cache: DataKeyCache) -> None:
        self._provider = provider
        self._cache = cache

    def __repr__(self) -> str:
        """The provider, and how many keys are kept."""
        return f"CachedProvider({self._provider!r}, {self._cache!r})"

    @property
    def kind(self) -> str:
        """The provider's."""
        return self._provider.kind

    async def current_kek(self) -> str:
        """The provider's."""
        return await self._provider.current_kek()

    def holds(self, kek_id: str) -> bool:
        """Whether the provider has it."""
        return self._provider.holds(kek_id)

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """By the provider; nothing is kept."""
        return await self._provider.wrap(data_key, context)

    async def unwrap(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        """What is kept, and the rest from the provider. Errors are not kept."""
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

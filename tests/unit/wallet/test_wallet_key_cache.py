"""Data keys that are kept for a moment: bounded in number and time, and never a wrong one."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace

import pytest

from libs.common.errors import UnavailableError
from services.wallet.domain.errors import KeysUnavailableError
from services.wallet.keys.cache import CachedProvider, DataKeyCache
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KEY_BYTES, KeyProviderError, WrappedKey, unwrap_one


class CountedProvider(LocalKeyProvider):
    """A provider that counts what it is asked for, and can be away."""

    def __init__(self) -> None:
        super().__init__(secrets.token_bytes(KEY_BYTES))
        self.asked = 0
        self.is_away = False

    async def unwrap(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        """As the provider does."""
        if self.is_away:
            raise KeysUnavailableError("away")
        self.asked += len(keys)
        return await super().unwrap(keys)


async def wrapped_keys(provider: LocalKeyProvider, count: int) -> list[WrappedKey]:
    """Data keys, each bound to its number."""
    return [await provider.wrap(bytes([n]) * KEY_BYTES, b"%d" % n) for n in range(count)]


async def test_a_kept_key_is_not_asked_for_again() -> None:
    provider = CountedProvider()
    cached = CachedProvider(provider, DataKeyCache(entries=10, seconds=60))
    keys = await wrapped_keys(provider, 3)
    for _ in range(2):
        assert await cached.unwrap(keys) == [bytes([n]) * KEY_BYTES for n in range(3)]
    assert provider.asked == 3
    provider.is_away = True
    assert await unwrap_one(cached, keys[1]) == bytes([1]) * KEY_BYTES
    with pytest.raises(UnavailableError):
        await unwrap_one(cached, replace(keys[1], context=b"other"))


async def test_errors_are_not_kept_and_do_not_touch_the_others() -> None:
    provider = CountedProvider()
    cached = CachedProvider(provider, DataKeyCache(entries=10, seconds=60))
    good, other = await wrapped_keys(provider, 2)
    wrong = replace(other, context=b"other")
    for asked in (2, 3):
        found = await cached.unwrap([wrong, good])
        assert isinstance(found[0], KeyProviderError)
        assert found[1] == bytes(KEY_BYTES)
        assert provider.asked == asked


async def test_the_oldest_makes_room() -> None:
    provider, cache = CountedProvider(), DataKeyCache(entries=2, seconds=60)
    cached = CachedProvider(provider, cache)
    keys = await wrapped_keys(provider, 3)
    await cached.unwrap(keys)
    assert len(cache) == 2
    assert cache.get(keys[0]) is None
    assert cache.get(keys[2]) is not None


async def test_time_ends_even_if_nobody_asks_again() -> None:
    cache = DataKeyCache(entries=10, seconds=1.0)
    first, second = await wrapped_keys(CountedProvider(), 2)
    cache.put(first, bytes(KEY_BYTES))
    await asyncio.sleep(0.7)
    cache.put(second, bytes(KEY_BYTES))
    cache.get(first)  # a use does not make it live longer
    await fewer_than(cache, 2)
    assert cache.get(first) is None
    assert cache.get(second) is not None
    await fewer_than(cache, 1)


async def fewer_than(cache: DataKeyCache, count: int) -> None:
    """Returns when so few are left; it is the loop's timers that drop them."""
    while len(cache) >= count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_what_is_dropped_is_overwritten() -> None:
    cache = DataKeyCache(entries=1, seconds=60)
    key, other = await wrapped_keys(CountedProvider(), 2)
    cache.put(key, b"\x07" * KEY_BYTES)
    kept = cache._kept[key][1]
    cache.put(other, b"\x08" * KEY_BYTES)
    assert kept == bytearray(KEY_BYTES)
    kept = cache._kept[other][1]
    cache.clear()
    assert kept == bytearray(KEY_BYTES)
    assert "08" not in repr(cache)

"""Data keys that are kept for a moment: bounded in number and time, and never a wrong one."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from libs.common.errors import UnavailableError
from services.wallet.domain.errors import KeysUnavailableError
from services.wallet.keys import cache as module
from services.wallet.keys.cache import CachedProvider, DataKeyCache
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KEY_BYTES, KeyProviderError, WrappedKey, unwrap_one
from tests.support.counting import counted_calls


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


class Timer:
    """A timer of the loop below."""

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when, self.call = when, call
        self.is_cancelled = False

    def cancel(self) -> None:
        """As asyncio's."""
        self.is_cancelled = True


class Loop:
    """An event loop whose clock a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        """As asyncio's."""
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        """As asyncio's."""
        self.timers.append(Timer(when, call))
        return self.timers[-1]

    @property
    def waiting(self) -> list[float]:
        """Return when timers are due that were not cancelled and have not rung."""
        return [timer.when for timer in self.timers if not timer.is_cancelled]

    def goes_on(self, now: float) -> None:
        """Set the clock, and ring the timers that are due then."""
        self.now = now
        for timer in [one for one in self.timers if one.when <= now]:
            self.timers.remove(timer)
            if not timer.is_cancelled:
                timer.call()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    """The loop that the cache takes for the running one."""
    found = Loop()
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(get_running_loop=lambda: found))
    return found


def keys(count: int) -> list[WrappedKey]:
    """Wrapped keys, which nobody unwraps."""
    return [WrappedKey(kek_id="k", ciphertext=bytes([n]), context=b"") for n in range(count)]


def test_a_key_ends_with_its_second_whether_it_is_used_or_not(loop: Loop) -> None:
    cache = DataKeyCache(entries=10, seconds=60)
    (key,) = keys(1)
    cache.put(key, b"\x07")
    loop.now = 159.9
    assert cache.get(key) == b"\x07"
    # No timer has rung yet.
    loop.now = 160.0
    assert cache.get(key) is None
    assert len(cache) == 0


def test_time_ends_even_if_nobody_asks_again(loop: Loop) -> None:
    cache = DataKeyCache(entries=10, seconds=60)
    first, second, third = keys(3)
    cache.put(first, b"1")
    loop.now = 130.0
    cache.put(second, b"2")
    # One timer is enough: that of the oldest.
    assert loop.waiting == [160.0]
    loop.goes_on(160.0)
    assert len(cache) == 1
    assert loop.waiting == [190.0]
    loop.goes_on(190.0)
    assert (len(cache), loop.waiting) == (0, [])
    cache.put(third, b"3")
    assert loop.waiting == [250.0]


def test_several_that_end_together_are_dropped_together(loop: Loop) -> None:
    cache = DataKeyCache(entries=10, seconds=60)
    for key in keys(3):
        cache.put(key, b"1")
    with counted_calls(most=1000):
        loop.goes_on(160.0)
    assert (len(cache), loop.waiting) == (0, [])


def test_a_key_that_is_kept_again_is_kept_once_and_lives_anew(loop: Loop) -> None:
    cache = DataKeyCache(entries=10, seconds=60)
    (key,) = keys(1)
    cache.put(key, b"1")
    old = cache._kept[key][1]
    loop.now = 130.0
    cache.put(key, b"2")
    assert (len(cache), bytes(old)) == (1, b"\0")
    loop.goes_on(160.0)
    assert cache.get(key) == b"2"


@pytest.mark.parametrize(("entries", "kept"), [(1, [3]), (2, [2, 3]), (4, [0, 1, 2, 3])])
def test_no_more_are_kept_than_there_is_room_for(loop: Loop, entries: int, kept: list[int]) -> None:
    cache = DataKeyCache(entries=entries, seconds=60)
    all_keys = keys(4)
    with counted_calls(most=1000):
        for key in all_keys:
            cache.put(key, b"1")
    assert [number for number, key in enumerate(all_keys) if cache.get(key) is not None] == kept


def test_nothing_rings_after_all_was_dropped(loop: Loop) -> None:
    cache = DataKeyCache(entries=10, seconds=60)
    first, second = keys(2)
    cache.clear()
    cache.put(first, b"1")
    cache.clear()
    assert (len(cache), loop.waiting) == (0, [])
    cache.put(second, b"2")
    assert loop.waiting == [160.0]


async def test_what_is_kept_is_not_asked_for_with_what_is_not() -> None:
    provider = CountedProvider()
    cached = CachedProvider(provider, DataKeyCache(entries=10, seconds=60))
    first, second = await wrapped_keys(provider, 2)
    await cached.unwrap([first])
    assert await cached.unwrap([second, first]) == [bytes([1]) * KEY_BYTES, bytes(KEY_BYTES)]
    assert provider.asked == 2
    assert await cached.unwrap([]) == []


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

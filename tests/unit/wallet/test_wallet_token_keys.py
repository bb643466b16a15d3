"""API tokens as texts, and the keys that sign access tokens: sealed, opened, in their turn."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from services.wallet.domain.errors import TokenKeysMissingError
from services.wallet.domain.tokens import (
    DEFAULT_NAME,
    DEFAULT_SECONDS,
    ending,
    hash_of,
    is_name,
    new_text,
)
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KeyProviderError
from services.wallet.keys.token_keys import (
    ENDS_AFTER,
    SIGNS_AFTER,
    SealedTokenKey,
    TokenKey,
    counting,
    open_token_keys,
    reseal_token_key,
    seal_token_key,
    signing,
)
from services.wallet.store.keys import KeyStore

PROVIDER = LocalKeyProvider(bytes(range(32)))


def test_a_token_is_256_random_bits_and_its_hash_is_what_is_kept() -> None:
    texts = {new_text() for _ in range(1000)}
    assert len(texts) == 1000
    for text in texts:
        assert re.fullmatch(r"kp_[A-Za-z0-9_-]{43}", text)
        assert hash_of(text) == hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize(
    "text",
    ["", "kp_", "kp_" + "A" * 42, "kp_" + "A" * 44, "KP_" + "A" * 43, "kp_" + "A" * 42 + "\n"],
)
def test_a_text_that_is_no_token_has_no_hash(text: str) -> None:
    assert hash_of(text) is None


def test_a_token_is_called_as_callers_are() -> None:
    assert all(map(is_name, ("a", "north-1", "a.b_c", "x" * 64)))
    assert not any(map(is_name, ("", "-a", "a-", "North", "a b", "x" * 65, "a\n", "a/b")))


def test_a_token_of_which_nothing_is_said_ends_after_ninety_days() -> None:
    assert DEFAULT_NAME == "token"
    made = datetime(2026, 1, 1, tzinfo=UTC)
    assert ending(made, seconds=DEFAULT_SECONDS) == made + timedelta(days=90)


async def opened(*ages: float) -> list[tuple[TokenKey, float]]:
    sealed = [await seal_token_key(PROVIDER, number) for number in range(1, len(ages) + 1)]
    keys = await open_token_keys(PROVIDER, sealed)
    return [(cast(TokenKey, key), age) for key, age in zip(keys, ages, strict=True)]


@pytest.mark.parametrize(
    ("ages", "signs", "count"),
    [
        # The first key signs at once.
        ([0], 1, [1]),
        # The next one is told before it signs.
        ([1000, SIGNS_AFTER - 1], 1, [1, 2]),
        ([1000, SIGNS_AFTER], 2, [1, 2]),
        # What the one before has signed may live for a minute.
        ([1000, ENDS_AFTER - 1], 2, [1, 2]),
        ([1000, ENDS_AFTER], 2, [2]),
        ([1000, 900, 10], 2, [2, 3]),
        ([1000, 200, 150], 3, [1, 2, 3]),
        ([10, 5], 1, [1, 2]),
    ],
)
async def test_a_key_signs_in_its_turn_and_counts_until_its_tokens_have_ended(
    ages: list[float], signs: int, count: list[int]
) -> None:
    keys = await opened(*ages)
    assert signing(keys).number == signs
    assert [key.number for key in counting(keys)] == count


async def test_a_key_opens_as_itself_and_nowhere_else() -> None:
    one, two = await seal_token_key(PROVIDER, 1), await seal_token_key(PROVIDER, 2)
    first, second = await open_token_keys(PROVIDER, [one, two])
    assert isinstance(first, TokenKey)
    assert isinstance(second, TokenKey)
    assert first.key_id != second.key_id
    swapped = SealedTokenKey(number=2, kek_id=one.kek_id, wrapped_key=one.wrapped_key)
    (error,) = await open_token_keys(PROVIDER, [swapped])
    assert isinstance(error, KeyProviderError)
    other = LocalKeyProvider(bytes(32))
    (foreign,) = await open_token_keys(other, [one])
    assert isinstance(foreign, KeyProviderError)


async def test_a_key_stays_itself_under_another_kek() -> None:
    sealed = await seal_token_key(PROVIDER, 1)
    again = await reseal_token_key(PROVIDER, sealed)
    assert again.wrapped_key != sealed.wrapped_key
    before, after = await open_token_keys(PROVIDER, [sealed, again])
    assert isinstance(before, TokenKey)
    assert isinstance(after, TokenKey)
    assert before.key_id == after.key_id


async def test_nothing_of_a_key_is_shown() -> None:
    sealed = await seal_token_key(PROVIDER, 1)
    (key,) = await open_token_keys(PROVIDER, [sealed])
    assert isinstance(key, TokenKey)
    assert "private" not in repr(key)
    assert "wrapped" not in repr(sealed)


async def test_before_the_keys_are_open_nothing_is_signed_and_nobody_known() -> None:
    keys = TokenKeys(PROVIDER, cast(KeyStore, None))
    with pytest.raises(TokenKeysMissingError):
        _ = keys.current
    with pytest.raises(TokenKeysMissingError):
        _ = keys.public
    with pytest.raises(TokenKeysMissingError):
        await keys.find("x")

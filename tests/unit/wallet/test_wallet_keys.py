"""Custody: every key provider passes the same suite; a seal holds for one wallet only."""

import base64
import pickle
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from stellar_sdk import Keypair

from libs.common.ids import WalletId, new_id
from services.wallet.keys.provider import (
    KEY_BYTES,
    KeyProvider,
    KeyProviderError,
    LocalKeyProvider,
    MasterKeyError,
    load_master_key,
)
from services.wallet.keys.seal import SealBrokenError, SealedKey, seal_new_key, seal_seed, unsealed
from services.wallet.keys.signer import SeedSigner, SignerWipedError, load_treasury_seed

MakeProvider = Callable[[], KeyProvider]

#: Each gives a provider with a KEK of its own. Further providers are added here.
PROVIDERS: dict[str, MakeProvider] = {
    "local": lambda: LocalKeyProvider(secrets.token_bytes(KEY_BYTES)),
}


@pytest.fixture(params=PROVIDERS)
def make_provider(request: pytest.FixtureRequest) -> MakeProvider:
    return PROVIDERS[str(request.param)]


# The contract of a key provider


async def test_unwrap_gives_what_was_wrapped(make_provider: MakeProvider) -> None:
    provider, key = make_provider(), secrets.token_bytes(KEY_BYTES)
    wrapped = await provider.wrap(key, b"context")
    assert key not in wrapped
    assert await provider.unwrap(wrapped, b"context", kek_id=provider.kek_id) == key


async def test_wrapping_twice_gives_different_bytes(make_provider: MakeProvider) -> None:
    provider, key = make_provider(), secrets.token_bytes(KEY_BYTES)
    assert await provider.wrap(key, b"context") != await provider.wrap(key, b"context")


async def test_another_context_does_not_unwrap(make_provider: MakeProvider) -> None:
    provider = make_provider()
    wrapped = await provider.wrap(bytes(KEY_BYTES), b"context")
    with pytest.raises(KeyProviderError):
        await provider.unwrap(wrapped, b"other", kek_id=provider.kek_id)


@pytest.mark.parametrize("position", [0, 15, -1])
async def test_tampered_bytes_do_not_unwrap(make_provider: MakeProvider, position: int) -> None:
    provider = make_provider()
    wrapped = bytearray(await provider.wrap(bytes(KEY_BYTES), b"context"))
    wrapped[position] ^= 1
    with pytest.raises(KeyProviderError):
        await provider.unwrap(bytes(wrapped), b"context", kek_id=provider.kek_id)


@pytest.mark.parametrize("wrapped", [b"", b"short"])
async def test_rubbish_does_not_unwrap(make_provider: MakeProvider, wrapped: bytes) -> None:
    provider = make_provider()
    with pytest.raises(KeyProviderError):
        await provider.unwrap(wrapped, b"context", kek_id=provider.kek_id)


async def test_another_kek_does_not_unwrap(make_provider: MakeProvider) -> None:
    one, other = make_provider(), make_provider()
    assert one.kek_id != other.kek_id
    wrapped = await one.wrap(bytes(KEY_BYTES), b"context")
    for kek_id in (one.kek_id, other.kek_id):
        with pytest.raises(KeyProviderError):
            await other.unwrap(wrapped, b"context", kek_id=kek_id)


# The file and environment provider


def test_master_key_from_value_and_file(tmp_path: Path) -> None:
    key = secrets.token_bytes(KEY_BYTES)
    text = base64.b64encode(key).decode()
    file = tmp_path / "key"
    file.write_text(text + "\n")
    assert load_master_key(value=text, file=None) == key
    assert load_master_key(value="", file=file) == key


@pytest.mark.parametrize("value", ["", "AAAA", "not base64!", base64.b64encode(bytes(31)).decode()])
def test_bad_master_key_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(MasterKeyError) as caught:
        load_master_key(value=value, file=None)
    assert "MASTER_KEY" in str(caught.value)
    assert not value or value not in str(caught.value)


def test_master_key_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError):
        load_master_key(value="x", file=tmp_path / "key")
    with pytest.raises(MasterKeyError, match="cannot be read"):
        load_master_key(value="", file=tmp_path / "missing")


# The seal


@pytest.fixture
def provider() -> KeyProvider:
    return PROVIDERS["local"]()


async def test_a_sealed_key_signs(provider: KeyProvider) -> None:
    sealed = await seal_new_key(provider, WalletId(new_id()))
    async with unsealed(provider, sealed) as signer:
        assert signer.address == sealed.address
        signature = signer.sign(b"payload")
    Keypair.from_public_key(sealed.address).verify(b"payload", signature)
    with pytest.raises(SignerWipedError):
        signer.sign(b"payload")


async def test_an_imported_seed_keeps_its_address(provider: KeyProvider) -> None:
    pair = Keypair.random()
    sealed = await seal_seed(provider, WalletId(new_id()), pair.raw_secret_key())
    assert sealed.address == pair.public_key


async def opens(provider: KeyProvider, sealed: SealedKey) -> bool:
    try:
        async with unsealed(provider, sealed):
            return True
    except (SealBrokenError, KeyProviderError):
        return False


async def test_sealed_keys_cannot_be_swapped_between_rows(provider: KeyProvider) -> None:
    mine, theirs = [await seal_new_key(provider, WalletId(new_id())) for _ in range(2)]
    assert await opens(provider, mine)
    assert not await opens(provider, replace(mine, wallet_id=theirs.wallet_id))
    assert not await opens(provider, replace(mine, address=theirs.address))
    assert not await opens(
        provider, replace(theirs, wallet_id=mine.wallet_id, address=mine.address)
    )
    # The data key alone of another row does not help either.
    assert not await opens(provider, replace(mine, wrapped_data_key=theirs.wrapped_data_key))


async def test_a_changed_bit_breaks_the_seal(provider: KeyProvider) -> None:
    sealed = await seal_new_key(provider, WalletId(new_id()))
    wrapped, nonce, seed = sealed.wrapped_data_key, sealed.nonce, sealed.sealed_seed
    assert not await opens(provider, replace(sealed, wrapped_data_key=flipped(wrapped)))
    assert not await opens(provider, replace(sealed, nonce=flipped(nonce)))
    assert not await opens(provider, replace(sealed, sealed_seed=flipped(seed)))


def flipped(value: bytes) -> bytes:
    """The value with one bit changed."""
    return bytes([value[0] ^ 1]) + value[1:]


async def test_nothing_shows_a_secret(provider: KeyProvider) -> None:
    pair = Keypair.random()
    sealed = await seal_seed(provider, WalletId(new_id()), pair.raw_secret_key())
    async with unsealed(provider, sealed) as signer:
        shown = "".join([repr(signer), str(signer), repr(sealed), str(sealed), repr(provider)])
        assert pair.secret not in shown
        assert repr(pair.raw_secret_key()) not in shown
        assert repr(sealed.sealed_seed) not in shown
        assert not hasattr(signer, "__dict__")
        with pytest.raises(TypeError):
            pickle.dumps(signer)


def test_treasury_secret_file(tmp_path: Path) -> None:
    pair = Keypair.random()
    file = tmp_path / "treasury"
    file.write_text(pair.secret + "\n")
    assert load_treasury_seed(None) is None
    seed = load_treasury_seed(file)
    assert seed is not None
    assert SeedSigner(seed).address == pair.public_key
    file.write_text(pair.secret[:20] + "A" * 36)
    with pytest.raises(MasterKeyError) as caught:
        load_treasury_seed(file)
    assert pair.secret[:20] not in str(caught.value)

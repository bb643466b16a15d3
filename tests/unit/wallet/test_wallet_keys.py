"""Custody: master keys in files, and the seal, which holds for one wallet only."""

import base64
import hashlib
import pickle
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from stellar_sdk import Keypair

from libs.common.ids import WalletId, new_id
from services.wallet.keys.local import LocalKeyProvider, load_master_key, load_previous_keys
from services.wallet.keys.provider import (
    KEY_BYTES,
    KeyProvider,
    KeyProviderError,
    MasterKeyError,
    unwrap_one,
)
from services.wallet.keys.seal import (
    SealBrokenError,
    SealedKey,
    broken_keys,
    open_seed,
    seal_new_key,
    seal_seed,
    unsealed,
)
from services.wallet.keys.signer import SeedSigner, SignerWipedError, load_treasury_seed
from tests.support.counting import counted_calls

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


def test_a_wrong_key_is_named_by_where_it_came_from(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match=r"^MASTER_KEY must be base64 of 32 bytes$"):
        load_master_key(value="AAAA", file=None)
    file = tmp_path / "key"
    file.write_text("AAAA")
    with pytest.raises(MasterKeyError, match=r"^MASTER_KEY_FILE must be base64 of 32 bytes$"):
        load_master_key(value="", file=file)
    with pytest.raises(MasterKeyError, match=r"^MASTER_KEY_FILE: .* cannot be read as text$"):
        load_master_key(value="", file=tmp_path / "missing")
    with pytest.raises(MasterKeyError, match=r"^MASTER_KEY_PREVIOUS_FILES must be base64"):
        load_previous_keys([file])


@pytest.mark.parametrize("stranger", ["!", " ", "\n"])
def test_nothing_in_a_key_is_passed_over(stranger: str) -> None:
    text = base64.b64encode(bytes(32)).decode()
    assert load_master_key(value=f" {text}\n", file=None) == bytes(32)
    with pytest.raises(MasterKeyError):
        load_master_key(value=text[:8] + stranger + text[8:], file=None)


async def test_a_kek_has_a_name_that_tells_nothing_of_it() -> None:
    provider = LocalKeyProvider(bytes(32))
    digest = hashlib.sha256(b"kalepool kek id" + bytes(32)).hexdigest()
    assert await provider.current_kek() == f"local:{digest[:16]}"
    assert provider.kind == "local"


async def test_what_is_wrapped_has_a_nonce_of_its_own() -> None:
    provider = LocalKeyProvider(bytes(32))
    first, second = [await provider.wrap(bytes(KEY_BYTES), b"") for _ in range(2)]
    # 96 bits of nonce (NIST SP 800-38D), the key, and a tag of 128 bits.
    assert len(first.ciphertext) == 12 + KEY_BYTES + 16
    assert first.ciphertext[:12] != second.ciphertext[:12]


def test_master_key_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError):
        load_master_key(value="x", file=tmp_path / "key")
    with pytest.raises(MasterKeyError, match="cannot be read"):
        load_master_key(value="", file=tmp_path / "missing")


async def test_previous_keys_open_and_do_not_wrap(tmp_path: Path) -> None:
    keys = [secrets.token_bytes(KEY_BYTES) for _ in range(3)]
    files = [tmp_path / str(number) for number in range(3)]
    for file, key in zip(files, keys, strict=True):
        file.write_bytes(base64.b64encode(key) + b"\n")
    assert load_previous_keys(files) == keys
    now = LocalKeyProvider(*keys)
    for key in keys:
        wrapped = await LocalKeyProvider(key).wrap(bytes(KEY_BYTES), b"")
        assert now.holds(wrapped.kek_id)
        assert await unwrap_one(now, wrapped) == bytes(KEY_BYTES)
    assert await now.current_kek() == await LocalKeyProvider(keys[0]).current_kek()
    assert (await now.wrap(bytes(KEY_BYTES), b"")).kek_id == await now.current_kek()


def test_a_bad_previous_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("AAAA")
    for name in ("bad", "missing"):
        with pytest.raises(MasterKeyError, match="MASTER_KEY_PREVIOUS_FILES"):
            load_previous_keys([tmp_path / name])
    with pytest.raises(MasterKeyError, match="32 bytes"):
        LocalKeyProvider(bytes(32), bytes(31))


# The seal


@pytest.fixture
def provider() -> KeyProvider:
    return LocalKeyProvider(secrets.token_bytes(KEY_BYTES))


async def test_a_sealed_key_signs(provider: KeyProvider) -> None:
    sealed = await seal_new_key(provider, WalletId(new_id()))
    async with unsealed(provider, [sealed]) as (signer,):
        assert signer.address == sealed.address
        signature = signer.sign(b"payload")
    Keypair.from_public_key(sealed.address).verify(b"payload", signature)
    with pytest.raises(SignerWipedError):
        signer.sign(b"payload")


async def test_many_keys_open_in_order_and_all_are_wiped(provider: KeyProvider) -> None:
    keys = [await seal_new_key(provider, WalletId(new_id())) for _ in range(5)]
    async with unsealed(provider, keys) as signers:
        assert [signer.address for signer in signers] == [key.address for key in keys]
    for signer in signers:
        with pytest.raises(SignerWipedError):
            signer.sign(b"payload")


async def test_a_thousand_keys_open_within_the_budget(provider: KeyProvider) -> None:
    """25 microseconds a key, of which one call takes 18: it derives the public key."""
    keys = [await seal_new_key(provider, WalletId(new_id())) for _ in range(1000)]
    with counted_calls() as calls:
        async with unsealed(provider, keys):
            pass
    assert calls.count < 60 * len(keys)


async def test_an_imported_seed_keeps_its_address(provider: KeyProvider) -> None:
    pair = Keypair.random()
    sealed = await seal_seed(provider, WalletId(new_id()), pair.raw_secret_key())
    assert sealed.address == pair.public_key
    assert (len(sealed.nonce), len(sealed.sealed_seed)) == (12, 32 + 16)


async def opens(provider: KeyProvider, sealed: SealedKey) -> bool:
    try:
        async with unsealed(provider, [sealed]):
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
    async with unsealed(provider, [sealed]) as (signer,):
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


async def test_keys_that_do_not_open_are_told_without_stopping_the_others(
    provider: KeyProvider,
) -> None:
    keys = [await seal_new_key(provider, WalletId(new_id())) for _ in range(4)]
    keys[1] = replace(keys[1], sealed_seed=flipped(keys[1].sealed_seed))
    keys[2] = replace(keys[2], wrapped_data_key=flipped(keys[2].wrapped_data_key))
    assert await broken_keys(provider, keys) == {keys[1].wallet_id, keys[2].wallet_id}
    assert await broken_keys(provider, keys[::3]) == set()


async def test_a_seed_is_opened_as_it_was_sealed(provider: KeyProvider) -> None:
    seed = secrets.token_bytes(32)
    sealed = await seal_seed(provider, WalletId(new_id()), seed)
    assert await open_seed(provider, sealed) == seed
    with pytest.raises(SealBrokenError):
        await open_seed(provider, replace(sealed, nonce=flipped(sealed.nonce)))


# Exports


def test_an_exported_seed_opens_for_its_receiver_alone() -> None:
    seed, receiver = secrets.token_bytes(32), X25519PrivateKey.generate()
    signer = SeedSigner(seed)
    parcel = signer.export(receiver.public_key().public_bytes_raw())
    assert (len(parcel.sender_key), len(parcel.nonce)) == (32, 12)

    def opened(private: X25519PrivateKey, address: str = signer.address) -> bytes:
        # As custody.proto says it.
        shared = private.exchange(X25519PublicKey.from_public_bytes(parcel.sender_key))
        salt = parcel.sender_key + receiver.public_key().public_bytes_raw()
        info = b"kalepool key export 1"
        key = HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(shared)
        return ChaCha20Poly1305(key).decrypt(parcel.nonce, parcel.ciphertext, address.encode())

    assert opened(receiver).decode() == Keypair.from_raw_ed25519_seed(seed).secret
    with pytest.raises(InvalidTag):
        opened(X25519PrivateKey.generate())
    with pytest.raises(InvalidTag):
        opened(receiver, address=Keypair.random().public_key)


def test_a_wiped_signer_exports_nothing_and_a_wrong_receiver_gets_nothing() -> None:
    signer = SeedSigner(bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        signer.export(bytes(31))
    signer.wipe()
    with pytest.raises(SignerWipedError, match=signer.address):
        signer.export(X25519PrivateKey.generate().public_key().public_bytes_raw())

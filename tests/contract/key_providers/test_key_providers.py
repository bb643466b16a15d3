"""Every key provider keeps the same promises: one suite, on real servers."""

import secrets
from dataclasses import replace

import pytest

from libs.common.ids import WalletId, new_id
from services.wallet.domain.errors import KeysUnavailableError
from services.wallet.keys.provider import (
    KEY_BYTES,
    KeyProvider,
    KeyProviderError,
    WrappedKey,
    unwrap_one,
)
from services.wallet.keys.seal import seal_new_key, unsealed
from tests.contract.key_providers.conftest import OpenRig, Rig

CONTEXT = b"kalepool \x00\xff context|"


def fresh() -> bytes:
    """A data key."""
    return secrets.token_bytes(KEY_BYTES)


async def refused(provider: KeyProvider, key: WrappedKey) -> str:
    """The error with which a key does not open, in words."""
    with pytest.raises(KeyProviderError) as caught:
        await unwrap_one(provider, key)
    return str(caught.value)


async def test_unwrap_gives_what_was_wrapped(rig: Rig) -> None:
    key = fresh()
    wrapped = await rig.provider.wrap(key, CONTEXT)
    assert wrapped.kek_id == await rig.provider.current_kek()
    assert rig.provider.holds(wrapped.kek_id)
    assert key not in wrapped.ciphertext
    assert await unwrap_one(rig.provider, wrapped) == key


async def test_wrapping_twice_gives_different_bytes(rig: Rig) -> None:
    key = fresh()
    first, second = [await rig.provider.wrap(key, CONTEXT) for _ in range(2)]
    assert first.ciphertext != second.ciphertext


async def test_many_open_in_order_and_the_broken_ones_alone_do_not(rig: Rig) -> None:
    keys = [fresh() for _ in range(7)]
    wrapped = [await rig.provider.wrap(key, CONTEXT) for key in keys]
    wrapped[2] = replace(wrapped[2], context=b"other")
    wrapped[5] = replace(wrapped[5], ciphertext=b"")
    found = await rig.provider.unwrap(wrapped)
    assert [isinstance(item, KeyProviderError) for item in found] == [
        position in {2, 5} for position in range(7)
    ]
    assert [item for item in found if isinstance(item, bytes)] == [
        key for position, key in enumerate(keys) if position not in {2, 5}
    ]
    assert await rig.provider.unwrap([]) == []


async def test_another_context_does_not_unwrap(rig: Rig) -> None:
    wrapped = await rig.provider.wrap(fresh(), CONTEXT)
    for context in (b"", b"other", CONTEXT + b"x"):
        await refused(rig.provider, replace(wrapped, context=context))


@pytest.mark.parametrize("position", [0, 15, 60, -1])
async def test_tampered_bytes_do_not_unwrap(rig: Rig, position: int) -> None:
    wrapped = await rig.provider.wrap(fresh(), CONTEXT)
    changed = bytearray(wrapped.ciphertext)
    changed[min(position, len(changed) - 1)] ^= 1
    await refused(rig.provider, replace(wrapped, ciphertext=bytes(changed)))


@pytest.mark.parametrize(
    "ciphertext", [b"", b"short", b"vault:v1:", b"vault:v1:AAAA", b"\xff:\xff:"]
)
async def test_rubbish_does_not_unwrap(rig: Rig, ciphertext: bytes) -> None:
    wrapped = await rig.provider.wrap(fresh(), CONTEXT)
    await refused(rig.provider, replace(wrapped, ciphertext=ciphertext))


async def test_another_kek_does_not_unwrap(open_rig: OpenRig) -> None:
    async with open_rig() as one, open_rig() as other:
        wrapped = await one.provider.wrap(fresh(), CONTEXT)
        other_kek = await other.provider.current_kek()
        assert wrapped.kek_id != other_kek
        await refused(other.provider, replace(wrapped, kek_id=other_kek))
        await refused(one.provider, replace(wrapped, kek_id=other_kek))
        await refused(one.provider, replace(wrapped, kek_id="nobody's"))
        assert not one.provider.holds("nobody's")


async def test_what_an_old_kek_wrapped_still_opens_after_rotation(rig: Rig) -> None:
    key = fresh()
    old = await rig.provider.wrap(key, CONTEXT)
    rotated = await rig.rotate()
    current = await rotated.current_kek()
    assert current != old.kek_id
    assert rotated.holds(old.kek_id)
    assert await unwrap_one(rotated, old) == key
    # A key is wrapped again: another KEK, another ciphertext, the same data key.
    new = await rotated.wrap(await unwrap_one(rotated, old), CONTEXT)
    assert new.kek_id == current
    assert await rotated.unwrap([new, old]) == [key, key]
    # An old wrapped key under the new name is no key.
    await refused(rotated, replace(old, kek_id=current))


async def test_a_seal_opens_before_and_after_rotation(rig: Rig) -> None:
    before = await seal_new_key(rig.provider, WalletId(new_id()))
    rotated = await rig.rotate()
    after = await seal_new_key(rotated, WalletId(new_id()))
    assert before.kek_id != after.kek_id
    async with unsealed(rotated, [before, after]) as signers:
        assert [signer.address for signer in signers] == [before.address, after.address]


async def test_an_outage_is_one_and_passes(rig: Rig) -> None:
    if rig.way is None:
        pytest.skip("no server, no outage")
    key = fresh()
    wrapped = await rig.provider.wrap(key, CONTEXT)
    await rig.way.cut()
    with pytest.raises(KeysUnavailableError) as caught:
        await unwrap_one(rig.provider, wrapped)
    assert caught.value.reason == "KEYS_UNAVAILABLE"
    with pytest.raises(KeysUnavailableError):
        await rig.provider.wrap(key, CONTEXT)
    with pytest.raises(KeysUnavailableError):
        await rig.provider.current_kek()
    await rig.way.mend()
    assert await unwrap_one(rig.provider, wrapped) == key


async def test_nothing_shows_a_secret(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    key = fresh()
    wrapped = await rig.provider.wrap(key, CONTEXT)
    shown = [repr(rig.provider), str(rig.provider), repr(wrapped)]
    shown.append(await refused(rig.provider, replace(wrapped, context=b"other")))
    shown += capfd.readouterr()  # the log among it
    for text in shown:
        assert key.hex() not in text
        assert repr(key)[2:-1] not in text
        assert repr(wrapped.ciphertext) not in text

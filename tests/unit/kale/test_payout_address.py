"""Addresses that miners are paid to."""

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Keypair, MuxedAccount

from libs.kale.address import account_key, payout_address

ACCOUNT = Keypair.from_raw_ed25519_seed(bytes(32)).public_key
#: https://github.com/stellar/stellar-protocol/blob/master/ecosystem/sep-0023.md, its test cases.
MUXED = "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLK"
INVALID = (
    "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUR",
    "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLKA",
    "M47QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUQ",
    "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUK===",
    "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUO",
    "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGT",
)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1))
def test_accounts_and_muxed_accounts_can_be_paid(seed: bytes, number: int) -> None:
    account = Keypair.from_raw_ed25519_seed(seed).public_key
    muxed = MuxedAccount(account, number).account_muxed
    assert muxed is not None
    assert payout_address(account) == account
    assert payout_address(muxed) == muxed


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1))
def test_the_account_of_an_address_has_one_key(seed: bytes, number: int) -> None:
    account = Keypair.from_raw_ed25519_seed(seed)
    muxed = MuxedAccount(account.public_key, number).account_muxed
    assert muxed is not None
    assert account_key(account.public_key) == account_key(muxed) == account.raw_public_key()


@pytest.mark.parametrize(
    "text",
    [*INVALID, "", "CDL74RF5BLYR2YBLCCI7F5FB6TPSCLKEJUBSD2RSVWZ4YHF3VMFAIGWA"],
)
def test_what_names_no_account_has_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|checksum"):
        account_key(text)


def test_the_standards_own_example_can_be_paid() -> None:
    assert payout_address(MUXED) == MUXED


@pytest.mark.parametrize("text", INVALID)
def test_the_standards_invalid_addresses_cannot(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|checksum"):
        payout_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        ACCOUNT.lower(),
        ACCOUNT[:-1],
        ACCOUNT[:-1] + ("A" if ACCOUNT[-1] != "A" else "B"),
        ACCOUNT + " ",
        "S" + ACCOUNT[1:],
        "ä" * 56,
        "M" * 69,
        Keypair.from_raw_ed25519_seed(bytes(32)).secret,
        "CDL74RF5BLYR2YBLCCI7F5FB6TPSCLKEJUBSD2RSVWZ4YHF3VMFAIGWA",
    ],
)
def test_nothing_else_can(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|checksum"):
        payout_address(text)


def test_a_key_of_another_kind_in_a_muxed_address_is_refused() -> None:
    payload = bytes([2 << 3]) + bytes(40)
    raw = payload + binascii.crc_hqx(payload, 0).to_bytes(2, "little")
    with pytest.raises(ValueError, match="address"):
        payout_address(base64.b32encode(raw).decode().rstrip("="))

"""Amounts, percentages, addresses and networks as text: what is written, and what is refused."""

import pytest
from stellar_sdk import Keypair, Network, StrKey

from libs.kale.address import (
    account_address,
    address_of,
    is_account,
    is_contract,
    payout_address,
    raw_key,
)
from libs.kale.amounts import (
    format_kale,
    format_percentage,
    parse_kale,
    parse_percentage,
    stake_amount,
)
from libs.kale.errors import BlockInvalidError, FarmCode, FarmError
from libs.kale.formats import FORMATS
from libs.kale.networks import LOCALNET, MAINNET, NETWORKS, TESTNET, farm_of

#: https://github.com/stellar/stellar-protocol/blob/master/ecosystem/sep-0023.md, its test cases.
ACCOUNT = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"
CONTRACT = MAINNET.farm
MUXED = "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLK"


@pytest.mark.parametrize(
    ("stroops", "text"),
    [
        (0, "0.0000000"),
        (1, "0.0000001"),
        (-1, "-0.0000001"),
        (10_000_000, "1.0000000"),
        (-25_000_000, "-2.5000000"),
        (12_345_678_901, "1234.5678901"),
    ],
)
def test_stroops_are_written_with_seven_decimals(stroops: int, text: str) -> None:
    assert format_kale(stroops) == text


@pytest.mark.parametrize(
    ("text", "stroops"),
    [
        ("0", 0),
        ("1", 10_000_000),
        ("1.5", 15_000_000),
        ("0.0000001", 1),
        ("007.0", 70_000_000),
        ("999999999999.9999999", 9_999_999_999_999_999_999),
    ],
)
def test_a_number_of_kale_is_read(text: str, stroops: int) -> None:
    assert parse_kale(text) == stroops


@pytest.mark.parametrize(
    "text", ["", ".5", "1.", "-1", "+1", "1,5", "1e3", "0.00000001", "1000000000000", "٣", "1 "]
)
def test_what_is_no_number_of_kale_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="at most seven decimals"):
        parse_kale(text)


@pytest.mark.parametrize(
    ("bps", "text"), [(0, "0"), (1, "0.0001"), (2500, "0.25"), (9999, "0.9999"), (10_000, "1")]
)
def test_a_percentage_is_written_as_short_as_it_can_be(bps: int, text: str) -> None:
    assert format_percentage(bps) == text
    assert parse_percentage(text) == bps


@pytest.mark.parametrize(("text", "bps"), [("0.1", 1000), ("1.0000", 10_000), ("0.0000", 0)])
def test_a_percentage_may_be_written_longer(text: str, bps: int) -> None:
    assert parse_percentage(text) == bps


@pytest.mark.parametrize(("balance", "bps"), [(-1, 0), (0, -1), (0, 10_001)])
def test_there_is_no_stake_of_what_is_no_part(balance: int, bps: int) -> None:
    with pytest.raises(ValueError, match="must"):
        stake_amount(balance, bps)


@pytest.mark.parametrize(
    ("balance", "bps", "stake"), [(0, 10_000, 0), (7, 10_000, 7), (7, 0, 0), (9999, 1, 0)]
)
def test_all_and_nothing_can_be_staked(balance: int, bps: int, stake: int) -> None:
    assert stake_amount(balance, bps) == stake


def test_addresses_are_told_apart_by_their_first_letter() -> None:
    kinds = {text: (is_account(text), is_contract(text)) for text in (ACCOUNT, CONTRACT, MUXED)}
    assert kinds == {ACCOUNT: (True, False), CONTRACT: (False, True), MUXED: (False, False)}
    assert not is_account("")
    assert not is_contract("C" * 56)
    assert account_address(ACCOUNT) == ACCOUNT
    for text in (CONTRACT, MUXED, ""):
        with pytest.raises(ValueError, match="must be the address of a Stellar account"):
            account_address(text)


def test_keys_are_in_addresses_of_accounts_and_contracts() -> None:
    assert address_of(raw_key(ACCOUNT)) == ACCOUNT
    assert [len(raw_key(text)) for text in (ACCOUNT, CONTRACT)] == [32, 32]
    for text, told in (
        (MUXED, "56 characters, not 69"),
        ("SAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "checksum"),
        (ACCOUNT.lower(), "base32"),
        (ACCOUNT[:-1] + "=", "base32"),
    ):
        with pytest.raises(ValueError, match=told):
            raw_key(text)


def test_an_address_of_another_kind_holds_no_key_for_us() -> None:
    seed = Keypair.from_raw_ed25519_seed(bytes(32)).secret
    with pytest.raises(ValueError, match="G or C"):
        raw_key(seed)
    assert StrKey.is_valid_ed25519_secret_seed(seed)


def test_a_farm_is_the_networks_own_unless_another_is_set() -> None:
    assert NETWORKS == {"mainnet": MAINNET, "testnet": TESTNET, "localnet": LOCALNET}
    for name, network in NETWORKS.items():
        assert farm_of(name) == network.farm
        assert farm_of(name, "C...") == "C..."
        assert is_contract(network.farm)
        code, _, issuer = network.asset.partition(":")
        assert code == "KALE"
        assert is_account(issuer)


def test_passphrases_are_those_of_the_networks() -> None:
    assert [one.passphrase for one in (MAINNET, TESTNET, LOCALNET)] == [
        Network.PUBLIC_NETWORK_PASSPHRASE,
        Network.TESTNET_NETWORK_PASSPHRASE,
        Network.STANDALONE_NETWORK_PASSPHRASE,
    ]


def test_formats_have_the_names_that_protos_use() -> None:
    assert {
        "STELLAR_ACCOUNT": account_address,
        "STELLAR_ADDRESS": raw_key,
        "FRACTION": parse_percentage,
        "PAYOUT_ADDRESS": payout_address,
    } == FORMATS


def test_codes_of_the_farm_are_those_of_the_contract() -> None:
    assert [code.value for code in FarmCode] == list(range(1, 16))
    error = FarmError(FarmCode.PAIL_EXISTS)
    assert (error.code, str(error)) == (FarmCode.PAIL_EXISTS, "PAIL_EXISTS (8)")
    assert BlockInvalidError().code is FarmCode.BLOCK_INVALID

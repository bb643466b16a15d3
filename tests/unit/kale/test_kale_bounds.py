"""Bounds of amounts, hashes and addresses."""

import pytest

from libs.kale.address import account_address, is_account, is_contract
from libs.kale.amounts import WHOLE, parse_kale, stake_amount
from libs.kale.hash import preimage
from libs.kale.networks import NETWORKS, farm_of


def test_the_whole_balance_can_be_staked_and_no_more() -> None:
    assert WHOLE == 10_000
    assert stake_amount(77, 10_000) == 77
    with pytest.raises(ValueError, match="10,000"):
        stake_amount(77, 10_001)


def test_an_amount_may_have_no_decimals() -> None:
    assert parse_kale("12") == 120_000_000


@pytest.mark.parametrize(("entropy", "key"), [(31, 32), (33, 32), (32, 31), (32, 33)])
def test_entropy_and_key_have_32_bytes_each(entropy: int, key: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        preimage(index=1, nonce=1, entropy=bytes(entropy), farmer_key=bytes(key))


def test_accounts_and_contracts_are_told_apart() -> None:
    account = NETWORKS["mainnet"].asset.partition(":")[2]
    farm = NETWORKS["mainnet"].farm
    assert (is_account(account), is_contract(account)) == (True, False)
    assert (is_account(farm), is_contract(farm)) == (False, True)
    assert not is_account("G")
    assert account_address(account) == account
    with pytest.raises(ValueError, match="Stellar account"):
        account_address(farm)


@pytest.mark.parametrize("network", ["mainnet", "testnet", "localnet"])
def test_each_network_has_a_farm_which_another_one_may_replace(network: str) -> None:
    assert is_contract(farm_of(network))
    assert farm_of(network, "C") == "C"

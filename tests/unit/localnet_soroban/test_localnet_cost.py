"""Instructions against those that the real network's simulations declared for the same calls."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from stellar_sdk import Address, Keypair, scval, xdr

from localnet.soroban.farm_math import digest_of
from localnet.soroban.model import AuthMode, InvocationResult
from localnet.soroban.values import symbol, vector
from tests.unit.localnet_soroban.genesis_world import (
    FARM,
    ROUTER,
    Contracts,
    keypair,
    plant_arguments,
    plant_node,
    signed,
    unsigned,
)

_RECORDINGS = Path(__file__).parents[2] / "vectors" / "recordings"
#: The block that is open when the calls below are made.
INDEX = 1
OPENER = keypair("opener")


def declared(name: str) -> int:
    """Instructions in a recorded simulation's answer."""
    answer = json.loads((_RECORDINGS / f"simulate_{name}.json").read_text(encoding="utf-8"))
    data = xdr.SorobanTransactionData.from_xdr(answer["response"]["result"]["transactionData"])
    return data.resources.instructions.uint32


def farmers(count: int) -> list[Keypair]:
    """So many farmers."""
    return [keypair(f"farmer {n}") for n in range(count)]


def open_block(people: Sequence[Keypair]) -> Contracts:
    """The farm with block 1 open, and farmers with accounts and KALE."""
    contracts = Contracts()
    for one in people:
        contracts.add_account(one)
        contracts.add_trustline(one, 10**9)
    contracts.at(1010, 300)
    assert contracts.plant(OPENER.public_key).ok
    return contracts


def through_router(
    contracts: Contracts,
    function: str,
    calls: Sequence[Sequence[xdr.SCVal]],
    mode: AuthMode = "record_allow_nonroot",
    auth: Sequence[xdr.SorobanAuthorizationEntry] = (),
) -> InvocationResult:
    """The same function of the farm with each of the arguments."""
    entries = [
        vector(scval.to_address(FARM), symbol(function), vector(*arguments)) for arguments in calls
    ]
    result = contracts.call(ROUTER, "exec_each", [vector(*entries)], mode=mode, auth=auth)
    assert result.value == vector(*[scval.to_bool(True)] * len(calls))
    return result


def work_arguments(farmer: Keypair) -> list[xdr.SCVal]:
    """work(farmer, hash, nonce) in a block without entropy."""
    digest = digest_of(INDEX, 7, bytes(32), Address(farmer.public_key).key)
    return [scval.to_address(farmer.public_key), scval.to_bytes(digest), scval.to_uint64(7)]


def planted(people: Sequence[Keypair]) -> Contracts:
    """Block 1 in the ledger after everybody planted."""
    contracts = open_block(people)
    for one in people:
        assert contracts.plant(one.public_key).ok
    contracts.at(1011, 305)
    return contracts


def check(result: InvocationResult, name: str, *, exact: bool = True) -> None:
    """To the instruction, or (for a router) within 0.03 %."""
    assert result.ok
    used, real = result.resources.instructions, declared(name)
    assert abs(used - real) <= (0 if exact else real * 3 // 10_000), (used, real)


def test_plants() -> None:
    (farmer,) = farmers(1)
    address = farmer.public_key
    for name, amount, source in (
        ("plant_farmer_source", 0, address),
        ("plant_stake_farmer_source", 5, address),
        ("plant_other_source", 0, OPENER.public_key),
        ("plant_stake_other_source", 5, OPENER.public_key),
    ):
        arguments = plant_arguments(address, amount)
        check(open_block([farmer]).call(FARM, "plant", arguments, source=source), name)


def test_a_signed_plant() -> None:
    (farmer,) = farmers(1)
    address = farmer.public_key
    entry = signed(unsigned(address, plant_node(address, 5)), farmer)
    result = open_block([farmer]).call(
        FARM, "plant", plant_arguments(address, 5), mode="enforce", auth=[entry]
    )
    check(result, "plant_stake_pool_pays_enforcing")


def test_a_farmer_without_an_account() -> None:
    result = open_block([]).call(FARM, "plant", plant_arguments(keypair("nobody").public_key))
    check(result, "plant_source_account_missing")


def test_work_and_harvest() -> None:
    (farmer,) = farmers(1)
    contracts = planted([farmer])
    check(contracts.call(FARM, "work", work_arguments(farmer)), "work")
    contracts.at(1070, 600)
    check(contracts.plant(OPENER.public_key), "plant_first_of_block")
    arguments = [scval.to_address(farmer.public_key), scval.to_uint32(INDEX)]
    check(contracts.call(FARM, "harvest", arguments), "harvest")


@pytest.mark.parametrize("count", [25, 26, 27])
def test_plants_through_a_router(count: int) -> None:
    people = farmers(count)
    calls = [plant_arguments(one.public_key) for one in people]
    recorded = through_router(open_block(people), "plant", calls)
    check(recorded, f"router_plant_{count}", exact=False)
    entries = [signed(unsigned(k.public_key, plant_node(k.public_key)), k) for k in people]
    enforced = through_router(open_block(people), "plant", calls, "enforce", entries)
    check(enforced, f"router_plant_{count}_enforcing", exact=False)


def test_works_and_harvests_through_a_router() -> None:
    people = farmers(25)
    contracts = planted(people)
    works = [work_arguments(one) for one in people]
    check(through_router(contracts, "work", works), "router_work_25", exact=False)
    contracts.at(1070, 600)
    assert contracts.plant(OPENER.public_key).ok
    harvests = [[scval.to_address(one.public_key), scval.to_uint32(INDEX)] for one in people]
    check(through_router(contracts, "harvest", harvests), "router_harvest_25", exact=False)

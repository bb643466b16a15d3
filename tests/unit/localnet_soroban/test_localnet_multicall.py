"""The model of contracts/multicall: values and errors, rollback, authorisations, limits."""

import pytest
from stellar_sdk import Keypair, StrKey, scval, xdr

from localnet.network import contract_id
from localnet.soroban.errors import describe
from localnet.soroban.model import AuthMode, Footprint, InvocationResult
from localnet.soroban.values import VOID, vector
from tests.support.multicall import call, context_error, create, error, preimage, upload
from tests.unit.localnet_soroban.genesis_world import (
    FARM,
    NETWORK,
    PAYER,
    TOKEN,
    Contracts,
    keypair,
    plant_arguments,
    plant_node,
    signed,
    unsigned,
)

MULTICALL_ID = StrKey.encode_contract(contract_id(NETWORK.id, preimage(PAYER)))
DECIMALS = call(TOKEN, "decimals")
SEVEN = scval.to_uint32(7)
#: The token's BalanceError and the farm's PailExists.
BALANCE, PAIL_EXISTS = 10, 8


def deployed(*farmers: Keypair, kale: int = 100) -> Contracts:
    """Our contract beside the farm with a block open; farmers have accounts and KALE."""
    contracts = Contracts()
    assert contracts.run(upload()).ok
    assert contracts.run(create(PAYER)).ok
    for farmer in farmers:
        contracts.add_account(farmer)
        contracts.add_trustline(farmer, kale)
    contracts.at(1010, 300)
    assert contracts.plant(keypair("opener").public_key).ok
    return contracts


def plant(farmer: Keypair, stake: int = 0) -> xdr.SCVal:
    """One entry: a plant."""
    return call(FARM, "plant", *plant_arguments(farmer.public_key, stake))


def execute(
    contracts: Contracts,
    *calls: xdr.SCVal,
    mode: AuthMode = "record_allow_nonroot",
    auth: list[xdr.SorobanAuthorizationEntry] | None = None,
    footprint: Footprint | None = None,
) -> InvocationResult:
    """exec of some calls; what it changes is kept."""
    return contracts.call(
        MULTICALL_ID, "exec", [vector(*calls)], mode=mode, auth=auth or [], footprint=footprint
    )


def failure(result: InvocationResult) -> str:
    """The error in the host's words."""
    assert result.error is not None
    return describe(result.error)


def farmers(count: int) -> list[Keypair]:
    """So many farmers."""
    return [keypair(f"farmer {n}") for n in range(count)]


def test_values_in_order_and_none_for_no_calls() -> None:
    contracts = deployed()
    assert execute(contracts, DECIMALS, DECIMALS).value == vector(SEVEN, SEVEN)
    assert execute(contracts).value == vector()


def test_errors_of_farm_and_token_keep_their_numbers() -> None:
    (one, poor, two) = people = farmers(3)
    contracts = deployed(*people)
    result = execute(contracts, plant(one), plant(one), plant(poor, 101), plant(two, 100))
    assert result.value == vector(VOID, error(PAIL_EXISTS), error(BALANCE), VOID)
    assert [contracts.balance(farmer) for farmer in people] == [100, 100, 0]
    # The failed plant of `poor` left nothing behind, so it can plant again.
    assert execute(contracts, plant(poor), plant(two)).value == vector(VOID, error(PAIL_EXISTS))


@pytest.mark.parametrize(
    "failing",
    [
        call(FARM, "nothing"),
        call(FARM, "__constructor"),
        call(FARM, "plant"),
        call(StrKey.encode_contract(bytes(32)), "nothing"),
        call(MULTICALL_ID, "exec", vector()),
    ],
    ids=["no function", "reserved", "no arguments", "no contract", "re-entry"],
)
def test_any_other_failure_is_one_error_of_the_context(failing: xdr.SCVal) -> None:
    result = execute(deployed(), DECIMALS, failing, DECIMALS)
    assert result.value == vector(SEVEN, context_error(), SEVEN)


@pytest.mark.parametrize(
    "broken",
    [SEVEN, vector(SEVEN), call(PAYER, "plant")],
    ids=["no vector", "too short", "an account"],
)
def test_what_is_no_call_fails_all(broken: xdr.SCVal) -> None:
    assert not execute(deployed(), DECIMALS, broken).ok


def test_the_diagnostics_say_who_failed_and_that_it_was_caught() -> None:
    (farmer,) = farmers(1)
    contracts = deployed(farmer)
    result = execute(contracts, plant(farmer, 101))
    raisers = []
    for diagnostic in result.diagnostics:
        body = diagnostic.event.body.v0
        assert body is not None
        if scval.from_symbol(body.topics[0]) == "error":
            assert diagnostic.event.contract_id is not None
            raisers.append(StrKey.encode_contract(diagnostic.event.contract_id.contract_id.hash))
    # The oldest error event is the token's, the newest our contract's.
    assert raisers[0] == TOKEN
    assert raisers[-1] == MULTICALL_ID
    assert set(raisers[1:-1]) <= {TOKEN, FARM}


# ------------------------------------------------------------------ authorisations


def test_each_farmer_allows_its_plant_and_nothing_above() -> None:
    people = farmers(2)
    contracts = deployed(*people)
    result = execute(contracts, *(plant(farmer, 5) for farmer in people))
    roots = [entry.root_invocation for entry in result.auth]
    assert roots == [plant_node(farmer.public_key, 5) for farmer in people]
    assert execute(deployed(*people), plant(people[0]), mode="record").value == vector(
        context_error()
    )


def test_a_bad_signature_fails_its_own_plant_only() -> None:
    (one, two) = people = farmers(2)
    contracts = deployed(*people)
    auth = [signed(unsigned(k.public_key, plant_node(k.public_key)), one) for k in people]
    result = execute(contracts, plant(one), plant(two), mode="enforce", auth=auth)
    assert result.value == vector(VOID, context_error())
    # The nonce of the failed plant is not used up.
    good = signed(unsigned(two.public_key, plant_node(two.public_key)), two)
    again = execute(contracts, plant(two), mode="enforce", auth=[good])
    assert again.value == vector(VOID)


# ------------------------------------------------------------------ limits


def test_an_entry_outside_of_the_footprint_fails_all() -> None:
    (one, two) = people = farmers(2)
    known = execute(deployed(*people), plant(one)).footprint
    result = execute(deployed(*people), plant(one), plant(two), footprint=known)
    assert failure(result) == "Error(Storage, ExceededLimit)"


def test_memory_ends_before_the_twenty_eighth_plant() -> None:
    people = farmers(28)
    assert execute(deployed(*people), *map(plant, people[:27])).ok
    result = execute(deployed(*people), *map(plant, people))
    assert failure(result) == "Error(Budget, ExceededLimit)"


def test_calls_that_fail_take_memory_too() -> None:
    (farmer,) = farmers(1)
    result = execute(deployed(farmer), *(plant(farmer) for _ in range(28)))
    assert failure(result) == "Error(Budget, ExceededLimit)"


def test_ten_plants_with_stake() -> None:
    """STELLAR.md section 3: 15.0 M instructions, 14 RO / 32 RW."""
    people = farmers(10)
    result = execute(deployed(*people), *(plant(farmer, 5) for farmer in people))
    assert len(result.footprint.read_only) == 14
    assert len(result.footprint.read_write) == 32
    assert abs(result.resources.instructions / 15.0e6 - 1) < 0.03

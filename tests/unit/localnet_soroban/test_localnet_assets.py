"""Asset contracts where no recording tells: their creation, and what contracts hold and allow."""

import pytest
from stellar_sdk import Asset, StrKey, scval, xdr

from localnet.soroban.errors import describe
from localnet.soroban.holdings import ContractHolding
from localnet.soroban.model import InvocationResult
from localnet.soroban.storage import account_key, data_key, instance_key
from localnet.soroban.values import address, symbol, vector
from tests.unit.localnet_soroban.genesis_world import (
    FARM,
    ISSUER,
    NETWORK,
    ROUTER,
    START,
    TOKEN,
    TRACTOR,
    Contracts,
    keypair,
)

ALICE, BOB, CAROL = keypair("alice"), keypair("bob"), keypair("carol")
NATIVE = StrKey.encode_contract(NETWORK.native_token)


def create(asset: Asset) -> xdr.HostFunction:
    """The creation of an asset's contract."""
    kind = xdr.ContractIDPreimageType.CONTRACT_ID_PREIMAGE_FROM_ASSET
    preimage = xdr.ContractIDPreimage(kind, from_asset=asset.to_xdr_object())
    executable = xdr.ContractExecutable(
        xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET
    )
    args = xdr.CreateContractArgs(preimage, executable)
    return xdr.HostFunction(
        xdr.HostFunctionType.HOST_FUNCTION_TYPE_CREATE_CONTRACT, create_contract=args
    )


def failure(result: InvocationResult) -> str:
    assert result.error is not None
    return describe(result.error)


def amount(result: InvocationResult) -> int:
    assert result.value is not None, result.error
    return scval.from_int128(result.value)


def as_router(contracts: Contracts, function: str, *arguments: xdr.SCVal) -> InvocationResult:
    """A call of KALE's contract by the router, which allows what it holds itself."""
    call = vector(scval.to_address(TOKEN), symbol(function), vector(*arguments))
    return contracts.call(ROUTER, "exec", [vector(call)])


def hold(contracts: Contracts, holder: str, holding: ContractHolding) -> None:
    """Have a contract hold KALE."""
    contracts.add_trustline(ALICE, 1000)
    give = [scval.to_address(ALICE.public_key), scval.to_address(holder), scval.to_int128(1)]
    assert contracts.call(TOKEN, "transfer", give, source=ALICE.public_key).ok
    key = data_key(TOKEN, vector(symbol("Balance"), address(holder)), "persistent").raw
    data = contracts.entries[key].entry.data.contract_data
    assert data is not None
    data.val = holding.to_value()


@pytest.mark.parametrize("code", ["A", "FOUR", "FIVE5", "TWELVELETTER"])
def test_anybody_creates_the_contract_of_an_asset(code: str) -> None:
    contracts, asset = Contracts(), Asset(code, BOB.public_key)
    result = contracts.run(create(asset))
    assert result.ok
    assert not result.auth
    contract = asset.contract_id(NETWORK.passphrase)
    assert result.value == scval.to_address(contract)
    assert instance_key(contract).raw in contracts.entries
    for name, value in (
        ("name", scval.to_string(f"{code}:{BOB.public_key}")),
        ("symbol", scval.to_string(code)),
        ("admin", scval.to_address(BOB.public_key)),
    ):
        assert contracts.call(contract, name, []).value == value
    assert failure(contracts.run(create(asset))) == "Error(Storage, ExistingValue)"


def test_the_issuer_mints_what_it_has_created_and_may_name_another_admin() -> None:
    contracts, asset = Contracts(), Asset("TOK", BOB.public_key)
    contract = asset.contract_id(NETWORK.passphrase)
    contracts.run(create(asset))
    some = [scval.to_address(FARM), scval.to_int128(5)]
    assert contracts.call(contract, "mint", some, source=BOB.public_key).ok
    assert amount(contracts.call(contract, "balance", some[:1])) == 5
    new = [scval.to_address(CAROL.public_key)]
    assert contracts.call(contract, "set_admin", new, source=BOB.public_key).ok
    refused = contracts.call(contract, "mint", some, source=BOB.public_key, mode="enforce")
    assert failure(refused) == "Error(Auth, InvalidAction)"
    assert contracts.call(contract, "mint", some, source=CAROL.public_key).ok


def test_the_contract_of_xlm_is_there_from_the_start() -> None:
    contracts = Contracts()
    contracts.add_account(ALICE)
    told = contracts.call(NATIVE, "balance", [scval.to_address(ALICE.public_key)])
    assert amount(told) == 10**7
    assert failure(contracts.run(create(Asset.native()))) == "Error(Storage, ExistingValue)"


def test_xlm_makes_accounts_and_contracts_hold_it() -> None:
    contracts = Contracts()
    contracts.add_account(ALICE)
    entry = contracts.entries[account_key(ALICE.public_key).raw].entry.data.account
    assert entry is not None
    entry.balance = xdr.Int64(10**9)
    for receiver in (CAROL.public_key, FARM):
        move = [
            scval.to_address(ALICE.public_key),
            scval.to_address(receiver),
            scval.to_int128(10**7),
        ]
        assert contracts.call(NATIVE, "transfer", move, source=ALICE.public_key).ok
        assert amount(contracts.call(NATIVE, "balance", move[1:2])) == 10**7
    made = contracts.entries[account_key(CAROL.public_key).raw].entry.data.account
    assert made is not None
    assert (made.balance.int64, made.seq_num.sequence_number.int64) == (10**7, START << 32)
    move[2] = scval.to_int128(2**63)
    move[1] = scval.to_address(keypair("dan").public_key)
    assert failure(contracts.call(NATIVE, "transfer", move, source=ALICE.public_key)) == (
        "Error(Contract, #12)"
    )


def test_a_contract_spends_what_it_holds_and_no_more() -> None:
    contracts = Contracts()
    holding = ContractHolding(amount=10, authorized=True, clawback=False)
    router, farm = scval.to_address(ROUTER), scval.to_address(FARM)
    nothing = as_router(contracts, "transfer", router, farm, scval.to_int128(1))
    assert failure(nothing) == "Error(Contract, #10)"
    assert as_router(contracts, "transfer", router, farm, scval.to_int128(0)).ok
    hold(contracts, ROUTER, holding)
    too_much = as_router(contracts, "transfer", router, farm, scval.to_int128(11))
    assert failure(too_much) == "Error(Contract, #10)"
    assert as_router(contracts, "transfer", router, farm, scval.to_int128(10)).ok
    assert amount(contracts.call(TOKEN, "balance", [router])) == 0
    assert amount(contracts.call(TOKEN, "balance", [farm])) == 10
    assert as_router(contracts, "burn", router, scval.to_int128(0)).ok


def test_no_contract_holds_more_than_a_number_has_room_for() -> None:
    contracts = Contracts()
    hold(contracts, FARM, ContractHolding(amount=2**127 - 1, authorized=True, clawback=False))
    give = [scval.to_address(ALICE.public_key), scval.to_address(FARM), scval.to_int128(1)]
    result = contracts.call(TOKEN, "transfer", give, source=ALICE.public_key)
    assert failure(result) == "Error(Contract, #12)"


@pytest.mark.parametrize(
    ("authorized", "clawback", "taken", "error"),
    [
        (True, True, 10, ""),
        (False, True, 4, ""),
        (True, True, 11, "Error(Contract, #10)"),
        (True, False, 1, "Error(Contract, #10)"),
    ],
)
def test_what_may_be_taken_back_of_a_contract(
    authorized: bool, clawback: bool, taken: int, error: str
) -> None:
    contracts = Contracts()
    hold(contracts, ROUTER, ContractHolding(amount=10, authorized=authorized, clawback=clawback))
    contracts.call(
        TOKEN, "clawback", [scval.to_address(ROUTER), scval.to_int128(taken)], source=ISSUER
    )
    router = scval.to_address(ROUTER)
    left = amount(contracts.call(TOKEN, "balance", [router]))
    assert left == (10 if error else 10 - taken)


def test_a_holding_that_is_not_authorized_stays() -> None:
    contracts = Contracts()
    hold(contracts, ROUTER, ContractHolding(amount=10, authorized=False, clawback=False))
    router, farm = scval.to_address(ROUTER), scval.to_address(FARM)
    assert contracts.call(TOKEN, "authorized", [router]).value == scval.to_bool(False)
    moved = as_router(contracts, "transfer", router, farm, scval.to_int128(1))
    assert failure(moved) == "Error(Contract, #11)"
    allowed = [router, scval.to_bool(True)]
    assert contracts.call(TOKEN, "set_authorized", allowed, source=ISSUER).ok
    assert as_router(contracts, "transfer", router, farm, scval.to_int128(1)).ok


def test_an_allowance_ends_with_its_ledger_and_with_its_amount() -> None:
    contracts = Contracts()
    contracts.add_trustline(ALICE, 100)
    contracts.add_trustline(BOB, 0)
    alice, bob = scval.to_address(ALICE.public_key), scval.to_address(BOB.public_key)
    until = scval.to_uint32(START + 20_000)
    approve = [alice, bob, scval.to_int128(10), until]
    assert contracts.call(TOKEN, "approve", approve, source=ALICE.public_key).ok
    spend = [bob, alice, bob, scval.to_int128(4)]
    assert contracts.call(TOKEN, "transfer_from", spend, source=BOB.public_key).ok
    burn = [bob, alice, scval.to_int128(3)]
    assert contracts.call(TOKEN, "burn_from", burn, source=BOB.public_key).ok
    assert (contracts.balance(ALICE), contracts.balance(BOB)) == (93, 4)
    # It lives as long as it was approved, longer than a new entry.
    contracts.at(START + 20_000, 0)
    assert amount(contracts.call(TOKEN, "allowance", [alice, bob])) == 3
    contracts.at(START + 20_001, 0)
    assert amount(contracts.call(TOKEN, "allowance", [alice, bob])) == 0
    short = [alice, bob, scval.to_int128(10), scval.to_uint32(START + 20_002)]
    assert contracts.call(TOKEN, "approve", short, source=ALICE.public_key).ok
    contracts.at(START + 20_003, 0)
    # The entry is there for a day, and says itself that its time is over.
    assert amount(contracts.call(TOKEN, "allowance", [alice, bob])) == 0
    assert failure(contracts.call(TOKEN, "transfer_from", spend, source=BOB.public_key)) == (
        "Error(Contract, #9)"
    )


def test_a_call_by_a_contract_tells_which_call_failed() -> None:
    """The events of the call that failed come with the log; the router's own are not marked."""
    contracts = Contracts()
    router = scval.to_address(ROUTER)
    result = as_router(contracts, "transfer", router, router, scval.to_int128(1))
    (undone,) = result.undone
    raiser = result.diagnostics[undone].event.contract_id
    assert raiser is not None
    assert StrKey.encode_contract(raiser.contract_id.hash) == TOKEN
    assert not contracts.call(TRACTOR, "harvest", [router, vector()]).undone

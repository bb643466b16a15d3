"""Nothing that a transaction can hold may end an invocation otherwise than by a result."""

from itertools import product

import pytest
from stellar_sdk import Address, Keypair, scval, xdr

from localnet.soroban.errors import describe
from localnet.soroban.model import InvocationResult
from localnet.soroban.values import symbol, vector
from tests.support.localnet_chain import Chain
from tests.support.localnet_farm import farm_envelope, plant_arguments, simulate_call
from tests.unit.localnet_soroban.genesis_world import (
    FARM,
    ROUTER,
    TOKEN,
    TRACTOR,
    Contracts,
    keypair,
    plant_node,
    signature_of,
    unsigned,
)

FARMER = keypair("farmer").public_key
_POOL = xdr.SCAddress(
    xdr.SCAddressType.SC_ADDRESS_TYPE_LIQUIDITY_POOL,
    liquidity_pool_id=xdr.PoolID(xdr.Hash(bytes(32))),
)
_MUXED = xdr.SCAddress(
    xdr.SCAddressType.SC_ADDRESS_TYPE_MUXED_ACCOUNT,
    muxed_account=xdr.MuxedEd25519Account(
        id=xdr.Uint64(5), ed25519=xdr.Uint256(keypair("farmer").raw_public_key())
    ),
)
#: What no honest client sends as an argument, and the host refuses before any contract sees it.
REFUSED = {
    "null vector": xdr.SCVal(xdr.SCValType.SCV_VEC, vec=None),
    "null map": xdr.SCVal(xdr.SCValType.SCV_MAP, map=None),
    "symbol": xdr.SCVal(xdr.SCValType.SCV_SYMBOL, sym=xdr.SCSymbol(b"\xff")),
    "instance key": xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
}
#: One value of each kind, with the limits.
VALUES = [
    scval.to_void(),
    scval.to_bool(True),
    scval.to_uint32(0),
    scval.to_uint64(2**64 - 1),
    scval.to_int128(-(2**127)),
    scval.to_int128(2**127 - 1),
    scval.to_bytes(b""),
    scval.to_bytes(bytes(32)),
    scval.to_string("text"),
    symbol("text"),
    vector(),
    vector(scval.to_uint32(0)),
    scval.to_map({}),
    scval.to_address(FARMER),
    scval.to_address(FARM),
    xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=_POOL),
    xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=_MUXED),
    xdr.SCVal(
        xdr.SCValType.SCV_ERROR,
        error=xdr.SCError(xdr.SCErrorType.SCE_CONTRACT, contract_code=xdr.Uint32(1)),
    ),
    *REFUSED.values(),
]
FUNCTIONS = {
    FARM: ("plant", "work", "harvest", "pause", "unpause", "upgrade", "remove_block"),
    TOKEN: ("burn", "mint", "balance", "transfer", "decimals", "name", "symbol", "admin"),
    TRACTOR: ("harvest",),
    ROUTER: ("exec", "exec_each"),
}


def words(result: InvocationResult) -> str:
    """The error in the host's words."""
    assert result.error is not None
    return describe(result.error)


@pytest.mark.parametrize("contract", FUNCTIONS, ids=["farm", "token", "tractor", "router"])
def test_any_arguments_give_a_result(contract: str) -> None:
    contracts = Contracts()
    for function in FUNCTIONS[contract]:
        for count in range(3):
            for arguments in product(VALUES, repeat=count):
                result = contracts.call(contract, function, arguments, keep=False)
                assert result.ok == (result.error is None)
        for arguments in product(VALUES[::3], repeat=3):
            contracts.call(contract, function, arguments, keep=False)


def test_any_call_of_a_router_gives_a_result() -> None:
    contracts = Contracts()
    for call in product(VALUES, repeat=3):
        contracts.call(ROUTER, "exec_each", [vector(vector(*call))], keep=False)


@pytest.mark.parametrize("name", [b"\xff", b"not-a-symbol"])
def test_what_is_no_symbol_is_no_function(name: bytes) -> None:
    assert words(Contracts().call(FARM, name, [])) == "Error(Value, InvalidInput)"


@pytest.mark.parametrize(
    "address",
    [Address(FARMER).to_xdr_sc_address(), _POOL, _MUXED],
    ids=["account", "pool", "muxed"],
)
def test_only_contracts_can_be_called(address: xdr.SCAddress) -> None:
    assert words(Contracts().call(address, "plant", [])) == "Error(Value, UnexpectedType)"


@pytest.mark.parametrize("kind", REFUSED)
def test_some_values_are_no_arguments_however_deep(kind: str) -> None:
    value = REFUSED[kind]
    for argument in (value, vector(scval.to_map({symbol("key"): value}))):
        assert words(Contracts().call(TOKEN, "balance", [argument])) == "Error(Value, InvalidInput)"


def test_functions_of_the_host_cannot_be_called() -> None:
    arguments = [scval.to_address(FARMER), scval.to_address(TOKEN)]
    for name in ("__constructor", "__check_auth"):
        assert words(Contracts().call(FARM, name, arguments)) == "Error(Context, InvalidAction)"


def test_the_number_of_arguments_is_checked() -> None:
    result = Contracts().call(FARM, "plant", [scval.to_address(FARMER)])
    assert words(result) == "Error(WasmVm, UnexpectedSize)"


def test_a_contract_that_is_not_there() -> None:
    nowhere = "CAAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQC526"
    assert words(Contracts().call(nowhere, "plant", [])) == "Error(Storage, MissingValue)"


_KEY = keypair("farmer").raw_public_key()
_BAD_SIGNATURES = [
    *VALUES,
    vector(scval.to_map({})),
    vector(scval.to_map({symbol("public_key"): scval.to_bytes(_KEY)})),
    vector(signature_of(_KEY, b"short")),
    vector(signature_of(b"short", bytes(64))),
    vector(signature_of(_KEY, bytes(64))),
    vector(scval.to_map({scval.to_uint32(1): scval.to_uint32(1)})),
]


@pytest.mark.parametrize("number", range(len(_BAD_SIGNATURES)))
def test_anything_may_stand_for_a_signature(number: int) -> None:
    contracts = Contracts()
    contracts.add_account(keypair("farmer"))
    entry = unsigned(FARMER, plant_node(FARMER))
    assert entry.credentials.address is not None
    entry.credentials.address.signature = _BAD_SIGNATURES[number]
    arguments = [scval.to_address(FARMER), scval.to_int128(0)]
    result = contracts.call(FARM, "plant", arguments, mode="enforce", auth=[entry])
    assert words(result) == "Error(Auth, InvalidAction)"


@pytest.mark.parametrize("part", ["function", "contract"])
def test_a_hostile_envelope_does_not_stop_the_ledger(part: str) -> None:
    """Found by this: one such envelope ended the loop that closes ledgers, for everybody."""
    chain = Chain()
    sender, other = Keypair.random(), Keypair.random()
    chain.fund(sender, other)
    simulated = simulate_call(chain, sender, "plant", plant_arguments(sender, 0))
    envelope = farm_envelope(
        chain, sender, "plant", plant_arguments(sender, 0), simulated=simulated
    )
    body = envelope.transaction.operations[0]
    call = body.host_function.invoke_contract  # type: ignore[attr-defined]
    if part == "function":
        call.function_name = xdr.SCSymbol(b"\xff")
    else:
        call.contract_address = Address(other.public_key).to_xdr_sc_address()
    envelope.signatures.clear()
    envelope.sign(sender)
    honest = farm_envelope(chain, other, "plant", plant_arguments(other, 0))
    assert chain.send(envelope).status == "PENDING"
    assert chain.send(honest).status == "PENDING"
    chain.close()
    found = [chain.node.history.find(e.hash()) for e in (envelope, honest)]
    assert [one is not None and one.transaction.ok for one in found] == [False, True]

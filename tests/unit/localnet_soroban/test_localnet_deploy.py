"""Upload and creation of contracts, as the real host does them (contracts/multicall/examples)."""

from hashlib import sha256

import pytest
from stellar_sdk import StrKey, scval, xdr

from localnet.network import contract_id
from localnet.soroban.errors import describe
from localnet.soroban.model import Footprint, InvocationResult
from localnet.soroban.storage import code_key, instance_key
from localnet.soroban.uploads import MULTICALL_CODE, UPLOADABLE
from localnet.soroban.values import symbol
from tests.support.multicall import MULTICALL, SALT, create, create_v1, preimage, upload
from tests.unit.localnet_soroban.genesis_world import (
    NETWORK,
    PAYER,
    START,
    Contracts,
    keypair,
    signed,
    unsigned,
)

CONTRACT = StrKey.encode_contract(contract_id(NETWORK.id, preimage(PAYER)))
#: Lives of new persistent entries.
LIFE = START + 2_073_600 - 1
MODEL = UPLOADABLE[MULTICALL_CODE]


def words(result: InvocationResult) -> str:
    """The error in the host's words."""
    assert result.error is not None
    return describe(result.error)


def said(result: InvocationResult) -> list[tuple[str, str | None]]:
    """First topic and first word of each diagnostic event."""
    found = []
    for event in result.diagnostics:
        body = event.event.body.v0
        assert body is not None
        data = body.data.vec.sc_vec[0] if body.data.vec else body.data
        text = data.str.sc_string.decode() if data.str else None
        found.append((scval.from_symbol(body.topics[0]), text))
    return found


def uploaded() -> Contracts:
    """The genesis contracts, and our code."""
    contracts = Contracts()
    assert contracts.run(upload()).ok
    return contracts


def test_the_model_is_of_the_committed_file() -> None:
    assert sha256(MULTICALL).digest() == MULTICALL_CODE


def test_code_is_stored_under_its_hash() -> None:
    contracts = Contracts()
    result = contracts.run(upload())
    assert result.value == scval.to_bytes(MULTICALL_CODE)
    assert result.footprint == Footprint(read_only=(), read_write=(code_key(MULTICALL_CODE).raw,))
    assert result.auth == ()
    assert said(result) == []
    entry = contracts.entries[code_key(MULTICALL_CODE).raw]
    assert entry.live_until == LIFE
    # The size that the real host tells for this file.
    assert len(entry.entry.to_xdr_bytes()) == 1380
    assert result.resources.instructions == MODEL.upload.instructions
    assert result.resources.memory_bytes == MODEL.upload.memory


def test_a_second_upload_changes_nothing() -> None:
    result = uploaded().run(upload())
    assert result.value == scval.to_bytes(MULTICALL_CODE)
    assert result.changes == ()
    assert result.footprint.read_write == ()
    assert result.resources.instructions == MODEL.upload_again.instructions


@pytest.mark.parametrize("code", [b"", b"\0asm\x01\0\0\0", MULTICALL + b"\0"])
def test_code_without_a_model_is_refused(code: bytes) -> None:
    result = Contracts().run(upload(code))
    assert words(result) == "Error(WasmVm, InvalidAction)"
    reason = "localnet has no model of this code; it knows only multicall.wasm"
    assert said(result) == [("error", reason)]


@pytest.mark.parametrize("function", [create(PAYER), create_v1(PAYER)], ids=["v2", "v1"])
def test_a_contract_is_created_from_address_and_salt(function: xdr.HostFunction) -> None:
    contracts = uploaded()
    result = contracts.run(function)
    assert result.value == scval.to_address(CONTRACT)
    assert result.footprint == Footprint(
        read_only=(code_key(MULTICALL_CODE).raw,), read_write=(instance_key(CONTRACT).raw,)
    )
    entry = contracts.entries[instance_key(CONTRACT).raw]
    assert entry.live_until == LIFE
    assert len(entry.entry.to_xdr_bytes()) == 104
    assert result.resources.instructions == MODEL.create.instructions
    assert result.resources.memory_bytes == MODEL.create.memory
    # A contract without a constructor is constructed all the same.
    assert [topic for topic, _ in said(result)] == ["fn_call", "fn_return"]


def test_the_deployer_allows_it_as_the_source() -> None:
    (entry,) = uploaded().run(create(PAYER)).auth
    assert entry.credentials.address is None
    assert entry.root_invocation.function.create_contract_v2_host_fn is not None
    assert entry.root_invocation.sub_invocations == []


def test_another_deployer_signs_for_it() -> None:
    deployer = keypair("deployer")
    contracts = uploaded()
    contracts.add_account(deployer)
    function = create(deployer.public_key)
    (recorded,) = contracts.run(function, keep=False).auth
    assert recorded.credentials.address is not None
    refused = contracts.run(function, mode="enforce")
    assert words(refused) == "Error(Auth, InvalidAction)"
    entry = signed(unsigned(deployer.public_key, recorded.root_invocation), deployer)
    assert contracts.run(function, mode="enforce", auth=[entry]).ok


def test_an_entry_of_version_1_allows_it_too() -> None:
    function = create_v1(PAYER)
    contracts = uploaded()
    (entry,) = contracts.run(function, keep=False).auth
    types = xdr.SorobanAuthorizedFunctionType
    entry.root_invocation.function = xdr.SorobanAuthorizedFunction(
        types.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CREATE_CONTRACT_HOST_FN,
        create_contract_host_fn=function.create_contract,
    )
    assert contracts.run(function, mode="enforce", auth=[entry], keep=False).ok
    # For this creation only.
    other = create(PAYER, arguments=[symbol("one")])
    refused = contracts.run(other, mode="enforce", auth=[entry])
    assert words(refused) == "Error(Auth, InvalidAction)"


def test_a_contract_is_created_once() -> None:
    contracts = uploaded()
    assert contracts.run(create(PAYER)).ok
    result = contracts.run(create(PAYER))
    assert words(result) == "Error(Storage, ExistingValue)"
    assert said(result) == [("error", "contract already exists")]


def test_code_comes_before_its_contracts() -> None:
    result = Contracts().run(create(PAYER))
    assert words(result) == "Error(Storage, MissingValue)"
    assert said(result) == [("error", "Wasm does not exist")]


def test_a_contract_without_a_constructor_takes_no_arguments() -> None:
    contracts = uploaded()
    result = contracts.run(create(PAYER, arguments=[symbol("one")]))
    assert words(result) == "Error(Context, InvalidAction)"
    assert instance_key(CONTRACT).raw not in contracts.entries


@pytest.mark.parametrize("function", [upload(), create(PAYER)], ids=["upload", "create"])
def test_footprints_are_enforced(function: xdr.HostFunction) -> None:
    nothing = Footprint(read_only=(), read_write=())
    (auth,) = uploaded().run(create(PAYER), keep=False).auth
    result = uploaded().run(function, mode="enforce", auth=[auth], footprint=nothing)
    assert words(result) == "Error(Storage, ExceededLimit)"


def test_ids_differ_by_network_deployer_and_salt() -> None:
    other = keypair("deployer").public_key
    ids = {
        contract_id(network, preimage(deployer, salt))
        for network in (NETWORK.id, bytes(32))
        for deployer in (PAYER, other)
        for salt in (SALT, bytes(32))
    }
    assert len(ids) == 8

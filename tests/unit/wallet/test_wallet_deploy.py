"""Where the multicall contract goes, and the transactions that bring it there."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import (
    ExtendFootprintTTL,
    InvokeHostFunction,
    Keypair,
    TransactionEnvelope,
    scval,
    xdr,
)

from services.wallet.chain.build.deploy import (
    DeploymentStep,
    PreparedStep,
    contract_id,
    multicall_code,
    multicall_deployment,
    prepare_step,
    sign_step,
    unsigned_step,
)
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.keys.signer import SeedSigner

PASSPHRASE = "Standalone Network ; February 2017"
RECORDED = (
    Path(__file__).parents[2] / "vectors" / "recordings" / "simulate_deploy_kale_constructor.json"
)
TREASURY = SeedSigner(bytes(31) + b"\x01")
DEPLOYMENT = multicall_deployment(deployer=TREASURY.address, passphrase=PASSPHRASE)
UPLOAD, CREATE = DEPLOYMENT.steps
FEE = 80_000
MAX_TIME = 2_000_000_000


def prepared() -> PreparedStep:
    """A simulation's answer."""
    resources = xdr.SorobanResources(
        footprint=xdr.LedgerFootprint(
            read_only=[], read_write=[xdr.LedgerKey.from_xdr(UPLOAD.entries[0])]
        ),
        instructions=xdr.Uint32(2_424_296),
        disk_read_bytes=xdr.Uint32(0),
        write_bytes=xdr.Uint32(1380),
    )
    data = xdr.SorobanTransactionData(
        ext=xdr.SorobanTransactionDataExt(0), resources=resources, resource_fee=xdr.Int64(FEE)
    )
    return prepare_step(
        {"transactionData": data.to_xdr(), "minResourceFee": str(FEE), "results": [{"auth": None}]}
    )


def signed_step(
    step: DeploymentStep = UPLOAD, *, inclusion_fee: int = 100, max_fee: int = 10**6
) -> SignedEnvelope:
    """The treasury's transaction number 7."""
    return sign_step(
        step,
        treasury=TREASURY,
        sequence=7,
        max_time=MAX_TIME,
        inclusion_fee=inclusion_fee,
        max_fee=max_fee,
        prepared=prepared(),
    )


def test_ids_are_derived_as_the_real_network_derives_them() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    envelope = xdr.TransactionEnvelope.from_xdr(recorded["request"]["params"]["transaction"])
    assert envelope.v1 is not None
    operation = envelope.v1.tx.operations[0].body.invoke_host_function_op
    assert operation is not None
    assert operation.host_function.create_contract_v2 is not None
    result = xdr.SCVal.from_xdr(recorded["response"]["result"]["results"][0]["xdr"])
    preimage = operation.host_function.create_contract_v2.contract_id_preimage
    assert contract_id(PASSPHRASE, preimage) == scval.from_address(result).address


def test_code_has_its_hash_and_its_id_follows_from_it() -> None:
    assert DEPLOYMENT.code_hash == sha256(multicall_code()).hexdigest()
    assert UPLOAD.function is not None
    assert UPLOAD.function.wasm == multicall_code()
    assert CREATE.function is not None
    args = CREATE.function.create_contract_v2
    assert args is not None
    assert args.executable.wasm_hash is not None
    assert args.executable.wasm_hash.hash.hex() == DEPLOYMENT.code_hash
    assert contract_id(PASSPHRASE, args.contract_id_preimage) == DEPLOYMENT.contract
    assert args.constructor_args == []


def test_each_deployer_and_each_network_has_its_own() -> None:
    ids = {
        multicall_deployment(deployer=deployer, passphrase=passphrase).contract
        for deployer in (TREASURY.address, Keypair.random().public_key)
        for passphrase in (PASSPHRASE, "Test SDF Network ; September 2015")
    }
    assert len(ids) == 4
    again = multicall_deployment(deployer=TREASURY.address, passphrase=PASSPHRASE)
    assert again.contract == DEPLOYMENT.contract


def test_what_is_there_is_not_done_again() -> None:
    code, instance = DEPLOYMENT.entry_keys
    assert xdr.LedgerKey.from_xdr(code).contract_code is not None
    assert xdr.LedgerKey.from_xdr(instance).contract_data is not None
    assert DEPLOYMENT.missing([]) == (UPLOAD, CREATE)
    assert DEPLOYMENT.missing([code]) == (CREATE,)
    assert DEPLOYMENT.missing([code, instance]) == ()
    # Code that has expired is missed by a contract that has not.
    assert DEPLOYMENT.missing([instance]) == (UPLOAD,)


def test_a_step_is_a_transaction_of_the_treasury() -> None:
    signed = signed_step()
    envelope = TransactionEnvelope.from_xdr(signed.xdr, PASSPHRASE)
    assert envelope.transaction.source.account_id == signed.source == TREASURY.address
    assert envelope.transaction.sequence == signed.sequence == 7
    assert envelope.hash_hex() == signed.hash
    assert signed.inner_hash is None
    bounds = envelope.transaction.preconditions
    assert bounds is not None
    assert bounds.time_bounds is not None
    assert bounds.time_bounds.max_time == signed.max_time == MAX_TIME
    (signature,) = envelope.signatures
    Keypair.from_public_key(TREASURY.address).verify(envelope.hash(), signature.signature)


@pytest.mark.parametrize("inclusion", [0, 100, 5000])
def test_its_bid_is_the_resource_fee_and_one_inclusion_fee(inclusion: int) -> None:
    signed = signed_step(inclusion_fee=inclusion, max_fee=FEE + max(100, inclusion))
    assert signed.fee_bid == FEE + max(100, inclusion)
    transaction = TransactionEnvelope.from_xdr(signed.xdr, PASSPHRASE).transaction
    assert transaction.fee == signed.fee_bid
    assert transaction.soroban_data is not None
    assert transaction.soroban_data.resource_fee.int64 == FEE


def test_a_bid_above_the_cap_is_refused() -> None:
    with pytest.raises(FeeCapExceededError):
        signed_step(max_fee=FEE + 99)


def test_nobody_but_the_deployer_can_sign() -> None:
    other = multicall_deployment(deployer=Keypair.random().public_key, passphrase=PASSPHRASE)
    with pytest.raises(ValueError, match="cannot be signed by"):
        signed_step(other.steps[0])


def test_what_is_simulated_has_no_soroban_data_yet() -> None:
    text = unsigned_step(CREATE, sequence=7, max_time=MAX_TIME)
    transaction = TransactionEnvelope.from_xdr(text, PASSPHRASE).transaction
    assert transaction.soroban_data is None
    assert transaction.sequence == 7


def test_an_inclusion_fee_is_lowered_as_far_as_the_cap_leaves_it() -> None:
    assert signed_step(inclusion_fee=500, max_fee=FEE + 300).fee_bid == FEE + 300
    assert signed_step(inclusion_fee=500, max_fee=FEE + 100).fee_bid == FEE + 100
    with pytest.raises(FeeCapExceededError) as caught:
        signed_step(inclusion_fee=500, max_fee=FEE + 99)
    assert caught.value.bid == FEE + 100
    assert caught.value.metadata == {"bid": str(FEE + 100), "cap": str(FEE + 99)}


def test_the_code_is_the_one_that_belongs_to_this_version() -> None:
    assert multicall_code.__wrapped__() == multicall_code()
    assert multicall_code().startswith(b"\0asm")


def test_steps_are_named_for_people() -> None:
    deployment = multicall_deployment(deployer=TREASURY.address, passphrase=PASSPHRASE)
    steps = [*deployment.steps, deployment.extension()]
    assert [step.name for step in steps] == ["upload", "create", "extend"]


def test_a_longer_life_is_for_both_entries_and_120_days() -> None:
    extension = DEPLOYMENT.extension()
    assert (extension.deployer, extension.passphrase) == (TREASURY.address, PASSPHRASE)
    assert extension.entries == (*UPLOAD.entries, *CREATE.entries)
    text = unsigned_step(extension, sequence=7, max_time=MAX_TIME)
    transaction = TransactionEnvelope.from_xdr(text, PASSPHRASE).transaction
    (operation,) = transaction.operations
    assert isinstance(operation, ExtendFootprintTTL)
    assert operation.extend_to == 120 * 17_280
    data = transaction.soroban_data
    assert data is not None
    footprint = data.resources.footprint
    assert tuple(key.to_xdr() for key in footprint.read_only) == extension.entries
    assert footprint.read_write == []
    numbers = data.resources
    assert (numbers.instructions.uint32, numbers.disk_read_bytes.uint32) == (0, 0)
    assert (numbers.write_bytes.uint32, data.resource_fee.int64) == (0, 0)


@pytest.mark.parametrize("step", [UPLOAD, CREATE, DEPLOYMENT.extension()])
def test_a_step_lives_from_any_time_to_its_bound(step: DeploymentStep) -> None:
    text = unsigned_step(step, sequence=7, max_time=MAX_TIME)
    transaction = TransactionEnvelope.from_xdr(text, PASSPHRASE).transaction
    assert len(transaction.operations) == 1
    bounds = transaction.preconditions
    assert bounds is not None
    assert bounds.time_bounds is not None
    assert (bounds.time_bounds.min_time, bounds.time_bounds.max_time) == (0, MAX_TIME)


def answered(*results: dict[str, object]) -> dict[str, Any]:
    """A simulation's answer with these results."""
    data = prepared().data.to_xdr()
    return {"transactionData": data, "minResourceFee": str(FEE), "results": list(results)}


def consent() -> str:
    """An authorisation of the source account, as a simulation of CREATE gives it."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))["response"]["result"]
    (text,) = recorded["results"][0]["auth"]
    return str(text)


def test_what_the_simulation_found_to_be_consented_to_goes_with_the_step() -> None:
    (found,) = prepare_step(answered({"auth": [consent()]})).auth
    assert found.to_xdr() == consent()
    signed = sign_step(
        CREATE,
        treasury=TREASURY,
        sequence=7,
        max_time=MAX_TIME,
        inclusion_fee=100,
        max_fee=10**6,
        prepared=prepare_step(answered({"auth": [consent()]})),
    )
    (operation,) = TransactionEnvelope.from_xdr(signed.xdr, PASSPHRASE).transaction.operations
    assert isinstance(operation, InvokeHostFunction)
    assert [item.to_xdr() for item in operation.auth] == [consent()]


@pytest.mark.parametrize("results", [(), ({},), ({"auth": None},), ({"auth": []},)])
def test_a_step_may_need_nobodys_consent(results: tuple[dict[str, object], ...]) -> None:
    assert prepare_step(answered(*results)).auth == ()


@pytest.mark.parametrize(
    ("results", "is_read"),
    [
        (({"auth": [consent()] * 10},), True),
        (({"auth": [consent()] * 11},), False),
        (({}, {}), False),
    ],
)
def test_no_more_is_read_than_a_step_can_have(
    results: tuple[dict[str, object], ...], is_read: bool
) -> None:
    if is_read:
        assert len(prepare_step(answered(*results)).auth) == 10
        return
    with pytest.raises(ValueError, match="is no list of up to"):
        prepare_step(answered(*results))

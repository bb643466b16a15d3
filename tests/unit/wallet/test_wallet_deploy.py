"""Where the multicall contract goes, and the transactions that bring it there."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from stellar_sdk import Keypair, TransactionEnvelope, scval, xdr

from services.wallet.chain.deploy import (
    Prepared,
    build_step,
    contract_id,
    multicall_code,
    multicall_deployment,
    prepare,
    sign_step,
)
from services.wallet.chain.envelopes import Terms
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.keys.signer import SeedSigner

PASSPHRASE = "Standalone Network ; February 2017"
RECORDED = (
    Path(__file__).parents[2] / "vectors" / "recordings" / "simulate_deploy_kale_constructor.json"
)
TREASURY = SeedSigner(bytes(31) + b"\x01")
DEPLOYMENT = multicall_deployment(deployer=TREASURY.address, passphrase=PASSPHRASE)
UPLOAD, CREATE = DEPLOYMENT.steps
FEE = 80_000


def terms(*, max_fee: int = 10**6, inclusion_fee: int = 100) -> Terms:
    """What an envelope may cost."""
    return Terms(
        passphrase=PASSPHRASE, max_time=2_000_000_000, inclusion_fee=inclusion_fee, max_fee=max_fee
    )


def prepared() -> Prepared:
    """A simulation's answer."""
    resources = xdr.SorobanResources(
        footprint=xdr.LedgerFootprint(
            read_only=[], read_write=[xdr.LedgerKey.from_xdr(UPLOAD.makes)]
        ),
        instructions=xdr.Uint32(2_424_296),
        disk_read_bytes=xdr.Uint32(0),
        write_bytes=xdr.Uint32(1380),
    )
    data = xdr.SorobanTransactionData(
        ext=xdr.SorobanTransactionDataExt(0), resources=resources, resource_fee=xdr.Int64(FEE)
    )
    return prepare(transaction_data=data.to_xdr(), auth=[], min_resource_fee=FEE)


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
    assert UPLOAD.function.wasm == multicall_code()
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
    signed = sign_step(UPLOAD, treasury=TREASURY, sequence=7, terms=terms(), prepared=prepared())
    envelope = TransactionEnvelope.from_xdr(signed.xdr, PASSPHRASE)
    assert envelope.transaction.source.account_id == signed.source == TREASURY.address
    assert envelope.transaction.sequence == signed.sequence == 7
    assert envelope.hash_hex() == signed.hash
    assert signed.inner_hash is None
    assert signed.max_time == 2_000_000_000
    (signature,) = envelope.signatures
    Keypair.from_public_key(TREASURY.address).verify(envelope.hash(), signature.signature)


def test_its_bid_is_the_resource_fee_and_one_inclusion_fee() -> None:
    for inclusion in (0, 100, 5000):
        signed = sign_step(
            UPLOAD,
            treasury=TREASURY,
            sequence=7,
            terms=terms(inclusion_fee=inclusion),
            prepared=prepared(),
        )
        assert signed.fee_bid == prepared().resource_fee + max(100, inclusion)
        fee = TransactionEnvelope.from_xdr(signed.xdr, PASSPHRASE).transaction.fee
        assert fee == signed.fee_bid


def test_a_bid_above_the_cap_is_refused() -> None:
    with pytest.raises(FeeCapExceededError):
        sign_step(
            UPLOAD, treasury=TREASURY, sequence=7, terms=terms(max_fee=FEE), prepared=prepared()
        )


def test_a_bare_step_has_no_soroban_data() -> None:
    envelope = build_step(CREATE, source=TREASURY.address, sequence=7, terms=terms(), prepared=None)
    assert envelope.transaction.soroban_data is None
    assert envelope.transaction.sequence == 7

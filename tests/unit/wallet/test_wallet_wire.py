"""Envelopes written byte by byte are what the SDK writes, to the last byte."""

import hashlib
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import (
    Account,
    Asset,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    InvokeHostFunction,
    Keypair,
    StrKey,
    TransactionBuilder,
    TransactionEnvelope,
    scval,
    xdr,
)
from stellar_sdk.address import Address

from services.wallet.chain.build import ledger_keys, wire
from services.wallet.chain.build.calls import Farm, FarmCall
from services.wallet.chain.build.envelopes import sign, sign_bumped, sign_direct, unsigned
from services.wallet.chain.build.loads import Load, alone, authorize, together
from services.wallet.chain.build.onboarding import format_stroops
from services.wallet.chain.build.payments import Payment, sign_payments
from services.wallet.chain.build.resource_templates import CarriedCall
from services.wallet.chain.build.wire import Resources
from services.wallet.chain.networks import network_for
from services.wallet.domain.bids import Bid
from services.wallet.domain.withdrawals import Asset as Money
from services.wallet.keys.signer import SeedSigner

PASSPHRASE = "Standalone Network ; February 2017"
NETWORK = network_for("localnet", passphrase=PASSPHRASE)
FARM_ID = StrKey.encode_contract(b"f" * 32)
TOKEN_ID = StrKey.encode_contract(b"t" * 32)
MULTICALL_ID = StrKey.encode_contract(b"m" * 32)
FARM = Farm(farm=FARM_ID, token=TOKEN_ID)
ISSUER = Keypair.from_raw_ed25519_seed(b"i" * 32).public_key

seeds = st.binary(min_size=32, max_size=32)
indices = st.integers(0, 2**32 - 1)
stakes = st.integers(0, 2**127 - 1)
nonces = st.integers(0, 2**64 - 1)
sequences = st.integers(1, 2**63 - 1)
times = st.integers(1, 2**40)
fees = st.integers(0, 2**31)
hashes = st.binary(min_size=32, max_size=32)


def a_bid(max_time: int, inclusion_fee: int) -> Bid:
    """With a cap that nothing meets."""
    return Bid(max_time=max_time, inclusion_fee=inclusion_fee, max_fee=2**62)


def scvals(call: FarmCall) -> list[xdr.SCVal]:
    """The call's arguments as the SDK reads them."""
    return [xdr.SCVal.from_xdr_bytes(argument) for argument in call.invocation.arguments]


def sdk_call(contract: str, function: str, arguments: Sequence[xdr.SCVal]) -> xdr.HostFunction:
    """A contract call as the SDK writes it."""
    invocation = xdr.InvokeContractArgs(
        contract_address=Address(contract).to_xdr_sc_address(),
        function_name=xdr.SCSymbol(function.encode()),
        args=list(arguments),
    )
    kind = xdr.HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT
    return xdr.HostFunction(kind, invoke_contract=invocation)


def sdk_transaction(
    load: Load,
    function: xdr.HostFunction,
    *,
    source: str,
    sequence: int,
    max_time: int,
    fee: int,
    resources: Resources | None,
) -> TransactionEnvelope:
    """The same transaction, built by the SDK."""
    builder = TransactionBuilder(Account(source, sequence - 1), PASSPHRASE, base_fee=100)
    auth = [xdr.SorobanAuthorizationEntry.from_xdr_bytes(item) for item in load.authorizations]
    builder.append_operation(InvokeHostFunction(host_function=function, auth=auth))
    builder.add_time_bounds(0, max_time)
    if resources is not None:
        builder.set_soroban_data(sdk_data(resources))
    envelope = builder.build()
    envelope.transaction.fee = fee
    return envelope


def sdk_data(resources: Resources) -> xdr.SorobanTransactionData:
    """Resources as the SDK has them."""
    footprint = xdr.LedgerFootprint(
        read_only=[xdr.LedgerKey.from_xdr_bytes(key) for key in resources.read_only],
        read_write=[xdr.LedgerKey.from_xdr_bytes(key) for key in resources.read_write],
    )
    return xdr.SorobanTransactionData(
        ext=xdr.SorobanTransactionDataExt(0),
        resources=xdr.SorobanResources(
            footprint=footprint,
            instructions=xdr.Uint32(resources.instructions),
            disk_read_bytes=xdr.Uint32(resources.disk_read_bytes),
            write_bytes=xdr.Uint32(resources.write_bytes),
        ),
        resource_fee=xdr.Int64(resources.fee),
    )


def needed(call: FarmCall, fee: int) -> Resources:
    """Some resources of a call."""
    return Resources(
        read_only=(FARM.block_key(call.block_index),),
        read_write=(FARM.pail_key(call.key, call.block_index), wire.account_key(call.key)),
        instructions=1_500_000,
        disk_read_bytes=260,
        write_bytes=1400,
        fee=fee,
    )


@given(seed=seeds, index=indices, stake=stakes, nonce=nonces, work_hash=hashes)
def test_arguments(seed: bytes, index: int, stake: int, nonce: int, work_hash: bytes) -> None:
    farmer = SeedSigner(seed).address
    address, number = scval.to_address(farmer), scval.to_uint32(index)
    plant = FARM.plant(farmer=farmer, index=index, stake=stake)
    work = FARM.work(farmer=farmer, index=index, work_hash=work_hash, nonce=nonce)
    harvest = FARM.harvest(farmer=farmer, index=index)
    assert scvals(plant) == [address, scval.to_int128(stake)]
    assert scvals(work) == [address, scval.to_bytes(work_hash), scval.to_uint64(nonce)]
    assert scvals(harvest) == [address, number]
    assert (len(plant.inside), len(work.inside), len(harvest.inside)) == (int(stake > 0), 0, 0)


amounts = st.integers(1, 2**63 - 1)


@settings(max_examples=50)
@given(
    seed=seeds,
    paid=st.lists(st.tuples(seeds, seeds, st.sampled_from(Money), amounts), min_size=1, max_size=5),
    sequence=sequences,
    bump_to=sequences,
    max_time=times,
)
def test_payments(
    *,
    seed: bytes,
    paid: list[tuple[bytes, bytes, Money, int]],
    sequence: int,
    bump_to: int,
    max_time: int,
) -> None:
    payer, treasury = SeedSigner(seed), SeedSigner(bytes(32))
    payments = [
        Payment(
            signer=SeedSigner(own), destination=SeedSigner(other).address, asset=asset, amount=much
        )
        for own, other, asset, much in paid
    ]
    signed = sign_payments(
        payments,
        payer=payer,
        treasury=treasury,
        sequence=sequence,
        bump_to=bump_to,
        network=NETWORK,
        bid=a_bid(max_time, 300),
    )
    builder = TransactionBuilder(Account(payer.address, sequence - 1), PASSPHRASE, base_fee=100)
    builder.add_time_bounds(0, max_time)
    for one in payments:
        builder.append_payment_op(
            one.destination,
            NETWORK.asset if one.asset is Money.KALE else Asset.native(),
            format_stroops(one.amount),
            source=one.signer.address,
        )
    builder.append_bump_sequence_op(bump_to)
    inner = builder.build()
    keys = {one.signer.address: one.signer for one in payments}
    for signer in (payer, *keys.values()):
        sign(inner, signer)
    bump = FeeBumpTransaction(
        fee_source=treasury.address,
        fee=300 * (len(payments) + 2),
        inner_transaction_envelope=inner,
    )
    outer = FeeBumpTransactionEnvelope(bump, PASSPHRASE)
    sign(outer, treasury)
    assert signed.xdr == outer.to_xdr()
    assert signed.hash == outer.hash_hex()
    assert signed.inner_hash == inner.hash_hex()
    assert signed.fee_bid == bump.fee


@settings(max_examples=50)
@given(seed=seeds, payer=seeds, sequence=sequences, max_time=times, bid=fees, fee=fees)
def test_a_plant_under_a_fee_bump(
    *, seed: bytes, payer: bytes, sequence: int, max_time: int, bid: int, fee: int
) -> None:
    farmer, treasury = SeedSigner(seed), SeedSigner(payer)
    call = FARM.plant(farmer=farmer.address, index=7, stake=5)
    load, resources = alone(call), needed(call, fee)
    signed = sign_bumped(
        load,
        resources,
        network=NETWORK,
        source=farmer,
        treasury=treasury,
        sequence=sequence,
        bid=a_bid(max_time, bid),
    )
    inner = sdk_transaction(
        load,
        sdk_call(FARM_ID, "plant", scvals(call)),
        source=farmer.address,
        sequence=sequence,
        max_time=max_time,
        fee=100 + fee,
        resources=resources,
    )
    inner.sign(Keypair.from_raw_ed25519_seed(seed))
    outer = FeeBumpTransactionEnvelope(
        FeeBumpTransaction(
            fee_source=treasury.address,
            fee=2 * max(100, bid) + fee,
            inner_transaction_envelope=inner,
        ),
        PASSPHRASE,
    )
    outer.sign(Keypair.from_raw_ed25519_seed(payer))
    assert signed.xdr == outer.to_xdr()
    assert (signed.hash, signed.inner_hash) == (outer.hash_hex(), inner.hash_hex())
    assert signed.usage is not None
    assert signed.usage.envelope_bytes == len(outer.to_xdr_object().to_xdr_bytes())


@settings(max_examples=30)
@given(
    farmers=st.lists(seeds, min_size=1, max_size=5, unique=True),
    channel=seeds,
    sequence=sequences,
    nonce=st.integers(0, 2**63 - 1),
    expiration=indices,
)
def test_plants_of_several_farmers_by_a_channel(
    farmers: list[bytes], channel: bytes, sequence: int, nonce: int, expiration: int
) -> None:
    signers = [SeedSigner(seed) for seed in farmers]
    calls = [FARM.plant(farmer=item.address, index=7, stake=5) for item in signers]
    carried_calls = [CarriedCall(call=call, nonce=nonce) for call in calls]
    agreed = [
        authorize(carried_call, signer, network=NETWORK, expiration=expiration)
        for carried_call, signer in zip(carried_calls, signers, strict=True)
    ]
    load, source = together(b"m" * 32, carried_calls, agreed), SeedSigner(channel)
    resources = needed(calls[0], 1000)
    signed = sign_direct(
        load, resources, network=NETWORK, source=source, sequence=sequence, bid=a_bid(99, 100)
    )
    entries = [
        scval.to_vec(
            [scval.to_address(FARM_ID), scval.to_symbol("plant"), scval.to_vec(scvals(call))]
        )
        for call in calls
    ]
    built = sdk_transaction(
        load,
        sdk_call(MULTICALL_ID, "exec", [scval.to_vec(entries)]),
        source=source.address,
        sequence=sequence,
        max_time=99,
        fee=100 + 1000,
        resources=resources,
    )
    built.sign(Keypair.from_raw_ed25519_seed(channel))
    assert (signed.xdr, signed.hash) == (built.to_xdr(), built.hash_hex())


@given(seed=seeds, stake=stakes, nonce=st.integers(0, 2**63 - 1), expiration=indices)
def test_an_authorisation_is_what_the_network_asks_to_sign(
    seed: bytes, stake: int, nonce: int, expiration: int
) -> None:
    """The preimage of the SDK's own types, and its signature by the farmer."""
    farmer = SeedSigner(seed)
    call = FARM.plant(farmer=farmer.address, index=7, stake=stake)
    network_id = NETWORK.id
    encoded = authorize(
        CarriedCall(call=call, nonce=nonce), farmer, network=NETWORK, expiration=expiration
    )
    entry = xdr.SorobanAuthorizationEntry.from_xdr_bytes(encoded)
    assert entry.to_xdr_bytes() == encoded
    assert entry.credentials.address is not None
    credentials = entry.credentials.address
    assert (credentials.nonce.int64, credentials.signature_expiration_ledger.uint32) == (
        nonce,
        expiration,
    )
    function = entry.root_invocation.function.contract_fn
    assert function is not None
    assert function == sdk_call(FARM_ID, "plant", scvals(call)).invoke_contract
    burns = [item.function.contract_fn for item in entry.root_invocation.sub_invocations]
    burn = sdk_call(TOKEN_ID, "burn", scvals(call)).invoke_contract
    assert burns == ([burn] if stake > 0 else [])
    preimage = xdr.HashIDPreimage(
        xdr.EnvelopeType.ENVELOPE_TYPE_SOROBAN_AUTHORIZATION,
        soroban_authorization=xdr.HashIDPreimageSorobanAuthorization(
            network_id=xdr.Hash(network_id),
            nonce=credentials.nonce,
            signature_expiration_ledger=credentials.signature_expiration_ledger,
            invocation=entry.root_invocation,
        ),
    )
    native: Any = scval.to_native(credentials.signature)
    (signed,) = native
    assert signed["public_key"] == Keypair.from_public_key(farmer.address).raw_public_key()
    Keypair.from_public_key(farmer.address).verify(
        hashlib.sha256(preimage.to_xdr_bytes()).digest(), signed["signature"]
    )


@given(seed=seeds, index=indices, nonce=st.integers(-(2**63), 2**63 - 1))
def test_ledger_keys(seed: bytes, index: int, nonce: int) -> None:
    farmer = SeedSigner(seed).address
    key = Keypair.from_public_key(farmer).raw_public_key()
    asset = Asset("KALE", ISSUER).to_trust_line_asset_xdr_object()
    account = Keypair.from_public_key(farmer).xdr_account_id()
    temporary = xdr.ContractDataDurability.TEMPORARY
    contract = Address(FARM_ID).to_xdr_sc_address()

    def data(owner: xdr.SCAddress, value: xdr.SCVal) -> bytes:
        entry = xdr.LedgerKeyContractData(contract=owner, key=value, durability=temporary)
        kind = xdr.LedgerEntryType.CONTRACT_DATA
        return xdr.LedgerKey(kind, contract_data=entry).to_xdr_bytes()

    block = scval.to_vec([scval.to_symbol("Block"), scval.to_uint32(index)])
    pail = scval.to_vec([scval.to_symbol("Pail"), scval.to_address(farmer), scval.to_uint32(index)])
    used = xdr.SCVal(
        xdr.SCValType.SCV_LEDGER_KEY_NONCE, nonce_key=xdr.SCNonceKey(nonce=xdr.Int64(nonce))
    )
    line = xdr.LedgerKeyTrustLine(account_id=account, asset=asset)
    assert FARM.block_key(index) == data(contract, block)
    assert FARM.pail_key(key, index) == data(contract, pail)
    assert wire.nonce_key(key, nonce) == data(Address(farmer).to_xdr_sc_address(), used)
    assert wire.account_key(key) == (
        xdr.LedgerKey(
            xdr.LedgerEntryType.ACCOUNT, account=xdr.LedgerKeyAccount(account_id=account)
        ).to_xdr_bytes()
    )
    assert ledger_keys.trustline_key(farmer, asset.to_xdr_bytes()) == (
        xdr.LedgerKey(xdr.LedgerEntryType.TRUSTLINE, trust_line=line).to_xdr()
    )


def test_what_is_simulated_has_no_signature() -> None:
    call = FARM.harvest(farmer=ISSUER, index=1)
    envelope = unsigned(alone(call), source=ISSUER, sequence=1, max_time=0)
    built = sdk_transaction(
        alone(call),
        sdk_call(FARM_ID, "harvest", scvals(call)),
        source=ISSUER,
        sequence=1,
        max_time=0,
        fee=100,
        resources=None,
    )
    assert envelope == built.to_xdr()


@given(st.integers(-(2**127), 2**127 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_numbers_are_written_as_the_sdk_writes_them(wide: int, short: int, long: int) -> None:
    assert wire.sc_i128(wide) == scval.to_int128(wide).to_xdr_bytes()
    assert wire.sc_u32(short) == scval.to_uint32(short).to_xdr_bytes()
    assert wire.sc_u64(long) == scval.to_uint64(long).to_xdr_bytes()


def test_xlm_is_the_native_asset() -> None:
    assert Asset.native().to_xdr_object().to_xdr_bytes() == wire.NATIVE

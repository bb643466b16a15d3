"""Envelopes to the last stroop and signature: calls, raised bids, and the treasury's own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from stellar_sdk import (
    Account,
    BeginSponsoringFutureReserves,
    ChangeTrust,
    CreateAccount,
    EndSponsoringFutureReserves,
    FeeBumpTransactionEnvelope,
    InvokeHostFunction,
    Keypair,
    TransactionBuilder,
    TransactionEnvelope,
    xdr,
)

from services.wallet.chain.build.calls import Farm, FarmCall
from services.wallet.chain.build.envelopes import (
    raise_bid,
    replacing_bid,
    sign_bumped,
    sign_direct,
    unsigned,
)
from services.wallet.chain.build.loads import alone
from services.wallet.chain.build.onboarding import (
    Leaver,
    NewAccount,
    Newcomer,
    format_stroops,
    sign_new_accounts,
    sign_onboarding,
    sign_reclaim,
)
from services.wallet.chain.build.payments import memo_key, wants_memo
from services.wallet.chain.build.wire import Resources
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.networks import network_for
from services.wallet.domain.bids import Bid
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.packing import Usage
from services.wallet.keys.signer import SeedSigner

NETWORK = network_for("localnet")
FARM = Farm(farm=NETWORK.farm, token=NETWORK.token)
FARMER, TREASURY, OTHER = (SeedSigner(bytes(31) + bytes([number])) for number in (1, 2, 3))
BID = Bid(max_time=1234, inclusion_fee=200, max_fee=1_000_000)
FEE = 5000
NEEDED = Resources(
    read_only=(FARM.block_key(1), FARM.block_key(2), FARM.block_key(3)),
    read_write=(FARM.pail_key(bytes(32), 1),),
    instructions=7,
    disk_read_bytes=8,
    write_bytes=9,
    fee=FEE,
)


def plant(stake: int = 5) -> FarmCall:
    return FARM.plant(farmer=FARMER.address, index=1, stake=stake)


def direct(bid: Bid = BID) -> SignedEnvelope:
    return sign_direct(alone(plant()), NEEDED, network=NETWORK, source=FARMER, sequence=7, bid=bid)


def bumped(bid: Bid = BID) -> SignedEnvelope:
    return sign_bumped(
        alone(plant()),
        NEEDED,
        network=NETWORK,
        source=FARMER,
        treasury=TREASURY,
        sequence=7,
        bid=bid,
    )


def opened(signed: SignedEnvelope) -> TransactionEnvelope:
    return TransactionEnvelope.from_xdr(signed.xdr, NETWORK.passphrase)


def wrapped(signed: SignedEnvelope) -> FeeBumpTransactionEnvelope:
    return FeeBumpTransactionEnvelope.from_xdr(signed.xdr, NETWORK.passphrase)


def check_signed(
    envelope: TransactionEnvelope | FeeBumpTransactionEnvelope, *signers: SeedSigner
) -> None:
    """Check that exactly these have signed, in this order."""
    assert len(envelope.signatures) == len(signers)
    for signature, signer in zip(envelope.signatures, signers, strict=True):
        keypair = Keypair.from_public_key(signer.address)
        assert signature.signature_hint == keypair.signature_hint()
        keypair.verify(envelope.hash(), signature.signature)


def bounds_of(envelope: TransactionEnvelope) -> tuple[int, int]:
    """Return the time bounds."""
    bounds = envelope.transaction.preconditions
    assert bounds is not None
    assert bounds.time_bounds is not None
    return bounds.time_bounds.min_time, bounds.time_bounds.max_time


# Calls


def test_a_channel_account_pays_and_signs_for_itself() -> None:
    signed = direct()
    envelope = opened(signed)
    assert envelope.transaction.fee == signed.fee_bid == 200 + FEE
    assert (signed.hash, signed.inner_hash) == (envelope.hash_hex(), None)
    assert (signed.source, signed.sequence, signed.max_time) == (FARMER.address, 7, 1234)
    assert bounds_of(envelope) == (0, 1234)
    check_signed(envelope, FARMER)


def test_a_farmers_own_transaction_bids_the_least_and_the_treasury_bids_for_both() -> None:
    signed = bumped()
    outer = wrapped(signed)
    inner = outer.transaction.inner_transaction_envelope
    assert inner.transaction.fee == 100 + FEE
    assert outer.transaction.fee == signed.fee_bid == 2 * 200 + FEE
    assert bounds_of(inner) == (0, 1234)
    check_signed(inner, FARMER)
    check_signed(outer, TREASURY)


@pytest.mark.parametrize(("signed", "least"), [(direct, 100 + FEE), (bumped, 200 + FEE)])
def test_a_bid_is_lowered_down_to_the_least_and_then_refused(
    signed: Callable[[Bid], SignedEnvelope], least: int
) -> None:
    for more in (0, 50, 100):
        assert signed(replace(BID, max_fee=least + more)).fee_bid == least + more
    with pytest.raises(FeeCapExceededError) as caught:
        signed(replace(BID, max_fee=least - 1))
    assert caught.value.bid == least
    assert caught.value.metadata == {"bid": str(least), "cap": str(least - 1)}


@pytest.mark.parametrize("signed", [direct, bumped])
def test_what_an_envelope_takes_of_a_ledger(signed: Callable[[], SignedEnvelope]) -> None:
    made = signed()
    text = xdr.TransactionEnvelope.from_xdr(made.xdr).to_xdr_bytes()
    assert made.usage == Usage(
        instructions=7, footprint=4, write_entries=1, write_bytes=9, envelope_bytes=len(text)
    )


def test_what_is_simulated_is_not_signed() -> None:
    text = unsigned(alone(plant()), source=FARMER.address, sequence=7, max_time=1234)
    envelope = TransactionEnvelope.from_xdr(text, NETWORK.passphrase)
    assert envelope.signatures == []
    assert (envelope.transaction.sequence, envelope.transaction.fee) == (7, 100)
    assert bounds_of(envelope) == (0, 1234)
    assert envelope.transaction.soroban_data is None


@pytest.mark.parametrize(("stake", "inside"), [(0, 0), (1, 1), (2**63 - 1, 1)])
def test_a_plant_has_the_farmers_consent_as_the_source_and_burns_a_stake(
    stake: int, inside: int
) -> None:
    (consent,) = alone(plant(stake)).authorizations
    entry = xdr.SorobanAuthorizationEntry.from_xdr_bytes(consent)
    kind = xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT
    assert entry.credentials.type is kind
    assert len(entry.root_invocation.sub_invocations) == inside
    for call in entry.root_invocation.sub_invocations:
        assert call.function.contract_fn is not None
        assert call.function.contract_fn.function_name.sc_symbol == b"burn"


@pytest.mark.parametrize("name", [b"work", b"harvest"])
def test_works_and_harvests_need_nobodys_consent(name: bytes) -> None:
    if name == b"work":
        call = FARM.work(farmer=FARMER.address, index=1, work_hash=bytes(32), nonce=3)
    else:
        call = FARM.harvest(farmer=FARMER.address, index=1)
    assert alone(call).authorizations == ()
    signed = sign_direct(alone(call), NEEDED, network=NETWORK, source=OTHER, sequence=7, bid=BID)
    (operation,) = opened(signed).transaction.operations
    assert isinstance(operation, InvokeHostFunction)
    invoked = operation.host_function.invoke_contract
    assert invoked is not None
    assert invoked.function_name.sc_symbol == name


# Raised bids


def test_a_raised_bid_is_signed_by_the_treasury_around_the_same_transaction() -> None:
    old = direct()
    raised = raise_bid(old.xdr, network=NETWORK, treasury=TREASURY, fee=9000, max_fee=9000)
    assert raised is not None
    outer = wrapped(raised)
    assert outer.transaction.fee == raised.fee_bid == 9000
    assert outer.transaction.fee_source.account_id == TREASURY.address
    assert (raised.hash, raised.inner_hash) == (outer.hash_hex(), old.hash)
    assert (raised.source, raised.sequence, raised.max_time) == (FARMER.address, 7, 1234)
    check_signed(outer, TREASURY)
    check_signed(outer.transaction.inner_transaction_envelope, FARMER)


def test_a_raised_bid_keeps_to_the_cap_and_never_falls() -> None:
    old = bumped()
    for fee in (old.fee_bid, old.fee_bid - 1):
        assert raise_bid(old.xdr, network=NETWORK, treasury=TREASURY, fee=fee, max_fee=0) is None
    with pytest.raises(FeeCapExceededError) as caught:
        raise_bid(old.xdr, network=NETWORK, treasury=TREASURY, fee=9001, max_fee=9000)
    assert caught.value.bid == 9001


@pytest.mark.filterwarnings("ignore:It looks like you haven't set a TimeBounds")
@pytest.mark.parametrize("has_ledger_bounds", [True, False])
def test_nothing_is_bid_around_a_transaction_that_lives_for_ever(has_ledger_bounds: bool) -> None:
    builder = TransactionBuilder(Account(FARMER.address, 6), NETWORK.passphrase, base_fee=100)
    builder.append_bump_sequence_op(9)
    if has_ledger_bounds:
        builder.set_ledger_bounds(1, 2)
    text = builder.build().to_xdr()
    assert raise_bid(text, network=NETWORK, treasury=TREASURY, fee=9000, max_fee=9000) is None


def classic(*, operations: int, fee: int) -> str:
    """Return an envelope without resources that bids this in all."""
    builder = TransactionBuilder(Account(FARMER.address, 6), NETWORK.passphrase, base_fee=100)
    for _ in range(operations):
        builder.append_bump_sequence_op(9)
    envelope = builder.add_time_bounds(0, 1234).build()
    envelope.transaction.fee = fee
    return envelope.to_xdr()


@pytest.mark.parametrize(
    ("text", "bid"),
    [
        (direct().xdr, FEE + 10 * 200 * 2),
        (bumped().xdr, FEE + 10 * 200 * 2),
        (classic(operations=2, fee=300), 10 * 150 * 3),
        # A part of a stroop for each operation is a whole one.
        (classic(operations=2, fee=301), 10 * 151 * 3),
        (classic(operations=1, fee=100), 10 * 100 * 2),
    ],
)
def test_ten_times_the_bid_of_an_operation_replaces_an_envelope(text: str, bid: int) -> None:
    assert replacing_bid(text, network=NETWORK) == bid


# The treasury's own


def many(count: int) -> list[SeedSigner]:
    return [SeedSigner(bytes(30) + bytes([1, number])) for number in range(count)]


def onboarding(count: int, bid: Bid = BID, *, has_account: bool = False) -> SignedEnvelope:
    newcomers = [Newcomer(signer=item, has_account=has_account) for item in many(count)]
    return sign_onboarding(newcomers, treasury=TREASURY, sequence=7, network=NETWORK, bid=bid)


def reclaim(count: int, bid: Bid = BID) -> SignedEnvelope:
    leavers = [Leaver(signer=item, has_line=True) for item in many(count)]
    return sign_reclaim(leavers, treasury=TREASURY, sequence=7, network=NETWORK, bid=bid)


def new_accounts(count: int, bid: Bid = BID) -> SignedEnvelope:
    accounts = [NewAccount(address=item.address, amount=10_000_001) for item in many(count)]
    return sign_new_accounts(accounts, treasury=TREASURY, sequence=7, network=NETWORK, bid=bid)


@pytest.mark.parametrize(
    ("sign", "most", "operations"), [(onboarding, 19, 4), (reclaim, 19, 2), (new_accounts, 100, 1)]
)
def test_so_many_share_a_transaction_of_the_treasury(
    sign: Callable[..., SignedEnvelope], most: int, operations: int
) -> None:
    for count in (0, most + 1):
        with pytest.raises(ValueError, match=f"1 to {most} .* fit, not {count}"):
            sign(count)
    for count in (1, most):
        signed = sign(count)
        envelope = opened(signed)
        assert (signed.source, signed.sequence) == (TREASURY.address, 7)
        assert envelope.transaction.source.account_id == TREASURY.address
        assert envelope.transaction.sequence == 7
        assert bounds_of(envelope) == (0, signed.max_time) == (0, 1234)
        assert len(envelope.transaction.operations) == count * operations
        assert signed.fee_bid == envelope.transaction.fee == count * operations * 200
        assert signed.hash == envelope.hash_hex()


@pytest.mark.parametrize(("sign", "operations"), [(onboarding, 4), (reclaim, 2), (new_accounts, 1)])
def test_the_cap_holds_for_each_that_shares_the_transaction(
    sign: Callable[..., SignedEnvelope], operations: int
) -> None:
    least = operations * 100
    assert sign(1, replace(BID, max_fee=least + operations)).fee_bid == least + operations
    assert sign(3, replace(BID, max_fee=least)).fee_bid == 3 * least
    assert sign(3, replace(BID, max_fee=least + operations)).fee_bid == 3 * (least + operations)
    with pytest.raises(FeeCapExceededError, match="exceeds the cap"):
        sign(3, replace(BID, max_fee=least - 1))


def test_who_is_onboarded_agrees_to_a_sponsored_account_and_trustline() -> None:
    (farmer,) = many(1)
    signed = opened(onboarding(1))
    check_signed(signed, TREASURY, farmer)
    begin, create, trust, end = signed.transaction.operations
    assert isinstance(begin, BeginSponsoringFutureReserves)
    assert begin.sponsored_id == farmer.address
    assert isinstance(create, CreateAccount)
    assert (create.destination, create.starting_balance) == (farmer.address, "0")
    assert isinstance(trust, ChangeTrust)
    assert trust.asset == NETWORK.asset
    assert isinstance(end, EndSponsoringFutureReserves)
    sources = [item.source.account_id for item in (begin, create, trust, end) if item.source]
    assert sources == [TREASURY.address, TREASURY.address, farmer.address, farmer.address]
    # An account that is there needs its trustline only.
    assert len(opened(onboarding(1, has_account=True)).transaction.operations) == 3


def test_a_new_account_of_the_pool_begins_with_its_funding() -> None:
    (account,) = many(1)
    envelope = opened(new_accounts(1))
    (create,) = envelope.transaction.operations
    assert isinstance(create, CreateAccount)
    assert (create.destination, create.starting_balance) == (account.address, "1.0000001")
    check_signed(envelope, TREASURY)


@pytest.mark.parametrize(
    ("stroops", "text"),
    [(0, "0.0000000"), (1, "0.0000001"), (9_999_999, "0.9999999"), (10_000_000, "1.0000000")],
)
def test_stroops_are_written_exactly(stroops: int, text: str) -> None:
    assert format_stroops(stroops) == text


# Memos


def memo(value: bytes | None) -> xdr.LedgerEntryData:
    data = cast(Any, None)
    if value is not None:
        data = xdr.DataEntry(
            account_id=Keypair.from_public_key(FARMER.address).xdr_account_id(),
            data_name=xdr.String64(b"config.memo_required"),
            data_value=xdr.DataValue(value),
            ext=xdr.DataEntryExt(0),
        )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.DATA, data=data)


@pytest.mark.parametrize(
    ("entry", "wants"),
    [
        (None, False),
        (memo(None), False),
        (memo(b"0"), False),
        (memo(b""), False),
        (memo(b"1"), True),
    ],
)
def test_an_account_wants_a_memo_that_says_so(
    entry: xdr.LedgerEntryData | None, wants: bool
) -> None:
    assert wants_memo(entry) is wants


def test_the_entry_that_says_so_is_the_one_of_sep_29() -> None:
    key = xdr.LedgerKey.from_xdr(memo_key(FARMER.address))
    assert key.data is not None
    assert key.data.data_name.string64 == b"config.memo_required"
    account = Keypair.from_public_key(FARMER.address).xdr_account_id()
    assert key.data.account_id == account

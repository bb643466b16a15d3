"""When a withdrawal is refused, and what the transaction that pays some looks like."""

from decimal import Decimal

import pytest
from stellar_sdk import Asset as ChainAsset
from stellar_sdk import (
    BumpSequence,
    FeeBumpTransactionEnvelope,
    Keypair,
    Network,
    Payment,
)

from services.wallet.chain.build.envelopes import raise_bid
from services.wallet.chain.build.payments import Payment as Payout
from services.wallet.chain.build.payments import sign_payments
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.networks import network_for
from services.wallet.domain.bids import Bid
from services.wallet.domain.chain_facts import AccountState, ContractError, SignedEnvelope
from services.wallet.domain.model import FailureReason, OperationKind
from services.wallet.domain.outcomes import Action, meaning
from services.wallet.domain.withdrawals import Asset, Destination, refusal
from services.wallet.keys.signer import SeedSigner

PASSPHRASE = Network.TESTNET_NETWORK_PASSPHRASE
ISSUER = Keypair.random().public_key
KALE = ChainAsset("KALE", ISSUER)
NETWORK = network_for("testnet", asset=f"KALE:{ISSUER}")
R = FailureReason


def account(**fields: object) -> AccountState:
    values: dict[str, object] = {
        "exists": True,
        "has_trustline": True,
        "kale": 50,
        "xlm": 20,
        # The treasury pays for all of a farmer's reserves.
        "reserves": -2,
    }
    return AccountState(address="G", **{**values, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asset", "payer", "destination", "wants_memo", "reason"),
    [
        (Asset.KALE, account(), account(), False, None),
        (Asset.XLM, account(), account(has_trustline=False), False, R.INSUFFICIENT_BALANCE),
        (Asset.XLM, account(xlm=30), account(has_trustline=False), False, None),
        (Asset.KALE, account(exists=False), account(), False, R.NOT_FUNDED),
        (Asset.KALE, account(obeys=False), account(), False, R.ACCOUNT_LOCKED),
        (Asset.KALE, account(has_trustline=False), account(), False, R.NO_TRUSTLINE),
        (Asset.XLM, account(xlm=30, has_trustline=False), account(), False, None),
        (Asset.KALE, account(kale=29), account(), False, R.INSUFFICIENT_BALANCE),
        (Asset.KALE, account(kale=30), account(), False, None),
        (Asset.KALE, account(), account(exists=False), False, R.DESTINATION_MISSING),
        (Asset.KALE, account(), account(has_trustline=False), False, R.DESTINATION_REFUSES),
        (Asset.KALE, account(), account(), True, R.MEMO_REQUIRED),
        # What a line has no room for, or offers and reserves bind.
        (Asset.KALE, account(), account(kale_room=29), False, R.DESTINATION_FULL),
        (Asset.KALE, account(), account(kale_room=30), False, None),
        (Asset.XLM, account(xlm=30), account(xlm_room=29), False, R.DESTINATION_FULL),
        (Asset.XLM, account(xlm=30), account(kale_room=0), False, None),
        (Asset.KALE, account(kale=35, kale_bound=6), account(), False, R.INSUFFICIENT_BALANCE),
        (Asset.KALE, account(kale=35, kale_bound=5), account(), False, None),
        (Asset.XLM, account(xlm=35, xlm_bound=6), account(), False, R.INSUFFICIENT_BALANCE),
        (Asset.XLM, account(xlm=5_000_029, reserves=-1), account(), False, R.INSUFFICIENT_BALANCE),
        (Asset.XLM, account(xlm=5_000_030, reserves=-1), account(), False, None),
        (
            Asset.KALE,
            account(has_trustline=False, is_frozen=True),
            account(),
            False,
            R.LINE_FROZEN,
        ),
        (Asset.XLM, account(xlm=30, is_frozen=True), account(), False, None),
    ],
)
def test_what_cannot_be_paid_is_refused_before_it_is_signed(
    asset: Asset,
    payer: AccountState,
    destination: AccountState,
    wants_memo: bool,
    reason: FailureReason | None,
) -> None:
    there = Destination(account=destination, wants_memo=wants_memo)
    assert refusal(asset, 30, payer, there) is reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("PAYMENT_UNDERFUNDED", R.INSUFFICIENT_BALANCE),
        ("PAYMENT_SRC_NO_TRUST", R.NO_TRUSTLINE),
        ("PAYMENT_SRC_NOT_AUTHORIZED", R.LINE_FROZEN),
        ("PAYMENT_NO_TRUST", R.DESTINATION_REFUSES),
        ("PAYMENT_NOT_AUTHORIZED", R.DESTINATION_REFUSES),
        ("PAYMENT_LINE_FULL", R.DESTINATION_FULL),
        ("opBAD_AUTH", R.ACCOUNT_LOCKED),
        ("PAYMENT_NO_DESTINATION", R.DESTINATION_MISSING),
    ],
)
def test_a_refused_payment_says_why(code: str, reason: FailureReason) -> None:
    what = meaning(OperationKind.WITHDRAW, ContractError(raiser="transaction", code=code))
    assert (what.action, what.reason) == (Action.FAIL, reason)


def test_what_is_not_the_payments_fault_is_tried_again() -> None:
    error = ContractError(raiser="transaction", code="txBAD_SEQ")
    assert meaning(OperationKind.WITHDRAW, error).action is Action.RETRY


def a_bid(*, max_fee: int = 1000) -> Bid:
    return Bid(max_time=100, inclusion_fee=200, max_fee=max_fee)


def signer() -> SeedSigner:
    return SeedSigner(Keypair.random().raw_secret_key())


def test_each_farmer_pays_for_itself_and_signs_once_and_the_payer_bumps_its_number() -> None:
    treasury, farmer, other, outside = signer(), signer(), signer(), Keypair.random().public_key
    payer = signer()
    payments = [
        Payout(signer=source, destination=outside, asset=asset, amount=amount)
        for source, asset, amount in (
            (farmer, Asset.KALE, 12_345_678),
            (farmer, Asset.XLM, 1),
            (other, Asset.KALE, 2**63 - 1),
        )
    ]
    signed = signed_by(payer, treasury, payments)
    outer = FeeBumpTransactionEnvelope.from_xdr(signed.xdr, PASSPHRASE)
    inner = outer.transaction.inner_transaction_envelope
    assert outer.transaction.fee_source.account_id == treasury.address
    assert (signed.source, signed.sequence, signed.bump_to) == (payer.address, 7, 1007)
    assert (signed.hash, signed.inner_hash) == (outer.hash_hex(), inner.hash_hex())
    # Three payments, the bump of the number, and the fee bump counts as one more.
    assert signed.fee_bid == outer.transaction.fee == 5 * 200
    *paying, last = inner.transaction.operations
    assert [item.source.account_id for item in paying if item.source] == [
        farmer.address,
        farmer.address,
        other.address,
    ]
    assert isinstance(last, BumpSequence)
    assert (last.bump_to, last.source) == (1007, None)
    paid = [(item.asset, Decimal(item.amount)) for item in paying if isinstance(item, Payment)]
    assert paid == [
        (KALE, Decimal("1.2345678")),
        (ChainAsset.native(), Decimal("0.0000001")),
        (KALE, Decimal("922337203685.4775807")),
    ]
    assert len(inner.signatures) == 3
    for item, signature in zip((payer, farmer, other), inner.signatures, strict=True):
        Keypair.from_public_key(item.address).verify(inner.hash(), signature.signature)
    (signature,) = outer.signatures
    Keypair.from_public_key(treasury.address).verify(outer.hash(), signature.signature)


def signed_by(
    payer: SeedSigner, treasury: SeedSigner, payments: list[Payout], *, max_fee: int = 1000
) -> SignedEnvelope:
    return sign_payments(
        payments,
        network=NETWORK,
        payer=payer,
        treasury=treasury,
        sequence=7,
        bump_to=1007,
        bid=a_bid(max_fee=max_fee),
    )


def payouts(count: int, *, accounts: int) -> list[Payout]:
    keys = [signer() for _ in range(accounts)]
    outside = Keypair.random().public_key
    return [
        Payout(signer=keys[number % accounts], destination=outside, asset=Asset.XLM, amount=1)
        for number in range(count)
    ]


def test_a_raised_bid_wraps_the_same_payments() -> None:
    treasury = signer()
    signed = signed_by(signer(), treasury, payouts(1, accounts=1))
    raised = raise_bid(signed.xdr, network=NETWORK, treasury=treasury, fee=900, max_fee=900)
    assert raised is not None
    assert raised.inner_hash == signed.inner_hash
    assert raised.hash != signed.hash


def test_the_cap_counts_for_each_operation() -> None:
    # One payment and the bump: 2 operations, and 3 that are bid for; what is asked for inclusion is
    # bid as far as the cap allows.
    for cap, bid in ((300, 600), (299, 3 * (2 * 299 // 3)), (150, 300)):
        assert signed_by(signer(), signer(), payouts(1, accounts=1), max_fee=cap).fee_bid == bid
    with pytest.raises(FeeCapExceededError):
        signed_by(signer(), signer(), payouts(1, accounts=1), max_fee=149)


@pytest.mark.parametrize(
    ("count", "accounts", "fits"),
    [(0, 1, False), (1, 1, True), (19, 19, True), (20, 20, False), (99, 1, True), (100, 1, False)],
)
def test_as_many_fit_as_a_transaction_has_signatures_and_operations(
    count: int, accounts: int, fits: bool
) -> None:
    if fits:
        signed_by(signer(), signer(), payouts(count, accounts=accounts))
        return
    with pytest.raises(ValueError, match="fit"):
        signed_by(signer(), signer(), payouts(count, accounts=accounts))

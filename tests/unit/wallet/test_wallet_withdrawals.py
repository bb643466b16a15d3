"""When a withdrawal is refused, and what the transaction that pays some looks like."""

from decimal import Decimal

import pytest
from stellar_sdk import Asset as ChainAsset
from stellar_sdk import Keypair, Network, Payment, TransactionEnvelope

from services.wallet.chain.envelopes import Terms
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.model import AccountState, ContractError
from services.wallet.chain.payouts import MAX_PAYOUTS, sign_payments
from services.wallet.chain.payouts import Payment as Payout
from services.wallet.domain.model import FailureReason, OperationKind
from services.wallet.domain.outcomes import Action, meaning
from services.wallet.domain.withdrawals import Asset, Destination, refusal
from services.wallet.keys.signer import SeedSigner

PASSPHRASE = Network.TESTNET_NETWORK_PASSPHRASE
ISSUER = Keypair.random().public_key
KALE = ChainAsset("KALE", ISSUER)
R = FailureReason


def account(**fields: object) -> AccountState:
    values: dict[str, object] = {"exists": True, "has_trustline": True, "kale": 50, "xlm": 20}
    return AccountState(address="G", **{**values, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asset", "payer", "destination", "wants_memo", "reason"),
    [
        (Asset.KALE, account(), account(), False, None),
        (Asset.XLM, account(), account(has_trustline=False), False, R.INSUFFICIENT_BALANCE),
        (Asset.XLM, account(xlm=30), account(has_trustline=False), False, None),
        (Asset.KALE, account(exists=False), account(), False, R.NOT_FUNDED),
        (Asset.KALE, account(obeys=False), account(), False, R.REFUSED),
        (Asset.KALE, account(has_trustline=False), account(), False, R.NO_TRUSTLINE),
        (Asset.XLM, account(xlm=30, has_trustline=False), account(), False, None),
        (Asset.KALE, account(kale=29), account(), False, R.INSUFFICIENT_BALANCE),
        (Asset.KALE, account(kale=30), account(), False, None),
        (Asset.KALE, account(), account(exists=False), False, R.DESTINATION_MISSING),
        (Asset.KALE, account(), account(has_trustline=False), False, R.DESTINATION_REFUSES),
        (Asset.KALE, account(), account(), True, R.MEMO_REQUIRED),
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
        ("PAYMENT_NO_TRUST", R.DESTINATION_REFUSES),
        ("PAYMENT_LINE_FULL", R.DESTINATION_REFUSES),
        ("PAYMENT_NO_DESTINATION", R.DESTINATION_MISSING),
    ],
)
def test_a_refused_payment_says_why(code: str, reason: FailureReason) -> None:
    what = meaning(OperationKind.WITHDRAW, ContractError(raiser="transaction", code=code))
    assert (what.action, what.reason) == (Action.FAIL, reason)


def test_what_is_not_the_payments_fault_is_tried_again() -> None:
    error = ContractError(raiser="transaction", code="txBAD_SEQ")
    assert meaning(OperationKind.WITHDRAW, error).action is Action.RETRY


def terms(*, max_fee: int = 1000) -> Terms:
    return Terms(passphrase=PASSPHRASE, max_time=100, inclusion_fee=200, max_fee=max_fee)


def signer() -> SeedSigner:
    return SeedSigner(Keypair.random().raw_secret_key())


def test_each_farmer_pays_for_itself_and_signs_once() -> None:
    treasury, farmer, other, outside = signer(), signer(), signer(), Keypair.random().public_key
    payments = [
        Payout(signer=payer, destination=outside, asset=asset, amount=amount)
        for payer, asset, amount in (
            (farmer, Asset.KALE, 12_345_678),
            (farmer, Asset.XLM, 1),
            (other, Asset.KALE, 2**63 - 1),
        )
    ]
    signed = sign_payments(payments, treasury=treasury, sequence=7, kale=KALE, terms=terms())
    envelope = TransactionEnvelope.from_xdr(signed.xdr, PASSPHRASE)
    assert (signed.source, signed.sequence, signed.fee_bid) == (treasury.address, 7, 600)
    operations = envelope.transaction.operations
    assert [item.source.account_id for item in operations if item.source] == [
        farmer.address,
        farmer.address,
        other.address,
    ]
    paid = [(item.asset, Decimal(item.amount)) for item in operations if isinstance(item, Payment)]
    assert paid == [
        (KALE, Decimal("1.2345678")),
        (ChainAsset.native(), Decimal("0.0000001")),
        (KALE, Decimal("922337203685.4775807")),
    ]
    assert len(envelope.signatures) == 3
    for item, signature in zip((treasury, farmer, other), envelope.signatures, strict=True):
        Keypair.from_public_key(item.address).verify(envelope.hash(), signature.signature)


def test_the_cap_counts_for_each_payment() -> None:
    payment = Payout(
        signer=signer(), destination=Keypair.random().public_key, asset=Asset.KALE, amount=1
    )
    with pytest.raises(FeeCapExceededError):
        sign_payments([payment], treasury=signer(), sequence=1, kale=KALE, terms=terms(max_fee=199))


@pytest.mark.parametrize("count", [0, MAX_PAYOUTS + 1])
def test_a_transaction_takes_1_to_19(count: int) -> None:
    payment = Payout(signer=signer(), destination="G", asset=Asset.KALE, amount=1)
    with pytest.raises(ValueError, match="1 to 19"):
        sign_payments([payment] * count, treasury=signer(), sequence=1, kale=KALE, terms=terms())

"""The operations Payment and CreateAccount."""

from dataclasses import replace

from stellar_sdk import xdr
from stellar_sdk.xdr import CreateAccountResultCode as Create
from stellar_sdk.xdr import OperationType
from stellar_sdk.xdr import PaymentResultCode as Pay

from localnet.ledger.accounts import (
    INT64_MAX,
    Account,
    adjust,
    load_account,
    store_account,
)
from localnet.ledger.classic.asset_events import moved
from localnet.ledger.classic.context import (
    Context,
    Rule,
    medium,
    refuse,
    sponsor_pays,
)
from localnet.ledger.keys import raw_account, raw_muxed, trustline_asset
from localnet.ledger.results import OperationOutcome, op_result
from localnet.ledger.trustlines import asset_issuer, credit, load_trustline
from localnet.network import BASE_RESERVE

_NATIVE = xdr.Asset(xdr.AssetType.ASSET_TYPE_NATIVE).to_xdr_bytes()
#: Raw key that belongs to no account: the native asset has no issuer.
_NOBODY = b""


def _check_payment(body: xdr.OperationBody, _source: bytes) -> OperationOutcome | None:
    op = body.payment_op
    if op is None or op.amount.int64 <= 0:
        return op_result(OperationType.PAYMENT, Pay.PAYMENT_MALFORMED)
    return None


def _apply_payment(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    op = body.payment_op
    assert op is not None  # noqa: S101  (checked with the body)
    receiver, amount = raw_muxed(op.destination), op.amount.int64
    if load_account(ctx.state, receiver) is None:
        refuse(OperationType.PAYMENT, Pay.PAYMENT_NO_DESTINATION)
    asset = op.asset.to_xdr_bytes()
    issuer = _NOBODY if asset == _NATIVE else asset_issuer(trustline_asset(op.asset))
    if asset == _NATIVE:
        _pay_native(ctx, receiver, amount)
    else:
        _pay_credit(ctx, receiver, asset, issuer, amount)
    ctx.events.append(
        moved(
            ctx.network.passphrase,
            asset,
            amount,
            sender=ctx.source,
            receiver=receiver,
            issuer=issuer,
        )
    )
    return op_result(OperationType.PAYMENT, Pay.PAYMENT_SUCCESS)


def _pay_native(ctx: Context, receiver: bytes, amount: int) -> None:
    target = load_account(ctx.state, receiver)
    if target is not None and receiver != ctx.source and target.balance > INT64_MAX - amount:
        refuse(OperationType.PAYMENT, Pay.PAYMENT_LINE_FULL)
    if ctx.account.available < amount:
        refuse(OperationType.PAYMENT, Pay.PAYMENT_UNDERFUNDED)
    adjust(ctx.state, ctx.source, balance=-amount)
    adjust(ctx.state, receiver, balance=amount)


def _pay_credit(ctx: Context, receiver: bytes, asset: bytes, issuer: bytes, amount: int) -> None:
    """Move credit; the receiver's side is judged first, as stellar-core's path payment does."""
    if receiver != issuer:
        line = load_trustline(ctx.state, receiver, asset)
        if line is None:
            refuse(OperationType.PAYMENT, Pay.PAYMENT_NO_TRUST)
        if not line.authorized:
            refuse(OperationType.PAYMENT, Pay.PAYMENT_NOT_AUTHORIZED)
        if line.balance + amount > line.limit and receiver != ctx.source:
            refuse(OperationType.PAYMENT, Pay.PAYMENT_LINE_FULL)
        credit(ctx.state, line, amount)
    if ctx.source != issuer:
        line = load_trustline(ctx.state, ctx.source, asset)
        if line is None:
            refuse(OperationType.PAYMENT, Pay.PAYMENT_SRC_NO_TRUST)
        if not line.authorized:
            refuse(OperationType.PAYMENT, Pay.PAYMENT_SRC_NOT_AUTHORIZED)
        spendable = line.balance - (amount if receiver == ctx.source else 0)
        if spendable < amount:
            refuse(OperationType.PAYMENT, Pay.PAYMENT_UNDERFUNDED)
        credit(ctx.state, line, -amount)


def _check_create(body: xdr.OperationBody, source: bytes) -> OperationOutcome | None:
    op = body.create_account_op
    if op is None or op.starting_balance.int64 < 0 or raw_account(op.destination) == source:
        return op_result(OperationType.CREATE_ACCOUNT, Create.CREATE_ACCOUNT_MALFORMED)
    return None


def _apply_create(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    op = body.create_account_op
    assert op is not None  # noqa: S101  (checked with the body)
    kind, raw, amount = (
        OperationType.CREATE_ACCOUNT,
        raw_account(op.destination),
        op.starting_balance,
    )
    if load_account(ctx.state, raw) is not None:
        refuse(kind, Create.CREATE_ACCOUNT_ALREADY_EXIST)
    account = _sponsored(ctx, raw, amount.int64)
    if ctx.account.available < amount.int64:
        refuse(kind, Create.CREATE_ACCOUNT_UNDERFUNDED)
    adjust(ctx.state, ctx.source, balance=-amount.int64)
    store_account(ctx.state, account)
    if amount.int64 > 0:
        ctx.events.append(
            moved(
                ctx.network.passphrase,
                _NATIVE,
                amount.int64,
                sender=ctx.source,
                receiver=raw,
                issuer=_NOBODY,
            )
        )
    return op_result(kind, Create.CREATE_ACCOUNT_SUCCESS)


def _sponsored(ctx: Context, raw: bytes, balance: int) -> Account:
    """Return the new account; its two reserves are charged to itself or to its sponsor."""
    too_low = op_result(OperationType.CREATE_ACCOUNT, Create.CREATE_ACCOUNT_LOW_RESERVE)
    account = Account(raw=raw, balance=balance, seq_num=ctx.sequence << 32)
    sponsor = ctx.sponsorships.get(raw)
    if sponsor is None:
        if balance < 2 * BASE_RESERVE:
            refuse(OperationType.CREATE_ACCOUNT, Create.CREATE_ACCOUNT_LOW_RESERVE)
        return account
    sponsor_pays(ctx, sponsor, 2, too_low)
    return replace(account, num_sponsored=2, sponsor=sponsor)


PAYMENT = Rule(threshold=medium, check=_check_payment, apply=_apply_payment)
CREATE_ACCOUNT = Rule(threshold=medium, check=_check_create, apply=_apply_create)

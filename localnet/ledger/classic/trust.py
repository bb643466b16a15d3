"""The operations ChangeTrust and SetTrustLineFlags."""

from dataclasses import replace

from stellar_sdk import xdr
from stellar_sdk.xdr import ChangeTrustResultCode as Trust
from stellar_sdk.xdr import OperationType
from stellar_sdk.xdr import SetTrustLineFlagsResultCode as Flags

from localnet.ledger.accounts import load_account
from localnet.ledger.classic.context import (
    Context,
    OperationRefusedError,
    Rule,
    claim_reserve,
    low,
    medium,
    refuse,
    release_reserve,
)
from localnet.ledger.keys import raw_account
from localnet.ledger.results import OpCode, OperationOutcome, op_error, op_result
from localnet.ledger.trustlines import (
    AUTHORIZED,
    CLAWBACK,
    MAINTAIN,
    Trustline,
    asset_issuer,
    load_trustline,
    store_trustline,
)

_KIND = OperationType.CHANGE_TRUST
_AUTH_REQUIRED = int(xdr.AccountFlags.AUTH_REQUIRED_FLAG)
_AUTH_REVOCABLE = int(xdr.AccountFlags.AUTH_REVOCABLE_FLAG)
_AUTH_CLAWBACK = int(xdr.AccountFlags.AUTH_CLAWBACK_ENABLED_FLAG)


def _check_change(body: xdr.OperationBody, source: bytes) -> OperationOutcome | None:
    op = body.change_trust_op
    malformed = op_result(_KIND, Trust.CHANGE_TRUST_MALFORMED)
    if op is None or op.limit.int64 < 0 or op.line.type == xdr.AssetType.ASSET_TYPE_NATIVE:
        return malformed
    if op.line.type == xdr.AssetType.ASSET_TYPE_POOL_SHARE:
        return op_error(OpCode.opNOT_SUPPORTED)
    return malformed if asset_issuer(op.line.to_xdr_bytes()) == source else None


def _apply_change(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    op = body.change_trust_op
    assert op is not None  # noqa: S101  (checked with the body)
    asset, limit = op.line.to_xdr_bytes(), op.limit.int64
    line = load_trustline(ctx.state, ctx.source, asset)
    if line is not None and limit < line.balance:
        refuse(_KIND, Trust.CHANGE_TRUST_INVALID_LIMIT)
    if limit == 0:
        _remove(ctx, line)
    elif line is not None:
        _require_issuer(ctx, asset)
        store_trustline(ctx.state, replace(line, limit=limit))
    else:
        _create(ctx, asset, limit)
    return op_result(_KIND, Trust.CHANGE_TRUST_SUCCESS)


def _remove(ctx: Context, line: Trustline | None) -> None:
    if line is None:
        refuse(_KIND, Trust.CHANGE_TRUST_INVALID_LIMIT)
    ctx.state.erase(line.key)
    release_reserve(ctx, ctx.source, line.sponsor)


def _require_issuer(ctx: Context, asset: bytes) -> int:
    """Check that the asset's issuer exists, and return its flags."""
    issuer = load_account(ctx.state, asset_issuer(asset))
    if issuer is None:
        refuse(_KIND, Trust.CHANGE_TRUST_NO_ISSUER)
    return issuer.flags


def _create(ctx: Context, asset: bytes, limit: int) -> None:
    issuer_flags = _require_issuer(ctx, asset)
    flags = 0 if issuer_flags & _AUTH_REQUIRED else AUTHORIZED
    flags |= CLAWBACK if issuer_flags & _AUTH_CLAWBACK else 0
    too_low = op_result(_KIND, Trust.CHANGE_TRUST_LOW_RESERVE)
    sponsor = claim_reserve(ctx, ctx.source, too_low)
    line = Trustline(
        raw=ctx.source, asset=asset, balance=0, limit=limit, flags=flags, sponsor=sponsor
    )
    store_trustline(ctx.state, line)


def _check_flags(body: xdr.OperationBody, source: bytes) -> OperationOutcome | None:
    op = body.set_trust_line_flags_op
    malformed = op_result(OperationType.SET_TRUST_LINE_FLAGS, Flags.SET_TRUST_LINE_FLAGS_MALFORMED)
    if op is None or op.asset.type == xdr.AssetType.ASSET_TYPE_NATIVE:
        return malformed
    set_, clear = op.set_flags.uint32, op.clear_flags.uint32
    wrong = (
        asset_issuer(op.asset.to_xdr_bytes()) != source
        or raw_account(op.trustor) == source
        or set_ & clear
        or set_ & ~(AUTHORIZED | MAINTAIN)
        or clear & ~(AUTHORIZED | MAINTAIN | CLAWBACK)
        or set_ == AUTHORIZED | MAINTAIN
    )
    return malformed if wrong else None


def _apply_flags(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    op = body.set_trust_line_flags_op
    assert op is not None  # noqa: S101  (checked with the body)
    kind = OperationType.SET_TRUST_LINE_FLAGS
    line = load_trustline(ctx.state, raw_account(op.trustor), op.asset.to_xdr_bytes())
    if line is None:
        refuse(kind, Flags.SET_TRUST_LINE_FLAGS_NO_TRUST_LINE)
    flags = (line.flags & ~op.clear_flags.uint32) | op.set_flags.uint32
    if flags & AUTHORIZED and flags & MAINTAIN:
        raise OperationRefusedError(op_result(kind, Flags.SET_TRUST_LINE_FLAGS_INVALID_STATE))
    if line.authorized and not flags & AUTHORIZED and not ctx.account.flags & _AUTH_REVOCABLE:
        refuse(kind, Flags.SET_TRUST_LINE_FLAGS_CANT_REVOKE)
    store_trustline(ctx.state, replace(line, flags=flags))
    return op_result(kind, Flags.SET_TRUST_LINE_FLAGS_SUCCESS)


CHANGE_TRUST = Rule(threshold=medium, check=_check_change, apply=_apply_change)
SET_TRUST_LINE_FLAGS = Rule(threshold=low, check=_check_flags, apply=_apply_flags)

"""SetOptions: flags, home domain, thresholds and signers."""

from dataclasses import replace

from stellar_sdk import xdr
from stellar_sdk.xdr import OperationType
from stellar_sdk.xdr import SetOptionsResultCode as Options

from localnet.ledger.accounts import Account, Signer, store_account
from localnet.ledger.classic.context import Context, Rule, claim_reserve, refuse, release_reserve
from localnet.ledger.results import OperationOutcome, op_result
from localnet.ledger.signatures import Threshold

_KIND = OperationType.SET_OPTIONS
#: All account flags that exist.
_FLAGS = 0xF
_IMMUTABLE = int(xdr.AccountFlags.AUTH_IMMUTABLE_FLAG)
_MAX_SIGNERS = 20


def _threshold(body: xdr.OperationBody) -> Threshold:
    """Return the high threshold when keys or thresholds change, else the medium one."""
    op = body.set_options_op
    fields = (
        op and op.master_weight,
        op and op.low_threshold,
        op and op.med_threshold,
        op and op.high_threshold,
        op and op.signer,
    )
    return Threshold.MEDIUM if all(f is None for f in fields) else Threshold.HIGH


def _check(body: xdr.OperationBody, source: bytes) -> OperationOutcome | None:
    op = body.set_options_op
    if op is None:
        return op_result(_KIND, Options.SET_OPTIONS_CANT_CHANGE)
    set_ = op.set_flags.uint32 if op.set_flags else 0
    clear = op.clear_flags.uint32 if op.clear_flags else 0
    if (set_ | clear) & ~_FLAGS:
        return op_result(_KIND, Options.SET_OPTIONS_UNKNOWN_FLAG)
    if set_ & clear:
        return op_result(_KIND, Options.SET_OPTIONS_BAD_FLAGS)
    weights = (op.master_weight, op.low_threshold, op.med_threshold, op.high_threshold)
    if any(w is not None and w.uint32 > 255 for w in weights):
        return op_result(_KIND, Options.SET_OPTIONS_THRESHOLD_OUT_OF_RANGE)
    signer = op.signer
    own = signer is not None and signer.key.ed25519 == xdr.Uint256(source)
    if signer is not None and (own or signer.weight.uint32 > 255):
        return op_result(_KIND, Options.SET_OPTIONS_BAD_SIGNER)
    return None


def _apply(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    op = body.set_options_op
    assert op is not None  # noqa: S101  (checked with the body)
    if op.inflation_dest is not None:
        refuse(_KIND, Options.SET_OPTIONS_INVALID_INFLATION)
    store_account(ctx.state, _with_options(ctx.account, op))
    if op.signer is not None:
        _set_signer(ctx, op.signer)
    return op_result(_KIND, Options.SET_OPTIONS_SUCCESS)


def _with_options(account: Account, op: xdr.SetOptionsOp) -> Account:
    set_ = op.set_flags.uint32 if op.set_flags else 0
    clear = op.clear_flags.uint32 if op.clear_flags else 0
    if (set_ or clear) and account.flags & _IMMUTABLE:
        refuse(_KIND, Options.SET_OPTIONS_CANT_CHANGE)
    given = (op.master_weight, op.low_threshold, op.med_threshold, op.high_threshold)
    thresholds = bytes(
        old if new is None else new.uint32
        for old, new in zip(account.thresholds, given, strict=True)
    )
    domain = op.home_domain.string32 if op.home_domain else account.home_domain
    return replace(
        account,
        flags=(account.flags & ~clear) | set_,
        thresholds=thresholds,
        home_domain=domain,
    )


def _set_signer(ctx: Context, signer: xdr.Signer) -> None:
    packed = signer.key.to_xdr_bytes()
    known = next((s for s in ctx.account.signers if s.key.to_xdr_bytes() == packed), None)
    if signer.weight.uint32 == 0:
        if known is not None:
            release_reserve(ctx, ctx.source, known.sponsor)
            _replace_signer(ctx, packed, None)
        return
    if known is None and len(ctx.account.signers) >= _MAX_SIGNERS:
        refuse(_KIND, Options.SET_OPTIONS_TOO_MANY_SIGNERS)
    too_low = op_result(_KIND, Options.SET_OPTIONS_LOW_RESERVE)
    sponsor = known.sponsor if known else claim_reserve(ctx, ctx.source, too_low)
    new = Signer(key=signer.key, weight=signer.weight.uint32, sponsor=sponsor)
    _replace_signer(ctx, packed, new)


def _replace_signer(ctx: Context, packed: bytes, new: Signer | None) -> None:
    kept = [s for s in ctx.account.signers if s.key.to_xdr_bytes() != packed]
    signers = sorted(kept + ([new] if new else []), key=lambda s: s.key.to_xdr_bytes())
    store_account(ctx.state, replace(ctx.account, signers=tuple(signers)))


SET_OPTIONS = Rule(threshold=_threshold, check=_check, apply=_apply)

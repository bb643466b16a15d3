"""Sponsored reserves: Begin, End and RevokeSponsorship."""

from dataclasses import replace

from stellar_sdk import xdr
from stellar_sdk.xdr import BeginSponsoringFutureReservesResultCode as Begin
from stellar_sdk.xdr import EndSponsoringFutureReservesResultCode as End
from stellar_sdk.xdr import OperationType
from stellar_sdk.xdr import RevokeSponsorshipResultCode as Revoke

from localnet.ledger.accounts import adjust, ledger_entry, load_account, store_account
from localnet.ledger.classic.context import Context, Rule, medium, refuse, sponsor_pays, unchecked
from localnet.ledger.keys import key_type, raw_account
from localnet.ledger.results import OpCode, OperationOutcome, op_error, op_result
from localnet.network import BASE_RESERVE

_BEGIN = OperationType.BEGIN_SPONSORING_FUTURE_RESERVES
_END = OperationType.END_SPONSORING_FUTURE_RESERVES
_REVOKE = OperationType.REVOKE_SPONSORSHIP
_OWNED = (xdr.LedgerEntryType.ACCOUNT, xdr.LedgerEntryType.TRUSTLINE, xdr.LedgerEntryType.DATA)


def _check_begin(body: xdr.OperationBody, source: bytes) -> OperationOutcome | None:
    op = body.begin_sponsoring_future_reserves_op
    if op is None or raw_account(op.sponsored_id) == source:
        return op_result(_BEGIN, Begin.BEGIN_SPONSORING_FUTURE_RESERVES_MALFORMED)
    return None


def _apply_begin(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    op = body.begin_sponsoring_future_reserves_op
    assert op is not None  # noqa: S101  (checked with the body)
    sponsored = raw_account(op.sponsored_id)
    if sponsored in ctx.sponsorships:
        refuse(_BEGIN, Begin.BEGIN_SPONSORING_FUTURE_RESERVES_ALREADY_SPONSORED)
    if ctx.source in ctx.sponsorships or sponsored in ctx.sponsorships.values():
        refuse(_BEGIN, Begin.BEGIN_SPONSORING_FUTURE_RESERVES_RECURSIVE)
    ctx.sponsorships[sponsored] = ctx.source
    return op_result(_BEGIN, Begin.BEGIN_SPONSORING_FUTURE_RESERVES_SUCCESS)


def _apply_end(ctx: Context, _body: xdr.OperationBody) -> OperationOutcome:
    if ctx.sponsorships.pop(ctx.source, None) is None:
        refuse(_END, End.END_SPONSORING_FUTURE_RESERVES_NOT_SPONSORED)
    return op_result(_END, End.END_SPONSORING_FUTURE_RESERVES_SUCCESS)


def _check_revoke(body: xdr.OperationBody, _source: bytes) -> OperationOutcome | None:
    op = body.revoke_sponsorship_op
    if op is None or op.ledger_key is None or op.ledger_key.type not in _OWNED:
        # Signers and claimable balances are not supported: no pool sponsors these.
        return op_error(OpCode.opNOT_SUPPORTED)
    return None


def _apply_revoke(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    """Move an entry's reserve to the open sponsor of the entry's owner, or back to the owner."""
    op = body.revoke_sponsorship_op
    assert op is not None  # noqa: S101  (checked with the body)
    assert op.ledger_key is not None  # noqa: S101
    key = op.ledger_key.to_xdr_bytes()
    record = ctx.state.get(key)
    if record is None:
        refuse(_REVOKE, Revoke.REVOKE_SPONSORSHIP_DOES_NOT_EXIST)
    owner = _owner(op.ledger_key)
    if ctx.source != (record.sponsor or owner):
        refuse(_REVOKE, Revoke.REVOKE_SPONSORSHIP_NOT_SPONSOR)
    new_sponsor = ctx.sponsorships.get(ctx.source)
    if new_sponsor == owner:
        new_sponsor = None
    count = 2 if key_type(key) is xdr.LedgerEntryType.ACCOUNT else 1
    _move_reserve(ctx, owner, record.sponsor, new_sponsor, count)
    if key_type(key) is xdr.LedgerEntryType.ACCOUNT:
        account = load_account(ctx.state, owner)
        assert account is not None  # noqa: S101  (its record was found)
        store_account(ctx.state, replace(account, sponsor=new_sponsor))
    else:
        ctx.state.put(key, ledger_entry(record.entry.data, new_sponsor))
    return op_result(_REVOKE, Revoke.REVOKE_SPONSORSHIP_SUCCESS)


def _owner(key: xdr.LedgerKey) -> bytes:
    arm = key.account or key.trust_line or key.data
    assert arm is not None  # noqa: S101  (checked with the body)
    return raw_account(arm.account_id)


def _move_reserve(
    ctx: Context, owner: bytes, old: bytes | None, new: bytes | None, count: int
) -> None:
    too_low = op_result(_REVOKE, Revoke.REVOKE_SPONSORSHIP_LOW_RESERVE)
    if new is not None:
        sponsor_pays(ctx, new, count, too_low)
    account = load_account(ctx.state, owner)
    if new is None and (account is None or account.available < count * BASE_RESERVE):
        if old is None:
            return
        refuse(_REVOKE, Revoke.REVOKE_SPONSORSHIP_LOW_RESERVE)
    if old is not None:
        adjust(ctx.state, old, num_sponsoring=-count)
    difference = count * ((new is not None) - (old is not None))
    if difference:
        adjust(ctx.state, owner, num_sponsored=difference)


BEGIN_SPONSORING = Rule(threshold=medium, check=_check_begin, apply=_apply_begin)
END_SPONSORING = Rule(threshold=medium, check=unchecked, apply=_apply_end)
REVOKE_SPONSORSHIP = Rule(threshold=medium, check=_check_revoke, apply=_apply_revoke)

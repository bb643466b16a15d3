"""Operations on one account: merge, sequence number, data entries."""

import struct
from dataclasses import replace

from stellar_sdk import xdr
from stellar_sdk.xdr import AccountMergeResultCode as Merge
from stellar_sdk.xdr import BumpSequenceResultCode as Bump
from stellar_sdk.xdr import ManageDataResultCode as Data
from stellar_sdk.xdr import OperationType

from localnet.ledger.accounts import (
    INT64_MAX,
    Account,
    adjust,
    ledger_entry,
    load_account,
    store_account,
)
from localnet.ledger.classic.asset_events import moved
from localnet.ledger.classic.context import (
    Context,
    Rule,
    claim_reserve,
    high,
    low,
    medium,
    refuse,
    release_reserve,
)
from localnet.ledger.keys import account_id, data_key, raw_muxed
from localnet.ledger.results import OperationOutcome, op_result

_NATIVE = xdr.Asset(xdr.AssetType.ASSET_TYPE_NATIVE).to_xdr_bytes()
_IMMUTABLE = int(xdr.AccountFlags.AUTH_IMMUTABLE_FLAG)


def _check_merge(body: xdr.OperationBody, source: bytes) -> OperationOutcome | None:
    if body.destination is None or raw_muxed(body.destination) == source:
        return op_result(OperationType.ACCOUNT_MERGE, Merge.ACCOUNT_MERGE_MALFORMED)
    return None


def _apply_merge(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    assert body.destination is not None  # noqa: S101  (checked with the body)
    target, account = raw_muxed(body.destination), ctx.account
    _may_merge(ctx, account, load_account(ctx.state, target))
    for sponsor, count in ((account.sponsor, 2), *((s.sponsor, 1) for s in account.signers)):
        if sponsor is not None:
            adjust(ctx.state, sponsor, num_sponsoring=-count)
    ctx.state.erase(account.key)
    adjust(ctx.state, target, balance=account.balance)
    if account.balance > 0:
        ctx.events.append(
            moved(
                ctx.network.passphrase,
                _NATIVE,
                account.balance,
                sender=account.raw,
                receiver=target,
                issuer=b"",
            )
        )
    left = struct.pack(">q", account.balance)
    return op_result(OperationType.ACCOUNT_MERGE, Merge.ACCOUNT_MERGE_SUCCESS, left)


def _may_merge(ctx: Context, account: Account, target: Account | None) -> None:
    kind = OperationType.ACCOUNT_MERGE
    if target is None:
        refuse(kind, Merge.ACCOUNT_MERGE_NO_ACCOUNT)
    if account.flags & _IMMUTABLE:
        refuse(kind, Merge.ACCOUNT_MERGE_IMMUTABLE_SET)
    if account.sub_entries != len(account.signers):
        refuse(kind, Merge.ACCOUNT_MERGE_HAS_SUB_ENTRIES)
    if account.num_sponsoring:
        refuse(kind, Merge.ACCOUNT_MERGE_IS_SPONSOR)
    if account.seq_num >= ctx.sequence << 32:
        refuse(kind, Merge.ACCOUNT_MERGE_SEQNUM_TOO_FAR)
    if target.balance > INT64_MAX - account.balance:
        refuse(kind, Merge.ACCOUNT_MERGE_DEST_FULL)


def _check_bump(body: xdr.OperationBody, _source: bytes) -> OperationOutcome | None:
    op = body.bump_sequence_op
    if op is None or op.bump_to.sequence_number.int64 < 0:
        return op_result(OperationType.BUMP_SEQUENCE, Bump.BUMP_SEQUENCE_BAD_SEQ)
    return None


def _apply_bump(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    op = body.bump_sequence_op
    assert op is not None  # noqa: S101  (checked with the body)
    account, wanted = ctx.account, op.bump_to.sequence_number.int64
    if wanted > account.seq_num:
        # As for a sequence number that a transaction uses, the ledger and its close time are noted.
        used = (ctx.sequence, ctx.close_time)
        store_account(ctx.state, replace(account, seq_num=wanted, sequence_used=used))
    return op_result(OperationType.BUMP_SEQUENCE, Bump.BUMP_SEQUENCE_SUCCESS)


def _check_data(body: xdr.OperationBody, _source: bytes) -> OperationOutcome | None:
    op = body.manage_data_op
    if op is None or not op.data_name.string64:
        return op_result(OperationType.MANAGE_DATA, Data.MANAGE_DATA_INVALID_NAME)
    return None


def _apply_data(ctx: Context, body: xdr.OperationBody) -> OperationOutcome:
    op, kind = body.manage_data_op, OperationType.MANAGE_DATA
    assert op is not None  # noqa: S101  (checked with the body)
    key = data_key(ctx.source, op.data_name.string64)
    record = ctx.state.get(key)
    if op.data_value is None:
        if record is None:
            refuse(kind, Data.MANAGE_DATA_NAME_NOT_FOUND)
        ctx.state.erase(key)
        release_reserve(ctx, ctx.source, record.sponsor)
        return op_result(kind, Data.MANAGE_DATA_SUCCESS)
    too_low = op_result(kind, Data.MANAGE_DATA_LOW_RESERVE)
    sponsor = record.sponsor if record else claim_reserve(ctx, ctx.source, too_low)
    data = xdr.DataEntry(
        account_id=account_id(ctx.source),
        data_name=op.data_name,
        data_value=op.data_value,
        ext=xdr.DataEntryExt(0),
    )
    entry = xdr.LedgerEntryData(xdr.LedgerEntryType.DATA, data=data)
    ctx.state.put(key, ledger_entry(entry, sponsor))
    return op_result(kind, Data.MANAGE_DATA_SUCCESS)


ACCOUNT_MERGE = Rule(threshold=high, check=_check_merge, apply=_apply_merge)
BUMP_SEQUENCE = Rule(threshold=low, check=_check_bump, apply=_apply_bump)
MANAGE_DATA = Rule(threshold=medium, check=_check_data, apply=_apply_data)

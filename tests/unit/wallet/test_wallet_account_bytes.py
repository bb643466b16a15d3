"""Accounts and trustlines read byte by byte are what the SDK reads."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Asset, Keypair, xdr

from services.wallet.chain.read import account_bytes
from services.wallet.chain.read.account_bytes import (
    AccountFields,
    TrustlineFields,
    read_account,
    read_trustline,
)

ISSUER = Keypair.from_raw_ed25519_seed(b"i" * 32).public_key

u32s = st.integers(0, 2**32 - 1).map(xdr.Uint32)
i64s = st.integers(0, 2**63 - 1).map(xdr.Int64)
raws = st.binary(min_size=32, max_size=32)
account_ids = raws.map(
    lambda raw: xdr.AccountID(
        xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, xdr.Uint256(raw))
    )
)
payloads = st.builds(
    xdr.SignerKeyEd25519SignedPayload, raws.map(xdr.Uint256), st.binary(min_size=1, max_size=64)
)
Kinds = xdr.SignerKeyType
signer_keys = st.one_of(
    raws.map(lambda raw: xdr.SignerKey(Kinds.SIGNER_KEY_TYPE_ED25519, ed25519=xdr.Uint256(raw))),
    raws.map(lambda raw: xdr.SignerKey(Kinds.SIGNER_KEY_TYPE_HASH_X, hash_x=xdr.Uint256(raw))),
    payloads.map(
        lambda payload: xdr.SignerKey(
            Kinds.SIGNER_KEY_TYPE_ED25519_SIGNED_PAYLOAD, ed25519_signed_payload=payload
        )
    ),
)
signers = st.lists(st.builds(xdr.Signer, signer_keys, u32s), max_size=5)
liabilities = st.builds(xdr.Liabilities, i64s, i64s)
third = st.builds(
    lambda ledger: xdr.AccountEntryExtensionV3(
        xdr.ExtensionPoint(0), ledger, xdr.TimePoint(xdr.Uint64(7))
    ),
    u32s,
)
sponsors = st.lists(st.one_of(st.none(), account_ids).map(xdr.SponsorshipDescriptor), max_size=4)


def extension(kind: Any, number: int, value: object | None) -> Any:
    """A union that is empty, or has the next extension."""
    return kind(0) if value is None else kind(number, value)


second = st.builds(
    lambda sponsored, sponsoring, ids, last: xdr.AccountEntryExtensionV2(
        sponsored, sponsoring, ids, extension(xdr.AccountEntryExtensionV2Ext, 3, last)
    ),
    u32s,
    u32s,
    sponsors,
    st.one_of(st.none(), third),
)
complete = st.builds(
    lambda owed, sponsored, sponsoring, last: xdr.AccountEntryExtensionV1(
        owed,
        extension(
            xdr.AccountEntryExtensionV1Ext,
            2,
            xdr.AccountEntryExtensionV2(
                sponsored, sponsoring, [], extension(xdr.AccountEntryExtensionV2Ext, 3, last)
            ),
        ),
    ),
    liabilities,
    u32s,
    u32s,
    # Of an account that was never a transaction's source there is none.
    st.one_of(st.none(), third),
)
first = st.builds(
    lambda owed, last: xdr.AccountEntryExtensionV1(
        owed, extension(xdr.AccountEntryExtensionV1Ext, 2, last)
    ),
    liabilities,
    st.one_of(st.none(), second),
)
accounts = st.builds(
    lambda name, balance, sequence, count, inflation, flags, domain, weights, keys, last: (
        xdr.AccountEntry(
            name,
            balance,
            xdr.SequenceNumber(sequence),
            count,
            inflation,
            flags,
            xdr.String32(domain),
            xdr.Thresholds(weights),
            keys,
            extension(xdr.AccountEntryExt, 1, last),
        )
    ),
    account_ids,
    i64s,
    i64s,
    u32s,
    st.one_of(st.none(), account_ids),
    u32s,
    st.binary(max_size=32),
    st.binary(min_size=4, max_size=4),
    signers,
    st.one_of(st.none(), first),
)
#: As nearly all accounts are.
plain_accounts = st.builds(
    lambda name, balance, sequence, count, flags, weights, last: xdr.AccountEntry(
        name,
        balance,
        xdr.SequenceNumber(sequence),
        count,
        None,
        flags,
        xdr.String32(b""),
        xdr.Thresholds(weights),
        [],
        xdr.AccountEntryExt(1, last),
    ),
    account_ids,
    i64s,
    i64s,
    u32s,
    u32s,
    st.binary(min_size=4, max_size=4),
    complete,
)
assets = st.one_of(
    st.sampled_from([Asset("KALE", ISSUER), Asset("LONGERCODE", ISSUER)]).map(
        lambda asset: asset.to_trust_line_asset_xdr_object()
    ),
    raws.map(
        lambda raw: xdr.TrustLineAsset(
            xdr.AssetType.ASSET_TYPE_POOL_SHARE, liquidity_pool_id=xdr.PoolID(xdr.Hash(raw))
        )
    ),
)


def entry_of(account: xdr.AccountEntry) -> bytes:
    """As getLedgerEntries gives it."""
    return xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=account).to_xdr_bytes()


@given(st.one_of(accounts, plain_accounts))
def test_accounts(account: xdr.AccountEntry) -> None:
    v1 = account.ext.v1
    v2 = None if v1 is None else v1.ext.v2
    v3 = None if v2 is None else v2.ext.v3
    sponsoring = 0 if v2 is None else v2.num_sponsoring.uint32 - v2.num_sponsored.uint32
    assert read_account(entry_of(account)) == AccountFields(
        balance=account.balance.int64,
        sequence=account.seq_num.sequence_number.int64,
        used_ledger=0 if v3 is None else v3.seq_ledger.uint32,
        reserves=account.num_sub_entries.uint32 + sponsoring,
        obeys=account.thresholds.thresholds[0] >= max(1, *account.thresholds.thresholds[1:3]),
        obeys_fully=account.thresholds.thresholds[0] >= max(1, *account.thresholds.thresholds[1:]),
        buying=0 if v1 is None else v1.liabilities.buying.int64,
        selling=0 if v1 is None else v1.liabilities.selling.int64,
    )


pools_of_line = st.one_of(
    st.none(),
    st.integers(0, 2**31 - 1).map(
        lambda count: xdr.TrustLineEntryExtensionV2(
            xdr.Int32(count), xdr.TrustLineEntryExtensionV2Ext(0)
        )
    ),
)
owed_by_line = st.one_of(
    st.none(),
    st.builds(
        lambda owed, last: xdr.TrustLineEntryV1(owed, extension(xdr.TrustLineEntryV1Ext, 2, last)),
        liabilities,
        pools_of_line,
    ),
)


@given(st.tuples(account_ids, assets), i64s, i64s, u32s, owed_by_line)
def test_trustlines(
    whose: tuple[xdr.AccountID, xdr.TrustLineAsset],
    balance: xdr.Int64,
    limit: xdr.Int64,
    flags: xdr.Uint32,
    owed: xdr.TrustLineEntryV1 | None,
) -> None:
    more = extension(xdr.TrustLineEntryExt, 1, owed)
    line = xdr.TrustLineEntry(*whose, balance, limit, flags, more)
    data = xdr.LedgerEntryData(xdr.LedgerEntryType.TRUSTLINE, trust_line=line).to_xdr_bytes()
    assert read_trustline(data) == TrustlineFields(
        balance=balance.int64,
        limit=limit.int64,
        flags=flags.uint32,
        buying=0 if owed is None else owed.liabilities.buying.int64,
        selling=0 if owed is None else owed.liabilities.selling.int64,
    )
    with pytest.raises(ValueError, match="no account"):
        read_account(data)


def told(read: Callable[[], object]) -> object:
    """What is read; nothing for what is refused."""
    try:
        return read()
    except (LookupError, ValueError, struct.error):
        return None


@given(plain_accounts, st.data())
def test_an_account_that_is_read_at_once_is_read_as_field_by_field(
    account: xdr.AccountEntry, data: st.DataObject
) -> None:
    raw = bytearray(entry_of(account))
    assert account_bytes._at_once(bytes(raw)) == read_account(bytes(raw))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    changed = bytes(raw)
    by_field = told(lambda: account_bytes._account(account_bytes._Reader(changed)))
    assert told(lambda: read_account(changed)) == by_field


@given(account_ids, i64s, i64s, u32s, st.data())
def test_a_trustline_that_is_read_at_once_is_read_as_field_by_field(
    whose: xdr.AccountID,
    balance: xdr.Int64,
    limit: xdr.Int64,
    flags: xdr.Uint32,
    data: st.DataObject,
) -> None:
    asset = Asset("KALE", ISSUER).to_trust_line_asset_xdr_object()
    line = xdr.TrustLineEntry(whose, asset, balance, limit, flags, xdr.TrustLineEntryExt(0))
    entry = xdr.LedgerEntryData(xdr.LedgerEntryType.TRUSTLINE, trust_line=line)
    raw = bytearray(entry.to_xdr_bytes())
    assert account_bytes._line_at_once(bytes(raw)) == read_trustline(bytes(raw))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    changed = bytes(raw)
    by_field = told(lambda: account_bytes._line(account_bytes._Reader(changed)))
    assert told(lambda: read_trustline(changed)) == by_field


@given(st.one_of(accounts, plain_accounts), st.data())
def test_what_is_cut_short_is_refused(account: xdr.AccountEntry, data: st.DataObject) -> None:
    whole = entry_of(account)
    # The last fields that are read lie within the last 12 bytes, or are the end itself.
    cut = whole[: data.draw(st.integers(0, len(whole) - 13))]
    with pytest.raises(ValueError, match=r"ends too early|no account"):
        read_account(cut)
    with pytest.raises(ValueError, match="no trustline"):
        read_trustline(whole)

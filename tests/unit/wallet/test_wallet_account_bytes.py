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


def account_with(thresholds: bytes = bytes([1, 0, 0, 0]), name: str = "", amount: int = 0) -> bytes:
    """An account as nearly all are; `name` names an amount that is another one."""
    amounts = {"balance": 5, "sequence": 6, "buying": 7, "selling": 8, name: amount}
    named = xdr.AccountID(
        xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, xdr.Uint256(bytes(32)))
    )
    used = xdr.AccountEntryExtensionV3(
        xdr.ExtensionPoint(0), xdr.Uint32(9), xdr.TimePoint(xdr.Uint64(7))
    )
    sponsored = xdr.AccountEntryExtensionV2(
        xdr.Uint32(0), xdr.Uint32(0), [], xdr.AccountEntryExtensionV2Ext(3, used)
    )
    owed = xdr.Liabilities(xdr.Int64(amounts["buying"]), xdr.Int64(amounts["selling"]))
    return entry_of(
        xdr.AccountEntry(
            named,
            xdr.Int64(amounts["balance"]),
            xdr.SequenceNumber(xdr.Int64(amounts["sequence"])),
            xdr.Uint32(0),
            None,
            xdr.Uint32(0),
            xdr.String32(b""),
            xdr.Thresholds(thresholds),
            [],
            xdr.AccountEntryExt(
                1,
                xdr.AccountEntryExtensionV1(owed, xdr.AccountEntryExtensionV1Ext(2, sponsored)),
            ),
        )
    )


@pytest.mark.parametrize(
    ("thresholds", "obeys", "fully"),
    [
        # The master key's weight, and the low, medium and high thresholds.
        ((0, 0, 0, 0), False, False),
        ((1, 0, 0, 0), True, True),
        ((1, 1, 1, 1), True, True),
        ((1, 2, 0, 0), False, False),
        ((1, 0, 2, 0), False, False),
        ((1, 0, 0, 2), True, False),
        ((2, 2, 2, 2), True, True),
        ((5, 5, 5, 6), True, False),
    ],
)
def test_a_key_suffices_where_its_weight_reaches_the_thresholds(
    thresholds: tuple[int, ...], obeys: bool, fully: bool
) -> None:
    found = read_account(account_with(bytes(thresholds)))
    assert (found.obeys, found.obeys_fully) == (obeys, fully)


@pytest.mark.parametrize("name", ["balance", "sequence", "buying", "selling"])
def test_an_account_with_a_negative_amount_is_refused(name: str) -> None:
    assert getattr(read_account(account_with(name=name)), name) == 0
    with pytest.raises(ValueError, match="negative"):
        read_account(account_with(name=name, amount=-1))


@pytest.mark.parametrize(("balance", "limit"), [(-1, 5), (5, -1)])
def test_a_trustline_with_a_negative_amount_is_refused(balance: int, limit: int) -> None:
    line = xdr.TrustLineEntry(
        xdr.AccountID(
            xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, xdr.Uint256(bytes(32)))
        ),
        Asset("KALE", ISSUER).to_trust_line_asset_xdr_object(),
        xdr.Int64(balance),
        xdr.Int64(limit),
        xdr.Uint32(1),
        xdr.TrustLineEntryExt(0),
    )
    entry = xdr.LedgerEntryData(xdr.LedgerEntryType.TRUSTLINE, trust_line=line)
    with pytest.raises(ValueError, match="negative"):
        read_trustline(entry.to_xdr_bytes())


def test_nearly_all_accounts_and_lines_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(reader: object) -> Any:
        raise AssertionError("read field by field")

    monkeypatch.setattr(account_bytes, "_account", refuse)
    monkeypatch.setattr(account_bytes, "_line", refuse)
    assert read_account(account_with()).used_ledger == 9
    line = xdr.TrustLineEntry(
        xdr.AccountID(
            xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, xdr.Uint256(bytes(32)))
        ),
        Asset("KALE", ISSUER).to_trust_line_asset_xdr_object(),
        xdr.Int64(5),
        xdr.Int64(6),
        xdr.Uint32(1),
        xdr.TrustLineEntryExt(0),
    )
    entry = xdr.LedgerEntryData(xdr.LedgerEntryType.TRUSTLINE, trust_line=line)
    assert read_trustline(entry.to_xdr_bytes()).limit == 6

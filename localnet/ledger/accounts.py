"""Accounts as values: the content of an XDR AccountEntry without the nesting."""

from dataclasses import dataclass, replace

from stellar_sdk import xdr

from localnet.ledger.keys import account_id, account_key, raw_account
from localnet.ledger.state import Changes, Readable, Record
from localnet.network import BASE_RESERVE

#: Most entries and signers that one account may own.
MAX_SUB_ENTRIES = 1000
INT64_MAX = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Signer:
    """One additional signer of an account."""

    #: The signer key in XDR.
    key: xdr.SignerKey
    #: Weight of the signer, 1 to 255.
    weight: int
    #: Raw key of the account that pays the signer's reserve, if not the owner.
    sponsor: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Account:
    """One account."""

    #: Raw ed25519 key.
    raw: bytes
    #: Stroops.
    balance: int
    #: Sequence number used last.
    seq_num: int
    #: Number of trustlines, data entries and signers that the account owns.
    sub_entries: int = 0
    #: AccountFlags as a number.
    flags: int = 0
    #: Home domain.
    home_domain: bytes = b""
    #: Master weight, low, medium and high threshold.
    thresholds: bytes = b"\x01\x00\x00\x00"
    #: Signers besides the master key.
    signers: tuple[Signer, ...] = ()
    #: Number of reserves that other accounts pay for this account.
    num_sponsored: int = 0
    #: Number of reserves that this account pays for other accounts.
    num_sponsoring: int = 0
    #: Sequence and close time of the ledger that used the last sequence number; None before the
    #: first use.
    sequence_used: tuple[int, int] | None = None
    #: Raw key of the account that pays the reserve of this account itself.
    sponsor: bytes | None = None

    @property
    def reserve(self) -> int:
        """Stroops that the account may not spend."""
        return (2 + self.sub_entries + self.num_sponsoring - self.num_sponsored) * BASE_RESERVE

    @property
    def available(self) -> int:
        """Stroops that the account may spend."""
        return self.balance - self.reserve

    @property
    def key(self) -> bytes:
        """Ledger key of the account."""
        return account_key(self.raw)


def load_account(state: Readable, raw: bytes) -> Account | None:
    """Return the account with this raw key, or None."""
    record = state.get(account_key(raw))
    return None if record is None else _from_record(record)


def store_account(state: Changes, account: Account) -> None:
    """Write the account into the state."""
    state.put(account.key, ledger_entry(_account_data(account), account.sponsor))


def adjust(state: Changes, raw: bytes, **deltas: int) -> Account:
    """Add to fields of an existing account, store the account and return it."""
    account = load_account(state, raw)
    if account is None:
        raise KeyError(raw.hex())
    changed = replace(account, **{f: getattr(account, f) + d for f, d in deltas.items()})
    store_account(state, changed)
    return changed


def ledger_entry(data: xdr.LedgerEntryData, sponsor: bytes | None) -> xdr.LedgerEntry:
    """Wrap entry data in a LedgerEntry; `Changes.put` sets lastModified later."""
    ext = xdr.LedgerEntryExt(0)
    if sponsor is not None:
        ext = xdr.LedgerEntryExt(
            1,
            v1=xdr.LedgerEntryExtensionV1(
                sponsoring_id=_descriptor(sponsor), ext=xdr.LedgerEntryExtensionV1Ext(0)
            ),
        )
    return xdr.LedgerEntry(last_modified_ledger_seq=xdr.Uint32(0), data=data, ext=ext)


def _descriptor(raw: bytes | None) -> xdr.SponsorshipDescriptor:
    return xdr.SponsorshipDescriptor(None if raw is None else account_id(raw))


def _from_record(record: Record) -> Account:
    entry = record.entry.data.account
    assert entry is not None  # noqa: S101  (the key was an account's)
    v1 = entry.ext.v1
    v2 = v1.ext.v2 if v1 else None
    v3 = v2.ext.v3 if v2 else None
    sponsors = [
        None if d.sponsorship_descriptor is None else raw_account(d.sponsorship_descriptor)
        for d in (v2.signer_sponsoring_i_ds if v2 else [])
    ] or [None] * len(entry.signers)
    return Account(
        raw=raw_account(entry.account_id),
        balance=entry.balance.int64,
        seq_num=entry.seq_num.sequence_number.int64,
        sub_entries=entry.num_sub_entries.uint32,
        flags=entry.flags.uint32,
        home_domain=entry.home_domain.string32,
        thresholds=entry.thresholds.thresholds,
        signers=tuple(
            Signer(key=s.key, weight=s.weight.uint32, sponsor=p)
            for s, p in zip(entry.signers, sponsors, strict=True)
        ),
        num_sponsored=v2.num_sponsored.uint32 if v2 else 0,
        num_sponsoring=v2.num_sponsoring.uint32 if v2 else 0,
        sequence_used=(v3.seq_ledger.uint32, v3.seq_time.time_point.uint64) if v3 else None,
        sponsor=record.sponsor,
    )


def _account_data(account: Account) -> xdr.LedgerEntryData:
    return xdr.LedgerEntryData(
        xdr.LedgerEntryType.ACCOUNT,
        account=xdr.AccountEntry(
            account_id=account_id(account.raw),
            balance=xdr.Int64(account.balance),
            seq_num=xdr.SequenceNumber(xdr.Int64(account.seq_num)),
            num_sub_entries=xdr.Uint32(account.sub_entries),
            inflation_dest=None,
            flags=xdr.Uint32(account.flags),
            home_domain=xdr.String32(account.home_domain),
            thresholds=xdr.Thresholds(account.thresholds),
            signers=[xdr.Signer(s.key, xdr.Uint32(s.weight)) for s in account.signers],
            ext=_extension(account),
        ),
    )


def _extension(account: Account) -> xdr.AccountEntryExt:
    """Return the smallest extension that holds the account's values, as stellar-core grows it."""
    sponsored = account.num_sponsored or account.num_sponsoring
    if account.sequence_used is None and not sponsored:
        return xdr.AccountEntryExt(0)
    v3 = xdr.AccountEntryExtensionV2Ext(0)
    if account.sequence_used is not None:
        ledger, time = account.sequence_used
        v3 = xdr.AccountEntryExtensionV2Ext(
            3,
            v3=xdr.AccountEntryExtensionV3(
                ext=xdr.ExtensionPoint(0),
                seq_ledger=xdr.Uint32(ledger),
                seq_time=xdr.TimePoint(xdr.Uint64(time)),
            ),
        )
    v2 = xdr.AccountEntryExtensionV2(
        num_sponsored=xdr.Uint32(account.num_sponsored),
        num_sponsoring=xdr.Uint32(account.num_sponsoring),
        signer_sponsoring_i_ds=[_descriptor(s.sponsor) for s in account.signers],
        ext=v3,
    )
    return xdr.AccountEntryExt(
        1,
        v1=xdr.AccountEntryExtensionV1(
            liabilities=xdr.Liabilities(buying=xdr.Int64(0), selling=xdr.Int64(0)),
            ext=xdr.AccountEntryExtensionV1Ext(2, v2=v2),
        ),
    )

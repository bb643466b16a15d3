"""Accounts that are to be closed, read with all that stands in the way of a merger."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stellar_sdk import SignerKey, xdr

from services.wallet.chain.build import ledger_keys
from services.wallet.chain.build.payments import MEMO_ENTRY, memo_key
from services.wallet.chain.node.ledger_entries import Entry, Reader
from services.wallet.chain.read.account_bytes import AccountFields, TrustlineFields, read_account
from services.wallet.chain.read.entries import account_state
from services.wallet.chain.read.readers import read_data, read_trustline_entry
from services.wallet.domain.closing import ClosingAccount


@dataclass(frozen=True, kw_only=True)
class AccountEntry:
    """An account with what is only looked at before it is merged."""

    #: The fields that are looked at elsewhere, too.
    fields: AccountFields
    sub_entries: int
    signers: tuple[str, ...]
    sponsored: int
    sponsoring: int
    flags: int


#: What is read of an account: the account itself, its trustline, or a data entry.
ClosingEntry = AccountEntry | TrustlineFields | bytes


@dataclass(frozen=True, kw_only=True)
class ClosingKeys:
    """Keys (LedgerKey, base64) of the entries that are read of an account."""

    account: str
    line: str
    #: The data entry that wants a memo.
    memo: str


def read_whole_account(entry: Entry) -> AccountEntry:
    """Read an account, decoded as a whole: few are, at a time."""
    fields = read_account(entry.data)
    account = xdr.LedgerEntryData.from_xdr_bytes(entry.data).account
    if account is None:
        raise ValueError("not an account")
    first = account.ext.v1
    second = None if first is None else first.ext.v2
    return AccountEntry(
        fields=fields,
        sub_entries=account.num_sub_entries.uint32,
        signers=tuple(
            SignerKey.from_xdr_object(one.key).encoded_signer_key for one in account.signers
        ),
        sponsored=0 if second is None else second.num_sponsored.uint32,
        sponsoring=0 if second is None else second.num_sponsoring.uint32,
        flags=account.flags.uint32,
    )


def closing_keys(address: str, asset: bytes) -> ClosingKeys:
    """Return the keys of all entries that are read of an account; `asset` is the TrustLineAsset."""
    return ClosingKeys(
        account=ledger_keys.account_key(address),
        line=ledger_keys.trustline_key(address, asset),
        memo=memo_key(address),
    )


def closing_readers(places: Iterable[ClosingKeys]) -> dict[str, Reader[ClosingEntry]]:
    """Return what reads each entry, by its key."""
    readers: dict[str, Reader[ClosingEntry]] = {}
    for place in places:
        readers |= {
            place.account: read_whole_account,
            place.line: read_trustline_entry,
            place.memo: read_data,
        }
    return readers


def closing_account(
    address: str, place: ClosingKeys, found: Mapping[str, ClosingEntry]
) -> ClosingAccount:
    """Return an account with its KALE trustline; either may be absent."""
    account, entry = found.get(place.account), found.get(place.line)
    if not isinstance(account, AccountEntry):
        return ClosingAccount(state=account_state(address, None, None))
    line = entry if isinstance(entry, TrustlineFields) else None
    return ClosingAccount(
        state=account_state(address, account.fields, line),
        has_line=line is not None,
        line_balance=0 if line is None else line.balance,
        sub_entries=account.sub_entries,
        signers=account.signers,
        sponsored=account.sponsored,
        sponsoring=account.sponsoring,
        flags=account.flags,
        data_names=(MEMO_ENTRY.decode(),) if place.memo in found else (),
    )

"""Accounts that are to be closed, read with all that stands in the way of a merger."""

from dataclasses import dataclass

from stellar_sdk import SignerKey, xdr

from services.wallet.chain.node.ledger_entries import Entry
from services.wallet.chain.read.account_bytes import AccountFields, TrustlineFields, read_account
from services.wallet.chain.read.entries import account_state
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


def closing_account(
    address: str,
    account: AccountEntry | TrustlineFields | bytes | None,
    line: AccountEntry | TrustlineFields | bytes | None,
    data_names: tuple[str, ...],
) -> ClosingAccount:
    """Return an account with its KALE trustline; either may be absent."""
    if not isinstance(account, AccountEntry):
        return ClosingAccount(state=account_state(address, None, None))
    found = line if isinstance(line, TrustlineFields) else None
    return ClosingAccount(
        state=account_state(address, account.fields, found),
        has_line=found is not None,
        line_balance=0 if found is None else found.balance,
        sub_entries=account.sub_entries,
        signers=account.signers,
        sponsored=account.sponsored,
        sponsoring=account.sponsoring,
        flags=account.flags,
        data_names=data_names,
    )

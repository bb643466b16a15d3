"""Lies about accounts, trustlines, data entries and lifetimes."""

from collections.abc import Callable, Iterable
from typing import Any

from stellar_sdk import StrKey, xdr
from stellar_sdk.xdr import LedgerEntryType

from localnet.ledger.keys import raw_account
from localnet.ledger.transaction import Transaction
from localnet.rpc.encoding import base64
from localnet.rpc.lies.model import (
    EVERY,
    Lie,
    Result,
    Told,
    by_address,
    is_flag,
    is_number,
    one_of,
)

ENTRIES = frozenset({"getLedgerEntries"})
_MEMO_REQUIRED = b"config.memo_required"
#: Changes an entry: returns another one, or None for an entry that is to seem missing.
Change = Callable[[xdr.LedgerEntryData], xdr.LedgerEntryData | None]


def changed(told: Told, change: Change) -> Result:
    """Return the result with each entry changed by the lie."""
    entries = []
    for entry in told.result["entries"]:
        if "xdr" not in entry:
            return told.result
        data = change(xdr.LedgerEntryData.from_xdr(entry["xdr"]))
        if data is not None:
            entries.append({**entry, "xdr": base64(data.to_xdr_bytes())})
    return {**told.result, "entries": entries}


def missing(told: Told) -> Iterable[xdr.LedgerKey]:
    """Return the keys that were asked for and have no entry."""
    found = {entry.get("key") for entry in told.result["entries"]}
    return (xdr.LedgerKey.from_xdr(k) for k in told.params["keys"] if k not in found)


def with_entry(result: Result, key: xdr.LedgerKey, data: xdr.LedgerEntryData) -> Result:
    """Return the result with one more entry, which seems to be written just now."""
    entry = {
        "key": base64(key.to_xdr_bytes()),
        "xdr": base64(data.to_xdr_bytes()),
        "lastModifiedLedgerSeq": result["latestLedger"],
        "extXdr": "AAAAAA==",
    }
    if data.contract_data is not None:
        entry["liveUntilLedgerSeq"] = result["latestLedger"] + 17_280
    return {**result, "entries": [*result["entries"], entry]}


def _address(account: xdr.AccountID) -> str:
    return StrKey.encode_ed25519_public_key(raw_account(account))


def _by_address(kind: LedgerEntryType, add: Callable[[Any, int], None]) -> Callable[[Told], Result]:
    """Make a lie that adds to entries of a kind, or hides them, by their owners."""

    def tell(told: Told) -> Result:
        def change(data: xdr.LedgerEntryData) -> xdr.LedgerEntryData | None:
            owned = data.account or data.trust_line
            if data.type is not kind or owned is None:
                return data
            address = _address(owned.account_id)
            if address not in told.value and EVERY not in told.value:
                return data
            more = told.value.get(address, told.value.get(EVERY))
            if more is None:
                return None
            add(owned, more)
            return data

        return changed(told, change)

    return tell


def _add_sequence(account: xdr.AccountEntry, more: int) -> None:
    number = max(0, account.seq_num.sequence_number.int64 + more)
    account.seq_num = xdr.SequenceNumber(xdr.Int64(number))


def _add_balance(owned: xdr.AccountEntry | xdr.TrustLineEntry, more: int) -> None:
    owned.balance = xdr.Int64(max(0, owned.balance.int64 + more))


def _payer(told: Told) -> Result:
    """Show the sequence numbers as if the last transactions had ended in the way of the setting.

    Only accounts are changed whose transactions bump their sequence numbers.
    """
    last = {tx.source: tx for tx in told.rpc.memory.sent.values() if _bump(tx) is not None}

    def change(data: xdr.LedgerEntryData) -> xdr.LedgerEntryData:
        tx = None if data.account is None else last.get(raw_account(data.account.account_id))
        if data.account is not None and tx is not None:
            numbers = {"not included": tx.sequence - 1, "failed": tx.sequence, "paid": _bump(tx)}
            data.account.seq_num = xdr.SequenceNumber(xdr.Int64(numbers[told.value] or 0))
        return data

    return changed(told, change)


def _bump(tx: Transaction) -> int | None:
    """Return the sequence number to which the last operation of a transaction bumps its source."""
    bump = tx.operations[-1].body.bump_sequence_op if tx.operations else None
    return None if bump is None else bump.bump_to.sequence_number.int64


def _memo(told: Told) -> Result:
    if not told.value:
        return changed(told, lambda data: None if _is_memo(data.data) else data)
    result = told.result
    for key in missing(told):
        if key.data is not None and _is_memo(key.data):
            entry = xdr.DataEntry(
                account_id=key.data.account_id,
                data_name=key.data.data_name,
                data_value=xdr.DataValue(b"1"),
                ext=xdr.DataEntryExt(0),
            )
            data = xdr.LedgerEntryData(LedgerEntryType.DATA, data=entry)
            result = with_entry(result, key, data)
    return result


def _is_memo(data: xdr.DataEntry | xdr.LedgerKeyData | None) -> bool:
    return data is not None and data.data_name.string64 == _MEMO_REQUIRED


def _lives(told: Told) -> Result:
    name = "liveUntilLedgerSeq"
    entries = [
        {**entry, name: max(0, entry[name] + told.value)} if name in entry else entry
        for entry in told.result["entries"]
    ]
    return {**told.result, "entries": entries}


SEQUENCES = Lie(
    methods=ENTRIES, tell=_by_address(LedgerEntryType.ACCOUNT, _add_sequence), check=by_address
)
BALANCES = Lie(
    methods=ENTRIES, tell=_by_address(LedgerEntryType.ACCOUNT, _add_balance), check=by_address
)
TRUSTLINES = Lie(
    methods=ENTRIES, tell=_by_address(LedgerEntryType.TRUSTLINE, _add_balance), check=by_address
)
PAYER = Lie(methods=ENTRIES, tell=_payer, check=one_of("not included", "failed", "paid"))
MEMO = Lie(methods=ENTRIES, tell=_memo, check=is_flag)
LIVES = Lie(methods=ENTRIES, tell=_lives, check=is_number)

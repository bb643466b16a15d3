"""Readers of ledger entries, one for each kind of entry."""

from dataclasses import dataclass
from functools import lru_cache

from stellar_sdk import xdr

from services.wallet.chain.build.payments import wants_memo
from services.wallet.chain.node.ledger_entries import Entry
from services.wallet.chain.read.account_bytes import (
    AccountFields,
    TrustlineFields,
    read_account,
    read_trustline,
)
from services.wallet.chain.read.entries import block_state, decode_block, decode_farm, decode_pail
from services.wallet.chain.read.record_bytes import read_record
from services.wallet.domain.chain_facts import BlockState, FarmState, PailState

#: Instances of farms whose facts are kept: nodes may differ.
_KEPT = 16


def read_account_entry(entry: Entry) -> AccountFields:
    """Read an account."""
    return read_account(entry.data)


def read_trustline_entry(entry: Entry) -> TrustlineFields:
    """Read a trustline."""
    return read_trustline(entry.data)


@dataclass(frozen=True, kw_only=True)
class FarmEntry:
    """The facts of the farm's instance."""

    #: The farm without its block.
    state: FarmState
    #: The running block's index.
    index: int
    #: Last ledger of the instance's life.
    live_until: int


def read_farm(entry: Entry) -> FarmEntry:
    """Read the farm's instance."""
    state, index = _farm(entry.data)
    return FarmEntry(state=state, index=index, live_until=entry.live_until)


@lru_cache(maxsize=_KEPT)
def _farm(data: bytes) -> tuple[FarmState, int]:
    """Decode the farm's instance, which changes with each block and is read at each ledger."""
    return decode_farm(xdr.LedgerEntryData.from_xdr_bytes(data))


def read_block(index: int, entry: Entry) -> BlockState:
    """Read the record of a block."""
    fields = read_record(entry.data, entry.key)
    if fields is not None:
        return block_state(index, fields, live_until=entry.live_until, modified=entry.modified)
    return decode_block(
        index,
        xdr.LedgerEntryData.from_xdr_bytes(entry.data),
        live_until=entry.live_until,
        modified=entry.modified,
    )


def read_pail(entry: Entry) -> PailState:
    """Read a pail."""
    return decode_pail(entry.data, key=entry.key, live_until=entry.live_until)


def read_memo(entry: Entry) -> bool:
    """Read whether an account wants a memo with every payment (SEP-29)."""
    return wants_memo(xdr.LedgerEntryData.from_xdr_bytes(entry.data))


def read_data(entry: Entry) -> bytes:
    """Read the value of a data entry."""
    found = xdr.LedgerEntryData.from_xdr_bytes(entry.data).data
    if found is None:
        raise ValueError("not a data entry")
    return found.data_value.data_value


def read_live_until(entry: Entry) -> int:
    """Read the last ledger of the entry's life."""
    return entry.live_until

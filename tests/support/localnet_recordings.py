"""The recordings of a real network's JSON-RPC, and the state that each call was made on.

The network itself is gone, but its answers hold its state: entries that were read, state changes of
simulations, entries before and after in the transactions' meta. Put in order by their lastModified
they give every entry as it was at any ledger.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from stellar_sdk import xdr

from localnet.ledger.accounts import ledger_entry
from localnet.ledger.keys import config_key, is_persistent, is_soroban, key_type
from localnet.ledger.settings import default_entries
from localnet.ledger.state import Record, Snapshot, make_record

_FOLDER = Path(__file__).parents[1] / "vectors" / "recordings"
#: Lifetimes of the recorded network, which had mainnet's settings.
_TEMPORARY, _PERSISTENT = 17_280, 2_073_600


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One call and its answer."""

    #: Its name in the index.
    name: str
    #: The method.
    method: str
    #: The parameters.
    params: dict[str, Any]
    #: The result, or None.
    result: dict[str, Any] | None
    #: The error, or None.
    error: dict[str, Any] | None


@cache
def recording(name: str) -> Recording:
    """One recording by its name."""
    data = json.loads((_FOLDER / f"{name}.json").read_text())
    return Recording(
        name=name,
        method=data["request"]["method"],
        params=data["request"].get("params", {}),
        result=data["response"].get("result"),
        error=data["response"].get("error"),
    )


@cache
def names(prefix: str) -> tuple[str, ...]:
    """All recordings whose name starts so."""
    return tuple(sorted(p.stem for p in _FOLDER.glob(f"{prefix}*.json") if p.stem != "index"))


def ledger_key(entry: xdr.LedgerEntry) -> bytes:
    """The key of an entry."""
    data = entry.data
    key = xdr.LedgerKey(data.type)
    if data.account is not None:
        key.account = xdr.LedgerKeyAccount(data.account.account_id)
    elif data.trust_line is not None:
        key.trust_line = xdr.LedgerKeyTrustLine(data.trust_line.account_id, data.trust_line.asset)
    elif data.contract_data is not None:
        found = data.contract_data
        key.contract_data = xdr.LedgerKeyContractData(found.contract, found.key, found.durability)
    elif data.contract_code is not None:
        key.contract_code = xdr.LedgerKeyContractCode(data.contract_code.hash)
    return key.to_xdr_bytes()


def _meta_entries(meta: xdr.TransactionMeta) -> Iterator[xdr.LedgerEntry]:
    assert meta.v4 is not None
    groups = [meta.v4.tx_changes_before, *(o.changes for o in meta.v4.operations)]
    for group in groups:
        for change in group.ledger_entry_changes:
            entry = change.state or change.updated or change.created
            if entry is not None:
                yield entry


def _recorded_entries() -> Iterator[xdr.LedgerEntry]:
    """Every entry that any recording shows, lifetimes among them."""
    for name in names("get_tx"):
        result = recording(name).result or {}
        if "resultMetaXdr" in result:
            yield from _meta_entries(xdr.TransactionMeta.from_xdr(result["resultMetaXdr"]))
    for name in names("simulate"):
        for change in (recording(name).result or {}).get("stateChanges", []):
            if change["before"]:
                yield xdr.LedgerEntry.from_xdr(change["before"])
    for name in names("entries"):
        for found in (recording(name).result or {}).get("entries", []):
            data = xdr.LedgerEntryData.from_xdr(found["xdr"])
            entry = ledger_entry(data, None)
            entry.last_modified_ledger_seq = xdr.Uint32(found["lastModifiedLedgerSeq"])
            yield entry


@cache
def _timeline() -> tuple[dict[bytes, list[xdr.LedgerEntry]], dict[bytes, list[tuple[int, int]]]]:
    """Entries by key, and (ledger, live until) by the key's hash, each in order."""
    entries: dict[bytes, dict[bytes, xdr.LedgerEntry]] = {}
    lives: dict[bytes, set[tuple[int, int]]] = {}
    for entry in _recorded_entries():
        if entry.data.config_setting is not None:
            continue
        modified = entry.last_modified_ledger_seq.uint32
        if entry.data.ttl is not None:
            life = (modified, entry.data.ttl.live_until_ledger_seq.uint32)
            lives.setdefault(entry.data.ttl.key_hash.hash, set()).add(life)
        else:
            entries.setdefault(ledger_key(entry), {})[entry.to_xdr_bytes()] = entry
    for name in names("entries"):
        for found in (recording(name).result or {}).get("entries", []):
            if "liveUntilLedgerSeq" in found:
                key = xdr.LedgerKey.from_xdr(found["key"]).to_xdr_bytes()
                life = (found["lastModifiedLedgerSeq"], found["liveUntilLedgerSeq"])
                lives.setdefault(sha256(key).digest(), set()).add(life)
    ordered = {
        key: sorted(versions.values(), key=lambda e: e.last_modified_ledger_seq.uint32)
        for key, versions in entries.items()
    }
    return ordered, {key: sorted(found) for key, found in lives.items()}


def _live_until(key: bytes, modified: int, ledger: int) -> int | None:
    if not is_soroban(key):
        return None
    known = _timeline()[1].get(sha256(key).digest(), [])
    place = bisect_right(known, (ledger, 2**32))
    if place:
        return known[place - 1][1]
    return modified + (_PERSISTENT if is_persistent(key) else _TEMPORARY) - 1


def state_at(ledger: int, close_time: int, *known: xdr.LedgerEntry, code: bytes = b"") -> Snapshot:
    """Every entry as ledger `ledger` left it; `known` are entries that are known to be so."""
    records: dict[bytes, Record] = {}
    for setting in default_entries():
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONFIG_SETTING, config_setting=setting)
        record = make_record(ledger_entry(data, None), sequence=1)
        records[config_key(setting.config_setting_id)] = record
    chosen: dict[bytes, xdr.LedgerEntry] = {}
    for key, versions in _timeline()[0].items():
        before = [v for v in versions if v.last_modified_ledger_seq.uint32 <= ledger]
        if before:
            chosen[key] = before[-1]
    chosen |= {ledger_key(entry): entry for entry in known}
    for key, entry in chosen.items():
        modified = entry.last_modified_ledger_seq.uint32
        life = _live_until(key, modified, ledger)
        records[key] = make_record(entry, sequence=modified, live_until=life)
    for key in _keys(code):
        if key_type(key) is xdr.LedgerEntryType.CONTRACT_CODE and key not in records:
            records[key] = make_record(_code(key), sequence=1, live_until=_PERSISTENT)
    return Snapshot(sequence=ledger, close_time=close_time, records=records)


def _keys(packed: bytes) -> list[bytes]:
    """Keys of a footprint in XDR."""
    if not packed:
        return []
    footprint = xdr.LedgerFootprint.from_xdr_bytes(packed)
    return [k.to_xdr_bytes() for k in footprint.read_only + footprint.read_write]


def _code(key: bytes) -> xdr.LedgerEntry:
    """A code entry without its code, which no rule looks at."""
    parsed = xdr.LedgerKey.from_xdr_bytes(key).contract_code
    assert parsed is not None
    code = xdr.ContractCodeEntry(
        ext=xdr.ContractCodeEntryExt(0), hash=parsed.hash, code=b""
    )
    data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=code)
    return ledger_entry(data, None)

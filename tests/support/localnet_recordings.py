"""The recordings of a real network's JSON-RPC, and the state on which each call was made.

The network itself is gone, but its answers hold its state: entries that were read, state changes of
simulations, entries before and after in the transactions' meta. In the order of their lastModified
these give every entry as it was at any ledger.
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
from localnet.ledger.keys import config_key, is_persistent, is_soroban
from localnet.ledger.settings import default_entries
from localnet.ledger.state import Record, Snapshot, make_record

_FOLDER = Path(__file__).parents[1] / "vectors" / "recordings"
#: Ledgers that the recorded network's temporary entries live, as on mainnet.
_TEMPORARY = 17_280
#: A ledger after the opening of block 2 and before the first recorded harvest.
_SECOND_BLOCK = 170
#: Life of the farm's instance when the recordings were made.
_RENEWED = 3_110_457


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recorded call and its answer."""

    #: Name of the recording in the index.
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
    """Return one recording by its name."""
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
    """Return all recordings whose name has this prefix."""
    return tuple(sorted(p.stem for p in _FOLDER.glob(f"{prefix}*.json") if p.stem != "index"))


def ledger_key(entry: xdr.LedgerEntry) -> bytes:
    """Return the key of an entry."""
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
    """Yield every entry that any recording shows, lifetimes included."""
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
    """Return entries by key, and (ledger, live until) by the key's hash, each in order."""
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


@cache
def _removals() -> list[tuple[int, bytes]]:
    """Return (ledger, key) of every entry that a recorded transaction removed."""
    found = []
    for name in names("get_tx"):
        result = recording(name).result or {}
        if "resultMetaXdr" not in result:
            continue
        meta = xdr.TransactionMeta.from_xdr(result["resultMetaXdr"]).v4
        assert meta is not None
        changes = [c for o in meta.operations for c in o.changes.ledger_entry_changes]
        found += [(result["ledger"], c.removed.to_xdr_bytes()) for c in changes if c.removed]
    return found


def _second_block(entry: xdr.LedgerEntry) -> xdr.LedgerEntry:
    """Return the farm's instance with the index of a time that no recording shows."""
    data = entry.data.contract_data
    instance = data.val.instance if data is not None else None
    if instance is None or instance.storage is None:
        return entry
    changed = xdr.LedgerEntry.from_xdr_bytes(entry.to_xdr_bytes())
    assert changed.data.contract_data is not None
    assert changed.data.contract_data.val.instance is not None
    assert changed.data.contract_data.val.instance.storage is not None
    for pair in changed.data.contract_data.val.instance.storage.sc_map:
        if pair.val.u32 is not None:
            pair.val.u32 = xdr.Uint32(max(2, pair.val.u32.uint32))
    return changed


def _removed(ledger: int) -> list[bytes]:
    return [key for removed, key in _removals() if removed <= ledger]


def _life(key: bytes, modified: int, ledger: int) -> tuple[int, int | None]:
    """Return (the ledger that set the life, the last ledger of the life) of an entry."""
    if not is_soroban(key):
        return modified, None
    known = _timeline()[1].get(sha256(key).digest(), [])
    place = bisect_right(known, (ledger, 2**32))
    if place:
        # Answers tell when the entry was modified, so the first answer to show this life is
        # nearest.
        until = known[place - 1][1]
        return next(life for life in known if life[1] == until)
    # Persistent entries had been renewed when the recordings were made.
    return modified, _RENEWED if is_persistent(key) else modified + _TEMPORARY - 1


@cache
def _implied() -> dict[bytes, xdr.LedgerEntry]:
    """Return entries that footprints name and no recording shows.

    These are all code, and the router's instance.
    """
    keys = {
        key.to_xdr_bytes(): key
        for name in names("simulate")
        for key in _read_only((recording(name).result or {}).get("transactionData"))
    }
    codes = [k for k in keys.values() if k.contract_code is not None]
    found = {k.to_xdr_bytes(): _code(k) for k in codes}
    shown = _timeline()[0]
    used = {
        e.data.contract_data.val.instance.executable.wasm_hash
        for versions in shown.values()
        for e in versions
        if e.data.contract_data is not None and e.data.contract_data.val.instance is not None
    }
    router = next(k.contract_code.hash for k in codes if k.contract_code.hash not in used)  # type: ignore[union-attr]
    for packed, key in keys.items():
        if key.contract_data is not None and packed not in shown:
            found[packed] = _instance(key.contract_data, router)
    return found


def _read_only(data: str | None) -> list[xdr.LedgerKey]:
    if data is None:
        return []
    return xdr.SorobanTransactionData.from_xdr(data).resources.footprint.read_only


def _code(key: xdr.LedgerKey) -> xdr.LedgerEntry:
    """Return a code entry without its code, which no rule reads."""
    assert key.contract_code is not None
    code = xdr.ContractCodeEntry(
        ext=xdr.ContractCodeEntryExt(0), hash=key.contract_code.hash, code=b""
    )
    data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=code)
    return ledger_entry(data, None)


def _instance(key: xdr.LedgerKeyContractData, code: xdr.Hash) -> xdr.LedgerEntry:
    executable = xdr.ContractExecutable(
        xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=code
    )
    value = xdr.SCVal(
        xdr.SCValType.SCV_CONTRACT_INSTANCE,
        instance=xdr.SCContractInstance(executable=executable, storage=None),
    )
    data = xdr.ContractDataEntry(
        ext=xdr.ExtensionPoint(0),
        contract=key.contract,
        key=key.key,
        durability=key.durability,
        val=value,
    )
    kind = xdr.LedgerEntryType.CONTRACT_DATA
    return ledger_entry(xdr.LedgerEntryData(kind, contract_data=data), None)


def state_at(
    ledger: int, close_time: int, *known: xdr.LedgerEntry, first_seen: bool = False
) -> Snapshot:
    """Return every entry as ledger `ledger` left it.

    `known` are entries that are known to have had these values. With `first_seen` accounts that
    only later answers show are included as those answers show them first.
    """
    records: dict[bytes, Record] = {}
    for setting in default_entries():
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONFIG_SETTING, config_setting=setting)
        record = make_record(ledger_entry(data, None), sequence=1)
        records[config_key(setting.config_setting_id)] = record
    chosen = dict(_implied())
    for key, versions in _timeline()[0].items():
        before = [v for v in versions if v.last_modified_ledger_seq.uint32 <= ledger]
        if before:
            chosen[key] = before[-1]
        elif first_seen and versions[0].data.account is not None:
            chosen[key] = versions[0]
    chosen |= {ledger_key(entry): entry for entry in known}
    for key in _removed(ledger):
        chosen.pop(key, None)
    if ledger >= _SECOND_BLOCK:
        chosen = {key: _second_block(entry) for key, entry in chosen.items()}
    for key, entry in chosen.items():
        modified = entry.last_modified_ledger_seq.uint32
        since, until = _life(key, modified, ledger)
        records[key] = make_record(entry, sequence=modified, live_until=until, ttl_modified=since)
    return Snapshot(sequence=ledger, close_time=close_time, records=records)

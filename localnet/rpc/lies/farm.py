"""Lies about the farm, its pails and blocks, and about the network's settings."""

from dataclasses import replace
from typing import Any

from stellar_sdk import StrKey, scval, xdr
from stellar_sdk.xdr import LedgerEntryType

from localnet.ledger.xdr_json import to_json
from localnet.rpc.lies.entries import ENTRIES, changed, missing, with_entry
from localnet.rpc.lies.model import Lie, Result, Told, is_flag, word_or_numbers
from localnet.soroban.contract import contract_data
from localnet.soroban.farm_math import BlockRecord, PailRecord
from localnet.soroban.values import symbol, vector

_PAIL_FIELDS = frozenset({"stake", "zeros", "gap", "sequence"})
_BLOCK_FIELDS = {"index", "timestamp", "entropy"}
_OTHER_ENTROPY = bytes(range(32))
#: Limits of a transaction and of a ledger that a lie makes all small or all large.
_LIMITS = {
    "contract_compute_v0": ("ledger_max_instructions", "tx_max_instructions", "tx_memory_limit"),
    "contract_ledger_cost_v0": (
        "ledger_max_write_ledger_entries",
        "ledger_max_write_bytes",
        "tx_max_write_ledger_entries",
        "tx_max_write_bytes",
    ),
    "contract_bandwidth_v0": ("ledger_max_txs_size_bytes", "tx_max_size_bytes"),
    "contract_execution_lanes": ("ledger_max_tx_count",),
}
_SIZES = {"tiny": 1, "huge": 2**31 - 1}
_BLOCK_KEY, _INDEX_KEY, _PAUSED_KEY = (
    vector(symbol(name)) for name in ("FarmBlock", "FarmIndex", "FarmPaused")
)


def _named(entry: xdr.ContractDataEntry | xdr.LedgerKeyContractData | None, name: str) -> bool:
    """Tell whether the entry is one of the farm that is stored under this name."""
    parts = entry.key.vec.sc_vec if entry is not None and entry.key.vec is not None else []
    return bool(parts) and parts[0].sym is not None and parts[0].sym.sc_symbol == name.encode()


def _pails(told: Told) -> Result:
    def change(data: xdr.LedgerEntryData) -> xdr.LedgerEntryData | None:
        entry = data.contract_data
        if entry is None or not _named(entry, "Pail"):
            return data
        if told.value == "missing":
            return None
        if isinstance(told.value, dict):
            pail = replace(PailRecord.from_value(entry.val), **told.value)
            entry.val = pail.to_value()
        return data

    result = changed(told, change)
    return _with_pails(told, result) if told.value == "invented" else result


def _with_pails(told: Told, result: Result) -> Result:
    """Return the result with pails where there are none."""
    for key in missing(told):
        wanted = key.contract_data
        if wanted is None or not _named(wanted, "Pail") or wanted.contract.contract_id is None:
            continue
        contract = StrKey.encode_contract(wanted.contract.contract_id.contract_id.hash)
        value = PailRecord(sequence=result["latestLedger"], stake=0).to_value()
        data = contract_data(contract, wanted.key, value, "temporary")
        result = with_entry(result, key, data)
    return result


def _block(told: Told) -> Result:
    added = told.value

    def other(block: BlockRecord) -> BlockRecord:
        entropy = _OTHER_ENTROPY if "entropy" in added else block.entropy
        time = max(0, block.timestamp + added.get("timestamp", 0))
        return replace(block, entropy=entropy, timestamp=time)

    def change(data: xdr.LedgerEntryData) -> xdr.LedgerEntryData:
        entry = data.contract_data
        if entry is not None and _named(entry, "Block"):
            entry.val = other(BlockRecord.from_value(entry.val)).to_value()
        for item in _storage(data):
            if item.key == _BLOCK_KEY:
                item.val = other(BlockRecord.from_value(item.val)).to_value()
            elif item.key == _INDEX_KEY:
                index = scval.from_uint32(item.val) + added.get("index", 0)
                item.val = scval.to_uint32(max(0, index))
        return data

    return changed(told, change)


def _storage(data: xdr.LedgerEntryData) -> list[xdr.SCMapEntry]:
    """Return the storage of the farm's instance; nothing for other entries."""
    entry = data.contract_data
    instance = None if entry is None else entry.val.instance
    items = instance.storage.sc_map if instance is not None and instance.storage else []
    return items if any(item.key == _BLOCK_KEY for item in items) else []


def _paused(told: Told) -> Result:
    def change(data: xdr.LedgerEntryData) -> xdr.LedgerEntryData:
        items = _storage(data)
        for item in items:
            if item.key == _PAUSED_KEY:
                item.val = scval.to_bool(told.value)
                return data
        if items:
            items.append(xdr.SCMapEntry(key=_PAUSED_KEY, val=scval.to_bool(told.value)))
        return data

    return changed(told, change)


def _code(told: Told) -> Result:
    def change(data: xdr.LedgerEntryData) -> xdr.LedgerEntryData:
        if _storage(data):
            kind = xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM
            other = xdr.ContractExecutable(kind, wasm_hash=xdr.Hash(bytes.fromhex(told.value)))
            data.contract_data.val.instance.executable = other  # type: ignore[union-attr]
        return data

    return changed(told, change)


def _config(told: Told) -> Result:
    wanted = dict(_chosen_limits(told.value))

    def change(data: xdr.LedgerEntryData) -> xdr.LedgerEntryData:
        if data.config_setting is None:
            return data
        content: dict[str, Any] = to_json(data.config_setting)
        for (name, field), number in wanted.items():
            if name in content:
                old = content[name][field]
                content[name][field] = str(number) if isinstance(old, str) else number
        setting = xdr.ConfigSettingEntry.from_json_dict(content)
        return xdr.LedgerEntryData(LedgerEntryType.CONFIG_SETTING, config_setting=setting)

    return changed(told, change)


def _chosen_limits(value: Any) -> dict[tuple[str, str], int]:
    if isinstance(value, str):
        size = _SIZES[value]
        return {(name, field): size for name, fields in _LIMITS.items() for field in fields}
    return {(path.partition(".")[0], path.partition(".")[2]): n for path, n in value.items()}


def _check_block(value: Any) -> None:
    if not isinstance(value, dict) or not set(value) <= _BLOCK_FIELDS:
        raise ValueError(f"expected an object of {sorted(_BLOCK_FIELDS)}")


def _check_code(value: Any) -> None:
    if not isinstance(value, str) or len(bytes.fromhex(value)) != 32:
        raise ValueError("expected 64 hex digits")


PAILS = Lie(
    methods=ENTRIES, tell=_pails, check=word_or_numbers(("missing", "invented"), _PAIL_FIELDS)
)
BLOCK = Lie(methods=ENTRIES, tell=_block, check=_check_block)
PAUSED = Lie(methods=ENTRIES, tell=_paused, check=is_flag)
CODE = Lie(methods=ENTRIES, tell=_code, check=_check_code)
CONFIG = Lie(methods=ENTRIES, tell=_config, check=word_or_numbers(("tiny", "huge"), None))

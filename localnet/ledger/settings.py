"""The network's limits and fees, read from the ConfigSetting entries that clients can also read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from stellar_sdk import xdr

from localnet.ledger.keys import config_key
from localnet.ledger.state import Readable
from localnet.ledger.xdr_json import to_json

#: Lowest bid in stroops per operation.
BASE_FEE = 100
#: Protocol version in headers and in answers: that of mainnet.
PROTOCOL_VERSION = 27
#: Maximum number of classic operations in one ledger.
MAX_TX_SET_SIZE = 1000


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Amounts in every dimension that limits a transaction or a ledger."""

    #: Number of transactions.
    count: int = 0
    #: CPU instructions.
    instructions: int = 0
    #: Bytes of envelopes.
    tx_bytes: int = 0
    #: Number of entries read from disk (classic entries in a footprint).
    disk_reads: int = 0
    #: Bytes read from disk.
    disk_read_bytes: int = 0
    #: Number of entries written.
    write_entries: int = 0
    #: Bytes written.
    write_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{f: getattr(self, f) + getattr(other, f) for f in _DIMENSIONS})

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(**{f: getattr(self, f) - getattr(other, f) for f in _DIMENSIONS})

    def __mul__(self, factor: int) -> "Usage":
        return Usage(**{f: getattr(self, f) * factor for f in _DIMENSIONS})

    def fits(self, limit: "Usage") -> bool:
        """Tell whether no dimension is above the limit."""
        return all(getattr(self, f) <= getattr(limit, f) for f in _DIMENSIONS)


_DIMENSIONS = tuple(Usage.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The values of the ConfigSetting entries."""

    #: Maximum that one transaction may declare.
    tx_limit: Usage
    #: Maximum that the Soroban transactions of one ledger may declare; instructions are per
    #: cluster.
    ledger_limit: Usage
    #: Number of clusters of dependent transactions that run side by side.
    clusters: int
    #: Bytes of memory that one transaction may use.
    tx_memory: int
    #: Bytes of events and return value that one transaction may produce.
    tx_events_bytes: int
    #: Maximum number of keys in one footprint.
    tx_footprint: int
    #: Stroops per 10,000 instructions.
    fee_instructions: int
    #: Stroops per entry read from disk.
    fee_disk_read_entry: int
    #: Stroops per entry written.
    fee_write_entry: int
    #: Stroops per KiB read from disk.
    fee_disk_read_kb: int
    #: Stroops per KiB written.
    fee_write_kb: int
    #: Stroops per KiB of envelope for keeping history.
    fee_historical_kb: int
    #: Stroops per KiB of envelope for bandwidth.
    fee_bandwidth_kb: int
    #: Stroops per KiB of events and return value.
    fee_events_kb: int
    #: Bytes of Soroban state at which rent costs `rent_high`.
    state_target: int
    #: Stroops per KiB of rent with no state at all (may be negative).
    rent_low: int
    #: Stroops per KiB of rent at the target.
    rent_high: int
    #: Growth factor of the rent above the target.
    rent_growth: int
    #: Denominator of the rent of persistent entries: KiB times ledgers for one rent fee.
    rent_persistent: int
    #: Denominator of the rent of temporary entries, in the same unit.
    rent_temporary: int
    #: Minimum lifetime of a temporary entry in ledgers.
    min_temporary_ttl: int
    #: Minimum lifetime of a persistent entry in ledgers.
    min_persistent_ttl: int
    #: Maximum lifetime of any entry in ledgers.
    max_entry_ttl: int


def default_entries(overrides: Mapping[str, int] | None = None) -> list[xdr.ConfigSettingEntry]:
    """Return the recorded ConfigSetting entries, with changes by name.

    A name is an entry and its field: {"contract_bandwidth_v0.tx_max_size_bytes": 70000}. Raises
    KeyError for a name that no entry has.
    """
    text = resources.files(__package__).joinpath("config_settings.json").read_text()
    parsed = [_setting(data) for data in json.loads(text)["entries"]]
    by_name: dict[str, Any] = {}
    for entry in parsed:
        by_name |= to_json(entry)
    for path, value in (overrides or {}).items():
        _override(by_name, path, value)
    return [xdr.ConfigSettingEntry.from_json_dict({n: v}) for n, v in by_name.items()]


def _setting(data: str) -> xdr.ConfigSettingEntry:
    entry = xdr.LedgerEntryData.from_xdr(data).config_setting
    if entry is None:
        raise ValueError("not a ConfigSetting entry")
    return entry


def _override(by_name: dict[str, Any], path: str, value: int) -> None:
    """Change one number; the JSON form of XDR writes 64-bit numbers as text."""
    name, _, field = path.partition(".")
    holder, leaf = (by_name[name], field) if field else (by_name, name)
    if leaf not in holder:
        raise KeyError(path)
    holder[leaf] = str(value) if isinstance(holder[leaf], str) else value


def read_settings(state: Readable) -> NetworkSettings:
    """Return the settings that a state holds."""
    records = (state.get(config_key(setting)) for setting in xdr.ConfigSettingID)
    return _parse_settings(tuple(r.packed for r in records if r is not None))


@lru_cache(maxsize=8)
def _parse_settings(entries: tuple[bytes, ...]) -> NetworkSettings:
    """Parse the entries.

    The cache is keyed by the entries themselves, because every submission asks for the settings.
    """
    found: dict[str, Any] = {}
    for packed in entries:
        setting = xdr.LedgerEntry.from_xdr_bytes(packed).data.config_setting
        if setting is not None:
            found |= to_json(setting)
    return _from_json(found)


def _from_json(found: Mapping[str, Any]) -> NetworkSettings:
    """Build the settings from the JSON form of the XDR, whose names are those of the protocol."""

    def number(entry: str, field: str) -> int:
        return int(found[entry][field])

    cost, archival = "contract_ledger_cost_v0", "state_archival"
    compute, bandwidth = "contract_compute_v0", "contract_bandwidth_v0"
    return NetworkSettings(
        tx_limit=_tx_limit(number),
        ledger_limit=_ledger_limit(number),
        clusters=number("contract_parallel_compute_v0", "ledger_max_dependent_tx_clusters"),
        tx_memory=number(compute, "tx_memory_limit"),
        tx_events_bytes=number("contract_events_v0", "tx_max_contract_events_size_bytes"),
        tx_footprint=number("contract_ledger_cost_ext_v0", "tx_max_footprint_entries"),
        fee_instructions=number(compute, "fee_rate_per_instructions_increment"),
        fee_disk_read_entry=number(cost, "fee_disk_read_ledger_entry"),
        fee_write_entry=number(cost, "fee_write_ledger_entry"),
        fee_disk_read_kb=number(cost, "fee_disk_read1_kb"),
        fee_write_kb=number("contract_ledger_cost_ext_v0", "fee_write1_kb"),
        fee_historical_kb=number("contract_historical_data_v0", "fee_historical1_kb"),
        fee_bandwidth_kb=number(bandwidth, "fee_tx_size1_kb"),
        fee_events_kb=number("contract_events_v0", "fee_contract_events1_kb"),
        state_target=number(cost, "soroban_state_target_size_bytes"),
        rent_low=number(cost, "rent_fee1_kb_soroban_state_size_low"),
        rent_high=number(cost, "rent_fee1_kb_soroban_state_size_high"),
        rent_growth=number(cost, "soroban_state_rent_fee_growth_factor"),
        rent_persistent=number(archival, "persistent_rent_rate_denominator"),
        rent_temporary=number(archival, "temp_rent_rate_denominator"),
        min_temporary_ttl=number(archival, "min_temporary_ttl"),
        min_persistent_ttl=number(archival, "min_persistent_ttl"),
        max_entry_ttl=number(archival, "max_entry_ttl"),
    )


def _tx_limit(number: Any) -> Usage:
    cost = "contract_ledger_cost_v0"
    return Usage(
        count=1,
        instructions=number("contract_compute_v0", "tx_max_instructions"),
        tx_bytes=number("contract_bandwidth_v0", "tx_max_size_bytes"),
        disk_reads=number(cost, "tx_max_disk_read_entries"),
        disk_read_bytes=number(cost, "tx_max_disk_read_bytes"),
        write_entries=number(cost, "tx_max_write_ledger_entries"),
        write_bytes=number(cost, "tx_max_write_bytes"),
    )


def _ledger_limit(number: Any) -> Usage:
    cost = "contract_ledger_cost_v0"
    return Usage(
        count=number("contract_execution_lanes", "ledger_max_tx_count"),
        instructions=number("contract_compute_v0", "ledger_max_instructions"),
        tx_bytes=number("contract_bandwidth_v0", "ledger_max_txs_size_bytes"),
        disk_reads=number(cost, "ledger_max_disk_read_entries"),
        disk_read_bytes=number(cost, "ledger_max_disk_read_bytes"),
        write_entries=number(cost, "ledger_max_write_ledger_entries"),
        write_bytes=number(cost, "ledger_max_write_bytes"),
    )

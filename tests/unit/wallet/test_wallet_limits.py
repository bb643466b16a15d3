"""The network's limits, by its ConfigSetting entries: all of them, and each of its own kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import xdr

from services.wallet.chain.read.limits import KEYS, decode_limits, limits_question
from services.wallet.domain.packing import Limits

RECORDED = (
    Path(__file__).parents[2] / "vectors" / "recordings" / "entries_config_settings.json"
).read_text(encoding="utf-8")
Settings = dict[str, xdr.LedgerEntryData]


def entries() -> Settings:
    """The recorded settings, by key."""
    found = json.loads(RECORDED)["response"]["result"]["entries"]
    return {
        item["key"]: xdr.LedgerEntryData.from_xdr(item["xdr"])
        for item in found
        if item["key"] in KEYS.values()
    }


def setting(found: Settings, name: str) -> Any:
    """One of the settings."""
    kind = xdr.ConfigSettingID[f"CONFIG_SETTING_{name}"]
    return found[KEYS[kind]].config_setting


#: The limits, and how to set each of them in the settings.
SETTERS: dict[str, Callable[[Settings, int], None]] = {
    "transaction_instructions": lambda found, value: setattr(
        setting(found, "CONTRACT_COMPUTE_V0").contract_compute,
        "tx_max_instructions",
        xdr.Int64(value),
    ),
    "ledger_instructions": lambda found, value: setattr(
        setting(found, "CONTRACT_COMPUTE_V0").contract_compute,
        "ledger_max_instructions",
        xdr.Int64(value),
    ),
    "transaction_footprint": lambda found, value: setattr(
        setting(found, "CONTRACT_LEDGER_COST_EXT_V0").contract_ledger_cost_ext,
        "tx_max_footprint_entries",
        xdr.Uint32(value),
    ),
    "transaction_write_entries": lambda found, value: setattr(
        setting(found, "CONTRACT_LEDGER_COST_V0").contract_ledger_cost,
        "tx_max_write_ledger_entries",
        xdr.Uint32(value),
    ),
    "ledger_write_entries": lambda found, value: setattr(
        setting(found, "CONTRACT_LEDGER_COST_V0").contract_ledger_cost,
        "ledger_max_write_ledger_entries",
        xdr.Uint32(value),
    ),
    "transaction_write_bytes": lambda found, value: setattr(
        setting(found, "CONTRACT_LEDGER_COST_V0").contract_ledger_cost,
        "tx_max_write_bytes",
        xdr.Uint32(value),
    ),
    "ledger_write_bytes": lambda found, value: setattr(
        setting(found, "CONTRACT_LEDGER_COST_V0").contract_ledger_cost,
        "ledger_max_write_bytes",
        xdr.Uint32(value),
    ),
    "transaction_bytes": lambda found, value: setattr(
        setting(found, "CONTRACT_BANDWIDTH_V0").contract_bandwidth,
        "tx_max_size_bytes",
        xdr.Uint32(value),
    ),
    "ledger_bytes": lambda found, value: setattr(
        setting(found, "CONTRACT_BANDWIDTH_V0").contract_bandwidth,
        "ledger_max_txs_size_bytes",
        xdr.Uint32(value),
    ),
    "ledger_transactions": lambda found, value: setattr(
        setting(found, "CONTRACT_EXECUTION_LANES").contract_execution_lanes,
        "ledger_max_tx_count",
        xdr.Uint32(value),
    ),
    "transaction_event_bytes": lambda found, value: setattr(
        setting(found, "CONTRACT_EVENTS_V0").contract_events,
        "tx_max_contract_events_size_bytes",
        xdr.Uint32(value),
    ),
    "temporary_ledgers": lambda found, value: setattr(
        setting(found, "STATE_ARCHIVAL").state_archival_settings,
        "min_temporary_ttl",
        xdr.Uint32(value),
    ),
    "max_entry_ledgers": lambda found, value: setattr(
        setting(found, "STATE_ARCHIVAL").state_archival_settings,
        "max_entry_ttl",
        xdr.Uint32(value),
    ),
}


def with_limits(**values: int) -> Settings:
    """The recorded settings with other limits."""
    found = entries()
    for name, value in values.items():
        SETTERS[name](found, value)
    return found


def test_each_limit_is_that_of_its_own_setting() -> None:
    values = {name: 1000 + number for number, name in enumerate(SETTERS)}
    limits = decode_limits(with_limits(**values))
    assert {name: getattr(limits, name) for name in SETTERS} == values


@pytest.mark.parametrize("name", SETTERS)
def test_a_limit_of_nothing_at_all_is_refused(name: str) -> None:
    assert getattr(decode_limits(with_limits(**{name: 1})), name) == 1
    with pytest.raises(ValueError, match="a limit of nothing at all"):
        decode_limits(with_limits(**{name: 0}))


@pytest.mark.parametrize("kind", KEYS)
def test_a_setting_that_is_missing_or_another_is_refused(kind: xdr.ConfigSettingID) -> None:
    others = {key: item for key, item in entries().items() if key != KEYS[kind]}
    with pytest.raises(ValueError, match="has not all ConfigSetting entries"):
        decode_limits(others)
    no_setting = xdr.LedgerEntryData(
        xdr.LedgerEntryType.TTL, ttl=xdr.TTLEntry(xdr.Hash(bytes(32)), xdr.Uint32(5))
    )
    with pytest.raises(ValueError, match="has not all ConfigSetting entries"):
        decode_limits({**others, KEYS[kind]: no_setting})
    with pytest.raises(ValueError, match="is not what its key says"):
        decode_limits({**others, KEYS[kind]: next(iter(others.values()))})


def test_the_mark_stands_for_the_settings() -> None:
    marks = {
        decode_limits(with_limits(**{name: 1}) if name else entries()).mark
        for name in ("", *SETTERS)
    }
    assert len(marks) == len(SETTERS) + 1
    assert {len(mark) for mark in marks} == {16}
    assert decode_limits(entries()).mark == decode_limits(entries()).mark


def test_all_settings_are_asked_for_in_one_question() -> None:
    question = limits_question()
    assert question.method == "getLedgerEntries"
    assert question.parameters == {"keys": list(KEYS.values())}
    answer = json.loads(RECORDED)["response"]["result"]
    answer["entries"] = [item for item in answer["entries"] if item["key"] in KEYS.values()]
    found = question.decode(answer)
    assert isinstance(found, Limits)
    assert found == decode_limits(entries())

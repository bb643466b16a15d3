"""Asset contracts answer as those of stellar-rpc 27.1.1 did, on the same entries."""

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import xdr

from localnet.config import LocalnetSettings
from localnet.ledger.accounts import ledger_entry
from localnet.ledger.keys import config_key
from localnet.ledger.settings import default_entries
from localnet.ledger.state import Record, Snapshot, make_record
from localnet.rpc.context import RpcContext
from localnet.rpc.faults import Faults
from localnet.rpc.simulate import simulate_transaction
from tests.support.localnet_chain import make_node

_FILE = Path(__file__).parents[2] / "vectors" / "recordings" / "v27" / "asset_contracts.json"
_RECORDED: dict[str, Any] = json.loads(_FILE.read_text())
CALLS: dict[str, dict[str, Any]] = {call["name"]: call for call in _RECORDED["calls"]}
#: How much the cost of a call may differ: it has one figure for all holders and all ways.
_CLOSE = 0.2


@cache
def entries() -> dict[bytes, Record]:
    """Return the recorded entries; the farm's code stands there without its bytes."""
    found: dict[bytes, Record] = {}
    for setting in default_entries():
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONFIG_SETTING, config_setting=setting)
        record = make_record(ledger_entry(data, None), sequence=1)
        found[config_key(setting.config_setting_id)] = record
    for told in _RECORDED["entries"]:
        key = xdr.LedgerKey.from_xdr(told["key"])
        entry = ledger_entry(_data(key, told["xdr"]), None)
        modified = told["lastModifiedLedgerSeq"]
        found[key.to_xdr_bytes()] = make_record(
            entry, sequence=modified, live_until=told.get("liveUntilLedgerSeq")
        )
    return found


def _data(key: xdr.LedgerKey, packed: str) -> xdr.LedgerEntryData:
    if packed:
        return xdr.LedgerEntryData.from_xdr(packed)
    assert key.contract_code is not None
    code = xdr.ContractCodeEntry(xdr.ContractCodeEntryExt(0), key.contract_code.hash, b"")
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=code)


def simulated(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (our answer, the recorded one) to a call."""
    call = CALLS[name]
    node = make_node()
    ledger = call["result"]["latestLedger"]
    # Long after the farm's first block.
    node.snapshot = Snapshot(sequence=ledger, close_time=1_796_200_000, records=dict(entries()))
    rpc = RpcContext(node=node, settings=LocalnetSettings(), faults=Faults())
    return asyncio.run(simulate_transaction(rpc, call["params"])), call["result"]


@pytest.mark.parametrize("name", CALLS)
def test_same_outcome(name: str) -> None:
    """The same error with the same log, or the same value; the same events."""
    ours, theirs = simulated(name)
    assert ours.get("error") == theirs.get("error")
    assert ours["latestLedger"] == theirs["latestLedger"]
    if "results" in theirs:
        assert ours["results"] == theirs["results"]
    assert events(ours) == events(theirs)


def events(answer: dict[str, Any]) -> list[xdr.DiagnosticEvent]:
    """Return the diagnostic events of an answer."""
    return [xdr.DiagnosticEvent.from_xdr(event) for event in answer.get("events", [])]


@pytest.mark.parametrize("name", [n for n, c in CALLS.items() if "results" in c["result"]])
def test_same_entries_and_nearly_the_same_cost(name: str) -> None:
    ours, theirs = simulated(name)
    assert ours.get("stateChanges") == theirs.get("stateChanges")
    data = [xdr.SorobanTransactionData.from_xdr(one["transactionData"]) for one in (ours, theirs)]
    mine, real = (one.resources for one in data)
    assert mine.footprint == real.footprint
    assert mine.disk_read_bytes == real.disk_read_bytes
    assert mine.write_bytes == real.write_bytes
    assert abs(mine.instructions.uint32 / real.instructions.uint32 - 1) < _CLOSE

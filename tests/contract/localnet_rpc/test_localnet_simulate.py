"""simulateTransaction answers as the real one did: the same call on the same state."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from stellar_sdk import scval, xdr

from localnet.config import LocalnetSettings
from localnet.ledger.keys import account_id, key_type
from localnet.ledger.node import Node
from localnet.ledger.state import Snapshot, make_record
from localnet.rpc.context import RpcContext
from localnet.rpc.faults import Faults
from localnet.rpc.simulate import simulate_transaction
from tests.support.localnet_chain import make_node
from tests.support.localnet_recordings import Recording, names, recording, state_at

#: Constructors run at genesis here; contracts cannot be deployed.
_DEPLOYMENTS = {"simulate_deploy_kale_constructor", "simulate_deploy_sac"}
#: Calls on a farm of which no recording shows the state (paused, or at its very start).
_UNKNOWN_STATE = {
    "simulate_plant_err_paused",
    "simulate_unpause_err_while_paused",
    "simulate_plant_first_of_block_farmer_source",
}
CALLS = [n for n in names("simulate") if n not in _DEPLOYMENTS | _UNKNOWN_STATE]
#: Seconds that the recordings' client gave an envelope; so the clock is this before its bound.
_TIMEOUT = 300


def _envelope(call: Recording) -> xdr.Transaction | None:
    try:
        envelope = xdr.TransactionEnvelope.from_xdr(call.params["transaction"])
    except ValueError:
        return None
    assert envelope.v1 is not None
    return envelope.v1.tx


def _clock(call: Recording) -> int:
    tx = _envelope(call)
    if tx is None or tx.cond.time_bounds is None:
        return 0
    return tx.cond.time_bounds.max_time.time_point.uint64 - _TIMEOUT


def _snapshot(call: Recording) -> Snapshot:
    assert call.result is not None
    changes = call.result.get("stateChanges", [])
    known = [xdr.LedgerEntry.from_xdr(c["before"]) for c in changes if c["before"]]
    footprint = _footprint(call.result)
    packed = footprint.to_xdr_bytes() if footprint else b""
    snapshot = state_at(call.result["latestLedger"], _clock(call), *known, code=packed)
    return _with_accounts(call, snapshot, footprint)


def _footprint(result: dict[str, Any]) -> xdr.LedgerFootprint | None:
    if "transactionData" not in result:
        return None
    data = xdr.SorobanTransactionData.from_xdr(result["transactionData"])
    return data.resources.footprint


def _with_accounts(
    call: Recording, snapshot: Snapshot, footprint: xdr.LedgerFootprint | None
) -> Snapshot:
    """Accounts that were read but never shown: only their being there matters."""
    if call.name == "simulate_plant_source_account_missing":
        return snapshot
    keys = [k.to_xdr_bytes() for k in footprint.read_only] if footprint else []
    template = next(
        r for k, r in snapshot.records.items() if key_type(k) is xdr.LedgerEntryType.ACCOUNT
    )
    added = {}
    for key in keys:
        if key_type(key) is xdr.LedgerEntryType.ACCOUNT and key not in snapshot.records:
            entry = xdr.LedgerEntry.from_xdr_bytes(template.packed)
            assert entry.data.account is not None
            entry.data.account.account_id = account_id(key[8:])
            entry.data.account.ext = xdr.AccountEntryExt(0)
            added[key] = make_record(entry, sequence=1)
    return replace(snapshot, records={**snapshot.records, **added})


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    yield make_node()


def simulate(node: Node, call: Recording) -> dict[str, Any]:
    """Our answer to the recorded call."""
    assert call.result is not None
    if call.result["latestLedger"]:
        node.snapshot = _snapshot(call)
    settings = LocalnetSettings(simulation_clock="wall")
    rpc = RpcContext(
        node=node, settings=settings, faults=Faults(), clock=lambda: float(_clock(call))
    )
    return asyncio.run(simulate_transaction(rpc, call.params))


def without_nonces(value: Any) -> Any:
    """XDR in its JSON form with the host's random nonces made 0."""
    if isinstance(value, dict):
        return {k: "0" if k == "nonce" else without_nonces(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_nonces(v) for v in value]
    return value


def decoded(kind: Any, text: str | None) -> Any:
    return None if text is None else without_nonces(kind.from_xdr(text).to_json_dict())


def in_any_order(values: list[Any]) -> list[Any]:
    return sorted(values, key=str)


@pytest.mark.parametrize("name", CALLS)
def test_same_outcome(node: Node, name: str) -> None:
    """The same members, ledger, error, events, return value and authorisation trees."""
    call = recording(name)
    assert call.result is not None
    answer = simulate(node, call)
    assert answer.keys() == call.result.keys()
    assert answer["latestLedger"] == call.result["latestLedger"]
    assert answer.get("error") == call.result.get("error")
    assert _events(answer) == _events(call.result)
    for ours, theirs in zip(answer.get("results", []), call.result.get("results", []), strict=True):
        assert ours["xdr"] == theirs["xdr"]
        assert [decoded(xdr.SorobanAuthorizationEntry, a) for a in ours["auth"]] == [
            decoded(xdr.SorobanAuthorizationEntry, a) for a in theirs["auth"]
        ]


def _events(result: dict[str, Any]) -> list[Any]:
    return [decoded(xdr.DiagnosticEvent, e) for e in result.get("events", [])]


SUCCESSES = [n for n in CALLS if "transactionData" in (recording(n).result or {})]


@pytest.mark.parametrize("name", SUCCESSES)
def test_same_footprint_and_cost(node: Node, name: str) -> None:
    call = recording(name)
    assert call.result is not None
    answer = simulate(node, call)
    ours = xdr.SorobanTransactionData.from_xdr(answer["transactionData"])
    theirs = xdr.SorobanTransactionData.from_xdr(call.result["transactionData"])
    for mine, real in (
        (ours.resources.footprint.read_only, theirs.resources.footprint.read_only),
        (ours.resources.footprint.read_write, theirs.resources.footprint.read_write),
    ):
        # Entries with random nonces sort by them, so their order means nothing.
        assert in_any_order([without_nonces(k.to_json_dict()) for k in mine]) == in_any_order(
            [without_nonces(k.to_json_dict()) for k in real]
        )
    assert ours.resources.write_bytes == theirs.resources.write_bytes
    assert ours.resources.disk_read_bytes == theirs.resources.disk_read_bytes
    mine, real = ours.resources.instructions.uint32, theirs.resources.instructions.uint32
    assert mine == pytest.approx(real, rel=0.02)
    # The fee is exact but for the instructions, at 7 stroops for 10,000.
    fee = int(answer["minResourceFee"]) - int(call.result["minResourceFee"])
    assert abs(fee) <= abs(mine - real) * 7 // 10_000 + 1
    assert int(answer["minResourceFee"]) == ours.resource_fee.int64


@pytest.mark.parametrize("name", SUCCESSES)
def test_same_state_changes(node: Node, name: str) -> None:
    call = recording(name)
    assert call.result is not None

    def changes(result: dict[str, Any]) -> list[Any]:
        return in_any_order(
            [
                (
                    c["type"],
                    decoded(xdr.LedgerKey, c["key"]),
                    decoded(xdr.LedgerEntry, c["before"]),
                    decoded(xdr.LedgerEntry, c["after"]),
                )
                for c in result["stateChanges"]
            ]
        )

    assert changes(simulate(node, call)) == changes(call.result)


def test_the_clock_is_the_last_close_time_unless_told_otherwise(node: Node) -> None:
    """An opener that the wall's clock allows fails by the ledger's, as in RPC 27.1."""
    call = recording("simulate_plant_first_of_block")
    assert call.result is not None
    snapshot = _snapshot(call)
    block = next(c for c in call.result["stateChanges"] if c["type"] == "created")
    entry = xdr.LedgerEntry.from_xdr(block["after"]).data.contract_data
    assert entry is not None
    opened = scval.to_native(entry.val)["timestamp"]  # type: ignore[call-overload, index]
    for close_time, opens in ((opened - 5, False), (opened, True)):
        node.snapshot = replace(snapshot, close_time=close_time)
        rpc = RpcContext(node=node, settings=LocalnetSettings(), faults=Faults())
        answer = asyncio.run(simulate_transaction(rpc, call.params))
        assert (answer.get("transactionData") is not None) == opens or not opens
        created = [c["key"] for c in answer.get("stateChanges", []) if c["type"] == "created"]
        assert (block["key"] in created) == opens

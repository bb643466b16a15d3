"""simulateTransaction answers as the real one did: the same call on the same state."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from stellar_sdk import Keypair, xdr

from localnet.config import LocalnetSettings
from localnet.ledger.keys import account_id, key_type
from localnet.ledger.node import Node
from localnet.ledger.state import Snapshot, make_record
from localnet.ledger.xdr_json import to_json
from localnet.rpc.context import RpcContext
from localnet.rpc.faults import Faults
from localnet.rpc.simulate import simulate_transaction
from localnet.soroban.registry import RECORDED_ROUTER_CODE
from localnet.soroban.uploads import MULTICALL_CODE
from tests.support.localnet_chain import START, Chain, make_node
from tests.support.localnet_farm import call_farm, plant_arguments, simulate_call
from tests.support.localnet_recordings import Recording, names, recording, state_at

#: The constructor of the farm runs at genesis here; the other was recorded under other settings.
_DEPLOYMENTS = {"simulate_deploy_kale_constructor", "simulate_deploy_sac"}
#: Calls on a state that no recording shows: a paused farm, its very start, pails of other tests.
_UNKNOWN_STATE = {
    "simulate_plant_err_no_trustline",
    "simulate_plant_no_trustline_zero",
    "simulate_work_next_after_plant",
    "simulate_plant_err_paused",
    "simulate_unpause_err_while_paused",
    "simulate_plant_first_of_block_farmer_source",
}
#: The call that needs more than 40 MiB.
OUT_OF_MEMORY = "simulate_router_plant_40_budget"
OUT_OF_MEMORY_ERROR = "HostError: Error(Budget, ExceededLimit)"
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
    snapshot = state_at(call.result["latestLedger"], _clock(call), *known)
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


def simulate(
    node: Node, call: Recording, change: Callable[[Snapshot], Snapshot] = lambda given: given
) -> dict[str, Any]:
    """Our answer to the recorded call; `change` is made to the state first."""
    assert call.result is not None
    if call.result["latestLedger"]:
        node.snapshot = change(_snapshot(call))
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
    return None if text is None else without_nonces(to_json(kind.from_xdr(text)))


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
    assert _error(answer) == _error(call.result)
    if name != OUT_OF_MEMORY:
        assert _events(answer) == _events(call.result)
    for ours, theirs in zip(answer.get("results", []), call.result.get("results", []), strict=True):
        assert ours["xdr"] == theirs["xdr"]
        assert [decoded(xdr.SorobanAuthorizationEntry, a) for a in ours["auth"]] == [
            decoded(xdr.SorobanAuthorizationEntry, a) for a in theirs["auth"]
        ]


def _error(result: dict[str, Any]) -> str | None:
    """Where exactly the memory ends is the real VM's business: there only the first line counts."""
    error = result.get("error")
    return error.partition("\n")[0] if error and error.startswith(OUT_OF_MEMORY_ERROR) else error


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
        assert in_any_order([without_nonces(to_json(k)) for k in mine]) == in_any_order(
            [without_nonces(to_json(k)) for k in real]
        )
    assert ours.resources.write_bytes == theirs.resources.write_bytes
    assert ours.resources.disk_read_bytes == theirs.resources.disk_read_bytes
    used = ours.resources.instructions.uint32
    difference = abs(used - theirs.resources.instructions.uint32)
    assert difference <= used * 3 // 100
    # The fee is exact but for the instructions, at 7 stroops for 10,000.
    fee = int(answer["minResourceFee"]) - int(call.result["minResourceFee"])
    assert abs(fee) <= difference * 7 // 10_000 + 1
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


# ------------------------------------------------------------------ the same through our multicall

ROUTED = [n for n in SUCCESSES if "_router_" in n]


def through_multicall(call: Recording) -> Recording:
    """The same list of calls for exec, which gives values where the router gives bools."""
    envelope = xdr.TransactionEnvelope.from_xdr(call.params["transaction"])
    assert envelope.v1 is not None
    operation = envelope.v1.tx.operations[0].body.invoke_host_function_op
    assert operation is not None
    assert operation.host_function.invoke_contract is not None
    operation.host_function.invoke_contract.function_name = xdr.SCSymbol(b"exec")
    return replace(call, params={**call.params, "transaction": envelope.to_xdr()})


def multicall_for_router(snapshot: Snapshot) -> Snapshot:
    """The recorded router's instance runs our code, which was uploaded."""
    records = {}
    for key, record in snapshot.records.items():
        swapped = record.packed.replace(RECORDED_ROUTER_CODE, MULTICALL_CODE)
        entry = xdr.LedgerEntry.from_xdr_bytes(swapped)
        records[key.replace(RECORDED_ROUTER_CODE, MULTICALL_CODE)] = make_record(
            entry, sequence=1, live_until=record.live_until
        )
    return replace(snapshot, records=records)


@pytest.mark.parametrize("name", ROUTED)
def test_the_multicall_needs_what_the_recorded_router_needed(node: Node, name: str) -> None:
    call = recording(name)
    assert call.result is not None
    answer = simulate(node, through_multicall(call), multicall_for_router)
    ours = xdr.SorobanTransactionData.from_xdr(answer["transactionData"]).resources
    theirs = xdr.SorobanTransactionData.from_xdr(call.result["transactionData"]).resources
    assert len(ours.footprint.read_only) == len(theirs.footprint.read_only)
    assert len(ours.footprint.read_write) == len(theirs.footprint.read_write)
    assert ours.write_bytes == theirs.write_bytes
    assert ours.disk_read_bytes == theirs.disk_read_bytes
    assert abs(ours.instructions.uint32 / theirs.instructions.uint32 - 1) < 0.03
    # The values that it returns have other sizes than bools.
    assert abs(int(answer["minResourceFee"]) / int(call.result["minResourceFee"]) - 1) < 0.01
    assert [decoded(xdr.SorobanAuthorizationEntry, a) for a in answer["results"][0]["auth"]] == [
        decoded(xdr.SorobanAuthorizationEntry, a) for a in call.result["results"][0]["auth"]
    ]


def plant_stake(chain: Chain, farmer: Keypair, rpc: RpcContext) -> list[str]:
    """Simulate a plant; the keys that it would create."""
    answer = simulate_call(chain, farmer, "plant", plant_arguments(farmer, 0), rpc=rpc)
    return [c["key"] for c in answer["stateChanges"] if c["type"] == "created"]


def test_the_clock_is_the_last_close_time_unless_told_otherwise() -> None:
    """Which block a plant would be in: by the ledger's clock (RPC 27.1) or by the wall's (24.0)."""
    chain = Chain()
    farmers = [Keypair.random() for _ in range(2)]
    chain.fund(*farmers)
    assert call_farm(chain, farmers[0], "plant", plant_arguments(farmers[0], 0)).ok
    late = float(START + 10_000)
    for clock, pails in (("ledger", 1), ("wall", 2)):
        settings = LocalnetSettings(simulation_clock=clock)
        rpc = RpcContext(node=chain.node, settings=settings, faults=Faults(), clock=lambda: late)
        # By the wall's clock it would open the next block; by the ledger's there is only a pail.
        assert len(plant_stake(chain, farmers[1], rpc)) == pails
    chain.close(seconds=300)
    rpc = RpcContext(node=chain.node, settings=LocalnetSettings(), faults=Faults())
    assert len(plant_stake(chain, farmers[1], rpc)) == 2

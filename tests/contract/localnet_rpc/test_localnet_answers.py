"""Answers of every other method have the recordings' shape, statuses and error codes."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from stellar_sdk import Asset, Keypair, MuxedAccount, TransactionEnvelope, xdr
from stellar_sdk.operation import Payment

from localnet.app import RunningLocalnet, open_localnet
from localnet.config import LocalnetSettings
from localnet.ledger.accounts import Account, store_account
from localnet.ledger.state import Changes
from localnet.network import Network
from localnet.rpc.context import RpcContext
from localnet.rpc.entries import get_ledger_entries
from localnet.rpc.faults import Faults
from localnet.rpc.send import send_transaction
from tests.support.localnet_chain import Chain, make_node
from tests.support.localnet_farm import farm_envelope, plant_arguments, unsigned_call
from tests.support.localnet_recordings import recording, state_at

#: Recorded errors; the numbers in their messages are ledgers of that network.
ERRORS = (
    "entries_bad_key",
    "entries_no_keys",
    "entries_too_many_keys",
    "getEvents_future",
    "getTransactions_future",
    "getTransactions_limit_too_big",
    "getTransactions_too_old",
    "get_tx_bad_hash",
    "send_bad_xdr",
    "unknown_method",
)
#: Members that a newer RPC has and the recorded one (24.0) does not; clients of today need them.
_NEWER = {
    "getHealth": {"latestLedgerCloseTime", "oldestLedgerCloseTime"},
    "getNetwork": {"friendbotUrl"},
    "getLatestLedger": {"closeTime", "headerXdr", "metadataXdr"},
}


@asynccontextmanager
async def quiet_localnet(**settings: Any) -> AsyncIterator[RunningLocalnet]:
    """A localnet whose ledgers close only when told."""
    options = LocalnetSettings(port=0, ledger_seconds=0.2, **settings)
    async with open_localnet(options, timer=False) as running:
        yield running


async def call(running: RunningLocalnet, method: str, params: Any) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    async with aiohttp.ClientSession() as http, http.post(running.url, json=body) as answer:
        parsed: dict[str, Any] = await answer.json()
    assert parsed["jsonrpc"] == "2.0"
    assert parsed["id"] == 7
    return parsed


def farmed(running: RunningLocalnet) -> Chain:
    """Give the chain a classic payment and a plant."""
    chain = Chain(node=running.node)
    farmer = Keypair.random()
    chain.fund(farmer)
    chain.apply(farmer, [Payment(chain.network.root.public_key, Asset.native(), "1")])
    rpc = running.rpc
    assert rpc.node is chain.node
    return chain


async def plant(chain: Chain, running: RunningLocalnet) -> str:
    """A plant through the RPC; its hash."""
    farmer = Keypair.random()
    chain.fund(farmer)
    arguments = plant_arguments(farmer, 0)
    unsigned = await _simulated(chain, running, farmer, arguments)
    envelope = farm_envelope(chain, farmer, "plant", arguments, simulated=unsigned)
    sent = await call(running, "sendTransaction", {"transaction": envelope.to_xdr()})
    assert sent["result"]["status"] == "PENDING"
    chain.close()
    return envelope.hash_hex()


async def _simulated(
    chain: Chain, running: RunningLocalnet, farmer: Keypair, arguments: list[xdr.SCVal]
) -> dict[str, Any]:
    envelope = unsigned_call(chain, farmer, "plant", arguments)
    answer = await call(running, "simulateTransaction", {"transaction": envelope.to_xdr()})
    result: dict[str, Any] = answer["result"]
    return result


def shape(value: Any) -> Any:
    """Names and JSON types; a list has the shape of its first item."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def quiet(result: dict[str, Any]) -> dict[str, Any]:
    """Without the calls' own events: some emit none."""
    for transaction in result.get("transactions", []):
        transaction["events"] = transaction["events"] | {"contractEventsXdr": []}
    return result


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "N", text)


@pytest.mark.parametrize("name", ERRORS)
async def test_same_error(name: str) -> None:
    recorded = recording(name)
    assert recorded.error is not None
    async with quiet_localnet() as running:
        # Enough ledgers for "too old" to be possible.
        for _ in range(5):
            running.close_ledger()
        running.node.history.forget_before(4)
        answer = await call(running, recorded.method, recorded.params)
    error = answer["error"]
    assert error.keys() == recorded.error.keys()
    assert error["code"] == recorded.error["code"]
    assert without_numbers(error["message"]) == without_numbers(recorded.error["message"])
    assert error.get("data") == recorded.error.get("data")


@pytest.mark.parametrize(
    "name",
    ["getHealth", "getNetwork", "getVersionInfo", "getLatestLedger", "getFeeStats_after_traffic"],
)
async def test_same_shape(name: str) -> None:
    recorded = recording(name)
    assert recorded.result is not None
    async with quiet_localnet() as running:
        chain = farmed(running)
        await plant(chain, running)
        answer = await call(running, recorded.method, recorded.params)
    result = answer["result"]
    newer = _NEWER.get(recorded.method, set())
    assert result.keys() == recorded.result.keys() | newer
    assert shape({k: v for k, v in result.items() if k not in newer}) == shape(recorded.result)


async def test_lists_have_the_same_shape() -> None:
    """getTransactions, getLedgers, getEvents: pages, cursors, and members of each item."""
    async with quiet_localnet() as running:
        chain = farmed(running)
        tx_hash = await plant(chain, running)
        latest = chain.node.snapshot.sequence
        for name in ("getTransactions_latest", "getLedgers"):
            recorded = recording(name)
            assert recorded.result is not None
            params = {"startLedger": latest, "pagination": {"limit": 1}}
            answer = await call(running, recorded.method, params)
            assert shape(quiet(answer["result"])) == shape(quiet(recorded.result))
        recorded = recording("getEvents_no_filter")
        answer = await call(running, "getEvents", recorded.params | {"startLedger": 2})
        assert shape(answer["result"]) == shape(recorded.result)
        found = (await call(running, "getTransaction", {"hash": tx_hash}))["result"]
        recorded = recording("get_tx_plant_success")
        assert shape(found) == shape(recorded.result)
        for page in (await call(running, "getLedgers", {"startLedger": 1}))["result"]["ledgers"]:
            meta = xdr.LedgerCloseMeta.from_xdr(page["metadataXdr"]).v2
            assert meta is not None
            assert meta.ledger_header.hash.hash.hex() == page["hash"]


async def test_an_unknown_transaction_has_the_same_answer() -> None:
    recorded = recording("get_tx_not_found")
    assert recorded.result is not None
    async with quiet_localnet() as running:
        answer = (await call(running, recorded.method, recorded.params))["result"]
    for member in ("status", "txHash", "applicationOrder", "feeBump", "events", "ledger"):
        assert answer[member] == recorded.result[member]
    assert shape(answer) == shape(recorded.result)


async def test_pages_go_on_where_they_ended() -> None:
    async with quiet_localnet() as running:
        chain = Chain(node=running.node)
        chain.fund(*(Keypair.random() for _ in range(3)))
        for _ in range(3):
            chain.fund(Keypair.random())
        seen, params = [], {"startLedger": 2, "pagination": {"limit": 3}}
        for _ in range(4):
            result = (await call(running, "getTransactions", params))["result"]
            seen += [t["txHash"] for t in result["transactions"]]
            params = {"pagination": {"limit": 3, "cursor": result["cursor"]}}
        assert len(seen) == len(set(seen)) == 4
        events, params = [], {"startLedger": 2, "pagination": {"limit": 2}}
        for _ in range(10):
            result = (await call(running, "getEvents", params))["result"]
            events += [e["id"] for e in result["events"]]
            params = {"pagination": {"limit": 2, "cursor": result["cursor"]}}
        # One fee event and one transfer per created account.
        assert len(events) == len(set(events)) == 4 + 6
        assert events == sorted(events)


async def test_event_filters() -> None:
    async with quiet_localnet() as running:
        chain = Chain(node=running.node)
        chain.fund(Keypair.random())
        transfer = xdr.SCVal(xdr.SCValType.SCV_SYMBOL, sym=xdr.SCSymbol(b"transfer")).to_xdr()

        async def count(*filters: Any) -> int:
            result = await call(running, "getEvents", {"startLedger": 2, "filters": list(filters)})
            return len(result["result"]["events"])

        assert await count({"topics": [[transfer, "**"]]}) == 1
        assert await count({"topics": [[transfer, "*", "*", "*"]]}) == 1
        assert await count({"topics": [[transfer, "*"]]}) == 0
        assert await count({"type": "system"}) == 0
        native = Asset.native().contract_id(chain.network.passphrase)
        assert await count({"type": "contract", "contractIds": [native]}) == 2
        farm = recording("getEvents_kale_contract").params["filters"]
        assert await count(*farm) == 0


ENTRIES = (
    "entries_account_missing",
    "entries_block",
    "entries_block_missing",
    "entries_contract_instance",
    "entries_contract_instance_worked",
    "entries_pail_planted",
    "entries_pail_worked",
    "entries_sac_instance",
    "entries_trustline",
    "entries_trustline_missing",
    "entries_account",
)


@pytest.mark.parametrize("name", ENTRIES)
async def test_same_entries(name: str) -> None:
    recorded = recording(name)
    assert recorded.result is not None
    node = make_node()
    node.snapshot = state_at(recorded.result["latestLedger"], 0)
    rpc = RpcContext(node=node, settings=LocalnetSettings(), faults=Faults())
    assert await get_ledger_entries(rpc, recorded.params) == recorded.result


async def test_the_networks_settings_are_the_recorded_ones() -> None:
    recorded = recording("entries_config_settings")
    assert recorded.result is not None
    async with quiet_localnet() as running:
        answer = (await call(running, recorded.method, recorded.params))["result"]
    assert shape(answer) == shape(recorded.result)
    ours = [(e["key"], e["xdr"]) for e in answer["entries"]]
    assert ours == [(e["key"], e["xdr"]) for e in recorded.result["entries"]]


SENT = (
    "send_error_bad_auth",
    "send_error_bad_seq",
    "send_error_bad_seq_high",
    "send_error_inclusion_fee_low",
    "send_error_insufficient_fee",
    "send_error_no_account",
    "send_error_no_soroban_data",
    "send_error_resource_fee_low",
    "send_error_resource_limit",
    "send_error_too_late",
    "send_few_instructions",
    "send_footprint_short",
    "send_fee_bump",
    "send_pending",
    "send_plant_pending",
    "send_plant_stake_pool_pays_pending",
    "send_work_pending",
)


def _rpc_at(name: str) -> RpcContext:
    """A node as it was when the recorded call was made."""
    recorded = recording(name)
    assert recorded.result is not None
    node = make_node()
    latest = recorded.result["latestLedger"]
    node.snapshot = state_at(latest, int(recorded.result["latestLedgerCloseTime"]), first_seen=True)
    node.history.add(
        replace(node.history.latest, sequence=latest, close_time=node.snapshot.close_time)
    )
    return RpcContext(node=node, settings=LocalnetSettings(), faults=Faults())


@pytest.mark.parametrize("name", SENT)
async def test_same_answer_to_a_sent_envelope(name: str) -> None:
    recorded = recording(name)
    assert await send_transaction(_rpc_at(name), recorded.params) == recorded.result


async def test_same_answers_while_one_is_pending() -> None:
    rpc = _rpc_at("send_pending")
    for name in ("send_pending", "send_try_again_later", "send_duplicate"):
        recorded = recording(name)
        assert await send_transaction(rpc, recorded.params) == recorded.result


async def test_same_answer_of_a_full_queue() -> None:
    """The recorded bid against a queue that is full of equal bids: 409 plants of other farmers."""
    name = "send_error_queue_full_insufficient_fee"
    rpc, recorded = _rpc_at(name), recording(name)
    assert recorded.result is not None
    ours = None
    for number in range(500):
        params = recorded.params if number == 409 else _stranger(rpc, recorded.params)
        ours = await send_transaction(rpc, params)
        if number == 409:
            break
        assert ours["status"] == "PENDING", number
    assert ours == recorded.result


def _stranger(rpc: RpcContext, params: dict[str, Any]) -> dict[str, Any]:
    """The same envelope of another farmer, whose account is made for it."""
    farmer = Keypair.random()
    envelope = TransactionEnvelope.from_xdr(params["transaction"], Network().passphrase)
    envelope.transaction.source = MuxedAccount(farmer.public_key)
    envelope.signatures = []
    envelope.sign(farmer)
    account = Account(
        raw=farmer.raw_public_key(),
        balance=10**9,
        seq_num=envelope.transaction.sequence - 1,
    )
    changes = Changes(rpc.node.snapshot, rpc.node.snapshot.sequence)
    store_account(changes, account)
    added = {k: r for k, r in changes.applied().items() if r is not None}
    records = {**rpc.node.snapshot.records, **added}
    rpc.node.snapshot = replace(rpc.node.snapshot, records=records)
    return {"transaction": envelope.to_xdr()}


async def test_a_list_of_calls_is_answered_as_stellar_rpc_does() -> None:
    """By the bridge of creachadair/jrpc2 that it uses, and its limit of 512 KiB for a body."""
    health = {"jsonrpc": "2.0", "id": "one", "method": "getHealth"}
    unknown = {"jsonrpc": "2.0", "id": 2, "method": "getWeather"}
    async with quiet_localnet() as running, aiohttp.ClientSession() as http:

        async def post(body: Any) -> tuple[int, Any]:
            async with http.post(running.url, json=body) as answer:
                return answer.status, await answer.json() if answer.status == 200 else None

        status, answers = await post([health, unknown, 5])
        by_id = {item["id"]: item for item in answers}
        assert (status, len(answers), set(by_id)) == (200, 3, {"one", 2, None})
        assert by_id["one"]["result"]["status"] == "healthy"
        assert by_id[2]["error"]["code"] == -32601
        assert by_id[None]["error"]["code"] == -32700
        status, (alone,) = await post([health])
        assert (status, alone["id"]) == (200, "one")
        assert await post([{**health, "padding": "x" * 512 * 1024}]) == (500, None)

"""Answers about ledgers, events and transactions are written as stellar-rpc 27.1.1 writes them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from stellar_sdk import Keypair, xdr

from localnet.app import RunningLocalnet, open_localnet
from localnet.config import LocalnetSettings
from localnet.ledger.xdr_json import to_json
from tests.support.localnet_chain import Chain
from tests.support.localnet_farm import (
    call_farm,
    farm_envelope,
    plant_arguments,
    simulate_call,
    unsigned_call,
)

_FOLDER = Path(__file__).parents[2] / "vectors" / "recordings" / "v27"
_TRANSACTIONS = ("tx_success_plain_0", "tx_success_bump_0", "tx_failed_plain_0", "tx_failed_bump_0")
_PARTS: dict[str, Any] = {
    "envelope": xdr.TransactionEnvelope,
    "result": xdr.TransactionResult,
    "resultMeta": xdr.TransactionMeta,
}


@pytest.fixture
async def running() -> AsyncIterator[RunningLocalnet]:
    """A localnet whose ledgers close only when told."""
    async with open_localnet(LocalnetSettings(port=0), timer=False) as found:
        yield found


def recorded(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text())
    result: dict[str, Any] = parsed["response"]["result"]
    return result


async def ask(running: RunningLocalnet, method: str, **params: Any) -> dict[str, Any]:
    """Return the result of a call."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with aiohttp.ClientSession() as http, http.post(running.url, json=body) as answer:
        found: dict[str, Any] = (await answer.json())["result"]
    return found


def shape(value: Any) -> Any:
    """Names and JSON types; a list has the shape of its first item."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def planted(running: RunningLocalnet) -> Chain:
    """A chain with a plant in its last ledger."""
    chain, farmer = Chain(node=running.node), Keypair.random()
    chain.fund(farmer)
    call_farm(chain, farmer, "plant", plant_arguments(farmer, 0))
    return chain


@pytest.mark.parametrize("name", _TRANSACTIONS)
def test_json_has_the_names_of_stellar_rpc(name: str) -> None:
    """The SDK writes some results, events and ids otherwise."""
    packed, shown = recorded(name), recorded(f"{name}_json")
    for part, kind in _PARTS.items():
        assert to_json(kind.from_xdr(packed[f"{part}Xdr"])) == shown[f"{part}Json"]
    diagnostics = [xdr.DiagnosticEvent.from_xdr(e) for e in packed.get("diagnosticEventsXdr", [])]
    assert [to_json(e) for e in diagnostics] == shown.get("diagnosticEventsJson", [])
    events = [xdr.TransactionEvent.from_xdr(e) for e in packed["events"]["transactionEventsXdr"]]
    assert [to_json(e) for e in events] == shown["events"]["transactionEventsJson"]


def test_words_of_contracts_are_not_taken_for_names() -> None:
    words = [xdr.SCVal(xdr.SCValType.SCV_SYMBOL, sym=xdr.SCSymbol(b"txsuccess"))]
    value = xdr.SCVal(xdr.SCValType.SCV_VEC, vec=xdr.SCVec(words))
    assert to_json(value) == {"vec": [{"symbol": "txsuccess"}]}
    result = xdr.TransactionResult(
        xdr.Int64(100),
        xdr.TransactionResultResult(
            xdr.TransactionResultCode.txFAILED,
            results=[xdr.OperationResult(xdr.OperationResultCode.opBAD_AUTH)],
        ),
        xdr.TransactionResultExt(0),
    )
    assert to_json(result)["result"] == {"tx_failed": ["op_bad_auth"]}
    result.result = xdr.TransactionResultResult(xdr.TransactionResultCode.txBAD_SEQ)
    assert to_json(result)["result"] == "tx_bad_seq"


@pytest.mark.parametrize("form", ["base64", "json"])
async def test_an_empty_ledger_is_shown_as_there(running: RunningLocalnet, form: str) -> None:
    ledger = running.node.close_ledger(running.node.snapshot.close_time + 5)
    page = {"startLedger": ledger.sequence, "pagination": {"limit": 1}, "xdrFormat": form}
    found = await ask(running, "getLedgers", **page)
    suffix = "_json" if form == "json" else ""
    assert shape(found) == shape(recorded(f"getLedgers{suffix}"))
    latest = await ask(running, "getLatestLedger", xdrFormat=form)
    assert shape(latest) == shape(recorded(f"getLatestLedger{suffix}"))


async def test_a_ledger_is_signed_by_the_validator(running: RunningLocalnet) -> None:
    network = running.node.genesis.network
    ledger = running.node.close_ledger(running.node.snapshot.close_time + 5)
    value = xdr.LedgerHeader.from_xdr_bytes(ledger.header).scp_value
    signed = value.ext.lc_value_signature
    assert signed is not None
    assert signed.node_id.node_id.ed25519 is not None
    key = Keypair.from_raw_ed25519_public_key(signed.node_id.node_id.ed25519.uint256)
    assert key == Keypair.from_public_key(network.validator.public_key)
    kind = xdr.EnvelopeType.ENVELOPE_TYPE_SCPVALUE.to_xdr_bytes()
    text = network.id + kind + value.tx_set_hash.hash + value.close_time.to_xdr_bytes()
    key.verify(text, signed.signature.signature)


async def test_events_are_shown_as_there(running: RunningLocalnet) -> None:
    await asyncio.to_thread(planted, running)
    for name, form in (("events", "base64"), ("events_json", "json")):
        found = await ask(running, "getEvents", startLedger=2, filters=[], xdrFormat=form)
        theirs = recorded(name)
        assert shape(found) == shape(theirs)
        assert {tuple(event) for event in found["events"]} == {tuple(theirs["events"][0])}


async def test_transactions_are_shown_as_there(running: RunningLocalnet) -> None:
    chain = await asyncio.to_thread(planted, running)
    tx_hash = running.node.history.latest.transactions[0].hash.hex()
    for form, suffix in (("base64", ""), ("json", "_json")):
        found = await ask(running, "getTransaction", hash=tx_hash, xdrFormat=form)
        theirs = recorded(f"tx_success_bump_0{suffix}")
        assert set(found) == set(theirs)
        assert set(found["events"]) == set(theirs["events"])
    failed = await asyncio.to_thread(fail, chain)
    found = await ask(running, "getTransaction", hash=failed, xdrFormat="json")
    theirs = recorded("tx_failed_plain_0_json")
    assert set(found) == set(theirs)
    assert set(found["events"]) == set(theirs["events"])
    assert "tx_failed" in found["resultJson"]["result"]


def fail(chain: Chain) -> str:
    """Plant with too few instructions; return the transaction's hash."""
    farmer = Keypair.random()
    chain.fund(farmer)
    arguments = plant_arguments(farmer, 0)
    simulated = simulate_call(chain, farmer, "plant", arguments)
    data = xdr.SorobanTransactionData.from_xdr(simulated["transactionData"])
    data.resources.instructions = xdr.Uint32(1000)
    less = simulated | {"transactionData": data.to_xdr()}
    envelope = farm_envelope(chain, farmer, "plant", arguments, simulated=less)
    assert chain.send(envelope).status == "PENDING"
    chain.close()
    return envelope.hash_hex()


async def test_versions_are_those_of_mainnet(running: RunningLocalnet) -> None:
    version, theirs = await ask(running, "getVersionInfo"), recorded("getVersionInfo")
    assert shape(version) == shape(theirs)
    assert version["version"].startswith(theirs["version"])
    network = await ask(running, "getNetwork")
    assert shape(network) == shape(recorded("getNetwork"))
    assert version["protocolVersion"] == network["protocolVersion"] == theirs["protocolVersion"]


@pytest.mark.parametrize("stake", [0, -1])
async def test_simulations_in_json_have_the_same_members(
    running: RunningLocalnet, stake: int
) -> None:
    """A member that base64 has stays there as null; the events of a failure are JSON as well."""
    chain, farmer = Chain(node=running.node), Keypair.random()
    chain.fund(farmer)
    envelope = unsigned_call(chain, farmer, "plant", plant_arguments(farmer, stake)).to_xdr()
    plain = await ask(running, "simulateTransaction", transaction=envelope)
    found = await ask(running, "simulateTransaction", transaction=envelope, xdrFormat="json")
    told = [xdr.DiagnosticEvent.from_xdr(event) for event in plain["events"]]
    assert found["eventsJson"] == [to_json(event) for event in told]
    assert "events" not in found
    if stake < 0:
        assert set(found) == {"error", "eventsJson", "latestLedger"}
        return
    kinds = {change["type"]: change for change in found["stateChanges"]}
    assert set(kinds["created"]) == {"type", "keyJson", "before", "after", "afterJson"}
    assert set(kinds["updated"]) == set(kinds["created"]) | {"beforeJson"}
    assert kinds["updated"]["before"] is kinds["updated"]["after"] is None

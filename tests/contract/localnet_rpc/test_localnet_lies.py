"""What a node may say that is not so: each lie changes its answers, and nobody else's."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from stellar_sdk import Asset, Keypair, xdr
from stellar_sdk.operation import BumpSequence, ManageData, Payment

from localnet.app import open_localnet
from localnet.config import LocalnetSettings
from localnet.ledger.keys import config_key, data_key, trustline_asset, trustline_key
from localnet.rpc import lies as kinds
from localnet.rpc.lies.table import NAMES
from localnet.soroban.farm_math import BlockRecord, PailRecord
from localnet.soroban.values import items_of, name_of
from tests.support.liars import Liars, liars

pytestmark = pytest.mark.faults

_LOOKED_UP = ("SUCCESS", "FAILED", "NOT_FOUND")


@pytest.fixture
async def nodes() -> AsyncIterator[Liars]:
    async with liars() as found:
        yield found


def payment(nodes: Liars, source: Keypair, xlm: str = "1") -> Any:
    """A payment that ends with a bump, as wallet's payers make them."""
    chain = nodes.chain
    number = chain.account(source).seq_num
    operations = [
        Payment(chain.network.root.public_key, Asset.native(), xlm),
        BumpSequence(number + 1000),
    ]
    return chain.build(source, operations)


async def sent(nodes: Liars, envelope: Any, node: int = 0) -> Any:
    """An envelope that a ledger took."""
    assert (await nodes.send(node, envelope))["status"] == "PENDING"
    nodes.running.close_ledger(nodes.chain.now + 5)
    return envelope


async def statuses(nodes: Liars, envelope: Any, node: int) -> tuple[str, str]:
    """What a node says of a transaction, asked by its hash and by its ledger."""
    tx_hash = envelope.hash_hex()
    looked_up = (await nodes.ask(node, "getTransaction", hash=tx_hash))["status"]
    page = await nodes.ask(node, "getTransactions", startLedger=2)
    listed = {item["txHash"]: item["status"] for item in page["transactions"]}
    assert looked_up in _LOOKED_UP
    return looked_up, listed.get(tx_hash, "NOT_FOUND")


def test_the_readme_of_lies_names_all_of_them() -> None:
    assert kinds.__doc__ is not None
    missing = [name for name in NAMES if f"{name}:" not in kinds.__doc__]
    assert sorted(missing) == ["balances", "sequences"]  # in one line with trustlines


async def test_the_first_node_is_the_chain_and_stays_honest(nodes: Liars) -> None:
    await nodes.tell(1, lies={"add_ledgers": 10})
    assert await nodes.ask(0, "getHealth") == await nodes.ask(2, "getHealth")
    number = nodes.chain.node.snapshot.sequence
    seen = [(await nodes.ask(n, "getHealth"))["latestLedger"] for n in range(3)]
    assert seen == [number, number + 10, number]
    assert await nodes.used("add_ledgers") == 1
    assert await nodes.used("add_ledgers", node=2) == 0
    await nodes.tell(1, reset=True)
    assert await nodes.ask(1, "getHealth") == await nodes.ask(0, "getHealth")


@pytest.mark.parametrize(
    "body",
    [
        {"lies": {"weather": 1}},
        {"lies": {"omit": "most"}},
        {"lies": {"add_ledgers": "10"}},
        {"lies": {"sequences": {"*": "1"}}},
        {"lies": {"pails": {"colour": 1}}},
        {"lies": {"code": "abc"}},
        {"lies": {"send": {"says": "MAYBE"}}},
        {"lies": {"huge": "planet"}},
        {"lies": {"form": "poem"}},
        {"lies": 5},
        {"lives": {"code": 1}},
        {"skip_ledgers": 1},
    ],
)
async def test_what_makes_no_sense_is_refused(nodes: Liars, body: dict[str, Any]) -> None:
    before = await nodes.tell(1)
    await nodes.tell(1, status=400, **body)
    assert await nodes.tell(1) == before


async def test_faults_are_each_node_s_own(nodes: Liars) -> None:
    await nodes.tell(1, failures={"getHealth": 1}, busy={"getNetwork": 1}, retry_after=7)
    for node in (0, 2):
        await nodes.ask(node, "getHealth")
    async with nodes.http.post(
        nodes.running.urls[1], json={"jsonrpc": "2.0", "id": 1, "method": "getNetwork"}
    ) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    with pytest.raises(AssertionError, match="told to fail"):
        await nodes.ask(1, "getHealth")
    await nodes.ask(1, "getHealth")
    assert (await nodes.used("busy"), await nodes.used("failures")) == (1, 1)


async def test_a_connection_that_is_closed_after_an_answer(nodes: Liars) -> None:
    await nodes.tell(1, closes={"getHealth": 1})
    await nodes.ask(1, "getHealth")
    async with asyncio.timeout(60):
        while await nodes.used("closes") != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await nodes.ask(1, "getHealth")


@pytest.mark.parametrize("which", ["all", "paying", "hash", "account"])
async def test_omission(nodes: Liars, which: str) -> None:
    source, other = nodes.farmer(), nodes.farmer()
    paid = await sent(nodes, payment(nodes, source))
    planted = await sent(nodes, await nodes.plant(other))
    meant: dict[str, Any] = {
        "hash": [paid.hash_hex()],
        "account": {"accounts": [source.public_key]},
    }
    await nodes.tell(1, lies={"omit": meant.get(which, which)})
    assert await statuses(nodes, paid, 1) == ("NOT_FOUND", "NOT_FOUND")
    expected = "NOT_FOUND" if which == "all" else "SUCCESS"
    assert await statuses(nodes, planted, 1) == (expected, expected)
    assert await statuses(nodes, paid, 0) == ("SUCCESS", "SUCCESS")
    events = (await nodes.ask(1, "getEvents", startLedger=2))["events"]
    assert paid.hash_hex() not in {event["txHash"] for event in events}
    assert await nodes.used("omit") >= 3


async def test_a_success_that_is_called_a_failure(nodes: Liars) -> None:
    for envelope, code in (
        (payment(nodes, nodes.farmer()), "payment"),
        (await nodes.plant(nodes.farmer()), "invoke_host_function"),
    ):
        await sent(nodes, envelope)
        await nodes.tell(1, lies={"failed": "all"})
        assert await statuses(nodes, envelope, 1) == ("FAILED", "FAILED")
        said = await nodes.ask(1, "getTransaction", hash=envelope.hash_hex())
        result = xdr.TransactionResult.from_xdr(said["resultXdr"]).to_json_dict()["result"]
        assert code in result["txfailed"][0]["opinner"]
        meta = xdr.TransactionMeta.from_xdr(said["resultMetaXdr"]).v4
        assert meta is not None
        assert meta.operations == []
        assert await statuses(nodes, envelope, 0) == ("SUCCESS", "SUCCESS")


async def test_a_failure_that_is_called_a_success(nodes: Liars) -> None:
    envelope = await sent(nodes, payment(nodes, nodes.farmer(), "100000"))
    assert await statuses(nodes, envelope, 0) == ("FAILED", "FAILED")
    await nodes.tell(1, lies={"succeeded": [envelope.hash_hex()]})
    assert await statuses(nodes, envelope, 1) == ("SUCCESS", "SUCCESS")
    said = await nodes.ask(1, "getTransaction", hash=envelope.hash_hex())
    assert xdr.TransactionResult.from_xdr(said["resultXdr"]).fee_charged.int64 == 200


async def test_a_swallowed_envelope_that_is_called_a_success(nodes: Liars) -> None:
    farmer = nodes.farmer()
    envelope = payment(nodes, farmer)
    await nodes.tell(1, lies={"send": "swallow"})
    assert (await nodes.send(1, envelope))["status"] == "PENDING"
    nodes.running.close_ledger(nodes.chain.now + 5)
    assert await statuses(nodes, envelope, 1) == ("NOT_FOUND", "NOT_FOUND")
    await nodes.tell(1, lies={"send": "swallow", "succeeded": "paying"})
    assert await statuses(nodes, envelope, 1) == ("SUCCESS", "SUCCESS")
    said = await nodes.ask(1, "getTransaction", hash=envelope.hash_hex())
    assert said["ledger"] <= said["latestLedger"]
    assert await statuses(nodes, envelope, 0) == ("NOT_FOUND", "NOT_FOUND")
    assert nodes.chain.account(farmer).seq_num == envelope.transaction.sequence - 1


@pytest.mark.parametrize(
    ("send", "status", "taken"),
    [
        ("swallow", "PENDING", False),
        ({"says": "DUPLICATE"}, "DUPLICATE", True),
        ({"says": "DUPLICATE", "takes": False}, "DUPLICATE", False),
        ({"says": "TRY_AGAIN_LATER"}, "TRY_AGAIN_LATER", True),
        ({"says": "ERROR", "code": "txBAD_SEQ"}, "ERROR", True),
        ({"says": "ERROR", "code": "txINSUFFICIENT_BALANCE", "takes": False}, "ERROR", False),
    ],
)
async def test_what_is_said_of_a_sent_envelope(
    nodes: Liars, send: Any, status: str, taken: bool
) -> None:
    envelope = payment(nodes, nodes.farmer())
    await nodes.tell(1, lies={"send": send})
    said = await nodes.send(1, envelope)
    assert said["status"] == status
    if status == "ERROR":
        code = xdr.TransactionResult.from_xdr(said["errorResultXdr"]).result.code
        assert code.name == send["code"]
    nodes.running.close_ledger(nodes.chain.now + 5)
    known = nodes.chain.node.history.find(envelope.hash()) is not None
    assert known is taken


async def test_heights(nodes: Liars) -> None:
    envelope = await sent(nodes, payment(nodes, nodes.farmer()))
    true = nodes.chain.node.snapshot.sequence
    await nodes.tell(1, lies={"add_ledgers": 10})
    for method in ("getHealth", "getLatestLedger", "getFeeStats"):
        answer = await nodes.ask(1, method)
        assert answer.get("latestLedger", answer.get("sequence")) == true + 10
    # What comes after the real ledgers is an empty page, not an error.
    page = await nodes.ask(1, "getTransactions", startLedger=true + 5)
    assert page["latestLedger"] == true + 10
    said = await nodes.ask(1, "getTransaction", hash=envelope.hash_hex())
    assert (said["ledger"], said["latestLedger"]) == (true, true + 10)
    await nodes.tell(1, lies={"shift_ledgers": 1000})
    said = await nodes.ask(1, "getTransaction", hash=envelope.hash_hex())
    assert (said["ledger"], said["latestLedger"]) == (true + 1000, true + 1000)
    page = await nodes.ask(1, "getTransactions", startLedger=true + 1000)
    assert [item["ledger"] for item in page["transactions"]] == [true + 1000]


async def test_clocks(nodes: Liars) -> None:
    envelope = await sent(nodes, payment(nodes, nodes.farmer()))
    await nodes.tell(1, lies={"add_seconds": -600})
    honest = await nodes.ask(0, "getTransaction", hash=envelope.hash_hex())
    said = await nodes.ask(1, "getTransaction", hash=envelope.hash_hex())
    for name in ("createdAt", "latestLedgerCloseTime", "oldestLedgerCloseTime"):
        assert int(said[name]) == int(honest[name]) - 600
        assert isinstance(said[name], type(honest[name]))
    page = await nodes.ask(1, "getTransactions", startLedger=2)
    assert page["latestLedgerCloseTimestamp"] == nodes.chain.now - 600


async def test_numbers_and_balances_of_accounts(nodes: Liars) -> None:
    one, two = nodes.farmer(), nodes.farmer()
    true = nodes.chain.account(one).seq_num
    await nodes.tell(1, lies={"sequences": {one.public_key: -3}})
    assert await nodes.sequence(1, one) == true - 3
    assert await nodes.sequence(1, two) == nodes.chain.account(two).seq_num
    await nodes.tell(1, lies={"sequences": {"*": None}})
    assert await nodes.entries(1, nodes.chain.account(one).key) == []
    await nodes.tell(1, lies={"balances": {"*": 5}})
    (data,) = await nodes.entries(1, nodes.chain.account(one).key)
    assert data.account is not None
    assert data.account.balance.int64 == nodes.chain.account(one).balance + 5


@pytest.mark.parametrize("word", ["not included", "failed", "paid"])
async def test_what_became_of_a_payer_s_number(nodes: Liars, word: str) -> None:
    payer = nodes.farmer()
    envelope = await sent(nodes, payment(nodes, payer))
    number = envelope.transaction.sequence
    assert nodes.chain.account(payer).seq_num == number + 999
    await nodes.tell(1, lies={"payer": word})
    wanted = {"not included": number - 1, "failed": number, "paid": number + 999}
    assert await nodes.sequence(1, payer) == wanted[word]
    assert await nodes.sequence(0, payer) == number + 999


async def test_trustlines(nodes: Liars) -> None:
    faucet = nodes.chain.network.faucet
    asset = trustline_asset(nodes.chain.network.kale.to_xdr_object())
    key = trustline_key(faucet.raw_public_key(), asset)
    (true,) = await nodes.entries(0, key)
    await nodes.tell(1, lies={"trustlines": {faucet.public_key: -7}})
    (said,) = await nodes.entries(1, key)
    assert true.trust_line is not None
    assert said.trust_line is not None
    assert said.trust_line.balance.int64 == true.trust_line.balance.int64 - 7
    await nodes.tell(1, lies={"trustlines": {"*": None}})
    assert await nodes.entries(1, key) == []


async def test_memo_required(nodes: Liars) -> None:
    farmer = nodes.farmer()
    key = data_key(farmer.raw_public_key(), b"config.memo_required")
    await nodes.tell(1, lies={"memo": True})
    (said,) = await nodes.entries(1, key)
    assert said.data is not None
    assert said.data.data_value.data_value == b"1"
    assert await nodes.entries(0, key) == []
    assert nodes.chain.apply(farmer, [ManageData("config.memo_required", b"1")]).ok
    await nodes.tell(1, lies={"memo": False})
    assert await nodes.entries(1, key) == []
    assert len(await nodes.entries(0, key)) == 1


async def test_lifetimes(nodes: Liars) -> None:
    async def life(node: int) -> int:
        text = xdr.LedgerKey.from_xdr_bytes(nodes.farm).to_xdr()
        answer = await nodes.ask(node, "getLedgerEntries", keys=[text])
        return int(answer["entries"][0]["liveUntilLedgerSeq"])

    await nodes.tell(1, lies={"lives": -500_000})
    assert await life(1) == await life(0) - 500_000


async def test_pails(nodes: Liars) -> None:
    farmer, other = nodes.farmer(), nodes.farmer()
    await sent(nodes, await nodes.plant(farmer))
    await nodes.tell(1, lies={"pails": "missing"})
    assert await nodes.entries(1, nodes.pail(farmer)) == []
    await nodes.tell(1, lies={"pails": "invented"})
    assert len(await nodes.entries(1, nodes.pail(farmer), nodes.pail(other))) == 2
    assert len(await nodes.entries(0, nodes.pail(farmer), nodes.pail(other))) == 1
    await nodes.tell(1, lies={"pails": {"stake": 5, "zeros": 9, "gap": 2}})
    (said,) = await nodes.entries(1, nodes.pail(farmer))
    assert said.contract_data is not None
    pail = PailRecord.from_value(said.contract_data.val)
    assert (pail.stake, pail.zeros, pail.gap) == (5, 9, 2)


def _stored(data: xdr.LedgerEntryData) -> dict[str, xdr.SCVal]:
    """What the farm's instance keeps, by name."""
    assert data.contract_data is not None
    instance = data.contract_data.val.instance
    assert instance is not None
    assert instance.storage is not None
    return {name_of(items_of(item.key)[0]): item.val for item in instance.storage.sc_map}


async def test_block_pause_and_code(nodes: Liars) -> None:
    await sent(nodes, await nodes.plant(nodes.farmer()))
    honest = await nodes.entries(0, nodes.farm, nodes.block())
    lies = {"block": {"index": 1, "timestamp": 300, "entropy": "other"}, "paused": True}
    await nodes.tell(1, lies={**lies, "code": "ab" * 32})
    said = await nodes.entries(1, nodes.farm, nodes.block())
    true, false = _stored(honest[0]), _stored(said[0])
    before, after = (BlockRecord.from_value(one["FarmBlock"]) for one in (true, false))
    assert after.timestamp == before.timestamp + 300
    assert after.entropy != before.entropy
    assert false["FarmPaused"].b is True
    assert said[1] != honest[1]
    executable = said[0].contract_data.val.instance.executable  # type: ignore[union-attr]
    assert executable.wasm_hash is not None
    assert executable.wasm_hash.hash == bytes.fromhex("ab" * 32)


async def test_the_network_s_limits(nodes: Liars) -> None:
    key = config_key(xdr.ConfigSettingID.CONFIG_SETTING_CONTRACT_BANDWIDTH_V0)

    async def size(node: int) -> int:
        (data,) = await nodes.entries(node, key)
        assert data.config_setting is not None
        assert data.config_setting.contract_bandwidth is not None
        return data.config_setting.contract_bandwidth.tx_max_size_bytes.uint32

    for value, expected in (
        ("tiny", 1),
        ("huge", 2**31 - 1),
        ({"contract_bandwidth_v0.tx_max_size_bytes": 77}, 77),
    ):
        await nodes.tell(1, lies={"config": value})
        assert await size(1) == expected
    assert await size(0) == 132_096


async def test_fees_and_passphrase(nodes: Liars) -> None:
    await nodes.tell(1, lies={"fees": 10**9, "passphrase": "Another Network"})
    stats = await nodes.ask(1, "getFeeStats")
    assert {stats["sorobanInclusionFee"][p] for p in ("p10", "p90", "max")} == {str(10**9)}
    assert (await nodes.ask(1, "getNetwork"))["passphrase"] == "Another Network"
    assert (await nodes.used("fees"), await nodes.used("passphrase")) == (1, 1)


@pytest.mark.parametrize("how", ["refuses", "dear", "cheap", "footprint"])
async def test_simulations(nodes: Liars, how: str) -> None:
    plant = (await nodes.plant(nodes.farmer())).to_xdr()
    true = await nodes.ask(0, "simulateTransaction", transaction=plant)
    await nodes.tell(1, lies={"simulation": how})
    said = await nodes.ask(1, "simulateTransaction", transaction=plant)
    assert ("error" in said) is (how == "refuses")
    if how != "refuses":
        asked = int(said["minResourceFee"]) / int(true["minResourceFee"])
        assert asked == pytest.approx({"dear": 100, "cheap": 0.1, "footprint": 1}[how], rel=1e-3)
        footprints = [
            xdr.SorobanTransactionData.from_xdr(answer["transactionData"]).resources.footprint
            for answer in (true, said)
        ]
        fewer = len(footprints[0].read_write) - len(footprints[1].read_write)
        assert fewer == (how == "footprint")


async def test_a_fork_is_consistent_with_itself(nodes: Liars) -> None:
    """Two of three follow a chain of their own: what is sent there is included only there."""
    farmer, other = nodes.farmer(), nodes.farmer()
    split = nodes.chain.node.snapshot.sequence
    for node in (1, 2):
        await nodes.tell(node, lies={"fork": "ours"})
    there, here = payment(nodes, farmer), payment(nodes, other)
    assert (await nodes.send(1, there))["status"] == "PENDING"
    await sent(nodes, here)
    assert await statuses(nodes, there, 1) == ("SUCCESS", "SUCCESS")
    assert await statuses(nodes, there, 2) == ("SUCCESS", "SUCCESS")
    assert await statuses(nodes, there, 0) == ("NOT_FOUND", "NOT_FOUND")
    assert await statuses(nodes, here, 2) == ("NOT_FOUND", "NOT_FOUND")
    number = there.transaction.sequence
    seen = [await nodes.sequence(node, farmer) for node in range(3)]
    assert seen == [number - 1, number + 999, number + 999]
    ledgers = [await nodes.ask(node, "getLatestLedger") for node in range(3)]
    assert {ledger["sequence"] for ledger in ledgers} == {split + 1}
    assert ledgers[1]["id"] == ledgers[2]["id"] != ledgers[0]["id"]
    await nodes.tell(1, lies={})
    assert await statuses(nodes, there, 1) == ("NOT_FOUND", "NOT_FOUND")
    assert await statuses(nodes, there, 2) == ("SUCCESS", "SUCCESS")


async def test_a_fork_goes_on_by_the_clock() -> None:
    settings = LocalnetSettings(port=0, nodes=2, ledger_seconds=0.05)
    async with open_localnet(settings) as running, aiohttp.ClientSession() as http:
        nodes = Liars(running, http)
        await nodes.tell(1, lies={"fork": "ours"})
        await asyncio.sleep(0.5)
        heights = [(await nodes.ask(n, "getHealth"))["latestLedger"] for n in (0, 1)]
        assert heights[0] > 3
        assert abs(heights[0] - heights[1]) <= 1


async def test_lies_of_some_methods_only(nodes: Liars) -> None:
    await nodes.tell(1, lies={"add_ledgers": 10}, methods=["getHealth"])
    true = nodes.chain.node.snapshot.sequence
    assert (await nodes.ask(1, "getHealth"))["latestLedger"] == true + 10
    assert (await nodes.ask(1, "getFeeStats"))["latestLedger"] == true


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("xdr", '"xdr":"AAAA"'),
        ("wrong_id", '"id":"not 1"'),
        ("types", '"entries":1'),
        ("no_result", '{"jsonrpc":"2.0","id":1}'),
        ("null", "null"),
        ("html", "<html>"),
        ("error", '"code":-32603'),
    ],
)
async def test_wrong_forms(nodes: Liars, form: str, shown: str) -> None:
    await nodes.tell(1, lies={"form": form})
    key = xdr.LedgerKey.from_xdr_bytes(nodes.farm).to_xdr()
    assert shown in await nodes.raw(1, "getLedgerEntries", keys=[key])
    assert shown not in await nodes.raw(0, "getLedgerEntries", keys=[key])
    assert await nodes.used("form") == 1


async def test_items_without_a_name(nodes: Liars) -> None:
    await sent(nodes, payment(nodes, nodes.farmer()))
    await nodes.tell(1, lies={"form": "no_hash"})
    page = await nodes.ask(1, "getTransactions", startLedger=2)
    assert page["transactions"]
    assert all("txHash" not in item for item in page["transactions"])


async def test_huge_answers(nodes: Liars) -> None:
    """Small on the wire, or without an end; read here no further than it takes to see that."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
    url = nodes.running.urls[1]
    size = 64 << 20
    async with aiohttp.ClientSession(auto_decompress=False) as plain:
        await nodes.tell(1, lies={"huge": {"kind": "zip", "size": size}})
        async with plain.post(url, json=call) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            packed = await answer.read()
        assert len(packed) < size // 500
        unpacked = gzip.decompress(packed)
        assert size <= len(unpacked) < size + 1000
        await nodes.tell(1, lies={"huge": {"kind": "plain", "size": 3 << 20}})
        async with plain.post(url, json=call) as answer:
            assert len(await answer.read()) > 3 << 20
        await nodes.tell(1, lies={"huge": {"kind": "deep", "size": 5000}})
        async with plain.post(url, json=call) as answer:
            assert b"[" * 5000 + b"]" * 5000 in await answer.read()
        await nodes.tell(1, lies={"huge": {"kind": "items", "size": 5000}})
        async with plain.post(url, json=call) as answer:
            assert (await answer.read()).count(b"txHash") == 5000
        await nodes.tell(1, lies={"huge": "endless"})
        async with plain.post(url, json=call) as answer:
            seen, start = 0, time.monotonic()
            while seen < 8 << 20:
                seen += len(await answer.content.readany())
            assert time.monotonic() - start < 10
    # The others are answered meanwhile, and afterwards.
    await nodes.ask(0, "getHealth")


async def test_lives_come_due_at_any_instant(nodes: Liars) -> None:
    text = xdr.LedgerKey.from_xdr_bytes(nodes.farm).to_xdr()

    async def remaining() -> int:
        answer = await nodes.ask(2, "getLedgerEntries", keys=[text])
        return int(answer["entries"][0]["liveUntilLedgerSeq"]) - int(answer["latestLedger"])

    await nodes.tell(0, lives={"instance": 1000, "code": 2000})
    assert await remaining() == 1000
    for wrong in ({"instance": -1}, {"colour": 1}, {"instance": 1, "contract": "C"}, 7):
        await nodes.tell(0, status=400, lives=wrong)
    assert await remaining() == 1000

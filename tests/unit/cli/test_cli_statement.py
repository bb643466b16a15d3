"""What `kalepool statement` shows, saves and finds, with a node that says what a test lets it."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid5

import pytest
from aiohttp import web
from google.protobuf import json_format
from kalepool.harvest.v1 import statement_pb2
from stellar_sdk import Asset, Keypair, StrKey, scval, xdr

from cli.stellar_xdr import data_key, data_value, moves_of, token_id
from libs.kale.networks import LOCALNET, MAINNET
from libs.kale.statements.owners import OwnerKind
from libs.kale.statements.roots import ENTRY_NAME, entry_value
from tests.support.recorder import Recorder, run
from tests.support.statements import (
    ADDRESS,
    FARMER,
    POOL_KEY,
    POOLER,
    copied,
    pool_of,
    pool_of_fees,
    text_of,
)

DOCUMENT = pool_of().document()
NAME = str(FARMER)


def reply(token: str = "") -> bytes:
    """What harvest answers."""
    return statement_pb2.GetStatementResponse(
        statement=json_format.ParseDict(DOCUMENT, statement_pb2.Statement()),
        next_page_token=token,
    ).SerializeToString()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A sound file."""
    path = tmp_path / "statement.json"
    write(path, DOCUMENT)
    return path


def write(path: Path, document: dict[str, Any]) -> None:
    """Write a file."""
    path.write_text(text_of(document), encoding="utf-8")


async def test_a_statement_is_shown(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    recorder.answer = lambda _: reply("more")
    assert await run("statement", "show", NAME, "--month", "2026-01", "--limit", "24") == 0
    out, err = capsys.readouterr()
    assert "opening 2025-12-31: 0.0" in err
    assert "the first 24 lines only" in err
    assert "chain:mint" in out
    assert await run("statement", "show", NAME, "--month", "2026-01", "--limit", "9", "--json") == 0
    assert json.loads(capsys.readouterr().out)["farmerId"] == NAME


@pytest.mark.parametrize("form", ["json", "csv", "tax"])
async def test_a_statement_is_saved_for_its_user_alone(
    recorder: Recorder, tmp_path: Path, form: str
) -> None:
    recorder.answer = lambda _: reply()
    path = tmp_path / "out"
    line = ("statement", "save", NAME, "--month", "2026-01", "--out", str(path), "--form", form)
    assert await run(*line) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8")
    assert (text == text_of(DOCUMENT)) is (form == "json")
    assert len(text.splitlines()) > 12
    assert await run(*line) == 2  # what is there stays


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (OwnerKind.POOLER, {"pooler_id": str(POOLER)}),
        (OwnerKind.MINER, {"pooler_id": str(POOLER), "miner_address": ADDRESS}),
    ],
)
async def test_poolers_and_miners_have_statements_that_are_verified_alike(
    recorder: Recorder,
    saved: Path,
    capsys: pytest.CaptureFixture[str],
    kind: OwnerKind,
    named: dict[str, str],
) -> None:
    document = pool_of_fees(kind).document()
    whose = [f"--{name.partition('_')[0]}={value}" for name, value in named.items()]
    recorder.answer = lambda _: statement_pb2.GetStatementResponse(
        statement=json_format.ParseDict(document, statement_pb2.Statement())
    ).SerializeToString()
    path = saved.with_name("fees.json")
    assert await run("statement", "save", *whose, "--month", "2026-01", "--out", str(path)) == 0
    _, asked = recorder.calls[-1]
    assert {field.name: value for field, value in asked.ListFields()} == {
        **named,
        "month": "2026-01",
        "page_size": 1000,
    }
    assert await run("statement", "verify", str(path)) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"{kind.value} {document[f'{kind.value}Id']}, {ADDRESS}" in told
    write(path, {**document, f"{kind.value}Id": str(uuid5(POOLER, "other"))})
    assert await run("statement", "verify", str(path)) == 1
    assert f"{kind.value}Id" in capsys.readouterr().out


async def test_a_pooler_without_an_account_has_nothing_to_compare_at_an_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = pool_of_fees(OwnerKind.POOLER, address="").document()
    path = tmp_path / "out"
    write(path, document)
    assert await verify(node_of(document), path) == 0
    out = capsys.readouterr().out
    assert "without an account" in out
    assert "happened, amounts not told" in out


async def test_a_sound_file_is_told_so_without_a_pool(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("statement", "verify", str(saved)) == 0
    out = capsys.readouterr().out
    assert "sound: sums, tree and roots" in out
    assert "24 lines" in out
    assert await run("statement", "verify", str(saved), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "isSound": True,
        "findings": [],
        "lines": 24,
        "root": None,
        "transactions": None,
    }


async def test_a_changed_byte_is_named_and_ends_with_1(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = copied(DOCUMENT)
    changed["lines"][2]["ledger"] += 1
    write(saved, changed)
    assert await run("statement", "verify", str(saved)) == 1
    assert "lines[2].ledger" in capsys.readouterr().out
    assert await run("statement", "verify", str(saved), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["findings"] == [{"where": "lines[2].ledger", "what": "was changed"}]


def end_differently(path: Path, end: str, count: int) -> None:
    """Give so many lines (-1: all) of a file another end."""
    path.write_bytes(path.read_bytes().replace(b"\n", end.encode(), count))


@pytest.mark.parametrize("end", ["\r\n", "\r"], ids=ascii)
async def test_other_line_ends_are_changed_bytes(
    saved: Path, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    end_differently(saved, end, 1)
    assert await run("statement", "verify", str(saved)) == 1
    end_differently(saved, end, -1)
    assert await run("statement", "verify", str(saved)) == 1
    assert "is not written as the pool writes it" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["missing.json", "."])
async def test_a_file_that_cannot_be_read_is_a_mistake_of_the_line(
    tmp_path: Path, name: str
) -> None:
    assert await run("statement", "verify", str(tmp_path / name)) == 2


# With a node --------------------------------------------------------------------------------------


class Node:
    """A Stellar RPC that has what a test gives it."""

    def __init__(self) -> None:
        self.entry: bytes | None = None
        self.transactions: dict[str, dict[str, Any]] = {}
        self.oldest = 1
        self.asked: list[str] = []

    async def serve(self, request: web.Request) -> web.Response:
        """Answer one call."""
        body = await request.json()
        method, parameters = body["method"], body["params"] or {}
        self.asked.append(method)
        answers: dict[str, Any] = {
            "getHealth": {"oldestLedger": self.oldest, "status": "healthy"},
            "getNetwork": {"passphrase": LOCALNET.passphrase},
            "getLedgerEntries": {"entries": self._entries(), "latestLedger": 9},
            "getTransaction": self.transactions.get(
                parameters.get("hash", ""), {"status": "NOT_FOUND"}
            ),
        }
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": answers[method]})

    def _entries(self) -> list[dict[str, str]]:
        if self.entry is None:
            return []
        data = xdr.DataEntry(
            account_id=Keypair.from_public_key(POOL_KEY).xdr_account_id(),
            data_name=xdr.String64(ENTRY_NAME.encode()),
            data_value=xdr.DataValue(self.entry),
            ext=xdr.DataEntryExt(0),
        )
        entry = xdr.LedgerEntryData(xdr.LedgerEntryType.DATA, data=data)
        return [{"key": data_key(POOL_KEY, ENTRY_NAME), "xdr": entry.to_xdr()}]


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[str]:
    """Serve a node; yield its URL."""
    app = web.Application()
    app.router.add_post("/", node.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def mint(address: str, amount: int) -> str:
    """An event of KALE's contract, by the SDK."""
    code, _, issuer = LOCALNET.asset.partition(":")
    contract = StrKey.decode_contract(Asset(code, issuer).contract_id(LOCALNET.passphrase))
    return event("mint", [scval.to_address(address)], scval.to_int128(amount), contract)


def event(kind: str, who: list[xdr.SCVal], data: xdr.SCVal, contract: bytes) -> str:
    """An event by the SDK."""
    topics = [scval.to_symbol(kind), *who, scval.to_string(LOCALNET.asset)]
    return xdr.ContractEvent(
        ext=xdr.ExtensionPoint(0),
        contract_id=xdr.ContractID(xdr.Hash(contract)),
        type=xdr.ContractEventType.CONTRACT,
        body=xdr.ContractEventBody(0, v0=xdr.ContractEventV0(topics=topics, data=data)),
    ).to_xdr()


def node_of(document: dict[str, Any]) -> Node:
    """A node that confirms a statement."""
    node = Node()
    root = document["roots"][-1]
    from libs.kale.statements.roots import day_number  # noqa: PLC0415

    node.entry = entry_value(day_number(root["day"]), bytes.fromhex(root["record"]))
    for line in document["lines"]:
        amounts = {one["role"]: int(one["amount"]) for one in line["amounts"]}
        gained = sum(amounts.get(role, 0) for role in ("farmer:available", "pooler:fee"))
        events = [mint(document["address"] or POOL_KEY, gained)]
        node.transactions[line["transactionHash"]] = {
            "status": "SUCCESS",
            "ledger": line["ledger"],
            "events": {"contractEventsXdr": [events]},
        }
    return node


async def verify(node: Node, path: Path, *more: str) -> int:
    """Verify a file beside a node; the command runs in a loop of its own."""
    async with running(node) as url:
        return await run("statement", "verify", str(path), "--rpc", url, *more)


async def test_a_node_confirms_root_and_lines(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = node_of(DOCUMENT)
    assert await verify(node, saved) == 0
    out = capsys.readouterr().out
    assert "that of 2026-02-01" in out
    assert "lines: confirmed" in out
    node.oldest = DOCUMENT["lines"][12]["ledger"]
    assert await verify(node, saved, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["transactions"]["confirmed"], told["transactions"]["too_old"]) == (12, 12)


class Forgetful(Node):
    """A node that drops ledgers while it is asked for transactions."""

    later = 1

    async def serve(self, request: web.Request) -> web.Response:
        """Answer one call, without what is dropped by the first question for a transaction."""
        if (await request.json())["method"] == "getTransaction":
            self.oldest = self.later
            kept = self.transactions.items()
            self.transactions = {name: one for name, one in kept if one["ledger"] >= self.later}
        return await super().serve(request)


async def test_what_a_node_forgets_meanwhile_is_no_finding(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node, whole = Forgetful(), node_of(DOCUMENT)
    node.entry, node.transactions = whole.entry, whole.transactions
    node.later = DOCUMENT["lines"][12]["ledger"]
    assert await verify(node, saved, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["transactions"]["confirmed"], told["transactions"]["too_old"]) == (12, 12)


async def test_what_the_chain_says_otherwise_ends_with_1(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = node_of(DOCUMENT)
    line = DOCUMENT["lines"][5]
    node.transactions[line["transactionHash"]]["events"] = {
        "contractEventsXdr": [[mint(DOCUMENT["address"], 3)]]
    }
    assert await verify(node, saved) == 1
    assert "lines[5].amounts" in capsys.readouterr().out
    node = node_of(DOCUMENT)
    node.entry = None
    assert await verify(node, saved) == 1
    assert "no root in its data entry" in capsys.readouterr().out


async def test_roots_since_then_lead_to_a_newer_one(saved: Path, tmp_path: Path) -> None:
    later = pool_of()
    newest = later.roots[-1].day + 1
    later.close(newest, [])
    root = later.document()["roots"][-1]
    node = node_of(DOCUMENT)
    node.entry = entry_value(newest, bytes.fromhex(root["record"]))
    assert await verify(node, saved) == 1
    roots = tmp_path / "roots.json"
    roots.write_text(json.dumps({"roots": [{"root": root}]}), encoding="utf-8")
    assert await verify(node, saved, "--roots", str(roots)) == 0
    root["leaves"] += 1
    roots.write_text(json.dumps({"roots": [{"root": root}]}), encoding="utf-8")
    assert await verify(node, saved, "--roots", str(roots)) == 2


async def test_a_node_that_is_away_is_no_finding(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("statement", "verify", str(saved), "--rpc")
    assert await run(*line, "http://127.0.0.1:1/") == 1
    assert "UNAVAILABLE" in capsys.readouterr().err
    assert await run(*line, "ftp://example.com") == 2


async def test_an_asset_of_ones_own_is_looked_for_in_its_place(saved: Path) -> None:
    node = node_of(DOCUMENT)
    assert await verify(node, saved, "--asset", LOCALNET.asset) == 0
    assert await verify(node, saved, "--asset", f"OTHER:{POOL_KEY}") == 2
    # Events of another token say nothing of this one.
    assert await verify(node, saved, "--asset", f"KALE:{POOL_KEY}") == 1


async def test_a_file_that_is_wrong_asks_no_node(saved: Path) -> None:
    changed = copied(DOCUMENT)
    changed["month"] = "2026-02"
    write(saved, changed)
    node = node_of(DOCUMENT)
    assert await verify(node, saved) == 1
    assert node.asked == []


# XDR by hand --------------------------------------------------------------------------------------

ACCOUNT = Keypair.random()
OTHER = Keypair.random()
TOKEN = b"t" * 32


def moves(*events: str) -> tuple[int, ...]:
    """What events gave an account."""
    return moves_of(events, token=TOKEN, account=ACCOUNT.raw_public_key())


def given(kind: str, *who: Keypair, data: xdr.SCVal | None = None, contract: bytes = TOKEN) -> str:
    """An event about some accounts."""
    accounts = [scval.to_address(one.public_key) for one in who]
    return event(kind, accounts, data or scval.to_int128(7), contract)


def test_events_are_read_as_the_sdk_writes_them() -> None:
    assert moves(given("mint", ACCOUNT)) == (7,)
    assert moves(given("mint", OTHER, ACCOUNT)) == (7,)
    assert moves(given("burn", ACCOUNT)) == (-7,)
    assert moves(given("transfer", ACCOUNT, OTHER)) == (-7,)
    assert moves(given("transfer", OTHER, ACCOUNT)) == (7,)
    assert moves(given("transfer", ACCOUNT, ACCOUNT)) == (-7, 7)
    assert moves(given("transfer", OTHER, OTHER)) == ()
    assert moves(given("mint", ACCOUNT, contract=b"u" * 32)) == ()
    assert moves(given("approve", ACCOUNT, OTHER)) == ()
    # A muxed receiver's number stands beside the amount.
    data = scval.to_map(
        {
            scval.to_symbol("amount"): scval.to_int128(9),
            scval.to_symbol("to_muxed_id"): scval.to_uint64(3),
        }
    )
    assert moves(given("transfer", OTHER, ACCOUNT, data=data)) == (9,)
    assert moves(given("transfer", OTHER, ACCOUNT, data=scval.to_void())) == ()


@pytest.mark.parametrize(
    "value",
    [
        scval.to_bool(True),
        scval.to_uint32(1),
        scval.to_int32(-1),
        scval.to_uint64(1),
        scval.to_timepoint(1),
        scval.to_uint128(1),
        scval.to_uint256(1),
        scval.to_int256(-1),
        scval.to_bytes(b"abc"),
        scval.to_vec([scval.to_symbol("a"), scval.to_void()]),
        scval.to_address(MAINNET.farm),
    ],
)
def test_values_of_other_events_are_passed_over(value: xdr.SCVal) -> None:
    strange = event("strange", [value], scval.to_vec([value]), TOKEN)
    assert moves(strange, given("mint", ACCOUNT)) == (7,)


@pytest.mark.parametrize("cut", [1, 8, 40, 60])
def test_what_ends_too_early_is_refused(cut: int) -> None:
    raw = base64.b64decode(given("mint", ACCOUNT))
    with pytest.raises(ValueError, match=r"."):
        moves(base64.b64encode(raw[:-cut]).decode())


def test_data_entries_and_tokens_are_named_as_the_sdk_does() -> None:
    address = ACCOUNT.public_key
    key = xdr.LedgerKey(
        xdr.LedgerEntryType.DATA,
        data=xdr.LedgerKeyData(
            account_id=ACCOUNT.xdr_account_id(), data_name=xdr.String64(ENTRY_NAME.encode())
        ),
    )
    assert data_key(address, ENTRY_NAME) == key.to_xdr()
    with pytest.raises(ValueError, match="not the data entry"):
        data_value(data_key(OTHER.public_key, ENTRY_NAME), address=address, name=ENTRY_NAME)
    for network in (LOCALNET, MAINNET):
        code, _, issuer = network.asset.partition(":")
        contract = Asset(code, issuer).contract_id(network.passphrase)
        assert token_id(network.asset, network.passphrase) == StrKey.decode_contract(contract)

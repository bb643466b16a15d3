"""The protos' comments name command lines: each of them calls its RPC, with its arguments."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.common.v1 import common_pb2
from kalepool.harvest.v1 import (
    harvest_pb2,
    ledger_pb2,
    miner_pb2,
    payout_pb2,
    statement_pb2,
)
from kalepool.plant.v1 import plant_pb2
from kalepool.registry.v1 import notification_pb2, registry_pb2
from kalepool.report.v1 import fees_pb2, report_pb2
from kalepool.wallet.v1 import (
    agreement_pb2,
    approval_pb2,
    closing_pb2,
    custody_pb2,
    data_entry_pb2,
    engine_pb2,
    keys_pb2,
    login_pb2,
    order_pb2,
    reconcile_pb2,
    token_pb2,
    wallet_pb2,
    withdrawal_pb2,
)
from kalepool.wallet.v1 import payout_pb2 as wallet_payout_pb2
from kalepool.work.v1 import work_pb2

from cli import progress
from cli.main import REFUSED, TASKS, app
from tests.support.recorder import Recorder, run

PROTOS = Path(__file__).parents[3] / "protos" / "kalepool"
MODULES = (
    registry_pb2,
    notification_pb2,
    wallet_pb2,
    engine_pb2,
    withdrawal_pb2,
    agreement_pb2,
    wallet_payout_pb2,
    custody_pb2,
    data_entry_pb2,
    closing_pb2,
    approval_pb2,
    keys_pb2,
    order_pb2,
    token_pb2,
    login_pb2,
    reconcile_pb2,
    plant_pb2,
    work_pb2,
    harvest_pb2,
    ledger_pb2,
    payout_pb2,
    miner_pb2,
    statement_pb2,
    report_pb2,
    fees_pb2,
)
LINE = re.compile(r"// Command line: (?P<line>.+)\n\s*rpc (?P<rpc>\w+)\(")
SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"
OTHER = "0190a5f0-0000-7000-8000-000000000002"
#: A pooler's miner, as options name it, and as a request does.
OF_MINER = f"--pooler {SOMEBODY} --miner G{'A' * 55}"
MINER = {"pooler_id": SOMEBODY, "miner_address": "G" + "A" * 55}
#: What stands for a value in the comments, and values for it.
VALUES = {
    "POOLER_ID": SOMEBODY,
    "FARMER_ID...": f"{SOMEBODY} {OTHER}",
    "FARMER_ID": SOMEBODY,
    "OPERATION_ID": SOMEBODY,
    "APPROVAL_ID": SOMEBODY,
    "WITHDRAWAL_ID": SOMEBODY,
    "TOKEN_ID": SOMEBODY,
    "WEBHOOK_ID": SOMEBODY,
    "URL": "https://hooks.example.com/",
    "WORDS": "why",
    "NAME": "north",
    "G...": "G" + "A" * 55,
    "BASE64": "A" * 86 + "==",
    "[INDEX]": "12345",
}
#: Orders that a command gives wallet first, by the RPC that then notes them.
ORDERS = {
    "/kalepool.registry.v1.RegistryService/UpdateFarmer": {
        "/kalepool.wallet.v1.WalletService/SetStakeLimit"
    }
}
#: Looks at what came of a call, by its RPC.
LOOKS = {
    "/kalepool.registry.v1.NotificationService/TestWebhook": {
        "/kalepool.registry.v1.NotificationService/ListDeliveries"
    }
}
#: Commands that no RPC of one service stands for.
OF_THE_POOL = {"status", "info", "certificates", "watch", "profile"}


def command_lines() -> list[tuple[str, str]]:
    """(line, full method name) of every RPC with a command line."""
    found = []
    for path in sorted(PROTOS.glob("*/v1/*.proto")):
        text = path.read_text(encoding="utf-8")
        service = re.search(r"^service (\w+)", text, re.MULTILINE)
        if service is None:
            continue  # only types, such as the rules of fields
        for match in LINE.finditer(text):
            name = f"/kalepool.{path.parent.parent.name}.v1.{service[1]}/{match['rpc']}"
            found.append((match["line"], name))
    return found


LINES = [(line, rpc) for line, rpc in command_lines() if line.startswith("kalepool ")]


def tokens(line: str, directory: Path) -> list[str]:
    """A comment's line with values, without the command's own name."""
    place = directory / "submissions.json"
    place.write_text(json.dumps([{"farmerId": SOMEBODY, "nonce": "7"}]), encoding="utf-8")
    for name, value in {**VALUES, "FILE": str(place), "SECRET": str(directory / "secret")}.items():
        line = re.sub(rf"(?<!\S){re.escape(name)}(?!\S)", value, line)
    return line.split()[1:]


def test_every_rpc_has_a_line() -> None:
    methods = {
        f"/{service.full_name}/{method.name}"
        for module in (*MODULES, common_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert {rpc for _, rpc in command_lines()} == methods


@pytest.mark.parametrize(("line", "rpc"), LINES)
async def test_a_line_calls_its_rpc(
    recorder: Recorder, tmp_path: Path, line: str, rpc: str
) -> None:
    # An empty answer is no sound audit log, no key, and no pause that is recorded.
    refused = rpc.endswith(("/VerifyAuditLog", "/ExportKey", "/PauseSigning"))
    assert await run(*tokens(line, tmp_path)) == (REFUSED if refused else 0)
    assert not (tmp_path / "secret").exists(), "it is in the way of the next try"
    # Three calls for `--state open`; one otherwise.
    called = {method for method, _ in recorder.calls}
    assert called == {rpc} | ORDERS.get(rpc, set()) | LOOKS.get(rpc, set())


def test_every_command_is_in_a_line() -> None:
    known = {" ".join(line.split()[1:3]) for line, _ in LINES}
    groups = {"pooler", "farmer", "wallet", "operation"}
    commands = set()
    for name in app:
        if name.startswith("-"):
            continue
        inner = [sub for sub in app[name] if not sub.startswith("-")] if name in groups else []
        commands |= {f"{name} {sub}" for sub in inner} or {name}
    documented = {line if line.split()[0] in groups else line.split()[0] for line in known}
    assert commands - OF_THE_POOL == documented


TERMS = {
    "stake_percentage": "0.5",
    "pooler_fee": "0.05",
    "miners_part": "0.2",
    "payout_threshold": 15_000_000,
    "payout_interval_seconds": 60,
    "harvest_blocks": 3,
    "terms_version": 0,
}
CALLS: dict[str, dict[str, Any]] = {
    f"pooler update {SOMEBODY} --name= --max-farmers 5 --listed --no-open-to-join --request-id r": {
        "pooler_id": SOMEBODY,
        "name": "",
        "max_farmers": 5,
        "is_listed": True,
        "is_open_to_join": False,
        "request_id": "r",
    },
    f"farmer register --pooler {SOMEBODY} --owner-account x --terms-version 3 --request-id r": {
        "pooler_id": SOMEBODY,
        "owner_account": "x",
        "terms_version": 3,
        "metadata": {},
        "request_id": "r",
    },
    f"pooler mark {SOMEBODY} --farms-for-others": {
        "pooler_id": SOMEBODY,
        "farms_for_itself": False,
    },
    f"pooler terms {SOMEBODY} --version 2": {"pooler_id": SOMEBODY, "version": 2},
    f"pooler publish-terms {SOMEBODY} --pooler-fee 0.05 --miners-part 0.2 --stake-percentage 0.5"
    " --payout-threshold 1.5 --payout-interval 60 --harvest-blocks 3 --text hello --request-id r": {
        "request_id": "r",
        "pooler_id": SOMEBODY,
        "stake_percentage": "0.5",
        "pooler_fee": "0.05",
        "miners_part": "0.2",
        "payout_threshold": 15_000_000,
        "payout_interval_seconds": 60,
        "harvest_blocks": 3,
        "text": "hello",
    },
    f"agreement set {SOMEBODY} --pooler-fee 0.05 --miners-part 0.2 --stake-percentage 0.5"
    " --payout-threshold 1.5 --payout-interval 60 --harvest-blocks 3": {
        "farmer_id": SOMEBODY,
        "terms": TERMS,
    },
    f"agreement draft {SOMEBODY} --pooler-fee 0.05 --miners-part 0.2 --stake-percentage 0.5"
    " --payout-threshold 1.5 --payout-interval 60 --harvest-blocks 3 --payout-address x": {
        "farmer_id": SOMEBODY,
        "wish": {"terms": {"terms": TERMS, "payout_address": "x"}},
    },
    f"agreement draft {SOMEBODY} --payout-address=": {
        "farmer_id": SOMEBODY,
        "wish": {"payout_address": ""},
    },
    f"agreement draft {SOMEBODY} --leave": {"farmer_id": SOMEBODY, "wish": {"leave": True}},
    f"agreement draft {SOMEBODY} --objection": {
        "farmer_id": SOMEBODY,
        "wish": {"objection": True},
    },
    f"agreement sign {SOMEBODY} --owner-account x --signature AAAA": {
        "farmer_id": SOMEBODY,
        "wish": {"owner_account": "x"},
        "signature": bytes(3),
    },
    f"agreement list {SOMEBODY} --limit 7": {"farmer_id": SOMEBODY, "page_size": 7},
    f"farmer update {SOMEBODY} --stake-percentage 0.25 --request-id r": {
        "farmer_id": SOMEBODY,
        "stake_percentage": "0.25",
        "request_id": "r",
    },
    f"engine reclaim --pooler {SOMEBODY} --farmer {OTHER} --idle-hours 7 --dry-run": {
        "pooler_id": SOMEBODY,
        "farmer_ids": [OTHER],
        "idle_hours": 7,
        "dry_run": True,
    },
    f"plant --pooler {SOMEBODY} --block 12345 --max-farmers 3": {
        "pooler_id": SOMEBODY,
        "block_index": 12345,
        "max_farmers_capacity": 3,
    },
    f"plantings --pooler {SOMEBODY} --limit 7": {"pooler_id": SOMEBODY, "page_size": 7},
    f"plantings --pooler {SOMEBODY} --block 0 --limit 0": {
        "pooler_id": SOMEBODY,
        "block_index": 0,
        "page_size": 1000,
    },
    f"token create pooler {SOMEBODY} --name south --read-only --expires 7 --request-id r"
    " --methods PlantService/ListPlantings /kalepool.work.v1.WorkService/ListWorks"
    " ReportService/ListEarnings": {
        "request_id": "r",
        "role": token_pb2.TOKEN_ROLE_POOLER,
        "pooler_id": SOMEBODY,
        "name": "south",
        "methods": [
            "/kalepool.plant.v1.PlantService/ListPlantings",
            "/kalepool.work.v1.WorkService/ListWorks",
            "/kalepool.report.v1.ReportService/ListEarnings",
        ],
        "is_read_only": True,
        "expires_in_seconds": 7 * 86_400,
    },
    "token create operator --expires 0.5 --request-id r": {
        "request_id": "r",
        "role": token_pb2.TOKEN_ROLE_OPERATOR,
        "expires_in_seconds": 43_200,
    },
    "token create operator dashboard --read-only --request-id r": {
        "request_id": "r",
        "role": token_pb2.TOKEN_ROLE_OPERATOR,
        "name": "dashboard",
        "is_read_only": True,
        "expires_in_seconds": 90 * 86_400,
    },
    f"token list --pooler {SOMEBODY} --limit 7": {"pooler_id": SOMEBODY, "page_size": 7},
    f"webhook create https://a.example/b --pooler {SOMEBODY} --farmer {OTHER} --request-id r"
    " --kinds payout_made pooler.gone webhook.test webhook.disabled": {
        "request_id": "r",
        "pooler_id": SOMEBODY,
        "farmer_id": OTHER,
        "url": "https://a.example/b",
        "kinds": [
            notification_pb2.NOTIFICATION_KIND_PAYOUT_MADE,
            notification_pb2.NOTIFICATION_KIND_POOLER_GONE,
            notification_pb2.NOTIFICATION_KIND_TEST,
            notification_pb2.NOTIFICATION_KIND_WEBHOOK_DISABLED,
        ],
    },
    f"webhook list --pooler {SOMEBODY} --limit 7": {"pooler_id": SOMEBODY, "page_size": 7},
    f"webhook deliveries {SOMEBODY} --limit 7": {"webhook_id": SOMEBODY, "page_size": 7},
    f"notifications --pooler {SOMEBODY} --farmer {OTHER}": {
        "pooler_id": SOMEBODY,
        "farmer_id": OTHER,
        "page_size": 30,
    },
    f"wallet show --wallet {SOMEBODY}": {"wallet_id": SOMEBODY},
    f"wallet balances {SOMEBODY} {OTHER}": {"farmer_ids": [SOMEBODY, OTHER]},
    "block 7 --watch": {"after_index": 7},
    "harvest-pending": {},
    f"statement show {SOMEBODY} --month 2026-01 --limit 7": {
        "farmer_id": SOMEBODY,
        "month": "2026-01",
        "page_size": 7,
    },
    f"statement show {OF_MINER} --month 2026-01": {**MINER, "month": "2026-01", "page_size": 20},
    "statement roots --limit 7": {"page_size": 7},
    f"statement proof {OF_MINER} --day 2026-01-31": {**MINER, "day": "2026-01-31"},
    "report summary": {},
    f"report summary --address G{'A' * 55}": {"address": "G" + "A" * 55},
    f"report blocks --pooler {SOMEBODY} --limit 7": {"pooler_id": SOMEBODY, "page_size": 7},
    f"report earnings --farmer {SOMEBODY} --by month --since 2026-01-01 --until "
    "2026-03-01T12:00:00+02:00 --limit 5": {
        "farmer_id": SOMEBODY,
        "span": report_pb2.SPAN_MONTH,
        "start_time": {"seconds": 1_767_225_600},
        "end_time": {"seconds": 1_772_359_200},
        "page_size": 5,
    },
    f"report fees --pooler {SOMEBODY} --by hour --since 2026-01-01T00:00:01": {
        "pooler_id": SOMEBODY,
        "span": report_pb2.SPAN_HOUR,
        "start_time": {"seconds": 1_767_225_601},
        "page_size": 30,
    },
    "operation list --state failed --kind plant": {
        "state": wallet_pb2.OPERATION_STATE_FAILED,
        "kind": wallet_pb2.OPERATION_KIND_PLANT,
        "page_size": 100,
    },
}


@pytest.mark.parametrize("line", CALLS)
async def test_options_reach_the_request(recorder: Recorder, line: str) -> None:
    assert await run(*line.split()) == 0
    method, request = recorder.calls[-1]
    assert len(recorder.calls) == 1 + len(ORDERS.get(method, ()))
    assert request == type(request)(**CALLS[line]), method


async def test_wallet_gets_its_orders_before_registry_notes_them(recorder: Recorder) -> None:
    address = VALUES["G..."]
    line = f"farmer update {SOMEBODY} --stake-percentage 0.25 --payout-wallet-address {address}"
    assert await run(*line.split()) == 0
    (_, stake), (_, payout), (_, look), (_, note) = recorder.calls
    assert isinstance(look, withdrawal_pb2.GetPayoutAddressRequest)
    assert stake == wallet_pb2.SetStakeLimitRequest(farmer_id=SOMEBODY, stake_percentage="0.25")
    assert payout == withdrawal_pb2.SetPayoutAddressRequest(farmer_id=SOMEBODY, address=address)
    assert isinstance(note, registry_pb2.UpdateFarmerRequest)
    assert (note.stake_percentage, note.payout_wallet_address) == ("0.25", address)


async def test_open_operations_are_those_in_three_states(recorder: Recorder) -> None:
    assert await run("operation", "list", "--state", "open") == 0
    states = [request.state for _, request in recorder.calls if hasattr(request, "state")]
    assert states == [
        wallet_pb2.OPERATION_STATE_QUEUED,
        wallet_pb2.OPERATION_STATE_SIGNED,
        wallet_pb2.OPERATION_STATE_SENT,
    ]


async def test_a_watched_block_is_one_line(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ((), ("--json",)):
        assert await run("block", "--watch", *options) == 0
        assert capsys.readouterr().out.count("\n") == 1


async def test_submissions_come_from_a_file(recorder: Recorder, tmp_path: Path) -> None:
    line = "work --pooler x --block 1 --submissions"
    place = tmp_path / "nonces"
    items = [{"farmerId": SOMEBODY, "nonce": "18446744073709551615", "timestamp": 1}]
    for value in (items, {"submissions": items}):
        place.write_text(json.dumps(value), encoding="utf-8")
        assert await run(*line.split(), str(place)) == 0
    expected = work_pb2.Submission(farmer_id=SOMEBODY, nonce=2**64 - 1, timestamp=1)
    assert len(recorder.calls) == 2
    for _, request in recorder.calls:
        assert isinstance(request, work_pb2.SubmitWorkRequest)
        assert list(request.submissions) == [expected]


@pytest.mark.parametrize(("is_open", "status"), [(True, 1), (False, 0)])
async def test_differences_are_open_though_only_settled_ones_are_shown(
    recorder: Recorder, is_open: bool, status: int
) -> None:
    def answer(request: reconcile_pb2.ListDifferencesRequest) -> bytes:
        settled = reconcile_pb2.Difference(settled="as it is on the chain")
        shown = [settled] if request.include_settled else [reconcile_pb2.Difference()] * is_open
        return reconcile_pb2.ListDifferencesResponse(differences=shown).SerializeToString()

    recorder.answer = answer
    assert await run("reconcile", "list", "--settled", "--limit", "1") == status


async def test_a_report_of_fees_tells_kinds_and_the_price_of_a_kale(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    fees = fees_pb2.Fees(
        starts_at=Timestamp(seconds=1_767_225_600),
        kinds=[
            fees_pb2.Fee(kind=fees_pb2.FEE_KIND_PLANT, stroops=5_000_000, charges=2),
            fees_pb2.Fee(kind=fees_pb2.FEE_KIND_RENT, stroops=1, charges=1),
        ],
        stroops=5_000_001,
        rewards=20_000_000,
        stroops_per_kale=2_500_000,
    )
    free = fees_pb2.Fees(starts_at=Timestamp(seconds=1_767_222_000))
    reply = fees_pb2.ListFeesResponse(fees=[fees, free])
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("report", "fees", "--by", "hour") == 0
    output = capsys.readouterr().out
    for text in (
        "2026-01-01 00:00:00 UTC",
        "0.5000001 XLM",
        "plant 0.5000000, rent 0.0000001",
        "2.0000000 KALE",
        "0.2500000 XLM",
    ):
        assert text in output
    assert await run("report", "fees", "--json") == 0
    assert json.loads(capsys.readouterr().out)["fees"][0]["stroopsPerKale"] == "2500000"


async def test_a_summary_tells_earnings_days_and_how_often_farming_succeeded(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = report_pb2.Summary(
        active_farmers=7,
        rewards_today=15_000_000,
        success=report_pb2.Success(blocks=288, planted=399, not_planted=1, worked=2),
        days=[report_pb2.Earnings(rewards=15_000_000, harvests=3)],
    )
    reply = report_pb2.GetPoolSummaryResponse(summary=summary)
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("report", "summary") == 0
    output = capsys.readouterr().out
    for text in ("active farmers", "1.5000000 KALE", "99.8", "100.0"):
        assert text in output
    assert await run("report", "summary", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rewardsToday"] == "15000000"


async def test_a_block_is_shown_with_its_farmers_by_zeros(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    block = report_pb2.BlockReport(
        block_index=7,
        own=report_pb2.Extremes(min_zeros=2, max_zeros=3),
        farmers_by_zeros=[0, 0, 1, 4],
    )
    reply = report_pb2.GetBlockReportResponse(block=block)
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("report", "block", "7") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["2", "1"] in lines
    assert ["3", "4"] in lines
    assert ["0", "0"] not in lines
    assert await run("report", "block", "7", "--json") == 0
    assert json.loads(capsys.readouterr().out)["farmersByZeros"] == [0, 0, 1, 4]


async def test_changes_have_a_fresh_request_id(recorder: Recorder) -> None:
    for _ in range(2):
        assert await run("farmer", "register", "--pooler", SOMEBODY) == 0
    ids = {getattr(request, "request_id", "") for _, request in recorder.calls}
    assert len(ids) == 2
    assert "" not in ids


async def test_help_groups_commands_by_what_people_want(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await run("--help") == 0
    shown = capsys.readouterr().out
    places = [shown.index(f" {task} ") for task in TASKS]
    assert places == sorted(places)
    assert places[-1] < shown.index("Options of every command")
    # No command is left over: those without a group of their own are under "Commands".
    assert " Commands " not in shown


async def test_what_a_terminal_is_told_of_a_long_batch_is_what_is_recorded(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Plant that takes long: its plantings are counted meanwhile, on standard error."""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(progress, "_LOOK", 0.05)
    recorder.slow["/kalepool.plant.v1.PlantService/Plant"] = 1.0
    plantings = plant_pb2.ListPlantingsResponse(plantings=[plant_pb2.Planting()] * 3)
    recorder.answer = lambda asked: (
        plantings.SerializeToString() if isinstance(asked, plant_pb2.ListPlantingsRequest) else b""
    )
    assert await run("plant", "--pooler", SOMEBODY, "--block", "1", "--json") == 0
    output, errors = capsys.readouterr()
    assert output.count("\n") == 1
    assert errors == "kalepool: waiting for Plant: 0 s, 3 plantings recorded\n"


async def test_help_and_version_ask_nobody(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in ("--help", "pooler --help", "farmer register --help", "--version", ""):
        assert await run(*line.split()) == 0
        assert capsys.readouterr().out
    assert not recorder.calls

"""The library's calls about money, and the RPCs that the library has no method for."""

import inspect
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from kalepool.harvest.v1 import ledger_pb2, payout_pb2, statement_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2

import client
from client import Limits, MoneyClient, Targets, UnavailableError
from libs.common.grpc.rpcs import services
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.kale.statements.checking import check
from tests.support.recorder import Recorder
from tests.support.statements import copied, pool_of, text_of

POOLER, FARMER = PoolerId(new_id()), FarmerId(new_id())
OF_POOLER: dict[str, Any] = {"pooler_id": str(POOLER)}
OF_FARMER: dict[str, Any] = {"farmer_id": str(FARMER)}
ACCOUNT = "G" + "A" * 55
TERMS = agreement_pb2.AgreedTerms(pooler_fee="0.05")
WISH = agreement_pb2.Wish(objection=True)
#: Each method of MoneyClient: how it is called, the RPC, and what it asks.
CALLS: list[tuple[str, Mapping[str, Any], str, Mapping[str, Any]]] = [
    ("terms", {"pooler_id": POOLER, "version": 3}, "GetTerms", {**OF_POOLER, "version": 3}),
    (
        "publish_terms",
        {"request": registry_pb2.PublishTermsRequest(request_id="a", **OF_POOLER)},
        "PublishTerms",
        {**OF_POOLER, "request_id": "a"},
    ),
    ("agreement_rules", {}, "GetAgreementRules", {}),
    ("agreements", {"farmer_id": FARMER}, "ListAgreements", {**OF_FARMER, "page_size": 1000}),
    (
        "set_agreement",
        {"farmer_id": FARMER, "terms": TERMS, "request_id": "a"},
        "SetAgreement",
        {**OF_FARMER, "request_id": "a", "terms": TERMS},
    ),
    (
        "mark_pooler",
        {"pooler_id": POOLER, "farms_for_itself": False},
        "MarkPooler",
        {**OF_POOLER, "farms_for_itself": False},
    ),
    ("owner_account", {"farmer_id": FARMER}, "GetOwnerAccount", OF_FARMER),
    (
        "set_owner_account",
        {"farmer_id": FARMER, "owner_account": ACCOUNT},
        "SetOwnerAccount",
        {**OF_FARMER, "owner_account": ACCOUNT},
    ),
    ("draft_wish", {"farmer_id": FARMER, "wish": WISH}, "DraftWish", {**OF_FARMER, "wish": WISH}),
    (
        "sign_wish",
        {"farmer_id": FARMER, "wish": WISH, "signature": b"s"},
        "SignWish",
        {**OF_FARMER, "wish": WISH, "signature": b"s"},
    ),
    ("payout_preview", {"pooler_id": POOLER}, "GetPayoutPreview", OF_POOLER),
    (
        "run_payouts",
        {"max_amount": 7, "farmer_id": FARMER, "request_id": "a"},
        "RunPayouts",
        {**OF_FARMER, "max_amount": 7, "request_id": "a"},
    ),
    (
        "pay_now",
        {"farmer_id": FARMER, "amount": 7, "request_id": "a"},
        "PayNow",
        {**OF_FARMER, "amount": 7, "request_id": "a"},
    ),
    (
        "payouts",
        {"pooler_id": POOLER, "run_id": "r"},
        "ListPayouts",
        {**OF_POOLER, "run_id": "r", "page_size": 1000},
    ),
    ("pending", {"farmer_id": FARMER}, "ListPending", {**OF_FARMER, "page_size": 1000}),
    ("payout_switch", {}, "GetPayoutSwitch", {}),
    (
        "switch_payouts",
        {"is_off": True, "reason": "why"},
        "SetPayoutSwitch",
        {"is_off": True, "reason": "why"},
    ),
    (
        "statement",
        {"month": "2026-01", "pooler_id": POOLER, "miner_address": ACCOUNT},
        "GetStatement",
        {**OF_POOLER, "month": "2026-01", "miner_address": ACCOUNT, "page_size": 1000},
    ),
    (
        "proof",
        {"day": "2026-01-31", "farmer_id": FARMER},
        "GetProof",
        {**OF_FARMER, "day": "2026-01-31"},
    ),
    ("roots", {}, "ListRoots", {"page_size": 1000}),
    ("close_day", {}, "CloseDay", {}),
    ("ledger_status", {}, "GetLedgerStatus", {}),
    ("check_ledger", {}, "CheckLedger", {}),
    ("journals", {"farmer_id": FARMER}, "ListJournals", {**OF_FARMER, "page_size": 1000}),
    ("accounts", {"farmer_id": FARMER}, "ListJournals", {**OF_FARMER, "page_size": 1}),
    (
        "miner_credits",
        {"pooler_id": POOLER, "address": ACCOUNT},
        "GetMinerCredits",
        {**OF_POOLER, "address": ACCOUNT, "page_size": 1000},
    ),
]
#: RPCs without a method, and why: by service, or one by one.
WITHOUT = {
    # What services ask each other.
    "wallet.v1.ClosingService": {"*"},
    "wallet.v1.DataEntryService": {"*"},
    "wallet.v1.PayoutService": {"*"},
    # What operators do with wallet itself, by `kalepool`.
    "wallet.v1.ApprovalService": {"*"},
    "wallet.v1.CustodyService": {"*"},
    "wallet.v1.EngineService": {"*"},
    "wallet.v1.KeyService": {"*"},
    "wallet.v1.OrderService": {"*"},
    "wallet.v1.ReconciliationService": {"*"},
    # Owners log in by the gateway, or by `kalepool`.
    "wallet.v1.LoginService": {"*"},
    # The library exchanges tokens by itself (client/tokens.py); operators make them by `kalepool`.
    "wallet.v1.TokenService": {"*"},
    # Read by pages and `kalepool`.
    "common.v1.InfoService": {"*"},
    "report.v1.FeeService": {"*"},
    "registry.v1.NotificationService": {"*"},
    "report.v1.ReportService": {
        *("GetPoolSummary", "GetPoolerSummary", "GetFarmerSummary", "ListBlockReports"),
        *("ListPoolerBlockReports", "ListEarnings", "ListPublicPoolers"),
    },
    "harvest.v1.HarvestService": {"GetBalance"},
    "registry.v1.RegistryService": {
        *("GetPooler", "UpdatePooler", "SuspendPooler", "ResumePooler"),
        *("GetFarmer", "UpdateFarmer", "SuspendFarmer", "ResumeFarmer"),
        # By `kalepool`, and what owners sign.
        *("LeaveFarmer", "StayFarmer", "LeavePooler", "StayPooler", "JoinPool"),
    },
    "wallet.v1.WalletService": {
        # What services ask.
        *("CreateWallet", "Plant", "Work", "Harvest", "BatchPlant", "BatchWork", "BatchHarvest"),
        *("JudgeOperations", "ListMovements", "ListHoldings"),
        # Read by pages and `kalepool`.
        *("SetStakeLimit", "GetWallet", "GetBalances", "GetOperation", "ListOperations"),
        "GetTreasury",
    },
    "wallet.v1.WithdrawalService": {"*"},
}


@pytest.fixture
async def recorder() -> AsyncIterator[tuple[Recorder, Targets]]:
    """A server of every method, which notes what is asked."""
    found, server = Recorder(), grpc.aio.server()
    server.add_generic_rpc_handlers((found,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    target = f"127.0.0.1:{port}"
    yield found, Targets(**dict.fromkeys(Targets().by_name(), target))
    await server.stop(None)


async def outcome(found: Any) -> Any:
    """What a method returns, or all that it lists."""
    if inspect.isasyncgen(found):
        return [item async for item in found]
    return await found


@pytest.mark.parametrize(("method", "given", "rpc", "asked"), CALLS, ids=[one[0] for one in CALLS])
async def test_each_method_asks_for_what_it_is_given(
    recorder: tuple[Recorder, Targets],
    method: str,
    given: Mapping[str, Any],
    rpc: str,
    asked: Mapping[str, Any],
) -> None:
    server, targets = recorder
    async with client.open_client(targets) as pool:
        await outcome(getattr(pool.money, method)(**given))
    ((name, request),) = server.calls
    assert name.rpartition("/")[2] == rpc
    assert {field.name: value for field, value in request.ListFields()} == asked


def test_no_method_is_left_untried() -> None:
    methods = {name for name in vars(MoneyClient) if not name.startswith("_")}
    assert methods == {method for method, *_ in CALLS}


@pytest.mark.parametrize(
    "ask",
    [
        lambda money: money.set_agreement(FARMER, TERMS),
        lambda money: money.publish_terms(registry_pb2.PublishTermsRequest()),
        lambda money: money.run_payouts(7),
        lambda money: money.pay_now(FARMER),
    ],
)
async def test_repeats_of_what_is_given_no_name_have_the_same_one(
    recorder: tuple[Recorder, Targets], ask: Callable[[MoneyClient], Any]
) -> None:
    server, targets = recorder

    def fail_once(_: Any) -> bytes:
        if len(server.calls) == 1:
            raise RuntimeError("a process that dies")
        return b""

    server.answer = fail_once
    told: list[str] = []
    async with client.open_client(
        targets, notice=lambda method, _error, _delay: told.append(method)
    ) as pool:
        await ask(pool.money)
        await ask(pool.money)
    requests: list[Any] = [request for _, request in server.calls]
    first, second, other = requests
    assert first == second
    assert first.request_id and other.request_id != first.request_id
    assert len(told) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda money: money.sign_wish(FARMER, WISH, b"s"),
        lambda money: money.set_owner_account(FARMER, ACCOUNT),
    ],
)
async def test_what_a_repeat_would_do_again_is_not_repeated(
    recorder: tuple[Recorder, Targets], ask: Callable[[MoneyClient], Any]
) -> None:
    server, targets = recorder
    server.slow = dict.fromkeys((rpc for rpc in _paths()), 5.0)
    async with client.open_client(targets, limits=Limits(quick_seconds=0.2)) as pool:
        with pytest.raises((client.DeadlineExceededError, UnavailableError)):
            await ask(pool.money)
    assert len(server.calls) <= 1


def _paths() -> list[str]:
    name = agreement_pb2.DESCRIPTOR.services_by_name["AgreementService"]
    return [f"/{name.full_name}/{method.name}" for method in name.methods]


async def test_a_statement_is_the_file_that_proves_itself(
    recorder: tuple[Recorder, Targets],
) -> None:
    server, targets = recorder
    document = pool_of().document()

    def page(request: statement_pb2.GetStatementRequest) -> bytes:
        part = copied(document)
        part["lines"] = document["lines"][9:] if request.page_token else document["lines"][:9]
        return statement_pb2.GetStatementResponse(
            statement=json_format.ParseDict(part, statement_pb2.Statement()),
            next_page_token="" if request.page_token else "more",
        ).SerializeToString()

    server.answer = page
    async with client.open_client(targets) as pool:
        text = await pool.money.statement("2026-01", farmer_id=FARMER)
    assert text == text_of(document)
    assert check(text).findings == []


async def test_lists_have_the_items_of_all_pages(recorder: tuple[Recorder, Targets]) -> None:
    server, targets = recorder
    items: dict[str, Any] = {
        "ListAgreements": agreement_pb2.ListAgreementsResponse(
            agreements=[agreement_pb2.Agreement(number=7)]
        ),
        "ListPayouts": payout_pb2.ListPayoutsResponse(payouts=[payout_pb2.PayoutItem(amount=7)]),
        "ListPending": payout_pb2.ListPendingResponse(amounts=[payout_pb2.PendingAmount(amount=7)]),
        "ListJournals": ledger_pb2.ListJournalsResponse(
            journals=[ledger_pb2.Journal(journal_id=7)],
            accounts=[ledger_pb2.LedgerAccount(amount=7)],
        ),
        "ListRoots": statement_pb2.ListRootsResponse(roots=[statement_pb2.PublishedRoot(ledger=7)]),
    }

    def page(request: Any) -> bytes:
        answer = items[type(request).__name__.removesuffix("Request")]
        answer.next_page_token = "" if request.page_token else "more"
        return bytes(answer.SerializeToString())

    server.answer = page
    async with client.open_client(targets) as pool:
        money = pool.money
        assert [one.number async for one in money.agreements(FARMER)] == [7, 7]
        assert [one.amount async for one in money.payouts()] == [7, 7]
        assert [one.amount async for one in money.pending()] == [7, 7]
        assert [one.journal_id async for one in money.journals(FARMER)] == [7, 7]
        assert [one.ledger async for one in money.roots()] == [7, 7]
        assert [one.amount for one in await money.accounts(FARMER)] == [7]


def called() -> set[str]:
    """The RPCs that the library's code calls."""
    folder = Path(client.__file__).parent
    text = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    return set(re.findall(r"self\._[a-z]+\.([A-Z]\w+)", text))


def test_an_rpc_has_a_method_or_stands_among_those_without() -> None:
    """Who adds an RPC decides: a method of the library, or a line of WITHOUT."""
    known, seen = called(), dict[str, set[str]]()
    for service in services():
        name = service.full_name.removeprefix("kalepool.")
        without = WITHOUT.get(name, set())
        if without == {"*"}:
            seen[name] = without
            continue
        missing = {method.name for method in service.methods} - known
        # Of a name that two services have, the other one may be called.
        extra = {one for one in without if one in {method.name for method in service.methods}}
        assert missing <= without, f"no method of client for {name}: {missing - without}"
        seen[name] = extra
    assert {name: found for name, found in seen.items() if found} == WITHOUT

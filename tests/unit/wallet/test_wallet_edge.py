"""The edge of a node: whatever an answer has, it becomes typed facts or this node's failure."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stellar_sdk import StrKey, scval, xdr

from services.wallet.chain.build.calls import Farm
from services.wallet.chain.errors import (
    RpcUnavailableError,
    StaleAnswerError,
    UnknownAnswerError,
)
from services.wallet.chain.node.ledger_entries import Entry
from services.wallet.chain.node.questions import (
    HEAD,
    HEALTH,
    IDENTITY,
    INCLUSION_FEE,
    LATEST_LEDGER,
    PASSPHRASE,
    Question,
)
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.read.account_bytes import read_account, read_trustline
from services.wallet.chain.read.entries import decode_farm, decode_pail
from services.wallet.chain.read.foreign_harvests import read_foreign_harvests
from services.wallet.chain.read.included import (
    outcome_question,
    presence_question,
    read_included,
)
from services.wallet.chain.read.limits import KEYS, limits_question
from services.wallet.chain.read.results import ResultReader
from services.wallet.chain.read.simulations import preparation, simulation
from services.wallet.domain.chain_facts import OutcomeStatus
from tests.support.canned import canned_rpc

RECORDINGS = Path(__file__).parents[2] / "vectors" / "recordings"
FARM = "CC2V3ZQ3FIBPRT5D5SL7NBH6JLLK3YENWIKN6GGMXEA2BKKA7V5HSID3"
TOKEN = "CBQZMYXZ6QKOU3MXRBIVJD3EM5QOB5S6B4GNGUMO2X5RJTAPJIX2ECCH"
READER = ResultReader(farm=FARM, token=TOKEN)
CALL = Farm(farm=FARM, token=TOKEN).plant(
    farmer=StrKey.encode_ed25519_public_key(bytes(32)), index=1, stake=0
)
Ask = Callable[[Rpc], Awaitable[Any]]


def recorded(name: str) -> Any:
    """The result in a recorded answer."""
    body = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    found = body["response"]["result"]
    if name == "entries_config_settings":  # more were recorded than are asked for
        found["entries"] = [item for item in found["entries"] if item["key"] in KEYS.values()]
    return found


def asking(question: Question[Any]) -> Ask:
    return lambda rpc: rpc.ask(question)


def entries(name: str, read: Callable[[Entry], Any]) -> Ask:
    """Asks for the recorded keys."""
    keys = [item["key"] for item in recorded(name)["entries"]]
    return lambda rpc: rpc.entries(dict.fromkeys(keys, read))


def outcome(name: str, *functions: str) -> Ask:
    return asking(outcome_question(READER, recorded(name)["txHash"], functions))


def included(name: str, first: int) -> Ask:
    """All of a page are wanted, whatever they call."""
    wanted: dict[str, list[str]] = {item["txHash"]: [] for item in recorded(name)["transactions"]}
    return lambda rpc: read_included(rpc, READER, first, wanted)


def pail(entry: Entry) -> Any:
    return decode_pail(entry.data, key=entry.key, live_until=entry.live_until)


def farm(entry: Entry) -> Any:
    return decode_farm(xdr.LedgerEntryData.from_xdr_bytes(entry.data))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A recorded answer and who asks for it."""

    name: str
    ask: Ask


CASES = {
    case.name: case
    for case in (
        Case(name="getNetwork", ask=asking(PASSPHRASE)),
        Case(name="getHealth", ask=asking(HEALTH)),
        Case(name="getLatestLedger", ask=asking(LATEST_LEDGER)),
        Case(name="getFeeStats", ask=asking(INCLUSION_FEE)),
        Case(name="get_tx_not_found", ask=asking(HEAD)),
        Case(name="get_tx_plant_success", ask=outcome("get_tx_plant_success", "plant")),
        Case(name="get_tx_work_success", ask=outcome("get_tx_work_success", "work")),
        Case(name="get_tx_harvest_success", ask=outcome("get_tx_harvest_success", "harvest")),
        Case(name="get_tx_fee_bump_success", ask=outcome("get_tx_fee_bump_success", "plant")),
        Case(name="get_tx_failed_pail_exists", ask=outcome("get_tx_failed_pail_exists", "plant")),
        Case(name="getTransactions_latest", ask=included("getTransactions_latest", 179)),
        Case(name="getTransactions_page1", ask=included("getTransactions_page1", 7)),
        Case(
            name="entries_account", ask=entries("entries_account", lambda e: read_account(e.data))
        ),
        Case(
            name="entries_trustline",
            ask=entries("entries_trustline", lambda e: read_trustline(e.data)),
        ),
        Case(name="entries_pail_worked", ask=entries("entries_pail_worked", pail)),
        Case(name="entries_contract_instance", ask=entries("entries_contract_instance", farm)),
        Case(name="entries_config_settings", ask=asking(limits_question())),
        Case(name="simulate_deploy_sac", ask=asking(preparation(READER, "AAAA"))),
        Case(name="simulate_plant_err_pail_exists", ask=asking(preparation(READER, "AAAA"))),
        Case(
            name="send_error_bad_seq",
            ask=lambda rpc: rpc.send(["AAAA"]),
        ),
    )
}

# What is refused


def without(name: str) -> Callable[[Any], Any]:
    return lambda item: item.pop(name)


def with_(**changed: Any) -> Callable[[Any], Any]:
    return lambda item: item.update(changed)


def first(name: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Changes the first of a list."""
    return lambda answer: change(answer[name][0])


def twice(name: str) -> Callable[[Any], Any]:
    return lambda answer: answer[name].append(answer[name][0])


def other_key(answer: Any) -> None:
    """The entry of another account, under the key that was asked for."""
    raw = bytearray(b64decode(answer["entries"][0]["xdr"]))
    raw[20] ^= 1
    answer["entries"][0]["xdr"] = b64encode(raw).decode()


ACCOUNT, PAIL, PAGE, PLANT = (
    "entries_account",
    "entries_pail_worked",
    "getTransactions_page1",
    "get_tx_plant_success",
)
LIES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "xdr that is none": (ACCOUNT, first("entries", with_(xdr="AAAA"))),
    "xdr of another type": (
        ACCOUNT,
        first("entries", with_(xdr=recorded("entries_trustline")["entries"][0]["xdr"])),
    ),
    "xdr of another key": (ACCOUNT, other_key),
    "xdr that is cut": (ACCOUNT, first("entries", lambda e: e.update(xdr=e["xdr"][:64]))),
    "no xdr": (ACCOUNT, first("entries", without("xdr"))),
    "xdr that is a number": (ACCOUNT, first("entries", with_(xdr=7))),
    "no base64": (ACCOUNT, first("entries", with_(xdr="$$$$"))),
    "a key that was not asked for": (ACCOUNT, first("entries", with_(key="AAAA"))),
    "a key twice": (ACCOUNT, twice("entries")),
    "an entry from the future": (ACCOUNT, first("entries", with_(lastModifiedLedgerSeq=10**9))),
    "entries that are a text": (ACCOUNT, with_(entries="AAAA")),
    "an entry that is a text": (ACCOUNT, with_(entries=["AAAA"])),
    "no life": (PAIL, first("entries", without("liveUntilLedgerSeq"))),
    "a life without end": (PAIL, first("entries", with_(liveUntilLedgerSeq=2**32))),
    "a life that is true": (PAIL, first("entries", with_(liveUntilLedgerSeq=True))),
    "a negative ledger": (ACCOUNT, with_(latestLedger=-1)),
    "no ledger at all": (ACCOUNT, with_(latestLedger=0)),
    "a ledger beyond 32 bits": (ACCOUNT, with_(latestLedger=2**32)),
    "a ledger that is true": (ACCOUNT, with_(latestLedger=True)),
    "a ledger with a fraction": (ACCOUNT, with_(latestLedger=7.0)),
    "a ledger that is not a number": (ACCOUNT, with_(latestLedger=float("nan"))),
    "a ledger that is a text": (ACCOUNT, with_(latestLedger="107")),
    "a time that no clock has": (PLANT, with_(latestLedgerCloseTime=str(2**62))),
    "a time before all": (PLANT, with_(latestLedgerCloseTime="-1")),
    "history from the future": (PLANT, with_(oldestLedger=2**31)),
    "a status that is a number": (PLANT, with_(status=7)),
    "no status": (PLANT, without("status")),
    "success with a failure's result": (
        PLANT,
        with_(resultXdr=recorded("get_tx_failed_pail_exists")["resultXdr"]),
    ),
    "failure with a success's result": (
        "get_tx_failed_pail_exists",
        with_(resultXdr=recorded(PLANT)["resultXdr"]),
    ),
    "a result that does not decode": (PLANT, with_(resultXdr="AAAAAAAA")),
    "a meta that does not decode": (PLANT, with_(resultMetaXdr="AAAABAAA", events={})),
    "another transaction": (
        PLANT,
        with_(txHash="ab" * 32),
    ),
    "in a ledger that is not there yet": (PLANT, with_(ledger=10**9)),
    "an item without its hash": (PAGE, first("transactions", without("txHash"))),
    "a hash that is none": (PAGE, first("transactions", with_(txHash="g" * 64))),
    "an item twice": (PAGE, twice("transactions")),
    "an item from before": (PAGE, first("transactions", with_(ledger=6))),
    "an item from the future": (PAGE, first("transactions", with_(ledger=180))),
    "a wanted result that does not decode": (PAGE, first("transactions", with_(resultXdr="AAAA"))),
    "an item that was not found": (PAGE, first("transactions", with_(status="NOT_FOUND"))),
    "more items than asked for": (
        PAGE,
        lambda answer: answer.update(transactions=answer["transactions"] * 100),
    ),
    "a passphrase without end": ("getNetwork", with_(passphrase="x" * 10_000)),
    "a negative fee": ("simulate_deploy_sac", with_(minResourceFee="-1")),
    "an error that is a number": ("simulate_plant_err_pail_exists", with_(error=7)),
    "an event that does not decode": ("simulate_plant_err_pail_exists", with_(events=["AAAA"])),
}

#: The beginnings of XDR of a newer network: the SDK has no such arm, value or version.
NEWER_META, NEWER_RESULT = "AAAACQ==", b64encode(bytes(8) + (99).to_bytes(4)).decode()
CONFIG, SAC = "entries_config_settings", "simulate_deploy_sac"


def bytes_at(name: str, position: int, value: int) -> Callable[[Any], Any]:
    """Changes four bytes of an XDR."""

    def change(item: Any) -> None:
        raw = bytearray(b64decode(item[name]))
        raw[position : position + 4] = value.to_bytes(4)
        item[name] = b64encode(raw).decode()

    return change


#: What a newer network, or a newer node, may answer instead of what can be done without.
NEWER: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "fees that are a fraction": (
        "getFeeStats",
        lambda answer: answer["sorobanInclusionFee"].update(p90="1.5"),
    ),
    "fees beyond all": (
        "getFeeStats",
        lambda answer: answer["sorobanInclusionFee"].update(p90=str(2**63)),
    ),
    "fees that are a text": ("getFeeStats", with_(sorobanInclusionFee="100")),
    "fees under another name": ("getFeeStats", without("sorobanInclusionFee")),
    "other percentiles": ("getFeeStats", lambda answer: answer["sorobanInclusionFee"].pop("p90")),
    "limits that are kept elsewhere": (
        CONFIG,
        lambda answer: answer.update(entries=answer["entries"][1:]),
    ),
    "limits of another shape": (CONFIG, first("entries", bytes_at("xdr", 4, 99))),
    "a footprint under another name": (SAC, without("transactionData")),
    "a fee under another name": (SAC, without("minResourceFee")),
    "a footprint of another version": (SAC, bytes_at("transactionData", 0, 9)),
    "another answer to an envelope": ("send_error_bad_seq", with_(status="QUEUED")),
    "no status of an envelope": ("send_error_bad_seq", without("status")),
}
#: What they may answer about a transaction that a ledger has.
NEWER_OUTCOMES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "another status": (PLANT, with_(status="PARTLY")),
    "no result": (PLANT, without("resultXdr")),
    "no meta": (PLANT, without("resultMetaXdr")),
    "meta of another version": (PLANT, with_(resultMetaXdr=NEWER_META)),
    "another arm in the meta": (PLANT, lambda answer: in_meta(answer, 9)),
    "another result of a transaction": (PLANT, with_(resultXdr=NEWER_RESULT)),
    "another result of an operation": (PLANT, bytes_at("resultXdr", 16, 99)),
    "another kind of operation": (PLANT, bytes_at("resultXdr", 20, 99)),
    "another failure": ("get_tx_failed_pail_exists", with_(resultXdr=NEWER_RESULT)),
}


def in_meta(answer: Any, version: int) -> None:
    """Changes the meta's extension, and has the whole of it decoded."""
    bytes_at("resultMetaXdr", 4, version)(answer)
    answer["events"] = ["an event of another shape"]
    answer["diagnosticEventsXdr"] = []


@pytest.mark.parametrize("change", NEWER)
async def test_what_can_be_done_without_is_no_failure_and_no_answer(change: str) -> None:
    name, newer = NEWER[change]
    transport, rpc = canned_rpc()
    transport.result = recorded(name)
    newer(transport.result)
    with pytest.raises(UnknownAnswerError):
        await _run(CASES[name].ask, rpc)
    assert rpc.health.failures == 0


@pytest.mark.parametrize("change", NEWER_OUTCOMES)
async def test_what_is_not_known_of_a_transaction_leaves_its_ledger_known(change: str) -> None:
    name, newer = NEWER_OUTCOMES[change]
    transport, rpc = canned_rpc()
    transport.result = recorded(name)
    known = await CASES[name].ask(rpc)
    newer(transport.result)
    found = await CASES[name].ask(rpc)
    assert (found.status, found.ledger) == (OutcomeStatus.UNKNOWN, known.ledger)
    assert found.unknown
    assert 0 <= found.fee_charged <= known.fee_charged
    assert rpc.health.failures == 0


async def test_an_event_that_is_not_known_hides_the_reason_and_not_the_failure() -> None:
    transport, rpc = canned_rpc()
    name = "get_tx_failed_pail_exists"
    transport.result = recorded(name)
    transport.result["diagnosticEventsXdr"] = [b64encode(bytes(4) + (9).to_bytes(4)).decode()]
    found = await CASES[name].ask(rpc)
    assert (found.status, found.error.raiser) == (OutcomeStatus.FAILED, "transaction")


@pytest.mark.parametrize(("status", "there"), [("PARTLY", True), ("NOT_FOUND", False)])
async def test_whether_a_ledger_has_a_transaction_needs_no_result(status: str, there: bool) -> None:
    transport, rpc = canned_rpc()
    transport.result = recorded(PLANT) | {"status": status}
    assert await rpc.ask(presence_question("ab" * 32)) is there


async def test_a_node_that_does_not_tell_how_far_it_remembers_remembers_nothing() -> None:
    transport, rpc = canned_rpc()
    transport.result = recorded("get_tx_not_found")
    del transport.result["oldestLedger"]
    head = await rpc.ask(HEAD)
    assert head.oldest == head.sequence > 1


async def test_health_may_be_told_without_a_ledger() -> None:
    transport, rpc = canned_rpc()
    transport.result = {"status": "healthy"}
    await rpc.ask(HEALTH)
    assert rpc.health.failures == 0


@pytest.mark.parametrize("protocol", [None, "27", 0, -1, True, 2**32, 99])
async def test_a_protocol_is_a_number_or_is_not_told(protocol: Any) -> None:
    transport, rpc = canned_rpc()
    transport.result = {"passphrase": "p", "protocolVersion": protocol}
    identity = await rpc.ask(IDENTITY)
    assert (identity.passphrase, identity.protocol) == ("p", 99 if protocol == 99 else 0)


@pytest.mark.parametrize("name", CASES)
async def test_what_was_recorded_becomes_facts(name: str) -> None:
    transport, rpc = canned_rpc()
    transport.result = recorded(name)
    await CASES[name].ask(rpc)
    assert rpc.health.failures == 0


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_its_nodes_failure_with_a_word_why(lie: str) -> None:
    name, change = LIES[lie]
    transport, rpc = canned_rpc()
    transport.result = recorded(name)
    change(transport.result)
    with pytest.raises(RpcUnavailableError, match="cannot be read"):
        await CASES[name].ask(rpc)
    assert rpc.health.failures == 1
    assert rpc.health.status().reason


@pytest.mark.parametrize("results", [[], None, [{}], [{"xdr": "AAAA"}], [{"xdr": "AAAAAQ=="}] * 2])
async def test_a_simulation_without_the_calls_result_is_no_answer(results: Any) -> None:
    transport, rpc = canned_rpc()
    transport.result = recorded("simulate_plant_farmer_source") | {"results": results}
    with pytest.raises(RpcUnavailableError):
        await rpc.ask(simulation(READER, "AAAA", [CALL]))
    assert rpc.health.failures == 1


async def test_an_unknown_meta_on_a_page_touches_no_other_transaction() -> None:
    transport, rpc = canned_rpc()
    page = recorded(PAGE)
    page["transactions"][0] |= {"status": "SUCCESS", "resultMetaXdr": "AAAAYw=="}
    transport.result = page
    names = [item["txHash"] for item in page["transactions"]]
    found = await read_included(rpc, READER, 7, {names[0]: ["plant"], names[1]: []})
    statuses = {name: item.status for name, item in found.outcomes.items()}
    assert statuses[names[0]] is OutcomeStatus.UNKNOWN
    assert statuses[names[1]] is not OutcomeStatus.UNKNOWN
    assert rpc.health.failures == 0


def page_of(count: int, cursor: Any, *, start: int = 0, ledger: int = 100) -> Mapping[str, Any]:
    """A page of transactions."""
    return {
        "latestLedger": 100,
        "latestLedgerCloseTimestamp": 1,
        "oldestLedger": 1,
        "cursor": cursor,
        "transactions": [
            {"txHash": f"{number:064x}", "ledger": ledger, "status": "SUCCESS"}
            for number in range(start, start + count)
        ],
    }


@pytest.mark.parametrize(
    "cursor", [None, 7, "", "x", "-1", str(99 << 32), str(101 << 32), "9" * 30, "٣"]
)
async def test_a_full_page_without_a_way_on_is_no_answer(cursor: Any) -> None:
    transport, rpc = canned_rpc()
    transport.result = page_of(100, cursor)
    with pytest.raises(RpcUnavailableError, match="cursor"):
        await read_included(rpc, READER, 100, {})


async def test_a_cursor_that_stands_still_is_no_answer() -> None:
    transport, rpc = canned_rpc()
    transport.result = page_of(100, str((100 << 32) + 5))
    with pytest.raises(RpcUnavailableError, match=r"twice|cursor"):
        await read_included(rpc, READER, 100, {})


MINTED = StrKey.encode_ed25519_public_key(bytes(32))


def mints() -> dict[str, Any]:
    """An answer to all that a search for foreign_harvests asks first: one mint, and the head."""
    event = {
        "topic": [scval.to_symbol("mint").to_xdr(), scval.to_address(MINTED).to_xdr(), ""],
        "contractId": TOKEN,
        "ledger": 260,
        "txHash": "ab" * 32,
        "value": scval.to_int128(5).to_xdr(),
    }
    head = {"latestLedger": 300, "latestLedgerCloseTime": "1", "oldestLedger": 200}
    return {**head, "events": [event], "cursor": f"{300 << 32}-0", "status": "NOT_FOUND"}


EVENT_LIES: dict[str, Callable[[Any], Any]] = {
    "no cursor": without("cursor"),
    "a cursor that is none": with_(cursor="soon"),
    "a cursor before the first": with_(cursor="7-0"),
    "a mint of another token": first("events", with_(contractId=FARM)),
    "a mint without its hash": first("events", without("txHash")),
    "a mint from before": first("events", with_(ledger=249)),
    "a mint from the future": first("events", with_(ledger=301)),
    "a negative mint": first("events", with_(value=scval.to_int128(-5).to_xdr())),
    "a mint beyond all": first("events", with_(value=scval.to_int128(2**63).to_xdr())),
    "a mint of another farmer": first(
        "events", lambda event: event["topic"].__setitem__(1, scval.to_address(FARM).to_xdr())
    ),
    "no mint": first("events", lambda event: event["topic"].__setitem__(0, "AAAA")),
    "too many": lambda answer: answer.update(events=answer["events"] * 1001),
}


@pytest.mark.parametrize("lie", EVENT_LIES)
async def test_a_lie_about_events_is_its_nodes_failure(lie: str) -> None:
    transport, rpc = canned_rpc()
    transport.result = mints()
    with pytest.raises(StaleAnswerError):  # the mint was read, its transaction is not there
        await read_foreign_harvests(rpc, [MINTED], farm=FARM, token=TOKEN, first=250)
    EVENT_LIES[lie](transport.result)
    with pytest.raises(RpcUnavailableError, match="cannot be read"):
        await read_foreign_harvests(rpc, [MINTED], farm=FARM, token=TOKEN, first=250)
    assert rpc.health.failures == 1


# Whatever it is


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places in an answer."""
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*at, key))
    elif isinstance(value, list):
        for position, item in enumerate(value[:3]):
            yield from places(item, (*at, position))


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """The answer with something else at a place."""
    if not at:
        return new
    value = deepcopy(value)
    inside = value
    for key in at[:-1]:
        inside = inside[key]
    inside[at[-1]] = new
    return value


def part(value: Any, at: tuple[Any, ...]) -> Any:
    for key in at:
        value = value[key]
    return value


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.sampled_from([0, -1, 2**31, 2**32, 2**63, 2**64]),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=200).map(lambda raw: b64encode(raw).decode()),
    st.lists(st.integers() | st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, Any]:
    """A recorded answer with junk somewhere, or with some bytes of its XDR turned."""
    name = draw(st.sampled_from(sorted(CASES)))
    answer = recorded(name)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.sampled_from(sorted(places(answer), key=str)))
        old = part(answer, at)
        if isinstance(old, str) and len(old) > 8 and draw(st.booleans()):
            answer = replaced(answer, at, draw(turned(old)))
        else:
            answer = replaced(answer, at, draw(JUNK))
        if not isinstance(answer, dict):
            break
    return name, answer


@st.composite
def turned(draw: st.DrawFn, text: str) -> str:
    """Base64 with some bytes turned, or cut."""
    try:
        raw = bytearray(b64decode(text, validate=True))
    except ValueError:
        return text[: draw(st.integers(0, len(text)))]
    for _ in range(draw(st.integers(1, 4))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return b64encode(raw[: draw(st.integers(1, len(raw)))] if draw(st.booleans()) else raw).decode()


def numbers(facts: Any) -> Iterator[int]:
    """All numbers in facts."""
    if isinstance(facts, int) and not isinstance(facts, bool):
        yield facts
    elif isinstance(facts, dict):
        yield from (number for item in facts.values() for number in numbers(item))
    elif isinstance(facts, list | tuple):
        yield from (number for item in facts for number in numbers(item))
    elif is_dataclass(facts):
        for field in fields(facts):
            if field.name != "reserves":  # what is sponsored for an account counts below nothing
                yield from numbers(getattr(facts, field.name))


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutations())
def test_whatever_is_in_it_becomes_facts_or_the_nodes_failure(mutation: tuple[str, Any]) -> None:
    name, answer = mutation
    transport, rpc = canned_rpc()
    transport.result = answer
    try:
        facts = asyncio.run(_run(CASES[name].ask, rpc))
    except UnknownAnswerError:
        assert rpc.health.failures == 0
    except RpcUnavailableError:
        assert rpc.health.failures == 1
    else:
        assert all(0 <= number < 2**127 for number in numbers(facts))


async def _run(ask: Ask, rpc: Rpc) -> Any:
    facts = await ask(rpc)
    if isinstance(facts, list) and any(isinstance(item, Exception) for item in facts):
        (error,) = facts
        raise error
    return facts

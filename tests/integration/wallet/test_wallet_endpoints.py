"""Several Stellar RPC endpoints, some of them broken: localnets, and servers that talk nonsense."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from aiohttp import web
from stellar_sdk import Keypair

from libs.common.errors import PoolError
from localnet.app import RunningLocalnet, open_localnet
from localnet.config import LocalnetSettings
from services.wallet.chain.errors import (
    NetworkMismatchError,
    RpcRejectedError,
    RpcUnavailableError,
    StaleAnswerError,
)
from services.wallet.chain.facade import Chain
from services.wallet.chain.networks import network_for
from services.wallet.chain.node import health
from services.wallet.chain.node.endpoints import Endpoints, open_endpoints
from services.wallet.chain.node.health import AWAY_AFTER, EndpointState
from services.wallet.chain.node.lists import LONGEST
from services.wallet.chain.node.questions import INCLUSION_FEE, LATEST_LEDGER
from services.wallet.chain.opening import open_chain
from services.wallet.chain.read.results import ResultReader
from services.wallet.chain.read.simulations import simulation
from services.wallet.domain import heights
from tests.support.json_rpc import ScriptedNode, failure, json_rpc_server, result
from tests.support.tcp_relay import open_relay

OURS = "Standalone Network ; February 2017"
ADDRESS = Keypair.random().public_key
NOBODY = "http://127.0.0.1:1"
#: Seconds after which the next endpoint is asked in these tests.
HEDGE = 0.2
S = EndpointState
READER = ResultReader(farm=network_for("localnet").farm, token=network_for("localnet").token)


@pytest.fixture(autouse=True)
def probe_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are long here."""
    monkeypatch.setattr(health, "PROBE_EVERY", 0.2)
    monkeypatch.setattr(health, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(heights, "FROZEN", 1.0)


@asynccontextmanager
async def open_node(**settings: Any) -> AsyncIterator[RunningLocalnet]:
    """A localnet whose ledgers close when the test says so."""
    options = LocalnetSettings(host="127.0.0.1", port=0, **settings)
    async with open_localnet(options, timer=False) as running:
        yield running


@asynccontextmanager
async def open_all(
    *urls: str, timeout: float = 5, hedge: float = HEDGE
) -> AsyncIterator[Endpoints]:
    """Endpoints at these URLs, all of them probed once."""
    async with open_endpoints(urls, passphrase=OURS, timeout=timeout, hedge=hedge) as endpoints:
        yield endpoints


async def send(endpoints: Endpoints) -> str:
    """What is said to one envelope."""
    (sent,) = await endpoints.send(["AAAA"])
    if isinstance(sent, PoolError):
        raise sent
    return sent.status.value


async def until(endpoints: Endpoints, *states: EndpointState) -> None:
    """Waits until the endpoints are in these states."""
    async with asyncio.timeout(20):
        while [status.state for status in endpoints.statuses()] != list(states):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def close_ledgers(node: RunningLocalnet, count: int) -> None:
    """Some ledgers pass."""
    for _ in range(count):
        node.close_ledger()


async def keep_closing(*nodes: RunningLocalnet) -> None:
    """Ledgers pass, one a second, at all of these."""
    while True:
        await asyncio.sleep(1)
        for node in nodes:
            node.close_ledger()


# Reads


async def test_one_endpoint_is_used_as_before() -> None:
    async with open_node() as node, open_all(node.url) as endpoints:
        assert await endpoints.passphrase() == OURS
        head = await endpoints.head()
        assert head.sequence == await endpoints.ask(LATEST_LEDGER)
        network = network_for("localnet", rpc_url=node.url)
        chain = Chain(network, endpoints)
        included = await chain.included(head.sequence, {"0" * 64: []})
        assert included.outcomes == {}
        assert included.head == head
        assert await chain.foreign_harvests([ADDRESS], first=head.sequence) == []
        assert await endpoints.ask(INCLUSION_FEE) >= 100
        await until(endpoints, S.HEALTHY)


async def test_an_endpoint_that_is_away_is_passed_over_and_comes_back() -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_node())
        second = await stack.enter_async_context(open_node())
        port = int(first.url.rpartition(":")[2])
        relay = await stack.enter_async_context(open_relay("127.0.0.1", port))
        url = f"http://127.0.0.1:{relay.port}"
        endpoints = await stack.enter_async_context(open_all(url, second.url))
        await until(endpoints, S.HEALTHY, S.HEALTHY)
        await relay.cut()
        for _ in range(AWAY_AFTER):
            await endpoints.head()
        await until(endpoints, S.AWAY, S.HEALTHY)
        await endpoints.head()
        await relay.mend()
        await until(endpoints, S.HEALTHY, S.HEALTHY)


async def test_a_slow_endpoint_slows_nothing_but_the_first_request() -> None:
    slow, quick = ScriptedNode(passphrase=OURS), ScriptedNode(passphrase=OURS)
    # Slower than the other one can be on a busy machine.
    hedge = 2.0
    async with (
        slow.serve() as first,
        quick.serve() as second,
        open_all(first, second, timeout=60, hedge=hedge) as endpoints,
    ):
        await until(endpoints, S.HEALTHY, S.HEALTHY)
        slow.delay = 30.0
        started = monotonic()
        await asyncio.gather(*(endpoints.head() for _ in range(20)))
        assert hedge <= monotonic() - started < slow.delay
        asked = slow.calls.count("getTransaction")
        for _ in range(20):
            await endpoints.head()
        assert slow.calls.count("getTransaction") == asked


async def test_an_endpoint_that_never_answered_slows_nothing() -> None:
    slow, quick = ScriptedNode(passphrase=OURS), ScriptedNode(passphrase=OURS)
    slow.delay = 30.0
    async with slow.serve() as first, quick.serve() as second, open_all(first, second) as endpoints:
        async with asyncio.timeout(slow.delay):
            assert (await endpoints.head()).sequence == quick.ledger


async def test_another_network_is_never_used() -> None:
    async with (
        open_node(passphrase="Another Network") as other,
        open_node() as ours,
        open_all(other.url, ours.url) as endpoints,
    ):
        close_ledgers(other, 50)
        head = await endpoints.head()
        assert head.sequence == ours.rpc.latest.sequence
        await until(endpoints, S.WRONG_NETWORK, S.HEALTHY)
        assert await endpoints.passphrase() == OURS
        assert endpoints.statuses()[0].passphrase == "Another Network"


async def test_only_other_networks() -> None:
    async with open_node(passphrase="Another Network") as other, open_all(other.url) as endpoints:
        for _ in range(2):
            with pytest.raises(NetworkMismatchError, match="Another Network"):
                await endpoints.head()
        await until(endpoints, S.WRONG_NETWORK)
        with pytest.raises(NetworkMismatchError):
            await send(endpoints)


async def test_an_endpoint_that_lags_waits_until_it_has_caught_up() -> None:
    async with (
        open_node() as first,
        open_node() as second,
        open_all(first.url, second.url) as endpoints,
    ):
        await until(endpoints, S.HEALTHY, S.HEALTHY)
        first.rpc.faults.change({"stale": True}, first.node.snapshot)
        going_on = asyncio.create_task(keep_closing(first, second))
        await until(endpoints, S.LAGGING, S.HEALTHY)
        going_on.cancel()
        for _ in range(5):
            assert (await endpoints.head()).sequence == second.rpc.latest.sequence
        first.rpc.faults.change({"reset": True}, first.node.snapshot)
        await until(endpoints, S.HEALTHY, S.HEALTHY)


async def test_all_are_stale() -> None:
    first, second = ScriptedNode(passphrase=OURS), ScriptedNode(passphrase=OURS)
    async with first.serve() as one, second.serve() as two, open_all(one, two) as endpoints:
        await until(endpoints, S.HEALTHY, S.HEALTHY)
        first.ledger = second.ledger = 90
        with pytest.raises(StaleAnswerError):
            await endpoints.head()
        await until(endpoints, S.LAGGING, S.LAGGING)
        with pytest.raises(StaleAnswerError):
            await endpoints.head()
        second.ledger = 98
        assert (await endpoints.head()).sequence == 98


GARBAGE: dict[str, Callable[[Mapping[str, Any]], web.Response]] = {
    "5xx": lambda _: web.Response(status=502, text="bad gateway"),
    "HTML": lambda _: web.Response(text="<html>log in</html>", content_type="text/html"),
    "another id": lambda call: result({"id": call["id"] + 7}, latestLedger=10**9),
    "nonsense": lambda call: result(call, latestLedger="soon"),
    "refused": lambda call: failure(call, -32601),
    "too deep": lambda _: web.Response(text="[" * 100_000),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_passed_over(name: str) -> None:
    broken, sound = ScriptedNode(passphrase=OURS), ScriptedNode(passphrase=OURS)
    async with (
        broken.serve() as one,
        sound.serve() as two,
        open_all(one, two) as endpoints,
    ):
        await until(endpoints, S.HEALTHY, S.HEALTHY)
        broken.garbage = GARBAGE[name]
        for _ in range(2 * AWAY_AFTER):
            assert (await endpoints.head()).sequence == sound.ledger
            assert await send(endpoints) == "PENDING"


async def test_what_all_refuse_is_refused() -> None:
    def refuse(call: dict[str, Any]) -> web.Response:
        if call["method"] == "simulateTransaction":
            return failure(call, -32602)
        return result(
            call,
            passphrase=OURS,
            latestLedger=7,
            latestLedgerCloseTime="1700000000",
            oldestLedger=1,
        )

    async with json_rpc_server(refuse) as one, json_rpc_server(refuse) as two:
        async with open_all(one, two) as endpoints:
            with pytest.raises(RpcRejectedError):
                await endpoints.ask(simulation(READER, "AAAA", []))
        async with open_all(one, NOBODY) as endpoints:  # the other one might take it
            with pytest.raises(RpcUnavailableError):
                await endpoints.ask(simulation(READER, "AAAA", []))


# Writes


@pytest.fixture
async def senders() -> AsyncIterator[tuple[Endpoints, ScriptedNode, ScriptedNode]]:
    """Two endpoints that say what they are told to an envelope."""
    first, second = ScriptedNode(passphrase=OURS), ScriptedNode(passphrase=OURS)
    async with first.serve() as one, second.serve() as two, open_all(one, two) as endpoints:
        await until(endpoints, S.HEALTHY, S.HEALTHY)
        yield endpoints, first, second


Senders = tuple[Endpoints, ScriptedNode, ScriptedNode]


@pytest.mark.parametrize("status", ["PENDING", "DUPLICATE", "ERROR", "TRY_AGAIN_LATER"])
async def test_the_first_answer_to_an_envelope_counts(senders: Senders, status: str) -> None:
    endpoints, first, second = senders
    first.says = status
    assert await send(endpoints) == status
    assert "sendTransaction" not in second.calls


@pytest.mark.parametrize("status", ["PENDING", "DUPLICATE"])
async def test_after_silence_another_node_takes_it(senders: Senders, status: str) -> None:
    endpoints, first, second = senders
    first.says, second.says = None, status
    assert await send(endpoints) == status


@pytest.mark.parametrize("status", ["ERROR", "TRY_AGAIN_LATER"])
@pytest.mark.parametrize("delay", [0.0, 30.0])
async def test_after_silence_a_refusal_proves_nothing(
    senders: Senders, status: str, delay: float
) -> None:
    endpoints, first, second = senders
    first.says, first.delay, second.says = None, delay, status
    async with asyncio.timeout(10 * HEDGE):
        with pytest.raises(RpcUnavailableError, match="proves nothing"):
            await send(endpoints)


async def test_a_node_that_was_never_asked_hides_nothing() -> None:
    """The first one is not even verified: it cannot have the envelope."""
    second = ScriptedNode(passphrase=OURS)
    second.says = "ERROR"
    async with second.serve() as url, open_all(NOBODY, url) as endpoints:
        assert await send(endpoints) == "ERROR"


async def test_nobody_takes_it(senders: Senders) -> None:
    endpoints, first, second = senders
    first.says = second.says = None
    with pytest.raises(RpcUnavailableError):
        await send(endpoints)


# Several envelopes at once

MANY = [f"envelope {number}" for number in range(60)]


@pytest.fixture
async def patient() -> AsyncIterator[Senders]:
    """As `senders`, but a burst slows none of them down so much that the other one is asked."""
    first, second = ScriptedNode(passphrase=OURS), ScriptedNode(passphrase=OURS)
    async with (
        first.serve() as one,
        second.serve() as two,
        open_all(one, two, hedge=30.0) as endpoints,
    ):
        await until(endpoints, S.HEALTHY, S.HEALTHY)
        yield endpoints, first, second


async def send_all(endpoints: Endpoints, envelopes: Sequence[str] = MANY) -> list[str]:
    """What is said to each: a status, or the error."""
    sent = await endpoints.send(envelopes)
    return [
        type(item).__name__ if isinstance(item, PoolError) else item.status.value for item in sent
    ]


async def test_many_envelopes_go_in_few_requests(patient: Senders) -> None:
    endpoints, first, second = patient
    first.says_to = {MANY[3]: "ERROR", MANY[40]: "DUPLICATE"}
    expected = [first.says_to.get(envelope, "PENDING") for envelope in MANY]
    first.twist = lambda answers: answers[::-1]
    for _ in range(8):
        assert await send_all(endpoints) == expected
    assert max(first.lists) == LONGEST
    before = len(first.lists)
    await send_all(endpoints)
    assert first.lists[before:] == [LONGEST, LONGEST, len(MANY) - 2 * LONGEST]
    assert "sendTransaction" not in second.calls


REFUSALS: dict[str, Callable[[], web.Response]] = {
    "400": lambda: web.Response(status=400),
    "413": lambda: web.Response(status=413),
    "an error for all": lambda: web.json_response(
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}
    ),
}


@pytest.mark.parametrize("longest", [1, 10])
@pytest.mark.parametrize("name", REFUSALS)
async def test_a_node_that_takes_no_long_lists_gets_shorter_ones(
    patient: Senders, name: str, longest: int
) -> None:
    endpoints, first, second = patient
    first.longest, first.refusal = longest, REFUSALS[name]
    for _ in range(8):
        assert await send_all(endpoints) == ["PENDING"] * len(MANY)
    before = len(first.lists)
    await send_all(endpoints)
    assert all(calls <= longest for calls in first.lists[before:])
    assert "sendTransaction" not in second.calls
    assert endpoints.statuses()[0].state is S.HEALTHY


REPLIES: dict[str, Callable[[list[Any]], list[Any] | web.Response]] = {
    "500": lambda _: web.Response(status=500),
    "its own trouble": lambda _: web.json_response({"id": None, "error": {"code": -32603}}),
    "one error for all": lambda calls: [{"id": calls[0]["id"], "error": {"code": -32600}}],
    "nothing": lambda _: [],
    "other ids": lambda calls: [{**call, "id": True} for call in calls] + [None, {"id": []}],
    "all twice": lambda calls: calls + calls,
}


@pytest.mark.parametrize("name", REPLIES)
async def test_a_node_that_never_answers_a_list_gets_single_calls(name: str) -> None:
    """It says nothing of why: what was in a list stays open once, for the next ledger."""
    node = ScriptedNode(passphrase=OURS)
    node.twist = REPLIES[name]
    async with node.serve() as url, open_all(url, hedge=30.0) as endpoints:
        await until(endpoints, S.HEALTHY)
        first = await send_all(endpoints)
        assert first.count("RpcUnavailableError") + first.count("RpcRejectedError") == 2
        for _ in range(5):
            assert await send_all(endpoints) == ["PENDING"] * len(MANY)
        assert node.lists == [2]
        assert endpoints.statuses()[0].state is S.HEALTHY


async def test_a_list_that_is_not_answered_goes_to_the_next_node(patient: Senders) -> None:
    endpoints, first, second = patient
    for _ in range(8):
        await send_all(endpoints)
    first.longest, first.refusal = 1, lambda: web.Response(status=503)
    second.says_to = {MANY[7]: "TRY_AGAIN_LATER"}
    # What the first one may have taken, a refusal of the second one proves nothing about.
    assert await send_all(endpoints) == [
        "RpcUnavailableError" if envelope == MANY[7] else "PENDING" for envelope in MANY
    ]


async def test_what_is_missing_in_an_answer_goes_to_the_next_node(patient: Senders) -> None:
    endpoints, first, second = patient
    for _ in range(8):
        await send_all(endpoints)
    second.calls.clear()
    first.twist = lambda answers: answers[2:]
    assert await send_all(endpoints) == ["PENDING"] * len(MANY)
    assert second.calls.count("sendTransaction") == 6
    assert endpoints.statuses()[0].failures == 0


async def test_one_that_hangs_holds_up_no_other(senders: Senders) -> None:
    """Only that one goes to the next node, so what the first one refuses stays refused."""
    endpoints, first, second = senders
    first.hangs_at = MANY[-1]
    first.says_to = {MANY[3]: "ERROR"}
    second.says = "DUPLICATE"
    async with asyncio.timeout(20 * HEDGE):
        said = await send_all(endpoints, MANY[-5:] + MANY[:5])
    assert said == ["PENDING"] * 4 + ["DUPLICATE"] + ["PENDING"] * 3 + ["ERROR", "PENDING"]
    assert second.calls.count("sendTransaction") == 1


async def test_nobody_takes_any(patient: Senders) -> None:
    endpoints, first, second = patient
    first.says = second.says = None
    assert await send_all(endpoints) == ["RpcUnavailableError"] * len(MANY)


# One chain of requests


async def test_what_is_pinned_stays_on_one_endpoint() -> None:
    first, second = ScriptedNode(passphrase=OURS), ScriptedNode(passphrase=OURS, ledger=101)
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(node.serve()) for node in (first, second)]
        network = network_for("localnet", rpc_url=",".join(urls))
        chain = await stack.enter_async_context(open_chain(network, timeout=5, hedge=HEDGE))
        async with chain.pinned() as pinned, pinned.pinned() as same:
            assert (await pinned.head()).sequence == 100
            second.calls.clear()
            assert (await same.sequences([ADDRESS]))[0] == 100
            assert pinned.endpoints()[0].state is S.HEALTHY
            first.garbage = GARBAGE["5xx"]
            with pytest.raises(RpcUnavailableError):
                await same.head()
            assert (await chain.head()).sequence == 101
        assert [status.host for status in chain.endpoints()] == [
            url.removeprefix("http://") for url in urls
        ]

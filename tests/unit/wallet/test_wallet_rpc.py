"""One Stellar RPC endpoint: what counts as an answer, and what its health makes of the others."""

import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import product
from time import monotonic
from typing import Any

import pytest
from aiohttp import web
from stellar_sdk import Keypair

from services.wallet.chain.build.ledger_keys import account_key
from services.wallet.chain.errors import (
    NetworkMismatchError,
    RpcRejectedError,
    RpcUnavailableError,
    StaleAnswerError,
)
from services.wallet.chain.networks import network_for
from services.wallet.chain.node.health import (
    AWAY_AFTER,
    ENDPOINT_EDGES,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PROBE_EVERY,
    EndpointSign,
    EndpointState,
    Health,
)
from services.wallet.chain.node.ledger_entries import Entry
from services.wallet.chain.node.questions import HEAD, INCLUSION_FEE, LATEST_LEDGER, Question
from services.wallet.chain.node.rpc import Rpc, open_rpc, shown_address
from services.wallet.domain.heights import Heights
from tests.support.clock import FakeClock
from tests.support.json_rpc import Answer, ScriptedNode, failure, json_rpc_server, result

OURS = "Standalone Network ; February 2017"
NOBODY = "http://127.0.0.1:1"
ADDRESS = Keypair.random().public_key
S, G = EndpointState, EndpointSign


@asynccontextmanager
async def open_node(answer: Answer) -> AsyncIterator[Rpc]:
    """An endpoint that answers as told."""
    async with (
        json_rpc_server(answer) as url,
        open_rpc(url, passphrase=OURS, timeout=2, seen=Heights(1)) as rpc,
    ):
        yield rpc


def modified(entry: Entry) -> int:
    """Reads when an entry changed last."""
    return entry.modified


# Answers


GARBAGE: dict[str, tuple[Callable[[Mapping[str, Any]], web.Response], type[Exception]]] = {
    "5xx": (lambda _: web.Response(status=503), RpcUnavailableError),
    "too many requests": (lambda _: web.Response(status=429), RpcUnavailableError),
    "elsewhere": (
        lambda _: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        RpcUnavailableError,
    ),
    "HTML": (lambda _: web.Response(text="<html>"), RpcUnavailableError),
    "not UTF-8": (lambda _: web.Response(body=b"\xff\xfe{"), RpcUnavailableError),
    "a list": (lambda _: web.json_response([1]), RpcUnavailableError),
    "neither result nor error": (
        lambda call: web.json_response({"id": call["id"]}),
        RpcUnavailableError,
    ),
    "no object": (
        lambda call: web.json_response({"id": call["id"], "result": 7}),
        RpcUnavailableError,
    ),
    "another id": (
        lambda call: web.json_response({"id": call["id"] + 1, "result": {"passphrase": OURS}}),
        RpcUnavailableError,
    ),
    "no id": (lambda _: web.json_response({"result": {"passphrase": OURS}}), RpcUnavailableError),
    "another result": (lambda call: result(call, status="PENDING"), RpcUnavailableError),
    "in trouble": (lambda call: failure(call, -32603), RpcUnavailableError),
    "refused": (lambda call: failure(call, -32602), RpcRejectedError),
    "refused unread": (
        lambda _: web.json_response({"id": None, "error": {"code": -32700, "message": "x"}}),
        RpcRejectedError,
    ),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_is_no_answer(name: str) -> None:
    answer, expected = GARBAGE[name]
    async with open_node(answer) as rpc:
        with pytest.raises(expected):
            await rpc.passphrase()


async def test_answers_without_their_fields_are_none() -> None:
    async with open_node(lambda call: result(call, latestLedger="7", entries=[{}])) as rpc:
        questions: list[Question[Any]] = [HEAD, INCLUSION_FEE, LATEST_LEDGER]
        for question in questions:
            with pytest.raises(RpcUnavailableError):
                await rpc.ask(question)
        with pytest.raises(RpcUnavailableError):
            await rpc.entries({account_key(ADDRESS): modified})


async def test_nobody_answers() -> None:
    async with open_rpc(NOBODY, passphrase=OURS, timeout=2, seen=Heights(1)) as rpc:
        for _ in range(AWAY_AFTER):
            with pytest.raises(RpcUnavailableError):
                await rpc.head()
        assert rpc.health.state is S.AWAY


async def test_an_answer_from_the_past_is_not_trusted() -> None:
    ledgers = iter([100, 98, 97, 101])

    def answer(call: dict[str, Any]) -> web.Response:
        return result(call, entries=[], latestLedger=next(ledgers))

    async with open_node(answer) as rpc:
        assert (await rpc.entries({account_key(ADDRESS): modified}))[0] == 100
        assert (await rpc.entries({account_key(ADDRESS): modified}))[
            0
        ] == 98  # replicas may differ a little
        with pytest.raises(StaleAnswerError):
            await rpc.entries({account_key(ADDRESS): modified})
        assert (await rpc.entries({account_key(ADDRESS): modified}))[0] == 101


async def test_keys_are_asked_for_in_portions_that_a_node_takes() -> None:
    sizes = []

    def answer(call: dict[str, Any]) -> web.Response:
        sizes.append(len(call["params"]["keys"]))
        found = [
            {"key": key, "xdr": key, "lastModifiedLedgerSeq": 5} for key in call["params"]["keys"]
        ]
        return result(call, entries=found, latestLedger=7 + len(sizes))

    async with open_node(answer) as rpc:
        keys = [account_key(Keypair.random().public_key) for _ in range(450)]
        ledger, found = await rpc.entries(dict.fromkeys(keys, modified))
        assert (ledger, found) == (8, dict.fromkeys(keys, 5))
        assert sorted(sizes) == [50, 200, 200]
        assert await rpc.entries({}) == (0, {})


async def test_no_error_shows_the_url() -> None:
    async with json_rpc_server(lambda _: web.Response(status=503)) as url:
        secret = url.replace("http://", "http://user:hush@") + "/hush?key=hush"
        async with open_rpc(secret, passphrase=OURS, timeout=2, seen=Heights(1)) as rpc:
            for _ in range(AWAY_AFTER):
                with pytest.raises(RpcUnavailableError) as caught:
                    await rpc.head()
            assert "hush" not in "".join(traceback.format_exception(caught.value))
            status = rpc.health.status()
    assert (status.host, status.state) == (url.removeprefix("http://"), S.AWAY)
    assert "hush" not in repr(status)
    assert "hush" not in repr(network_for("localnet", rpc_url=secret))


# Its health


def fail(health: Health, times: int = AWAY_AFTER) -> None:
    """Requests without an answer."""
    for _ in range(times):
        with pytest.raises(RpcUnavailableError), health.watching():
            raise RpcUnavailableError("nothing")


def answer_after(health: Health, clock: FakeClock, seconds: float) -> None:
    """A request with an answer."""
    with health.watching():
        clock.seconds += seconds


def test_every_sign_means_something_in_every_state() -> None:
    assert set(ENDPOINT_EDGES) == set(product(EndpointState, EndpointSign))
    assert S.UNVERIFIED not in ENDPOINT_EDGES.values()


def test_only_a_confirmed_passphrase_ends_the_wrong_network() -> None:
    left = {
        sign for (state, sign), to in ENDPOINT_EDGES.items() if state is S.WRONG_NETWORK is not to
    }
    assert left == {G.CONFIRM, G.LAG}  # a probe sees both only behind the right passphrase


def test_failures_in_a_row_make_it_away_and_a_probe_brings_it_back() -> None:
    health = Health("node", FakeClock())
    health.confirm()
    fail(health, AWAY_AFTER - 1)
    answer_after(health, FakeClock(), 0)
    fail(health, AWAY_AFTER - 1)
    assert health.status().state is S.HEALTHY
    fail(health, 1)
    assert health.status().state is S.AWAY
    answer_after(health, FakeClock(), 0)
    assert health.status().state is S.AWAY  # answers only demote
    health.confirm()
    assert (health.status().state, health.failures) == (S.HEALTHY, 0)


def test_a_refusal_is_an_answer() -> None:
    health = Health("node", FakeClock())
    health.confirm()
    fail(health, AWAY_AFTER - 1)
    with pytest.raises(RpcRejectedError), health.watching():
        raise RpcRejectedError("no")
    assert health.failures == 0


def test_probes_in_vain_come_more_and_more_rarely() -> None:
    health = Health("node", FakeClock())
    fail(health)
    pauses = [health.next_pause() for _ in range(8)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    health.lag("behind")
    assert health.next_pause() == PROBE_EVERY
    health.confirm()
    fail(health)
    assert health.next_pause() == FIRST_PAUSE


def test_latency_rises_at_once_and_falls_slowly() -> None:
    clock = FakeClock()
    health = Health("node", clock)
    answer_after(health, clock, 0.25)
    answer_after(health, clock, 2.0)
    assert health.latency == 2.0
    answer_after(health, clock, 0.01)
    assert 1.9 < health.latency < 2.0
    clock.seconds += 60
    answer_after(health, clock, 0.01)
    assert health.latency < 0.05


async def test_a_probe_tells_where_it_stands() -> None:
    node, seen = ScriptedNode(passphrase=OURS, ledger=100), Heights(3)
    async with (
        node.serve() as url,
        open_rpc(url, passphrase=OURS, timeout=2, seen=seen) as rpc,
    ):
        await rpc.ready()
        assert (rpc.health.state, rpc.health.ledger) == (S.HEALTHY, 100)
        for other in (1, 2):
            seen.claim(other, 200, now=monotonic(), floor=0)
        with pytest.raises(StaleAnswerError):
            await rpc.probe()
        assert rpc.health.state is S.LAGGING
        node.ledger = 199
        await rpc.ready()
        assert rpc.health.status().state is S.HEALTHY
        node.passphrase, node.ledger = "Another Network", 10**6
        with pytest.raises(NetworkMismatchError, match="Another Network"):
            await rpc.probe()
        assert (rpc.health.state, seen.floor) == (S.WRONG_NETWORK, 200)


# Settings


@pytest.mark.parametrize("url", ["node:8000", "ftp://node", "http://", "http://node:hush", "hush"])
def test_what_is_no_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="http") as caught:
        shown_address(url)
    assert "hush" not in str(caught.value)


def test_several_urls_are_one_setting() -> None:
    network = network_for("localnet", rpc_url="https://a/key, http://b:80 ,,https://a/key")
    assert network.rpc_urls == ("https://a/key", "http://b:80")
    assert [shown_address(url) for url in network.rpc_urls] == ["a", "b:80"]
    with pytest.raises(ValueError, match="STELLAR_RPC_URL"):
        network_for("mainnet")

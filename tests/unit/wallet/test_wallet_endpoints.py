"""Which node is asked, which one next, and what its answers to an envelope prove."""

import asyncio
from typing import Any, cast

import pytest

from libs.common.clock import SystemClock
from libs.common.errors import PoolError
from services.wallet.chain.errors import (
    NetworkMismatchError,
    RpcBusyError,
    RpcRejectedError,
    RpcUnavailableError,
)
from services.wallet.chain.node import endpoints as module
from services.wallet.chain.node.endpoints import HEDGE, MOMENT, Endpoints, open_endpoints, verdict
from services.wallet.chain.node.health import EndpointState
from services.wallet.domain.chain_facts import SendResult, SendStatus
from services.wallet.domain.heights import Heights
from tests.support.told_nodes import AWAY, BUSY, REFUSED, SILENCE, TAKEN, Nodes

QUESTION = cast("Any", None)
DUPLICATE = SendResult(status=SendStatus.DUPLICATE)


def hosts(found: list[Any]) -> list[str]:
    """The nodes' names."""
    return [node.health.host for node in found]


# Who may be asked


def test_the_preferred_come_first_the_slow_next_and_those_nobody_has_probed_last() -> None:
    nodes = Nodes(4, hedge=1.0)
    nodes[0].health.state = EndpointState.UNVERIFIED
    nodes[1].takes(0.6)
    assert hosts(nodes.endpoints.candidates()) == ["node2", "node3", "node1", "node0"]
    assert hosts(nodes.endpoints.usable()) == ["node2", "node3", "node1"]


@pytest.mark.parametrize(("seconds", "is_slow"), [(0.5, False), (0.51, True)])
def test_slow_is_who_takes_more_than_half_of_the_time_until_the_next_is_asked(
    seconds: float, is_slow: bool
) -> None:
    nodes = Nodes(2, hedge=1.0)
    nodes[0].takes(seconds)
    assert hosts(nodes.endpoints.candidates())[0] == ("node1" if is_slow else "node0")


def test_who_lags_rests_or_is_away_is_asked_only_where_there_is_no_other() -> None:
    nodes = Nodes(4)
    nodes[0].health.lag("behind")
    nodes[1].lost()
    nodes[2].rests(30)
    assert hosts(nodes.endpoints.candidates()) == ["node3"]
    assert hosts(nodes.endpoints.unusable()) == ["node0", "node1", "node2"]
    nodes[3].rests(30)
    assert hosts(nodes.endpoints.candidates()) == ["node0", "node1"]
    nodes[0].rests(30)
    nodes[1].rests(30)
    assert hosts(nodes.endpoints.candidates()) == ["node0", "node1", "node2", "node3"]
    assert nodes.endpoints.usable() == []


def test_who_rests_alone_is_named_where_the_others_are_not_to_be_asked_at_all() -> None:
    nodes = Nodes(2)
    nodes[0].health.contradict("lies")
    nodes[1].rests(30)
    assert hosts(nodes.endpoints.candidates()) == ["node1"]


def test_who_was_not_probed_yet_does_not_count_as_lost() -> None:
    nodes = Nodes(3)
    nodes[0].health.state = EndpointState.UNVERIFIED
    nodes[1].health.mismatch("another network")
    assert hosts(nodes.endpoints.unusable()) == ["node1"]


def test_why_nobody_can_be_asked() -> None:
    nodes = Nodes(2)
    for node in nodes.all:
        node.health.passphrase = f"the network of {node.health.host}"
        node.health.mismatch("another network")
    with pytest.raises(NetworkMismatchError, match="another network") as wrong:
        nodes.endpoints.candidates()
    assert wrong.value.metadata == {"found": "the network of node0"}
    nodes[1].healthy().health.contradict("lies")
    with pytest.raises(RpcUnavailableError, match="node1 is set aside, and there is no") as alone:
        nodes.endpoints.candidates()
    assert alone.value.retry_after == 1.0


def test_settings_that_are_left_out() -> None:
    endpoints = Endpoints([], seen=Heights(1))
    assert (endpoints.hedge, endpoints.moment, endpoints.configured) == (HEDGE, MOMENT, 0)
    assert (HEDGE, MOMENT) == (1.0, 0.5)
    assert isinstance(endpoints.clock, SystemClock)


# Reads


async def test_a_read_goes_to_one_node_that_is_ready() -> None:
    nodes = Nodes(2)
    assert await nodes.endpoints.ask(QUESTION) == "the truth"
    assert nodes.asked == [1, 0]
    assert [node.readied for node in nodes.all] == [1, 0]


@pytest.mark.parametrize("count", [2, 3])
async def test_the_next_one_steps_in_for_a_node_that_fails(count: int) -> None:
    nodes = Nodes(count)
    nodes[0].answers = [AWAY]
    assert await nodes.endpoints.ask(QUESTION) == "the truth"
    assert nodes.asked == [1, 1, 0][:count]


async def test_the_next_one_steps_in_for_a_node_that_takes_long() -> None:
    nodes = Nodes(2)
    nodes[0].answers = [SILENCE]
    async with asyncio.timeout(20):
        assert await nodes.endpoints.ask(QUESTION) == "the truth"
    assert nodes[0].cancelled == 1


async def test_a_single_node_may_take_long_and_its_own_error_is_raised() -> None:
    nodes = Nodes(1)
    nodes[0].turns = 30
    assert await nodes.endpoints.ask(QUESTION) == "the truth"
    nodes[0].answers = [RpcRejectedError("malformed")]
    with pytest.raises(RpcRejectedError, match="malformed"):
        await nodes.endpoints.ask(QUESTION)


async def test_what_is_no_failure_of_a_node_is_raised_at_once() -> None:
    nodes = Nodes(2)
    nodes[0].answers = [KeyError("a defect")]
    with pytest.raises(KeyError):
        await nodes.endpoints.ask(QUESTION)
    assert nodes.asked == [1, 0]


async def test_all_nodes_failures_become_one_error() -> None:
    nodes = Nodes(2)
    for node in nodes.all:
        node.answers = [AWAY]
    with pytest.raises(RpcUnavailableError, match=r"^away$"):
        await nodes.endpoints.ask(QUESTION)


async def test_a_plain_request_is_sent_once() -> None:
    nodes = Nodes(3)
    assert await nodes.endpoints.get("http://fund") == 200
    assert [node.gets for node in nodes.all] == [["http://fund"], [], []]


MALFORMED, ELSEWHERE = RpcRejectedError("malformed"), NetworkMismatchError("elsewhere")


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([MALFORMED], MALFORMED),
        ([MALFORMED, RpcRejectedError("too")], MALFORMED),
        ([MALFORMED, ELSEWHERE, AWAY], AWAY),
    ],
)
def test_alike_failures_are_told_as_one_and_silence_before_the_others(
    errors: list[PoolError], expected: PoolError
) -> None:
    assert verdict(errors) is expected


def test_failures_of_several_kinds_are_told_together_and_may_pass() -> None:
    found = verdict([MALFORMED, ELSEWHERE])
    assert type(found) is RpcUnavailableError
    assert (str(found), found.retry_after) == ("malformed; elsewhere", 1.0)


# Envelopes


async def send(nodes: Nodes, *envelopes: str, widely: bool = False) -> list[Any]:
    """Sends them; errors by their text."""
    async with asyncio.timeout(20):
        answers = await nodes.endpoints.send(envelopes, widely=widely)
    return [str(item) if isinstance(item, PoolError) else item for item in answers]


@pytest.mark.parametrize("answer", [TAKEN, DUPLICATE])
async def test_an_envelope_that_one_has_taken_goes_to_nobody_else(answer: SendResult) -> None:
    nodes = Nodes(3)
    nodes[0].sends = {"e": answer}
    assert await nodes.endpoints.send(["e"]) == [answer]
    assert [node.lists for node in nodes.all] == [[["e"]], [], []]
    assert [node.readied for node in nodes.all] == [1, 0, 0]


@pytest.mark.parametrize("answer", [REFUSED, BUSY])
async def test_the_first_nodes_refusal_counts(answer: SendResult) -> None:
    nodes = Nodes(2)
    nodes[0].sends = {"e": answer}
    assert await send(nodes, "e") == [answer]
    assert nodes[1].lists == []


@pytest.mark.parametrize("answer", [REFUSED, BUSY])
async def test_a_refusal_after_another_nodes_silence_proves_nothing(answer: SendResult) -> None:
    nodes = Nodes(2)
    nodes[0].refuses, nodes[1].sends = SILENCE, {"e": answer}
    expected = f"sent without an answer; {answer.status.value} of another node proves nothing"
    assert await send(nodes, "e") == [expected]
    assert nodes[0].cancelled == 1


async def test_only_what_has_no_answer_yet_goes_to_the_next_node() -> None:
    nodes = Nodes(3)
    nodes[0].sends = {"b": AWAY, "c": REFUSED}
    nodes[1].sends = {"b": DUPLICATE}
    assert await send(nodes, "a", "b", "c") == [TAKEN, DUPLICATE, REFUSED]
    assert [node.lists for node in nodes.all] == [[["a", "b", "c"]], [["b"]], []]


async def test_envelopes_go_in_lists_of_the_size_that_a_node_takes() -> None:
    nodes = Nodes(1)
    nodes[0].longest, nodes[0].sends = 2, {"c": REFUSED}
    assert await send(nodes, "a", "b", "c") == [TAKEN, TAKEN, REFUSED]
    assert nodes[0].lists == [["a", "b"], ["c"]]


async def test_an_envelope_that_nobody_answers_has_the_nodes_error() -> None:
    nodes = Nodes(2)
    for node in nodes.all:
        node.refuses = AWAY
    assert await send(nodes, "a", "b") == ["away", "away"]
    nodes[0].refuses, nodes[0].sends = None, {"a": RpcUnavailableError("lost")}
    assert await send(nodes, "a", "b") == ["lost", TAKEN]


async def test_a_node_that_may_not_be_asked_has_not_taken_anything() -> None:
    nodes = Nodes(2)
    nodes[0].rests(30)
    nodes[1].sends = {"e": REFUSED}
    assert await send(nodes, "e") == [REFUSED]
    nodes[1].rests(30)
    (found,) = await nodes.endpoints.send(["e"])
    assert isinstance(found, RpcBusyError)


async def test_what_goes_widely_goes_to_two_at_once_whatever_the_first_says() -> None:
    nodes = Nodes(3)
    for node in nodes.all:
        node.turns = 30
    nodes[1].refuses = nodes[2].refuses = AWAY
    assert await send(nodes, "a", "b", widely=True) == [TAKEN, TAKEN]
    assert [node.lists for node in nodes.all[:2]] == [[["a", "b"]], [["a", "b"]]]


async def test_what_goes_widely_counts_as_taken_where_the_second_has_taken_it() -> None:
    nodes = Nodes(2)
    nodes[0].sends, nodes[1].turns = {"e": REFUSED}, 30
    assert await send(nodes, "e", widely=True) == [TAKEN]
    nodes[1].turns, nodes[0].turns = 0, 30
    assert await send(nodes, "e", widely=True) == [TAKEN]


async def test_where_there_is_one_node_only_widely_means_that_one() -> None:
    nodes = Nodes(1)
    assert await send(nodes, "e", widely=True) == [TAKEN]
    assert nodes[0].lists == [["e"]] and nodes[0].cancelled == 0


async def test_two_answers_are_enough_for_what_goes_widely() -> None:
    nodes = Nodes(3)
    nodes[2].refuses = SILENCE
    assert await send(nodes, "e", widely=True) == [TAKEN]
    assert nodes[2].cancelled == len(nodes[2].lists)


async def test_what_goes_widely_waits_for_the_second_answer_and_not_for_the_third() -> None:
    nodes = Nodes(2)
    nodes[1].turns = 30
    nodes[1].sends = {"e": TAKEN}
    assert await send(nodes, "e", widely=True) == [TAKEN]
    assert nodes[1].cancelled == 0


# Probes


class Stop(BaseException):
    """The end of a test's loop."""


async def test_a_node_is_probed_for_ever_whatever_its_probes_meet() -> None:
    seen: list[str] = []
    meets: list[BaseException | None] = [None, AWAY, KeyError("a defect"), None, Stop()]

    class Probed:
        """A node and its own health."""

        host = "node"
        health: Any

        async def probe(self) -> None:
            seen.append("probe")
            if (met := meets.pop(0)) is not None:
                raise met

        async def pause(self) -> None:
            seen.append("pause")

    node = Probed()
    node.health = node
    with pytest.raises(Stop):
        await module._watch(cast("Any", node))
    assert seen == ["probe", "pause"] * 4 + ["probe"]


async def test_no_probe_outlives_the_endpoints() -> None:
    before = asyncio.all_tasks()
    async with open_endpoints(
        ["http://127.0.0.1:1", "http://127.0.0.1:2"], passphrase="any", timeout=1.0, hedge=3.0
    ) as endpoints:
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks() - before) >= 2
        assert (endpoints.configured, endpoints.hedge) == (2, 3.0)
    assert asyncio.all_tasks() == before

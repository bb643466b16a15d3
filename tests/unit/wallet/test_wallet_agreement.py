"""Whose word counts where several nodes are asked: how many, which answer, and who is accused."""

import asyncio
from typing import Any, cast

import pytest

from services.wallet.chain.agreement import Agreement
from services.wallet.chain.errors import (
    DisagreementError,
    RpcRejectedError,
    RpcUnavailableError,
)
from services.wallet.chain.node.health import EndpointState
from services.wallet.domain.trust import ONE_NODE_AFTER
from tests.support.sleeping import replace_sleep
from tests.support.told_nodes import AWAY, SILENCE, TAKEN, Nodes

QUESTION = cast("Any", None)


async def read(nodes: Nodes) -> Any:
    """The answer on which they agree, by an agreement of its own."""
    return await Agreement(nodes.endpoints).ask(QUESTION)


# How many are asked


async def test_a_single_node_is_believed() -> None:
    nodes = Nodes(1)
    agreed = Agreement(nodes.endpoints)
    assert await agreed.ask(QUESTION) == "the truth"
    assert (agreed.witnessed, agreed.configured, nodes.asked) == (1, 1, [1])


@pytest.mark.parametrize(("count", "asked"), [(2, 2), (3, 2), (4, 2), (5, 3), (7, 4)])
async def test_as_many_are_asked_as_make_sure_that_one_is_honest(count: int, asked: int) -> None:
    nodes = Nodes(count)
    agreed = Agreement(nodes.endpoints)
    assert await agreed.ask(QUESTION) == "the truth"
    assert nodes.asked == [1] * asked + [0] * (count - asked)
    assert agreed.witnessed == asked
    # The other reads go the same way.
    assert await agreed.passphrase() == "the truth"
    assert cast("Any", await agreed.entries({})) == "the truth"
    assert nodes.asked == [3] * asked + [0] * (count - asked)


async def test_the_witnesses_of_an_instance_are_those_of_its_weakest_read() -> None:
    nodes = Nodes(5)
    agreed = Agreement(nodes.endpoints)
    await agreed.ask(QUESTION)
    assert agreed.witnessed == 3
    async with agreed.pinned() as node:
        assert node is cast("Any", nodes[0])
    assert agreed.witnessed == 1
    await agreed.ask(QUESTION)
    assert agreed.witnessed == 1


async def test_another_stands_in_for_a_node_that_fails() -> None:
    nodes = Nodes(4)
    nodes[0].answers = [AWAY]
    nodes[1].answers = [AWAY]
    assert await read(nodes) == "the truth"
    assert nodes.asked == [1, 1, 1, 1]


async def test_nobody_else_is_asked_while_an_answer_is_on_its_way() -> None:
    nodes = Nodes(4, hedge=60)
    nodes[0].turns, nodes[1].turns = 3, 30
    assert await read(nodes) == "the truth"
    assert nodes.asked == [1, 1, 0, 0]


async def test_another_is_asked_where_an_answer_is_late_and_the_late_one_is_called_off() -> None:
    nodes = Nodes(4)
    nodes[1].answers = [SILENCE]
    async with asyncio.timeout(20):
        assert await read(nodes) == "the truth"
    assert nodes.asked == [1, 1, 1, 0]
    assert nodes[1].cancelled == 1


async def test_the_last_answer_is_waited_for() -> None:
    nodes = Nodes(2)
    nodes[1].turns = 30
    agreed = Agreement(nodes.endpoints)
    assert await agreed.ask(QUESTION) == "the truth"
    assert agreed.witnessed == 2


async def test_nodes_that_no_probe_has_confirmed_are_asked_where_there_is_no_other() -> None:
    nodes = Nodes(3)
    for node in nodes.all:
        node.health.state = EndpointState.UNVERIFIED
    assert await read(nodes) == "the truth"
    assert nodes.asked == [1, 1, 0]


async def test_nodes_that_no_probe_has_confirmed_stand_in_for_nobody() -> None:
    nodes = Nodes(3)
    nodes[2].health.state = EndpointState.UNVERIFIED
    nodes[1].answers = [AWAY]
    with pytest.raises(DisagreementError, match="1 of 3 Stellar nodes can be asked, 2 are needed"):
        await read(nodes)
    assert nodes.asked == [1, 1, 0]


async def test_where_nobody_answers_the_error_says_why() -> None:
    nodes = Nodes(3)
    for node in nodes.all:
        node.answers = [RpcRejectedError("malformed")]
    with pytest.raises(RpcRejectedError, match="malformed"):
        await read(nodes)
    nodes[0].answers = [AWAY]
    with pytest.raises(RpcUnavailableError, match="away"):
        await read(nodes)


# Few that are left


@pytest.mark.parametrize(
    ("seconds", "is_believed"), [(ONE_NODE_AFTER + 4.5, False), (ONE_NODE_AFTER + 5, True)]
)
async def test_the_last_node_is_believed_once_a_second_one_was_away_for_long(
    seconds: float, is_believed: bool
) -> None:
    nodes = Nodes(3)
    nodes[1].lost()
    nodes.clock.seconds = 5.0
    nodes[2].lost()
    nodes.clock.seconds = seconds
    agreed = Agreement(nodes.endpoints)
    if is_believed:
        assert await agreed.ask(QUESTION) == "the truth"
        assert agreed.witnessed == 1
        return
    with pytest.raises(DisagreementError, match="1 of 3 Stellar nodes") as caught:
        await agreed.ask(QUESTION)
    assert caught.value.retry_after == 1.0


async def test_the_last_node_is_not_believed_within_ten_seconds() -> None:
    assert ONE_NODE_AFTER == 10.0


async def test_a_node_that_only_did_not_answer_now_still_counts_as_there() -> None:
    nodes = Nodes(3)
    nodes[2].lost()
    nodes.clock.seconds = 1000.0
    nodes[1].answers = [AWAY]
    with pytest.raises(DisagreementError, match="1 of 3"):
        await read(nodes)


# Answers that differ


async def test_nodes_that_were_only_a_ledger_apart_are_asked_again() -> None:
    nodes = Nodes(3)
    nodes[1].answers = ["old", "the truth"]
    for node, ledger in zip(nodes.all, (102, 101, 103), strict=True):
        node.health.ledger = ledger
    assert await read(nodes) == "the truth"
    assert (nodes.asked, nodes.blamed) == ([2, 2, 1], [0, 0, 0])


async def test_of_equal_answers_that_of_the_lowest_ledger_is_given() -> None:
    nodes = Nodes(2)
    for node, ledger in zip(nodes.all, (102, 101), strict=True):
        node.answers, node.health.ledger = [(ledger, {"key": "the truth"})], ledger
    assert await read(nodes) == (101, {"key": "the truth"})


@pytest.mark.parametrize("place", [0, 1])
async def test_who_says_twice_what_the_others_do_not_is_set_aside(place: int) -> None:
    nodes = Nodes(3)
    nodes[place].answers = ["x" * 300]
    assert await read(nodes) == "the truth"
    assert nodes.blamed == [int(number == place) for number in range(3)]
    assert nodes[place].health.status().reason == f"says {'x' * 200}, others the truth"


async def test_the_time_between_the_two_questions_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, slept = Nodes(3), list[float]()
    nodes.endpoints.moment = 7.0
    nodes[1].answers = ["a lie"]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    replace_sleep(monkeypatch, "services.wallet.chain.agreement", sleep)
    assert await read(nodes) == "the truth"
    assert slept == [7.0]


async def test_who_says_something_else_the_second_time_only_is_not_accused() -> None:
    nodes = Nodes(5)
    # Node 4 was not asked the first time; node 1 has come around.
    nodes[1].answers, nodes[4].answers = ["old", "the truth"], ["a lie"]
    assert await read(nodes) == "the truth"
    assert nodes.blamed == [0] * 5


async def test_who_agrees_with_what_the_others_said_after_a_change_is_not_accused() -> None:
    nodes = Nodes(3)
    # The others' answer changed meanwhile: who lags was right a moment ago.
    for node in (nodes[0], nodes[2]):
        node.answers = ["before", "after"]
    nodes[1].answers = ["older"]
    nodes[2].answers = ["after"]
    assert await read(nodes) == "after"
    assert nodes.blamed == [0, 0, 0]


@pytest.mark.parametrize(("ledger", "blamed"), [(99, 0), (100, 1), (101, 1)])
async def test_only_who_has_seen_the_same_ledgers_is_accused(ledger: int, blamed: int) -> None:
    nodes = Nodes(3)
    nodes[1].answers, nodes[1].ledgers = ["a lie"], [100, ledger]
    assert await read(nodes) == "the truth"
    assert nodes.blamed == [0, blamed, 0]


async def test_the_newest_of_the_others_ledgers_is_what_an_accused_must_have_seen() -> None:
    nodes = Nodes(5)
    nodes[0].health.ledger, nodes[1].health.ledger = 90, 110
    nodes[2].answers = ["a lie"]
    assert await read(nodes) == "the truth"
    assert nodes.blamed == [0] * 5


async def test_two_that_contradict_each_other_accuse_nobody() -> None:
    nodes = Nodes(2)
    nodes[1].answers = ["a lie"]
    # Answers come in any order.
    hosts = r"nodes node(0 and node1|1 and node0) contradict each other"
    with pytest.raises(DisagreementError, match=hosts) as caught:
        await read(nodes)
    assert (caught.value.retry_after, nodes.blamed) == (1.0, [0, 0])


async def test_one_that_is_left_after_a_contradiction_is_not_believed() -> None:
    nodes = Nodes(2)
    nodes[0].answers, nodes[1].answers = ["a lie"], ["the truth", AWAY]
    with pytest.raises(DisagreementError, match="differed, and do not answer any more"):
        await read(nodes)
    nodes[0].answers = ["a lie", AWAY]
    nodes[1].answers = ["the truth", AWAY]
    with pytest.raises(DisagreementError, match="differed, and do not answer any more"):
        await read(nodes)


async def test_two_of_five_that_say_the_same_are_too_few() -> None:
    nodes = Nodes(5)
    for node, answer in zip(nodes.all, ("a", "b", "a", "b", "c"), strict=True):
        node.answers = [answer]
    with pytest.raises(DisagreementError, match="contradict each other"):
        await read(nodes)
    assert nodes.blamed == [0] * 5


async def test_two_of_five_that_say_the_same_are_enough_where_no_other_answers() -> None:
    nodes = Nodes(5)
    nodes[2].answers = ["a lie", AWAY]
    nodes[3].answers = nodes[4].answers = [AWAY]
    assert await read(nodes) == "the truth"
    assert nodes.blamed == [0] * 5


# What needs no agreement


async def test_heights_plain_requests_and_envelopes_need_no_agreement() -> None:
    nodes = Nodes(3)
    agreed = Agreement(nodes.endpoints)
    assert cast("Any", await agreed.head()) == "the truth"
    assert nodes.asked == [1, 0, 0]
    assert await agreed.get("http://fund") == 200
    assert await agreed.send(["e"]) == [TAKEN]
    assert [node.lists for node in nodes.all] == [[["e"]], [], []]
    assert await agreed.send(["e"], widely=True) == [TAKEN]
    assert [len(node.lists) for node in nodes.all[:2]] == [2, 1]
    assert [status.host for status in agreed.statuses()] == ["node0", "node1", "node2"]

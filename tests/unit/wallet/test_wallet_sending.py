"""Envelopes that go to one node in a list: which answer is whose, and what a refusal means."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from services.wallet.chain.errors import (
    RpcBusyError,
    RpcRejectedError,
    RpcUnavailableError,
)
from services.wallet.chain.node.lists import LONGEST
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.node.transport import ListRefusedError
from services.wallet.domain.chain_facts import SendResult, SendStatus
from services.wallet.domain.heights import Heights
from tests.support.canned import Canned
from tests.support.clock import FakeClock

T = TypeVar("T")
PENDING = SendResult(status=SendStatus.PENDING)


def taken(call: Any) -> dict[str, Any]:
    """The answer that an envelope was taken."""
    return {"jsonrpc": "2.0", "id": call["id"], "result": {"status": "PENDING"}}


def failed(call: Any, code: int = -32602, **more: Any) -> dict[str, Any]:
    """An error."""
    return {"id": call["id"], "error": {"code": code, "message": "no", **more}}


class Server(Canned):
    """Answers what `says` makes of the calls in a request, and keeps the requests."""

    def __init__(self, says: Callable[[Any], Any]) -> None:
        super().__init__()
        self.says = says
        self.bodies: list[Any] = []
        self.lists: list[bool] = []

    async def ask(
        self, method: str, body: bytes, read: Callable[[Any], T], *, is_list: bool = False
    ) -> T:
        """As a transport's."""
        calls = json.loads(body)
        self.bodies.append(calls)
        self.lists.append(is_list)
        answer = self.says(calls)
        if isinstance(answer, Exception):
            raise answer
        return read(answer)


def node(says: Callable[[Any], Any], *, sure: int = LONGEST) -> tuple[Server, Rpc]:
    """A node that has taken lists of this length."""
    server = Server(says)
    rpc = Rpc(server, "node", passphrase="", seen=Heights(1), clock=FakeClock())
    rpc._lists.sure = sure
    return server, rpc


def each(calls: Any) -> list[Any]:
    """All are taken, in another order."""
    return [taken(call) for call in reversed(calls)]


async def test_a_single_envelope_goes_without_a_list() -> None:
    server, rpc = node(taken)
    assert await rpc.send(["a"]) == [PENDING]
    (call,) = server.bodies
    assert (call["jsonrpc"], call["method"]) == ("2.0", "sendTransaction")
    assert call["params"] == {"transaction": "a"}
    assert server.lists == [False]


async def test_answers_belong_to_envelopes_by_their_ids() -> None:
    def says(calls: Any) -> list[Any]:
        first, second, third = calls
        bad = {"id": second["id"], "result": {"status": "TRY_AGAIN_LATER"}}
        return [taken(third), bad, taken(first)]

    server, rpc = node(says)
    found = await rpc.send(["a", "b", "c"])
    assert found == [PENDING, SendResult(status=SendStatus.TRY_AGAIN_LATER), PENDING]
    assert [call["params"]["transaction"] for call in server.bodies[0]] == ["a", "b", "c"]
    assert len({call["id"] for call in server.bodies[0]}) == 3
    assert (server.lists, rpc.health.failures) == ([True], 0)


async def test_two_answers_to_one_call_are_none() -> None:
    _, rpc = node(lambda calls: [taken(calls[0]), taken(calls[1]), taken(calls[0])])
    first, second = await rpc.send(["a", "b"])
    assert isinstance(first, RpcUnavailableError)
    assert second == PENDING
    assert rpc._lists.sure == 1


@pytest.mark.parametrize("answer", [7, None, "x", {"id": True}, {"result": {"status": "PENDING"}}])
async def test_items_that_answer_no_call_are_passed_over(answer: Any) -> None:
    _, rpc = node(lambda calls: [answer, taken(calls[1])])
    first, second = await rpc.send(["a", "b"])
    assert isinstance(first, RpcUnavailableError)
    assert second == PENDING


async def test_a_call_that_the_node_refuses_has_its_own_error() -> None:
    _, rpc = node(lambda calls: [failed(calls[0], data="why"), taken(calls[1])])
    first, second = await rpc.send(["a", "b"])
    assert isinstance(first, RpcRejectedError)
    assert str(first) == "sendTransaction: no: why"
    assert second == PENDING
    assert rpc.health.failures == 0


async def test_where_no_call_has_an_answer_the_node_has_failed() -> None:
    _, rpc = node(lambda calls: [])
    found = await rpc.send(["a", "b"])
    assert [type(item) for item in found] == [RpcUnavailableError] * 2
    assert (rpc.health.failures, rpc._lists.sure) == (1, 1)


@pytest.mark.parametrize(
    "refusal",
    [ListRefusedError(), {"id": None, "error": {"code": -32600, "message": "no list"}}],
)
async def test_a_list_that_is_refused_goes_in_shorter_ones(refusal: Any) -> None:
    server, rpc = node(lambda calls: refusal if isinstance(calls, list) else taken(calls), sure=4)
    assert await rpc.send(["a", "b", "c", "d"]) == [PENDING] * 4
    assert [len(body) if isinstance(body, list) else 1 for body in server.bodies] == [
        4,
        2,
        2,
        *[1] * 4,
    ]
    assert rpc._lists.sure == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"id": None, "error": {"code": -32603, "message": "in trouble"}},
        {"id": 1, "result": {"status": "PENDING"}},
        {"error": "no"},
        7,
    ],
)
async def test_an_answer_that_is_no_list_and_no_refusal_is_silence(answer: Any) -> None:
    server, rpc = node(lambda calls: answer)
    found = await rpc.send(["a", "b"])
    assert [type(item) for item in found] == [RpcUnavailableError] * 2
    assert "an answer that is no list" in str(found[0])
    assert (len(server.bodies), rpc.health.failures) == (1, 1)


async def test_a_rest_says_nothing_of_lists() -> None:
    _, rpc = node(lambda calls: RpcBusyError("busy", retry_after=9.0))
    found = await rpc.send(["a", "b"])
    assert [type(item) for item in found] == [RpcBusyError] * 2
    assert (rpc._lists.sure, rpc.health.resting) == (LONGEST, 9.0)
    again = await rpc.send(["a", "b"])
    assert [type(item) for item in again] == [RpcBusyError] * 2


async def test_lists_that_were_answered_grow() -> None:
    _, rpc = node(each, sure=1)
    await rpc.send(["a", "b", "c"])
    assert rpc._lists.sure == 3
    assert [part.stop - part.start for part in rpc.parts(["e"] * 9)] == [6, 3]


async def test_no_more_than_32_lists_are_on_their_way() -> None:
    running = most = 0

    class Slow(Server):
        async def ask(self, *args: Any, **more: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(3):
                await asyncio.sleep(0)
            running -= 1
            return await super().ask(*args, **more)

    rpc = Rpc(Slow(taken), "node", passphrase="", seen=Heights(1), clock=FakeClock())
    assert await asyncio.gather(*(rpc.send(["e"]) for _ in range(40))) == [[PENDING]] * 40
    assert most == 32


# Other answers


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": -32602, "message": "bad", "data": "hash"}, "getNetwork: bad: hash"),
        ({"code": -32602, "message": "bad", "data": 7}, "getNetwork: bad"),
        ({"code": -32602, "message": "", "data": "hash"}, "getNetwork: hash"),
        ({"code": -32602, "message": "m" * 400}, "getNetwork: " + "m" * 300),
    ],
)
async def test_a_refusal_has_the_nodes_words(error: dict[str, Any], expected: str) -> None:
    _, rpc = node(lambda call: {"id": call["id"], "error": error})
    with pytest.raises(RpcRejectedError) as caught:
        await rpc.passphrase()
    assert str(caught.value) == expected


async def test_a_node_in_trouble_is_silent_with_its_words() -> None:
    _, rpc = node(lambda call: failed(call, -32603, data="disk"))
    with pytest.raises(RpcUnavailableError, match="no: disk") as caught:
        await rpc.passphrase()
    assert caught.value.retry_after == 1.0


async def test_a_request_has_parameters_only_where_there_are_some() -> None:
    server, rpc = node(lambda call: {"id": call["id"], "result": {"passphrase": "p"}})
    assert await rpc.passphrase() == "p"
    assert "params" not in server.bodies[0]
    assert [status.host for status in rpc.statuses()] == ["node"]
    async with rpc.pinned() as pinned:
        assert pinned is rpc


@pytest.mark.parametrize(
    "answer", [{"id": None, "result": {"passphrase": "p"}}, {"id": 99, "error": {"code": 1}}]
)
async def test_the_answer_to_another_request_is_none(answer: Any) -> None:
    _, rpc = node(lambda call: answer)
    with pytest.raises(RpcUnavailableError, match="the answer to another request"):
        await rpc.passphrase()

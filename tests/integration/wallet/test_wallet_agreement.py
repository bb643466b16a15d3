"""Several nodes in front of one chain, some of which lie: whose word counts, who is set aside."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import pytest
from stellar_sdk import Keypair

from localnet.app import RunningLocalnet, open_localnet
from localnet.config import LocalnetSettings
from services.wallet.chain import agreement
from services.wallet.chain.errors import DisagreementError, RpcUnavailableError
from services.wallet.chain.facade import Chain
from services.wallet.chain.networks import network_for
from services.wallet.chain.node import health
from services.wallet.chain.node.health import AWAY_AFTER, EndpointState
from services.wallet.chain.opening import open_chain
from services.wallet.domain import trust
from services.wallet.domain.trust import Decision
from tests.support.lying_node import Frozen, Lie, LyingNode, nothing_there, plus, truth

S = EndpointState
NOBODY = "http://127.0.0.1:1"
STRANGER = Keypair.random().public_key


@pytest.fixture(autouse=True)
def seconds_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes often, bans briefly."""
    monkeypatch.setattr(health, "PROBE_EVERY", 0.2)
    monkeypatch.setattr(health, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(health, "FIRST_BAN", 1.0)
    monkeypatch.setattr(agreement, "ONE_NODE_AFTER", 1.0)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Nodes in front of one localnet."""

    chain: Chain
    localnet: RunningLocalnet
    nodes: Sequence[LyingNode]

    @property
    def states(self) -> list[EndpointState]:
        """Of the nodes, in order."""
        return [status.state for status in self.chain.endpoints()]

    async def until(self, *states: EndpointState) -> None:
        """Waits until the nodes are in these states."""
        async with asyncio.timeout(20):
            while self.states != list(states):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@asynccontextmanager
async def open_scene(count: int, *, ledger_seconds: float = 0.5) -> AsyncIterator[Scene]:
    """So many nodes, all honest, and all probed."""
    options = LocalnetSettings(host="127.0.0.1", port=0, ledger_seconds=ledger_seconds)
    async with AsyncExitStack() as stack:
        localnet = await stack.enter_async_context(open_localnet(options))
        nodes = [LyingNode(localnet.url) for _ in range(count)]
        urls = [await stack.enter_async_context(node.serve()) for node in nodes]
        network = network_for("localnet", rpc_url=",".join(urls))
        chain = await stack.enter_async_context(open_chain(network, timeout=5))
        scene = Scene(chain=chain, localnet=localnet, nodes=nodes)
        await scene.until(*[S.HEALTHY] * count)
        yield scene


async def test_one_node_is_asked_once() -> None:
    async with open_scene(1) as scene:
        await scene.chain.farm()  # the first time tells which code it has
        before = scene.nodes[0].calls.count("getLedgerEntries")
        agreed = scene.chain.agreed
        assert await agreed.farm() is not None
        assert scene.nodes[0].calls.count("getLedgerEntries") == before + 1
        assert (agreed.witnessed, agreed.configured) == (1, 1)


async def test_two_are_asked_side_by_side_and_the_third_only_when_they_differ() -> None:
    async with open_scene(3) as scene:
        await scene.chain.farm()  # the first time tells which code it has
        before = [node.calls.count("getLedgerEntries") for node in scene.nodes]
        agreed = scene.chain.agreed
        assert await agreed.farm() is not None
        after = [node.calls.count("getLedgerEntries") for node in scene.nodes]
        assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 0]
        assert (agreed.witnessed, agreed.configured) == (2, 3)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_who_says_twice_what_the_others_do_not_is_set_aside_and_comes_back(
    place: int,
) -> None:
    async with open_scene(3) as scene:
        await scene.chain.agreed.farm()  # what a probe is compared with
        liar = scene.nodes[place]
        liar.lie = nothing_there
        for _ in range(2):
            assert await scene.chain.agreed.farm() is not None
        if place == 2:
            assert scene.states == [S.HEALTHY] * 3  # nobody has asked it
            return
        expected = [S.SET_ASIDE if node is liar else S.HEALTHY for node in scene.nodes]
        assert scene.states == expected
        status = scene.chain.endpoints()[place]
        assert (status.contradictions, "others" in status.reason) == (1, True)
        # As long as it lies it does not come back.
        await asyncio.sleep(2.5)
        assert scene.states == expected
        liar.lie = truth
        await scene.until(*[S.HEALTHY] * 3)
        assert await scene.chain.agreed.farm() is not None


async def test_two_that_contradict_each_other_accuse_nobody() -> None:
    async with open_scene(2) as scene:
        scene.nodes[0].lie = nothing_there
        with pytest.raises(DisagreementError, match="contradict each other"):
            await scene.chain.agreed.farm()
        assert scene.states == [S.HEALTHY] * 2
        scene.nodes[0].lie = truth
        assert await scene.chain.agreed.farm() is not None


async def test_being_a_ledger_apart_is_no_lie() -> None:
    """Balances that change with every ledger, and nodes that answer from different ones."""
    async with open_scene(3, ledger_seconds=0.3) as scene:
        late = scene.nodes[1]
        for _ in range(20):
            frozen = Frozen()
            late.lie = frozen
            await scene.chain.agreed.accounts([STRANGER])
            late.lie = truth
        assert scene.states == [S.HEALTHY] * 3
        assert all(status.contradictions == 0 for status in scene.chain.endpoints())


async def test_the_only_one_left_is_believed_after_a_while_for_what_may_rest_on_it() -> None:
    options = LocalnetSettings(host="127.0.0.1", port=0, ledger_seconds=0.5)
    async with open_localnet(options) as localnet:
        network = network_for("localnet", rpc_url=f"{localnet.url},{NOBODY}")
        async with open_chain(network, timeout=5) as chain:
            started = monotonic()
            async with asyncio.timeout(20):
                while True:
                    agreed = chain.agreed
                    try:
                        assert await agreed.farm() is not None
                        break
                    except (DisagreementError, RpcUnavailableError):
                        await asyncio.sleep(0.1)
            assert monotonic() - started >= 1.0
            assert (agreed.witnessed, agreed.configured) == (1, 2)
            assert [status.state for status in chain.endpoints()] == [S.HEALTHY, S.AWAY]
            assert len(chain.witnesses()) == 1


LIES: dict[str, Lie] = {
    "10 ledgers": plus(10),
    "100,000 ledgers": plus(100_000),
    "1,000 s": plus(seconds=1000),
    "1,000 s and 100 ledgers": plus(100, 1000),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", LIES)
async def test_a_height_that_nobody_else_shows_costs_nothing(place: int, name: str) -> None:
    async with open_scene(3) as scene:
        await asyncio.sleep(1)
        scene.nodes[place].lie = LIES[name]
        for _ in range(30):
            honest = scene.localnet.rpc.latest
            head = await scene.chain.head()
            assert head.sequence - honest.sequence <= 2
            assert head.close_time - honest.close_time <= 2
            await asyncio.sleep(0.1)
        others = [state for at, state in enumerate(scene.states) if at != place]
        assert others == [S.HEALTHY] * 2
        assert scene.states[place] in {S.SET_ASIDE, S.AWAY, S.HEALTHY}
        scene.nodes[place].lie = truth
        await scene.until(*[S.HEALTHY] * 3)


@pytest.mark.parametrize("extra", [1, 2])
async def test_who_adds_a_ledger_or_two_makes_nobody_lag(extra: int) -> None:
    async with open_scene(3) as scene:
        scene.nodes[0].lie = plus(extra)
        for _ in range(40):
            await scene.chain.head()
            await asyncio.sleep(0.05)
            assert S.LAGGING not in scene.states
        assert len(scene.chain.witnesses()) == 3


async def test_an_extraordinary_fee_is_asked_of_another_one() -> None:
    def dear(method: str, result: dict[str, object]) -> dict[str, object]:
        if method != "getFeeStats":
            return result
        return {**result, "sorobanInclusionFee": {"p90": "1000000000"}}

    async with open_scene(2) as scene:
        scene.nodes[0].lie = dear
        assert await scene.chain.inclusion_fee() < 1000
    async with open_scene(1) as scene:
        scene.nodes[0].lie = dear
        assert await scene.chain.inclusion_fee() == 10**9


async def test_witnesses_are_nodes_each_by_itself() -> None:
    async with open_scene(3) as scene:
        scene.nodes[1].lie = nothing_there
        found = [await witness.farm() for witness in scene.chain.witnesses()]
        assert [farm is None for farm in found] == [False, True, False]


def test_every_decision_has_its_row() -> None:
    assert set(trust.TRUST) == set(Decision)
    assert AWAY_AFTER < 10

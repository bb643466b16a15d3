"""Nodes that send more than anybody can hold: refused as their failure, in little memory."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from libs.common.turns import TurnWatch
from services.wallet.chain.errors import RpcUnavailableError
from services.wallet.chain.facade import Chain
from services.wallet.chain.networks import network_for
from services.wallet.chain.opening import open_chain
from tests.support.hostile_node import TRAPS, hostile_node
from tests.support.json_rpc import ScriptedNode

OURS = "Standalone Network ; February 2017"
WANTED = {f"{number:064x}": ["plant"] for number in range(16)}
#: MiB above normal that the largest answers may take.
ABOVE_NORMAL = 100
#: Hostile ones at once.
NODES = 5
#: Seconds for which nothing else may go on. The largest answer took 40 before answers had bounds,
#: and the machine that tests run on is busy.
LONGEST_TURN = 10.0


@asynccontextmanager
async def chain_over(*urls: str, timeout: float = 3.0) -> AsyncIterator[Chain]:
    network = network_for("localnet", rpc_url=",".join(urls))
    async with open_chain(network, timeout=timeout, hedge=0.5) as chain:
        yield chain


@pytest.mark.parametrize("name", TRAPS)
async def test_a_trap_is_its_nodes_failure_and_the_next_one_answers(name: str) -> None:
    sound, turns = ScriptedNode(passphrase=OURS), TurnWatch()
    async with (
        hostile_node(OURS, TRAPS[name]) as trap,
        sound.serve() as url,
        chain_over(trap, url) as chain,
    ):
        await chain.head()
        watching = asyncio.create_task(turns.run(every=0.01, interval=3600))
        started = monotonic()
        included = await chain.included(99, WANTED)
        assert included.head.sequence == sound.ledger
        assert not included.outcomes
        assert "getTransactions" in sound.calls
        assert monotonic() - started < 10
        watching.cancel()
    assert turns.current < LONGEST_TURN


@pytest.mark.parametrize("name", TRAPS)
async def test_a_trap_alone_is_no_answer(name: str) -> None:
    async with hostile_node(OURS, TRAPS[name]) as trap, chain_over(trap) as chain:
        with pytest.raises(RpcUnavailableError):
            await chain.included(99, WANTED)
        assert chain.endpoints()[0].failures > 0
        assert chain.endpoints()[0].reason


async def test_the_largest_answers_of_many_nodes_at_once_take_little_memory() -> None:
    """In a process of its own, whose peak the system tells."""
    async with AsyncExitStack() as stack:
        for name, trap in TRAPS.items():
            urls = [await stack.enter_async_context(hostile_node(OURS, trap)) for _ in range(NODES)]
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.support.hostile_victim",
                *urls,
                cwd=Path(__file__).parents[3],
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await asyncio.wait_for(process.communicate(), 60)
            found = json.loads(out.splitlines()[-1])
            assert found["failed"] > 0, name
            assert found["above_normal"] <= ABOVE_NORMAL, (name, found)

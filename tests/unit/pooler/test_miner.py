"""The search over worker processes: real processes, real hashes, nothing left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from uuid import UUID

import pytest

from libs.common.ids import FarmerId
from libs.kale.hash import leading_zeros, work_hash
from pooler.miner import Found, MinerError, SearchRequest, Target, open_search, search

FARMERS = [
    Target(farmer_id=FarmerId(UUID(int=number)), key=bytes([number]) * 32) for number in range(1, 8)
]


def request(*, seconds: float, farmers: list[Target] = FARMERS) -> SearchRequest:
    """A search in block 7."""
    return SearchRequest(index=7, entropy=bytes(32), targets=farmers, seconds=seconds)


def assert_true(found: Found) -> None:
    """What was found is what the contract would compute."""
    key = next(farmer.key for farmer in FARMERS if farmer.farmer_id == found.farmer_id)
    digest = work_hash(index=7, nonce=found.nonce, entropy=bytes(32), farmer_key=key)
    assert (found.digest, found.zeros) == (digest, leading_zeros(digest))


def workers(parent: int | None = None) -> list[int]:
    """Search processes that are alive, of this process or of another."""
    parent = os.getpid() if parent is None else parent
    return [pid for pid, of in alive().items() if of == parent]


def alive() -> dict[int, int]:
    """Process id to parent id of every search process of this machine that is not a zombie."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat=,args="],  # noqa: S607  (its place differs)
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = (line.split(maxsplit=3) for line in listing.splitlines())
    return {
        int(pid): int(parent)
        for pid, parent, state, args in rows
        if args.endswith("-m pooler.search") and not state.startswith("Z")
    }


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    assert workers() == []


async def test_a_tiny_budget_still_gives_every_farmer_a_nonce() -> None:
    async with open_search(request(seconds=0), processes=2) as running:
        best = await running.finish()
    assert set(best) == {farmer.farmer_id for farmer in FARMERS}
    for found in best.values():
        assert_true(found)
    assert running.hashes == 2 * len(FARMERS)


async def test_improvements_come_as_they_are_found() -> None:
    best: dict[FarmerId, Found] = {}
    async with open_search(request(seconds=600), processes=2) as running:
        async for found in running.improvements():
            assert_true(found)
            assert found.farmer_id not in best or found.zeros > best[found.farmer_id].zeros
            best[found.farmer_id] = found
            # However fast the machine is: nobody stays below one zero.
            if len(best) == len(FARMERS) and all(item.zeros >= 1 for item in best.values()):
                break
    assert all(running.best[name].zeros >= item.zeros for name, item in best.items())


async def test_the_iterator_alone_does_it_all() -> None:
    found = [one async for one in search(request(seconds=0), processes=1)]
    assert {one.farmer_id for one in found} == {farmer.farmer_id for farmer in FARMERS}


async def test_leaving_early_ends_the_workers_at_once() -> None:
    began = monotonic()
    async with open_search(request(seconds=600), processes=2) as running:
        await anext(running.improvements())
        assert len(workers()) == 2
    assert monotonic() - began < 10


async def test_cancellation_ends_the_workers() -> None:
    mining = asyncio.Event()

    async def mine() -> None:
        async with open_search(request(seconds=600), processes=2) as running:
            mining.set()
            await running.finish()

    task = asyncio.create_task(mine())
    await mining.wait()
    assert len(workers()) == 2
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert workers() == []


async def test_a_worker_that_breaks_down_is_told() -> None:
    async with open_search(request(seconds=600), processes=2) as running:
        improvements = running.improvements()
        await anext(improvements)
        os.kill(workers()[0], signal.SIGKILL)
        with pytest.raises(MinerError, match="-9"):
            async for _ in improvements:
                pass


async def test_no_farmers_end_at_once() -> None:
    async with open_search(request(seconds=600, farmers=[]), processes=1) as running:
        assert await running.finish() == {}


def test_a_pooler_that_is_killed_leaves_no_worker() -> None:
    """kill -9: nothing in the pooler can clean up, so the workers must notice by themselves."""
    source = (
        "import asyncio, pooler.miner as m\n"
        "async def main():\n"
        "    request = m.SearchRequest(index=1, entropy=bytes(32), seconds=600,\n"
        "        targets=[m.Target(farmer_id=1, key=bytes(32))])\n"
        "    async with m.open_search(request, processes=2) as running:\n"
        "        await anext(running.improvements())\n"
        "        print('mining', flush=True)\n"
        "        await running.finish()\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"mining\n"
    orphans = set(workers(parent.pid))
    assert len(orphans) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = monotonic() + 10
    while orphans & alive().keys():
        assert monotonic() < deadline, "an orphan goes on mining"
        sleep(0.05)


def test_a_worker_ignores_the_terminals_interrupt() -> None:
    """Ctrl-C reaches the whole group; only the pooler acts on it, so no traceback is shown."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "pooler.search"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert worker.stderr is not None
    job = {"index": 1, "entropy": "00" * 32, "keys": ["01" * 32], "seconds": 600}
    worker.stdin.write(json.dumps({**job, "enough_zeros": 64}).encode() + b"\n")
    worker.stdin.flush()
    assert "nonce" in json.loads(worker.stdout.readline())
    os.kill(worker.pid, signal.SIGINT)
    worker.stdin.close()
    worker.stdin = None
    _, errors = worker.communicate(timeout=10)
    assert worker.returncode == 0
    assert errors == b""


def test_the_workers_import_nothing_heavy() -> None:
    """A worker starts in a moment because it loads neither gRPC nor the pool's clients."""
    source = "import sys, pooler.search; print('grpc' in sys.modules, 'pydantic' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert answer.stdout.split() == ["False", "False"]

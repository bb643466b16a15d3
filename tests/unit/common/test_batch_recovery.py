"""What is left open is taken up again, and no failure ends the loop that does so."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from libs.batches.model import Chunk
from libs.batches.runner import BatchRunner, recover_for_ever
from libs.common.errors import UnavailableError
from libs.common.ids import BatchId, new_id
from tests.support.sleeping import replace_sleep

ONE, OTHER = BatchId(new_id()), BatchId(new_id())
#: Lets others run, also where a test replaces what the loop calls.
moment = partial(asyncio.sleep, 0)


class Store:
    """Open batches that have nothing to send, and wait for the test."""

    def __init__(self, *batches: BatchId) -> None:
        self.open = list(batches)
        self.begun: list[BatchId] = []
        self.go_on = asyncio.Event()
        self.defect: Exception | None = None

    async def open_batches(self) -> list[BatchId]:
        """Those that are not completed."""
        return list(self.open)

    async def chunks(self, batch_id: BatchId) -> list[Chunk[int]]:
        """None."""
        self.begun.append(batch_id)
        await self.go_on.wait()
        if self.defect is not None:
            raise self.defect
        return []

    async def record(self, batch_id: BatchId) -> bool:
        """Complete the batch."""
        self.open.remove(batch_id)
        return True


def runner_of(store: Store) -> BatchRunner[int]:
    """A runner that sends nothing."""
    return BatchRunner("test", cast("Any", store), cast("Any", None), parallel=1)


async def moments() -> None:
    """Let all that can go on do so."""
    for _ in range(20):
        await moment()


@pytest.fixture
async def trouble() -> AsyncIterator[list[dict[str, Any]]]:
    """What the event loop tells of errors that nobody took."""
    loop, found = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


async def test_batches_that_do_not_run_here_are_resumed(trouble: list[dict[str, Any]]) -> None:
    store = Store(ONE, OTHER)
    runner = runner_of(store)
    running = asyncio.create_task(runner.run(ONE))
    await moments()
    with structlog.testing.capture_logs() as lines:
        await runner.recover()
        await moments()
        assert store.begun == [ONE, OTHER]
        store.go_on.set()
        await running
        await moments()
    assert store.open == []
    told = [(one["event"], one["service_batch"], one["batch"]) for one in lines]
    assert told == [("batch resumed", "test", str(OTHER))]
    assert trouble == []


async def test_a_defect_in_a_resumed_batch_is_told(trouble: list[dict[str, Any]]) -> None:
    store = Store(ONE)
    store.defect = ZeroDivisionError("of a test")
    store.go_on.set()
    with structlog.testing.capture_logs() as lines:
        await runner_of(store).recover()
        await moments()
    told = [(one["event"], one.get("exc_info")) for one in lines]
    assert told == [("batch resumed", None), ("batch failed", store.defect)]
    assert trouble == []


async def test_what_is_stopped_goes_on_at_the_next_start(trouble: list[dict[str, Any]]) -> None:
    store = Store(ONE)
    runner = runner_of(store)
    with structlog.testing.capture_logs() as lines:
        await runner.recover()
        await moments()
        await runner.aclose()
        store.go_on.set()
        await moments()
    # A stop is no failure.
    assert [one["event"] for one in lines] == ["batch resumed"]
    assert trouble == []
    assert store.open == [ONE]
    await runner_of(store).recover()
    await moments()
    assert store.open == []


async def test_the_recovery_goes_on_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    failures = iter([UnavailableError("away"), ZeroDivisionError("of a test"), None])

    async def recover() -> None:
        done.append("recover")
        error = next(failures, asyncio.CancelledError())
        if error is not None:
            raise error

    async def step() -> None:
        done.append("found")

    async def sleep(seconds: float) -> None:
        done.append(seconds)
        if done.count(seconds) > 5:
            raise asyncio.CancelledError

    replace_sleep(monkeypatch, "libs.batches.runner", sleep)
    with structlog.testing.capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await recover_for_ever(
            cast("Any", SimpleNamespace(recover=recover)),
            cast("Any", SimpleNamespace(step=step)),
            interval=7.0,
        )
    assert done == ["recover", "found", 7.0] * 3 + ["recover"]
    told = [(one["event"], one.get("reason")) for one in lines]
    assert told == [("recovery delayed", "UNAVAILABLE"), ("defect", None)]

"""How a batch goes to wallet and is recorded: step by step, and again after a failure."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import pytest
import structlog

from libs.batches.model import BatchStore, Chunk, WrongBlockError
from libs.batches.runner import BatchRunner, Submit
from libs.common import errors, failpoints
from libs.common.errors import DeadlineExceededError, PoolError, UnavailableError
from libs.common.failpoints import FailpointError
from libs.common.grpc.deadlines import remaining, set_deadline
from libs.common.ids import BatchId, new_id
from tests.support.sleeping import replace_sleep

BATCH = BatchId(new_id())
#: Seconds after which a test fails that nothing has ended.
PATIENCE = 5.0
#: Lets others run, also where a test replaces what the runner calls.
moment = partial(asyncio.sleep, 0)


@dataclass
class Tables:
    """A batch of two chunks; a chunk is recorded once it is settled."""

    settled: set[int] = field(default_factory=set)
    recorded: set[int] = field(default_factory=set)
    #: Number, reason and message of the chunks that were refused.
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    #: Set once something is recorded.
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def chunks(self, batch_id: BatchId) -> list[Chunk[int]]:
        """Both."""
        assert batch_id == BATCH
        return [
            Chunk(request_id=f"chunk-{number}", block_index=1, number=number, items=(number,))
            for number in (0, 1)
        ]

    async def record(self, batch_id: BatchId) -> bool:
        """What is settled; whether that is all."""
        assert batch_id == BATCH
        await moment()
        self.recorded |= self.settled
        if self.recorded:
            self.begun.set()
        return len(self.recorded) == 2

    async def refuse(self, batch_id: BatchId, number: int, reason: str, message: str) -> None:
        """A chunk that was refused is settled."""
        assert batch_id == BATCH
        self.refused.append((number, reason, message))
        self.settled.add(number)

    async def settle(self, chunk: Chunk[int]) -> None:
        """Settle at once whatever is submitted."""
        self.settled.add(chunk.number)


def runner_of(
    tables: Tables, submit: Submit[int], *, parallel: int = 2, record_every: float = 60.0
) -> BatchRunner[int]:
    """A runner that records nothing meanwhile, unless a test says when."""
    store = cast("BatchStore[int]", tables)
    return BatchRunner("test", store, submit, parallel=parallel, record_every=record_every)


async def run(tables: Tables, submit: Submit[int], *, parallel: int = 2) -> None:
    """Run the batch to its end."""
    await asyncio.wait_for(runner_of(tables, submit, parallel=parallel).run(BATCH), PATIENCE)


class Pauses:
    """The runner's pauses, which are over at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.noted: list[float] = []
        replace_sleep(monkeypatch, "libs.batches.runner", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.noted.append(seconds)
        await moment()


async def begun(tables: Tables, submit: Submit[int]) -> "asyncio.Task[None]":
    """A batch that runs, and of which the first chunk alone is recorded."""
    running = asyncio.create_task(runner_of(tables, submit, record_every=0.01).run(BATCH))
    await asyncio.wait_for(tables.begun.wait(), PATIENCE)
    assert (tables.recorded, running.done()) == ({0}, False)
    return running


async def test_what_is_settled_does_not_wait_for_what_is_not() -> None:
    tables, resumed = Tables(), asyncio.Event()

    async def submit(chunk: Chunk[int]) -> None:
        if chunk.number == 1:
            await resumed.wait()
        tables.settled.add(chunk.number)

    running = await begun(tables, submit)
    resumed.set()
    await asyncio.wait_for(running, PATIENCE)
    assert tables.recorded == {0, 1}


async def test_a_chunk_that_nobody_answers_for_hides_nothing() -> None:
    tables, calls = Tables(), 0

    async def submit(chunk: Chunk[int]) -> None:
        nonlocal calls
        if chunk.number == 1:
            await asyncio.sleep(0.03)
            calls += 1
            if calls < 3:
                raise DeadlineExceededError("the stream's time is over")
        tables.settled.add(chunk.number)

    running = await begun(tables, submit)
    await asyncio.wait_for(running, PATIENCE)
    assert tables.recorded == {0, 1}


async def test_a_batch_is_tried_again_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    tables, pauses, calls = Tables(), Pauses(monkeypatch), 0

    async def submit(chunk: Chunk[int]) -> None:
        nonlocal calls
        if chunk.number == 1:
            calls += 1
            if calls < 8:
                raise UnavailableError("away")
        tables.settled.add(chunk.number)

    with structlog.testing.capture_logs() as lines:
        await run(tables, submit)
    assert [one for one in pauses.noted if one != 60.0] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    told = [(one["event"], one["batch"], one["reason"]) for one in lines]
    assert told == [("batch delayed", str(BATCH), "UNAVAILABLE")] * 7


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WrongBlockError("no"), "BLOCK_CLOSED"),
        (errors.FailedPreconditionError("no", reason="BLOCK_NOT_CLOSED"), "BLOCK_OPEN"),
        (errors.FailedPreconditionError("no"), "REFUSED"),
        (errors.InvalidArgumentError("no"), "REFUSED"),
        (errors.NotFoundError("no"), "REFUSED"),
        (errors.OutOfRangeError("no"), "REFUSED"),
        (errors.PermissionDeniedError("no"), "REFUSED"),
    ],
)
async def test_what_wallet_refuses_for_good_is_told_and_not_sent_again(
    error: PoolError, reason: str
) -> None:
    tables, sent = Tables(), []

    async def submit(chunk: Chunk[int]) -> None:
        sent.append(chunk.number)
        if chunk.number == 1:
            raise error
        tables.settled.add(chunk.number)

    await run(tables, submit)
    assert tables.refused == [(1, reason, "no")]
    assert sent == [0, 1]


@pytest.mark.parametrize(
    "error",
    [
        errors.AlreadyExistsError("not now"),
        errors.ConflictError("not now"),
        errors.DeadlineExceededError("not now"),
        errors.InternalError("not now"),
        errors.ResourceExhaustedError("not now"),
        errors.UnauthenticatedError("not now"),
        errors.UnavailableError("not now"),
    ],
)
async def test_what_wallet_cannot_do_now_is_sent_again(
    error: PoolError, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, sent, _ = Tables(), [], Pauses(monkeypatch)

    async def submit(chunk: Chunk[int]) -> None:
        sent.append(chunk.number)
        if sent == [0]:
            raise error
        tables.settled.add(chunk.number)

    await run(tables, submit)
    assert tables.refused == []
    assert sent == [0, 1, 0, 1]


async def test_nothing_is_sent_again_while_a_chunk_is_with_wallet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables, sent, answered, _ = Tables(), [], asyncio.Event(), Pauses(monkeypatch)

    async def submit(chunk: Chunk[int]) -> None:
        sent.append(chunk.number)
        if len(sent) == 1:
            raise UnavailableError("away")
        await answered.wait()
        tables.settled.add(chunk.number)

    running = asyncio.create_task(runner_of(tables, submit).run(BATCH))
    for _ in range(20):
        await moment()
    assert sent == [0, 1]
    answered.set()
    await asyncio.wait_for(running, PATIENCE)
    assert sent == [0, 1, 0, 1]


@pytest.mark.parametrize("parallel", [1, 2])
async def test_so_many_chunks_are_with_wallet_at_a_time(parallel: int) -> None:
    tables, counts, now = Tables(), [], 0

    async def submit(chunk: Chunk[int]) -> None:
        nonlocal now
        now += 1
        counts.append(now)
        await moment()
        now -= 1
        tables.settled.add(chunk.number)

    await run(tables, submit, parallel=parallel)
    assert max(counts) == parallel


async def test_recordings_go_on_every_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, enough = Pauses(monkeypatch), asyncio.Event()

    class Busy(Tables):
        """Tables that are away at first."""

        count = 0

        async def record(self, batch_id: BatchId) -> bool:
            self.count += 1
            if self.count == 1:
                raise UnavailableError("away")
            if self.count == 3:
                enough.set()
            return await super().record(batch_id)

    async def submit(chunk: Chunk[int]) -> None:
        await enough.wait()
        tables.settled.add(chunk.number)

    tables = Busy()
    runner = BatchRunner("test", cast("BatchStore[int]", tables), submit, parallel=2)
    with structlog.testing.capture_logs() as lines:
        await asyncio.wait_for(runner.run(BATCH), PATIENCE)
    assert len(pauses.noted) >= 3
    assert set(pauses.noted) == {5.0}
    told = [(one["event"], one["batch"], one["reason"]) for one in lines]
    assert told == [("recording delayed", str(BATCH), "UNAVAILABLE")]


async def test_a_recording_has_ended_before_the_last_one_begins() -> None:
    class Slow(Tables):
        """Tables that take some time to give up the first recording."""

        is_recording = False

        async def record(self, batch_id: BatchId) -> bool:
            assert not self.is_recording
            if not self.begun.is_set():
                self.is_recording = True
                self.begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await moment()
                    self.is_recording = False
            return await super().record(batch_id)

    async def submit(chunk: Chunk[int]) -> None:
        await tables.begun.wait()
        tables.settled.add(chunk.number)

    tables = Slow()
    running = runner_of(tables, submit, record_every=0.0).run(BATCH)
    await asyncio.wait_for(running, PATIENCE)
    assert tables.recorded == {0, 1}


async def test_a_batch_has_more_time_than_its_caller() -> None:
    tables, left = Tables(), []

    async def submit(chunk: Chunk[int]) -> None:
        left.append(remaining(60.0))
        tables.settled.add(chunk.number)

    set_deadline(2.0)
    try:
        await run(tables, submit)
        assert remaining(60.0) < 2.0
    finally:
        set_deadline(None)
    assert left == [60.0, 60.0]


@pytest.mark.parametrize(
    ("point", "settled", "recorded"),
    [("planned", set(), set()), ("settled", {0, 1}, set()), ("recorded", {0, 1}, {0, 1})],
)
async def test_a_process_may_end_between_any_two_steps(
    point: str, settled: set[int], recorded: set[int]
) -> None:
    tables = Tables()
    failpoints.arm(f"test.batch.{point}=raise")
    try:
        with pytest.raises(FailpointError):
            await run(tables, tables.settle)
    finally:
        failpoints.arm("")
    assert (tables.settled, tables.recorded) == (settled, recorded)

"""What became of some farmers of a batch is recorded while others' operations are open."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

from libs.batches.model import BatchStore, Chunk
from libs.batches.runner import BatchRunner, Submit
from libs.common.errors import DeadlineExceededError
from libs.common.ids import BatchId, new_id

BATCH = BatchId(new_id())


@dataclass
class Tables:
    """A batch of two chunks; a chunk is recorded once it is settled."""

    settled: set[int] = field(default_factory=set)
    recorded: set[int] = field(default_factory=set)
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
        self.recorded |= self.settled
        if self.recorded:
            self.begun.set()
        return len(self.recorded) == 2


async def begun(tables: Tables, submit: Submit[int]) -> "asyncio.Task[None]":
    """A batch that runs, and of which the first chunk alone is recorded."""
    runner = BatchRunner(
        "test", cast("BatchStore[int]", tables), submit, parallel=2, record_every=0.01
    )
    running = asyncio.create_task(runner.run(BATCH))
    await asyncio.wait_for(tables.begun.wait(), 5)
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
    await running
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
    await running
    assert tables.recorded == {0, 1}

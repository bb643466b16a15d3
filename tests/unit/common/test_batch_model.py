"""How a plan is cut into calls of wallet, and a list into pages; what callers are told."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.batches.listing import EventFilter
from libs.batches.model import (
    Batch,
    ChainHead,
    Event,
    FarmerNotFoundError,
    PoolerNotFoundError,
    RequestIdReusedError,
    WrongBlockError,
    chunk_numbers,
)
from libs.common.errors import PoolError
from libs.common.ids import BatchId, PoolerId, new_id
from libs.common.paging import encode_token
from tests.support.batch_events import event_values


@given(st.integers(0, 30), st.integers(1, 12))
def test_chunks_are_filled_in_order(items: int, size: int) -> None:
    chunks = chunk_numbers(items, size)
    assert len(chunks) == items
    assert chunks == sorted(chunks)
    assert all(chunks.count(number) <= size for number in set(chunks))
    assert len(set(chunks)) == -(-items // size)


def event(block: int) -> Event:
    return Event(**event_values("success", block=block))


@given(st.integers(0, 5), st.integers(1, 5))
def test_one_event_more_than_a_page_means_another_page(found: int, limit: int) -> None:
    events = [event(block) for block in range(found)]
    chosen = EventFilter(
        pooler_id=PoolerId(new_id()), block_index=None, farmer_id=None, before=None, limit=limit
    )
    page = chosen.page_of(events)
    assert list(page.events) == events[:limit]
    last = events[limit - 1] if found > limit else None
    expected = "" if last is None else encode_token((last.block_index, last.event_id))
    assert page.next_token == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RequestIdReusedError("of a test"), "REQUEST_ID_REUSED"),
        (PoolerNotFoundError("of a test"), "POOLER_NOT_FOUND"),
        (FarmerNotFoundError("of a test"), "FARMER_NOT_FOUND"),
        (WrongBlockError("of a test"), "WRONG_BLOCK"),
    ],
)
def test_callers_tell_errors_by_these_reasons(error: PoolError, reason: str) -> None:
    assert error.reason == reason


@pytest.mark.parametrize(
    ("passed", "milliseconds"),
    [(None, 0), (timedelta(), 0), (timedelta(seconds=62, microseconds=345_678), 62_345)],
)
def test_a_batch_took_its_time_once_it_is_complete(
    passed: timedelta | None, milliseconds: int
) -> None:
    accepted = datetime(2026, 1, 1, tzinfo=UTC)
    batch = Batch(
        batch_id=BatchId(new_id()),
        request_id="one",
        pooler_id=PoolerId(new_id()),
        block_index=41,
        digest=b"",
        created_at=accepted,
        completed_at=None if passed is None else accepted + passed,
    )
    assert batch.processing_time_ms == milliseconds


@pytest.mark.parametrize(("current", "told"), [(None, ""), (0, "0"), (41, "41")])
def test_errors_about_blocks_say_which_block_runs(current: int | None, told: str) -> None:
    head = ChainHead(current_block=current, plantable_block=42, ledger=7)
    assert head.metadata() == {"current_block": told, "plantable_block": "42"}

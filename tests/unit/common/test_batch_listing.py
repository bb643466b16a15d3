"""What List requests ask for, and how reasons of failures are told."""

from typing import Any
from uuid import UUID

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.plant.v1 import plant_pb2

from libs.batches.listing import EventFilter, failure_reason, filter_of
from libs.batches.model import TAMPERED
from libs.common.ids import PoolerId, new_id
from libs.common.paging import DEFAULT_PAGE_SIZE, encode_token

POOLER, FARMER, EVENT = PoolerId(new_id()), new_id(), new_id()


def chosen(**fields: Any) -> EventFilter:
    return filter_of(plant_pb2.ListPlantingsRequest(pooler_id=str(POOLER), **fields))


def test_a_request_for_all_is_for_the_newest_of_all() -> None:
    assert chosen() == EventFilter(
        pooler_id=POOLER, block_index=None, farmer_id=None, before=None, limit=DEFAULT_PAGE_SIZE
    )


def test_a_request_for_some_is_for_these() -> None:
    token = encode_token([41, EVENT])
    some = chosen(block_index=0, farmer_id=str(FARMER), page_size=7, page_token=token)
    assert some == EventFilter(
        pooler_id=POOLER, block_index=0, farmer_id=FARMER, before=(41, EVENT), limit=7
    )


@pytest.mark.parametrize(
    ("before", "told"), [(None, (None, None)), ((41, EVENT), (41, EVENT)), ((0, EVENT), (0, EVENT))]
)
def test_queries_are_asked_for_one_more_than_a_page(
    before: tuple[int, UUID] | None, told: tuple[int | None, UUID | None]
) -> None:
    some = EventFilter(pooler_id=POOLER, block_index=3, farmer_id=FARMER, before=before, limit=100)
    assert some.arguments() == (POOLER, 3, FARMER, *told, 101)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", common_pb2.FAILURE_REASON_UNSPECIFIED),
        ("BLOCK_CLOSED", common_pb2.FAILURE_REASON_BLOCK_CLOSED),
        (TAMPERED, common_pb2.FAILURE_REASON_TAMPERED),
        ("OF_A_NEWER_WALLET", common_pb2.FAILURE_REASON_INTERNAL),
    ],
)
def test_a_reason_is_told_by_its_name(name: str, told: int) -> None:
    assert failure_reason(name) == told

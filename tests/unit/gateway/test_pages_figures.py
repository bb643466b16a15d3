"""Figures that pages work out of what services tell."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.report.v1 import report_pb2
from kalepool.wallet.v1 import wallet_pb2

from gateway.pages.block import parse_index
from gateway.pages.page import clock_of, spent_by_hour, spent_in
from libs.http.errors import NoSuchPathError

OPENED = 1_796_000_400


def current(*, now: int) -> wallet_pb2.GetBlockResponse:
    return wallet_pb2.GetBlockResponse(
        block=wallet_pb2.Block(
            index=7,
            opened_at=Timestamp(seconds=OPENED),
            closes_at=Timestamp(seconds=OPENED + 300),
        ),
        head=wallet_pb2.ChainHead(close_time=Timestamp(seconds=now)),
    )


@pytest.mark.parametrize(
    ("now", "left", "share"),
    [(OPENED, 300, 100), (OPENED + 75, 225, 75), (OPENED + 300, 0, 0), (OPENED + 999, 0, 0)],
)
def test_a_block_is_a_clock_by_the_chains_own_time(now: int, left: int, share: int) -> None:
    clock = clock_of(current(now=now))
    assert clock is not None
    assert (clock.index, clock.left, clock.lasts, clock.share) == (7, left, 300, share)


def test_without_a_block_there_is_no_clock() -> None:
    assert clock_of(None) is None
    assert clock_of(wallet_pb2.GetBlockResponse()) is None


def report(seconds: int | None, rewards: int, fees: int) -> report_pb2.BlockReport:
    opened = None if seconds is None else Timestamp(seconds=OPENED + seconds)
    return report_pb2.BlockReport(opened_at=opened, rewards=rewards, fees=fees)


def test_blocks_are_summed_by_the_hour_in_which_they_were_opened() -> None:
    # 2026-11-30 01:00:00 UTC is OPENED.
    blocks = [report(3600, 5, 1), report(300, 10, 2), report(0, 20, 4), report(None, 100, 100)]
    hours = spent_by_hour(blocks)
    assert [(one.starts_at, one.blocks, one.rewards, one.fees) for one in hours] == [
        (datetime(2026, 11, 30, 2, tzinfo=UTC), 1, 5, 1),
        (datetime(2026, 11, 30, 1, tzinfo=UTC), 2, 30, 6),
    ]
    total = spent_in(blocks)
    assert (total.blocks, total.rewards, total.fees) == (4, 135, 107)
    assert spent_by_hour([]) == []


@pytest.mark.parametrize("text", ["0", "7", "2147483647"])
def test_an_index_is_a_number(text: str) -> None:
    assert parse_index(text) == int(text)


@pytest.mark.parametrize("text", ["", "x", "-1", "01", "1.0", "2147483648", "9" * 30, "²", "1 "])
def test_what_is_no_index_names_no_block(text: str) -> None:
    with pytest.raises(NoSuchPathError):
        parse_index(text)

"""What `kalepool pooler find` shows, and what `pooler join` asks for."""

import json

import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.report.v1 import report_pb2

from tests.support.recorder import Recorder, run

SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"
REPLY = report_pb2.ListPublicPoolersResponse(
    poolers=[
        report_pb2.ListedPooler(
            pooler_id=SOMEBODY,
            name="north",
            terms=registry_pb2.Terms(pooler_fee="0.05", payout_threshold=25_000_000),
            room=7,
            can_join=True,
            day=report_pb2.PoolerFigures(
                success=report_pb2.Success(blocks=288, planted=3, not_planted=5, harvested=2),
                rewards_per_farmer_block=12_345_678,
                hash_rate=report_pb2.HashRate(rate=1000, error=20),
            ),
            week=report_pb2.PoolerFigures(success=report_pb2.Success(blocks=2016)),
            month=report_pb2.PoolerFigures(
                success=report_pb2.Success(blocks=8640, not_planted=1),
                rewards_per_farmer_block=0,
            ),
        )
    ]
)


async def test_the_list_shows_terms_and_what_poolers_came_to(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.answer = lambda _: REPLY.SerializeToString()
    assert await run("pooler", "find") == 0
    told = capsys.readouterr().out
    (listed,) = [line.split() for line in told.splitlines() if SOMEBODY in line]
    assert listed[:3] == [SOMEBODY, "north", "0.05"]
    assert listed[-2:] == ["7", "yes"]
    assert "2.5000000 KALE" in told
    figures = [" ".join(line.split()) for line in told.splitlines() if "day" in line]
    assert figures == [
        "north 1 day 288 25.0 1000 ± 20 1.2345678 KALE",
        "north 7 days 2016",
        "north 30 days 8640 0.0 0.0000000 KALE",
    ]


async def test_programs_get_the_list_as_json(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.answer = lambda _: REPLY.SerializeToString()
    assert await run("pooler", "find", "--json") == 0
    (pooler,) = json.loads(capsys.readouterr().out)["poolers"]
    assert (pooler["poolerId"], pooler["canJoin"]) == (SOMEBODY, True)


async def test_who_joins_says_for_which_account_and_under_which_terms(recorder: Recorder) -> None:
    line = f"pooler join {SOMEBODY} --owner-account x --terms-version 3"
    assert await run(*line.split(), "--stake-percentage", "0.2", "--request-id", "r") == 0
    ((method, asked),) = recorder.calls
    assert method.endswith("/JoinPool")
    assert asked == registry_pb2.JoinPoolRequest(
        pooler_id=SOMEBODY,
        owner_account="x",
        terms_version=3,
        stake_percentage="0.2",
        request_id="r",
    )
    # Without an id of its own each call has one, so that its repeats are one.
    assert await run(*line.split()) == 0
    (_, again) = recorder.calls[1]
    assert isinstance(again, registry_pb2.JoinPoolRequest)
    assert (bool(again.request_id), again.stake_percentage) == (True, "")

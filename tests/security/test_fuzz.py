"""A short attack on a whole pool: 2,000 hostile requests, 1,000 calls that are given up."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from devstack.stack import Stack, open_stack
from libs.common.grpc.rpcs import services
from trials.security.fuzz import (
    LONG,
    Target,
    ask_again,
    ask_long,
    open_targets,
    register,
    rpcs,
    send_hostile,
)
from trials.security.leaving import give_up
from trials.security.run import stack_config
from trials.security.standing import fallen


def test_every_rpc_has_a_process_that_serves_it() -> None:
    served = {method.full_name for _, method in rpcs()}
    assert {method.full_name for one in services() for method in one.methods} <= served


@pytest.mark.e2e
async def test_no_request_and_no_caller_that_goes_away_breaks_anything(tmp_path: Path) -> None:
    async with (
        open_stack(stack_config(tmp_path / "stack")) as stack,
        open_targets(stack) as targets,
    ):
        ids = await register(stack)
        outcome = await send_hostile(targets, count=2_000, seed=20_261_124, ids=ids)
        await ask_again(targets, outcome, seed=20_261_129, ids=ids)
        assert outcome.complaints == []
        assert outcome.silences == []
        assert outcome.statuses["OK"] > 100
        assert outcome.statuses["INVALID_ARGUMENT"] > 500
        assert len(outcome.by_rpc) == len(targets)
        assert any("INVALID_REQUEST" in text for text in outcome.told)
        assert outcome.by_rpc.keys() >= LONG.keys()
        await _calls_that_are_given_up_arrive(stack, targets, ids)
        stack.check()
        assert await fallen(stack, ids[0]) == []
        assert await ask_long(targets) == []
        await _a_service_that_hangs_is_noticed(stack, targets, ids)


async def _calls_that_are_given_up_arrive(
    stack: Stack, targets: Sequence[Target], ids: Sequence[str]
) -> None:
    abandoned = await give_up(stack, targets, count=1_000, seed=7, ids=ids)
    for tally in (abandoned.unary, abandoned.streams):
        assert 0 < tally.at_once < 0.5 * tally.left
        assert 0.25 * tally.left < tally.arrived < tally.left
        assert 10 < tally.cancelled < tally.arrived
    assert abandoned.unrecorded.left > abandoned.unrecorded.arrived == 0
    assert abandoned.all.arrived >= 1_000


async def _a_service_that_hangs_is_noticed(
    stack: Stack, targets: Sequence[Target], ids: Sequence[str]
) -> None:
    async with stack.hung("plant"):
        faults = await fallen(stack, ids[0], patience=0)
        assert "plant is not SERVING" in faults
        asked = [target for target in targets if target.process == "plant"]
        outcome = await send_hostile(asked, count=60, seed=1, ids=ids)
        assert len(outcome.silences) == len(asked)
        await ask_again(asked[:1], outcome, seed=1, ids=ids, patience=2.0)
        assert outcome.patient == set()
    await ask_again(asked, outcome, seed=1, ids=ids)
    assert outcome.silences == []
    assert await fallen(stack, ids[0]) == []

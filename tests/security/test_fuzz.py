"""A short attack on a whole pool: 2,000 hostile requests, 1,000 calls that are given up."""

from pathlib import Path

import pytest

from demo.stack import open_stack
from libs.common.grpc.client import open_channel
from libs.common.grpc.health import is_serving
from libs.common.names import SERVICES
from security.fuzz import give_up, open_targets, register, rpcs, send_hostile
from security.rpcs import services
from security.run import stack_config

pytestmark = pytest.mark.e2e


def test_every_rpc_has_a_process_that_serves_it() -> None:
    served = {method.full_name for _, method in rpcs()}
    assert {method.full_name for one in services() for method in one.methods} <= served


async def test_no_request_and_no_caller_that_goes_away_breaks_anything(tmp_path: Path) -> None:
    async with (
        open_stack(stack_config(tmp_path / "stack")) as stack,
        open_targets(stack) as targets,
    ):
        ids = await register(stack)
        outcome = await send_hostile(targets, count=2_000, seed=20_261_124, ids=ids)
        assert outcome.complaints == []
        assert outcome.statuses["OK"] > 100
        assert outcome.statuses["INVALID_ARGUMENT"] > 500
        await give_up(targets, count=1_000, seed=7, ids=ids)
        stack.check()
        for name in SERVICES:
            async with open_channel(stack.target(name), stack.operator(), name=name) as channel:
                assert await is_serving(channel), name

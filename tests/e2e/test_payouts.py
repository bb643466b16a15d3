"""Payouts over real processes that are killed at every edge: all are made once, to the stroop."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kalepool.harvest.v1 import payout_pb2

from devstack.farming import FarmResult, farm
from devstack.paying import Calls, Receivers, calls_of, pay, prepare, set_addresses
from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from libs.common.errors import PoolError
from libs.common.grpc.client import call
from libs.common.grpc.identity import CallerKind
from libs.kale.constants import MAX_I64
from pooler.report import TextReport
from tests.support.pool_world import eventually

pytestmark = pytest.mark.e2e

#: Where a process is killed, once each, while one farmer is paid.
EDGES = (
    ("harvest", "harvest.payout.recorded"),
    ("harvest", "harvest.payout.asked"),
    ("harvest", "harvest.payout.told"),
    ("harvest", "harvest.payout.settled"),
    ("wallet", "wallet.payouts.recorded"),
    ("wallet", "wallet.transaction.signed"),
)
#: The same while the pooler is paid from its custodial account.
POOL_EDGE = ("wallet", "wallet.pool_payments.recorded")


async def test_everybody_is_paid_once_whoever_is_killed(tmp_path: Path) -> None:
    receivers = Receivers.made(len(EDGES))
    config = StackConfig(
        directory=tmp_path / "stack",
        ledger_seconds=0.5,
        block_seconds=24,
        environment=receivers.environment(),
    )
    async with open_stack(config) as stack:
        result = await farm(
            stack,
            len(EDGES),
            1,
            TextReport(),
            print,
            prepare=lambda wanted: prepare(stack, wanted, receivers, print, miners_part="0"),
        )
        assert result.verdict.equal, result.verdict.differences
        await set_addresses(stack, result.config, result.verdict, receivers)
        for number, (process, edge) in enumerate(EDGES):
            await pay_one_and_kill(stack, result, number, process=process, edge=edge)
        await pay_the_pooler_and_kill(stack)
        paid = await pay(stack, result.config, result.verdict, receivers, print)
        assert paid.equal, paid
        assert paid.left == 0
        assert (paid.miners, paid.pooler > 0, paid.operator > 0) == (0, True, True)
        await everybody_was_paid_once(stack, result)


async def pay_one_and_kill(
    stack: Stack, result: FarmResult, number: int, *, process: str, edge: str
) -> None:
    """Kill a process at an edge while one farmer is paid; ask for the same again afterwards."""
    request = payout_pb2.PayNowRequest(
        request_id=edge, farmer_id=str(result.verdict.farmers[number].farmer_id)
    )
    await stack.restart(process, environment={"FAILPOINTS": f"{edge}=kill"})
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
        with suppress(PoolError):
            await call(calls.payouts.PayNow, request, timeout=20)

        async def is_dead() -> bool:
            return stack.has_ended(process)

        await eventually(is_dead, patience=30)
    await stack.begin(process)
    await stack.wait_ready(process)
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
        item = await paid_item(calls, request)
    assert item.state == payout_pb2.PAYOUT_STATE_PAID, item


async def pay_the_pooler_and_kill(stack: Stack) -> None:
    """Kill wallet when it has recorded the pooler's payment; the same run ends afterwards."""
    process, edge = POOL_EDGE
    request = payout_pb2.RunPayoutsRequest(request_id=edge, max_amount=MAX_I64)
    await stack.restart(process, environment={"FAILPOINTS": f"{edge}=kill"})
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
        with suppress(PoolError):
            await call(calls.payouts.RunPayouts, request, timeout=5)

        async def is_dead() -> bool:
            return stack.has_ended(process)

        await eventually(is_dead, patience=30)
    await stack.begin(process)
    await stack.wait_ready(process)
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
        answer = await call(calls.payouts.RunPayouts, request, timeout=120)
    assert (answer.run.items, answer.run.paid, answer.run.failed) == (1, 1, 0)


async def paid_item(calls: Calls, request: payout_pb2.PayNowRequest) -> payout_pb2.PayoutItem:
    """The payout of a request, whoever is just coming back."""
    found: list[payout_pb2.PayoutItem] = []

    async def is_told() -> bool:
        try:
            answer: Any = await call(calls.payouts.PayNow, request, timeout=120)
        except PoolError:
            return False
        found.append(answer.payout)
        return True

    await eventually(is_told, patience=60)
    return found[0]


async def everybody_was_paid_once(stack: Stack, result: FarmResult) -> None:
    """Each farmer has one payout that was made under the request of its edge."""
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
        for farmer in result.verdict.farmers:
            listed = await call(
                calls.payouts.ListPayouts,
                payout_pb2.ListPayoutsRequest(farmer_id=str(farmer.farmer_id)),
                timeout=20,
            )
            now = [one for one in listed.payouts if one.cause == payout_pb2.PAYOUT_CAUSE_NOW]
            assert [one.state for one in now] == [payout_pb2.PAYOUT_STATE_PAID]

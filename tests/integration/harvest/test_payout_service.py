"""Payouts by a running harvest: its loop pays, callers see why not, and the switch is told."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from kalepool.harvest.v1 import ledger_pb2, ledger_pb2_grpc, payout_pb2, payout_pb2_grpc
from pydantic import SecretStr

from libs.common.errors import FailedPreconditionError, InvalidArgumentError
from libs.common.grpc.client import call, open_channel
from services.harvest.app import open_app
from services.harvest.config import HarvestSettings
from tests.integration.harvest.test_payout_runs import Pool
from tests.support.database import DatabaseAccess
from tests.support.fake_wallet import fake_wallet
from tests.support.ledger_world import open_ledger
from tests.support.pool_world import eventually

if TYPE_CHECKING:
    from kalepool.harvest.v1.ledger_pb2_grpc import LedgerServiceAsyncStub
    from kalepool.harvest.v1.payout_pb2_grpc import PayoutsServiceAsyncStub


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running harvest and what is around it."""

    pool: Pool
    payouts: "PayoutsServiceAsyncStub"
    ledger: "LedgerServiceAsyncStub"

    async def ask(self, name: str, **fields: Any) -> Any:
        """Call a method of PayoutsService."""
        request = getattr(payout_pb2, f"{name}Request")(**fields)
        return await call(getattr(self.payouts, name), request, timeout=20)


@pytest.fixture
async def service(database: DatabaseAccess) -> AsyncIterator[Service]:
    """harvest, which looks for who is due twice a second."""
    async with (
        open_ledger(database) as ledger,
        fake_wallet(database.admin_dsn) as (wallet, target),
    ):
        settings = HarvestSettings(
            transport="plaintext",
            port=0,
            database_url=SecretStr(database.dsn("harvest")),
            wallet_target=target,
            shutdown_grace_ms=100,
            payout_seconds=0.5,
            payout_minimum_stroops=1,
            harvest_sweep_seconds=0,
        )
        async with (
            open_app(settings) as running,
            open_channel(f"127.0.0.1:{running.port}") as channel,
        ):
            yield Service(
                pool=Pool(ledger=ledger, wallet=wallet.payouts, target=target),
                payouts=payout_pb2_grpc.PayoutsServiceStub(channel),
                ledger=ledger_pb2_grpc.LedgerServiceStub(channel),
            )


async def test_the_loop_pays_and_all_of_it_is_told(service: Service) -> None:
    poor = await service.pool.farmer(99)
    rich = await service.pool.farmer(150)

    async def is_paid() -> bool:
        return service.pool.wallet.paid == {str(rich.farmer_id): 150}

    await eventually(is_paid)
    listed = await service.ask("ListPayouts", farmer_id=str(rich.farmer_id))
    (paid,) = listed.payouts
    assert (paid.amount, paid.cause) == (150, payout_pb2.PAYOUT_CAUSE_THRESHOLD)
    (waits,) = (await service.ask("ListPending")).amounts
    assert (waits.payee_id, waits.amount) == (str(poor.farmer_id), 99)
    assert waits.reason == payout_pb2.PENDING_REASON_BELOW_THRESHOLD
    assert waits.is_estimate
    made = await service.ask("PayNow", request_id="a", farmer_id=str(poor.farmer_id), amount=9)
    assert made.payout.state == payout_pb2.PAYOUT_STATE_PAID
    assert made.payout.address
    preview = await service.ask("GetPayoutPreview")
    assert (preview.total, preview.payments) == (0, 0)
    assert [(one.amounts, one.total) for one in preview.left] == [(1, 90)]


async def test_the_switch_is_told_wherever_somebody_looks(service: Service) -> None:
    assert not (await service.ask("GetPayoutSwitch")).switchings
    turn = (await service.ask("SetPayoutSwitch", is_off=True, reason="why")).switching
    assert (turn.is_off, turn.reason) == (True, "why")
    person = await service.pool.farmer(150)
    status = await call(
        service.ledger.GetLedgerStatus, ledger_pb2.GetLedgerStatusRequest(), timeout=5
    )
    assert "payouts are switched off" in status.warnings[0]
    with pytest.raises(FailedPreconditionError, match="switched off"):
        await service.ask("RunPayouts", request_id="a", max_amount=1000)
    (waits,) = (await service.ask("ListPending", farmer_id=str(person.farmer_id))).amounts
    assert waits.reason == payout_pb2.PENDING_REASON_SWITCHED_OFF
    await service.ask("SetPayoutSwitch", is_off=False, reason="over")
    found = await service.ask("GetPayoutSwitch")
    assert [one.is_off for one in found.switchings] == [False, True]
    made = await service.ask("RunPayouts", request_id="a", max_amount=1000)
    assert made.run.completed_at.seconds


async def test_what_is_wrong_is_named(service: Service) -> None:
    with pytest.raises(InvalidArgumentError):
        await service.ask("RunPayouts", request_id="a")
    with pytest.raises(InvalidArgumentError):
        await service.ask("SetPayoutSwitch", is_off=True)
    with pytest.raises(InvalidArgumentError):
        await service.ask("ListPending", page_token="nonsense")

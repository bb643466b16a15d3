"""What operators are told of the wallet: status, figures for Prometheus, a warning."""

from pathlib import Path

import aiohttp
import pytest
from kalepool.wallet.v1 import engine_pb2, engine_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from devstack.ports import free_ports
from libs.common.grpc.client import open_channel
from tests.support.database import DatabaseAccess
from tests.support.wallet_world import eventually, open_wallet_world

LIVES = "kalepool_wallet_rent_ledgers_left"
pytestmark = pytest.mark.e2e


async def test_a_treasury_that_runs_low_is_told(database: DatabaseAccess, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    async with open_wallet_world(
        database,
        tmp_path,
        TREASURY_LOW_BALANCE_STROOPS=str(10**15),
        FEE_DAILY_STROOPS="70000000",
        FEE_DAILY_PER_POOLER_STROOPS="60000000",
        METRICS_PORT=str(port),
    ) as world:
        figures: dict[str, dict[str, float]] = {}

        async def told() -> bool:
            figures.clear()
            figures.update(await read_figures(port))
            return {"kalepool_wallet_treasury_low", LIVES} <= figures.keys()

        await eventually(told, "the treasury is not among the figures", world.wallet)
        async with open_channel(world.target) as channel:
            engine = engine_pb2_grpc.EngineServiceStub(channel)
            status = await engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest())
        assert status.treasury.is_low
        assert 0 < status.treasury.xlm_stroops < 10**15
        assert (status.is_paused, status.pauses) == (False, 0)
        assert figures["kalepool_wallet_treasury_low"] == {"": 1.0}
        assert figures["kalepool_wallet_treasury_balance_stroops"] == {
            "": float(status.treasury.xlm_stroops)
        }
        assert figures["kalepool_wallet_endpoint_healthy"] == {"position=0": 1.0}
        assert figures[LIVES].keys() >= {"entry=farm code", "entry=farm instance"}
        assert min(figures[LIVES].values()) > 100_000
        assert figures["kalepool_wallet_rent_due"] == {"": 0.0}
        assert figures["kalepool_wallet_rent_spent_stroops"] == {"": 0.0}
        assert status.rent.rent_budget_stroops == 10**9
        fees = status.fees
        assert (fees.fee_budget_stroops, fees.pooler_fee_budget_stroops) == (7 * 10**7, 6 * 10**7)
        # Payer accounts are made for the pool itself, and for nobody's farmers.
        assert (fees.fees_spent_stroops >= 0, fees.largest_pooler_fees_stroops) == (True, 0)
        assert set(figures["kalepool_wallet_channels"]) == {
            "state=made",
            "state=ready",
            "state=busy",
            "state=low",
        }

        # The status above was a call, and shows up as one.
        calls = (await read_figures(port))["kalepool_call_duration_seconds_count"]
        method = "/kalepool.wallet.v1.EngineService/GetEngineStatus"
        assert calls[f"method={method},status=OK"] == 1.0
        assert "treasury low" in world.wallet.log_tail()


async def read_figures(port: int) -> dict[str, dict[str, float]]:
    """Values by name and labels, as Prometheus reads them; nothing while nobody answers."""
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{port}/metrics") as reply,
        ):
            text = await reply.text()
    except aiohttp.ClientError:
        return {}
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {
                name: value
                for name, value in sorted(sample.labels.items())
                if not name.startswith("otel_")
            }
            key = ",".join(f"{name}={value}" for name, value in labels.items())
            found.setdefault(sample.name, {})[key] = sample.value
    return found

"""Nothing is lost when registry is killed in a delivery, and repeats are known as such."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from kalepool.registry.v1 import notification_pb2, notification_pb2_grpc

from devstack.webhook_receiver import Receiver, open_receiver
from tests.support.database import DatabaseAccess, connect
from tests.support.fake_custody import FakeCustody, open_fake_custody
from tests.support.notices import insert_notice
from tests.support.registry_process import Start, has_died, open_registry_process, patiently
from tests.support.registry_world import eventually
from tests.support.webhooks import KEY

pytestmark = [pytest.mark.faults, pytest.mark.e2e]

NOTICES = 5


@asynccontextmanager
async def open_process(
    database: DatabaseAccess, wallet: FakeCustody, folder: Path
) -> AsyncIterator[tuple["notification_pb2_grpc.NotificationServiceAsyncStub", Start]]:
    """A stub for a registry process that does not run yet, and what starts it."""
    key = folder / "webhook_key"
    key.write_text(KEY)
    settings = {"WEBHOOK_KEY_FILE": str(key), "WEBHOOKS_ALLOW_PRIVATE": "true"}
    async with open_registry_process(database, wallet, folder, **settings) as (channel, start):
        yield notification_pb2_grpc.NotificationServiceStub(channel), start


async def states(database: DatabaseAccess) -> dict[str, int]:
    """How many deliveries are in which state."""
    async with connect(database.admin_dsn) as admin:
        rows = await admin.fetch(
            "SELECT state::text AS state, count(*) AS count FROM registry.deliveries GROUP BY state"
        )
    return {row["state"]: row["count"] for row in rows}


async def all_delivered(database: DatabaseAccess) -> bool:
    """Whether every notice has arrived."""
    return await states(database) == {"delivered": NOTICES}


async def end_leases(database: DatabaseAccess) -> None:
    """Let the time be over for which a process that has died had its deliveries."""
    async with connect(database.admin_dsn) as admin:
        await admin.execute("UPDATE registry.deliveries SET due_at = now() WHERE state = 'sending'")


def attempts(receiver: Receiver) -> dict[str, int]:
    """How often each notice arrived."""
    found: dict[str, int] = {}
    for one in receiver.received():
        name = one.content["data"]["name"]
        found[name] = found.get(name, 0) + 1
    return found


@pytest.mark.parametrize("edge", ["registry.delivery.claimed", "registry.delivery.answered"])
@pytest.mark.parametrize("passage", [1, 3])
async def test_registry_is_killed_in_the_middle_of_a_delivery(
    database: DatabaseAccess, tmp_path: Path, edge: str, passage: int
) -> None:
    async with (
        open_receiver(tmp_path / "receiver") as receiver,
        open_fake_custody(database.dsn("wallet")) as wallet,
        open_process(database, wallet, tmp_path) as (stub, start),
    ):
        process = await start(FAILPOINTS=f"{edge}@{passage}=kill")
        request = notification_pb2.CreateWebhookRequest(url=receiver.url + "/hook")
        made = await patiently(stub.CreateWebhook, request)
        async with connect(database.admin_dsn) as admin, admin.transaction():
            for number in range(NOTICES):
                await insert_notice(admin, str(number), facts={"name": str(number)})
        await eventually(lambda: has_died(process), "the failpoint was not reached")
        before = attempts(receiver)
        assert (await states(database)).get("sending")
        await start()
        await end_leases(database)
        await eventually(lambda: all_delivered(database), "not all arrive")
        after = attempts(receiver)
        assert set(after) == set(map(str, range(NOTICES)))
        # Once more at most, and only what was under way; a receiver knows the repeat by its id.
        assert all(count <= 2 for count in after.values())
        assert all(after[name] >= count for name, count in before.items())
        got = receiver.received()
        assert len({one.id for one in got}) == NOTICES
        assert len({(one.id, one.body) for one in got}) == NOTICES
        assert all(one.is_signed_by(made.secret) for one in got)


async def test_two_registries_of_which_one_dies_deliver_everything(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    async with (
        open_receiver(tmp_path / "receiver") as receiver,
        open_fake_custody(database.dsn("wallet")) as wallet,
        open_process(database, wallet, tmp_path) as (stub, start),
        open_process(database, wallet, tmp_path / "other") as (other, start_other),
    ):
        await start()
        request = notification_pb2.CreateWebhookRequest(url=receiver.url + "/hook")
        await patiently(stub.CreateWebhook, request)
        victim = await start_other(FAILPOINTS="registry.delivery.answered@1=kill")
        await patiently(other.ListWebhooks, notification_pb2.ListWebhooksRequest())
        sent = 0
        while not await has_died(victim):
            async with connect(database.admin_dsn) as admin:
                await insert_notice(admin, str(sent), facts={"name": str(sent)})
            sent += 1
            assert sent < 400, "the failpoint was not reached"
            await asyncio.sleep(0.1)
        await end_leases(database)

        async def arrived() -> bool:
            return await states(database) == {"delivered": sent}

        await eventually(arrived, "not all arrive")
        counts = attempts(receiver)
        assert len(counts) == sent
        # What the dead one had sent, four at most, came twice.
        assert sum(counts.values()) <= sent + 4

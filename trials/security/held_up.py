"""How long the kill switch and others wait while a role takes all that it can."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import grpc
from kalepool.common.v1 import common_pb2, common_pb2_grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import custody_pb2, custody_pb2_grpc, engine_pb2, engine_pb2_grpc

from devstack.stack import Progress, Stack
from libs.common.grpc.client import open_channel
from libs.common.names import role_of
from trials.security.insiders import Taken, taking_everything

#: The roles that are not wallet's own.
OTHERS = ("registry", "plant", "work", "harvest")
#: Seconds within which a pause is in force, and recorded, beside whatever another role takes.
IN_FORCE, RECORDED = 1.0, 15.0
#: Seconds within which a farmer is registered beside whatever another service's role takes.
REGISTERED = 15.0
#: Seconds in which wallet has looked at what is restricted (AUDIT_HEAD_INTERVAL_MS).
_LOOK = 5.0
_EVERYTHING = custody_pb2.PauseReach(everything=True)
#: What gives PUBLIC back all that `services restrict` takes, for one more try.
_FREED = """
DO $$ DECLARE f record; BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
            AND (p.proname ~ 'advisory' OR p.proname IN ('lo_create', 'lo_unlink'))
    LOOP EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', f.name); END LOOP;
END $$;
"""


@dataclass(frozen=True, kw_only=True)
class HeldUp:
    """What one role has taken, and what waited for how long meanwhile."""

    #: The service whose password was used; what else was allowed.
    who: str
    #: What it has taken.
    taken: Taken
    #: Seconds until a pause was answered, in force, and until it was recorded.
    in_force: float
    recorded: float
    #: Seconds that wallet needs at that time for an answer that takes nothing but an answer: with
    #: somebody else on the processors, and whatever else the machine does.
    plain: float
    #: Seconds until a farmer was registered; None where the role is registry's own.
    registered: float | None
    #: What wallet's status warned of meanwhile.
    warnings: Sequence[str]

    @property
    def failures(self) -> list[str]:
        """Return in words what must not be."""
        found = [f"{self.who}: locks {mode} in the way of others" for mode in self.taken.in_the_way]
        if self.in_force - self.plain > IN_FORCE:
            found.append(f"{self.who}: a pause took {self.in_force:.1f} s")
        if self.recorded > RECORDED:
            found.append(f"{self.who}: a pause was recorded after {self.recorded:.1f} s")
        if self.registered is not None and self.registered > REGISTERED:
            found.append(f"{self.who}: a farmer was registered after {self.registered:.1f} s")
        return found


async def hold_up(stack: Stack, pooler_id: str, progress: Progress) -> list[HeldUp]:
    """Have each role take all that it can, and one of them what PUBLIC may have elsewhere, too."""
    found = []
    for service in OTHERS:
        progress(f"the role of {service} takes all that it can")
        found.append(await _beside(stack, service, service, pooler_id))
    progress("the same of plant, where nothing was restricted")
    admin = await asyncpg.connect(stack.admin_dsn)
    try:
        await admin.execute(_FREED)
        await admin.execute("GRANT TEMPORARY, CONNECT ON DATABASE postgres TO PUBLIC")
        await admin.execute(f"ALTER ROLE {role_of('plant')} CONNECTION LIMIT -1")
        await admin.execute(f"ALTER ROLE {role_of('plant')} RESET temp_file_limit")
    finally:
        await admin.close()
    await asyncio.sleep(_LOOK)
    found.append(await _beside(stack, "plant", "plant, unrestricted", pooler_id))
    return found


async def _beside(stack: Stack, service: str, who: str, pooler_id: str) -> HeldUp:
    async with open_channel(stack.target("wallet"), stack.operator(), name="wallet") as channel:
        custody = custody_pb2_grpc.CustodyServiceStub(channel)
        engine = engine_pb2_grpc.EngineServiceStub(channel)
        # Connected before: it is the pause that is measured, on a machine that is kept busy.
        await custody.ListPauses(custody_pb2.ListPausesRequest(), timeout=30, wait_for_ready=True)
        async with taking_everything(service, stack.service_dsn(service)) as taken:
            plain = await _plain(channel)
            started = time.monotonic()
            await custody.PauseSigning(
                custody_pb2.PauseSigningRequest(reach=_EVERYTHING, reason="held up"),
                timeout=30,
                wait_for_ready=True,
            )
            in_force = time.monotonic() - started
            recorded = await _until_recorded(custody, started)
            status = await engine.GetEngineStatus(
                engine_pb2.GetEngineStatusRequest(), timeout=30, wait_for_ready=True
            )
            registered = None if service == "registry" else await _register(stack, pooler_id)
        await custody.ResumeSigning(
            custody_pb2.ResumeSigningRequest(reach=_EVERYTHING), timeout=30, wait_for_ready=True
        )
    return HeldUp(
        who=who,
        taken=taken,
        in_force=in_force,
        recorded=recorded,
        plain=plain,
        registered=registered,
        warnings=tuple(status.warnings),
    )


async def _plain(channel: grpc.aio.Channel) -> float:
    stub = common_pb2_grpc.InfoServiceStub(channel)
    started = time.monotonic()
    await stub.GetInfo(common_pb2.GetInfoRequest(), timeout=30, wait_for_ready=True)
    return time.monotonic() - started


async def _until_recorded(
    custody: "custody_pb2_grpc.CustodyServiceAsyncStub", since: float
) -> float:
    """Return after how many seconds all processes are told of the pause; infinity: never."""
    while time.monotonic() - since < 2 * RECORDED:
        reply = await custody.ListPauses(
            custody_pb2.ListPausesRequest(), timeout=30, wait_for_ready=True
        )
        if any(not one.is_not_recorded for one in reply.pauses):
            return time.monotonic() - since
        await asyncio.sleep(0.1)
    return float("inf")


async def _register(stack: Stack, pooler_id: str) -> float:
    target = stack.target("registry")
    started = time.monotonic()
    async with open_channel(target, stack.operator(), name="registry") as channel:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id, stake_percentage="0.1")
        await stub.RegisterFarmer(request, timeout=60, wait_for_ready=True)
    return time.monotonic() - started

"""The long run: hostile requests and calls that are given up, against a whole pool."""

import asyncio
import random
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from devstack.stack import Progress, Stack, StackConfig, open_stack
from libs.common.db.tls import DatabaseAddress
from libs.common.names import GATEWAY, SERVICES
from services.migrations import restrict_all
from trials.canaries import Search, search_all
from trials.security.access import differences, matrix, trespasses
from trials.security.audit_attacks import Attacked, attack_audit_log
from trials.security.farming import Farmed, farm
from trials.security.forged import Told, show_flaws
from trials.security.forged_orders import Forged, forge_orders
from trials.security.fuzz import (
    Outcome,
    Target,
    ask_again,
    ask_long,
    open_targets,
    register,
    send_hostile,
)
from trials.security.gateway.run import (
    SETTINGS,
    GatewayPlan,
    GatewayResult,
    attack_gateway,
)
from trials.security.held_up import HeldUp, hold_up
from trials.security.leaving import Abandoned, give_up
from trials.security.limits import excesses
from trials.security.memory import Growth, growth, resident
from trials.security.roles import breaches, undeclared
from trials.security.sight import Seen, look_at_all
from trials.security.standing import fallen
from trials.security.strangers import Endured, endure
from trials.security.thefts.kinds import Tried
from trials.security.thefts.run import quick, steal
from trials.security.thefts.table import THEFTS
from trials.security.tokens import replays, token_differences, token_matrix
from trials.security.turns import Waits, waits

#: Share of the calls that warms everything up before memory is first read.
WARM_UP = 0.2


@dataclass(frozen=True, kw_only=True)
class FuzzPlan:
    """Settings of the long run."""

    #: Number of hostile requests.
    requests: int
    #: Number of calls and streams to be given up that have reached a handler by then.
    abandoned: int
    #: Seed: the same seed sends the same requests.
    seed: int
    #: Connections of each kind that wear a service out, where they need no certificate.
    connections: int = 1_500
    #: Hostile requests by HTTP.
    by_http: int = 100_000
    #: Connections to the gateway that are idle.
    idle: int = 10_000
    #: Whether thefts are left out that wait for what wallet does once in a while.
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class FuzzResult:
    """The result of the long run."""

    #: The settings.
    plan: FuzzPlan
    #: Operations of the pool before any attack.
    farmed: Farmed
    #: Outcome of the hostile requests.
    hostile: Outcome
    #: Outcome of the calls that were given up.
    abandoned: Abandoned
    #: Memory during the hostile requests, after their warm-up.
    hostile_growth: Sequence[Growth]
    #: Memory during the calls that were given up, after their warm-up.
    abandoned_growth: Sequence[Growth]
    #: RPCs that were called.
    rpcs: int
    #: Undeclared relations, and rights of database roles that are granted and not declared, or the
    #: reverse.
    breaches: Sequence[str]
    #: Callers that were let in, by full method name and caller.
    access: Mapping[tuple[str, str], bool]
    #: Differences to the access table, poolers that reached another's things, and what standings
    #: did not stop.
    intrusions: Sequence[str]
    #: How long others waited for what cannot succeed.
    waits: Waits
    #: Services that did not serve, or did not read, after a part.
    fallen: Sequence[str]
    #: What services say to certificates with tricks.
    flaws: Sequence[Told]
    #: What wallet endured of connections that wear a service out.
    endured: Sequence[Endured]
    #: Result of the search for secrets in all that the pool wrote.
    search: Search
    #: What each database role can take, and what waited for it.
    held_up: Sequence[HeldUp] = ()
    #: Attacks on the audit log.
    audit: Sequence[Attacked] = ()
    #: Orders that wallet did not write.
    forged: Sequence[Forged] = ()
    #: What somebody tried to take who has a password or a certificate.
    thefts: Sequence[Tried] = ()
    #: What each database role sees.
    seen: Sequence[Seen] = ()
    #: Attacks on the gateway.
    gateway: GatewayResult | None = None

    @property
    def failures(self) -> list[str]:
        """Return all failures in words; an empty list means that the run passed."""
        return [
            *self._shortfalls(),
            *(one.text for one in self._growth() if not one.is_flat),
            *self.breaches,
            *self.intrusions,
            *self.waits.failures,
            *self.fallen,
            *self.hostile.complaints,
            *self.hostile.silences,
            *(failure for told in self.flaws for failure in told.failures),
            *(failure for one in self.endured for failure in one.failures),
            *self.search.leaks,
            *(text for one in self.held_up for text in one.failures),
            *(text for one in self.audit for text in one.failures),
            *(text for one in self.forged for text in one.failures),
            *(text for one in self.thefts for text in one.failures),
            *(text for one in self.seen for text in one.failures),
            *([] if self.gateway is None else self.gateway.failures),
        ]

    def _growth(self) -> Sequence[Growth]:
        return (*self.hostile_growth, *self.abandoned_growth)

    def _shortfalls(self) -> Iterator[str]:
        """Yield the parts that were not done at all, so that they show nothing."""
        if not self.farmed.is_whole:
            yield f"not every farmer went all the way: {self.farmed}"
        if self.abandoned.all.arrived < self.plan.abandoned:
            arrived, left = self.abandoned.all.arrived, self.abandoned.all.left
            yield f"of {left} calls that were given up only {arrived} reached a handler"


def stack_config(directory: Path) -> StackConfig:
    """Return a pool for attacks: all callers share one address here, so nobody has a rate limit."""
    # Everything that can be logged is logged: the log is searched for secrets, and has a record of
    # each request.
    common = {"API_RATE_LIMIT": "0", "LOG_LEVEL": "debug"}
    # In milliseconds: withdrawals begin at once.
    environment = {
        **dict.fromkeys(SERVICES, common),
        "wallet": {**common, "WITHDRAW_COOLING_MS": "1", "AUDIT_HEAD_INTERVAL_MS": "1000"},
        GATEWAY: SETTINGS,
    }
    return StackConfig(
        directory=directory,
        ledger_seconds=0.5,
        block_seconds=20,
        gateway=True,
        environment=environment,
    )


async def run_fuzz(plan: FuzzPlan, progress: Progress) -> FuzzResult:
    """Run all parts; raise ProcessDiedError when a process has ended."""
    with tempfile.TemporaryDirectory() as scratch:
        # On a pool of their own: some of them leave nothing as it was.
        thefts = await steal(Path(scratch) / "thefts", progress, quick() if plan.quick else THEFTS)
        async with (
            open_stack(stack_config(Path(scratch) / "stack"), progress) as stack,
            open_targets(stack) as targets,
        ):
            found = await _Attack(plan, stack, targets, progress).run()
    return replace(found, thefts=thefts)


class _Attack:
    """One attacked pool, from its first block to the search of all that is left."""

    def __init__(
        self, plan: FuzzPlan, stack: Stack, targets: Sequence[Target], progress: Progress
    ) -> None:
        self._plan = plan
        self._stack = stack
        self._targets = targets
        self._progress = progress
        self._dice = random.Random(plan.seed)
        #: Ids of the pooler and the farmer that the attack has registered.
        self._ids: Sequence[str] = ()
        #: Services that failed after a part.
        self._fallen: list[str] = []

    async def run(self) -> FuzzResult:
        """Run the parts in this order: an attack may stop all signing."""
        farmed = await farm(self._stack, self._progress)
        self._ids = await register(self._stack)
        await self._look("farming")
        audit = await attack_audit_log(self._stack.admin_dsn, self._stack.service_dsn("wallet"))
        forged = await forge_orders(self._stack, self._progress)
        await self._look("orders that wallet did not write")
        waited = await waits(self._stack, self._progress)
        await self._look("what cannot succeed")
        access, intrusions = await self._access()
        held_up = await hold_up(self._stack, self._ids[0], self._progress)
        await restrict_all(DatabaseAddress(dsn=self._stack.admin_dsn))
        await self._look("roles that take all that they can")
        hostile, hostile_growth = await self._hostile()
        abandoned, abandoned_growth = await self._abandoned()
        self._progress("certificates with tricks")
        flaws = await show_flaws(self._stack)
        endured = await self._endure()
        by_http = await self._gateway()
        return FuzzResult(
            plan=self._plan,
            farmed=farmed,
            hostile=hostile,
            abandoned=abandoned,
            hostile_growth=hostile_growth,
            abandoned_growth=abandoned_growth,
            rpcs=len(self._targets),
            breaches=await _breaches(self._stack),
            access=access,
            intrusions=intrusions,
            waits=waited,
            fallen=self._fallen,
            flaws=flaws,
            endured=endured,
            search=await self._search([*hostile.told, *by_http.hostile.told], by_http.tokens),
            seen=await look_at_all(self._stack, _named(by_http.tokens)),
            held_up=held_up,
            audit=audit,
            forged=forged,
            gateway=by_http,
        )

    async def _access(self) -> tuple[Mapping[tuple[str, str], bool], Sequence[str]]:
        self._progress("every caller on every method")
        access = await matrix(self._stack)
        intrusions = [*differences(access), *await trespasses(self._stack)]
        intrusions += token_differences(await token_matrix(self._stack))
        intrusions += await replays(self._stack)
        intrusions += await excesses(self._stack)
        await self._look("every caller on every method")
        return access, intrusions

    async def _hostile(self) -> tuple[Outcome, Sequence[Growth]]:
        count, outcome, before = self._plan.requests, Outcome(), resident(self._stack)
        self._progress(f"{count} hostile requests to {len(self._targets)} RPCs")
        for share in (WARM_UP, 1 - WARM_UP):
            before, seed = resident(self._stack), self._dice.getrandbits(32)
            outcome += await send_hostile(
                self._targets, count=round(count * share), seed=seed, ids=self._ids
            )
        after = resident(self._stack)
        await ask_again(self._targets, outcome, seed=self._dice.getrandbits(32), ids=self._ids)
        await self._look("hostile requests")
        self._fallen += await ask_long(self._targets)
        return outcome, growth(before, after)

    async def _abandoned(self) -> tuple[Abandoned, Sequence[Growth]]:
        count, outcome, before = self._plan.abandoned, Abandoned(), resident(self._stack)
        self._progress(f"calls and streams that are given up, until {count} have reached a handler")
        for share in (WARM_UP, 1 - WARM_UP):
            before, seed = resident(self._stack), self._dice.getrandbits(32)
            outcome += await give_up(
                self._stack, self._targets, count=round(count * share), seed=seed, ids=self._ids
            )
        after = resident(self._stack)
        await self._look("calls that were given up")
        return outcome, growth(before, after)

    async def _endure(self) -> Sequence[Endured]:
        found = await endure(
            self._stack,
            self._ids[0],
            self._progress,
            service="wallet",
            connections=self._plan.connections,
        )
        await self._look("connections that wear a service out")
        return found

    async def _gateway(self) -> GatewayResult:
        plan = GatewayPlan(
            requests=self._plan.by_http,
            idle=self._plan.idle,
            connections=self._plan.connections,
            seed=self._dice.getrandbits(32),
        )
        found = await attack_gateway(self._stack, plan, self._progress)
        await self._look("attacks on the gateway")
        return found

    async def _look(self, part: str) -> None:
        """Check that all processes still run, serve and read after a part."""
        self._stack.check()
        faults = await fallen(self._stack, self._ids[0])
        self._fallen += [f"after {part}: {fault}" for fault in faults]

    async def _search(self, told: Collection[str], tokens: Collection[str]) -> Search:
        """Search the pool's folder, with the texts that callers got put beside its logs."""
        self._progress("looking for secrets in all that was written")
        file = self._stack.config.directory / "told"
        await asyncio.to_thread(file.write_text, "\n".join(told), encoding="utf-8")
        return await search_all(self._stack, _named(tokens))


def _named(tokens: Collection[str]) -> dict[str, str]:
    return {f"API token {number}": text for number, text in enumerate(tokens)}


async def _breaches(stack: Stack) -> list[str]:
    """Try every verb on every table as every service."""
    admin = await asyncpg.connect(stack.admin_dsn)
    try:
        found = [f"{item} is not declared" for item in sorted(await undeclared(admin))]
        for service in SERVICES:
            found += map(str, await breaches(admin, service, stack.service_dsn(service)))
    finally:
        await admin.close()
    return found

"""The long run: hostile requests and calls that are given up, against a whole pool."""

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from demo.stack import Progress, Stack, StackConfig, open_stack
from libs.common.names import SERVICES
from security.access import differences, matrix, trespasses
from security.fuzz import Outcome, Target, give_up, open_targets, register, send_hostile
from security.memory import Growth, growth, resident
from security.roles import breaches, undeclared

#: Part of the calls that warms everything up before memory is first looked at.
WARM_UP = 0.2


@dataclass(frozen=True, kw_only=True)
class FuzzPlan:
    """How much."""

    #: Hostile requests.
    requests: int
    #: Calls and streams that are given up.
    abandoned: int
    #: The same seed sends the same requests.
    seed: int


@dataclass(frozen=True, kw_only=True)
class FuzzResult:
    """What came of it."""

    #: The hostile requests.
    hostile: Outcome
    #: The calls that were given up.
    abandoned: Outcome
    #: Memory over the hostile requests, after their warm-up.
    hostile_growth: Sequence[Growth]
    #: Memory over the calls that were given up, after their warm-up.
    abandoned_growth: Sequence[Growth]
    #: RPCs that were called.
    rpcs: int
    #: What the database's roles may do and should not, or the reverse; undeclared relations.
    breaches: Sequence[str]
    #: Who was let in to what, by full method name and caller.
    access: Mapping[tuple[str, str], bool]
    #: Where that is not what the table says, or a pooler got at another's.
    intrusions: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether nothing broke, and nothing grew."""
        flat = all(one.is_flat for one in (*self.hostile_growth, *self.abandoned_growth))
        return flat and not (self.hostile.complaints or self.breaches or self.intrusions)


def stack_config(directory: Path) -> StackConfig:
    """A pool for attacks: everybody shares one address here, so nobody has a rate limit."""
    # All that is logged at all: it is searched for secrets, and has a record of each request.
    common = {"API_RATE_LIMIT": "0", "LOG_LEVEL": "debug"}
    # In milliseconds: withdrawals begin at once.
    environment = {**dict.fromkeys(SERVICES, common), "wallet": {**common, "WITHDRAW_COOLING": "1"}}
    return StackConfig(
        directory=directory, ledger_seconds=0.5, block_seconds=20, environment=environment
    )


async def run_fuzz(plan: FuzzPlan, progress: Progress) -> FuzzResult:
    """All of it; ProcessDiedError when a process has ended."""
    with tempfile.TemporaryDirectory() as scratch:
        async with (
            open_stack(stack_config(Path(scratch) / "stack"), progress) as stack,
            open_targets(stack) as targets,
        ):
            return await _attack(plan, stack, targets, progress)


async def _attack(
    plan: FuzzPlan, stack: Stack, targets: Sequence[Target], progress: Progress
) -> FuzzResult:
    progress("every caller on every method")
    access = await matrix(stack)
    intrusions = [*differences(access), *await trespasses(stack)]
    ids, dice = await register(stack), random.Random(plan.seed)
    hostile, hostile_growth = Outcome(), list[Growth]()
    progress(f"{plan.requests} hostile requests to {len(targets)} RPCs")
    before = resident(stack)
    for share in (WARM_UP, 1 - WARM_UP):
        before = resident(stack)
        count, seed = round(plan.requests * share), dice.getrandbits(32)
        hostile += await send_hostile(targets, count=count, seed=seed, ids=ids)
        stack.check()
    hostile_growth = growth(before, resident(stack))
    abandoned = Outcome()
    progress(f"{plan.abandoned} calls and streams that are given up")
    for share in (WARM_UP, 1 - WARM_UP):
        before = resident(stack)
        count, seed = round(plan.abandoned * share), dice.getrandbits(32)
        abandoned += await give_up(targets, count=count, seed=seed, ids=ids)
        stack.check()
    return FuzzResult(
        hostile=hostile,
        abandoned=abandoned,
        hostile_growth=hostile_growth,
        abandoned_growth=growth(before, resident(stack)),
        rpcs=len(targets),
        breaches=await _breaches(stack),
        access=access,
        intrusions=intrusions,
    )


async def _breaches(stack: Stack) -> list[str]:
    """Every verb on every table as every service."""
    admin = await asyncpg.connect(stack.admin_dsn)
    try:
        found = [f"{item} is not declared" for item in sorted(await undeclared(admin))]
        for service in SERVICES:
            found += map(str, await breaches(admin, service, stack.service_dsn(service)))
    finally:
        await admin.close()
    return found

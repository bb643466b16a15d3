"""All attacks on the gateway of a running pool."""

import asyncio
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import psutil

from devstack.stack import Progress, Stack
from libs.common.names import GATEWAY
from trials.security.access import make_owner
from trials.security.gateway import floods
from trials.security.gateway.bodies import Outcome, send_hostile, unanswered
from trials.security.gateway.limits import lies
from trials.security.gateway.smuggling import Smuggled, smuggle
from trials.security.gateway.tokens import (
    Cell,
    Tokens,
    a_revocation_counts,
    forgeries,
    make_tokens,
    matrix,
    shown_by,
    trespasses,
)
from trials.security.gateway.ways import Caller, open_caller
from trials.security.memory import Growth
from trials.security.strangers import SECONDS, Endured
from trials.security.tokens import gateway, make_bearer

#: What the gateway has in this trial beside its usual settings: all callers are one address.
SETTINGS: Mapping[str, str] = {
    "LOG_LEVEL": "debug",
    "PUBLIC_RATE_LIMIT": "0",
    "WRONG_TOKEN_LIMIT": "1000000",
}
#: Share of the requests that warms everything up before memory is first read.
_WARM_UP = 0.2


@dataclass(frozen=True, kw_only=True)
class GatewayPlan:
    """How much is tried."""

    #: Hostile requests.
    requests: int
    #: Connections that are idle, and connections of each other kind that wears the gateway out.
    idle: int
    connections: int
    #: Seed: the same seed sends the same requests.
    seed: int
    #: Seconds of each kind of connection.
    seconds: float = SECONDS


@dataclass(frozen=True, kw_only=True)
class GatewayResult:
    """What the attacks came to."""

    #: Every caller on every way.
    cells: Sequence[Cell]
    #: Heads and bodies that may be read in two ways.
    smuggled: Sequence[Smuggled]
    #: Hostile requests, and the gateway's memory during them.
    hostile: Outcome
    growth: Growth
    #: What the gateway endured of connections that wear it out.
    endured: Sequence[Endured]
    #: Everything else that is wrong, in words.
    faults: Sequence[str]
    #: Texts of tokens that count.
    tokens: Collection[str]

    @property
    def failures(self) -> list[str]:
        """Return all that is wrong, in words."""
        return [
            *(cell.words for cell in self.cells if not cell.is_expected),
            *(text for one in self.smuggled for text in one.failures),
            *self.hostile.complaints,
            *([] if self.growth.is_flat else [self.growth.text]),
            *(text for one in self.endured for text in one.failures),
            *self.faults,
        ]

    def tally(self) -> dict[str, Counter[bool]]:
        """Return by kind of token how often it was let in (True) and kept out."""
        found: dict[str, Counter[bool]] = {}
        for cell in self.cells:
            found.setdefault(cell.kind, Counter())[cell.is_in] += 1
        return found


async def attack_gateway(stack: Stack, plan: GatewayPlan, progress: Progress) -> GatewayResult:
    """Make all attacks."""
    async with open_caller(stack.gateway_url) as caller:
        tokens = await make_tokens(stack)
        operator = tokens.sound["operator"].text
        progress("every token on every way of the gateway")
        # Each of these waits for a minute.
        cells, revoked, forged = await asyncio.gather(
            matrix(caller, tokens), a_revocation_counts(caller, stack), forgeries(stack)
        )
        faults = [*revoked, *forged, *await trespasses(caller, stack)]
        progress("requests that may be read in two ways")
        port = stack.ports[GATEWAY]
        smuggled = await smuggle("127.0.0.1", port, caller, operator)
        progress(f"{plan.requests} hostile requests by HTTP")
        hostile, growth = await _hostile(stack, caller, tokens, plan)
        faults += await unanswered(caller, operator)
        progress("lies about addresses")
        faults += await lies(stack, caller, operator)
        endured = await floods.endure(
            stack,
            await _guests(stack, operator),
            progress,
            idle=plan.idle,
            connections=plan.connections,
            seconds=plan.seconds,
        )
    return GatewayResult(
        cells=cells,
        smuggled=smuggled,
        hostile=hostile,
        growth=growth,
        endured=endured,
        faults=faults,
        tokens=shown_by(tokens),
    )


async def _hostile(
    stack: Stack, caller: Caller, tokens: Tokens, plan: GatewayPlan
) -> tuple[Outcome, Growth]:
    owner = await make_owner(stack)
    async with gateway(stack) as through:
        own = await make_bearer(stack, "pooler", through, pooler_id=owner.pooler_id)
    operator, pooler = tokens.sound["operator"].text, own.text
    # Most get in, so that services see what gets through the gateway.
    shown = [operator] * 6 + [pooler] * 6 + ["", tokens.dead["forged"], "x", "kp_" + "\u00e9" * 43]
    process = psutil.Process(stack.pids()[GATEWAY])
    dice, outcome, before = random.Random(plan.seed), Outcome(), process.memory_info().rss
    for share in (_WARM_UP, 1 - _WARM_UP):
        before = process.memory_info().rss
        outcome += await send_hostile(
            caller,
            shown,
            count=round(plan.requests * share),
            seed=dice.getrandbits(32),
            ids=[owner.pooler_id, *owner.ids.values()],
        )
    after = process.memory_info().rss
    return outcome, Growth(process=GATEWAY, before=before, after=after)


async def _guests(stack: Stack, operator: str) -> floods.Guests:
    one, other = [await make_owner(stack) for _ in range(2)]
    async with gateway(stack) as through:
        hostile = await make_bearer(stack, "pooler", through, pooler_id=one.pooler_id)
        pooler = await make_bearer(stack, "pooler", through, pooler_id=other.pooler_id)
    return floods.Guests(
        hostile=hostile.text, pooler=pooler.text, pooler_id=other.pooler_id, operator=operator
    )

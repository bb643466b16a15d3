"""Payouts under attack: farmers with their fees, sweeps, miners and poolers, each by a run."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from kalepool.harvest.v1 import payout_pb2
from stellar_sdk import Keypair

from devstack.farmers import pooler_config, settle
from devstack.outside import create_outside
from devstack.paying import Calls, agree, calls_of
from devstack.pool_calls import PoolCaller, open_pool_caller
from devstack.stack import OPERATOR
from devstack.wallet_calls import Farmer, mine, wait_until
from libs.common.errors import ErrorCode, PoolError
from libs.common.grpc.client import call
from libs.common.grpc.identity import CallerKind
from libs.kale.constants import MAX_I64
from pooler.config import PoolerConfig
from trials.faults.arena import Arena
from trials.faults.checker import Findings, over_cap
from trials.faults.scenarios import MINERS, OPERATOR_KEY, POOLER, SWEEP
from trials.payments import SeenPayment

#: Farmers of each of the two poolers, and miners of the first one.
FARMERS = 3
#: Stroops from which on farmers are paid who are swept instead.
_NEVER = 10**15
#: Seconds of one call, and until one is repeated whose process is away.
_TIMEOUT, _PAUSE = 20.0, 0.2
#: Seconds in which what was farmed is booked.
_BOOKED = 60.0
#: Seconds between the beginnings of calls that are made in turn: less than a ledger, so that
#: several calls are in progress, and so much that each is signed and settled by itself.
APART = 0.3
_AWAY = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.DEADLINE_EXCEEDED})
T = TypeVar("T")
#: Kind and id of somebody who is paid.
_Payee = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One run of payouts."""

    #: payout, sweep, miner pay or pooler pay.
    phase: str
    #: Names the run.
    request_id: str
    #: Whether each farmer is paid by a run of its own, one shortly after the other.
    in_turn: bool
    #: Payments and fees that the witness had seen before.
    payments_before: int
    fees_before: int


@dataclass(frozen=True, kw_only=True)
class Item:
    """A payout of a run, as harvest has it on record."""

    payee: _Payee
    #: open, paid, failed or refused.
    state: str
    #: Why nothing was paid; empty otherwise.
    reason: str


@dataclass(frozen=True, kw_only=True)
class _Pooler:
    """A pooler with farmers of its own."""

    config: PoolerConfig
    caller: PoolCaller
    farmers: Sequence[Farmer]

    @property
    def id(self) -> str:
        """Return its UUID."""
        return str(self.config.pooler_id)


class Payees:
    """Two poolers: one has its farmers paid and its miners, the other one's farmers are swept."""

    def __init__(
        self, arena: Arena, calls: Calls, *, paid: _Pooler, swept: _Pooler, miners: Sequence[str]
    ) -> None:
        self._arena = arena
        self._calls = calls
        self._paid = paid
        self._swept = swept
        self._miners = miners
        #: The block that is to be harvested next, and the one that was harvested last.
        self._ripe: int | None = None
        self._harvested = 0
        self._runs = 0
        #: Who was due when each run was asked for, by the run's request.
        self._due: dict[str, list[_Payee]] = {}

    async def earn(self) -> None:
        """Farm a block of all, and harvest the one before, so that everybody has something."""
        block = await self._arena.next_block()
        both = (self._paid, self._swept)
        await asyncio.gather(*(one.caller.plant("", block, {}) for one in both))
        entropy = await self._arena.entropy(block)
        await asyncio.gather(
            *(one.caller.work("", mine(one.farmers, block, entropy), block) for one in both)
        )
        ripe, self._ripe = self._ripe, block
        if ripe is not None:
            await asyncio.gather(*(one.caller.harvest("", ripe, []) for one in both))
            self._harvested = ripe
            await wait_until(self._is_booked, "nobody is due", seconds=_BOOKED, poll=0.5)

    async def _is_booked(self) -> bool:
        """Tell whether all farmers are due, with fees."""
        found = [await self._preview(one) for one in (self._paid, self._swept)]
        return all(
            sum(one.kind == payout_pb2.PAYEE_KIND_FARMER and one.fees > 0 for one in due) == FARMERS
            for due in found
        )

    def ask(self, phase: str, *, in_turn: bool) -> Asked:
        """Return the next run, or runs."""
        self._runs += 1
        return Asked(
            phase=phase,
            request_id=f"{phase} {self._runs}",
            in_turn=in_turn,
            payments_before=len(self._arena.witness.payments),
            fees_before=len(self._arena.witness.fees),
        )

    async def call(self, asked: Asked) -> None:
        """Pay all who are due in the phase, and wait until it is settled."""
        pooler = self._swept if asked.phase in (SWEEP, POOLER) else self._paid
        if asked.phase == MINERS:
            points = {address: number for number, address in enumerate(self._miners, start=1)}
            await _patiently(lambda: pooler.caller.credit(self._harvested, points))
            await wait_until(self._has_miners, "no miner is due", seconds=_BOOKED, poll=0.5)
        due = await self._preview(pooler)
        self._due[asked.request_id] = [
            (payout_pb2.PayeeKind.Name(one.kind).removeprefix("PAYEE_KIND_").lower(), one.payee_id)
            for one in due
        ]
        if asked.in_turn:
            await begin_in_turn([self._pay_now(asked, one.payee_id) for one in due])
            return
        request = payout_pb2.RunPayoutsRequest(
            request_id=asked.request_id, max_amount=MAX_I64, pooler_id=pooler.id
        )
        await _patiently(lambda: call(self._calls.payouts.RunPayouts, request, timeout=_TIMEOUT))

    async def _pay_now(self, asked: Asked, farmer_id: str) -> None:
        request = payout_pb2.PayNowRequest(request_id=asked.request_id, farmer_id=farmer_id)
        await _patiently(lambda: call(self._calls.payouts.PayNow, request, timeout=_TIMEOUT))

    async def findings(self, asked: Asked) -> Findings:
        """Return what is not as promised, now that the witness has caught up."""
        due = self._due.get(asked.request_id, [])
        names = [f"run:{asked.request_id}"]
        if asked.in_turn:
            names = [f"now:{payee_id}:{asked.request_id}" for _, payee_id in due]
        rows = await self._arena.records.many("payouts_of", names)
        items = [
            Item(
                payee=(row["kind"], str(row["payee_id"])), state=row["state"], reason=row["reason"]
            )
            for row in rows
        ]
        runs = {row["run_id"] for row in rows}
        told = [
            SeenPayment(source=row["source"], destination=row["destination"], amount=row["amount"])
            for row in await self._arena.records.many("payments_by_harvest")
            if row["run_id"] in runs
        ]
        witness = self._arena.witness
        found = compare(
            due,
            items,
            told,
            witness.payments[asked.payments_before :],
        )
        fees = witness.fees[asked.fees_before :]
        return replace(found, over_cap=len(over_cap(fees, self._arena.cap)))

    async def _has_miners(self) -> bool:
        kinds = [one.kind for one in await self._preview(self._paid)]
        return kinds.count(payout_pb2.PAYEE_KIND_MINER) == len(self._miners)

    async def _preview(self, pooler: _Pooler) -> Sequence[Any]:
        request = payout_pb2.GetPayoutPreviewRequest(pooler_id=pooler.id)
        answer = await _patiently(
            lambda: call(self._calls.payouts.GetPayoutPreview, request, timeout=_TIMEOUT)
        )
        return list(answer.due)


def compare(
    due: Sequence[_Payee],
    items: Sequence[Item],
    told: Sequence[SeenPayment],
    seen: Sequence[SeenPayment],
) -> Findings:
    """Compare who was due with the payouts of the run, and those that were paid with the chain.

    `told` are the payments that are recorded of the run, `seen` those that the chain has made.
    """
    recorded = {item.payee for item in items}
    unpaid = Counter(payment.key for payment in told)
    surplus = Counter(payment.key for payment in seen)
    surplus, unpaid = surplus - unpaid, unpaid - surplus
    forgotten = [payee for payee in due if payee not in recorded]
    notes = [f"{kind} {payee_id}: was due, and is in no run" for kind, payee_id in forgotten]
    notes += ["nobody was due"] * (not due)
    notes += [f"{kind} {payee_id}: still open" for kind, payee_id in _of_state(items, "open")]
    notes += [f"payment of {key}: {count} not on the chain" for key, count in unpaid.items()]
    notes += [f"payment of {key}: {count} not recorded" for key, count in surplus.items()]
    return Findings(
        asked=len(due),
        done=len(_of_state(items, "paid")),
        lost=len(forgotten) + unpaid.total() + (not due),
        doubled=surplus.total(),
        left_open=len(_of_state(items, "open")),
        given_up=dict(Counter(item.reason for item in items if item.state in _GIVEN_UP)),
        overpaid=sum(amount * count for (_, _, amount), count in surplus.items()),
        notes=notes[:5],
    )


_GIVEN_UP = ("failed", "refused")


def _of_state(items: Sequence[Item], state: str) -> list[_Payee]:
    return [item.payee for item in items if item.state == state]


@asynccontextmanager
async def open_payees(arena: Arena) -> AsyncIterator[Payees]:
    """Register both poolers with their farmers and whom they pay, and farm a first block."""
    stack = arena.world.stack
    keys = [Keypair.random() for _ in range(2 + 3 * FARMERS)]
    await create_outside(stack.rpc_url, [OPERATOR_KEY, *keys])
    own, accounts, miners = keys[:2], keys[2:-FARMERS], keys[-FARMERS:]
    async with AsyncExitStack() as cleanup:
        calls = await cleanup.enter_async_context(calls_of(stack, CallerKind.OPERATOR, OPERATOR))
        paid, swept = [
            await cleanup.enter_async_context(_open_pooler(arena, key, terms))
            for key, terms in zip(own, _TERMS, strict=True)
        ]
        for farmer, key in zip([*paid.farmers, *swept.farmers], accounts, strict=True):
            await arena.world.caller.pay_out_to([farmer], key.public_key)
        payees = Payees(
            arena, calls, paid=paid, swept=swept, miners=[key.public_key for key in miners]
        )
        arena.others = [farmer.address for farmer in (*paid.farmers, *swept.farmers)]
        await payees.earn()
        yield payees


#: What the farmers of both poolers have agreed to: all of the first one's fee is its miners'.
_TERMS: Sequence[Mapping[str, Any]] = (
    {"miners_part": "1", "threshold": 1},
    {"miners_part": "0", "threshold": _NEVER},
)


@asynccontextmanager
async def _open_pooler(
    arena: Arena, key: Keypair, terms: Mapping[str, Any]
) -> AsyncIterator[_Pooler]:
    stack = arena.world.stack
    # Who was paid out has nothing to stake: beside stakes it would earn next to nothing.
    config = replace(pooler_config(stack, FARMERS, blocks=0), stake_percentage="0")
    config = await agree(stack, config, key, **terms)
    settled, _ = await settle(stack, config, lambda _event: None, lambda _text: None)
    async with open_pool_caller(settled) as caller:
        yield _Pooler(config=settled, caller=caller, farmers=await caller.farmers())


async def begin_in_turn(calls: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Begin one call after another, and wait for all calls."""
    async with asyncio.TaskGroup() as group:
        for one in calls:
            group.create_task(one)
            await asyncio.sleep(APART)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call for as long as its process, or what it needs, is away."""
    while True:
        try:
            return await ask()
        except PoolError as error:
            if error.code not in _AWAY:
                raise
        await asyncio.sleep(_PAUSE)

"""python -m trials.bench.payouts: what it costs and takes to pay 1,000 farmers and 10,000 miners.

A whole pool farms on localnet with mainnet's limits, 1,000 classic operations a ledger among them.
Its farmers are paid with one payment of fees each (their pooler's, with its miners'), then with two
(the operator's, too), then the miners out of what was collected. Written to trials/results. Exit
status 1 when a goal is missed.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from kalepool.harvest.v1 import payout_pb2
from stellar_sdk import Keypair, xdr

from devstack.chain_view import read_transactions
from devstack.interrupt import run_to_end
from devstack.outside import create_outside
from devstack.paying import Calls, agree, calls_of
from devstack.pool_calls import PoolCaller
from devstack.stack import OPERATOR, Progress, Stack
from devstack.wallet_calls import mine, wait_until
from libs.common.errors import ErrorCode, PoolError
from libs.common.grpc.client import call
from libs.common.grpc.identity import CallerKind
from libs.kale.constants import MAX_I64
from pooler.config import PoolerConfig
from trials.bench.chain import latest_ledger
from trials.bench.goals import LEDGER_SLACK, Goal
from trials.bench.meter import measure
from trials.bench.tables import goals_table
from trials.machine import Origin, origin
from trials.payments import payments_in
from trials.report import Report, Table, add_options, console_of, progress_on, tell
from trials.world import Carrier, World, WorldConfig, open_world

#: Operations that a ledger takes; a fee bump counts one more.
PER_LEDGER = 1000
#: Farmers and payments of a pooler that share a transaction.
FARMERS_TOGETHER, PAYMENTS_TOGETHER = 19, 99
#: Seconds of a ledger while nothing is measured, and of a block: all farmers are planted in it.
_FAST, _BLOCK = 0.5, 60
#: Seconds between two looks of wallet at the chain: a fifth of a ledger of 5 s.
_POLL_MS = 1000
#: Seconds of one call, and of everything that is waited for.
_CALL, _PATIENCE = 60.0, 900.0
_AWAY = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.DEADLINE_EXCEEDED})


@dataclass(frozen=True, kw_only=True)
class PayoutPlan:
    """Settings of the measurement."""

    farmers: int
    miners: int
    #: Payer accounts.
    payers: int
    #: Seconds of a ledger while payouts are made.
    ledger_seconds: float
    #: The command line, for the report.
    command: str


@dataclass(frozen=True, kw_only=True)
class Payer:
    """One transaction that paid."""

    #: Its ledger.
    ledger: int
    #: Payments, and operations: those, the bump of the payer's number, and one for the fee bump.
    payments: int
    operations: int
    #: Stroops of XLM that it cost.
    fee: int


@dataclass(frozen=True, kw_only=True)
class PaidRun:
    """One run of payouts."""

    #: Who was paid.
    name: str
    #: Payees of the run, those that were paid, and payments to each.
    asked: int
    paid: int
    payments_each: int
    #: Transactions, and operations of each ledger from the first to the last that paid.
    transactions: int
    ledgers: Sequence[int]
    #: Stroops of XLM, all transactions together.
    fee_total: int
    #: Seconds from the call to its answer, and seconds of wallet's CPU.
    seconds: float
    cpu_seconds: float
    #: The fewest transactions that carry all, and the most ledgers that are to take them.
    fewest: int
    most_ledgers: int

    @property
    def fee_each(self) -> float:
        """Return the stroops of XLM per payout."""
        return self.fee_total / max(1, self.paid)

    @property
    def cpu_ms_each(self) -> float:
        """Return the milliseconds of wallet's CPU per payout."""
        return 1000 * self.cpu_seconds / max(1, self.asked)

    def goals(self) -> list[Goal]:
        """Return every figure beside its goal."""
        figures = (
            ("not paid", self.asked - self.paid, 0, ""),
            ("transactions", self.transactions, self.fewest, ""),
            ("ledgers", len(self.ledgers), self.most_ledgers, "ledgers"),
            ("operations of the fullest ledger", max(self.ledgers), PER_LEDGER, ""),
        )
        return [
            Goal(name=f"{self.name}: {what}", figure=figure, at_most=most, unit=unit)
            for what, figure, most, unit in figures
        ]


@dataclass(frozen=True, kw_only=True)
class PayoutResult:
    """All that was measured."""

    origin: Origin
    plan: PayoutPlan
    runs: Sequence[PaidRun]

    @property
    def goals(self) -> list[Goal]:
        """Return every figure beside its goal."""
        return [goal for run in self.runs for goal in run.goals()]


def fewest_ledgers(count: int, *, payments: int, together: int) -> int:
    """Return the ledgers that so many payouts of so many payments each fill, with mainnet's limit.

    So many payouts share a transaction, which ends with a bump, and counts one more.
    """
    in_a_ledger = PER_LEDGER // (together * payments + 2)
    return -(-_transactions_of(count, together) // in_a_ledger)


def _transactions_of(count: int, together: int) -> int:
    return -(-count // together)


async def run_payouts(plan: PayoutPlan, progress: Progress) -> PayoutResult:
    """Farm, then pay everybody, run by run."""
    pooler, operator = Keypair.random(), Keypair.random()
    async with open_world(_config(plan, pooler, operator), progress) as world:
        trial = _Trial(world, plan, progress)
        async with calls_of(world.stack, CallerKind.OPERATOR, OPERATOR) as calls:
            return PayoutResult(
                origin=await origin(world.stack.admin_dsn),
                plan=plan,
                runs=await trial.run(calls, operator.public_key),
            )


def _config(plan: PayoutPlan, pooler: Keypair, operator: Keypair) -> WorldConfig:
    """Return the pool: all farmers have agreed to fees of a pooler, its miners and the operator."""

    async def prepare(stack: Stack, config: PoolerConfig) -> PoolerConfig:
        await create_outside(stack.rpc_url, [pooler, operator])
        # Rewards alone are paid, whatever farmers were given besides.
        config = replace(config, stake_percentage="0")
        return await agree(stack, config, pooler, miners_part="0.5")

    return WorldConfig(
        # The world has one more, who opens blocks where nobody else does.
        farmers=plan.farmers - 1,
        carrier=Carrier.MULTICALL,
        ledger_seconds=_FAST,
        block_seconds=_BLOCK,
        whole=True,
        prepare=prepare,
        wallet_environment={
            "PAYER_ACCOUNTS": str(plan.payers),
            "CHAIN_POLL_MS": str(_POLL_MS),
            "OPERATOR_FEE_BPS": "250",
            "WITHDRAW_COOLING_MS": "1",
        },
        harvest_environment={
            "PAYOUT_SECONDS": "0",
            # What a thousand harvests bring is on the chain for seconds before it is booked.
            "DEPOSIT_SETTLE_SECONDS": str(24 * 3600),
            "PAYOUT_MINIMUM_STROOPS": "1",
            "PAYOUT_MINER_STROOPS": "1",
            # Only miners are paid out of the pooler's account.
            "PAYOUT_POOLER_STROOPS": str(MAX_I64),
            "PAYOUT_POOLER_SECONDS": "0",
        },
    )


class _Trial:
    """The runs, one after another."""

    def __init__(self, world: World, plan: PayoutPlan, progress: Progress) -> None:
        if world.pool is None:
            raise ValueError("payouts take the whole pool")
        self._world = world
        self._pool: PoolCaller = world.pool
        self._plan = plan
        self._progress = progress
        self._farmers = [world.opener, *world.farmers]

    async def run(self, calls: Calls, operator: str) -> list[PaidRun]:
        """Pay farmers twice, with one payment of fees and with two, and then the miners."""
        plan, stack = self._plan, self._world.stack
        await self._set_addresses()
        first = await self._farm()
        second = await self._farm()
        await self._pool.harvest("", first, [])
        one = await self._pay(calls, "one fee payment each", plan.farmers, payments=2)
        await self._farm()
        await self._pool.harvest("", second, [])
        stack.configure("wallet", {"OPERATOR_PAYOUT_ADDRESS": operator})
        await stack.restart("wallet")
        two = await self._pay(calls, "two fee payments each", plan.farmers, payments=3)
        await self._tell_miners(first, second)
        # Payers have several transactions each, one in a ledger.
        miners = await self._pay(
            calls,
            "miners",
            plan.miners,
            payments=1,
            together=PAYMENTS_TOGETHER,
            slack=LEDGER_SLACK,
        )
        return [one, two, miners]

    async def _set_addresses(self) -> None:
        self._progress(f"creating {len(self._farmers)} accounts that farmers are paid at")
        keys = [Keypair.random() for _ in self._farmers]
        await create_outside(self._world.rpc_url, keys)
        self._progress("saying where farmers are paid")
        for farmer, key in zip(self._farmers, keys, strict=True):
            await self._world.caller.pay_out_to([farmer], key.public_key)

    async def _farm(self) -> int:
        """Plant and work a block with all farmers; return it."""
        caller, block = self._world.caller, 0
        head = (await caller.block()).head
        block = max(head.plantable_block, head.current_block + 1)
        self._progress(f"farming block {block}")
        await wait_until(
            partial(self._is_plantable, block), f"block {block} is not plantable", seconds=_PATIENCE
        )
        await self._pool.plant("", block, {})
        entropy = (await caller.block(block)).block.entropy
        shown = await asyncio.to_thread(mine, self._farmers, block, entropy)
        await self._pool.work("", shown, block)
        return block

    async def _is_plantable(self, block: int) -> bool:
        return (await self._world.caller.block()).head.plantable_block >= block

    async def _tell_miners(self, *blocks: int) -> None:
        plan = self._plan
        self._progress(f"creating {plan.miners} accounts of miners")
        keys = [Keypair.random() for _ in range(plan.miners)]
        await self._ledgers_of(_FAST)
        await create_outside(self._world.rpc_url, keys)
        points = {key.public_key: 1 for key in keys}
        for block in blocks:
            await self._pool.credit(block, points)

    async def _ledgers_of(self, seconds: float) -> None:
        await self._world.stack.restart(
            "localnet", environment={"LOCALNET_LEDGER_SECONDS": str(seconds)}
        )

    async def _pay(
        self,
        calls: Calls,
        name: str,
        count: int,
        *,
        payments: int,
        together: int = FARMERS_TOGETHER,
        slack: int = 0,
    ) -> PaidRun:
        """Pay all who are due in one run, from a ledger's beginning on."""
        world = self._world
        self._progress(f"waiting until {count} are due: {name}")
        await wait_until(
            partial(self._are_due, calls, count), f"not {count} are due", seconds=_PATIENCE, poll=1
        )
        await self._ledgers_of(self._plan.ledger_seconds)
        before = await self._begin_of_ledger()
        self._progress(f"paying {count}: {name}")
        request = payout_pb2.RunPayoutsRequest(request_id=name, max_amount=MAX_I64)
        started = time.monotonic()
        async with measure(world.wallet_pids()) as reading:
            run = await _answered(calls, request)
            seconds = time.monotonic() - started
        made = await self._transactions(before + 1)
        await self._ledgers_of(_FAST)
        return PaidRun(
            name=name,
            asked=count,
            paid=run.paid,
            payments_each=payments,
            transactions=len(made),
            ledgers=_bars(made),
            fee_total=sum(one.fee for one in made),
            seconds=seconds,
            cpu_seconds=reading.cpu_seconds,
            fewest=_transactions_of(count, together),
            most_ledgers=fewest_ledgers(count, payments=payments, together=together) + slack,
        )

    async def _are_due(self, calls: Calls, count: int) -> bool:
        request = payout_pb2.GetPayoutPreviewRequest()
        answer = await call(calls.payouts.GetPayoutPreview, request, timeout=_CALL)
        return bool(answer.payments == count)

    async def _begin_of_ledger(self) -> int:
        """Wait until a ledger closes and wallet has seen it; return it."""
        world = self._world
        before = await latest_ledger(world.session, world.rpc_url)

        async def closed() -> bool:
            return (await world.caller.block()).head.ledger > before

        await wait_until(closed, "no ledger closes", seconds=60, poll=0.05)
        return await latest_ledger(world.session, world.rpc_url)

    async def _transactions(self, first: int) -> list[Payer]:
        """Return all transactions that paid, from a ledger on."""
        world = self._world
        return [
            _transaction(item)
            async for item in read_transactions(world.session, world.rpc_url, first=first)
            if item["status"] == "SUCCESS" and payments_in(item)
        ]


async def _answered(calls: Calls, request: payout_pb2.RunPayoutsRequest) -> Any:
    """Ask for a run until it is over."""
    while True:
        try:
            return (await call(calls.payouts.RunPayouts, request, timeout=_CALL)).run
        except PoolError as error:
            if error.code not in _AWAY:
                raise


def _transaction(item: dict[str, Any]) -> Payer:
    envelope = xdr.TransactionEnvelope.from_xdr(item["envelopeXdr"])
    if envelope.fee_bump is None or envelope.fee_bump.tx.inner_tx.v1 is None:
        raise ValueError("a payer's transaction without a fee bump")
    result = xdr.TransactionResult.from_xdr(item["resultXdr"])
    return Payer(
        ledger=int(item["ledger"]),
        payments=len(payments_in(item)),
        operations=len(envelope.fee_bump.tx.inner_tx.v1.tx.operations) + 1,
        fee=result.fee_charged.int64,
    )


def _bars(made: Sequence[Payer]) -> list[int]:
    """Return the operations of each ledger from the first to the last that paid."""
    operations: Counter[int] = Counter()
    for one in made:
        operations[one.ledger] += one.operations
    return [operations[ledger] for ledger in range(min(operations), max(operations) + 1)]


_COLUMNS = (
    "paid",
    "payments each",
    "transactions",
    "operations per ledger",
    "stroops each",
    "CPU ms each",
    "seconds",
)


def report_of(result: PayoutResult) -> Report:
    """Return the report, with every figure beside its goal."""
    plan, goals = result.plan, result.goals
    is_met = all(goal.met for goal in goals)
    runs = Table(
        title="Payouts",
        columns=("", *_COLUMNS),
        rows=[_row(run) for run in result.runs],
        before=f"Ledgers of {plan.ledger_seconds:g} s with mainnet's limits, {plan.payers} payer "
        f"accounts. A ledger takes {PER_LEDGER:,} classic operations: payments, the bump of a "
        "payer's number, and one for each fee bump.",
    )
    return Report(
        name="payouts",
        title="Payouts",
        origin=result.origin,
        commands=[plan.command],
        parts=[runs, goals_table(goals)],
        verdict=f"{sum(goal.met for goal in goals)} of {len(goals)} goals met",
        passed=is_met,
        content=asdict(result) | {"goals": [asdict(goal) | {"met": goal.met} for goal in goals]},
    )


def _row(run: PaidRun) -> tuple[str, ...]:
    return (
        run.name,
        f"{run.paid:,} of {run.asked:,}",
        str(run.payments_each),
        f"{run.transactions} ({run.fewest} at best)",
        " ".join(map(str, run.ledgers)),
        f"{run.fee_each:,.0f}",
        f"{run.cpu_ms_each:.2f}",
        f"{run.seconds:.1f}",
    )


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.bench.payouts", description=__doc__)
    parser.add_argument("--farmers", type=int, default=1000)
    parser.add_argument("--miners", type=int, default=10_000)
    parser.add_argument("--payers", type=int, default=0, help="0: one for each transaction")
    parser.add_argument("--ledger-seconds", type=float, default=5.0)
    add_options(parser)
    options = parser.parse_args(arguments)
    console = console_of(options)
    plan = PayoutPlan(
        farmers=options.farmers,
        miners=options.miners,
        payers=options.payers or _transactions_of(options.farmers, FARMERS_TOGETHER),
        ledger_seconds=options.ledger_seconds,
        command=" ".join(["python -m trials.bench.payouts", *arguments]),
    )

    async def run() -> int:
        report = report_of(await run_payouts(plan, progress_on(console)))
        tell(console, report, options)
        return 0 if report.passed else 1

    return run_to_end(run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

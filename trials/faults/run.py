"""Run of the table: each row breaks each phase of a block, and withdrawals, once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc

from devstack.stack import Progress
from devstack.wallet_calls import Farmer, WaitTimeoutError, mine, wait_until
from trials.faults.arena import Arena, PoolStoppedError, open_arena
from trials.faults.breakage import nothing
from trials.faults.checker import Findings, Question, check
from trials.faults.closing import closing_check
from trials.faults.notify import Notifier, open_notifier
from trials.faults.payouts import Payees, begin_in_turn, open_payees
from trials.faults.refusal import NotHereError
from trials.faults.scenarios import NOTIFY, PHASES, Group, Scenario
from trials.machine import Origin, origin

#: Stroops of KALE that the first farmer stakes; each further farmer stakes one stroop more.
STAKE = 10_000_000
#: Seconds between two checks of records that are to become right by themselves.
_LOOK = 1.0
_UNBROKEN = Scenario(name="preparation", breakage=nothing(), hold=60)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One thing broken in one phase."""

    #: The group of rows.
    group: str
    #: The row.
    scenario: str
    #: plant, work, harvest, withdraw, notify, or one of payouts.
    phase: str
    #: Seconds from the call to the last result.
    seconds: float
    #: Number of wallet processes that died.
    kills: int
    #: How often the breakage struck until the phase was done.
    strikes: int
    #: The unexpected failure of the call, in words; empty when there was none.
    error: str
    #: Findings of the comparison.
    findings: Findings
    #: Whether the breakage may strike nothing.
    optional: bool = False

    @property
    def passed(self) -> bool:
        """Tell whether everything is as promised."""
        return self.findings.is_clean and not self.error

    @property
    def is_unreached(self) -> bool:
        """Tell whether the phase was done before anything was broken."""
        return not self.strikes

    @property
    def verdict(self) -> str:
        """Return the verdict in a word."""
        if not self.passed:
            return "FAILED"
        return "not reached" if self.is_unreached else "ok"


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """Settings of one fault run."""

    #: Groups with the rows that were chosen.
    groups: Sequence[Group]
    #: Seed that repeats the random instants.
    seed: int
    #: Command that asks for the same run again.
    command: str


@dataclass(frozen=True, kw_only=True)
class FaultResult:
    """The result of a fault run."""

    #: Machine, versions, commit.
    origin: Origin
    #: Seed that repeats the random instants.
    seed: int
    #: Cells in the order in which they ran.
    cells: list[Cell]
    #: Faults at the end of a group, in words.
    final: list[str]
    #: Groups that this machine cannot run, with the reason.
    not_run: list[str]
    #: Groups of which all rows were to be run.
    whole: list[str]
    #: Commands that asked for the run.
    commands: list[str]

    @property
    def missed(self) -> list[tuple[str, str]]:
        """Return rows, with their groups, that have struck in none of their phases.

        Such rows show nothing.
        """
        rows = dict.fromkeys((cell.group, cell.scenario) for cell in self.cells)
        struck = {
            (cell.group, cell.scenario) for cell in self.cells if cell.strikes or cell.optional
        }
        return [row for row in rows if row not in struck]

    @property
    def passed(self) -> bool:
        """Tell whether everything was tried and is as promised."""
        right = bool(self.cells) and all(cell.passed for cell in self.cells)
        return right and not self.final and not self.missed


async def run_faults(
    plan: FaultPlan, progress: Progress, keep: Callable[[FaultResult], object]
) -> FaultResult:
    """Run all groups one after another, each on a pool of its own.

    `keep` gets the results so far after each group, as the next group may take long.
    """
    cells: list[Cell] = []
    final: list[str] = []
    not_run: list[str] = []
    result = FaultResult(
        origin=await origin(),
        seed=plan.seed,
        cells=cells,
        final=final,
        not_run=not_run,
        whole=[],
        commands=[plan.command],
    )
    for group in plan.groups:
        progress(f"== {group.name}: {len(group.scenarios)} rows")
        try:
            async with open_arena(
                group.name, group.config, _quiet, disk_mib=group.disk_mib, clock=group.clock
            ) as arena:
                result = replace(result, origin=await origin(arena.world.stack.admin_dsn))
                async with _notifier(arena, group) as notifier, _payees(arena, group) as payees:
                    farm = _Farm(arena, plan.seed, progress, notifier, payees)
                    cells += await farm.run(group)
                    faults = await _closed(arena, farm.asked)
                    faults += notifier.late() if notifier else []
                final += [f"{group.name}: {item}" for item in faults]
        except NotHereError as error:
            not_run.append(f"{group.name}: {error}")
            progress(f"not run: {error}")
        if group.is_whole:
            result.whole.append(group.name)
        keep(result)
    return result


@asynccontextmanager
async def _notifier(arena: Arena, group: Group) -> AsyncIterator[Notifier | None]:
    """Open what notifies, where a row needs it."""
    if not any(NOTIFY in scenario.phases for scenario in group.scenarios):
        yield None
        return
    async with open_notifier(arena) as notifier:
        yield notifier


@asynccontextmanager
async def _payees(arena: Arena, group: Group) -> AsyncIterator[Payees | None]:
    """Open those who are to be paid, where a row needs them."""
    if not any(scenario.pays for scenario in group.scenarios):
        yield None
        return
    async with open_payees(arena) as payees:
        yield payees


async def _closed(arena: Arena, asked: Sequence[Question]) -> list[str]:
    """Return the faults at the end of a group; an end that cannot be judged is a fault."""
    try:
        return await closing_check(arena, asked)
    except Exception as error:
        return [f"the end cannot be judged: {_in_words(error)}"]


def _quiet(_text: str) -> None:
    """Ignore progress: nobody wants to know how the pool starts."""


class _Farm:
    """A farm that goes from block to block: plants it, works it, and harvests the one before."""

    def __init__(
        self,
        arena: Arena,
        seed: int,
        progress: Progress,
        notifier: Notifier | None = None,
        payees: Payees | None = None,
    ) -> None:
        self._arena = arena
        self._notifier = notifier
        self._payees = payees
        self._group = ""
        self._seed = seed
        self._progress = progress
        self._ripe = 0
        #: Number of withdrawals of each farmer so far.
        self._withdrawn = 0
        #: Reason why nothing can be broken any more.
        self._stopped: PoolStoppedError | None = None
        #: All requests to the pool, in order.
        self.asked: list[Question] = []

    async def run(self, group: Group) -> list[Cell]:
        """Run all rows of a group, or as many rows as give enough kills."""
        self._group = group.name
        block = await self._arena.next_block()
        for phase in PHASES[:2]:
            await self._cell(_UNBROKEN, phase, block)
        self._ripe = block
        cells: list[Cell] = []
        for scenario in group.scenarios:
            if scenario.phases == (NOTIFY,):
                cells += await self._told(scenario)
            elif scenario.pays:
                cells += await self._paid(scenario)
            else:
                cells += await self._row(scenario)
            if group.enough_kills is not None and self._arena.kills >= group.enough_kills:
                break
        return cells

    async def _row(self, scenario: Scenario) -> list[Cell]:
        farms = "plant" in scenario.phases
        try:
            block = await self._next_block() if farms else 0
        except Exception as error:
            cells = [self._broken_off(scenario, phase, error) for phase in scenario.phases]
            self._progress(_line(cells[0]))
            return cells
        cells = []
        targets = {"harvest": self._ripe, "withdraw": self._withdrawn}
        for phase in scenario.phases:
            target = targets.get(phase, block)
            may_be_open = scenario.excused or target == block
            if phase == "harvest" and may_be_open and not self._is_closed(target):
                # Liars, of this row or the row before, kept everybody from opening the next block:
                # there is nothing to request.
                continue
            try:
                cell = await self._cell(scenario, phase, target)
            except Exception as error:
                cell = self._broken_off(scenario, phase, error)
            cells.append(cell)
            self._progress(_line(cell))
        self._ripe = block if farms else self._ripe
        self._withdrawn += "withdraw" in scenario.phases
        return cells

    async def _told(self, scenario: Scenario) -> list[Cell]:
        """Run a row in which webhooks are told of what happens."""
        try:
            cell = await self._notify(scenario)
        except Exception as error:
            cell = self._broken_off(scenario, NOTIFY, error)
        self._progress(_line(cell))
        return [cell]

    async def _notify(self, scenario: Scenario) -> Cell:
        arena, notifier = self._arena, self._notifier
        if self._stopped is not None:
            raise self._stopped
        if notifier is None:
            raise ValueError("nothing notifies in this pool")
        arena.random.seed(f"{self._seed}:{scenario.name}:{NOTIFY}")
        told = await notifier.prepare(takers=scenario.takers)
        kills, started = arena.kills, time.monotonic()
        try:
            error, strikes = await _under_attack(arena, scenario, notifier.call(told))
            seconds = time.monotonic() - started
            findings = await notifier.findings(told)
        finally:
            await notifier.finish(told)
        return Cell(
            group=self._group,
            scenario=scenario.name,
            phase=NOTIFY,
            seconds=seconds,
            kills=arena.kills - kills,
            strikes=strikes,
            error=error,
            findings=findings,
        )

    async def _paid(self, scenario: Scenario) -> list[Cell]:
        """Run a row in which payouts are made; the farming before is not disturbed."""
        if self._payees is None:
            raise ValueError("nobody is paid in this pool")
        try:
            await self._earn(self._payees)
        except Exception as error:
            cells = [self._broken_off(scenario, phase, error) for phase in scenario.phases]
            self._progress(_line(cells[0]))
            return cells
        cells = []
        for phase in scenario.phases:
            try:
                cell = await self._payout(self._payees, scenario, phase)
            except Exception as error:
                cell = self._broken_off(scenario, phase, error)
            cells.append(cell)
            self._progress(_line(cell))
        return cells

    async def _earn(self, payees: Payees) -> None:
        if self._stopped is not None:
            raise self._stopped
        await payees.earn()

    async def _payout(self, payees: Payees, scenario: Scenario, phase: str) -> Cell:
        arena = self._arena
        if self._stopped is not None:
            raise self._stopped
        arena.random.seed(f"{self._seed}:{scenario.name}:{phase}")
        await arena.witness.catch_up()
        asked = payees.ask(phase, in_turn=scenario.in_turn)
        kills, started = arena.kills, time.monotonic()
        error, strikes = await _under_attack(arena, scenario, payees.call(asked))
        seconds = time.monotonic() - started
        await self._settled(scenario)
        await arena.witness.catch_up()
        return Cell(
            group=self._group,
            scenario=scenario.name,
            phase=phase,
            seconds=seconds,
            kills=arena.kills - kills,
            strikes=strikes,
            error=error,
            findings=await payees.findings(asked),
        )

    def _is_closed(self, block: int) -> bool:
        """Tell whether the chain has gone on to another block."""
        return any(index > block for _, index in self._arena.witness.view.plants)

    async def _next_block(self) -> int:
        if self._stopped is not None:
            raise self._stopped
        return await self._arena.next_block()

    def _broken_off(self, scenario: Scenario, phase: str, error: Exception) -> Cell:
        """Return a failed cell for a cell that could not be judged; later rows may tell more.

        After a pool that does not go on there are none.
        """
        if isinstance(error, PoolStoppedError) and self._stopped is None:
            self._stopped = PoolStoppedError(f"{error}, since '{scenario.name}', {phase}")
        return Cell(
            group=self._group,
            scenario=scenario.name,
            phase=phase,
            seconds=0.0,
            kills=0,
            strikes=0,
            error=_in_words(error),
            findings=Findings(asked=0, done=0),
            optional=scenario.optional,
        )

    async def _cell(self, scenario: Scenario, phase: str, block: int) -> Cell:
        arena = self._arena
        if self._stopped is not None:
            raise self._stopped
        arena.random.seed(f"{self._seed}:{scenario.name}:{phase}")
        call = await self._call(scenario, phase, block)
        question = Question(
            phase=phase,
            block=block,
            addresses=self._addresses(phase, block),
            calls_before=len(arena.witness.calls),
            fees_before=len(arena.witness.fees),
            cap=arena.cap,
            excused=scenario.excused,
        )
        self.asked.append(question)
        kills, started = arena.kills, time.monotonic()
        error, strikes = await _under_attack(arena, scenario.of(phase), call)
        seconds = time.monotonic() - started - scenario.lead
        await self._settled(scenario)
        findings = await self._findings(question, scenario)
        return Cell(
            group=self._group,
            scenario=scenario.name,
            phase=phase,
            seconds=seconds,
            kills=arena.kills - kills,
            strikes=strikes,
            error=error,
            findings=findings,
            optional=scenario.optional,
        )

    async def _findings(self, question: Question, scenario: Scenario) -> Findings:
        """Return the faults that are left when the time for records to become right is over."""
        arena, deadline = self._arena, time.monotonic() + scenario.heals
        while True:
            await arena.witness.catch_up()
            findings = await check(arena.records, arena.witness, question)
            beyond_healing = findings.overpaid or findings.over_cap
            if findings.is_clean or beyond_healing or time.monotonic() > deadline:
                return findings
            await asyncio.sleep(_LOOK)

    def _addresses(self, phase: str, block: int) -> list[str]:
        """Return the farmers of a phase: work needs a plant, harvest needs a work."""
        view = self._arena.witness.view
        known = {"work": set(view.plants), "harvest": set(view.works)}.get(phase)
        addresses = [farmer.address for farmer in self._arena.farmers]
        return [item for item in addresses if known is None or (item, block) in known]

    async def _call(
        self, scenario: Scenario, phase: str, block: int
    ) -> Coroutine[Any, Any, object]:
        """Return the call that is to be attacked; read beforehand what the call needs."""
        addresses = set(self._addresses(phase, block))
        farmers = [farmer for farmer in self._arena.farmers if farmer.address in addresses]
        stakes = {farmer: STAKE + number for number, farmer in enumerate(farmers)}
        entropy = await self._arena.entropy(block) if phase == "work" and farmers else b""
        name = f"{scenario.name} {phase} {block}"
        if not scenario.in_turn:
            return self._one_call(name, phase, block, stakes, entropy)
        return begin_in_turn(
            [
                self._one_call(f"{name} {number}", phase, block, {farmer: stake}, entropy)
                for number, (farmer, stake) in enumerate(stakes.items())
            ]
        )

    def _one_call(
        self, name: str, phase: str, block: int, stakes: Mapping[Farmer, int], entropy: bytes
    ) -> Coroutine[Any, Any, object]:
        farm, farmers = self._arena.farm, list(stakes)
        if phase == "plant":
            return farm.plant(name, block, stakes)
        if phase == "work":
            return farm.work(name, mine(farmers, block, entropy), block)
        if phase == "withdraw":
            return self._arena.world.caller.withdraw(name, farmers, block + 1)
        return farm.harvest(name, block, farmers)

    async def _settled(self, scenario: Scenario) -> None:
        """Wait until nothing is in progress any more, or until the time is over."""

        async def closed() -> bool:
            records = self._arena.records
            counts = ("count_open_operations", "count_open_transactions", "count_open_payouts")
            return not sum([await records.count(name) for name in counts])

        try:
            await wait_until(closed, "something is open", seconds=scenario.patience)
        except WaitTimeoutError:
            return  # the check finds it


async def _under_attack(
    arena: Arena, scenario: Scenario, call: Coroutine[Any, Any, object]
) -> tuple[str, int]:
    """Break, call, mend, and wait for the results.

    Return the failure of the call, in words, and how often the breakage struck during the call.
    """
    try:
        async with scenario.breakage(arena) as struck:
            await asyncio.sleep(scenario.lead)
            task = asyncio.create_task(call)
            done, _ = await asyncio.wait({task}, timeout=scenario.hold)
            strikes = await struck.so_far()
            if scenario.must_end and not done:
                task.cancel()
                return f"no result within {scenario.hold:.0f} s while it was broken", strikes
    finally:
        await arena.mend()
    done, _ = await asyncio.wait({task}, timeout=scenario.patience)
    if not done:
        task.cancel()
        return f"no result {scenario.patience:.0f} s after everything was right again", strikes
    failure = task.exception()
    return "" if failure is None else _in_words(failure), strikes


def _in_words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_in_words(one) for one in error.exceptions)
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"


def _line(cell: Cell) -> str:
    return f"{cell.verdict:<11} {cell.seconds:6.1f} s  {cell.phase:<8} {cell.scenario}"

"""The day's columns and rows."""

from dataclasses import asdict

from libs.common.names import SERVICES
from libs.kale.amounts import format_kale
from trials.day.payouts import KINDS
from trials.day.run import DayResult, Hour
from trials.report import Report, Table

_COLUMNS = (
    "hour",
    "planted",
    "worked",
    "harvested",
    "killed",
    *(f"{name} MiB" for name in SERVICES),
)


def report_of(result: DayResult, command: str) -> Report:
    """Return the report of hours and differences to the chain; `command` asked for them."""
    plan = result.plan
    hours = Table(
        columns=_COLUMNS,
        rows=[_row(hour) for hour in result.hours],
        before=f"Ledgers of {plan.ledger_seconds:g} s, blocks of {plan.block_seconds} s, "
        f"carrier {plan.carrier.value}, seed {plan.seed}.",
    )
    return Report(
        name="day",
        title="A day of blocks",
        origin=result.origin,
        commands=[command],
        parts=[hours, _payouts(result)],
        problems=result.differences,
        verdict=summary(result),
        passed=result.passed,
        content=asdict(result) | {"passed": result.passed},
    )


def _payouts(result: DayResult) -> Table:
    """Return the payouts that were made, and those that were not."""
    paid = result.paid
    given_up = ", ".join(f"{count} {reason}" for reason, count in sorted(paid.given_up.items()))
    return Table(
        title="Payouts",
        columns=(*KINDS, "KALE", "given up"),
        rows=[
            (
                *(f"{paid.made.get(kind, 0):,}" for kind in KINDS),
                format_kale(paid.stroops),
                given_up or "0",
            )
        ],
        before="Farmers by the cause of their payouts, who is paid out of their fees, and KALE "
        "that left the pool.",
    )


def summary(result: DayResult) -> str:
    """Return the result in one line."""
    plan = result.plan
    kills = sum(len(hour.killed) for hour in result.hours)
    word = "equal to the chain" if not result.differences else "NOT equal to the chain"
    return (
        f"{plan.blocks} blocks of {plan.farmers} farmers in {result.seconds / 60:.0f} minutes, "
        f"{kills} kills: {result.compared} events, {word}; {result.planted} of {result.asked} "
        f"planted, {result.unworked} unworked, {result.unharvested} unharvested"
    )


def _row(hour: Hour) -> tuple[str, ...]:
    memory = (f"{hour.peak_mib.get(name, 0.0):.0f}" for name in SERVICES)
    counts = (hour.number, hour.planted, hour.worked, hour.harvested)
    return (*map(str, counts), ", ".join(hour.killed), *memory)

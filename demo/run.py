"""The demo: a pool farms some blocks, then its records are compared with the chain."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo.screen import Screen
from devstack.farming import FarmResult, farm
from devstack.stack import StackConfig, open_stack
from libs.kale.amounts import format_kale

DIRECTORY = Path("var") / "demo"
#: Seconds of a block: planting and working take longer with more farmers.
SHORTEST_BLOCK = 20
FARMERS_PER_SECOND = 8


async def run_demo(farmers: int, blocks: int, console: Console) -> int:
    """Run the demo in var/demo; exit status 0 only when all was farmed and equals the chain."""
    config = StackConfig(
        directory=DIRECTORY,
        ledger_seconds=1.0,
        block_seconds=block_seconds(farmers),
        gateway=True,
    )
    with Screen(console) as screen:
        async with open_stack(config, screen.progress) as stack:
            screen.progress(f"the pool's page is {stack.gateway_url}")
            result = await farm(stack, farmers, blocks, screen, screen.progress)
    write_summary(DIRECTORY / "summary.json", result, farmers, blocks)
    show(console, result)
    return 0 if result.passed else 1


def block_seconds(farmers: int) -> int:
    """Return the seconds of a block of the demo."""
    return SHORTEST_BLOCK + farmers // FARMERS_PER_SECOND


def write_summary(path: Path, result: FarmResult, farmers: int, blocks: int) -> None:
    """Write the figures for programs; amounts are strings of stroops, as in the API's JSON."""
    verdict = result.verdict
    amounts = {"funded", "staked", "reward", "stake_returned", "balance"}
    rows = [
        {
            name: str(value) if name in amounts or name == "farmer_id" else value
            for name, value in asdict(farmer).items()
        }
        for farmer in verdict.farmers
    ]
    content = {
        "farmers": farmers,
        "blocks": blocks,
        "equal": verdict.equal,
        "all_farmed": result.all_farmed,
        "compared": verdict.compared,
        "differences": verdict.differences,
        "run": {name: value for name, value in asdict(result.run).items() if name != "pooler_id"},
        "rows": rows,
    }
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def show(console: Console, result: FarmResult) -> None:
    """Print the table and the verdict."""
    table = Table(
        "farmer", "staked KALE", "zeros", "gap", "reward KALE", "balance KALE", title="All blocks"
    )
    for farmer in result.verdict.farmers:
        table.add_row(
            f"{farmer.address[:6]}…{farmer.address[-4:]}",
            format_kale(farmer.staked),
            str(farmer.zeros),
            str(farmer.gap),
            format_kale(farmer.reward),
            format_kale(farmer.balance),
        )
    console.print(table)
    run_summary, verdict = result.run, result.verdict
    console.print(
        f"{run_summary.planted} planted, {run_summary.worked} worked, "
        f"{run_summary.harvested} harvested, {format_kale(run_summary.rewards)} KALE earned, "
        f"{run_summary.hashes / 1e6:.1f} million hashes",
        highlight=False,
    )
    for difference in verdict.differences:
        console.print(difference, style="red", markup=False)
    word = "equal" if verdict.equal else "NOT equal"
    console.print(
        f"{verdict.compared} events compared with the chain: {word}",
        style="bold green" if verdict.equal else "bold red",
        highlight=False,
    )
    if not result.all_farmed:
        console.print(
            f"not all of the {result.asked} pails were planted, worked and harvested",
            style="bold red",
            highlight=False,
        )

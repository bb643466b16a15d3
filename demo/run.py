"""The demo: a pool farms some blocks, then its records are compared with the chain."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.mining import miner_beside, results_of_miners, shares_settings
from demo.payouts import show_paid
from demo.screen import Screen
from demo.statement import owners_of, verified_statements
from devstack.farming import FarmResult, farm
from devstack.paying import Paid, Receivers, pay, prepare
from devstack.ports import free_ports
from devstack.stack import StackConfig, open_stack
from libs.common.log import configure_logging
from libs.common.names import GATEWAY
from libs.kale.amounts import format_kale
from pooler.shares.store.store import MinerResult

DIRECTORY = Path("var") / "demo"
#: How a part comes about.
_CAPTION = "A tenth of what a block earned is divided by proven hashes, the pooler's own included."
#: Seconds of a block: planting and working take longer with more farmers.
SHORTEST_BLOCK = 20
FARMERS_PER_SECOND = 8


async def run_demo(farmers: int, blocks: int, console: Console) -> int:
    """Run the demo in var/demo; exit status 0 only when all was farmed and equals the chain."""
    # The pooler's records of miners are told here, and what goes wrong by its events.
    configure_logging(service="pooler", level="error")
    (port,) = free_ports(1)
    receivers = Receivers.made(farmers)
    config = StackConfig(
        directory=DIRECTORY,
        ledger_seconds=1.0,
        block_seconds=block_seconds(farmers),
        gateway=True,
        environment={
            GATEWAY: {"POOLER_URLS": f"http://127.0.0.1:{port}"},
            **receivers.environment(),
        },
    )
    with Screen(console) as screen:
        async with (
            open_stack(config, screen.progress) as stack,
            miner_beside(DIRECTORY, receivers.miner.public_key, screen) as observe,
        ):
            screen.progress(f"the pool's page is {stack.gateway_url}")
            shares = shares_settings(DIRECTORY, port)
            result = await stack.watched(
                farm(
                    stack,
                    farmers,
                    blocks,
                    observe,
                    screen.progress,
                    shares=shares,
                    prepare=lambda wanted: prepare(stack, wanted, receivers, screen.progress),
                )
            )
            paid = await pay(stack, result.config, result.verdict, receivers, screen.progress)
            first = result.verdict.farmers[0].farmer_id
            owners = owners_of(first, result.run.pooler_id, receivers.miner.public_key)
            proofs = await verified_statements(stack, owners, DIRECTORY, screen.progress)
        mined = await results_of_miners(DIRECTORY)
    write_summary(DIRECTORY / "summary.json", result, mined, paid, proofs)
    show(console, result)
    show_miner(console, mined)
    show_paid(console, paid)
    show_verdict(console, result)
    show_statements(console, proofs)
    is_sound = all(proof["isSound"] for proof in proofs.values())
    return 0 if result.passed and paid.equal and is_sound else 1


def block_seconds(farmers: int) -> int:
    """Return the seconds of a block of the demo."""
    return SHORTEST_BLOCK + farmers // FARMERS_PER_SECOND


def write_summary(
    path: Path,
    result: FarmResult,
    mined: Sequence[MinerResult],
    paid: Paid,
    proofs: Mapping[str, Mapping[str, Any]],
) -> None:
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
        "farmers": result.config.farmers,
        "blocks": result.config.blocks,
        "equal": verdict.equal,
        "all_farmed": result.all_farmed,
        "compared": verdict.compared,
        "differences": verdict.differences,
        "run": {name: value for name, value in asdict(result.run).items() if name != "pooler_id"},
        "rows": rows,
        "miner": [
            {
                "block": one.block,
                "state": one.state.value,
                "shares": one.shares,
                "points": one.points,
                "own_hashes": one.own_hashes,
                "pot": str(one.pot),
                "part": None if one.amount is None else str(one.amount),
            }
            for one in mined
        ],
        "payouts": {
            **{name: str(value) for name, value in asdict(paid).items() if type(value) is int},
            "total": str(paid.total),
            "unpaid": list(paid.unpaid),
            "ledger_adds_up": paid.ledger_adds_up,
            "equal": paid.equal,
        },
        "statement": proofs["farmer"],
        "statements": proofs,
    }
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def show(console: Console, result: FarmResult) -> None:
    """Print what each farmer got, and what the pooler did."""
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
    run_summary = result.run
    console.print(
        f"{run_summary.planted} planted, {run_summary.worked} worked, "
        f"{run_summary.harvested} harvested, {format_kale(run_summary.rewards)} KALE earned, "
        f"{run_summary.hashes / 1e6:.1f} million hashes",
        highlight=False,
    )


def show_miner(console: Console, mined: Sequence[MinerResult]) -> None:
    """Print what the miner that joined by HTTP did, and its parts of the blocks."""
    columns = ("block", "shares", "points", "hashes of the pooler", "pot KALE", "part KALE")
    table = Table(*columns, title="The miner that joined by HTTP", caption=_CAPTION)
    for one in mined:
        table.add_row(
            str(one.block),
            f"{one.shares:,}",
            f"{one.points:,}",
            f"{one.own_hashes:,}",
            format_kale(one.pot),
            # As long as its block is not divided, there is none.
            one.state.value if one.amount is None else format_kale(one.amount),
        )
    console.print(table)
    console.print(
        f"the miner: {sum(one.shares for one in mined):,} shares, "
        f"{sum(one.points for one in mined):,} points, "
        f"{format_kale(sum(one.amount or 0 for one in mined))} KALE",
        highlight=False,
    )


def show_statements(console: Console, proofs: Mapping[str, Mapping[str, Any]]) -> None:
    """Print whether statements prove themselves, offline and by the chain."""
    for kind, proof in proofs.items():
        confirmed = (proof["transactions"] or {}).get("confirmed", 0)
        console.print(
            f"a {kind}'s statement of {proof['lines']} lines, {confirmed} confirmed by the chain, "
            f"root {proof['root']}: {'sound' if proof['isSound'] else 'NOT sound'} "
            f"({proof['file']})",
            style="bold green" if proof["isSound"] else "bold red",
            highlight=False,
        )
        for finding in proof["findings"]:
            console.print(f"{finding['where']} {finding['what']}", style="red", markup=False)


def show_verdict(console: Console, result: FarmResult) -> None:
    """Print whether all was farmed and equals the chain."""
    verdict = result.verdict
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

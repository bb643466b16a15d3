"""The demo's end: what everybody got, beside what the chain minted."""

from rich.console import Console
from rich.table import Table

from devstack.paying import Paid
from libs.kale.amounts import format_kale


def show_paid(console: Console, paid: Paid) -> None:
    """Print what everybody got, and whether it adds up."""
    table = Table("paid to", "KALE", title="Payouts")
    rows = {
        "farmers": paid.farmers,
        "the miner": paid.miners,
        "the pooler": paid.pooler,
        "the operator": paid.operator,
        "together": paid.total,
        "minted by the chain": paid.minted,
    }
    if paid.staked:
        rows["staked in a block that is not over"] = -paid.staked
    if paid.funded != paid.left:
        rows["of what the farmers had before"] = paid.funded - paid.left
    for name, amount in rows.items():
        table.add_row(name, format_kale(amount))
    console.print(table)
    for line in paid.unpaid:
        console.print(f"not paid: {line}", style="red", markup=False)
    if not paid.ledger_adds_up:
        console.print("the pool's ledger does not add up", style="red")
    word = "adds up" if paid.equal else "does NOT add up"
    console.print(
        f"what was paid {word} to what the chain minted",
        style="bold green" if paid.equal else "bold red",
        highlight=False,
    )

"""The columns and rows of the attacks on the gateway."""

from collections.abc import Sequence

from trials.report import Table
from trials.security.gateway.run import GatewayResult
from trials.security.gateway.ways import all_ways
from trials.security.memory import mebibytes
from trials.security.strangers import table_of


def tables_of(result: GatewayResult) -> Sequence[Table | str]:
    """Return what was tried by HTTP, and what became of it."""
    growth = result.growth
    return [
        _tokens(result),
        _smuggled(result),
        _answers(result),
        f"the gateway's MiB during them, after warm-up: {mebibytes(growth.before)} to "
        f"{mebibytes(growth.after)}",
        table_of(result.endured, title="connections that wear the gateway out"),
    ]


def _tokens(result: GatewayResult) -> Table:
    rows = [(kind, f"{found[True]}", f"{found[False]}") for kind, found in result.tally().items()]
    return Table(
        title=f"tokens by HTTP, each on {len(all_ways())} ways",
        columns=("token", "let in", "kept out"),
        rows=rows,
    )


def _smuggled(result: GatewayResult) -> Table:
    rows = [
        (
            one.case.name,
            ", ".join(map(str, one.statuses)) or "closed",
            "yes" if one.is_registered else "no",
        )
        for one in result.smuggled
    ]
    return Table(
        title="requests that may be read in two ways; the first are sound",
        columns=("what is odd", "answered", "did what it hid"),
        rows=rows,
    )


def _answers(result: GatewayResult) -> Table:
    hostile = result.hostile
    return Table(
        title=f"{hostile.requests:,} hostile requests by HTTP",
        columns=("status and reason", "answers"),
        rows=[(told or "none", f"{count:,}") for told, count in hostile.answers.most_common()],
    )

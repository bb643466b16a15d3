"""The costs of each lie, by position of the liars: time, money, records."""

from collections.abc import Sequence

from trials.faults.liars import ALONE, HONEST, THREE, split
from trials.faults.run import Cell
from trials.faults.scenarios import PHASES

COLUMNS = (
    "lie",
    "told by",
    *(f"{phase}: s lost" for phase in PHASES),
    "overpaid",
    "records wrong",
    "given up",
    "lies told",
    "",
)
_GROUPS = (ALONE, THREE, "quick-liars")


def rows(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """Return one row for each lie and position; none where nobody lied."""
    told = [cell for cell in cells if cell.group in _GROUPS]
    usual = {(cell.group, cell.phase): cell.seconds for cell in told if cell.scenario == HONEST}
    by_row: dict[tuple[str, str], list[Cell]] = {}
    for cell in told:
        by_row.setdefault((cell.group, cell.scenario), []).append(cell)
    return [
        _row(scenario, found, usual)
        for (_, scenario), found in by_row.items()
        if scenario != HONEST
    ]


def _row(
    scenario: str, cells: Sequence[Cell], usual: dict[tuple[str, str], float]
) -> tuple[str, ...]:
    seconds = {cell.phase: cell.seconds for cell in cells}
    group = cells[0].group
    return (
        *split(scenario),
        *(_lost(seconds.get(phase), usual.get((group, phase))) for phase in PHASES),
        f"{sum(cell.findings.overpaid for cell in cells):,}",
        str(sum(_wrong(cell) for cell in cells)),
        str(sum(sum(cell.findings.given_up.values()) for cell in cells)),
        str(sum(cell.strikes for cell in cells)),
        "ok" if all(cell.passed for cell in cells) else "FAILED",
    )


def _lost(seconds: float | None, usual: float | None) -> str:
    if seconds is None or usual is None:
        return "-"
    return f"{max(0.0, seconds - usual):.1f}"


def _wrong(cell: Cell) -> int:
    """Count records that differed from the chain after the time that they had to become right."""
    found = cell.findings
    return found.lost + found.doubled + found.wrong + found.left_open

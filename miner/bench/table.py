"""A measurement as tables for people."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from miner.bench.model import Figures

#: Characters of a name in a table.
_NAME_LENGTH = 16


def show(figures: Figures, console: Console) -> None:
    """Write the figures; rates are millions of hashes a second (MH/s)."""
    console.print(f"{figures.model or 'this processor'}: {figures.processors}", highlight=False)
    console.print(_rates(figures))
    console.print(_costs(figures))
    if figures.rivals:
        console.print(_rivals(figures))
    for name, reason in figures.missing.items():
        console.print(f"{name} is not here: {reason}", highlight=False, markup=False)


def _rates(figures: Figures) -> Table:
    table = _table(
        *("engine", "one: CPU", "one: wall", "all: CPU", "all: wall", "scaling", "wall"),
        title="Millions of hashes a second",
        caption=f"One thread, and all threads. Medians of {figures.rounds} samples of "
        f"{figures.seconds:g} s. CPU: by processor time; wall: by the clock.",
    )
    for one in figures.engines:
        every = one.every
        table.add_row(
            _short(one.name),
            _mega(one.one.per_cpu_second),
            _mega(one.one.per_second),
            _mega(every.per_cpu_second) if every else "",
            _mega(every.per_second) if every else "",
            _percent(one.cpu_scaling),
            _percent(one.scaling),
        )
    return table


def _costs(figures: Figures) -> Table:
    table = _table(
        *("engine", "compile", "load", "first find", "change", "schedule", "finds", "wrong"),
        title="What else it takes",
        caption="First find: from a block with 1,000 farmers on. Change of farmer, and naming the "
        "next one: processor time.",
    )
    for one in figures.engines:
        table.add_row(
            _short(one.name),
            _seconds(one.first_ready_seconds),
            _seconds(one.ready_seconds),
            _seconds(one.first_hash_seconds),
            "" if one.change_seconds is None else _seconds(one.change_seconds),
            _seconds(one.schedule_seconds),
            f"{one.finds:,}",
            str(one.wrong),
        )
    return table


def _rivals(figures: Figures) -> Table:
    engines = list(figures.rivals[0].ratios)
    table = _table(
        "program",
        "MH/s: CPU",
        *(f"{_short(name)} / program" for name in engines),
        title="Beside others, one thread",
    )
    for one in figures.rivals:
        ratios = (f"{one.ratios[name]:.2f}" for name in engines)
        table.add_row(Path(one.path).name, _mega(one.per_cpu_second), *ratios)
    return table


def _table(first: str, *columns: str, title: str, caption: str = "") -> Table:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _short(name: str) -> str:
    """Return a name of a device cut to what a table has room for."""
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _mega(rate: float) -> str:
    return f"{rate / 1e6:.2f}" if rate else ""


def _percent(part: float | None) -> str:
    return "" if part is None else f"{part:.1%}"


def _seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{max(seconds, 0.0) * 1e6:.2f} µs"

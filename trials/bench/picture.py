"""Operations per ledger over the block as an SVG that this module writes itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from trials.bench.results import CarrierRun

_COLOURS = {"plant": "#2f7d32", "work": "#1f5fa8", "harvest": "#c77700"}
_WIDTH, _ROW, _TOP, _LEFT, _RIGHT = 960, 230, 56, 64, 20
_PLOT = 150
#: Ledgers drawn between two phases, whatever time passed between them.
_GAP = 2
_STYLE = (
    "text{font-family:system-ui,sans-serif;font-size:12px;fill:#222}"
    ".title{font-size:16px;font-weight:600}.small{font-size:10px;fill:#555}"
    ".axis{stroke:#888}.grid{stroke:#ddd}"
)


@dataclass(frozen=True, kw_only=True)
class _Bar:
    """One ledger at its place in the picture."""

    #: Column from the left.
    column: int
    #: Phase that the ledger belongs to.
    phase: str
    #: Operations.
    operations: int


def draw(runs: Sequence[CarrierRun]) -> str:
    """Draw one row per run, all rows with the same scales."""
    rows = [_bars(run) for run in runs]
    columns = max(bar.column for row in rows for bar in row) + 1
    top = max(1, *(bar.operations for row in rows for bar in row))
    height = _TOP + _ROW * len(runs)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text class="title" x="{_LEFT}" y="24">Operations per ledger over the block</text>',
        *_legend(),
    ]
    for number, (run, bars) in enumerate(zip(runs, rows, strict=True)):
        parts += _row(run, bars, y=_TOP + number * _ROW, columns=columns, top=top)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(run: CarrierRun) -> list[_Bar]:
    bars: list[_Bar] = []
    column = 0
    for phase in run.phases:
        for ledger in phase.ledgers:
            bars.append(_Bar(column=column, phase=phase.name, operations=ledger.operations))
            column += 1
        column += _GAP
    return bars


def _legend() -> list[str]:
    parts = []
    for number, (name, colour) in enumerate(_COLOURS.items()):
        x = _WIDTH - _RIGHT - 90 * (len(_COLOURS) - number)
        parts.append(f'<rect x="{x}" y="14" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="24">{name}</text>')
    return parts


def _row(run: CarrierRun, bars: Sequence[_Bar], *, y: int, columns: int, top: int) -> list[str]:
    base = y + 30 + _PLOT
    step = (_WIDTH - _LEFT - _RIGHT) / columns
    parts = [f'<text x="{_LEFT}" y="{y + 16}">{escape(run.title)}</text>']
    for part in (0.5, 1.0):
        line = base - _PLOT * part
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{line}" y2="{line}"/>'
        )
        parts.append(
            f'<text class="small" x="{_LEFT - 6}" y="{line + 4}" text-anchor="end">'
            f"{round(top * part)}</text>"
        )
    for bar in bars:
        parts += _rectangle(bar, base=base, step=step, top=top)
    parts.append(
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
    )
    return [*parts, *_captions(run, base=base, step=step)]


def _rectangle(bar: _Bar, *, base: float, step: float, top: int) -> list[str]:
    height = _PLOT * bar.operations / top
    x, width = _LEFT + bar.column * step, step * 0.84
    middle = x + width / 2
    return [
        f'<rect x="{x:.1f}" y="{base - height:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'fill="{_COLOURS[bar.phase]}"/>',
        f'<text class="small" x="{middle:.1f}" y="{base - height - 3:.1f}" text-anchor="middle">'
        f"{bar.operations}</text>",
    ]


def _captions(run: CarrierRun, *, base: float, step: float) -> list[str]:
    parts, column = [], 0
    for phase in run.phases:
        x = _LEFT + column * step
        text = f"{phase.name}: {phase.ledgers_used} ledgers, {phase.fewest.ledgers} at best"
        parts.append(f'<text class="small" x="{x:.1f}" y="{base + 15}">{text}</text>')
        column += len(phase.ledgers) + _GAP
    return parts

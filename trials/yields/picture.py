"""Yield against works that come too late, as an SVG that this module writes itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

from trials.yields.plans import Outcome
from trials.yields.run import BOUND, WorldResult

_WIDTH, _ROW, _TOP, _LEFT, _RIGHT = 960, 300, 56, 64, 20
_PLOT = 220
#: Shares of works that come too late, from the left end of the axis to the right one, as powers of
#: ten; what is less is drawn at the left end.
_LEAST, _MOST = -9, -2
#: Yields, as parts of the best within the bound, at the bottom and the top of the axis.
_LOW, _HIGH = 0.7, 1.15
_STYLE = (
    "text{font-family:system-ui,sans-serif;font-size:12px;fill:#222}"
    ".title{font-size:16px;font-weight:600}.small{font-size:10px;fill:#555}"
    ".axis{stroke:#888}.grid{stroke:#ddd}.bound{stroke:#b3261e;stroke-dasharray:4 3}"
)


@dataclass(frozen=True, kw_only=True)
class _Series:
    """Schedules of one kind."""

    #: What they are.
    name: str
    #: Colour of their points.
    colour: str
    #: Their outcomes.
    outcomes: Sequence[Outcome]


def draw(worlds: Sequence[WorldResult]) -> str:
    """Draw one plot for each world, all with the same scales."""
    height = _TOP + _ROW * len(worlds)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text class="title" x="{_LEFT}" y="24">Yield against works that come too late</text>',
        *_legend(_series(worlds[0])),
    ]
    for number, world in enumerate(worlds):
        parts += _plot(world, y=_TOP + number * _ROW)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _series(world: WorldResult) -> list[_Series]:
    fixed = [one for one in world.schedules if one.plan.known is None]
    known = [one for one in world.schedules if one.plan.known is not None]
    return [
        _Series(name="a fixed time before the end", colour="#888888", outcomes=fixed),
        _Series(name="late, true chances known", colour="#c77700", outcomes=known),
        _Series(name="late", colour="#1f5fa8", outcomes=world.by_risk),
        _Series(name="default", colour="#2f7d32", outcomes=[world.default]),
    ]


def _legend(series: Sequence[_Series]) -> Iterator[str]:
    x = float(_WIDTH - _RIGHT)
    for one in reversed(series):
        x -= 30 + 6.5 * len(one.name)
        yield f'<circle cx="{x:.0f}" cy="40" r="5" fill="{one.colour}"/>'
        yield f'<text x="{x + 10:.0f}" y="44">{escape(one.name)}</text>'


def _plot(world: WorldResult, *, y: int) -> Iterator[str]:
    base, best = y + 30 + _PLOT, world.best.kale_each
    yield f'<text x="{_LEFT}" y="{y + 20}">{escape(world.world.name)}</text>'
    for part in (0.7, 0.8, 0.9, 1.0, 1.1):
        line = base - _height(part)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{line}" y2="{line}"/>'
        yield (
            f'<text class="small" x="{_LEFT - 6}" y="{line + 4}" text-anchor="end">{part:g}</text>'
        )
    for power in range(_LEAST, _MOST + 1):
        yield (
            f'<text class="small" x="{_across(10.0**power):.1f}" y="{base + 15}" '
            f'text-anchor="middle">1e{power}</text>'
        )
    bound = _across(BOUND)
    yield f'<line class="bound" x1="{bound:.1f}" x2="{bound:.1f}" y1="{y + 30}" y2="{base}"/>'
    yield f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
    for one in _series(world):
        for outcome in one.outcomes:
            part = outcome.kale_each / best
            if _LOW <= part <= _HIGH:
                yield (
                    f'<circle cx="{_across(outcome.lost_share):.1f}" '
                    f'cy="{base - _height(part):.1f}" r="5" fill="{one.colour}">'
                    f"<title>{escape(outcome.plan.name)}: {part:.3f}</title></circle>"
                )


def _across(share: float) -> float:
    power = min(_MOST, max(_LEAST, log10(share) if share > 0 else _LEAST))
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (power - _LEAST) / (_MOST - _LEAST)


def _height(part: float) -> float:
    return round(_PLOT * (part - _LOW) / (_HIGH - _LOW), 1)

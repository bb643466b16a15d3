"""Live progress of the demo: a table on a terminal, lines elsewhere."""

from collections import defaultdict
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from libs.kale.amounts import format_kale
from pooler.events import Event, Harvested, Mining, Planted, Swept, Worked
from pooler.report import TextReport, describe

_COLUMNS = ("block", "planted", "staked KALE", "mining", "worked", "harvested", "reward KALE")
#: Why there is one row more than blocks are farmed.
_CAPTION = "A block is paid once somebody plants in the next one: at the end, one farmer does."


class Screen:
    """An observer of a pooler; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._blocks: dict[int, dict[str, str]] = defaultdict(dict)
        self._status = Text("")
        self._report = TextReport()
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render)

    def __enter__(self) -> "Screen":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def progress(self, text: str) -> None:
        """Show what is being done."""
        self._status = Text(text, style="dim")
        if not self._console.is_terminal:
            self._console.print(text, markup=False, highlight=False)

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if not self._console.is_terminal:
            self._report(event)
            return
        if isinstance(event, Planted | Worked | Harvested):
            self._batch(event)
        elif isinstance(event, Mining):
            self._mining(event)
        elif isinstance(event, Swept):
            for block in event.summary.blocks:
                self._batch(Harvested(summary=block))
        else:
            self._status = Text(describe(event), style="yellow")

    def _batch(self, event: Planted | Worked | Harvested) -> None:
        summary = event.summary
        row = self._blocks[summary.block_index]
        done = f"{summary.succeeded} of {summary.requested}"
        if isinstance(event, Planted):
            row |= {"planted": done, "staked KALE": format_kale(summary.amount)}
        elif isinstance(event, Worked):
            row["worked"] = done
        elif summary.requested:
            row |= {"harvested": done, "reward KALE": format_kale(summary.amount)}

    def _mining(self, event: Mining) -> None:
        best = max(event.zeros, default=0)
        self._blocks[event.block_index]["mining"] = (
            f"{event.seconds:.0f} of {event.budget:.0f} s, {event.hashes / 1e6:.1f} MH, "
            f"best {best} zeros"
        )

    def _render(self) -> Group:
        table = Table(*_COLUMNS, title="The pool farms", caption=_CAPTION)
        for index, row in sorted(self._blocks.items()):
            table.add_row(str(index), *(row.get(column, "") for column in _COLUMNS[1:]))
        return Group(table, self._status)

"""kalepool watch: the running block, live."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any
from uuid import UUID

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.arguments import Count, Run
from cli.errors import CommandLineError
from cli.session import Session
from cli.settings import Chosen
from cli.show import note
from client import (
    Block,
    BlockCounts,
    ChainView,
    FarmerId,
    Head,
    Limits,
    PoolClient,
    PoolerId,
    PoolError,
)
from libs.common.grpc.identity import uris_of
from libs.kale.amounts import format_kale

#: A look at the counts that fails is followed by the next one: no call is repeated for long.
_LIMITS = Limits(quick_seconds=5.0, patience_seconds=0.0)
#: Seconds between two looks at who has planted and worked: a caller has 100 calls a minute of each
#: method.
_LOOK = 3.0
#: Seconds until the next look whether there is a block at all.
_SOON = 0.2
#: Seconds between two notes that a service is away.
_NOTE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A block at a moment."""

    #: The block; None when none was ever opened.
    block: Block | None
    #: Where the chain is.
    head: Head
    #: The chain's clock, unix seconds.
    now: float
    #: None when nobody has looked yet.
    counts: BlockCounts | None

    @property
    def seconds_left(self) -> int:
        """Return the seconds until the next block can be opened."""
        return 0 if self.block is None else max(0, round(self.block.closes_at - self.now))

    def json(self) -> dict[str, Any]:
        """Return it for programs: amounts are text in stroops, as in protobuf's JSON."""
        block, counts = self.block, self.counts
        value: dict[str, Any] = {
            "ledger": self.head.ledger,
            "plantableBlock": self.head.plantable_block,
            "paused": self.head.paused,
        }
        if block is not None:
            value |= {
                "blockIndex": block.index,
                "secondsLeft": self.seconds_left,
                "stakedTotal": str(block.staked_total),
                "minZeros": block.min_zeros,
                "maxZeros": block.max_zeros,
            }
        if counts is not None:
            zeros = {str(zeros): number for zeros, number in sorted(counts.zeros.items())}
            value |= {"planted": counts.planted, "worked": counts.worked, "zeros": zeros}
        return value


class Follower:
    """Follows the chain, and who has planted and worked in its block."""

    def __init__(self, client: PoolClient, pooler: PoolerId | None) -> None:
        """Take the pooler whose farmers are counted; None: all of the pool."""
        self._client = client
        self._pooler = pooler
        self._view: ChainView | None = None
        self._seen_at = 0.0
        #: The block's index, and what was counted in it last.
        self._counts: tuple[int, BlockCounts] | None = None
        #: Set when there is something new to show.
        self.changed = asyncio.Event()

    def shown(self) -> Shown | None:
        """Return what to show now; None until the chain was seen."""
        if self._view is None:
            return None
        block, head = self._view.block, self._view.head
        index = None if block is None else block.index
        known = self._counts is not None and self._counts[0] == index
        return Shown(
            block=block,
            head=head,
            now=head.close_time + monotonic() - self._seen_at,
            counts=self._counts[1] if known and self._counts is not None else None,
        )

    async def follow(self) -> None:
        """Follow the stream of blocks, whatever happens to it."""
        while True:
            try:
                async for view in self._client.watch_blocks():
                    self._take(view)
            except PoolError as error:
                if error.reason != "HISTORY_GONE":
                    raise

    async def count(self) -> None:
        """Look again and again who has planted and worked in the current block."""
        while True:
            block = None if self._view is None else self._view.block
            if block is None:
                await asyncio.sleep(_SOON)
                continue
            with suppress(PoolError):  # the next look comes soon
                self._counts = (block.index, await self._look(block.index))
                self.changed.set()
            await asyncio.sleep(_LOOK)

    async def _look(self, index: int) -> BlockCounts:
        if self._pooler is None:
            return await self._client.block_counts(index)
        planted = len([one async for one in self._client.planted(self._pooler, index)])
        best = dict[FarmerId, int]()
        async for work in self._client.worked(self._pooler, index):
            best[work.farmer_id] = max(work.zeros, best.get(work.farmer_id, 0))
        return BlockCounts(planted=planted, zeros=Counter(best.values()))

    def _take(self, view: ChainView) -> None:
        if self._view is None or view.head.ledger > self._view.head.ledger:
            self._seen_at = monotonic()
        self._view = view
        self.changed.set()


async def watch(*, pooler: str = "", blocks: Count = 0, session: Run) -> None:
    """Show the running block live: its clock, who has planted and worked, the zeros so far.

    On a terminal it stays in place; elsewhere each change is a line, or a JSON object with --json.
    All farmers of the pool are counted; a pooler's certificate counts its own.

    Parameters
    ----------
    pooler
        Count only this pooler's farmers.
    blocks
        End when so many blocks are over; 0 means at Ctrl-C.
    """
    client = PoolClient(session.connections, limits=_LIMITS, notice=_Away())
    follower = Follower(client, _pooler(session, pooler))
    following = asyncio.create_task(follower.follow())
    counting = asyncio.create_task(follower.count())
    screen = _screen(session)
    showing = asyncio.create_task(_show(follower, screen, blocks))
    running = {following, counting, showing}
    try:
        while showing in running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        screen.close()
        for task in (following, counting, showing):
            task.cancel()
        await asyncio.gather(following, counting, showing, return_exceptions=True)


async def _show(follower: Follower, screen: "Lines | Terminal", blocks: int) -> None:
    """Show every change, until so many blocks are over."""
    first: int | None = None
    while True:
        await follower.changed.wait()
        follower.changed.clear()
        shown = follower.shown()
        if shown is None:
            continue
        screen.show(shown)
        if shown.block is not None:
            first = shown.block.index if first is None else first
            if blocks and shown.block.index >= first + blocks:
                return


def _screen(session: Session) -> "Lines | Terminal":
    if session.options.json or not sys.stdout.isatty():
        return Lines(as_json=session.options.json, write=session.output.json_value)
    return Terminal(Console())


class Lines:
    """Shows each change as a line; a clock that merely went on is no change."""

    def __init__(self, *, as_json: bool, write: Callable[[object], None]) -> None:
        """Take `write`, which writes a value as a line of JSON."""
        self._as_json = as_json
        self._write = write
        self._last: Shown | None = None

    def show(self, shown: Shown) -> None:
        """Write a line, unless it says what the last one said."""
        told = replace(shown, now=0.0, head=replace(shown.head, ledger=0, close_time=0.0))
        if told == self._last:
            return
        self._last = told
        if self._as_json:
            self._write(shown.json())
            return
        sys.stdout.write(line(shown) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Do nothing: lines stay."""


class Terminal:
    """Shows the block in place, with a clock that runs."""

    def __init__(self, console: Console) -> None:
        self._shown: Shown | None = None
        self._at = 0.0
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)
        self._live.start()

    def show(self, shown: Shown) -> None:
        """Take what is shown from now on."""
        self._shown, self._at = shown, monotonic()

    def close(self) -> None:
        """Leave what was shown last on the screen."""
        self._live.stop()

    def _render(self) -> RenderableType:
        if self._shown is None:
            return Text("waiting for the chain")
        return picture(replace(self._shown, now=self._shown.now + monotonic() - self._at))


def line(shown: Shown) -> str:
    """Describe the block in one line."""
    return "; ".join(part for part in (_head_line(shown), *_facts(shown).values()) if part)


def picture(shown: Shown) -> RenderableType:
    """Return the block for a terminal: a clock, and a line for each kind of figure."""
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("block", style="bold"), Text(_head_line(shown)))
    if shown.block is not None:
        whole = max(1.0, shown.block.closes_at - shown.block.opened_at)
        table.add_row("", ProgressBar(total=whole, completed=whole - shown.seconds_left, width=50))
    for name, text in _facts(shown).items():
        table.add_row(Text(name, style="bold"), Text(text))
    return table


def _head_line(shown: Shown) -> str:
    block, head = shown.block, shown.head
    if block is None:
        return f"no block yet: the first plant opens one, ledger {head.ledger}"
    minutes, seconds = divmod(shown.seconds_left, 60)
    opens = f"its time is over: the next plant opens block {block.index + 1}"
    left = f"{minutes}:{seconds:02} left" if shown.seconds_left else opens
    return f"block {block.index}, {left}, ledger {head.ledger}"


def _facts(shown: Shown) -> dict[str, str]:
    facts: dict[str, str] = {}
    block, counts = shown.block, shown.counts
    if counts is not None:
        facts["planted"] = _farmers(counts.planted, "have planted")
        facts["worked"] = _farmers(counts.worked, "have worked")
        if counts.zeros:
            facts["zeros"] = f"best work of each: {_histogram(counts.zeros)}"
    if block is not None:
        facts["staked"] = f"{format_kale(block.staked_total)} KALE staked and not yet worked"
        facts["measured"] = (
            f"zeros are measured from {block.min_zeros} to {block.max_zeros}: "
            f"more than {block.max_zeros} earn no more"
        )
    if shown.head.paused:
        facts["paused"] = "planting is paused by the farm"
    return facts


def _histogram(zeros: Mapping[int, int]) -> str:
    return ", ".join(
        f"{count} zeros by {number}" for count, number in sorted(zeros.items(), reverse=True)
    )


def _farmers(number: int, what: str) -> str:
    if number == 1:
        return f"1 farmer {what.replace('have', 'has')}"
    return f"{number} farmers {what}"


class _Away:
    """Tells of calls that are repeated, now and then."""

    def __init__(self) -> None:
        self._told_at = float("-inf")

    def __call__(self, method: str, error: PoolError, delay: float) -> None:
        if monotonic() - self._told_at >= _NOTE_SECONDS:
            self._told_at = monotonic()
            note(f"{method}: {error.message}; again in {delay:.0f} s")


def _pooler(session: Session, named: str) -> PoolerId | None:
    """Return the pooler whose farmers to count; None for all that there are."""
    own = named or _own_pooler(session.options.connection)
    try:
        return PoolerId(UUID(own)) if own else None
    except ValueError as error:
        raise CommandLineError("--pooler: must be the id (UUID) of a pooler") from error


def _own_pooler(connection: Chosen) -> str:
    """Return the id of the pooler that calls, as its certificate names it; empty for others."""
    certificate = connection.tls[0]
    if connection.is_plaintext or certificate is None:
        return ""
    uris = uris_of(certificate.read_bytes())
    kind, _, name = uris[0].rpartition("/") if len(uris) == 1 else ("", "", "")
    return name if kind.endswith("/pooler") else ""

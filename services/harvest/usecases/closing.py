"""The use case of closings: a day's balances are kept, its tree is made, its root published."""

import asyncio
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from libs.common.clock import micros_of
from libs.common.failpoints import failpoint
from libs.common.log import get_logger, get_security_logger
from libs.kale.statements.lines import Line, history_after
from libs.kale.statements.roots import NO_RECORD, Root, day_text
from libs.kale.statements.sums_tree import Claim, Tree
from services.harvest.domain.errors import NothingBookedError
from services.harvest.domain.statements import Closing, OpenLeaf, PublishedRoot, Written
from services.harvest.store.statements import StatementStore

log = get_logger(__name__)
security = get_security_logger()

#: Lines, and owners, that are read at once.
_LINES, _OWNERS = 1000, 100
#: Balances below zero that the log tells one by one.
_TOLD = 20


class Roots(Protocol):
    """Writes roots to the chain."""

    async def account(self) -> str:
        """Return the address of the account whose data entry holds the newest root."""
        ...

    async def publish(self, day: int, record: bytes) -> Written | None:
        """Have a day's root written; return None until a ledger has it."""
        ...


class Closer:
    """Closes days; one per process, and any number of processes.

    Each step is done once, whoever does it, and is found done by who begins again: the closing, the
    history of each owner, the root, and what wrote it to the chain.
    """

    def __init__(self, *, store: StatementStore, roots: Roots, lines: int = _LINES) -> None:
        """Read so many `lines` of an owner at once."""
        self._store = store
        self._roots = roots
        self._page = lines
        #: Owners whose balances were below zero when a tree was made last.
        self._refused: Sequence[UUID] = ()

    @property
    def warnings(self) -> list[str]:
        """Return in words what is in no tree."""
        count = len(self._refused)
        return [f"{count} balances are below zero, and in no tree: kalepool ledger check"] * bool(
            count
        )

    async def step(self, delay: float) -> None:
        """Close the day that is over, make the roots that are missing, publish the newest."""
        due = (await self._store.state()).due(delay)
        if due is not None:
            await self._close(due)
        await self._make_roots()
        await self._publish()

    async def close_now(self) -> PublishedRoot:
        """Close the running day, unless that was done; return its root.

        Raises NothingBookedError.
        """
        state = await self._store.state()
        if state.has_past is None:
            raise NothingBookedError("nothing was booked so far")
        if state.closed != state.today:
            await self._close(state.today)
        await self._make_roots()
        await self._publish()
        (newest,) = await self._store.roots(limit=1)
        return newest

    async def _close(self, day: int) -> None:
        if await self._store.close(day):
            await failpoint("harvest.closing.closed")
            log.info("day closed", day=day_text(day))

    async def _make_roots(self) -> None:
        for closing in await self._store.without_root():
            await self._work_out_histories(closing)
            await failpoint("harvest.closing.histories")
            await self._make_root(closing)
            await failpoint("harvest.closing.rooted")

    async def _work_out_histories(self, closing: Closing) -> None:
        while leaves := await self._store.open_leaves(closing.day, limit=_OWNERS):
            for leaf in leaves:
                history = await self._history(leaf, closing)
                await self._store.fill_history(closing.day, leaf.owner, history)
                await failpoint("harvest.closing.history")

    async def _history(self, leaf: OpenLeaf, closing: Closing) -> bytes:
        """Return what an owner's lines come to at a closing."""
        digests: list[bytes] = []
        after = leaf.after_journal
        while True:
            lines = await self._store.lines(
                leaf.owner,
                is_farmer=leaf.is_farmer,
                after=after,
                until=closing.last_journal,
                limit=self._page,
            )
            # Hundreds of lines for each of a thousand farmers: others have their turn meanwhile.
            digests += await asyncio.to_thread(_digests, lines)
            if len(lines) < self._page:
                return history_after(leaf.previous, closing.day, digests)
            after = lines[-1].number

    async def _make_root(self, closing: Closing) -> None:
        claims = await self._store.claims(closing.day)
        sound = [claim for claim in claims if claim.total >= 0]
        self._tell_refused([claim for claim in claims if claim.total < 0], closing.day)
        tree = await asyncio.to_thread(Tree, sound)
        before = await self._store.roots(last=closing.day - 1, limit=1)
        root = Root(
            day=closing.day,
            closed_at=micros_of(closing.closed_at),
            last_journal=closing.last_journal,
            leaves=len(tree),
            refused=len(claims) - len(sound),
            node=tree.root,
            account=await self._roots.account(),
            previous=before[0].root.record if before else NO_RECORD,
        )
        await self._store.insert_root(root)
        log.info("root made", day=day_text(root.day), leaves=root.leaves, record=root.record.hex())

    def _tell_refused(self, refused: Sequence[Claim], day: int) -> None:
        """Tell whose balances are below zero: a tree with them could hide what is owed."""
        self._refused = [claim.owner for claim in refused]
        for claim in refused[:_TOLD]:
            security.critical(
                "balance below zero: no leaf",
                day=day_text(day),
                owner=str(claim.owner),
                stroops=claim.total,
                balances=dict(claim.balances),
            )

    async def _publish(self) -> None:
        """Have the newest root written to the chain, unless it was: it stands for all before it."""
        newest = await self._store.roots(limit=1)
        if not newest or newest[0].ledger:
            return
        root = newest[0].root
        written = await self._roots.publish(root.day, root.record)
        await failpoint("harvest.closing.published")
        if written is not None:
            await self._store.note_published(root.day, written)
            log.info("root published", day=day_text(root.day), ledger=written.ledger)


def _digests(lines: Sequence[Line]) -> list[bytes]:
    return [bytes.fromhex(line.sealed[1]) for line in lines]

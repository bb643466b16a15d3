"""The look at the rows that wallet acts on: which of them wallet did not write.

What is signed for is checked anyway, at that moment. This look finds the rest beforehand, brings
rows under a new key, and is what an operator sees before signing rows that nobody has signed yet.
Each look takes all that is live, and a part of the past: it costs the same after years, and the
whole past is looked at in rounds.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from libs.common.clock import Clock
from libs.common.log import get_security_logger
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import RowChangedError
from services.wallet.domain.orders import Name, SeenRow
from services.wallet.engine.order_rounds import Passage, Round
from services.wallet.engine.order_tally import MOST_SHOWN, Tally
from services.wallet.engine.row_keys import RowKeys
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store.custody import CustodyStore
from services.wallet.store.order_rows import (
    PASTS,
    OrderRow,
    OrderRowStore,
    Walk,
    all_walks,
    live_walks,
)

security = get_security_logger()

#: Rows that are looked at between two turns of the event loop.
_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Share:
    """How much of the past one look takes."""

    #: Rows of the past of each table.
    past: int = 2_000
    #: Rows of each walk while rows are brought under a new key.
    brought: int = 10_000
    #: Forged rows that are kept one by one.
    forged: int = MOST_SHOWN


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of one look."""

    #: When it ended; None before the first.
    at: datetime | None = None
    #: Rows that were looked at, by table.
    rows: dict[str, int] = field(default_factory=dict)
    #: Rows that wallet did not write, as far as they are shown: those that this look met, and those
    #: of earlier looks that are still so.
    forged: tuple[OrderRow, ...] = ()
    #: Their number.
    count: int = 0


class OrderCheck:
    """The look at orders, again and again."""

    def __init__(
        self,
        store: OrderRowStore,
        custody: CustodyStore,
        keys: RowKeys,
        macs: RowMacs,
        clock: Clock,
        *,
        share: Share | None = None,
    ) -> None:
        self._store = store
        self._custody = custody
        self._keys = keys
        self._macs = macs
        self._clock = clock
        self._share = share or Share()
        #: The last look.
        self.last = Checked()
        #: The forged rows that are known, by name.
        self._forged: dict[Name, OrderRow] = {}
        self._rounds: dict[str, Round] = {}
        self._passage: Passage | None = None

    @property
    def is_clean(self) -> bool:
        """Tell whether no forged row is known."""
        return self.last.count == 0

    @property
    def is_bringing_over(self) -> bool:
        """Tell whether rows are being brought under a new key: looks should not wait for long."""
        return self._passage is not None and not self._passage.is_over

    @property
    def warnings(self) -> Sequence[str]:
        """Return in words what a person has to look at."""
        if not self._macs.is_ready:
            return ["no row has an authenticator yet, and nothing is signed: kalepool orders check"]
        if self.is_clean:
            return []
        return [f"rows that wallet did not write: {self.last.count} (kalepool orders check)"]

    async def step(self) -> Checked:
        """Look at all that is live, and at the next part of the past.

        Rows under an older key come under the current one. A forged row stays known until a later
        look finds it mended, or gone. Of the ends of operations, which are many, only those are
        looked at that were found on the chain, or have an older key: the others are judged when
        they are told.
        """
        # What is found stays known, also when the database goes away before this look ends.
        self._forged = await self._still_there()
        tally = Tally(most=self._share.forged, forged=self._forged)
        passage = self._passage = self._passage_now()
        for walk in live_walks():
            await self._advance(walk, tally, most=None)
        if passage is not None:
            await self._bring_over(passage, tally)
        beyond = tally.beyond
        if not self.is_bringing_over:
            await self._look_back(tally)
        beyond += sum(one.most_beyond for one in self._rounds.values())
        self.last = self._result(tally, beyond)
        return self.last

    async def look(self) -> Checked:
        """Look at all rows once and change nothing; before the keys are there, all are forged."""
        tally = await self._look_at_all()
        return self._result(tally, tally.beyond)

    async def sign(self, seen: Collection[SeenRow] | None, *, actor: str) -> int:
        """Sign rows that an operator has looked at (None: all); return how many were signed.

        The first key is made where there is none. Raises RowChangedError, and signs none of them,
        when one of them says another thing by now.
        """
        if not self._macs.is_ready:
            await self._keys.make_first()
            await self._keys.open()
        if seen is None:
            signed = 0
            async for page in self._pages():
                signed += await self._sign(page, actor)
        else:
            signed = await self._sign(await self._as_seen(seen), actor)
        if signed:
            await self._custody.record(
                Act(actor=actor, action=Action.SIGN_ROWS, subject="rows", details=f"{signed} rows")
            )
        tally = await self._look_at_all()
        self._forged = tally.forged
        for one in self._rounds.values():
            one.forget()
        self.last = self._result(tally, tally.beyond)
        return signed

    async def _as_seen(self, seen: Collection[SeenRow]) -> list[OrderRow]:
        """Return the rows that wallet did not write of those that an operator has looked at."""
        digests = {one.name: one.digest for one in seen}
        rows = [
            row
            for row in await self._store.rows(digests)
            if row.name in digests and not self._is_genuine(row)
        ]
        for row in rows:
            if row.seen.digest != digests[row.name]:
                raise RowChangedError(
                    f"{row.name} says another thing than when you looked: look again, then sign",
                    metadata={"name": str(row.seen)},
                )
        return rows

    def _result(self, tally: Tally, beyond: int) -> Checked:
        return Checked(
            at=self._clock.now(),
            rows=tally.rows,
            forged=tuple(tally.forged.values()),
            count=len(tally.forged) + beyond,
        )

    # Walking ----------------------------------------------------------------------------------

    async def _look_at_all(self) -> Tally:
        """Walk through all rows, and judge each."""
        tally = Tally()
        async for page in self._pages():
            for row in page:
                tally.rows[row.name.table] += 1
                tally.take(row, is_genuine=self._is_genuine(row))
        return tally

    async def _pages(self) -> AsyncIterator[Sequence[OrderRow]]:
        """Yield all rows, by pages of one table."""
        for start in all_walks():
            walk: Walk | None = start
            while walk is not None:
                page, walk = await self._store.page(walk, limit=_PAGE)
                yield page

    async def _still_there(self) -> dict[Name, OrderRow]:
        """Return the forged rows that are known as they are now, without those that are mended."""
        names, found = list(self._forged), list[OrderRow]()
        for first in range(0, len(names), _PAGE):
            found += await self._store.rows(names[first : first + _PAGE])
        return {row.name: row for row in found if not self._is_genuine(row)}

    async def _advance(self, walk: Walk, tally: Tally, *, most: int | None) -> Walk | None:
        """Judge the next rows of a walk (None: all), and return the walk from there on."""
        left, after = most, walk
        while left is None or left > 0:
            limit = _PAGE if left is None else min(_PAGE, left)
            page, following = await self._store.page(after, limit=limit)
            await self._take(tally.unseen(page), tally)
            if following is None:
                return None
            after, left = following, None if left is None else left - limit
        return after

    async def _take(self, page: Sequence[OrderRow], tally: Tally) -> None:
        """Judge rows of one table, and bring those under an older key under the current one."""
        outdated = list[OrderRow]()
        for row in page:
            is_genuine = self._is_genuine(row)
            if tally.take(row, is_genuine=is_genuine):
                security.critical("row not written by wallet", row=str(row.name), **row.columns)
            if is_genuine and self._is_outdated(row):
                outdated.append(row)
        signed = await self._store.sign([(row, self._macs.mac(row.data)) for row in outdated])
        if signed < len(outdated) and self._passage is not None:
            self._passage.is_whole = False

    async def _look_back(self, tally: Tally) -> None:
        """Go on in the past of each table; where it ends, go on with its beginning."""
        for table, start in PASTS.items():
            if table not in self._rounds:
                self._rounds[table] = Round(walk=await self._store.anywhere(table))
            one, first = self._rounds[table], tally.beyond
            before = first
            # Where the last look ended with the past, this one begins with it.
            left, is_anew = self._share.past, one.walk == start
            while left > 0:
                limit = min(_PAGE, left)
                page, following = await self._store.page(one.walk, limit=limit)
                await self._take(tally.unseen(page), tally)
                one.beyond += tally.beyond - before
                before, left = tally.beyond, left - limit
                if following is not None:
                    one.walk = following
                    continue
                one.turn(start)
                if is_anew:
                    # The past is short, and all of it was met: no row of it was counted twice.
                    one.beyond_before = tally.beyond - first
                    break
                is_anew = True

    # Bringing over ----------------------------------------------------------------------------

    def _passage_now(self) -> Passage | None:
        """Return the walk by which rows come under the current key; None while all are."""
        if not self._macs.has_older:
            return None
        passage, is_last = self._passage, self._keys.writes_alone
        # One that is over and proves nothing is followed by another one, once that can be a proof.
        if (
            passage is not None
            and passage.key == self._macs.current
            and (not passage.is_over or passage.is_proof or not is_last)
        ):
            return passage
        return Passage(key=self._macs.current, is_last=is_last, walks=list(all_walks()))

    async def _bring_over(self, passage: Passage, tally: Tally) -> None:
        """Bring further rows under the current key, and give up older ones after the last row.

        A walk through all rows that began when no process wrote under an older key any more, and
        that left each row under the current one, proves that none is under an older one: rows that
        were written since then are under the current one, too.
        """
        walks = [
            await self._advance(walk, tally, most=self._share.brought) for walk in passage.walks
        ]
        passage.walks = [walk for walk in walks if walk is not None]
        if passage.is_proof:
            await self._keys.give_up_older()

    # Signing ----------------------------------------------------------------------------------

    async def _sign(self, rows: Sequence[OrderRow], actor: str) -> int:
        """Sign those of these rows that wallet did not write; return how many were signed.

        A row that wallet cannot have written stays unsigned.
        """
        signed = 0
        chosen = [row for row in rows if row.is_readable and not self._is_genuine(row)]
        for table in {row.name.table for row in chosen}:
            signed += await self._store.sign(
                [(row, self._macs.mac(row.data)) for row in chosen if row.name.table == table]
            )
        for row in chosen:
            security.warning("row signed", row=str(row.name), actor=actor, **row.columns)
        return signed

    # Judging ----------------------------------------------------------------------------------

    def _is_genuine(self, row: OrderRow) -> bool:
        is_judged = row.is_readable and self._macs.is_ready
        return is_judged and self._macs.is_genuine(row.data, row.mac)

    def _is_outdated(self, row: OrderRow) -> bool:
        return row.mac is not None and self._macs.number_of(row.mac) < self._macs.current

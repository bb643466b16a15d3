"""The look at all rows that wallet acts on: which of them wallet did not write.

What is signed for is checked anyway, at that moment. This look finds the rest beforehand, brings
rows under a new key, and is what an operator sees before signing rows that nobody has signed yet.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from libs.common.clock import Clock
from libs.common.log import get_security_logger
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.orders import Name
from services.wallet.engine.row_keys import RowKeys
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store.custody import CustodyStore
from services.wallet.store.order_rows import TABLES, Ends, OrderRow, OrderRowStore

security = get_security_logger()

#: Rows that are looked at between two turns of the event loop.
_PAGE = 500
#: Forged rows that are kept to be shown.
MOST_SHOWN = 1000


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of one look."""

    #: When it ended; None before the first.
    at: datetime | None = None
    #: Rows that were looked at, by table.
    rows: dict[str, int] = field(default_factory=dict)
    #: Rows that wallet did not write: all of them, as far as they are shown.
    forged: tuple[OrderRow, ...] = ()
    #: Their number.
    count: int = 0


class OrderCheck:
    """The look at all orders, again and again."""

    def __init__(
        self,
        store: OrderRowStore,
        custody: CustodyStore,
        keys: RowKeys,
        macs: RowMacs,
        clock: Clock,
    ) -> None:
        self._store = store
        self._custody = custody
        self._keys = keys
        self._macs = macs
        self._clock = clock
        #: The last look.
        self.last = Checked()

    @property
    def is_clean(self) -> bool:
        """Tell whether the last look found no forged row."""
        return self.last.count == 0

    @property
    def warnings(self) -> Sequence[str]:
        """Return in words what a person has to look at."""
        if not self._macs.is_ready:
            return ["no row has an authenticator yet, and nothing is signed: kalepool orders check"]
        if self.is_clean:
            return []
        return [f"rows that wallet did not write: {self.last.count} (kalepool orders check)"]

    async def step(self) -> Checked:
        """Look at all rows once, and bring those under an older key under the current one.

        Of the ends of operations, which are many, only those are looked at that were found on the
        chain, or have an older key: the others are judged when they are told.
        """
        before = {row.name for row in self.last.forged}
        is_replaced = self._macs.has_older
        ends = Ends.late(below=self._macs.current) if is_replaced else Ends()
        found = await self._look(ends, is_resigning=True)
        for row in found.forged:
            if row.name not in before:
                security.critical("row not written by wallet", row=str(row.name), **row.columns)
        self.last = found
        return found

    async def look(self) -> Checked:
        """Look at all rows once and change nothing; before the keys are there, all are forged."""
        return await self._look(Ends.late(), is_resigning=False)

    async def sign(self, names: Collection[Name] | None, *, actor: str) -> int:
        """Sign rows that an operator has looked at (None: all); return how many were signed.

        The first key is made where there is none.
        """
        if not self._macs.is_ready:
            await self._keys.make_first()
            await self._keys.open()
        wanted = None if names is None else set(names)
        signed = 0
        async for page in self._pages(Ends.late()):
            chosen = [
                row
                for row in page
                if not self._is_genuine(row) and (wanted is None or row.name in wanted)
            ]
            signed += await self._store.sign([(row, self._macs.mac(row.data)) for row in chosen])
            for row in chosen:
                security.warning("row signed", row=str(row.name), actor=actor, **row.columns)
        if signed:
            await self._custody.record(
                Act(actor=actor, action=Action.SIGN_ROWS, subject="rows", details=f"{signed} rows")
            )
        self.last = await self._look(Ends.late(), is_resigning=False)
        return signed

    async def _look(self, ends: Ends, *, is_resigning: bool) -> Checked:
        rows = dict.fromkeys(TABLES, 0)
        forged: list[OrderRow] = []
        count, older = 0, 0
        async for page in self._pages(ends):
            genuine, others = self._judged(page)
            rows[page[0].name.table] += len(page)
            count += len(others)
            forged += others[: MOST_SHOWN - len(forged)]
            outdated = [row for row in genuine if self._is_outdated(row)]
            older += len(outdated)
            if outdated and is_resigning:
                await self._store.sign([(row, self._macs.mac(row.data)) for row in outdated])
        if is_resigning and not older and self._macs.is_ready:
            await self._keys.give_up_older()
        return Checked(at=self._clock.now(), rows=rows, forged=tuple(forged), count=count)

    async def _pages(self, ends: Ends) -> AsyncIterator[Sequence[OrderRow]]:
        for table in TABLES:
            after = None
            while page := await self._store.page(table, after=after, limit=_PAGE, ends=ends):
                yield page
                after = page[-1].name

    def _judged(self, page: Sequence[OrderRow]) -> tuple[list[OrderRow], list[OrderRow]]:
        genuine, others = list[OrderRow](), list[OrderRow]()
        for row in page:
            (genuine if self._is_genuine(row) else others).append(row)
        return genuine, others

    def _is_genuine(self, row: OrderRow) -> bool:
        return self._macs.is_ready and self._macs.is_genuine(row.data, row.mac)

    def _is_outdated(self, row: OrderRow) -> bool:
        return row.mac is not None and self._macs.number_of(row.mac) < self._macs.current

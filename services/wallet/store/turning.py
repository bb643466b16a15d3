"""All records that name a ledger, and how they are turned back when that ledger was a lie."""

from dataclasses import dataclass

from libs.common.db.pool import Database, Record, Session
from services.wallet.domain.model import ChainHead
from services.wallet.store.orders import Orders

#: Blocks and transactions by which a network is recognised.
_SAMPLE = 8
#: Operations that are turned back at once.
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Past:
    """The past as the records have it."""

    #: Ledgers by the hashes of our newest transactions, up to some ledger.
    transactions: dict[str, int]
    #: Entropy of the newest blocks by index, up to some block.
    blocks: dict[int, bytes]
    #: The first ledger that took a transaction of ours; None when there is none.
    first_ledger: int | None


class TurningStore:
    """The reader of the recorded past, which also turns back what lies ahead of the present."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def past(self, *, ledger: int, block: int) -> Past:
        """Return what is recorded up to a ledger and a block."""
        async with self._database.session() as session:
            taken = await session.many("taken_transactions", ledger, _SAMPLE)
            blocks = await session.many("newest_blocks", block, _SAMPLE)
            first = await session.one("first_taken")
        return Past(
            transactions={row["lookup_hash"]: row["ledger"] for row in taken},
            blocks={row["index"]: row["entropy"] for row in blocks},
            first_ledger=None if first is None else first["ledger"],
        )

    async def turn_back(self, head: ChainHead, *, unseen_for: float) -> bool:
        """Make this head the newest, and set all that was seen at higher ledgers to its ledger.

        Tell whether it is the newest now. It is not made the newest when a process has seen the
        kept head within the last `unseen_for` seconds. Nor is it when the clock of this head is
        behind the database's: then this head is the one that lags.
        """
        async with self._database.transaction() as session:
            turned = await session.execute(
                "turn_head",
                head.ledger,
                head.close_time,
                head.current_block,
                head.plantable_block,
                head.paused,
                head.block_seconds,
                unseen_for,
            )
            if not turned:
                kept = await session.one("head")
                return kept is None or kept["ledger"] <= head.ledger
            await session.execute("turn_blocks", head.ledger, head.plantable_block)
            for name in ("transactions", "taken", "accounts", "balances"):
                await session.execute(f"turn_{name}", head.ledger)
            await self._turn_operations(session, head.ledger)
            return True

    async def _turn_operations(self, session: Session, ledger: int) -> None:
        """Turn operations back, with the authenticators of those ends that wallet wrote."""
        after = None
        while rows := await session.many("turned_operations", ledger, after, _PAGE):
            ids = [row["operation_id"] for row in rows]
            macs = [self._turned_mac(row, ledger) for row in rows]
            await session.execute("turn_operations", ledger, ids, macs)
            after = ids[-1]

    def _turned_mac(self, row: Record, ledger: int) -> bytes | None:
        if row["end_mac"] is None or not self._orders.is_end(row):
            return None
        return self._orders.for_end_of({**dict(row), "ledger": ledger})

"""All records that name a ledger, and how they are turned back when that ledger was a lie."""

from dataclasses import dataclass

from libs.common.db.pool import Database
from services.wallet.domain.model import ChainHead

#: Blocks and transactions by which a network is recognised.
_SAMPLE = 8


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

    def __init__(self, database: Database) -> None:
        self._database = database

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
            for name in ("transactions", "taken", "operations", "accounts", "balances"):
                await session.execute(f"turn_{name}", head.ledger)
            return True

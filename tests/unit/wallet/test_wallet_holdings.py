"""What accounts hold is told of those of whom nothing is on its way, as several nodes show it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from libs.common.ids import FarmerId, PoolerId, WalletId, new_id
from services.wallet.domain.reconciling import Holder
from services.wallet.domain.trust import Decision
from services.wallet.engine.reconcile.holdings import Holdings
from tests.support.reconciling import LEDGER, Chain, wallet

POOLER = PoolerId(new_id())


def holder(number: int, **fields: Any) -> Holder:
    """Return a farmer of whom nothing is on its way."""
    values: dict[str, Any] = {"is_moving": False, "ledger": LEDGER, **fields}
    return Holder(
        wallet_id=wallet(number),
        address=f"G{number}",
        farmer_id=FarmerId(wallet(number)),
        pooler_id=POOLER,
        **values,
    )


class Rows:
    """Farmers' accounts, and what they are when they are read again."""

    def __init__(self, *rows: Holder) -> None:
        self.rows = list(rows)
        self.later: list[Holder] | None = None

    async def holders(self, *, after: WalletId | None, limit: int) -> list[Holder]:
        """As the store's."""
        rows = self.rows
        if self.later is not None:
            self.rows, self.later = self.later, None
        return [one for one in rows if after is None or one.wallet_id > after][:limit]


async def page(
    chain: Chain, rows: Rows, *, after: WalletId | None = None, limit: int = 9
) -> tuple[Sequence[tuple[str, int]], WalletId | None]:
    """Return what is told, by address, and where the next page begins."""
    held, last = await Holdings(cast(Any, chain), cast(Any, rows)).page(after=after, limit=limit)
    assert all((one.pooler_id, one.ledger) == (POOLER, LEDGER) for one in held)
    return [(f"G{one.farmer_id.int}", one.kale) for one in held], last


async def test_pages_follow_each_other() -> None:
    chain, rows = Chain(), Rows(*map(holder, range(1, 4)))
    chain.kale = {"G2": 7}
    assert await page(chain, rows, limit=2) == ([("G1", 50), ("G2", 7)], wallet(2))
    assert await page(chain, rows, after=wallet(2), limit=2) == ([("G3", 50)], None)
    assert await page(chain, rows, after=wallet(3), limit=2) == ([], None)


async def test_of_whom_something_is_on_its_way_nothing_is_told() -> None:
    rows = Rows(holder(1, is_moving=True), holder(2), holder(3, ledger=LEDGER + 1))
    assert await page(Chain(), rows) == ([("G2", 50)], None)


async def test_what_changed_while_the_chain_was_read_is_left_out() -> None:
    rows = Rows(holder(1), holder(2))
    rows.later = [replace(holder(1), ledger=LEDGER - 1), holder(2)]
    assert await page(Chain(), rows) == ([("G2", 50)], None)


async def test_the_word_of_one_of_several_nodes_is_not_taken() -> None:
    chain, rows = Chain(), Rows(holder(1))
    chain.configured, chain.agreed = 2, Chain()
    chain.kale, chain.agreed.kale = {"G1": 10**9}, {"G1": 3}
    assert await page(chain, rows) == ([("G1", 3)], None)
    assert chain.decisions == [Decision.RECORD_FOUND]
    assert chain.account_reads == 0

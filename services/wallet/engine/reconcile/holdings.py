"""What farmers' accounts hold of KALE on the chain, for the pool's ledger."""

from uuid import UUID

from libs.common.ids import WalletId
from services.wallet.chain import Chain
from services.wallet.domain.reconciling import Holder, Holding
from services.wallet.domain.trust import Decision
from services.wallet.store.reconcile import ReconcileStore


class Holdings:
    """Reads accounts between two reads of the records: what changed meanwhile is left out."""

    def __init__(self, chain: Chain, store: ReconcileStore) -> None:
        self._chain = chain
        self._store = store

    async def page(
        self, *, after: WalletId | None, limit: int
    ) -> tuple[list[Holding], WalletId | None]:
        """Return what accounts hold of whom nothing is on its way, in the order of their wallets.

        Return, too, the wallet after which the next page begins; None on the last one. What is
        booked by this is not the word of one node alone, where there are several.
        """
        page = await self._store.holders(after=after, limit=limit)
        if not page:
            return [], None
        several = self._chain.configured > 1
        chain = self._chain.trusted(Decision.RECORD_FOUND) if several else self._chain
        ledger, states = await chain.accounts([item.address for item in page])
        kale = {state.address: state.kale for state in states}
        before = WalletId(UUID(int=page[0].wallet_id.int - 1))
        again = await self._store.holders(after=before, limit=len(page))
        held = [
            _holding(item, kale[item.address], ledger)
            for item in page
            if item in again and not item.is_moving and item.ledger <= ledger
        ]
        return held, page[-1].wallet_id if len(page) == limit else None


def _holding(item: Holder, kale: int, ledger: int) -> Holding:
    return Holding(farmer_id=item.farmer_id, pooler_id=item.pooler_id, kale=kale, ledger=ledger)

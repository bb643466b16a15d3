"""The recording of harvests that somebody else made for our farmers, with what they paid."""

from collections.abc import Mapping, Sequence

from libs.common.errors import PoolError
from libs.common.ids import WalletId
from libs.common.log import get_logger
from services.wallet.chain import Chain
from services.wallet.domain.chain_facts import BlockState
from services.wallet.domain.foreign_harvests import ForeignHarvest, paid_harvests
from services.wallet.domain.reconciling import Difference, Finding
from services.wallet.domain.trust import Decision
from services.wallet.store.reconcile import ReconcileStore

log = get_logger(__name__)

#: The farmer's wallet and the block of a harvest.
Harvested = tuple[WalletId, int]


class ForeignHarvests:
    """The recorder of foreign harvests.

    Anybody may harvest for anybody: the farm pays the farmer, and nobody tells the pool.
    """

    def __init__(self, chain: Chain, store: ReconcileStore) -> None:
        self._chain = chain
        self._store = store

    async def record(
        self, farmers: Mapping[str, WalletId], *, first: int
    ) -> list[Harvested] | None:
        """Record these farmers' harvests from ledger `first` on that the records lack; return them.

        Return None when the nodes did not tell: another look may. A harvest that is recorded, or on
        its way, stays as it is: the database refuses a second harvest of a farmer and block.
        """
        if not farmers:
            return []
        try:
            chain = self._chain.trusted(Decision.RECORD_FOUND)
            foreign_harvests = await chain.foreign_harvests(list(farmers), first=first)
            blocks = await self._blocks(foreign_harvests)
        except PoolError as error:
            log.warning("harvests not read", reason=error.reason, error=str(error))
            return None
        found: list[Harvested] = []
        for foreign_harvest in foreign_harvests:
            found += await self._record(foreign_harvest, farmers[foreign_harvest.address], blocks)
        return found

    async def _record(
        self, foreign_harvest: ForeignHarvest, wallet_id: WalletId, blocks: Mapping[int, BlockState]
    ) -> Sequence[Harvested]:
        found: list[Harvested] = []
        for item in paid_harvests(foreign_harvest, blocks):
            place = (wallet_id, item.block_index)
            if not await self._store.insert_harvest(*place, item, foreign_harvest):
                continue
            finding = Finding(
                kind=Difference.HARVEST_WITHOUT_RECORD,
                wallet_id=wallet_id,
                block_index=item.block_index,
                recorded="nothing",
                on_chain=str(item.reward),
            )
            await self._store.note([finding], ledger=foreign_harvest.ledger)
            await self._store.settle_gone(item.block_index, [wallet_id], [], how="recorded")
            log.warning(
                "harvested by somebody else",
                wallet=str(wallet_id),
                block=item.block_index,
                reward=item.reward,
                transaction=foreign_harvest.transaction_hash,
            )
            found.append(place)
        return found

    async def _blocks(self, foreign_harvests: Sequence[ForeignHarvest]) -> dict[int, BlockState]:
        """Return the blocks by which several harvests in one transaction are told apart."""
        indexes = {
            index for item in foreign_harvests if len(item.pails) > 1 for index in item.pails
        }
        chain = self._chain.trusted(Decision.RECORD_FOUND)
        blocks = {index: await chain.block(index) for index in indexes}
        return {index: block for index, block in blocks.items() if block is not None}

"""The keys of accounts that are closed: retired at once, and destroyed after a holding time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from libs.common.failpoints import failpoint
from libs.common.ids import OperationId, WalletId
from libs.common.log import get_security_logger
from libs.common.once import Once
from services.wallet.chain import MAX_FARMERS, Chain
from services.wallet.domain.model import OperationKind, OperationState
from services.wallet.domain.trust import Decision
from services.wallet.store.closings import ClosingStore, RetiredKey
from services.wallet.store.operations import OperationStore

security = get_security_logger()


@dataclass(kw_only=True)
class RetiredKeys:
    """What wallet does with keys that nothing is to be signed with any more.

    A key is destroyed by wallet's own word alone that its account is closed, and only while nodes
    show the account as gone. A row that says so by another's word is told, and stays.
    """

    store: ClosingStore
    operations: OperationStore
    chain: Chain
    #: Seconds between an account's end and its key's.
    holding: float
    #: The key after which the next look at old ones begins, and that at all of them.
    _after: WalletId | None = field(default=None, init=False)
    _seen: WalletId | None = field(default=None, init=False)
    #: Keys that somebody else retired, as far as that was told.
    _told: Once[WalletId] = field(default_factory=Once, init=False)

    async def step(self) -> int:
        """Retire keys of accounts that are closed, destroy old ones; return how many it was."""
        await self._retire()
        await self._look()
        old, _, self._after = await self._judged(seconds=self.holding, after=self._after)
        return await self._destroy(old)

    async def _retire(self) -> None:
        closed = await self.store.unretired(limit=MAX_FARMERS)
        genuine = await self._genuine(list(closed.values()))
        await self.store.retire([wallet for wallet, name in closed.items() if name in genuine])

    async def _look(self) -> None:
        """Tell of keys that somebody else retired, long before they could be destroyed."""
        _, forged, self._seen = await self._judged(seconds=0, after=self._seen)
        self._tell(forged)

    async def _judged(
        self, *, seconds: float, after: WalletId | None
    ) -> tuple[list[RetiredKey], list[RetiredKey], WalletId | None]:
        """Return some keys that were retired so long ago, and after which one the next ones come.

        The first list has those that wallet retired, the second one those that somebody else did.
        """
        found = await self.store.retired(seconds=seconds, after=after, limit=MAX_FARMERS)
        genuine = await self._genuine([one.operation_id for one in found if one.operation_id])
        return (
            [one for one in found if one.operation_id in genuine],
            [one for one in found if one.operation_id not in genuine],
            found[-1].wallet_id if len(found) == MAX_FARMERS else None,
        )

    async def _genuine(self, names: Collection[OperationId]) -> set[OperationId]:
        """Return those of these operations that closed an account, by wallet's own word."""
        settled = await self.operations.settled_among(names) if names else []
        return {
            one.id
            for one in settled
            if one.kind is OperationKind.CLOSE_ACCOUNT and one.state is OperationState.SUCCEEDED
        }

    def _tell(self, forged: Sequence[RetiredKey]) -> None:
        for one in forged:
            if self._told.is_first(one.wallet_id):
                security.critical("key retired by another", wallet=str(one.wallet_id))

    async def _destroy(self, keys: Sequence[RetiredKey]) -> int:
        """Destroy the keys of accounts that are gone; return how many."""
        if not keys:
            return 0
        chain = self.chain.trusted(Decision.DESTROY_KEY)
        _, states = await chain.accounts([one.address for one in keys])
        gone = {state.address for state in states if not state.exists}
        destroyed = 0
        for one in keys:
            if one.address in gone and await self.store.destroy(one):
                security.warning("key destroyed", wallet=str(one.wallet_id), address=one.address)
                destroyed += 1
                await failpoint("wallet.key.destroyed")
        return destroyed

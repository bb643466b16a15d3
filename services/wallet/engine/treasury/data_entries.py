"""The newest root of the pool's claims, written into a data entry of the treasury's account."""

from dataclasses import dataclass

from libs.common.failpoints import failpoint
from libs.kale.statements.roots import ENTRY_NAME, entry_value
from services.wallet.chain import Chain, sign_data_entry
from services.wallet.domain.data_entries import publishing
from services.wallet.domain.model import OperationKind, QueuedOperation
from services.wallet.domain.trust import Decision
from services.wallet.engine.signers import Signers
from services.wallet.engine.treasury.transactions import TreasuryTransactions
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.operations import OperationStore

#: Roots that are taken up at once: all but the newest are given up.
_MOST = 100


@dataclass(frozen=True, kw_only=True)
class RootWriter:
    """The writer of roots: one transaction of the treasury at a time, with one root."""

    chain: Chain
    operations: OperationStore
    treasury: Treasury
    signers: Signers
    transactions: TreasuryTransactions

    async def step(self) -> bool:
        """Write the newest root that waits; tell whether there was any."""
        claimed = await self.transactions.take_up(OperationKind.DATA_ENTRY, limit=_MOST)
        if not claimed:
            return False
        chain = self.chain.trusted(Decision.SETTLE_DATA_ENTRY)
        ledger, value = await chain.data_entry(self.treasury.wallet.address, ENTRY_NAME)
        found = publishing(claimed, value, ledger)
        await self.operations.settle_queued(found.settled)
        await failpoint("wallet.root.superseded")
        if found.settled:
            self.transactions.wakeups.tell_settled()
        if found.newest is not None:
            await self._submit(found.newest)
        return True

    async def _submit(self, operation: QueuedOperation) -> None:
        address = self.treasury.wallet.address
        root = operation.hash
        if root is None:
            raise ValueError(f"root {operation.id} has no hash")
        chain = self.chain.trusted(Decision.USE_NUMBER)
        ledger, (state,) = await chain.accounts([address])
        sequence = await self.transactions.next_sequence(state, ledger)
        bid = self.transactions.bid(operation.kind)
        async with self.signers.open([self.treasury.wallet.id]) as (treasury,):
            await self.transactions.submit(
                [operation],
                lambda: sign_data_entry(
                    ENTRY_NAME,
                    entry_value(operation.block_index, root),
                    treasury=treasury,
                    sequence=sequence,
                    network=self.chain.network,
                    bid=bid,
                ),
            )

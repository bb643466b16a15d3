"""Use cases of the data entry that holds the newest root of the pool's claims."""

from dataclasses import dataclass, replace

from libs.common.failpoints import failpoint
from libs.common.ids import OperationId, new_id
from libs.common.log import get_security_logger
from services.wallet.domain.data_entries import DataEntry
from services.wallet.domain.errors import OperationNotFoundError
from services.wallet.domain.model import OperationState
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.data_entries import DataEntryStore
from services.wallet.store.operations import OperationStore

security = get_security_logger()


@dataclass(frozen=True, kw_only=True)
class DataEntries:
    """Use cases of roots, and the parts that they use."""

    store: DataEntryStore
    operations: OperationStore
    treasury: Treasury
    #: Wakeup to notify when operations were recorded.
    wakeup: Wakeup

    async def publish(self, day: int, root: bytes, *, actor: str) -> DataEntry:
        """Have a day's root written, and return how far that is.

        Raises RootDiffersError, RootTooOldError, DayToComeError, DataEntryTamperedError, and
        TreasuryMissingError while the treasury's key does not open.
        """
        treasury = self.treasury.wallet.id
        wanted = OperationId(new_id())
        recorded = await self.store.record(wanted, treasury, day=day, root=root, actor=actor)
        await failpoint("wallet.root.recorded")
        if recorded == wanted:
            security.info("root to be published", day=day, root=root.hex(), actor=actor)
            self.wakeup.notify()
        return await self._entry(day, root, recorded)

    async def newest(self) -> tuple[str, DataEntry | None]:
        """Return the account that has the entry, and the newest root that was asked for.

        Raises TreasuryMissingError, DataEntryTamperedError.
        """
        address, found = self.treasury.wallet.address, await self.store.newest()
        return address, None if found is None else await self._entry(*found)

    async def _entry(self, day: int, root: bytes, operation_id: OperationId) -> DataEntry:
        """Return a root with its operation; how it ended only wallet's own word tells."""
        for settled in await self.operations.settled_among([operation_id]):
            return DataEntry(day=day, root=root, operation=settled)
        operation = await self.operations.by_id(operation_id)
        if operation is None:
            raise OperationNotFoundError(f"root {operation_id} has no operation")
        if operation.settled_at is not None:
            # It has ended since: the next call judges it.
            operation = replace(operation, state=OperationState.SENT, transaction_hash="", ledger=0)
        return DataEntry(day=day, root=root, operation=operation)

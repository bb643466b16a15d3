"""Orders that wallet did not write: whoever changes the database does not thereby give an order."""

from collections.abc import Sequence

from libs.common.log import get_security_logger
from libs.common.metrics import METER
from services.wallet.domain.model import FailureReason, QueuedOperation
from services.wallet.domain.settling import given_up
from services.wallet.store.operations import OperationStore

security = get_security_logger()

_found = METER.create_counter(
    "kalepool.wallet.forged_orders", description="Orders that wallet did not write, by kind."
)
#: Why such an operation is given up, in words.
TAMPERED = "its row was not written by wallet; nothing was signed"


class Forgeries:
    """The sieve that every operation goes through before anything is signed for it."""

    def __init__(self, operations: OperationStore) -> None:
        self._operations = operations
        #: Number of forged orders that this process has met.
        self.found = 0

    async def sift(self, claimed: Sequence[QueuedOperation]) -> list[QueuedOperation]:
        """Give up forged operations, and return the others."""
        forged = [item for item in claimed if not item.is_genuine]
        if forged:
            await self.give_up(forged)
        return [item for item in claimed if item.is_genuine]

    async def give_up(self, forged: Sequence[QueuedOperation]) -> None:
        """End forged operations, and tell of each."""
        for item in forged:
            self.found += 1
            _found.add(1, {"kind": item.kind.value})
            security.critical(
                "order not written by wallet",
                operation=str(item.id),
                kind=item.kind.value,
                wallet=str(item.wallet_id),
                block=item.block_index,
                amount=item.amount,
            )
        await self._operations.settle_queued(
            [given_up(item, FailureReason.TAMPERED, TAMPERED) for item in forged]
        )

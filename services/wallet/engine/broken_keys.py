"""Operations of accounts whose keys do not open: they wait, and do not hold up others."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.log import get_logger
from services.wallet.domain.errors import WalletNotFoundError
from services.wallet.domain.model import QueuedOperation
from services.wallet.domain.settling import later
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.signers import Signers
from services.wallet.keys.provider import KeyProviderError
from services.wallet.keys.seal import SealBrokenError
from services.wallet.store.operations import OperationStore

log = get_logger(__name__)

#: Seconds until the next try with a key that did not open.
_KEY_PAUSE = 60
#: The errors that show that a key does not open.
BROKEN = (SealBrokenError, KeyProviderError, WalletNotFoundError)


@dataclass(frozen=True, kw_only=True)
class BrokenKeys:
    """The handler of operations that cannot be signed."""

    signers: Signers
    operations: OperationStore
    chain_view: ChainView

    async def set_aside(self, operations: Sequence[QueuedOperation], error: Exception) -> None:
        """Postpone the operations whose keys do not open, after `error`; give the others back.

        Postponed operations wait until their keys are mended.

        Raises `error` when all of these keys open: the error is about another key, or about none.
        """
        broken = await self.signers.broken([item.wallet_id for item in operations])
        if not broken:
            raise error
        log.critical("keys do not open", wallets=sorted(map(str, broken)), error=str(error))
        chain_state = self.chain_view.newest
        waiting = [
            later(item, seconds=chain_state.pause(item, _KEY_PAUSE) if chain_state else _KEY_PAUSE)
            for item in operations
            if item.wallet_id in broken
        ]
        await self.operations.settle_queued(waiting)
        await self.operations.release(
            [item.id for item in operations if item.wallet_id not in broken]
        )

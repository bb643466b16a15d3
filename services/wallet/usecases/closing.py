"""Use cases of accounts that are closed, as their farmers or poolers leave."""

from dataclasses import dataclass

from libs.common.errors import PoolError
from libs.common.failpoints import failpoint
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId
from libs.common.log import get_security_logger
from services.wallet.chain import Chain
from services.wallet.domain.closing import Closing, ClosingAccount, unharvested, workable_from
from services.wallet.domain.errors import (
    AccountBusyError,
    BusyError,
    ChainUnknownError,
    PoolerWalletNotFoundError,
)
from services.wallet.domain.model import Operation, OperationState, Wallet
from services.wallet.domain.trust import Decision
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.treasury.closing import AccountReader
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.closings import ClosingStore
from services.wallet.store.operations import OperationStore
from services.wallet.store.wallets import WalletStore

security = get_security_logger()

#: Blocks after which the farm has forgotten a pail: a day, and as much again.
_PAILS_LIVE = 600
_NOT_CLOSED = frozenset({OperationState.FAILED, OperationState.EXPIRED})


@dataclass(frozen=True, kw_only=True)
class Closings:
    """Use cases of closing, and the parts that they use."""

    wallets: WalletStore
    closings: ClosingStore
    operations: OperationStore
    reader: AccountReader
    chain: Chain
    chain_view: ChainView
    #: Wakeup to notify when operations were recorded.
    wakeup: Wakeup

    async def close_farmer(self, farmer_id: FarmerId, *, actor: str) -> Operation:
        """Have a farmer's account closed; return how far it is.

        Raises AccountBusyError, AccountNotEmptyError, AccountHoldsError, XlmUnpayableError,
        PayoutAddressMissingError and PayoutAddressTamperedError, WalletNotFoundError and
        TamperedError.
        """
        return await self._close(await self.wallets.of_farmer(farmer_id), actor)

    async def close_pooler(self, pooler_id: PoolerId, *, actor: str) -> Operation:
        """Have a pooler's custodial account closed, in the same way.

        Raises PoolerWalletNotFoundError in place of WalletNotFoundError.
        """
        wallet = await self.wallets.by_pooler(pooler_id)
        if wallet is None:
            raise PoolerWalletNotFoundError(f"pooler {pooler_id} has no custodial account")
        return await self._close(wallet, actor)

    async def _close(self, wallet: Wallet, actor: str) -> Operation:
        known = await self._newest(wallet.id)
        if known is not None and known.state not in _NOT_CLOSED:
            return known
        details = await self._check(wallet)
        made = await self.closings.record(wallet.id, actor=actor, details=details)
        await failpoint("wallet.closing.recorded")
        if made is not None:
            security.warning("account to be closed", wallet=str(wallet.id), actor=actor)
            self.wakeup.notify()
        found = await self._newest(wallet.id)
        if found is None or found.state in _NOT_CLOSED:
            raise AccountBusyError("something of the account is under way")
        return found

    async def _newest(self, wallet_id: WalletId) -> Operation | None:
        """Return the newest closing; how it ended only wallet's own word tells."""
        operation_id = await self.closings.newest(wallet_id)
        if operation_id is None:
            return None
        for settled in await self.operations.settled_among([operation_id]):
            return settled
        return await self._open(operation_id)

    async def _open(self, operation_id: OperationId) -> Operation:
        operation = await self.operations.by_id(operation_id)
        if operation is None or operation.settled_at is not None:
            # It has ended since: the next call judges it.
            raise BusyError(f"closing {operation_id} has just ended: ask again")
        return operation

    async def _check(self, wallet: Wallet) -> str:
        """Return in words what is closed. Raise why it cannot be as things are."""
        if await self.closings.busy([wallet.id]):
            raise AccountBusyError("an operation of the account is under way")
        ledger, accounts = await self.reader.read([wallet.address])
        account = accounts[wallet.address]
        if not account.state.exists:
            return f"{wallet.address}, which is gone"
        await self._check_pails(wallet)
        found = await self.reader.judge(wallet.id, account, ledger)
        if isinstance(found, PoolError):
            raise found
        return _told(account, found)

    async def _check_pails(self, wallet: Wallet) -> None:
        if not self.chain_view.is_fresh:
            raise ChainUnknownError("the chain was not read for a while", retry_after=1.0)
        seen = self.chain_view.current
        current = workable_from(
            index=seen.farm.index,
            timestamp=seen.farm.timestamp,
            now=seen.ledger.close_time,
            interval=seen.head.block_seconds,
        )
        first = max(0, current - _PAILS_LIVE)
        blocks = await self.closings.unharvested(wallet.id, first=first)
        chain = self.chain.trusted(Decision.CLOSE_ACCOUNT)
        places = [(wallet.address, block) for block in blocks]
        pails = await chain.pails(places) if places else {}
        waits = unharvested({block: pail for (_, block), pail in pails.items()}, current)
        if waits is not None:
            raise waits


def _told(account: ClosingAccount, closing: Closing) -> str:
    goes = "into the treasury" if closing.is_sponsored else f"into {closing.pays_to}"
    paid = f", {closing.xlm} stroops of XLM to {closing.pays_to}" if closing.xlm else ""
    return f"{account.state.address} {goes}{paid}, {account.reserves_back} stroops of reserves back"

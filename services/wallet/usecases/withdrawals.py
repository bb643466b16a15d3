"""Use cases of withdrawals: one coroutine per verb."""

from dataclasses import dataclass
from datetime import datetime

from libs.common.failpoints import failpoint
from libs.common.ids import FarmerId, OperationId, new_id
from libs.common.log import get_security_logger
from services.wallet.domain.errors import WithdrawalNotFoundError
from services.wallet.domain.withdrawals import (
    Asset,
    NewWithdrawal,
    PayoutAddresses,
    Withdrawal,
    WithdrawalTerms,
)
from services.wallet.engine.settled_feed import SettledFeed
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore

security = get_security_logger()


@dataclass(frozen=True, kw_only=True)
class Withdrawals:
    """Use cases of withdrawals, and the parts that they use."""

    wallets: WalletStore
    store: WithdrawalStore
    terms: WithdrawalTerms
    #: Wakeup to notify when a withdrawal was recorded.
    wakeup: Wakeup
    #: Feed of settled operations.
    settled: SettledFeed

    async def set_address(self, farmer_id: FarmerId, address: str, *, actor: str) -> datetime:
        """Register a farmer's outside address; return the moment from which the address counts."""
        wallet_id = (await self.wallets.of_farmer(farmer_id)).id
        cooling = self.terms.cooling
        moment = await self.store.set_address(wallet_id, address, cooling=cooling, actor=actor)
        security.info("payout address set", wallet=str(wallet_id), address=address, actor=actor)
        return moment

    async def addresses(self, farmer_id: FarmerId) -> PayoutAddresses:
        """Return a farmer's outside addresses."""
        return await self.store.addresses((await self.wallets.of_farmer(farmer_id)).id)

    async def withdraw(
        self, farmer_id: FarmerId, *, request_id: str, asset: Asset, amount: int, actor: str
    ) -> Withdrawal:
        """Send an amount (stroops) to the farmer's outside address; return when it is settled.

        Raises PayoutAddressMissingError, WithdrawalLimitError, RequestIdReusedError,
        SigningPausedError.
        """
        new = NewWithdrawal(
            id=OperationId(new_id()),
            request_id=request_id,
            wallet_id=(await self.wallets.of_farmer(farmer_id)).id,
            asset=asset,
            amount=amount,
            actor=actor,
        )
        withdrawal_id = await self.store.record(new, self.terms.limits[asset], self.terms.counts)
        security.info("withdrawal", operation=str(withdrawal_id), actor=actor)
        await failpoint("wallet.withdrawal.recorded")
        self.wakeup.notify()
        await self.settled.one(withdrawal_id)
        return await self.withdrawal(withdrawal_id)

    async def withdrawal(self, withdrawal_id: OperationId) -> Withdrawal:
        """Return one withdrawal in its current state."""
        found = await self.store.by_id(withdrawal_id)
        if found is None:
            raise WithdrawalNotFoundError(f"there is no withdrawal {withdrawal_id}")
        return found

"""Use cases of withdrawals: one coroutine per verb."""

from dataclasses import dataclass, field

from libs.common.doors import Doors
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

#: Withdrawals of a pooler that are recorded at a time, in this process.
_AT_ONCE = 2


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
    #: The doors of poolers to what is recorded.
    doors: Doors = field(default_factory=lambda: Doors(_AT_ONCE))

    async def addresses(self, farmer_id: FarmerId) -> PayoutAddresses:
        """Return a farmer's outside addresses."""
        return await self.store.addresses((await self.wallets.of_farmer(farmer_id)).id)

    async def withdraw(
        self,
        farmer_id: FarmerId,
        *,
        request_id: str,
        asset: Asset,
        amount: int,
        destination: str,
        actor: str,
    ) -> Withdrawal:
        """Send an amount (stroops) to the farmer's outside address; return when it is settled.

        A `destination` that is not empty is the address that the caller expects.

        Raises PayoutAddressMissingError, PayoutAddressDiffersError, PayoutAddressTamperedError,
        WithdrawalLimitError, RequestIdReusedError, SigningPausedError.
        """
        wallet = await self.wallets.of_farmer(farmer_id)
        new = NewWithdrawal(
            id=OperationId(new_id()),
            request_id=request_id,
            wallet_id=wallet.id,
            asset=asset,
            amount=amount,
            destination=destination,
            actor=actor,
        )
        # One withdrawal is recorded at a time: those of one pooler wait for one another, outside.
        async with self.doors.passing(wallet.pooler_id):
            limit = self.terms.limits[asset]
            withdrawal_id = await self.store.record(new, limit, self.terms.counts)
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

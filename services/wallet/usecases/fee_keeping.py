"""The keeper of poolers' custodial accounts, and of the marks that sum up what fees came to."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from libs.common.errors import FailedPreconditionError
from libs.common.failpoints import failpoint
from libs.common.ids import PoolerId, WalletId
from libs.common.log import get_logger
from libs.kale.address import is_account
from services.wallet.domain.errors import SponsorshipBudgetError
from services.wallet.domain.fees_due import advanced
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.fee_marks import FeeMarkStore
from services.wallet.store.payouts import PayoutStore
from services.wallet.store.pool_payments import PoolPaymentStore
from services.wallet.usecases.payouts import Payouts

log = get_logger(__name__)

#: Seconds after which a mark is made anew.
_OLDER = 6 * 3600.0
#: How long ago a block has opened at least that is summed up.
_PAST = timedelta(days=1)
#: Accounts whose marks are made in one step, and poolers who get their accounts.
_MOST, _POOLERS = 20, 10


@dataclass(kw_only=True)
class FeeKeeping:
    """What is kept for fees, a few accounts at a time."""

    use_cases: Payouts
    payouts: PayoutStore
    pool_payments: PoolPaymentStore
    marks: FeeMarkStore
    treasury: Treasury
    #: Seconds after which a mark is made anew.
    older: float = _OLDER
    #: Accounts of which rows are not as wallet wrote them: nobody sums them up.
    _passed_over: set[WalletId] = field(default_factory=set)
    #: The pooler after which the next accounts are made; None: from the first on.
    _after: PoolerId | None = None

    async def step(self) -> bool:
        """Make what is missing; tell whether there may be more."""
        if not self.treasury.is_open:
            return False
        poolers = await self._make_accounts()
        return await self._make_marks() or poolers

    async def _make_accounts(self) -> bool:
        """Make the custodial accounts of poolers who registered and have none.

        It goes through them in rounds: who can have none now keeps nobody else from one.
        """
        missing = await self.payouts.without_account(_POOLERS, after=self._after)
        for pooler_id, address in missing:
            self._after = pooler_id
            if not is_account(address):  # it would be sealed for ever, and can be paid nothing
                log.warning("pooler without an address", pooler=str(pooler_id))
                continue
            try:
                await self.use_cases.create_pooler_wallet(pooler_id, address)
            except SponsorshipBudgetError as error:
                log.warning("no custodial account yet", pooler=str(pooler_id), error=error.message)
                return False
        if len(missing) < _POOLERS:
            self._after = None
        return len(missing) == _POOLERS

    async def _mark(self, wallet_id: WalletId, *, is_pooler: bool) -> None:
        """Sum up what can change no more, of a farmer's account or a pooler's."""
        marks = await self.marks.marks([wallet_id])
        # In this order: a harvest that is settled in between is summed up the next time.
        until = (await self.marks.markable([wallet_id])).get(wallet_id, -1)
        until = until if await self._is_past(until) else -1
        rewards = (await self.marks.rewards(marks))[wallet_id]
        past = await (self.pool_payments if is_pooler else self.payouts).past(marks)
        await self.marks.save(
            wallet_id, advanced(marks[wallet_id], rewards, past[wallet_id], until_block=until)
        )

    async def _is_past(self, block: int) -> bool:
        """Tell whether wallet itself saw a block open, so long ago that its rewards are settled.

        That the chain has forgotten it is in rows that are not sealed.
        """
        opened_at = (await self.marks.opened({block})).get(block)
        return opened_at is not None and datetime.now(UTC) - opened_at >= _PAST

    async def _make_marks(self) -> bool:
        if (await self.use_cases.payers.totals()).stopped:
            # A restored database may not know what was paid.
            return False
        limit = _MOST + len(self._passed_over)
        found = await self.marks.to_mark(older=self.older, limit=limit)
        due = [item for item in found.items() if item[0] not in self._passed_over][:_MOST]
        for wallet_id, is_pooler in due:
            try:
                await self._mark(wallet_id, is_pooler=is_pooler)
            except FailedPreconditionError as error:
                log.warning("fees not summed up", wallet=str(wallet_id), error=error.message)
                self._passed_over.add(wallet_id)
            await failpoint("wallet.fee_mark.kept")
        return len(due) == _MOST

"""The pool's channel accounts, kept at the wanted number, each with enough XLM for its fees."""

from dataclasses import dataclass

from libs.common.ids import OperationId, new_id
from libs.common.log import get_logger
from services.wallet.chain import MAX_PAYMENTS
from services.wallet.domain.marks import is_ahead
from services.wallet.domain.model import OperationKind
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.treasury.new_accounts import NewAccounts, make_keys
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.provider import KeyProvider
from services.wallet.store.channels import ChannelStore, ChannelTotals

log = get_logger(__name__)

#: Ledgers after which all is looked at although nothing seems to be missing.
_LOOK_EVERY = 12


@dataclass(frozen=True, kw_only=True)
class ChannelTerms:
    """The operator's wishes for the channel accounts."""

    #: The number of channel accounts to keep.
    count: int
    #: Stroops of XLM that each gets when it is made, and has at least after a top-up.
    funding: int
    #: Stroops of XLM below which a channel account is topped up.
    low: int


class ChannelKeeper:
    """A keeper that makes channel accounts and has a payer top up those that are low."""

    def __init__(
        self,
        store: ChannelStore,
        provider: KeyProvider,
        terms: ChannelTerms,
        *,
        chain_view: ChainView,
        accounts: Accounts,
        new_accounts: NewAccounts,
        changes: Wakeup,
    ) -> None:
        """Ring `changes` when there is something to take up."""
        self._chain_view = chain_view
        self._accounts = accounts
        self._new_accounts = new_accounts
        self._changes = changes
        self._store = store
        self._provider = provider
        self._terms = terms
        #: The ledger from which on all is looked at again.
        self._look_ledger = 0

    async def step(self) -> bool:
        """Look once; tell whether there was anything to do."""
        if not (self._chain_view.is_fresh and self._accounts.can_pay):
            return False
        totals, ledger = await self.totals(), self._chain_view.current.ledger.sequence
        is_early = is_ahead(self._look_ledger, ledger, most=_LOOK_EVERY)
        if is_early and not self._is_wanting(totals):
            return False
        made = await self._make_keys(totals)
        queued = await self._queue_top_ups()
        sent = await self._new_accounts.create(
            OperationKind.OPEN_CHANNEL, funding=self._terms.funding
        )
        is_busy = made or queued or sent
        self._look_ledger = ledger if is_busy else ledger + _LOOK_EVERY
        return is_busy

    def _is_wanting(self, totals: ChannelTotals) -> bool:
        """Tell whether there are too few channel accounts, or some have too little XLM."""
        return totals.made < self._terms.count or totals.ready < totals.made or totals.low > 0

    async def totals(self) -> ChannelTotals:
        """Return the totals of channel accounts."""
        return await self._store.totals(low=self._terms.low)

    async def _make_keys(self, totals: ChannelTotals) -> bool:
        made = await make_keys(self._provider, self._terms.count - totals.made)
        return bool(made) and await self._store.insert(made, most=self._terms.count) > 0

    async def _queue_top_ups(self) -> bool:
        ids = [OperationId(new_id()) for _ in range(MAX_PAYMENTS)]
        ledger = self._chain_view.current.ledger.sequence
        queued = await self._store.queue_top_ups(
            ids, below=self._terms.low, amount=self._terms.funding, ledger=ledger
        )
        if queued:
            log.info("channels low", count=queued, stroops=self._terms.low)
            self._changes.notify()
        return queued > 0

"""The pool's channel accounts, kept at the wanted number, each with enough XLM for its fees."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.ids import OperationId, new_id
from libs.common.log import get_logger
from services.wallet.chain import MAX_PAYMENTS, Chain
from services.wallet.domain.channels import ChannelTerms
from services.wallet.domain.marks import is_ahead
from services.wallet.domain.model import OperationKind
from services.wallet.domain.trust import Decision
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.alarms import Alarm, Alarms
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.treasury.new_accounts import NewAccounts, make_keys
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.provider import KeyProvider
from services.wallet.store.channels import ChannelStore, ChannelTotals

log = get_logger(__name__)

#: Ledgers after which all is looked at although nothing seems to be missing.
_LOOK_EVERY = 12


#: The name of the alarm that the budget of top-ups is used up.
NAME = "top-ups"


@dataclass(frozen=True, kw_only=True)
class LowChannels:
    """The look at what channel accounts have on the chain.

    A row of the database that says how much an account has may be false, and moves no money.
    """

    chain: Chain
    #: Stroops of XLM below which a channel account is topped up.
    low: int

    async def among(self, addresses: Sequence[str]) -> tuple[int, set[str]]:
        """Return the ledger that was read, and the accounts that exist and have too little XLM.

        Where there are several nodes, they have to agree on it.
        """
        ledger, states = await self.chain.trusted(Decision.TOP_UP).accounts(addresses)
        return ledger, {state.address for state in states if state.exists and state.xlm < self.low}


@dataclass(frozen=True, kw_only=True)
class TopUpState:
    """How top-ups stand."""

    #: Stroops of XLM that top-ups of the last 24 hours come to, asked for or paid.
    spent: int
    #: Stroops allowed within 24 hours.
    budget: int
    #: What an operator has to change; empty when nothing.
    error: str


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
        low_channels: LowChannels,
        alarms: Alarms,
        changes: Wakeup,
    ) -> None:
        """Ring `changes` when there is something to take up."""
        self._chain_view = chain_view
        self._accounts = accounts
        self._new_accounts = new_accounts
        self._low_channels = low_channels
        self._alarms = alarms
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

    async def top_ups(self) -> TopUpState:
        """Return how top-ups stand, for people."""
        return TopUpState(
            spent=await self._store.topped_up(),
            budget=self._terms.daily,
            error=self._alarms.message(NAME),
        )

    async def _queue_top_ups(self) -> bool:
        poor = await self._store.poor(below=self._terms.low, limit=MAX_PAYMENTS)
        ledger, low = await self._low_channels.among(list(poor.values())) if poor else (0, set())
        wanted = {
            wallet_id: OperationId(new_id())
            for wallet_id, address in poor.items()
            if address in low
        }
        if not wanted:
            return False
        top_ups = await self._store.queue_top_ups(
            wanted, amount=self._terms.funding, ledger=ledger, budget=self._terms.daily
        )
        if top_ups.queued:
            log.info("channels low", count=top_ups.queued, stroops=self._terms.low)
            self._changes.notify()
        self._tell(top_ups.refused)
        return top_ups.queued > 0

    def _tell(self, refused: int) -> None:
        """Tell an operator that the budget leaves channel accounts without XLM, or no longer."""
        if not refused:
            self._alarms.over(NAME)
            return
        words = f"{refused} channel accounts are low, and TOP_UP_DAILY_STROOPS is used up"
        self._alarms.tell(Alarm(name=NAME, cause="TOP_UP_DAILY_STROOPS", message=words))

"""The pool's payer accounts, kept at the wanted number, each with nothing but its reserve."""

from services.wallet.domain.model import OperationKind
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.treasury.new_accounts import NewAccounts, make_keys
from services.wallet.keys.provider import KeyProvider
from services.wallet.store.payers import PayerStore, PayerTotals

#: Stroops of XLM that a payer account has: the reserve of an account without anything else. The
#: treasury pays the account's fees.
_RESERVE = 10_000_000


class PayerKeeper:
    """A keeper that makes payer accounts."""

    def __init__(
        self,
        store: PayerStore,
        provider: KeyProvider,
        *,
        count: int,
        chain_view: ChainView,
        accounts: Accounts,
        new_accounts: NewAccounts,
    ) -> None:
        """Keep `count` payer accounts."""
        self._chain_view = chain_view
        self._accounts = accounts
        self._new_accounts = new_accounts
        self._store = store
        self._provider = provider
        self._count = count
        #: Whether no payer account was missing at the last look.
        self._is_complete = False

    async def step(self) -> None:
        """Make the payer accounts that are missing; do nothing once all are there."""
        if self._is_complete or not (self._chain_view.is_fresh and self._accounts.can_pay):
            return
        totals = await self.totals()
        made = await make_keys(self._provider, self._count - totals.made)
        if made:
            await self._store.insert(made, most=self._count)
        await self._new_accounts.create(OperationKind.OPEN_PAYER, funding=_RESERVE)
        self._is_complete = totals.ready >= max(totals.made, self._count)

    async def totals(self) -> PayerTotals:
        """Return the totals of payer accounts."""
        return await self._store.totals()

"""The return of farmers whose account was merged, or whose KALE line was removed.

Whoever has a farmer's key can do either. What was planted could not be harvested then, and the
farmer would never plant again: the pool makes account and line anew, at most once a day.
"""

from dataclasses import dataclass, field

from libs.common.log import get_logger
from services.wallet.chain import MAX_FARMERS, Chain
from services.wallet.domain.marks import is_ahead
from services.wallet.domain.trust import Decision
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.lost_farmers import LostFarmerStore

log = get_logger(__name__)

#: Ledgers between two looks: a line that is missing for one ledger only is no reason.
_LOOK_EVERY = 12


@dataclass(kw_only=True)
class LostFarmers:
    """A look for farmers who are to be brought back onto the chain."""

    store: LostFarmerStore
    chain: Chain
    chain_view: ChainView
    accounts: Accounts
    #: Wakeup to notify when there is something to take up.
    changes: Wakeup
    #: The ledger from which on all is looked at again.
    _look_ledger: int = field(default=0, init=False)

    async def step(self) -> bool:
        """Look once; tell whether anybody is brought back."""
        if not (self.chain_view.is_fresh and self.accounts.can_pay):
            return False
        ledger = self.chain_view.current.ledger.sequence
        if is_ahead(self._look_ledger, ledger, most=_LOOK_EVERY):
            return False
        self._look_ledger = ledger + _LOOK_EVERY
        seeming = await self.store.find(limit=MAX_FARMERS)
        if not seeming:
            return False
        seen_at, states = await self.chain.trusted(Decision.BRING_BACK).accounts(
            list(seeming.values())
        )
        present = {state.address for state in states if state.exists and state.has_trustline}
        lost = [wallet for wallet, address in seeming.items() if address not in present]
        brought = await self.store.bring_back(lost, ledger=seen_at) if lost else 0
        if brought:
            log.warning(
                "farmers without an account or a line are brought back",
                count=brought,
                wallets=[str(wallet) for wallet in lost],
            )
            self.changes.notify()
        return brought > 0

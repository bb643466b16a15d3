"""The onboarding of farmers: accounts and trustlines, up to 19 farmers in one transaction."""

from dataclasses import dataclass, field

from libs.common.log import get_logger
from services.wallet.chain import MAX_FARMERS, Chain, Newcomer, sign_onboarding
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.fair_turns import Turns
from services.wallet.domain.model import OperationKind, QueuedOperation
from services.wallet.domain.outcomes import MAX_PAUSE
from services.wallet.domain.settling import later
from services.wallet.domain.trust import Decision
from services.wallet.engine.broken_keys import BROKEN, BrokenKeys
from services.wallet.engine.signers import Signers
from services.wallet.engine.treasury.transactions import TreasuryTransactions
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.operations import OperationStore

log = get_logger(__name__)

#: Farmers among which those of the next transaction are chosen, so that many of one pooler do not
#: hide those of others.
_CHOICE = 3 * MAX_FARMERS


@dataclass(frozen=True, kw_only=True)
class Onboarder:
    """The onboarding of farmers by one transaction of the treasury at a time."""

    chain: Chain
    operations: OperationStore
    treasury: Treasury
    signers: Signers
    transactions: TreasuryTransactions
    broken_keys: BrokenKeys
    #: The turns of poolers.
    turns: Turns = field(default_factory=Turns)

    async def step(self) -> bool:
        """Onboard up to 19 farmers; tell whether there were any."""
        claimed = await self.transactions.take_up(OperationKind.ONBOARD, limit=_CHOICE)
        if not claimed:
            return False
        addresses = [self.treasury.wallet.address, *(item.address for item in claimed)]
        chain = self.chain.trusted(Decision.USE_NUMBER)
        ledger, (payer, *found) = await chain.accounts(addresses)
        states = {state.address: state for state in found}
        present = [item for item in claimed if states[item.address].has_trustline]
        await self.transactions.settle_present(present, ledger)
        missing = [item for item in claimed if not states[item.address].has_trustline]
        missing = await self._willing(missing, states, ledger)
        together = self.turns.following(missing, most=MAX_FARMERS)
        rest = {item.id for item in missing} - {item.id for item in together}
        await self.operations.release(sorted(rest))
        if together:
            sequence = await self.transactions.next_sequence(payer, ledger)
            try:
                await self._submit(together, states, sequence)
            except BROKEN as error:
                await self.broken_keys.set_aside(together, error)
        return True

    async def _willing(
        self, missing: list[QueuedOperation], states: dict[str, AccountState], ledger: int
    ) -> list[QueuedOperation]:
        """Put farmers off whose accounts do not obey; return the others.

        Whoever has the key can make the account, and lock it, before the pool does. All that would
        share a transaction with it would fail.
        """
        locked = [item for item in missing if not states[item.address].obeys]
        if locked:
            log.warning("accounts do not obey", wallets=[str(item.wallet_id) for item in locked])
            due = ledger + MAX_PAUSE
            await self.operations.settle_queued([later(item, due_ledger=due) for item in locked])
        return [item for item in missing if states[item.address].obeys]

    async def _submit(
        self, missing: list[QueuedOperation], states: dict[str, AccountState], sequence: int
    ) -> None:
        wallets = [self.treasury.wallet.id, *(item.wallet_id for item in missing)]
        bid = self.transactions.bid(OperationKind.ONBOARD)
        async with self.signers.open(wallets) as (treasury, *signers):
            newcomers = [
                Newcomer(signer=signer, has_account=states[signer.address].exists)
                for signer in signers
            ]
            await self.transactions.submit(
                missing,
                lambda: sign_onboarding(
                    newcomers,
                    network=self.chain.network,
                    treasury=treasury,
                    sequence=sequence,
                    bid=bid,
                ),
            )

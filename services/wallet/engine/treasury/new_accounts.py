"""Accounts of the pool's own, channel and payer accounts: their keys, and their creation.

The treasury creates the accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.chain import MAX_NEW_ACCOUNTS, Chain, NewAccount, sign_new_accounts
from services.wallet.domain.model import OperationKind, QueuedOperation
from services.wallet.domain.trust import Decision
from services.wallet.engine.signers import Signers
from services.wallet.engine.treasury.transactions import TreasuryTransactions
from services.wallet.engine.treasury_account import Treasury
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.seal import SealedKey, seal_new_key

#: Keys that are made at once.
_KEYS = 50


async def make_keys(provider: KeyProvider, missing: int) -> list[tuple[SealedKey, OperationId]]:
    """Seal new keys, as many as are missing or can be made at once.

    Each comes with the id of the operation that is to create its account.
    """
    return [
        (await seal_new_key(provider, WalletId(new_id())), OperationId(new_id()))
        for _ in range(min(_KEYS, missing))
    ]


@dataclass(frozen=True, kw_only=True)
class NewAccounts:
    """The creation of the pool's own accounts by the treasury."""

    chain: Chain
    treasury: Treasury
    signers: Signers
    transactions: TreasuryTransactions

    async def create(self, kind: OperationKind, *, funding: int) -> bool:
        """Create accounts with `funding` stroops of XLM each, up to 100 in one transaction.

        Tell whether there were any to create.
        """
        claimed = await self.transactions.take_up(kind, limit=MAX_NEW_ACCOUNTS)
        if not claimed:
            return False
        addresses = [self.treasury.wallet.address, *(item.address for item in claimed)]
        chain = self.chain.trusted(Decision.USE_NUMBER)
        ledger, (treasury, *states) = await chain.accounts(addresses)
        there = [item for item, state in zip(claimed, states, strict=True) if state.exists]
        await self.transactions.settle_present(there, ledger)
        missing = [item for item in claimed if item not in there]
        if missing:
            sequence = await self.transactions.next_sequence(treasury, ledger)
            await self._submit(missing, funding, sequence)
        return True

    async def _submit(
        self, operations: Sequence[QueuedOperation], funding: int, sequence: int
    ) -> None:
        bid = self.transactions.bid(operations[0].kind)
        new_accounts = [NewAccount(address=item.address, amount=funding) for item in operations]
        # An account is paid only if its key opens: only the pool's own accounts are made.
        wallets = [self.treasury.wallet.id, *(item.wallet_id for item in operations)]
        async with self.signers.open(wallets) as (treasury, *_):
            await self.transactions.submit(
                operations,
                lambda: sign_new_accounts(
                    new_accounts,
                    network=self.chain.network,
                    treasury=treasury,
                    sequence=sequence,
                    bid=bid,
                ),
            )

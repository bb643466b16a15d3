"""The closing of accounts of farmers and poolers that leave, up to 19 in one transaction.

The ledger sees to it that it is done once and takes nothing: a line with KALE cannot be removed,
what an account has besides keeps it from being merged, and one that is gone cannot be merged again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.failpoints import failpoint
from libs.common.ids import WalletId
from libs.common.log import get_logger
from services.wallet.chain import MAX_FARMERS, Chain, Closed, sign_closings
from services.wallet.domain.closing import Closing, ClosingAccount, Obstacle, closing_of, reason_of
from services.wallet.domain.errors import PayoutAddressTamperedError
from services.wallet.domain.model import (
    FailureReason,
    OperationEvent,
    OperationKind,
    QueuedOperation,
    Settlement,
)
from services.wallet.domain.settling import apart, given_up, later
from services.wallet.domain.trust import Decision
from services.wallet.engine.broken_keys import BROKEN, BrokenKeys
from services.wallet.engine.signers import Signers
from services.wallet.engine.treasury.transactions import TreasuryTransactions
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.closings import ClosingStore
from services.wallet.store.operations import OperationStore
from services.wallet.store.withdrawals import WithdrawalStore

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class AccountReader:
    """What is read of an account before it is closed, by agreement of nodes."""

    chain: Chain
    withdrawals: WithdrawalStore

    async def read(self, addresses: Sequence[str]) -> tuple[int, dict[str, ClosingAccount]]:
        """Return the ledger that was read, and accounts by address."""
        chain = self.chain.trusted(Decision.CLOSE_ACCOUNT)
        ledger, found = await chain.closing_accounts(addresses)
        return ledger, {one.state.address: one for one in found}

    async def judge(
        self, wallet_id: WalletId, account: ClosingAccount, ledger: int
    ) -> Closing | Obstacle:
        """Return how a wallet's account is closed, or why it is not.

        Raises PayoutAddressTamperedError.
        """
        past = await self.withdrawals.past_of(wallet_id)
        address, destination = past.now.address, None
        if address:
            chain = self.chain.trusted(Decision.REFUSE_DESTINATION)
            destination = (await chain.destinations([address]))[address]
        return closing_of(account, destination, ledger=ledger)


@dataclass(frozen=True, kw_only=True)
class AccountCloser:
    """The closing of accounts by one transaction of the treasury at a time."""

    reader: AccountReader
    closings: ClosingStore
    operations: OperationStore
    treasury: Treasury
    signers: Signers
    transactions: TreasuryTransactions
    broken_keys: BrokenKeys

    async def step(self) -> bool:
        """Close up to 19 accounts; tell whether there were any to close."""
        claimed = await self.transactions.take_up(OperationKind.CLOSE_ACCOUNT, limit=MAX_FARMERS)
        if not claimed:
            return False
        together, waiting = apart(claimed)
        await self.operations.release([item.id for item in waiting])
        ledger, accounts = await self.reader.read([item.address for item in together])
        there = await self._settle_gone(together, accounts, ledger)
        ready = await self._ready(there, accounts, ledger)
        if ready:
            try:
                await self._submit(ready)
            except BROKEN as error:
                await self.broken_keys.set_aside([item for item, _ in ready], error)
        return True

    async def _settle_gone(
        self,
        operations: Sequence[QueuedOperation],
        accounts: dict[str, ClosingAccount],
        ledger: int,
    ) -> list[QueuedOperation]:
        """Settle those whose account is gone, whoever closed it; return the others."""
        gone = [item for item in operations if not accounts[item.address].state.exists]
        done = [
            Settlement(operation_id=item.id, event=OperationEvent.SUCCEED, ledger=ledger)
            for item in gone
        ]
        if await self.operations.settle_queued(done):
            await failpoint("wallet.closing.gone")
            self.transactions.accounts.touch((item.wallet_id, item.address) for item in gone)
            self.transactions.wakeups.tell_settled()
        return [item for item in operations if item not in gone]

    async def _ready(
        self,
        operations: Sequence[QueuedOperation],
        accounts: dict[str, ClosingAccount],
        ledger: int,
    ) -> list[tuple[QueuedOperation, Closing]]:
        """Return those that can be closed now, and how; put off or give up the others."""
        busy = await self.closings.busy([item.wallet_id for item in operations])
        ready, settled = list[tuple[QueuedOperation, Closing]](), list[Settlement]()
        for item in operations:
            if item.wallet_id in busy:
                settled.append(later(item, due_ledger=ledger + 1))
                continue
            try:
                found = await self.reader.judge(item.wallet_id, accounts[item.address], ledger)
            except PayoutAddressTamperedError as error:
                # It is this one's trouble alone: the others are closed.
                settled.append(given_up(item, FailureReason.TAMPERED, error.message))
                continue
            if isinstance(found, Closing):
                ready.append((item, found))
            else:
                log.warning("account not closed", wallet=str(item.wallet_id), why=found.message)
                settled.append(given_up(item, reason_of(found), found.message))
        if await self.operations.settle_queued(settled):
            self.transactions.wakeups.tell_settled()
        return ready

    async def _submit(self, ready: Sequence[tuple[QueuedOperation, Closing]]) -> None:
        treasury = self.treasury.wallet
        chain = self.reader.chain.trusted(Decision.USE_NUMBER)
        ledger, (state,) = await chain.accounts([treasury.address])
        sequence = await self.transactions.next_sequence(state, ledger)
        bid = self.transactions.bid(OperationKind.CLOSE_ACCOUNT)
        wallets = [treasury.id, *(item.wallet_id for item, _ in ready)]
        async with self.signers.open(wallets) as (payer, *signers):
            closed = [
                Closed(signer=signer, closing=closing)
                for signer, (_, closing) in zip(signers, ready, strict=True)
            ]
            await self.transactions.submit(
                [item for item, _ in ready],
                lambda: sign_closings(
                    closed,
                    treasury=payer,
                    sequence=sequence,
                    network=self.reader.chain.network,
                    bid=bid,
                ),
            )

"""Reserves taken back from farmers who never planted and hold nothing, by an operator's command.

The ledger sees to it that it is done once and takes nothing: a line with KALE cannot be removed,
and an account that is gone cannot be merged again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.errors import DeadlineExceededError
from libs.common.ids import FarmerId, PoolerId
from libs.common.log import get_security_logger
from services.wallet.chain import MAX_FARMERS, Chain, Leaver, sign_reclaim
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import OperationKind, Wallet
from services.wallet.domain.reclaiming import Verdict, verdict
from services.wallet.domain.trust import Decision
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.sender import Sender
from services.wallet.engine.sequence_sources import next_numbers
from services.wallet.engine.signers import Signers
from services.wallet.engine.treasury.commanded import LIFETIMES, LOOK_SECONDS, send_commanded
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.transactions import Draft, TransactionStore
from services.wallet.store.wallets import WalletStore

security = get_security_logger()

#: Transactions that are tried at most.
_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Reclaimed:
    """A farmer's wallet, and what became of its account."""

    wallet: Wallet
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Reclaimer:
    """The merger of farmers' accounts into the treasury, up to 19 in one transaction."""

    chain: Chain
    treasury: Treasury
    signers: Signers
    wallets: WalletStore
    transactions: TransactionStore
    accounts: Accounts
    sender: Sender
    chain_view: ChainView
    limits: OperatorLimits

    async def reclaim(
        self,
        pooler_id: PoolerId,
        farmers: Sequence[FarmerId],
        *,
        idle_hours: int,
        dry_run: bool,
        actor: str,
    ) -> list[Reclaimed]:
        """Merge the accounts of farmers (none named: of a pooler) who never planted; return them.

        Their wallets were made `idle_hours` ago or earlier, and nothing of them is open. With
        `dry_run` only look. Raises DeadlineExceededError when no ledger took the transaction for a
        long time, SigningPausedError; the call may be repeated.
        """
        wallets = await self.wallets.idle(pooler_id, farmers, hours=idle_hours, limit=MAX_FARMERS)
        states = await self._states(wallets)
        found = [Reclaimed(wallet=one, verdict=verdict(states[one.address])) for one in wallets]
        ready = [one.wallet for one in found if one.verdict is Verdict.RECLAIMED]
        if ready and not dry_run:
            names = sorted(str(one.id) for one in ready)
            security.warning("reserves reclaimed", wallets=names, actor=actor)
            await self._merge(ready, states)
        return found

    async def _states(self, wallets: Sequence[Wallet]) -> Mapping[str, AccountState]:
        """Return the accounts, by agreement, and have the database know of them."""
        chain = self.chain.trusted(Decision.REFUSE_ACCOUNT)
        _, states = await chain.accounts([one.address for one in wallets]) if wallets else (0, [])
        self.accounts.touch((one.id, one.address) for one in wallets)
        return {state.address: state for state in states}

    async def _merge(self, ready: Sequence[Wallet], states: Mapping[str, AccountState]) -> None:
        """Send transactions until all of these accounts are gone."""
        view = self.chain_view
        until, tries = view.now() + LIFETIMES * self.limits.lifetime, 0
        while True:
            seen = view.changed.count
            left = [one for one in ready if verdict(states[one.address]) is Verdict.RECLAIMED]
            if not left:
                return
            if view.now() > until or tries >= _TRIES:
                raise DeadlineExceededError("no ledger has merged the accounts so far")
            # What is in flight may be this very transaction.
            if not await self.transactions.is_busy(self.treasury.wallet.address):
                tries += 1
                await self._send(left, states)
            await view.changed.wait(seen, LOOK_SECONDS)
            states = await self._states(ready)

    async def _send(self, wallets: Sequence[Wallet], states: Mapping[str, AccountState]) -> None:
        state, treasury = self.chain_view.current, self.treasury.wallet
        chain = self.chain.trusted(Decision.USE_NUMBER)
        ledger, read = await chain.sequences([treasury.address])
        numbers = await next_numbers(self.transactions, read, ledger)
        async with self.signers.open([treasury.id, *(one.id for one in wallets)]) as keys:
            envelope = sign_reclaim(
                [
                    Leaver(signer=key, has_line=states[key.address].has_trustline)
                    for key in keys[1:]
                ],
                network=self.chain.network,
                treasury=keys[0],
                sequence=numbers[treasury.address],
                bid=state.bid(OperationKind.ONBOARD, 0, self.limits),
            )
        draft = Draft(
            envelope=envelope, operation_ids=(), stakes_returned=(), merged=tuple(wallets)
        )
        await send_commanded(
            draft,
            transactions=self.transactions,
            sender=self.sender,
            ledger=state.ledger.sequence,
            cap=self.limits.cap(len(wallets), is_payment=False),
            paused="signing is paused for one of the farmers, or for everything",
        )

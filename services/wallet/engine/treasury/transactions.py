"""The treasury's transactions: one at a time, each for several operations of one kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from libs.common.ids import WalletId
from services.wallet.chain import Chain, FeeCapExceededError
from services.wallet.domain.bids import Bid, OperatorLimits
from services.wallet.domain.chain_facts import AccountState, SignedEnvelope
from services.wallet.domain.model import OperationEvent, OperationKind, QueuedOperation, Settlement
from services.wallet.domain.settling import later
from services.wallet.domain.trust import Decision
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.alarms import Alarm, Alarms
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.forgeries import Forgeries
from services.wallet.engine.sender import Sender
from services.wallet.engine.sequence_sources import LEASE, next_numbers
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.wakeup import Wakeups
from services.wallet.store.operations import OperationStore
from services.wallet.store.transactions import Draft, TransactionStore

#: Seconds until the next try when the bid was above the cap, or no budget allowed it.
_CAP_PAUSE = 60


@dataclass(kw_only=True)
class RentTurn:
    """A flag that rent has to be paid: the treasury's other transactions wait for that."""

    is_waiting: bool = False


@dataclass(frozen=True, kw_only=True)
class TreasuryTransactions:
    """A carrier of the treasury's operations: takes them up, settles those that are done, sends."""

    chain: Chain
    operations: OperationStore
    transactions: TransactionStore
    treasury: Treasury
    accounts: Accounts
    chain_view: ChainView
    sender: Sender
    wakeups: Wakeups
    limits: OperatorLimits
    alarms: Alarms
    forgeries: Forgeries
    rent_turn: RentTurn

    async def take_up(self, kind: OperationKind, *, limit: int) -> list[QueuedOperation]:
        """Take up operations of a kind, if the treasury can pay and has nothing in flight."""
        if not (self.chain_view.is_fresh and self.accounts.can_pay):
            return []
        if self.rent_turn.is_waiting:  # farmers' calls may soon have to wait for the rent
            return []
        claimed = await self.operations.claim_for_treasury(
            kind,
            limit=limit,
            lease=LEASE,
            ledger=self.chain_view.current.ledger.sequence,
            treasury=self.treasury.wallet.address,
        )
        return await self.forgeries.sift(claimed)

    def bid(self, kind: OperationKind) -> Bid:
        """Return what an envelope for operations of this kind may cost now."""
        return self.chain_view.current.bid(kind, 0, self.limits)

    async def next_sequence(self, treasury: AccountState, ledger: int) -> int:
        """Return the treasury's next sequence number, after what a node showed at a ledger."""
        read = {treasury.address: treasury.sequence}
        return (await next_numbers(self.transactions, read, ledger))[treasury.address]

    async def settle_present(self, present: Sequence[QueuedOperation], ledger: int) -> None:
        """Settle without a transaction what the chain shows to be done, whoever did it.

        Where there are several nodes, they have to agree on it.
        """
        if not present:
            return
        there = await self._confirmed(present)
        await self.operations.settle_queued(
            [
                Settlement(operation_id=item.id, event=OperationEvent.SUCCEED, ledger=ledger)
                if item.address in there
                else later(item, due_ledger=ledger + 1)
                for item in present
            ]
        )
        self.accounts.touch((item.wallet_id, item.address) for item in present)
        self.wakeups.tell_settled()

    async def _confirmed(self, present: Sequence[QueuedOperation]) -> set[str]:
        """Return the addresses of the operations' accounts that are there."""
        addresses = {item.address: item.kind for item in present}
        if self.chain.configured == 1:
            return set(addresses)
        chain = self.chain.trusted(Decision.SETTLE_FUNDING)
        _, states = await chain.accounts(list(addresses))
        return {
            state.address
            for state in states
            if state.exists
            and (state.has_trustline or addresses[state.address] is not OperationKind.ONBOARD)
        }

    async def submit(
        self,
        operations: Sequence[QueuedOperation],
        sign: Callable[[], SignedEnvelope],
        *,
        payer: WalletId | None = None,
        payments: int = 0,
    ) -> None:
        """Sign for these operations, commit the envelope and send it.

        When the bid is above the cap the operations wait, and an alarm tells that once. `payer` is
        the payer whose transaction it is, when the operations make so many `payments`.
        """
        name = f"{operations[0].kind.value}s"
        try:
            envelope = sign()
        except FeeCapExceededError as error:
            alarm = Alarm(name=name, cause="MAX_FEE_STROOPS", message=error.message)
            self.alarms.tell(alarm)
            await self._postpone(operations)
            return
        ids, ledger = tuple(item.id for item in operations), self.chain_view.current.ledger.sequence
        draft = Draft(
            envelope=envelope, operation_ids=ids, stakes_returned=(0,) * len(ids), payer_id=payer
        )
        committed = await self.transactions.commit_signed([draft], ledger=ledger)
        if committed.unpaid:
            unpaid = Alarm(
                name=name, cause="FEE_DAILY_STROOPS", message="the fee budget is used up"
            )
            self.alarms.tell(unpaid)
            await self._postpone([item for item in operations if item.id in committed.unpaid])
            await self.operations.release(sorted(committed.spared))
        if not committed.recorded:
            return
        self.alarms.over(name)
        cap = self.limits.cap(payments or len(ids), is_payment=payer is not None)
        await self.sender.send_committed([draft], ledger=ledger, cap=lambda _: cap)

    async def _postpone(self, operations: Sequence[QueuedOperation]) -> None:
        waiting = [later(operation, seconds=_CAP_PAUSE) for operation in operations]
        await self.operations.settle_queued(waiting)

"""A tracker that finds the end of every open transaction and settles the operations it carried."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from libs.common.errors import PoolError, UnavailableError
from libs.common.failpoints import failpoint
from libs.common.log import get_logger
from services.wallet.chain import Chain, DisagreementError, Included
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.chain_facts import LedgerHead, Outcome, OutcomeStatus
from services.wallet.domain.exclusion import Exclusion
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import (
    Closing,
    OpenTransaction,
    TransactionId,
    TransactionState,
)
from services.wallet.domain.submission import is_due_to_send, is_stuck
from services.wallet.domain.trust import Decision
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.follower import Follower
from services.wallet.engine.in_flight import InFlight
from services.wallet.engine.payments.payer_numbers import PayerNumbers
from services.wallet.engine.sender import Outgoing, Sender
from services.wallet.engine.settle.closings import Closings
from services.wallet.engine.settle.exclusion import exclusion_of, functions_of
from services.wallet.engine.settle.forged import ForgedTransactions
from services.wallet.engine.settle.forgotten import Forgotten
from services.wallet.engine.settle.payment_closings import PaymentClosings
from services.wallet.engine.template_book import TemplateBook
from services.wallet.engine.wakeup import Wakeups
from services.wallet.store.transactions import TransactionStore

log = get_logger(__name__)

#: Transactions that are looked up one by one at the same time.
_PARALLEL = 16
#: Ledgers that are looked through at most; older transactions are looked up one by one.
_SCAN = 20
#: Ledgers after which every process follows what another process has signed.
_LEFT_TO_OTHERS = 3


class Tracker:
    """The follower of open transactions.

    A process follows its own transactions from the moment that it has sent them. It follows the
    transactions of others when these should have settled them by then. Two processes that follow
    the same transaction do no harm.

    The new ledgers are read as a whole, by agreement, which settles nearly everything in a few
    requests. A transaction that they do not show is looked up by its hash once it is due: to be
    sent again, or to be proven excluded. Payments are settled by their payers' numbers instead.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        transactions: TransactionStore,
        follower: Follower,
        chain_view: ChainView,
        accounts: Accounts,
        sender: Sender,
        in_flight: InFlight,
        templates: TemplateBook,
        numbers: PayerNumbers,
        limits: OperatorLimits,
        wakeups: Wakeups,
    ) -> None:
        self._chain = chain
        self._transactions = transactions
        self._chain_view = chain_view
        self._accounts = accounts
        self._sender = sender
        self._in_flight = in_flight
        self._limits = limits
        self._wakeups = wakeups
        self._closings = Closings(chain, follower, templates)
        self._payments = PaymentClosings(chain, self._closings, numbers)
        self._forgotten = Forgotten(chain, follower, transactions)
        self._forged = ForgedTransactions(chain, transactions)
        self._limit = asyncio.Semaphore(_PARALLEL)
        #: The last ledger that was looked through; None before the first look.
        self._scanned: int | None = None

    async def step(self) -> int:
        """Look once at all transactions that are followed; return how many there were."""
        if self._chain_view.newest is None:
            return 0  # nothing was seen of the chain so far: the first ledger rings the wakeup
        await self._take_over()
        head = self._chain_view.current.ledger
        followed = self._in_flight.ids
        transactions = await self._transactions.open(followed) if followed else []
        self._in_flight.forget(followed - {item.id for item in transactions})
        if not transactions:
            self._scanned = head.sequence
            return 0
        # The list was read after the head: a transaction in a ledger up to the head was committed
        # before, so it is in the list. Later ledgers may have more, and are looked through again.
        told = await self._told(transactions, head)
        rest = await self._settle(transactions, told)
        await self._follow_up(rest)
        return len(transactions)

    async def _take_over(self) -> None:
        """Follow what others signed some ledgers ago; at the start, follow all that is open.

        The process that signed a transaction may be gone.
        """
        scanned = self._scanned
        head = self._chain_view.current.ledger.sequence
        until = head if scanned is None else head - _LEFT_TO_OTHERS
        found = await self._transactions.overdue(signed_until=until, known=self._in_flight.ids)
        if found:
            self._in_flight.take_over(found)
            self._scanned = min(scanned or head, *found.values())

    async def _told(
        self, transactions: Sequence[OpenTransaction], head: LedgerHead
    ) -> dict[TransactionId, Outcome]:
        """Return what the ledgers since the last look say of these, as far as nodes agree."""
        included = await self._scan(transactions, head)
        if included is None:
            return {}
        return {
            item.id: included.outcomes[item.hash]
            for item in transactions
            if item.hash in included.outcomes
        }

    async def _scan(
        self, transactions: Sequence[OpenTransaction], head: LedgerHead
    ) -> Included | None:
        """Read the ledgers since the last look; return None when nodes do not give them."""
        oldest = self._in_flight.oldest(head.sequence)
        if self._scanned is not None and self._scanned > head.sequence:
            self._scanned = None  # ledgers that never were: the head has been turned back
        scanned = min(self._scanned or oldest, head.sequence)
        first = max(scanned, min(oldest, head.sequence), head.sequence - _SCAN, head.oldest) + 1
        if first > head.sequence:
            return None
        wanted = {item.hash: functions_of(item) for item in transactions}
        try:
            included = await self._chain.trusted(Decision.SETTLE_CALL).included(first, wanted)
        except PoolError as error:
            # Also RpcRejectedError: nodes answer so to a range that they do not have (yet).
            log.warning("ledgers not read", error=str(error))
            return None
        self._scanned = max(scanned, min(included.head.sequence, head.sequence))
        return included

    async def _settle(
        self, transactions: Sequence[OpenTransaction], told: Mapping[TransactionId, Outcome]
    ) -> list[OpenTransaction]:
        """Settle the transactions whose end is known, all at once; return the others."""
        payments = [item for item in transactions if item.bump_to is not None]
        closings = await self._close_payments(payments, told)
        for item in transactions:
            if item.id in told and item.bump_to is None:
                closing = await self._included(item, told[item.id])
                closings += [] if closing is None else [closing]
        await self._close(closings, transactions)
        closed = {closing.transaction_id for closing in closings}
        self._accounts.touch(
            (operation.wallet_id, operation.address)
            for transaction in transactions
            if transaction.id in closed
            for operation in transaction.operations
            if OPERATION_KINDS[operation.kind].moves_balance
        )
        return [item for item in transactions if item.id not in closed]

    async def _included(self, transaction: OpenTransaction, outcome: Outcome) -> Closing | None:
        """Return the closing of a transaction that a ledger has.

        Where the result is not understood, the chain's state decides; return None while nodes do
        not show it.
        """
        if outcome.status is not OutcomeStatus.UNKNOWN:
            return await self._closings.included(transaction, outcome)
        self._chain.unknowns.tell(
            "results of transactions",
            outcome.unknown,
            instead="operations are settled by the state of the chain",
        )
        try:
            return await self._forgotten.closing(
                transaction,
                ledger=outcome.ledger,
                fee=outcome.fee_charged,
                why=f"its result is not known: {outcome.unknown}",
            )
        except UnavailableError as error:
            log.warning("state not read", transaction=str(transaction.id), error=str(error))
            return None

    async def _close_payments(
        self, payments: Sequence[OpenTransaction], told: Mapping[TransactionId, Outcome]
    ) -> list[Closing]:
        """Return the closings of payments; none at all while their payers cannot be read."""
        try:
            return await self._payments.of(payments, told)
        except UnavailableError as error:
            log.warning("payers not read", error=str(error))
            return []

    async def _follow_up(self, transactions: Iterable[OpenTransaction]) -> None:
        """Look up the transactions that are due to be sent (again), or are past their bound."""
        # Read before any transaction is looked up: the first half of the proof of exclusion.
        head = await self._chain.head()
        due = [
            item
            for item in transactions
            if is_due_to_send(item, head) or head.close_time > item.max_time
        ]
        found = await asyncio.gather(*(self._guarded(item, head) for item in due))
        await self._close([item for item in found if isinstance(item, Closing)], due)
        await self._sender.send(
            [item for item in found if isinstance(item, Outgoing)], ledger=head.sequence
        )

    async def _guarded(
        self, transaction: OpenTransaction, head: LedgerHead
    ) -> Closing | Outgoing | None:
        """Follow one transaction; leave it open when its end could not be found out.

        A failure of one transaction does not touch the others.
        """
        async with self._limit:
            try:
                return await self._follow(transaction, head)
            except PoolError as error:
                log.warning("lookup delayed", transaction=str(transaction.id), error=str(error))
            except Exception:
                log.exception("defect", transaction=str(transaction.id))
        return None

    async def _follow(
        self, transaction: OpenTransaction, head: LedgerHead
    ) -> Closing | Outgoing | None:
        if transaction.bump_to is None:
            closing = await self._looked_up(transaction, head)
            if closing is not None:
                return closing
        if not is_due_to_send(transaction, head):
            return None
        bid = self._forged.bid_of(transaction)
        if bid is None:
            return None
        is_payment, count = transaction.bump_to is not None, len(transaction.operations)
        # A deployment carries no operation; its own bid is its cap.
        cap = self._limits.cap(count, is_payment=is_payment) or bid
        return Outgoing(
            id=transaction.id,
            envelope=transaction.envelope,
            max_fee=cap,
            is_stuck=is_stuck(transaction, head),
            is_repeat=transaction.state is TransactionState.SENT,
        )

    async def _looked_up(self, transaction: OpenTransaction, head: LedgerHead) -> Closing | None:
        """Look a transaction up by its hash, or by what all nodes say once its bound has passed."""
        outcome = await self._agreed_outcome(transaction)
        if outcome is not None:
            return await self._included(transaction, outcome)
        exclusion, ledger = await exclusion_of(self._chain, transaction, head)
        if exclusion is Exclusion.PROVEN:
            return await self._closings.excluded(transaction)
        if exclusion is Exclusion.SPENT:
            return await self._forgotten.closing(transaction, ledger=ledger)
        return None

    async def _agreed_outcome(self, transaction: OpenTransaction) -> Outcome | None:
        """Return what a ledger did; None when nodes do not know, or contradict one another."""
        functions = functions_of(transaction)
        try:
            outcome = await self._chain.trusted(Decision.SETTLE_CALL).outcome(
                transaction.lookup_hash, functions
            )
        except DisagreementError as error:
            log.warning("nodes disagree", transaction=str(transaction.id), error=str(error))
            return None
        return None if outcome.status is OutcomeStatus.NOT_FOUND else outcome

    async def _close(
        self, closings: Sequence[Closing], transactions: Sequence[OpenTransaction]
    ) -> None:
        """Close some of these transactions, and settle what they carried."""
        if not closings:
            return
        ended = {closing.transaction_id for closing in closings}
        forged = self._forged.among([item for item in transactions if item.id in ended])
        await failpoint("wallet.settle.before")
        await self._transactions.close(closings, forged=forged)
        self._in_flight.forget(closing.transaction_id for closing in closings)
        await failpoint("wallet.settle.after")
        self._wakeups.tell_settled()

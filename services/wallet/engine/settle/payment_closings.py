"""Closings of payers' transactions by the payers' numbers, whatever was said of their hashes.

What nodes say of a hash tells only why the transaction failed and what it cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.errors import PoolError
from libs.common.log import get_logger
from services.wallet.chain import Chain
from services.wallet.domain.chain_facts import AccountState, LedgerHead, Outcome, OutcomeStatus
from services.wallet.domain.model import (
    CarriedOperation,
    Closing,
    OpenTransaction,
    Settlement,
    TransactionEvent,
    TransactionId,
)
from services.wallet.domain.payments import Fate, fate
from services.wallet.domain.settling import later, share, shown_paid
from services.wallet.domain.trust import Decision
from services.wallet.engine.payments.payer_numbers import PayerNumbers
from services.wallet.engine.settle.closings import Closings

log = get_logger(__name__)

#: The outcomes that nodes told for transactions' hashes; absent where nothing is known.
Told = Mapping[TransactionId, Outcome]


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """A payer account as it was read."""

    #: The head that was shown before the account was read.
    head: LedgerHead
    #: The ledger that the account was read at.
    ledger: int
    #: The payer's account.
    account: AccountState

    @property
    def used_ledger(self) -> int:
        """Return the ledger that used the number, as far as the account says."""
        return self.account.used_ledger or self.ledger


class PaymentClosings:
    """The closings of payers' transactions, by their sequence numbers."""

    def __init__(self, chain: Chain, closings: Closings, numbers: PayerNumbers) -> None:
        self._chain = chain
        self._closings = closings
        self._numbers = numbers

    async def of(self, transactions: Sequence[OpenTransaction], told: Told) -> list[Closing]:
        """Return the closings of transactions whose end their payers' numbers show.

        The numbers are read by agreement.
        """
        if not transactions:
            return []
        # Shown before the numbers are read: past the bound, an unused number stays unused.
        head = await self._chain.head()
        chain = self._chain.trusted(Decision.SETTLE_PAYMENT)
        ledger, accounts = await chain.accounts([item.source for item in transactions])
        closings: list[Closing] = []
        for item, account in zip(transactions, accounts, strict=True):
            reading = _Reading(head=head, ledger=ledger, account=account)
            closing = await self._closing(item, reading, told) if account.exists else None
            closings += [] if closing is None else [closing]
        return closings

    async def _closing(
        self, transaction: OpenTransaction, reading: _Reading, told: Told
    ) -> Closing | None:
        number, bump_to = reading.account.sequence, transaction.bump_to or 0
        match fate(sequence=transaction.sequence, bump_to=bump_to, number=number):
            case Fate.PAID:
                return await self._paid(transaction, reading, told)
            case Fate.DEAD if number == transaction.sequence:
                return await self._failed(transaction, reading, told)
            case Fate.DEAD:
                return await self._overtaken(transaction, reading)
            case Fate.WAITING | Fate.UNKNOWN if self._is_over(transaction, reading):
                return await self._closings.excluded(transaction)
        return None

    @staticmethod
    def _is_over(transaction: OpenTransaction, reading: _Reading) -> bool:
        """Tell whether the number was read past the envelope's bound."""
        is_past = reading.head.close_time > transaction.max_time
        return is_past and reading.ledger >= reading.head.sequence

    async def _paid(self, transaction: OpenTransaction, reading: _Reading, told: Told) -> Closing:
        outcome = await self._outcome(transaction, told)
        if outcome is not None and outcome.status is OutcomeStatus.SUCCESS:
            return await self._closings.included(transaction, outcome)
        # An earlier envelope made the same payments, or no node remembers: the bid counts as the
        # cost.
        count, fee = len(transaction.operations), transaction.fee_bid
        return Closing(
            transaction_id=transaction.id,
            event=TransactionEvent.SUCCEED,
            settlements=tuple(
                shown_paid(
                    operation.id,
                    ledger=reading.used_ledger,
                    by=transaction.hash,
                    fee=share(fee, count, position),
                )
                for position, operation in enumerate(transaction.operations)
            ),
            ledger=reading.used_ledger,
            fee=fee,
        )

    async def _failed(self, transaction: OpenTransaction, reading: _Reading, told: Told) -> Closing:
        outcome = await self._outcome(transaction, told)
        if outcome is None or outcome.status is not OutcomeStatus.FAILED:
            outcome = Outcome(
                status=OutcomeStatus.FAILED,
                head=reading.head,
                ledger=reading.used_ledger,
                fee_charged=transaction.fee_bid,
            )
        return await self._closings.included(transaction, outcome)

    async def _overtaken(self, transaction: OpenTransaction, reading: _Reading) -> Closing:
        """Return the closing of a transaction whose number was passed over.

        Another envelope of this payer was paid, although it was once thought not to be. Payments
        that are in both envelopes were made; the others were not, and are signed again.
        """
        address, number = transaction.source, reading.account.sequence
        booked = await self._numbers.book(address, number, reading.used_ledger)
        made = {item.operation_id: item.hash for item in booked}
        log.critical("payer overtaken", address=address, number=number, made=len(made))

        def settle(operation: CarriedOperation) -> Settlement:
            if operation.id in made:
                by = made[operation.id]
                return shown_paid(operation.id, ledger=reading.used_ledger, by=by)
            return later(operation)

        return Closing(
            transaction_id=transaction.id,
            event=TransactionEvent.EXCLUDE,
            settlements=tuple(map(settle, transaction.operations)),
        )

    async def _outcome(self, transaction: OpenTransaction, told: Told) -> Outcome | None:
        """Return what nodes say of the hash; None when they do not, or contradict one another."""
        if transaction.id in told:
            return told[transaction.id]
        try:
            return await self._chain.trusted(Decision.SETTLE_PAYMENT).outcome(
                transaction.lookup_hash, ()
            )
        except PoolError as error:
            log.warning("not told", transaction=str(transaction.id), error=str(error))
            return None

"""Finds out what became of every open transaction, and settles what it carried."""

import asyncio

from libs.common.errors import UnavailableError
from libs.common.failpoints import failpoint
from libs.common.log import get_logger
from services.wallet.chain.errors import UnknownMetaError
from services.wallet.chain.model import ContractError, LedgerHead, Outcome, OutcomeStatus, PailState
from services.wallet.domain.model import (
    CarriedOperation,
    OpenTransaction,
    Settlement,
    TransactionEvent,
)
from services.wallet.domain.outcomes import Action, meaning
from services.wallet.domain.settling import excluded, refused, share, succeeded
from services.wallet.domain.submission import (
    Exclusion,
    conclude,
    is_due_to_send,
    is_proof_possible,
)
from services.wallet.engine.dispatch import EngineParts
from services.wallet.engine.sender import Outgoing

log = get_logger(__name__)

#: Transactions that are looked up at the same time.
_PARALLEL = 16
_UNKNOWN_ERROR = ContractError(raiser="transaction", code="UNKNOWN")


class Tracker:
    """Looks every open transaction up, whoever signed it; several processes do no harm."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._limit = asyncio.Semaphore(_PARALLEL)

    async def step(self) -> int:
        """One look at everything that is open; how many transactions there were."""
        transactions = await self._parts.transactions.open()
        if not transactions:
            return 0
        # Shown before any of them is looked up: the first half of the proof of exclusion.
        head = await self._parts.chain.head()
        await asyncio.gather(*(self._guarded(item, head) for item in transactions))
        return len(transactions)

    async def _guarded(self, transaction: OpenTransaction, head: LedgerHead) -> None:
        """What could not be found out stays open; a failure of one does not touch the others."""
        async with self._limit:
            try:
                await self._follow(transaction, head)
            except UnavailableError as error:
                log.warning("lookup delayed", transaction=str(transaction.id), error=str(error))
            except UnknownMetaError as error:
                log.critical(
                    "outcome unreadable", transaction=str(transaction.id), error=str(error)
                )
            except Exception:
                log.exception("defect", transaction=str(transaction.id))

    async def _follow(self, transaction: OpenTransaction, head: LedgerHead) -> None:
        outcome = await self._parts.chain.outcome(transaction.lookup_hash)
        if outcome.status is OutcomeStatus.SUCCESS:
            await self._settle_success(transaction, outcome)
        elif outcome.status is OutcomeStatus.FAILED:
            await self._settle_failure(transaction, outcome)
        elif await self._is_excluded(transaction, head, outcome):
            await self._settle_excluded(transaction)
        elif is_due_to_send(transaction, head):
            outgoing = Outgoing(
                id=transaction.id, envelope=transaction.envelope, fee_bid=transaction.fee_bid
            )
            await self._parts.sender.send(outgoing, ledger=head.sequence)

    async def _is_excluded(
        self, transaction: OpenTransaction, head: LedgerHead, outcome: Outcome
    ) -> bool:
        """The proof of STELLAR.md section 1: not found after a ledger past the bound, and the
        source's sequence number not used at such a ledger."""
        if not is_proof_possible(transaction, head, outcome):
            return False
        unused = await self._parts.chain.is_excluded(
            source=transaction.source,
            sequence=transaction.sequence,
            max_time=transaction.max_time,
            head=head,
        )
        shared = transaction.source == self._parts.treasury.wallet.address
        verdict = conclude(transaction, head, unused=unused, shared_source=shared)
        if verdict is Exclusion.UNKNOWN:
            log.critical(
                "outcome unknown", transaction=str(transaction.id), hash=transaction.lookup_hash
            )
        return verdict is Exclusion.PROVEN

    async def _settle_success(self, transaction: OpenTransaction, outcome: Outcome) -> None:
        count = len(transaction.operations)
        settlements = [
            succeeded(
                operation,
                value=outcome.value,
                ledger=outcome.ledger,
                fee=share(outcome.fee_charged, count, position),
            )
            for position, operation in enumerate(transaction.operations)
        ]
        await self._close(transaction, TransactionEvent.SUCCEED, settlements, outcome)

    async def _settle_failure(self, transaction: OpenTransaction, outcome: Outcome) -> None:
        error = outcome.error or _UNKNOWN_ERROR
        head = (await self._parts.follower.refresh()).head
        count = len(transaction.operations)
        settlements = [
            refused(
                operation,
                error,
                head,
                pail=await self._pail(operation, error),
                ledger=outcome.ledger,
                fee=share(outcome.fee_charged, count, position),
            )
            for position, operation in enumerate(transaction.operations)
        ]
        log.warning("transaction failed", transaction=str(transaction.id), error=str(error))
        await self._close(transaction, TransactionEvent.FAIL, settlements, outcome, str(error))

    async def _pail(self, operation: CarriedOperation, error: ContractError) -> PailState | None:
        if meaning(operation.kind, error).action is not Action.LOOK_UP_PAIL:
            return None
        return await self._parts.chain.pail(operation.address, operation.block_index)

    async def _settle_excluded(self, transaction: OpenTransaction) -> None:
        head = (await self._parts.follower.refresh()).head
        settlements = [
            excluded(operation, head, last_answer=transaction.last_answer)
            for operation in transaction.operations
        ]
        log.warning("transaction excluded", transaction=str(transaction.id))
        await self._close(transaction, TransactionEvent.EXCLUDE, settlements, None)

    async def _close(
        self,
        transaction: OpenTransaction,
        event: TransactionEvent,
        settlements: list[Settlement],
        outcome: Outcome | None,
        error: str = "",
    ) -> None:
        await failpoint("wallet.settle.before")
        await self._parts.transactions.close(
            transaction.id,
            event,
            settlements,
            ledger=None if outcome is None else outcome.ledger,
            fee=0 if outcome is None else outcome.fee_charged,
            error=error,
        )
        await failpoint("wallet.settle.after")
        self._parts.accounts.touch(
            (operation.wallet_id, operation.address) for operation in transaction.operations
        )
        self._parts.bell.ring()

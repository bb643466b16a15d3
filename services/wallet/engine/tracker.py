"""Finds out what became of every open transaction, and settles what it carried."""

import asyncio
from collections.abc import Collection, Iterable, Sequence

from libs.common.errors import UnavailableError
from libs.common.failpoints import failpoint
from libs.common.log import get_logger
from services.wallet.chain.errors import UnknownMetaError
from services.wallet.chain.included import Included
from services.wallet.chain.model import ContractError, LedgerHead, Outcome, OutcomeStatus, PailState
from services.wallet.domain.model import (
    FARM_KINDS,
    CarriedOperation,
    Closing,
    OpenTransaction,
    OperationKind,
    Settlement,
    TransactionEvent,
    TransactionId,
)
from services.wallet.domain.outcomes import Action, meaning
from services.wallet.domain.settling import excluded, refused, share, succeeded
from services.wallet.domain.submission import (
    Exclusion,
    conclude,
    is_due_to_send,
    is_proof_possible,
    is_stuck,
)
from services.wallet.engine.parts import EngineParts
from services.wallet.engine.sender import Outgoing
from services.wallet.engine.shapes import ShapeBook
from services.wallet.engine.unseen import Unseen

log = get_logger(__name__)

#: Transactions that are looked up one by one at the same time.
_PARALLEL = 16
#: Ledgers that are looked through at most; what is older is looked up one by one.
_SCAN = 20
#: Ledgers after which what another process has signed is followed by everybody.
_LEFT_TO_OTHERS = 3
_UNKNOWN_ERROR = ContractError(raiser="transaction", code="UNKNOWN")


def functions_of(transaction: OpenTransaction) -> list[str]:
    """The functions of the farm that it calls, in order."""
    return [item.kind.value for item in transaction.operations if item.kind in FARM_KINDS]


class Tracker:
    """Looks every open transaction up: what this process has sent at once, what others have signed
    when they should have settled it by then. Two that follow the same one do no harm.

    The new ledgers are read as a whole, which settles nearly everything in a few requests. What
    they do not show is looked up by its hash once it is due: to be sent again, or to be proven
    excluded.
    """

    def __init__(self, parts: EngineParts, shapes: ShapeBook) -> None:
        self._parts = parts
        self._shapes = shapes
        self._unseen = Unseen(parts)
        self._limit = asyncio.Semaphore(_PARALLEL)
        #: The last ledger that was looked through; None before the first look.
        self._scanned: int | None = None

    async def step(self) -> int:
        """One look at everything that is followed; how many transactions there were."""
        await self._take_over()
        followed = set(self._parts.sender.sent)
        transactions = await self._parts.transactions.open(followed) if followed else []
        self._forget(followed - {item.id for item in transactions})
        included = await self._scan(transactions, followed)
        if not transactions:
            return 0
        rest = await self._settle_included(transactions, included)
        await self._follow_up(rest)
        return len(transactions)

    async def _take_over(self) -> None:
        """Follows what was signed some ledgers ago by others, at the start all that is open: who
        signed it may be gone."""
        scanned = self._scanned
        head = self._parts.watch.current.ledger.sequence
        until = head if scanned is None else head - _LEFT_TO_OTHERS
        found = await self._parts.transactions.overdue(
            signed_until=until, known=self._parts.sender.sent
        )
        if found:
            self._parts.sender.sent.update(found)
            self._scanned = min(scanned or head, *found.values())

    def _forget(self, closed: Iterable[TransactionId]) -> None:
        """Nothing is to be followed any more, whoever closed it."""
        for transaction_id in closed:
            self._parts.sender.sent.pop(transaction_id, None)

    async def _scan(
        self, transactions: Sequence[OpenTransaction], followed: Collection[TransactionId]
    ) -> Included | None:
        """What the ledgers since the last look have of these; None when the node does not give
        them. `followed` was known when they were listed."""
        head = self._parts.watch.current.ledger
        oldest = min(self._parts.sender.sent.values(), default=None)
        if oldest is None:
            self._scanned = head.sequence
            return None
        first = max(self._scanned or oldest, oldest, head.sequence - _SCAN, head.oldest) + 1
        if first > head.sequence:
            return None
        wanted = {item.hash: functions_of(item) for item in transactions}
        try:
            included = await self._parts.chain.included(first, wanted)
        except UnavailableError as error:
            log.warning("ledgers not read", error=str(error))
            return None
        # What was sent meanwhile was not looked for: the ledgers that may have it are read again.
        later = (ledger for id_, ledger in self._parts.sender.sent.items() if id_ not in followed)
        end = min([included.head.sequence, *later])
        self._scanned = max(self._scanned or 0, end)
        return included

    async def _settle_included(
        self, transactions: Sequence[OpenTransaction], included: Included | None
    ) -> list[OpenTransaction]:
        """Settles those that a ledger has, all at once; gives the others."""
        if included is None:
            return list(transactions)
        rest: list[OpenTransaction] = []
        found: list[tuple[OpenTransaction, Outcome]] = []
        for transaction in transactions:
            outcome = included.outcomes.get(transaction.hash)
            if outcome is None:
                rest.append(transaction)
            else:
                found.append((transaction, outcome))
            if transaction.hash in included.unreadable:
                _report_unreadable(transaction, included.unreadable[transaction.hash])
        await self._close([await self._closing(item, outcome) for item, outcome in found])
        self._parts.accounts.touch(
            (operation.wallet_id, operation.address)
            for transaction, _ in found
            for operation in transaction.operations
            if operation.kind is not OperationKind.WORK  # it moves nothing of the farmer's
        )
        return rest

    async def _follow_up(self, transactions: Iterable[OpenTransaction]) -> None:
        """Looks up what is due to be sent (again), or past its bound."""
        # Shown before any of them is looked up: the first half of the proof of exclusion.
        head = await self._parts.chain.head()
        due = [
            item
            for item in transactions
            if is_due_to_send(item, head) or head.close_time > item.max_time
        ]
        closings = await asyncio.gather(*(self._guarded(item, head) for item in due))
        await self._close([closing for closing in closings if isinstance(closing, Closing)])
        await self._parts.sender.send(
            [item for item in closings if isinstance(item, Outgoing)], ledger=head.sequence
        )

    async def _guarded(
        self, transaction: OpenTransaction, head: LedgerHead
    ) -> Closing | Outgoing | None:
        """What could not be found out stays open; a failure of one does not touch the others."""
        async with self._limit:
            try:
                return await self._follow(transaction, head)
            except UnavailableError as error:
                log.warning("lookup delayed", transaction=str(transaction.id), error=str(error))
            except UnknownMetaError as error:
                _report_unreadable(transaction, str(error))
            except Exception:
                log.exception("defect", transaction=str(transaction.id))
        return None

    async def _follow(
        self, transaction: OpenTransaction, head: LedgerHead
    ) -> Closing | Outgoing | None:
        outcome = await self._parts.chain.outcome(
            transaction.lookup_hash, functions_of(transaction)
        )
        if outcome.status is not OutcomeStatus.NOT_FOUND:
            return await self._closing(transaction, outcome)
        exclusion, ledger = await self._exclusion(transaction, head, outcome)
        if exclusion is Exclusion.PROVEN:
            return await self._excluding(transaction)
        if exclusion is Exclusion.SPENT:
            return await self._unseen.closing(transaction, ledger=ledger)
        if is_due_to_send(transaction, head):
            # A deployment carries no operation; its own bid is its cap.
            cap = self._parts.terms.max_fee * len(transaction.operations) or transaction.fee_bid
            return Outgoing(
                id=transaction.id,
                envelope=transaction.envelope,
                max_fee=cap,
                is_stuck=is_stuck(transaction, head),
            )
        return None

    async def _exclusion(
        self, transaction: OpenTransaction, head: LedgerHead, outcome: Outcome
    ) -> tuple[Exclusion, int]:
        """The proof of STELLAR.md section 1: not found after a ledger past the bound, and the
        source's sequence number not used at such a ledger; all of it from one node's mouth.

        The ledger that used the number comes along, when it was used.
        """
        if not is_proof_possible(transaction, head, outcome):
            return Exclusion.NOT_YET, 0
        async with self._parts.chain.pinned() as node:
            head = await node.head()
            outcome = await node.outcome(transaction.lookup_hash, functions_of(transaction))
            if not is_proof_possible(transaction, head, outcome):
                return Exclusion.NOT_YET, 0
            ledger = await node.ledger_of_use(
                source=transaction.source, sequence=transaction.sequence, head=head
            )
        verdict = conclude(
            transaction,
            head,
            unused=ledger is None,
            shared_source=transaction.source == self._parts.treasury.wallet.address,
            remembered=outcome.head.oldest <= transaction.signed_ledger,
        )
        return verdict, ledger or 0

    # What follows ----------------------------------------------------------------------------

    async def _closing(self, transaction: OpenTransaction, outcome: Outcome) -> Closing:
        if outcome.status is OutcomeStatus.SUCCESS:
            settlements = await self._after_success(transaction, outcome)
            event, error = TransactionEvent.SUCCEED, ""
        else:
            settlements = await self._after_failure(transaction, outcome)
            event, error = TransactionEvent.FAIL, str(outcome.error or _UNKNOWN_ERROR)
            log.warning("transaction failed", transaction=str(transaction.id), error=error)
        return Closing(
            transaction_id=transaction.id,
            event=event,
            settlements=tuple(settlements),
            ledger=outcome.ledger,
            fee=outcome.fee_charged,
            error=error,
        )

    async def _after_success(
        self, transaction: OpenTransaction, outcome: Outcome
    ) -> list[Settlement]:
        """Each call's own result: through a multicall, one may fail and the others do not."""
        operations, count = transaction.operations, len(transaction.operations)
        settlements: list[Settlement] = []
        for position, operation in enumerate(operations):
            result = outcome.results[position] if outcome.results else None
            fee = share(outcome.fee_charged, count, position)
            if result is None or result.error is None:
                value = None if result is None else result.value
                settlements.append(
                    succeeded(operation, value=value, ledger=outcome.ledger, fee=fee)
                )
            else:
                settlements.append(
                    await self._refused(operation, result.error, outcome, fee, together=1)
                )
        return settlements

    async def _after_failure(
        self, transaction: OpenTransaction, outcome: Outcome
    ) -> list[Settlement]:
        error, count = outcome.error or _UNKNOWN_ERROR, len(transaction.operations)
        self._disagree(transaction, error)
        return [
            await self._refused(
                operation,
                error,
                outcome,
                share(outcome.fee_charged, count, position),
                together=count,
            )
            for position, operation in enumerate(transaction.operations)
        ]

    def _disagree(self, transaction: OpenTransaction, error: ContractError) -> None:
        """A trap of the host may mean that what was derived is wrong: simulate again."""
        if error.raiser == "host":
            for kind in {operation.kind for operation in transaction.operations}:
                self._shapes.forget(kind)

    async def _refused(
        self,
        operation: CarriedOperation,
        error: ContractError,
        outcome: Outcome,
        fee: int,
        *,
        together: int,
    ) -> Settlement:
        head = (await self._parts.follower.refresh()).head
        return refused(
            operation,
            error,
            head,
            pail=await self._pail(operation, error),
            ledger=outcome.ledger,
            fee=fee,
            together=together,
        )

    async def _pail(self, operation: CarriedOperation, error: ContractError) -> PailState | None:
        if meaning(operation.kind, error).action is not Action.LOOK_UP_PAIL:
            return None
        return await self._parts.chain.pail(operation.address, operation.block_index)

    async def _excluding(self, transaction: OpenTransaction) -> Closing:
        head = (await self._parts.follower.refresh()).head
        log.warning("transaction excluded", transaction=str(transaction.id))
        return Closing(
            transaction_id=transaction.id,
            event=TransactionEvent.EXCLUDE,
            settlements=tuple(
                excluded(operation, head, last_answer=transaction.last_answer)
                for operation in transaction.operations
            ),
        )

    async def _close(self, closings: Sequence[Closing]) -> None:
        if not closings:
            return
        await failpoint("wallet.settle.before")
        await self._parts.transactions.close(closings)
        self._forget(closing.transaction_id for closing in closings)
        await failpoint("wallet.settle.after")
        self._parts.settled()


def _report_unreadable(transaction: OpenTransaction, why: str) -> None:
    log.critical("outcome unreadable", transaction=str(transaction.id), error=why)

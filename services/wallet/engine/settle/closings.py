"""Closings of transactions by their outcomes in a ledger, with their operations' settlements."""

from libs.common.log import get_logger
from services.wallet.chain import Chain
from services.wallet.domain.chain_facts import ContractError, Outcome, OutcomeStatus, PailState
from services.wallet.domain.kinds import OPERATION_KINDS, Carrier
from services.wallet.domain.model import (
    CarriedOperation,
    Closing,
    OpenTransaction,
    Settlement,
    TransactionEvent,
)
from services.wallet.domain.outcomes import Action, meaning
from services.wallet.domain.settling import (
    as_fee,
    excluded,
    failing_parts,
    later,
    refused,
    share,
    succeeded,
)
from services.wallet.domain.trust import Decision
from services.wallet.engine.follower import Follower
from services.wallet.engine.template_book import TemplateBook

log = get_logger(__name__)

_UNKNOWN_ERROR = ContractError(raiser="transaction", code="UNKNOWN")
#: Envelopes after which a payment goes alone, whichever is said to have failed: a node may lie.
_SHARED = 4


class Closings:
    """The maker of closings from outcomes."""

    def __init__(self, chain: Chain, follower: Follower, templates: TemplateBook) -> None:
        self._chain = chain
        self._follower = follower
        self._templates = templates

    async def included(self, transaction: OpenTransaction, outcome: Outcome) -> Closing:
        """Return the closing of a transaction that a ledger has."""
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

    async def excluded(self, transaction: OpenTransaction) -> Closing:
        """Return the closing of a transaction that no ledger has and no ledger may include."""
        head = (await self._follower.refresh()).head
        log.warning("transaction excluded", transaction=str(transaction.id))
        return Closing(
            transaction_id=transaction.id,
            event=TransactionEvent.EXCLUDE,
            settlements=tuple(
                excluded(
                    operation,
                    head,
                    last_answer=transaction.last_answer,
                    is_own=transaction.source == operation.address,
                )
                for operation in transaction.operations
            ),
        )

    async def _after_success(
        self, transaction: OpenTransaction, outcome: Outcome
    ) -> list[Settlement]:
        """Return a settlement for each call's own result.

        Through a multicall, one call may fail while the others succeed.
        """
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
        settlements: list[Settlement] = []
        failing = failing_parts(transaction.operations, outcome.failing)
        for position, operation in enumerate(transaction.operations):
            fee = share(outcome.fee_charged, count, position)
            # A payment is one operation of its transaction. What a node says of the payment decides
            # which payments go together the next time, and nothing else.
            may_share = (
                OPERATION_KINDS[operation.kind].carrier is Carrier.PAYER
                and operation.attempts < _SHARED
            )
            if may_share and failing and operation.id not in failing:
                settlements.append(later(operation, fee=fee, pack_limit=count))
            else:
                settlement = await self._refused(operation, error, outcome, fee, together=count)
                parts = failing.get(operation.id, frozenset())
                settlements.append(as_fee(settlement, operation, parts))
        return settlements

    def _disagree(self, transaction: OpenTransaction, error: ContractError) -> None:
        """Forget the templates after a trap of the host, as what was derived may be wrong.

        The next call of each kind is simulated again.
        """
        if error.raiser == "host":
            for kind in {operation.kind for operation in transaction.operations}:
                self._templates.forget(kind)

    async def _refused(
        self,
        operation: CarriedOperation,
        error: ContractError,
        outcome: Outcome,
        fee: int,
        *,
        together: int,
    ) -> Settlement:
        head = (await self._follower.refresh()).head
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
        return await self._chain.trusted(Decision.SETTLE_BY_PAIL).pail(
            operation.address, operation.block_index
        )

"""The question to every node whether an envelope can still be included."""

import asyncio

from libs.common.errors import PoolError
from libs.common.log import get_logger
from services.wallet.chain import Chain
from services.wallet.domain.chain_facts import LedgerHead, OutcomeStatus
from services.wallet.domain.exclusion import (
    Exclusion,
    Statement,
    conclude,
    is_proof_possible,
)
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import OpenTransaction

log = get_logger(__name__)


def functions_of(transaction: OpenTransaction) -> list[str]:
    """Return the functions of the farm that a transaction calls, in order."""
    return [
        item.kind.value for item in transaction.operations if OPERATION_KINDS[item.kind].has_block
    ]


async def exclusion_of(
    chain: Chain, transaction: OpenTransaction, head: LedgerHead
) -> tuple[Exclusion, int]:
    """Conclude from what all nodes say, each by itself, whether a transaction is excluded.

    `head` is the head that the nodes agree on. The second part of the result is the ledger that
    used the sequence number, 0 when none did.
    """
    if head.close_time <= transaction.max_time:
        return Exclusion.NOT_YET, 0
    heard = await asyncio.gather(*(_statement(node, transaction) for node in chain.witnesses()))
    statements = [item for item in heard if item is not None]
    verdict = conclude(transaction, statements, now=head.close_time, configured=chain.configured)
    return verdict, max((item.used or 0 for item in statements), default=0)


async def _statement(node: Chain, transaction: OpenTransaction) -> Statement | None:
    """Return what one node says; None when it says nothing that counts."""
    try:
        head = await node.head()
        outcome = await node.outcome(transaction.lookup_hash, functions_of(transaction))
        if outcome.status is not OutcomeStatus.NOT_FOUND:
            return Statement(head=head, outcome=outcome, used=outcome.ledger)
        if not is_proof_possible(transaction, head, outcome):
            return None
        used = await node.ledger_of_use(
            source=transaction.source, sequence=transaction.sequence, head=head
        )
    except PoolError as error:
        log.debug("no statement", transaction=str(transaction.id), error=str(error))
        return None
    return Statement(head=head, outcome=outcome, used=used)

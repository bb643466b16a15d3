"""The proof that no ledger has an envelope and none may (STELLAR.md section 1).

The proof rests on what nodes show. It is for envelopes whose repetition the contract or the ledger
refuses anyway (plants, works, harvests, new accounts): a wrong answer costs a fee. Payments have a
proof of their own, by their payer's number (domain/payments.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, unique

from services.wallet.domain.chain_facts import LedgerHead, Outcome, OutcomeStatus
from services.wallet.domain.model import OpenTransaction


@unique
class Exclusion(Enum):
    """Conclusion from "not found after the bound"."""

    #: No ledger has it and none may.
    PROVEN = "proven"
    #: Look again.
    NOT_YET = "not yet"
    #: Its sequence number is used, and no node shows any more by which transaction: the chain's
    #: state decides.
    SPENT = "spent"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Answers of one node past the bound.

    The node was asked in this order: its head, the lookup, the source's number.
    """

    #: Its head, shown before the other two questions were asked.
    head: LedgerHead
    #: What it knows of the transaction.
    outcome: Outcome
    #: The ledger that used the sequence number; None: it is unused at the head or later.
    used: int | None

    @property
    def is_found(self) -> bool:
        """Tell whether the node says that a ledger has the transaction."""
        return self.outcome.status is not OutcomeStatus.NOT_FOUND


#: Seconds past the bound in which a node that lags may still come to know a transaction.
LAG = 30
#: Seconds past the bound after which the chain's state decides where nodes still contradict one
#: another.
DISAGREEMENT = 300


def is_proof_possible(transaction: OpenTransaction, head: LedgerHead, outcome: Outcome) -> bool:
    """Tell whether NOT_FOUND, asked after `head` was shown, may mean "never".

    The head must be past the bound, and the answer must not be older than the head. The other half
    of the proof is the source's sequence number.
    """
    return (
        outcome.status is OutcomeStatus.NOT_FOUND
        and head.close_time > transaction.max_time
        and outcome.head.sequence >= head.sequence
    )


def conclude(
    transaction: OpenTransaction, statements: Sequence[Statement], *, now: int, configured: int
) -> Exclusion:
    """Conclude from the nodes' statements whether an envelope is excluded.

    `now` is the close time of the agreed head, `configured` the number of nodes in the settings.

    An unused number proves that no ledger has the envelope, whatever a node remembers. A used
    number may have been used by this very envelope. When two nodes remember the ledgers since the
    envelope was signed and do not find it, somebody else who has the key used the number. One node
    alone may just not know the envelope, so then the chain's state decides.

    With several nodes configured, two must say the same, and more nodes than say the opposite; when
    the others are silent, one is enough after LAG. While one node says that it has the
    transaction, and no second one does, nothing is concluded; after DISAGREEMENT the chain's state
    decides.
    """
    if now <= transaction.max_time:
        return Exclusion.NOT_YET
    is_hopeless = bool(statements) and now > transaction.max_time + DISAGREEMENT
    if any(item.is_found for item in statements):
        return Exclusion.SPENT if is_hopeless else Exclusion.NOT_YET
    is_late = now > transaction.max_time + LAG
    needed = 1 if configured == 1 or (is_late and len(statements) == 1) else 2
    unused = sum(item.used is None for item in statements)
    used = len(statements) - unused
    if unused >= needed and unused > used:
        return Exclusion.PROVEN
    if not is_late:
        return Exclusion.NOT_YET
    if used >= needed and used > unused:
        remembering = sum(
            item.used is not None and item.outcome.head.oldest <= transaction.signed_ledger
            for item in statements
        )
        return Exclusion.PROVEN if remembering >= 2 else Exclusion.SPENT
    return Exclusion.SPENT if is_hopeless else Exclusion.NOT_YET

"""The next step that an answer of sendTransaction allows (STELLAR.md section 1)."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import assert_never

from services.wallet.domain.chain_facts import LedgerHead, SendResult, SendStatus
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import OpenTransaction, TransactionState

#: Ledgers after which a transaction that was not seen is sent again: queues forget after two.
_QUEUE_MEMORY = 3


@unique
class NextStep(Enum):
    """Next step of a transaction after an answer; no step concludes "not included"."""

    #: Wait for a ledger or for the bound.
    WATCH = "watch"
    #: Bid more, under the cap.
    RAISE_BID = "raise_bid"
    #: As WATCH, but people should hear of it: the envelope was refused outright.
    ALARM = "alarm"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A node's answer and its consequences."""

    #: What to do.
    step: NextStep
    #: What the node said, for the record.
    text: str
    #: Ledgers after which it is sent again, if no ledger has it by then.
    resend_after: int
    #: With RAISE_BID: the stroops that would suffice for inclusion.
    required_fee: int = 0


UNKNOWN = Answer(step=NextStep.WATCH, text="no answer: it may have been taken", resend_after=1)

#: Text for an envelope whose bid was refused and may not be raised any more.
ABOVE_CAP = "txINSUFFICIENT_FEE, and more is above the cap"

#: Answer to an envelope whose source's key does not suffice.
BAD_AUTH = "txBAD_AUTH"

#: Refusals that need no person: a look at the ledger tells what they mean.
_EXPECTED = frozenset({"txBAD_SEQ", "txTOO_LATE", "txTOO_EARLY"})


def weigh(result: SendResult) -> Answer:
    """Decide on the next step after an answer."""
    match result.status:
        case SendStatus.PENDING | SendStatus.DUPLICATE | SendStatus.TRY_AGAIN_LATER:
            # TRY_AGAIN_LATER proves nothing: this very envelope may be in a ledger.
            text = result.status.value
            return Answer(step=NextStep.WATCH, text=text, resend_after=_QUEUE_MEMORY)
        case SendStatus.ERROR:
            return _weigh_error(result)
    assert_never(result.status)


def _weigh_error(result: SendResult) -> Answer:
    code = result.code or "ERROR"
    if code == "txINSUFFICIENT_FEE" and result.required_fee is not None:
        fee = result.required_fee
        return Answer(step=NextStep.RAISE_BID, text=code, resend_after=1, required_fee=fee)
    # txBAD_SEQ may come from this envelope's own inclusion; txTOO_LATE is final for it, but the
    # proof that no ledger has it is the tracker's, as for every other end.
    step = NextStep.WATCH if code in _EXPECTED else NextStep.ALARM
    return Answer(step=step, text=code, resend_after=_QUEUE_MEMORY)


def is_due_to_send(transaction: OpenTransaction, head: LedgerHead) -> bool:
    """Tell whether an envelope that was not seen is to be sent (again), byte by byte the same.

    An envelope that was never marked as sent (a crash may have come between) is due at once. Past
    the bound sending is of no use.
    """
    return head.close_time <= transaction.max_time and head.sequence >= transaction.resend_ledger


#: Ledgers in which a node's queue keeps a transaction at most: an older transaction was passed
#: over.
_STUCK_AFTER = 5


def is_stuck(transaction: OpenTransaction, head: LedgerHead) -> bool:
    """Tell whether ledgers pass over a transaction that cannot wait: then it is to bid more."""
    return (
        transaction.state is TransactionState.SENT
        and head.sequence - transaction.signed_ledger > _STUCK_AFTER
        and any(OPERATION_KINDS[item.kind].is_urgent for item in transaction.operations)
    )

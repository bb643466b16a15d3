"""What the treasury's transactions have in common that an operator's command waits for."""

from services.wallet.domain.errors import SigningPausedError
from services.wallet.engine.sender import Sender
from services.wallet.store.transactions import Draft, TransactionStore

#: Seconds after which the chain is looked at again even if no new ledger was seen.
LOOK_SECONDS = 2.0
#: Envelope lifetimes that a command waits for a ledger.
LIFETIMES = 4


async def send_commanded(
    draft: Draft,
    *,
    transactions: TransactionStore,
    sender: Sender,
    ledger: int,
    cap: int,
    paused: str,
) -> bool:
    """Commit a draft and send it, with a bid of `cap` stroops at most.

    Return False when the treasury is busy, or another process was faster: the next ledger shows
    that. Raise SigningPausedError, which says `paused`.
    """
    committed = await transactions.commit_signed([draft], ledger=ledger)
    if committed.is_paused:
        raise SigningPausedError(paused)
    if committed.recorded:
        await sender.send_committed([draft], ledger=ledger, cap=lambda _: cap)
    return bool(committed.recorded)

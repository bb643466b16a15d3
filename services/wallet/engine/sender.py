"""Hands signed envelopes to the network and records what it said."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from libs.common.errors import PoolError
from libs.common.failpoints import failpoint
from libs.common.log import get_logger
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.facade import Chain
from services.wallet.chain.lists import LONGEST
from services.wallet.chain.model import SendResult
from services.wallet.domain.model import TransactionId
from services.wallet.domain.submission import ABOVE_CAP, UNKNOWN, Answer, NextStep, weigh
from services.wallet.engine.keyring import Keyring
from services.wallet.engine.treasury import Treasury
from services.wallet.store.transactions import Noted, TransactionStore

log = get_logger(__name__)

T = TypeVar("T")

#: Times a list of envelopes that are on their way to a node at the same time.
_PARALLEL = 4


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """An envelope that is committed and may be sent, any number of times."""

    #: Its transaction.
    id: TransactionId
    #: Base64 of the envelope.
    envelope: str
    #: Stroops that the network may charge at most: the cap of what it carries.
    max_fee: int
    #: Ledgers pass it over: bid more, if the cap allows it.
    is_stuck: bool = False


class Sender:
    """Sends; raises a bid that the network refused, under the operator's cap."""

    def __init__(
        self, chain: Chain, store: TransactionStore, keyring: Keyring, treasury: Treasury
    ) -> None:
        self._chain = chain
        self._store = store
        self._keyring = keyring
        self._treasury = treasury
        self._limit = asyncio.Semaphore(_PARALLEL)
        #: What this process has sent and has not seen closed, with the ledger at which it was
        #: signed: these it follows.
        self.sent: dict[TransactionId, int] = {}

    async def send(self, outgoing: Sequence[Outgoing], *, ledger: int) -> None:
        """Sends envelopes side by side and marks them as sent, whatever the answers were."""
        if outgoing:
            for item in outgoing:
                self.sent.setdefault(item.id, ledger)  # a later one when it is sent again
            starts = range(0, len(outgoing), LONGEST)
            noted = await asyncio.gather(
                *(self._send_some(outgoing[start : start + LONGEST], ledger) for start in starts)
            )
            await self._store.note_answers([item for some in noted for item in some])

    async def _send_some(self, outgoing: Sequence[Outgoing], ledger: int) -> list[Noted]:
        async with self._limit:
            answers = await self._answers(outgoing)
        await failpoint("wallet.transaction.accepted")
        for item in outgoing:
            self._report(item, answers[item.id])
        return [
            Noted(
                transaction_id=item.id,
                resend_ledger=ledger + answers[item.id].resend_after,
                text=answers[item.id].text,
            )
            for item in outgoing
        ]

    async def _answers(self, outgoing: Sequence[Outgoing]) -> dict[TransactionId, Answer]:
        """What comes of each; bids are raised where that is asked for and allowed."""
        stuck = [item for item in outgoing if item.is_stuck]
        replaced = _by_id(stuck, await asyncio.gather(*map(self._replace, stuck)))
        answers = {name: answer for name, answer in replaced.items() if answer is not None}
        plain = [item for item in outgoing if item.id not in answers]
        asked = _by_id(plain, await self._ask([item.envelope for item in plain]))
        low = [item for item in plain if asked[item.id].step is NextStep.RAISE_BID]
        raising = (self._raise_bid(item, asked[item.id]) for item in low)
        return answers | asked | _by_id(low, await asyncio.gather(*raising))

    async def _ask(self, envelopes: Sequence[str]) -> list[Answer]:
        if not envelopes:
            return []
        try:
            answers = await self._chain.send(envelopes)
        except PoolError as error:
            answers = [error] * len(envelopes)
        return [self._weigh(answer) for answer in answers]

    @staticmethod
    def _weigh(answer: SendResult | PoolError) -> Answer:
        if isinstance(answer, PoolError):
            # No answer is an answer: it may be in a ledger by now.
            log.warning("send without an answer", error=str(answer))
            return UNKNOWN
        return weigh(answer)

    async def _replace(self, outgoing: Outgoing) -> Answer | None:
        """Bids what replaces the envelope in the queues; None when the cap is below that."""
        try:
            return await self._bid(outgoing, self._chain.replacing_bid(outgoing.envelope))
        except FeeCapExceededError as error:
            log.info("stuck at the fee cap", transaction=str(outgoing.id), error=str(error))
            return None

    async def _raise_bid(self, outgoing: Outgoing, refusal: Answer) -> Answer:
        """Bids what the node asked for; the refusal stands when that cannot be."""
        try:
            return await self._bid(outgoing, refusal.required_fee) or refusal
        except FeeCapExceededError as error:
            log.warning("fee cap", transaction=str(outgoing.id), error=str(error))
            return replace(refusal, text=ABOVE_CAP)

    async def _bid(self, outgoing: Outgoing, fee: int) -> Answer | None:
        """Sends a new fee bump of the same inner transaction, of which only one can be included;
        committed before it is sent, as every envelope is.

        None when it bids that much already, or another process has raised it meanwhile.
        """
        async with self._keyring.signers([self._treasury.wallet.id]) as (treasury,):
            raised = self._chain.raise_bid(
                outgoing.envelope, treasury=treasury, fee=fee, max_fee=outgoing.max_fee
            )
        if raised is None:
            return None
        if not await self._store.replace_envelope(outgoing.id, outgoing.envelope, raised):
            return None
        await failpoint("wallet.bid.raised")
        (answer,) = await self._ask([raised.xdr])
        return answer

    @staticmethod
    def _report(outgoing: Outgoing, answer: Answer) -> None:
        if answer.step is NextStep.ALARM:
            log.error("envelope refused", transaction=str(outgoing.id), answer=answer.text)
        else:
            log.debug("sent", transaction=str(outgoing.id), answer=answer.text)


def _by_id(items: Sequence[Outgoing], values: Sequence[T]) -> dict[TransactionId, T]:
    return {item.id: value for item, value in zip(items, values, strict=True)}

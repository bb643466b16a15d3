"""A sender of signed envelopes to the network, which records the answers."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from libs.common.clock import SystemClock
from libs.common.errors import PoolError
from libs.common.failpoints import failpoint
from libs.common.log import get_logger
from services.wallet.chain import LONGEST, Chain, FeeCapExceededError, raise_bid, replacing_bid
from services.wallet.domain.chain_facts import SendResult, SignedEnvelope, Signer
from services.wallet.domain.model import TransactionId
from services.wallet.domain.submission import ABOVE_CAP, UNKNOWN, Answer, NextStep, weigh
from services.wallet.engine.alarms import Alarm, Alarms
from services.wallet.engine.in_flight import InFlight
from services.wallet.engine.signers import Signers
from services.wallet.engine.treasury_account import Treasury
from services.wallet.keys.provider import KeyProviderError
from services.wallet.keys.seal import SealBrokenError
from services.wallet.store.transactions import Draft, Noted, TransactionStore

log = get_logger(__name__)

#: The errors that mean that the treasury's key is not there.
_NO_KEY = (PoolError, KeyProviderError, SealBrokenError)

#: Ledgers after which an envelope that no ledger has is sent to another node.
_TO_ANOTHER = 2
#: The name of the alarm that nodes ask for more than the cap, and the seconds until it is over.
_BIDS, _QUIET = "bids", 60.0
#: Lists of envelopes that are on their way to a node at the same time.
_PARALLEL = 4


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """An envelope that is committed and may be sent any number of times."""

    #: The envelope's transaction.
    id: TransactionId
    #: Base64 of the envelope.
    envelope: str
    #: Stroops that the network may charge at most: the cap of the operations it carries.
    max_fee: int
    #: Whether ledgers pass the envelope over: bid more, if the cap allows that.
    is_stuck: bool = False
    #: Whether it was sent before, and no ledger has it: the node may have thrown it away.
    is_repeat: bool = False


@dataclass(frozen=True, kw_only=True)
class _Raised:
    """The result of raising bids."""

    #: The new envelopes (base64), committed.
    envelopes: dict[TransactionId, str]
    #: The transactions whose cap is below what was to be bid.
    capped: dict[TransactionId, FeeCapExceededError]


class Sender:
    """A sender that raises a bid that the network refused, under the operator's cap."""

    def __init__(
        self,
        chain: Chain,
        store: TransactionStore,
        signers: Signers,
        treasury: Treasury,
        *,
        in_flight: InFlight,
        alarms: Alarms | None = None,
    ) -> None:
        self._in_flight = in_flight
        self._alarms = alarms or Alarms()
        self._now = SystemClock().monotonic
        #: When a bid was last held back by the cap.
        self._capped_at = float("-inf")
        self._chain = chain
        self._store = store
        self._signers = signers
        self._treasury = treasury
        self._limit = asyncio.Semaphore(_PARALLEL)

    async def send_committed(
        self, drafts: Sequence[Draft], *, ledger: int, cap: Callable[[Draft], int]
    ) -> None:
        """Send drafts that were committed a moment ago, at a ledger.

        `cap` gives the stroops that the network may charge for a draft, also when its bid is
        raised.
        """
        if not drafts:
            return
        await failpoint("wallet.transaction.signed")
        outgoing = [
            Outgoing(id=draft.id, envelope=draft.envelope.xdr, max_fee=cap(draft))
            for draft in drafts
        ]
        await self.send(outgoing, ledger=ledger)

    async def send(self, outgoing: Sequence[Outgoing], *, ledger: int) -> None:
        """Send envelopes side by side and mark them as sent, whatever the answers were."""
        if outgoing:
            self._in_flight.follow((item.id for item in outgoing), ledger)
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
                resend_ledger=ledger + self._resend_after(answers[item.id]),
                text=answers[item.id].text,
            )
            for item in outgoing
        ]

    async def _answers(self, outgoing: Sequence[Outgoing]) -> dict[TransactionId, Answer]:
        """Return the answer to each envelope; raise bids where that is asked for and allowed."""
        stuck = [item for item in outgoing if item.is_stuck]
        replacing = {
            item.id: replacing_bid(item.envelope, network=self._chain.network) for item in stuck
        }
        replaced = await self._raise(outgoing, replacing)
        for name, error in replaced.capped.items():
            log.info("stuck at the fee cap", transaction=str(name), error=str(error))
        # Send by another node, too, if one of the envelopes was sent before.
        widely = any(item.is_repeat for item in outgoing)
        envelopes = {item.id: item.envelope for item in outgoing} | replaced.envelopes
        asked = await self._ask(envelopes, widely=widely)
        low = {
            name: answer.required_fee
            for name, answer in asked.items()
            if answer.step is NextStep.RAISE_BID and name not in replaced.envelopes
        }
        raised = await self._raise(outgoing, low)
        for name, error in raised.capped.items():
            log.info("fee cap", transaction=str(name), error=str(error))
        self._tell_capped(raised.capped)
        capped = {name: replace(asked[name], text=ABOVE_CAP) for name in raised.capped}
        # The refusal remains the answer where the bid could not be raised.
        return asked | capped | await self._ask(raised.envelopes, widely=widely)

    def _tell_capped(self, capped: Mapping[TransactionId, FeeCapExceededError]) -> None:
        """Tell once for all envelopes that nodes ask for more than the cap, while any do."""
        now = self._now()
        if capped:
            self._capped_at = now
            message = next(iter(capped.values())).message
            self._alarms.tell(Alarm(name=_BIDS, cause="MAX_FEE_STROOPS", message=message))
        elif now - self._capped_at > _QUIET:
            self._alarms.over(_BIDS)

    async def _ask(
        self, envelopes: Mapping[TransactionId, str], *, widely: bool
    ) -> dict[TransactionId, Answer]:
        """Send the envelopes and return the network's answer to each."""
        if not envelopes:
            return {}
        answers: Sequence[SendResult | PoolError]
        try:
            answers = await self._chain.send(list(envelopes.values()), widely=widely)
        except PoolError as error:
            answers = [error] * len(envelopes)
        return dict(zip(envelopes, map(_weigh, answers), strict=True))

    async def _raise(
        self, outgoing: Sequence[Outgoing], fees: Mapping[TransactionId, int]
    ) -> _Raised:
        """Commit new fee bumps that bid these fees around the same inner transactions.

        Only one envelope of an inner transaction can be included. As every envelope is, the new
        ones are committed before anything is sent.

        An envelope gets no fee bump when it bids that much already, or when another process has
        raised its bid meanwhile. None gets one while the treasury's key does not open.
        """
        low = [item for item in outgoing if item.id in fees]
        bumps = await self._sign(low, fees) if low else {}
        envelopes: dict[TransactionId, str] = {}
        capped: dict[TransactionId, FeeCapExceededError] = {}
        for item in low:
            bump = bumps.get(item.id)
            if isinstance(bump, FeeCapExceededError):
                capped[item.id] = bump
            elif bump and await self._store.replace_envelope(item.id, item.envelope, bump):
                await failpoint("wallet.bid.raised")
                envelopes[item.id] = bump.xdr
        return _Raised(envelopes=envelopes, capped=capped)

    async def _sign(
        self, low: Sequence[Outgoing], fees: Mapping[TransactionId, int]
    ) -> dict[TransactionId, SignedEnvelope | FeeCapExceededError | None]:
        """Return the fee bump of each, as `_bump` returns it."""
        try:
            async with self._signers.open([self._treasury.wallet.id]) as (treasury,):
                return {item.id: self._bump(item, treasury, fees[item.id]) for item in low}
        except _NO_KEY as error:
            # Envelopes that need no key must be sent all the same.
            log.critical("bids are not raised", error=str(error))
            return {}

    def _bump(
        self, item: Outgoing, treasury: Signer, fee: int
    ) -> SignedEnvelope | FeeCapExceededError | None:
        """Return the fee bump; None when the envelope bids that much already.

        Return the error when the cap forbids the fee bump.
        """
        try:
            return raise_bid(
                item.envelope,
                network=self._chain.network,
                treasury=treasury,
                fee=fee,
                max_fee=item.max_fee,
            )
        except FeeCapExceededError as error:
            return error

    def _resend_after(self, answer: Answer) -> int:
        """Return the ledgers until an envelope is sent again.

        With several nodes this is sooner, as another node may keep an envelope that one throws
        away.
        """
        several = self._chain.configured > 1
        return min(answer.resend_after, _TO_ANOTHER) if several else answer.resend_after

    @staticmethod
    def _report(outgoing: Outgoing, answer: Answer) -> None:
        if answer.step is NextStep.ALARM:
            log.error("envelope refused", transaction=str(outgoing.id), answer=answer.text)
        else:
            log.debug("sent", transaction=str(outgoing.id), answer=answer.text)


def _weigh(answer: SendResult | PoolError) -> Answer:
    if isinstance(answer, PoolError):
        # Without an answer the envelope may be in a ledger by now.
        log.warning("send without an answer", error=str(answer))
        return UNKNOWN
    return weigh(answer)

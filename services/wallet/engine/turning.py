"""The turning back of a kept head that was a lie, and the stop when the network was reset."""

import asyncio

from libs.common.log import get_logger
from services.wallet.chain import Chain, DisagreementError, NetworkMismatchError
from services.wallet.domain.model import ChainHead
from services.wallet.domain.trust import Decision
from services.wallet.domain.turning import (
    UNSEEN_FOR,
    Lower,
    Remembered,
    Sameness,
    sameness,
)
from services.wallet.store.turning import Past, TurningStore

log = get_logger(__name__)


class Turning:
    """The turning of one follower; several processes do no harm."""

    def __init__(self, chain: Chain, store: TurningStore) -> None:
        self._chain = chain
        self._store = store
        self._lower = Lower()
        self._is_same = False

    def forget(self) -> None:
        """Forget lower heads, as the head is not below the kept head."""
        self._lower.forget()
        self._is_same = False

    async def back_to(self, head: ChainHead, kept: ChainHead) -> None:
        """Make `head` the newest head instead of `kept`, which lies above it, then return.

        Raises DisagreementError while that is not sure, or while the nodes lag. Raises
        NetworkMismatchError when the network was reset.
        """
        if not self._is_same:
            await self._check_same(head, kept)
        words = f"ledger {kept.ledger} was seen before, the nodes are at ledger {head.ledger}"
        if not self._lower.see(head.ledger):
            raise DisagreementError(words, retry_after=1.0)
        if not await self._store.turn_back(head, unseen_for=UNSEEN_FOR):
            raise DisagreementError(
                f"{words}: they lag, or another process sees more", retry_after=1.0
            )
        log.critical("the head was a lie", before=kept.ledger, now=head.ledger)
        self.forget()

    async def _check_same(self, head: ChainHead, kept: ChainHead) -> None:
        past = await self._store.past(ledger=head.ledger, block=head.plantable_block)
        found = sameness(await self._remembered(past, head.ledger))
        if found is Sameness.RESET:
            raise NetworkMismatchError(
                f"the nodes are at ledger {head.ledger}, ledger {kept.ledger} was seen before, and "
                "they have nothing of what is recorded: the network was reset",
                metadata={"expected": str(kept.ledger), "found": str(head.ledger)},
            )
        self._is_same = True

    async def _remembered(self, past: Past, ledger: int) -> Remembered:
        chain = self._chain.trusted(Decision.TURN_HEAD_BACK)
        oldest = (await chain.head()).oldest
        asked = [name for name, at in past.transactions.items() if at >= oldest]
        there = await asyncio.gather(*(chain.has_transaction(name) for name in asked))
        blocks = await asyncio.gather(*(chain.block(index) for index in past.blocks))
        return Remembered(
            transactions=there,
            recorded=past.blocks,
            shown={block.index: block.entropy for block in blocks if block is not None},
            is_all_ahead=past.first_ledger is not None and past.first_ledger > ledger,
        )

"""A follower of the chain, which looks at every new ledger and keeps it for all processes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from libs.common.errors import UnavailableError
from libs.common.log import get_logger
from services.wallet.chain import (
    Chain,
    DisagreementError,
    NetworkMismatchError,
    RpcRejectedError,
    UnknownAnswerError,
)
from services.wallet.domain.blocks import plantable_block
from services.wallet.domain.chain_facts import BlockState, FarmState, LedgerHead
from services.wallet.domain.marks import is_ahead
from services.wallet.domain.model import Block, ChainHead
from services.wallet.domain.packing import CAUTIOUS, Limits
from services.wallet.domain.trust import Decision
from services.wallet.domain.turning import TOLERATED
from services.wallet.engine.chain_view import ChainState, ChainView
from services.wallet.engine.pace import Pace
from services.wallet.engine.turning import Turning
from services.wallet.store.blocks import BlockStore

log = get_logger(__name__)

#: Blocks that are looked up after an absence: a little more than a day's, older ones have expired.
_CATCH_UP = 300
#: Seconds to wait for a second node's answer when one node's is enough.
_SECOND_WORD = 5.0
#: Ledgers after which the network's limits are read again.
_LIMITS_EVERY = 60


class Follower:
    """A reader of head and farm, which keeps both in Postgres and in memory."""

    def __init__(
        self,
        chain: Chain,
        store: BlockStore,
        chain_view: ChainView,
        turning: Turning,
        *,
        block_seconds: int,
    ) -> None:
        self._chain = chain
        self._store = store
        self._turning = turning
        #: The newest head that any process had kept when this process last looked.
        self._kept_head: ChainHead | None = None
        self._chain_view = chain_view
        self._block_seconds = block_seconds
        #: Functions that are told the ledger when the head was turned back.
        self.on_turned: list[Callable[[int], None]] = []
        self._lock = asyncio.Lock()
        self._is_verified = False
        self._code_hash: str | None = None
        self._seen_index: int | None = None
        #: The block that was kept last: as it was seen then, and as it is kept.
        self._kept_block: tuple[BlockState, Block] | None = None
        self._limits: Limits | None = None
        self._limits_due = 0
        self._pace = Pace()

    async def refresh(self) -> ChainState:
        """Look at the chain now, keep what is new, and return the newest chain state.

        Raises UnavailableError. Raises NetworkMismatchError when the nodes do not have the network
        and farm that we know.
        """
        async with self._lock:
            if not self._is_verified:
                await self._verify()
            return await self._look()

    async def _verify(self) -> None:
        """Verify that the nodes have our network and farm."""
        await self._chain.trusted(Decision.IDENTIFY_NETWORK).verify()
        self._is_verified = True

    def forget(self) -> None:
        """Have the next look verify the network anew; this does not accept a changed farm code."""
        self._is_verified = False

    async def _look(self) -> ChainState:
        ledger = await self._chain.head()
        newest = self._chain_view.newest
        if newest is not None and 0 <= newest.ledger.sequence - ledger.sequence <= TOLERATED:
            self._chain_view.heard()
            return newest
        farm = await self._farm()
        head = _head(ledger, farm, self._block_seconds)
        await self._stay_above_kept(head)
        inclusion_fee = await self._chain.inclusion_fee()
        limits = await self._limits_at(ledger)
        chain_state = ChainState(
            ledger=ledger,
            farm=farm,
            head=head,
            block=await self._keep(farm, head),
            inclusion_fee=inclusion_fee,
            limits=limits,
            pace=self._pace.seconds(ledger),
        )
        self._chain_view.publish(chain_state)
        return chain_state

    async def _limits_at(self, ledger: LedgerHead) -> Limits:
        """Return the network's limits; read them again now and then.

        The limits change, and plans change with them.
        """
        known = self._limits
        is_early = is_ahead(self._limits_due, ledger.sequence, most=_LIMITS_EVERY)
        if known is not None and is_early:
            return known
        limits = await self._read_limits() or known or CAUTIOUS
        if known is not None and known != limits:
            log.warning("network limits changed", before=str(known), after=str(limits))
        self._limits, self._limits_due = limits, ledger.sequence + _LIMITS_EVERY
        return limits

    async def _read_limits(self) -> Limits | None:
        """Return the network's limits; None when they are kept in a way that is not known."""
        try:
            return await self._chain.trusted(Decision.READ_LIMITS).limits()
        except (UnknownAnswerError, RpcRejectedError) as error:
            instead = "ledgers are filled by the limits that were read before, or by low ones"
            self._chain.unknowns.tell("the network's limits", str(error), instead=instead)
            return None

    async def _farm(self) -> FarmState:
        farm = await self._confirmed_farm()
        if farm is None:
            self._chain_view.lose()
            raise NetworkMismatchError("the farm is gone: was the network reset?")
        if self._code_hash not in {None, farm.code_hash}:
            self._chain_view.lose()
            raise NetworkMismatchError(
                "the farm's code has changed: check its rules, then restart wallet",
                metadata={"expected": str(self._code_hash), "found": farm.code_hash},
            )
        self._code_hash = farm.code_hash
        return farm

    async def _confirmed_farm(self) -> FarmState | None:
        """Return the farm as several nodes show it; one node is enough for a state shown before."""
        try:
            async with asyncio.timeout(_SECOND_WORD):
                return await self._chain.trusted(Decision.PUBLISH_BLOCK).farm()
        except (TimeoutError, UnavailableError) as error:
            farm = await self._chain.farm()
            if self._chain.is_known(farm):
                return farm
            if isinstance(error, UnavailableError):
                raise
            raise DisagreementError("no second node shows the block in time") from error

    async def _stay_above_kept(self, head: ChainHead) -> None:
        """Publish nothing below a head that was kept, unless the kept head was a lie."""
        kept = self._kept_head or await self._store.head()
        newest = self._chain_view.newest
        if newest is not None and (kept is None or kept.ledger < newest.head.ledger):
            kept = newest.head
        if kept is None or kept.ledger - head.ledger <= TOLERATED:
            self._kept_head = head
            self._turning.forget()
            return
        try:
            await self._turning.back_to(head, kept)
        except DisagreementError:
            if newest is not None and newest.head.ledger < head.ledger:
                return  # this process goes on from what it has seen, whatever another one kept
            raise
        self._turned(head)

    def _turned(self, head: ChainHead) -> None:
        """Forget all that was remembered of higher ledgers."""
        self._kept_head = head
        self._seen_index, self._kept_block, self._limits_due = None, None, 0
        self._chain_view.forget()
        for tell in self.on_turned:
            tell(head.ledger)

    async def _keep(self, farm: FarmState, head: ChainHead) -> Block | None:
        """Keep what was seen; return the running block, None when there is none."""
        if self._seen_index != farm.index:
            await self._keep_closed(farm)
        block = None if farm.block is None else await self._keep_block(farm.block, farm)
        if not await self._store.save_head(head):
            # Another process has seen more, or kept a lie: the next look finds out.
            self._kept_head = await self._store.head()
        self._seen_index = farm.index
        return block

    async def _keep_closed(self, farm: FarmState) -> None:
        """Keep the final state of blocks that closed since the last look, also before a restart."""
        seen = await self._store.newest_index()
        first = farm.index if seen is None else max(farm.index - _CATCH_UP, seen)
        for index in range(first, farm.index):
            block = await self._chain.block(index)
            if block is not None:
                await self._keep_block(block, farm)

    async def _keep_block(self, state: BlockState, farm: FarmState) -> Block:
        """Keep a block; return the block with the ledger of its first sight, as readers get it."""
        if self._kept_block is not None and self._kept_block[0] == state:
            return self._kept_block[1]
        seen = _block(state, farm, self._block_seconds)
        opened = await self._store.save_block(seen, updated_ledger=state.modified)
        block = replace(seen, opened_ledger=opened)
        self._kept_block = (state, block)
        return block


def _head(ledger: LedgerHead, farm: FarmState, block_seconds: int) -> ChainHead:
    never_opened = farm.index == 0 and farm.block is None
    return ChainHead(
        ledger=ledger.sequence,
        close_time=datetime.fromtimestamp(ledger.close_time, UTC),
        current_block=None if never_opened else farm.index,
        plantable_block=plantable_block(
            index=farm.index,
            has_block=farm.block is not None,
            timestamp=farm.timestamp,
            now=ledger.close_time,
            interval=block_seconds,
        ),
        paused=farm.paused,
        block_seconds=block_seconds,
    )


def _block(state: BlockState, farm: FarmState, block_seconds: int) -> Block:
    """Return a block as if this were its first sight."""
    # The farm's timestamp decides. The timestamp may be older than the running block: the one of
    # block 0 is that of the farm's deployment. Of a closed block only the opening can be read.
    since = farm.timestamp if state.index == farm.index else state.timestamp
    return Block(
        index=state.index,
        opened_ledger=state.modified,
        opened_at=datetime.fromtimestamp(state.timestamp, UTC),
        closes_at=datetime.fromtimestamp(since + block_seconds, UTC),
        entropy=state.entropy,
        min_gap=state.min_gap,
        max_gap=state.max_gap,
        min_stake=state.min_stake,
        max_stake=state.max_stake,
        min_zeros=state.min_zeros,
        max_zeros=state.max_zeros,
        staked_total=state.staked_total,
        normalized_total=state.normalized_total,
        expires_ledger=state.live_until,
    )

"""Keeps the pool's channel accounts: as many as wanted, each with enough XLM for its fees."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.ids import OperationId, WalletId, new_id
from libs.common.log import get_logger
from services.wallet.chain.onboarding import MAX_FUNDINGS, Funding
from services.wallet.domain.model import OperationKind, QueuedOperation
from services.wallet.engine.carriage import next_sequence, settle_present, submit, take_up
from services.wallet.engine.made import bid_for
from services.wallet.engine.parts import EngineParts
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.channels import ChannelStore, ChannelTotals

log = get_logger(__name__)

#: Keys that are made at once.
_KEYS = 50
#: Ledgers after which all is looked at although nothing seems to be wanting.
_LOOK_EVERY = 12


@dataclass(frozen=True, kw_only=True)
class ChannelTerms:
    """What the operator wants of the channel accounts."""

    #: How many there are to be.
    count: int
    #: Stroops of XLM that each gets when it is made, and has after a top-up at least.
    funding: int
    #: Stroops of XLM below which it is topped up.
    low: int


class ChannelKeeper:
    """Makes channel accounts and tops them up, from the treasury."""

    def __init__(
        self,
        parts: EngineParts,
        store: ChannelStore,
        provider: KeyProvider,
        terms: ChannelTerms,
    ) -> None:
        self._parts = parts
        self._store = store
        self._provider = provider
        self._terms = terms
        #: The ledger from which on all is looked at again.
        self._look_ledger = 0

    async def step(self) -> bool:
        """One look; whether there was anything to do."""
        parts = self._parts
        if not (parts.watch.is_fresh and parts.accounts.can_pay):
            return False
        totals, ledger = await self.totals(), parts.watch.current.ledger.sequence
        if ledger < self._look_ledger and not self._is_wanting(totals):
            return False
        made = await self._make_keys(totals)
        queued = await self._queue_top_ups()
        sent = await self._fund(OperationKind.OPEN_CHANNEL)
        sent |= await self._fund(OperationKind.TOP_UP)
        is_busy = made or queued or sent
        self._look_ledger = ledger if is_busy else ledger + _LOOK_EVERY
        return is_busy

    def _is_wanting(self, totals: ChannelTotals) -> bool:
        """Whether there are too few, or some have too little."""
        return totals.made < self._terms.count or totals.ready < totals.made or totals.low > 0

    async def totals(self) -> ChannelTotals:
        """How they stand."""
        return await self._store.totals(low=self._terms.low)

    async def _make_keys(self, totals: ChannelTotals) -> bool:
        missing = min(_KEYS, self._terms.count - totals.made)
        if missing <= 0:
            return False
        made = [
            (await seal_new_key(self._provider, WalletId(new_id())), OperationId(new_id()))
            for _ in range(missing)
        ]
        return await self._store.insert(made, most=self._terms.count) > 0

    async def _queue_top_ups(self) -> bool:
        ids = [OperationId(new_id()) for _ in range(MAX_FUNDINGS)]
        ledger = self._parts.watch.current.ledger.sequence
        queued = await self._store.queue_top_ups(
            ids, below=self._terms.low, amount=self._terms.funding, ledger=ledger
        )
        if queued:
            log.info("channels low", count=queued, stroops=self._terms.low)
        return queued > 0

    async def _fund(self, kind: OperationKind) -> bool:
        parts = self._parts
        claimed = await take_up(parts, kind, limit=MAX_FUNDINGS)
        if not claimed:
            return False
        addresses = [parts.treasury.wallet.address, *(item.address for item in claimed)]
        ledger, (payer, *states) = await parts.chain.accounts(addresses)
        waiting = list(claimed)
        if kind is OperationKind.OPEN_CHANNEL:
            there = [item for item, state in zip(claimed, states, strict=True) if state.exists]
            await settle_present(parts, there, ledger)
            waiting = [item for item in claimed if item not in there]
        if waiting:
            await self._submit(waiting, await next_sequence(parts, payer, ledger))
        return True

    async def _submit(self, operations: Sequence[QueuedOperation], sequence: int) -> None:
        parts = self._parts
        bid = bid_for(parts, operations[0], parts.watch.current)
        fundings = [
            Funding(
                address=item.address,
                is_new=item.kind is OperationKind.OPEN_CHANNEL,
                amount=item.amount or self._terms.funding,
            )
            for item in operations
        ]
        async with parts.keyring.signers([parts.treasury.wallet.id]) as (treasury,):
            await submit(
                parts,
                operations,
                lambda: parts.chain.sign_funding(
                    fundings, treasury=treasury, sequence=sequence, bid=bid
                ),
            )

"""A dispatcher that takes up plants, works and harvests in bulk: builds, signs, commits, sends."""

from collections.abc import Collection, Sequence
from itertools import groupby

from libs.common.ids import OperationId
from libs.common.log import get_logger
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.blocks import RENT_DUE, readiness
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import FailureReason, OperationKind, QueuedOperation, Settlement
from services.wallet.domain.packing import room
from services.wallet.domain.refusals import mark_of
from services.wallet.domain.settling import given_up, judged, later
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.alarms import Alarm, Alarms
from services.wallet.engine.broken_keys import BROKEN, BrokenKeys
from services.wallet.engine.chain_view import ChainState, ChainView
from services.wallet.engine.forgeries import Forgeries
from services.wallet.engine.sender import Sender
from services.wallet.engine.sequence_sources import LEASE, Sources
from services.wallet.engine.submit.round import Round
from services.wallet.engine.submit.single_calls import SingleCalls
from services.wallet.engine.wakeup import Wakeups
from services.wallet.store.operations import OperationStore, Wanted
from services.wallet.store.transactions import TransactionStore

log = get_logger(__name__)

#: Operations that are taken up at once: more would only lengthen the time to the first sending.
ROUND = 250
#: Seconds after which the queue is looked at even without a wakeup: another process may have
#: recorded something.
IDLE = 2.0

#: Number of remembered blocks in which operations waited.
_HELD = 10
#: Why a budget forbids an operation, in words.
_NO_ROOM = "the fee budget is used up, or reserved"
#: Seconds until a work or a harvest that no budget allowed is tried again.
_BUDGET_PAUSE = 30.0

#: Harvests of one farmer that are taken up together at most: that many blocks are two hours.
_HARVESTS = 20
#: Seconds in which no further harvest of a farmer was recorded when its harvests are taken up:
#: whoever wants several blocks harvested asks for one after the other.
GATHERED = 0.5

Group = tuple[OperationKind, int | None, bool]


def alike(operation: QueuedOperation) -> Group:
    """Return what operations must have in common to be built from one template."""
    joins_blocks = OPERATION_KINDS[operation.kind].joins_blocks
    block_index = None if joins_blocks else operation.block_index
    return operation.kind, block_index, operation.amount > 0


class Dispatcher:
    """A dispatcher that works in rounds; each round fills what the nodes' queue still holds."""

    def __init__(
        self,
        single_calls: SingleCalls,
        sources: Sources,
        *,
        operations: OperationStore,
        transactions: TransactionStore,
        accounts: Accounts,
        chain_view: ChainView,
        sender: Sender,
        broken_keys: BrokenKeys,
        forgeries: Forgeries,
        wakeups: Wakeups,
        limits: OperatorLimits,
        alarms: Alarms,
        gathered: float = GATHERED,
    ) -> None:
        """Take as `sources` the object that the single calls use.

        `gathered` are seconds in which no further harvest of a farmer was recorded when its
        harvests are taken up.
        """
        self._single_calls = single_calls
        self._sources = sources
        self._operations = operations
        self._transactions = transactions
        self._accounts = accounts
        self._chain_view = chain_view
        self._sender = sender
        self._broken_keys = broken_keys
        self._forgeries = forgeries
        self._wakeups = wakeups
        self._limits = limits
        self._alarms = alarms
        self._gathered = gathered
        #: Blocks in which operations have waited for the farm's rent.
        self._held: set[int] = set()
        #: The mark of the terms that were noted last.
        self._mark = ""

    async def step(self) -> None:
        """Do one round: take up the operations that are there and fit.

        When the round did nothing, wait for news.
        """
        seen = self._wakeups.changes.count
        if not await self._round():
            await self._wakeups.changes.wait(seen, IDLE)

    async def _round(self) -> bool:
        """Do one round; tell whether anything was sent or settled."""
        if not (self._chain_view.is_fresh and self._accounts.can_pay):
            return False
        chain_state = self._chain_view.current
        await self._note_terms(chain_state)
        queue = await self._transactions.queue()
        left = room(queue.share)
        if queue.is_empty or left < self._single_calls.smallest_share:
            return False
        if chain_state.is_rent_due:
            self._hold(chain_state)
        wanted = chain_state.over() if chain_state.is_rent_due else await self._wanted(chain_state)
        limit = min(ROUND, left // self._single_calls.smallest_share)
        # Alone, each harvest is a transaction of its farmer's account, one after the other.
        packs = self._single_calls.has_packs
        claimed = await self._operations.claim(
            wanted,
            limit=limit,
            lease=LEASE,
            harvests=_HARVESTS if packs else 1,
            gathered=self._gathered if packs else 0.0,
        )
        if not claimed:
            return False
        genuine = await self._forgeries.sift(claimed)
        if len(genuine) < len(claimed):
            self._wakeups.tell_settled()
        return await self._bring(genuine, chain_state, left) if genuine else True

    def _hold(self, chain_state: ChainState) -> None:
        """Note the blocks whose queued operations wait for the farm's rent.

        The operations may have to wait until their block is over.
        """
        current = chain_state.head.current_block
        self._held |= {chain_state.head.plantable_block, chain_state.plantable_soon}
        self._held |= set() if current is None else {current}
        self._held = set(sorted(self._held)[-_HELD:])

    def _was_held(self, operation: QueuedOperation) -> bool:
        """Tell whether an operation never had its turn, as the farm's rent was due."""
        return operation.attempts == 0 and operation.block_index in self._held

    async def _note_terms(self, chain_state: ChainState) -> None:
        """Note changed limits, budgets or prices.

        With such a change, operations that were refused for their price are asked again.
        """
        mark = mark_of(self._limits.mark, chain_state.limits.mark)
        if mark != self._mark:
            await self._operations.note_terms(mark)
            self._mark = mark

    async def _wanted(self, chain_state: ChainState) -> Wanted:
        """Return which operations to take up.

        Harvests wait while plants and works are under way, unless their block expires soon.
        """
        wanted = chain_state.wanted()
        if await self._operations.has_urgent(wanted):
            return chain_state.wanted(only_urgent=True)
        return wanted

    async def _bring(
        self, claimed: Sequence[QueuedOperation], chain_state: ChainState, left: int
    ) -> bool:
        """Submit operations, group by group, as far as there is room.

        Tell whether anything was done.
        """
        ready, settled = self._judge(claimed, chain_state)
        if chain_state.is_rent_due:
            await self._operations.release([item.id for item in ready])
            ready = []
        progress = bool(settled)
        groups = [list(operations) for _, operations in groupby(ready, key=alike)]
        for group in groups:
            # Only the last one may have been cut by the number that is taken up at once.
            goes_on = group is groups[-1] and len(claimed) == ROUND
            try:
                made = await self._single_calls.make(group, chain_state, left, goes_on=goes_on)
            except BROKEN as error:
                self._sources.beware()  # the broken key may be a channel account's
                await self._broken_keys.set_aside(group, error)
                progress = True
                continue
            settled += made.settled
            left -= sum(draft.share for draft in made.drafts)
            await self._operations.release([item.id for item in made.unused])
            progress |= await self._submit(made, group, chain_state)
        await self._sources.give_back()
        await self._operations.settle_queued(settled)
        if settled:
            self._wakeups.tell_settled()
        return progress or bool(settled)

    def _judge(
        self, claimed: Sequence[QueuedOperation], chain_state: ChainState
    ) -> tuple[list[QueuedOperation], list[Settlement]]:
        """Return the operations that can be tried now, and the settlements of the others."""
        ready: list[QueuedOperation] = []
        settled: list[Settlement] = []
        for operation in claimed:
            verdict = readiness(
                operation.kind,
                operation.block_index,
                chain_state.head,
                plantable_soon=chain_state.plantable_soon,
            )
            if verdict.reason is FailureReason.BLOCK_CLOSED and self._was_held(operation):
                verdict = RENT_DUE
            settlement = judged(operation, verdict, chain_state.head)
            if settlement is None:
                ready.append(operation)
            else:
                settled.append(settlement)
        return ready, settled

    async def _submit(
        self, made: Round, group: Sequence[QueuedOperation], chain_state: ChainState
    ) -> bool:
        """Commit what is signed, then send it; tell whether anything was sent."""
        if not made.drafts:
            return False
        ledger = chain_state.ledger.sequence
        committed = await self._transactions.commit_signed(made.drafts, ledger=ledger)
        await self._tell_unpaid(group, made, committed.unpaid)
        await self._operations.release(sorted(committed.spared))
        recorded = committed.recorded
        await self._sender.send_committed(
            recorded,
            ledger=ledger,
            cap=lambda draft: self._limits.cap(len(draft.operation_ids), is_payment=False),
        )
        return bool(recorded)

    async def _tell_unpaid(
        self, group: Sequence[QueuedOperation], made: Round, ids: Collection[OperationId]
    ) -> None:
        """Settle operations that the fee budgets forbid.

        A plant is given up, as its block will not wait; other operations are tried again.
        """
        name = f"fees of {group[0].kind.value}s"
        if not ids:
            self._alarms.over(name)
            return
        self._alarms.tell(
            Alarm(
                name=name,
                cause="FEE_DAILY_STROOPS",
                message=_NO_ROOM,
                details={"operations": len(ids)},
            )
        )
        bids = {
            item: -(-draft.envelope.fee_bid // len(draft.operation_ids))
            for draft in made.drafts
            for item in draft.operation_ids
        }
        settlements = [
            given_up(item, FailureReason.FEE_BUDGET, _NO_ROOM, asked=bids[item.id])
            if OPERATION_KINDS[item.kind].is_given_up_unpaid
            else later(item, seconds=_BUDGET_PAUSE)
            for item in group
            if item.id in ids
        ]
        await self._operations.settle_queued(settlements)
        self._wakeups.tell_settled()

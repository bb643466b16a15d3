"""The newest known chain state, in this process's memory."""

from dataclasses import dataclass

from libs.common.clock import Clock
from services.wallet.domain.bids import MIN_INCLUSION_FEE, Bid, OperatorLimits
from services.wallet.domain.blocks import plant_bound, plantable_block
from services.wallet.domain.chain_facts import FarmState, LedgerHead
from services.wallet.domain.errors import ChainUnknownError
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import Block, ChainHead, OperationKind, QueuedOperation
from services.wallet.domain.packing import Limits
from services.wallet.domain.rent import Entry, farm_entries, holding
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.operations import Wanted

#: Seconds without an answer of the node after which the chain counts as away.
STALE_AFTER = 10.0
#: Share of the recent shortest time between two ledgers in which surely no ledger follows.
_SURELY = 0.6


@dataclass(frozen=True, kw_only=True)
class ChainState:
    """The state of the chain as seen at one ledger."""

    #: The ledger's head.
    ledger: LedgerHead
    #: The farm's state.
    farm: FarmState
    #: Ledger and farm as every process sees them.
    head: ChainHead
    #: The running block; None when there is none.
    block: Block | None
    #: Stroops that get a contract call included.
    inclusion_fee: int
    #: The network's limits of a ledger and of a transaction.
    limits: Limits
    #: Shortest time between two ledgers of late, in whole seconds; 0 while it is not known.
    pace: int

    @property
    def farm_entries(self) -> list[Entry]:
        """Return the farm's own entries, whose rent must not be charged to a farmer."""
        return farm_entries(
            instance_until=self.farm.instance_until,
            code_until=self.farm.code_until,
            max_entry_ttl=self.limits.max_entry_ledgers,
        )

    @property
    def is_rent_due(self) -> bool:
        """Tell whether calls of the farm wait: they would have to pay the farm's rent."""
        return bool(holding(self.farm_entries, self.ledger.sequence))

    @property
    def plantable_soon(self) -> int:
        """Return the block that a plant in the next ledger goes to, if that ledger is not early.

        A plant that is sent for this block names the block's entries. So a ledger that does come
        early only refuses the plant.
        """
        return plantable_block(
            index=self.farm.index,
            has_block=self.farm.block is not None,
            timestamp=self.farm.timestamp,
            now=self.ledger.close_time + self.pace,
            interval=self.head.block_seconds,
        )

    def is_open(self, block_index: int) -> bool:
        """Tell whether somebody has planted in a block, so that the block exists."""
        return self.farm.index == block_index and self.farm.block is not None

    def is_ahead(self, kind: OperationKind, block_index: int) -> bool:
        """Tell whether an operation is a plant for a block that only the next ledger can open."""
        return OPERATION_KINDS[kind].opens_block and block_index > self.head.plantable_block

    def bound(self, kind: OperationKind, block_index: int, lifetime: int) -> int:
        """Return the close time (unix s) after which this kind of envelope must not be included."""
        end = self.ledger.close_time + lifetime
        if not OPERATION_KINDS[kind].opens_block:
            return end
        last = plant_bound(
            ahead=self.is_ahead(kind, block_index),
            timestamp=self.farm.timestamp,
            now=self.ledger.close_time,
            interval=self.head.block_seconds,
        )
        return min(end, last)

    def bid(self, kind: OperationKind, block_index: int, limits: OperatorLimits) -> Bid:
        """Return what an envelope of this kind may cost, and until when it may live."""
        return Bid(
            max_time=self.bound(kind, block_index, limits.lifetime),
            inclusion_fee=self.inclusion_fee_for(kind),
            max_fee=limits.max_fee,
        )

    def pause(self, operation: QueuedOperation, most: int) -> int:
        """Return the seconds until an operation that cannot be done now is tried again.

        The result is `most`, or the time until a plant's block is over when that is shorter, so
        that the plant is reported as over at that time.
        """
        if not OPERATION_KINDS[operation.kind].opens_block:
            return most
        if operation.block_index < self.head.plantable_block:
            return 0
        last = self.bound(operation.kind, operation.block_index, most)
        return min(most, last + 1 - self.ledger.close_time)

    def inclusion_fee_for(self, kind: OperationKind) -> int:
        """Return the stroops to bid; a kind that nobody waits for bids what a quiet ledger asks."""
        return MIN_INCLUSION_FEE if OPERATION_KINDS[kind].is_patient else self.inclusion_fee

    def over(self) -> Wanted:
        """Return which operations to take up while nothing can be done: those whose block is over.

        They are taken up to be settled as over.
        """
        current = -1 if self.head.current_block is None else self.head.current_block
        return Wanted(
            ledger=self.ledger.sequence,
            plant_until=self.head.plantable_block - 1,
            work_until=current - 1,
            harvest_before=0,
        )

    def wanted(self, *, only_urgent: bool = False) -> Wanted:
        """Return which operations can be taken up.

        With `only_urgent`, only those harvests are among them that expire soon. A pail lives as
        long as every temporary entry does; the last fifth of that life is "soon".
        """
        current = -1 if self.head.current_block is None else self.head.current_block
        life = self.limits.temporary_ledgers * max(1, self.pace) // self.head.block_seconds
        return Wanted(
            ledger=self.ledger.sequence,
            plant_until=self.plantable_soon,
            work_until=current,
            harvest_before=current - life * 4 // 5 if only_urgent else current,
        )


class ChainView:
    """The holder of the newest chain state; `changed` and `others` ring with every new ledger."""

    def __init__(self, clock: Clock, changed: Wakeup, *others: Wakeup) -> None:
        self.changed = changed
        self._wakeups = (changed, *others)
        self._clock = clock
        self._chain_state: ChainState | None = None
        self._heard = float("-inf")
        #: When the newest state was published.
        self._published = float("-inf")

    def heard(self) -> None:
        """Note that the node answered, with nothing new."""
        self._heard = self.now()

    def publish(self, chain_state: ChainState) -> None:
        """Make a newer chain state known."""
        self._chain_state = chain_state
        self.heard()
        self._published = self._heard
        for wakeup in self._wakeups:
            wakeup.notify()

    def forget(self) -> None:
        """Forget the newest chain state, as it was a lie."""
        self._chain_state = None
        self._heard = self._published = float("-inf")

    def lose(self) -> None:
        """Count the chain as away, as it has changed: nothing that was seen counts any more."""
        self._heard = float("-inf")

    def now(self) -> float:
        """Return the seconds of the clock that freshness is measured by."""
        return self._clock.monotonic()

    @property
    def quiet(self) -> float:
        """Return the seconds in which no ledger can follow the newest, so that nobody need ask.

        A result of 0 or less means that a ledger may follow.
        """
        if self._chain_state is None:
            return 0.0
        return self._published + self._chain_state.pace * _SURELY - self.now()

    @property
    def is_fresh(self) -> bool:
        """Tell whether the node answered less than STALE_AFTER seconds ago."""
        return self._chain_state is not None and self.now() - self._heard < STALE_AFTER

    @property
    def newest(self) -> ChainState | None:
        """Return the newest chain state, however old; None when there is none."""
        return self._chain_state

    @property
    def current(self) -> ChainState:
        """Return the newest chain state.

        Raises ChainUnknownError when the chain was not seen for a while.
        """
        if self._chain_state is None or not self.is_fresh:
            raise ChainUnknownError("the Stellar network is not available", retry_after=1.0)
        return self._chain_state

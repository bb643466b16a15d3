"""The newest known state of the chain, in this process's memory."""

from dataclasses import dataclass

from libs.common.clock import Clock
from services.wallet.chain.model import FarmState, LedgerHead
from services.wallet.domain.blocks import plant_bound
from services.wallet.domain.errors import ChainUnknownError
from services.wallet.domain.model import Block, ChainHead, OperationKind
from services.wallet.engine.bell import Bell

#: Seconds without an answer of the node after which the chain counts as away.
STALE_AFTER = 10.0


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What was seen of the chain at one ledger."""

    #: The ledger.
    ledger: LedgerHead
    #: The farm.
    farm: FarmState
    #: Both as everybody sees them.
    head: ChainHead
    #: The running block; None when there is none.
    block: Block | None
    #: Stroops that get a contract call in.
    inclusion_fee: int

    def bound(self, kind: OperationKind, lifetime: int) -> int:
        """The close time (unix s) after which an envelope of this kind must not be included."""
        end = self.ledger.close_time + lifetime
        if kind is not OperationKind.PLANT:
            return end
        last = plant_bound(
            timestamp=self.farm.timestamp,
            now=self.ledger.close_time,
            interval=self.head.block_seconds,
        )
        return min(end, last)


class Watch:
    """Holds the newest sight; `changed` rings with every new ledger."""

    def __init__(self, clock: Clock, changed: Bell) -> None:
        self.changed = changed
        self._clock = clock
        self._sight: Sight | None = None
        self._heard = float("-inf")

    def heard(self) -> None:
        """The node answered; nothing is new."""
        self._heard = self.now()

    def publish(self, sight: Sight) -> None:
        """Makes a newer sight known."""
        self._sight = sight
        self.heard()
        self.changed.ring()

    def lose(self) -> None:
        """The chain is not what it was: nothing that was seen counts any more."""
        self._heard = float("-inf")

    def now(self) -> float:
        """Seconds of the clock that freshness goes by."""
        return self._clock.monotonic()

    @property
    def is_fresh(self) -> bool:
        """Whether the node answered not long ago."""
        return self._sight is not None and self.now() - self._heard < STALE_AFTER

    @property
    def newest(self) -> Sight | None:
        """The newest sight, however old."""
        return self._sight

    @property
    def current(self) -> Sight:
        """The newest sight. ChainUnknownError when the chain was not seen for a while."""
        if self._sight is None or not self.is_fresh:
            raise ChainUnknownError("the Stellar network is not available", retry_after=1.0)
        return self._sight

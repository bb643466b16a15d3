"""Pauses that this process was told of and the database was not yet: in force here all the same."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from libs.common.errors import UnavailableError
from services.wallet.domain.pausing import Reach, Scope


class PausedHereError(UnavailableError):
    """Signing is paused in this process, and the database does not know it yet."""

    default_reason = "SIGNING_PAUSED"


@dataclass(frozen=True, kw_only=True)
class PauseOrder:
    """An operator's order to pause."""

    #: For whom; a farmer's is in the farmer's own name, since that needs no look at the database.
    reach: Reach
    #: Why.
    reason: str
    #: Who ordered it.
    actor: str
    #: When this process was told.
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose operation it is: a farmer's and a pooler's, or the pool's own."""

    #: The farmer; None for the pool's own.
    farmer_id: UUID | None
    #: The farmer's pooler; None for the pool's own.
    pooler_id: UUID | None


class KillSwitch:
    """The orders that wait to be recorded, and what they were recorded as.

    Nothing here waits for the database: an order is in force with the call that gives it. Once it
    is recorded, the database's pauses are in force in its place, in every process; this one knows
    which pause it is, so that nobody takes its row away before anybody has looked.
    """

    def __init__(self) -> None:
        self._orders: dict[Reach, PauseOrder] = {}
        self._settled: dict[Reach, asyncio.Event] = {}
        self._errors: dict[Reach, Exception] = {}
        self._recorded: dict[UUID, Reach] = {}

    @property
    def orders(self) -> Sequence[PauseOrder]:
        """Return the orders that are not recorded yet, oldest first."""
        return list(self._orders.values())

    @property
    def holds_everything(self) -> bool:
        """Tell whether nothing at all is signed here."""
        return any(reach.scope is Scope.EVERYTHING for reach in self._orders)

    @property
    def holds_anything(self) -> bool:
        """Tell whether there is any order."""
        return bool(self._orders)

    def holds(self, owners: Iterable[Owner]) -> bool:
        """Tell whether nothing is signed here for one of these, or at all."""
        if not self._orders:
            return False
        return self.holds_everything or any(
            Reach(scope=Scope.FARMER, target=one.farmer_id) in self._orders
            or Reach(scope=Scope.POOLER, target=one.pooler_id) in self._orders
            for one in owners
        )

    def order(self, order: PauseOrder) -> None:
        """Put an order in force; one that waits already stays as it is."""
        if order.reach not in self._orders:
            self._orders[order.reach] = order
            self._settled[order.reach] = asyncio.Event()
            self._errors.pop(order.reach, None)

    def of(self, reach: Reach) -> PauseOrder | None:
        """Return the order that waits for a reach."""
        return self._orders.get(reach)

    def settle(self, reach: Reach, error: Exception | None = None) -> None:
        """Take an order as recorded, or as one that can never be, for this error."""
        self._orders.pop(reach, None)
        if error is not None:
            self._errors[reach] = error
        if (event := self._settled.pop(reach, None)) is not None:
            event.set()

    def note(self, pause_id: UUID, reach: Reach) -> None:
        """Keep what an order was recorded as, until it is taken."""
        self._recorded[pause_id] = reach

    def take_recorded(self) -> dict[UUID, Reach]:
        """Return what orders were recorded as since the last time, by the pauses' ids."""
        taken, self._recorded = self._recorded, {}
        return taken

    async def recorded(self, reach: Reach, timeout: float) -> bool:
        """Wait so many seconds for the order to be recorded; tell whether it is.

        Raise the error for which it can never be.
        """
        event = self._settled.get(reach)
        if event is not None:
            try:
                async with asyncio.timeout(timeout):
                    await event.wait()
            except TimeoutError:
                return False
        error = self._errors.pop(reach, None)
        if error is not None:
            raise error
        return True

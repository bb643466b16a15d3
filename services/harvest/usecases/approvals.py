"""Use case of orders that take a second person: a repeat of what is recorded takes none."""

from typing import Protocol
from uuid import UUID

from libs.common.grpc.second_person import Order, Use
from libs.common.ids import FarmerId
from services.harvest.domain.payout_runs import name_of_now, name_of_run


class Runs(Protocol):
    """Knows which runs there are."""

    async def has_run(self, name: str) -> bool:
        """Tell whether a request has made a run."""
        ...


class Approvals:
    """What asks for a second operator, who agrees to a run once."""

    def __init__(self, runs: Runs, use: Use) -> None:
        """Take what uses approvals of orders that are not recorded yet."""
        self._runs = runs
        self._use = use

    async def use(self, order: Order) -> None:
        """Return when an order may be carried out; its approval is used up then.

        A request whose run is recorded joins that run, or is refused because it asks for something
        else: neither does anything new. Raises what wallet says of any other one.
        """
        name = _name_of(order)
        if not name or not await self._runs.has_run(name):
            await self._use(order)


def _name_of(order: Order) -> str:
    """Return the name of the run that an order asks for; empty: of none."""
    if not order.is_repeatable or not order.named:
        return ""
    *farmer, request_id = order.named
    if not farmer:
        return name_of_run(request_id)
    try:
        return name_of_now(FarmerId(UUID(farmer[0])), request_id)
    except ValueError:  # no id; the method itself says so
        return ""

"""Use cases of orders that take a second person: one coroutine per verb."""

from dataclasses import dataclass

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.second_person import Order
from libs.common.log import get_security_logger
from services.wallet.domain.approvals import Approval, ApprovalId
from services.wallet.domain.errors import SecondPersonError
from services.wallet.store.approvals import ApprovalStore

security = get_security_logger()


@dataclass(frozen=True, kw_only=True)
class Approvals:
    """Use cases of approvals, and the parts that they use."""

    store: ApprovalStore
    #: Seconds in which a request can be approved and used; 0: nothing takes a second person.
    seconds: int

    async def use(self, order: Order) -> None:
        """Return when an order may be carried out; its approval is used up then.

        Raises SecondPersonError while nobody has approved it, InvalidArgumentError when it leaves
        open what is moved.
        """
        if not self.seconds:
            return
        for name in order.missing:
            raise InvalidArgumentError.of(
                name, "is required where a second person has to agree: it has to be seen"
            )
        waits_for = await self.store.use(order, seconds=self.seconds)
        if waits_for is None:
            security.warning(
                "order goes on", method=order.method, actor=order.recorded, digest=_hex(order)
            )
            return
        security.warning(
            "order takes a second person",
            method=order.method,
            actor=order.recorded,
            approval=str(waits_for),
            digest=_hex(order),
        )
        raise SecondPersonError(
            f"another operator has to approve it: {waits_for}",
            metadata={"approval_id": str(waits_for)},
        )

    async def approve(self, approval_id: ApprovalId, *, actor: str) -> Approval:
        """Agree to a request. Raises ApprovalNotFoundError, OwnRequestError, ApprovalOverError."""
        approval = await self.store.approve(approval_id, actor=actor)
        security.warning(
            "order approved", method=approval.method, actor=actor, approval=str(approval_id)
        )
        return approval


def _hex(order: Order) -> str:
    return order.digest.hex()

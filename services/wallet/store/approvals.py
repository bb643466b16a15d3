"""The table of approvals, each step in a transaction with its record in the audit log."""

from datetime import datetime
from uuid import UUID

from libs.common.db.pool import Database, Session
from libs.common.db.pool import Record as Row
from libs.common.grpc.second_person import Order
from libs.common.ids import new_id
from libs.common.log import get_security_logger
from services.wallet.domain.approvals import (
    Approval,
    ApprovalId,
    Verdict,
    expiry,
    is_anothers,
    verdict,
)
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import ApprovalNotFoundError, ApprovalOverError, OwnRequestError
from services.wallet.store.custody import add_records, lock_audit_log
from services.wallet.store.orders import Orders

security = get_security_logger()


class ApprovalStore:
    """The table approvals. The lock of the audit log makes all steps follow each other."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def use(self, order: Order, *, seconds: int) -> ApprovalId | None:
        """Use the approval of a request up; None: it may go on.

        Else return the approval that it waits for, which is made if there is none.
        """
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            newest, now = await self._newest(session, order)
            decided = verdict(newest, now, is_repeatable=order.is_repeatable)
            if decided is Verdict.ASK or newest is None:
                return await _ask(session, order, now, seconds=seconds)
            if decided is Verdict.USE and await session.execute("use_approval", newest.id):
                await add_records(session, [_act(order.recorded, Action.USE_APPROVAL, newest)])
                return None
            return None if decided is Verdict.REPEAT else newest.id

    async def approve(self, approval_id: ApprovalId, *, actor: str) -> Approval:
        """Record that an operator agrees to a request; doing it twice changes nothing.

        Raises ApprovalNotFoundError, OwnRequestError, ApprovalOverError.
        """
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            row = await session.one("approval", approval_id)
            if row is None:
                raise ApprovalNotFoundError(f"there is no approval {approval_id}")
            found = _approval(row)
            if not is_anothers(found, actor):
                raise OwnRequestError("it takes another operator than the one who asked")
            if found.approved_by == actor and found.used_at is None:
                return found
            approved = await session.one("approve", approval_id, actor)
            if approved is None:
                raise ApprovalOverError(f"approval {approval_id} is given, used or too late")
            await session.execute("sign_approval", approval_id, self._orders.for_approval(approved))
            await add_records(session, [_act(actor, Action.APPROVE, found)])
            return _approval(approved)

    async def _newest(self, session: Session, order: Order) -> tuple[Approval | None, datetime]:
        """Return the newest approval of this request, and the moment of this transaction.

        A second person's word that wallet did not write counts for nothing.
        """
        (row,) = await session.many("approval_of", order.digest, order.asked_by, order.method)
        if row["id"] is None:
            return None, row["moment"]
        found = _approval(row)
        if found.approved_at is not None and not self._orders.is_approval(row):
            security.critical("approval not written by wallet", approval=str(found.id))
            return None, row["moment"]
        return found, row["moment"]

    async def approvals(self, *, over: bool) -> list[Approval]:
        """Return approvals that can be given or used, newest first; with `over`, all others, too.

        There are 1,000 at most.
        """
        return [_approval(row) for row in await self._database.many("approvals", over)]


async def _ask(session: Session, order: Order, now: datetime, *, seconds: int) -> ApprovalId:
    asked = Approval(
        id=ApprovalId(new_id()),
        method=order.method,
        digest=order.digest,
        request=order.request,
        asked_by=order.asked_by,
        asked_at=now,
        expires_at=expiry(now, seconds=seconds),
        approved_by=None,
        approved_at=None,
        used_at=None,
    )
    await session.execute(
        "insert_approval",
        asked.id,
        asked.method,
        asked.digest,
        asked.request,
        asked.asked_by,
        asked.asked_at,
        asked.expires_at,
    )
    await add_records(session, [_act(order.recorded, Action.ASK_APPROVAL, asked)])
    return asked.id


def _act(actor: str, action: Action, approval: Approval) -> Act:
    """Return the record of a step: the digest says of which request, word for word."""
    return Act(
        actor=actor,
        action=action,
        subject=f"approval {approval.id}",
        details=f"{approval.method} {approval.digest.hex()}",
    )


def _approval(row: Row) -> Approval:
    return Approval(
        id=ApprovalId(UUID(str(row["id"]))),
        method=row["method"],
        digest=row["digest"],
        request=row["request"],
        asked_by=row["asked_by"],
        asked_at=row["asked_at"],
        expires_at=row["expires_at"],
        approved_by=row["approved_by"],
        approved_at=row["approved_at"],
        used_at=row["used_at"],
    )

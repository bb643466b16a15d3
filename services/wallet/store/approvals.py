"""The table of approvals, each step in a transaction with its record in the audit log."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from libs.common.db.pool import Database, Session
from libs.common.db.pool import Record as Row
from libs.common.grpc.second_person import Order
from libs.common.ids import new_id
from libs.common.log import get_security_logger
from libs.common.once import Spent
from services.wallet.domain.approvals import (
    Approval,
    ApprovalId,
    Verdict,
    expiry,
    has_room,
    is_anothers,
    verdict,
)
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import (
    ApprovalLimitError,
    ApprovalNotFoundError,
    ApprovalOverError,
    OwnRequestError,
)
from services.wallet.store.custody import add_records, lock_audit_log
from services.wallet.store.orders import Orders

security = get_security_logger()

#: What names a withdrawal: its farmer, and its request id.
_NAMES = 2


class ApprovalStore:
    """The table approvals. The lock of the audit log makes all steps follow each other."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders
        #: Used by this process: no row, and no log without its record, has them used again.
        self._used: Spent[ApprovalId] = Spent()

    async def use(self, order: Order, *, seconds: int) -> ApprovalId | None:
        """Use the approval of a request up; None: it may go on.

        Else return the approval that it waits for, which is made if there is none.
        """
        used, waits_for = await self._decide(order, seconds=seconds)
        if used in self._used:
            security.critical("approval was used before", approval=str(used))
            return used
        if used is not None:
            self._used.add(used)
        return waits_for

    async def _decide(
        self, order: Order, *, seconds: int
    ) -> tuple[ApprovalId | None, ApprovalId | None]:
        """Return the approval that was used up, if any, and the one that the request waits for."""
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            newest, now = await self._newest(session, order)
            does_nothing_new = newest is not None and await self._is_recorded(session, order)
            decided = verdict(newest, now, is_repeatable=does_nothing_new)
            if decided is Verdict.ASK or newest is None:
                return None, await self._ask(session, order, now, seconds=seconds)
            if decided is Verdict.USE and await self._use(session, newest, now):
                await add_records(
                    session, [_act(order.recorded, Action.USE_APPROVAL, newest)], self._orders
                )
                return newest.id, None
            return None, None if decided is Verdict.REPEAT else newest.id

    async def _use(self, session: Session, newest: Approval, now: datetime) -> int:
        # What was judged is sealed, not what the row may have become since.
        mac = self._orders.for_approval(replace(newest, used_at=now))
        return await session.execute("use_approval", newest.id, now, mac)

    async def _is_recorded(self, session: Session, order: Order) -> bool:
        """Tell whether what a repeatable order asks for is there already, by wallet's own word."""
        if not order.is_repeatable or len(order.named) != _NAMES:
            return False
        farmer_id, request_id = order.named
        try:
            row = await session.one("withdrawal_named", UUID(farmer_id), request_id)
        except ValueError:  # no id; the method itself says so
            return False
        return row is not None and self._orders.is_withdrawal(row)

    async def approve(self, approval_id: ApprovalId, *, actor: str) -> Approval:
        """Record that an operator agrees to a request; doing it twice changes nothing.

        Raises ApprovalNotFoundError, OwnRequestError, ApprovalOverError.
        """
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            row = await session.one("approval", approval_id)
            if row is None:
                raise ApprovalNotFoundError(f"there is no approval {approval_id}")
            found = self._judged(row)
            if found is None:
                raise ApprovalNotFoundError(f"wallet did not write approval {approval_id}")
            if not is_anothers(found, actor):
                raise OwnRequestError("it takes another operator than the one who asked")
            if found.approved_by == actor and found.used_at is None:
                return found
            approved = replace(found, approved_by=actor, approved_at=row["moment"])
            mac = self._orders.for_approval(approved)
            if not await session.execute("approve", approval_id, actor, row["moment"], mac):
                raise ApprovalOverError(f"approval {approval_id} is given, used or too late")
            await add_records(session, [_act(actor, Action.APPROVE, found)], self._orders)
            return approved

    async def _newest(self, session: Session, order: Order) -> tuple[Approval | None, datetime]:
        """Return the newest approval of this request, and the moment of this transaction.

        A row that wallet did not write so counts for nothing, nor does one that the log or this
        process has seen used and that says that it was not.
        """
        (row,) = await session.many("approval_of", order.digest, order.asked_by, order.method)
        found = None if row["id"] is None else self._judged(row)
        was_used = found is not None and (row["is_used_by_log"] or found.id in self._used)
        if found is not None and was_used and found.used_at is None:
            security.critical("approval was used before", approval=str(found.id))
            return None, row["moment"]
        return found, row["moment"]

    def _judged(self, row: Row) -> Approval | None:
        """Return the approval of a row; None, with a record, when wallet did not write it so."""
        if self._orders.is_approval(row):
            return _approval(row)
        security.critical("approval not written by wallet", approval=str(row["id"]))
        return None

    async def approvals(
        self, *, over: bool, before: ApprovalId | None = None, limit: int = 1000
    ) -> list[Approval]:
        """Return approvals that can be given or used, newest first; with `over`, all others, too.

        They are older than the one named, and `limit` at most. What wallet did not write is not
        shown: nobody can agree to it.
        """
        found: list[Approval] = []
        last: UUID | None = before
        while rows := await self._database.many("approvals", over, last, limit - len(found)):
            found += [one for one in map(self._judged, rows) if one is not None]
            if len(found) == limit:
                break
            last = rows[-1]["id"]
        return found

    async def _ask(
        self, session: Session, order: Order, now: datetime, *, seconds: int
    ) -> ApprovalId:
        row = await session.one("open_approvals", order.asked_by)
        if row is not None and not has_room(order.method, **dict(row)):
            raise ApprovalLimitError("too many requests wait for a second operator")
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
            self._orders.for_approval(asked),
        )
        await add_records(session, [_act(order.recorded, Action.ASK_APPROVAL, asked)], self._orders)
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

"""The ends of pauses: one that wallet did not write is no end, and no pause goes by itself."""

from uuid import UUID

from libs.common.db.pool import Record, Session
from libs.common.ids import new_id
from libs.common.log import get_security_logger
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.store.custody import add_records
from services.wallet.store.orders import Orders

security = get_security_logger()

#: The actor of a pause that wallet puts back.
_ACTOR = "wallet"


class PauseGuard:
    """What one process knows of pauses; it looks before anything is signed."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        #: Pauses whose ends were seen to be wallet's own.
        self._ended: set[UUID] = set()
        #: Pauses that were seen in force.
        self._in_force: dict[UUID, Reach] = {}

    async def look(self, session: Session) -> None:
        """Put pauses back in force that somebody else has ended or taken away.

        The lock of the audit log is held.
        """
        rows = await session.many("pauses_to_judge", list(self._ended))
        for row in rows:
            if row["resumed_at"] is None:
                self._in_force[row["id"]] = _reach(row)
                continue
            if not self._orders.is_resume(row):
                await self._restore(session, _reach(row), "its end was not written by wallet")
                await session.execute("sign_resume", row["id"], self._orders.for_resume(row))
            self._ended.add(row["id"])
            self._in_force.pop(row["id"], None)
        for gone in self._in_force.keys() - {row["id"] for row in rows}:
            await self._restore(session, self._in_force.pop(gone), "it was taken away")

    async def _restore(self, session: Session, reach: Reach, why: str) -> None:
        security.critical("pause put back", reach=str(reach), why=why)
        made = await session.execute(
            "insert_pause", new_id(), reach.scope.value, reach.target, f"put back: {why}", _ACTOR
        )
        act = Act(actor=_ACTOR, action=Action.PAUSE, subject=str(reach), details=why)
        await add_records(session, [act] if made else [])


def _reach(row: Record) -> Reach:
    return Reach(scope=Scope(row["scope"]), target=row["target"])

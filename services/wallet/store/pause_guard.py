"""The pauses in force: one whose end wallet did not write has no end, and none goes by itself.

What is held is decided here, by rows that were judged and by what this process has seen, not by
what the database makes of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from libs.common.db.pool import Record, Session
from libs.common.ids import new_id
from libs.common.log import get_security_logger
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.pausing import Held, Reach, Scope
from services.wallet.store.custody import add_records
from services.wallet.store.orders import Orders

security = get_security_logger()

#: The actor of a pause that wallet puts back.
_ACTOR = "wallet"


@dataclass(frozen=True, kw_only=True)
class _Owed:
    """A pause that is to be put back."""

    #: The id that its row is to have.
    id: UUID
    #: Why.
    why: str


class PauseGuard:
    """What one process knows of pauses; it looks before anything is signed."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        #: Pauses whose ends were seen to be wallet's own.
        self._ended: set[UUID] = set()
        #: Pauses that were seen in force: each holds until wallet's own end of it is seen.
        self._in_force: dict[UUID, Reach] = {}
        #: Pauses whose rows are to be put back: each holds until its row was seen, whatever becomes
        #: of the transactions that write it.
        self._owed: dict[Reach, _Owed] = {}

    def know(self, recorded: Mapping[UUID, Reach]) -> None:
        """Take pauses that this process has recorded itself as seen in force, each by its id."""
        for pause_id, reach in recorded.items():
            if pause_id not in self._ended:
                self._in_force[pause_id] = reach

    async def look(self, session: Session) -> Held:
        """Return for whom nothing is signed now.

        Pauses that somebody else has ended or taken away are put back. The lock of the audit log is
        held.
        """
        rows = await session.many("pauses_to_judge", list(self._ended))
        for row in rows:
            await self._judge(session, row)
        there = {row["id"] for row in rows}
        for gone in self._in_force.keys() - there:
            self._owe(self._in_force.pop(gone), "it was taken away")
        for reach, owed in list(self._owed.items()):
            if owed.id in there:
                del self._owed[reach]
            else:
                await self._put_back(session, reach, owed)
        return Held(reaches=frozenset([*self._in_force.values(), *self._owed]))

    async def _judge(self, session: Session, row: Record) -> None:
        # Whoever makes it another one's ends the one that it was.
        known = self._in_force.get(row["id"], _reach(row))
        if row["resumed_at"] is None:
            # Also where its end was seen once: somebody has taken that back.
            self._ended.discard(row["id"])
            if known != _reach(row):
                self._owe(known, "it became another one")
            self._in_force[row["id"]] = _reach(row)
        elif self._orders.is_resume(row):
            self._ended.add(row["id"])
            self._in_force.pop(row["id"], None)
        else:
            self._owe(known, "its end was not written by wallet")
            # Nobody else puts it back: this end counts, beside the pause that stands for it.
            await session.execute("sign_resume", row["id"], self._orders.for_resume(row))

    def _owe(self, reach: Reach, why: str) -> None:
        if reach not in self._owed:
            self._owed[reach] = _Owed(id=new_id(), why=why)
            security.critical("pause put back", reach=str(reach), why=why)

    async def _put_back(self, session: Session, reach: Reach, owed: _Owed) -> None:
        reason = f"put back: {owed.why}"
        made = await session.execute(
            "insert_pause", owed.id, reach.scope.value, reach.target, reason, _ACTOR
        )
        act = Act(actor=_ACTOR, action=Action.PAUSE, subject=str(reach), details=reason)
        await add_records(session, [act] if made else [], self._orders)


def _reach(row: Record) -> Reach:
    return Reach(scope=Scope(row["scope"]), target=row["target"])

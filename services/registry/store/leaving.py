"""Farmers and poolers that leave: who asked for it, how far it is, what it waits for."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, PoolerId
from services.registry.domain.leaving import Leaving, Waits, Word, may_leave_from
from services.registry.domain.status import (
    FarmerEvent,
    pooler_sources,
    pooler_target,
    sources,
    target,
)

QUERIES = Path(__file__).parent / "queries_leaving.sql"


class LeavingStore:
    """The table leavings, and the statuses that tell how far it is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def leave(
        self,
        farmer_id: FarmerId,
        word: Word,
        *,
        asked_by: str,
        with_pooler: bool = False,
        wish: int = 0,
    ) -> bool:
        """Have a farmer leave; return False when its status does not allow that."""
        row = await self._database.one(
            "leave_farmer",
            farmer_id,
            target(FarmerEvent.LEAVES).value,
            [one.value for one in may_leave_from(word)],
            word.value,
            asked_by,
            with_pooler,
            wish,
        )
        return row is not None

    async def wishes(self, *, limit: int) -> dict[FarmerId, int]:
        """Return the newest signed wishes of farmers to leave that are to be carried out."""
        rows = await self._database.many("leave_wishes", limit)
        return {FarmerId(row["farmer_id"]): row["number"] for row in rows}

    async def word(self, farmer_id: FarmerId) -> Word | None:
        """Return whose word it was that a farmer leaves; None: nobody's ever."""
        row = await self._database.one("leaving_word", farmer_id)
        return None if row is None else Word(row["word"])

    async def stay(self, farmer_id: FarmerId, word: Word) -> bool:
        """Call a farmer's leaving off; False when it does not leave, or by a stronger word."""
        edge = _farmer_edge(FarmerEvent.STAYS)
        return await self._database.one("stay_farmer", farmer_id, *edge, word.value) is not None

    async def leave_pooler(self, pooler_id: PoolerId, *, asked_by: str) -> bool:
        """Have a pooler leave as a whole; return False when its stage does not allow that."""
        edge = _pooler_edge(FarmerEvent.LEAVES)
        return await self._database.one("leave_pooler", pooler_id, *edge, asked_by) is not None

    async def leavable(self, pooler_id: PoolerId, *, limit: int) -> list[FarmerId]:
        """Return farmers of a pooler that could leave and do not."""
        rows = await self._database.many("leavable_farmers", pooler_id, limit)
        return [FarmerId(row["id"]) for row in rows]

    async def stay_pooler(self, pooler_id: PoolerId) -> bool:
        """Call a pooler's leaving off, with that of the farmers who leave because of it."""
        async with self._database.transaction() as session:
            edge = _pooler_edge(FarmerEvent.STAYS)
            if await session.one("move_pooler", pooler_id, *edge) is None:
                return False
            await session.many("stay_with_pooler", pooler_id, *_farmer_edge(FarmerEvent.STAYS))
        return True

    async def claim(self, *, limit: int, lease: float) -> list[Leaving]:
        """Take up who leaves and is due to be looked at, for so many seconds."""
        rows = await self._database.many("claim_leavings", limit, lease)
        return [Leaving(**row) for row in rows]

    async def note(self, owner_id: UUID, waits: Waits | None, *, pause: float) -> None:
        """Note what somebody waits for, and look again after a pause of seconds."""
        found = waits or Waits(reason="", message="")
        await self._database.execute("note_waits", owner_id, found.reason, found.message, pause)

    async def left(self, owner_id: UUID) -> Mapping[str, int]:
        """Return what is left of a farmer, or of a pooler itself, by what it is."""
        rows = await self._database.many("leftovers", owner_id)
        return {row["what"]: int(row["amount"]) for row in rows}

    async def farmers_left(self, pooler_id: PoolerId) -> int:
        """Return how many farmers of a pooler have not left."""
        row = await self._database.one("farmers_left", pooler_id)
        return 0 if row is None else int(row["count"])

    async def move(self, one: Leaving, event: FarmerEvent) -> bool:
        """Take a step, as the tables allow; return False when somebody else was faster."""
        if one.is_pooler:
            edge = _pooler_edge(event)
            return await self._database.one("move_pooler", one.owner_id, *edge) is not None
        if event is FarmerEvent.CLOSED:
            return await self._depart(FarmerId(one.owner_id))
        edge = _farmer_edge(event)
        return await self._database.one("set_farmer_status", one.owner_id, *edge) is not None

    async def _depart(self, farmer_id: FarmerId) -> bool:
        """Note that a farmer has left, and that its pooler has one less."""
        async with self._database.transaction() as session:
            row = await session.one("depart_farmer", farmer_id, *_farmer_edge(FarmerEvent.CLOSED))
            if row is not None:
                await session.execute("uncount_farmer", row["pooler_id"])
        return row is not None


def _farmer_edge(event: FarmerEvent) -> tuple[str, list[str]]:
    """Return where an event leads, and from where, as the queries take it."""
    return target(event).value, [one.value for one in sources(event)]


def _pooler_edge(event: FarmerEvent) -> tuple[str, list[str]]:
    return pooler_target(event).value, [one.value for one in pooler_sources(event)]

"""Typed access to registry's tables."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from libs.common.db.pool import Database, Record, Session
from libs.common.grpc.standing import Standing, standings_in
from libs.common.ids import FarmerId, PoolerId, WalletId
from services.registry.domain.joining import Joined
from services.registry.domain.model import Farmer, NewFarmer, NewPooler, Pooler
from services.registry.domain.status import FarmerStatus, PoolerStage
from services.registry.domain.terms import NewTerms, Terms, digest_of
from services.registry.store.leaving import QUERIES as LEAVING_QUERIES
from services.registry.store.notifications import QUERIES as NOTIFICATION_QUERIES

#: Queries of poolers and farmers, of notifications, and of who leaves.
QUERIES = (Path(__file__).parent / "queries.sql", NOTIFICATION_QUERIES, LEAVING_QUERIES)
MIGRATIONS = Path(__file__).parent / "migrations"


class Store:
    """All tables of registry; methods that take part in a caller's transaction take its session."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def insert_pooler(self, session: Session, pooler_id: PoolerId, pooler: NewPooler) -> bool:
        """Add a pooler; return False when its public key is taken."""
        row = await session.one(
            "insert_pooler",
            pooler_id,
            pooler.name,
            pooler.public_key,
            pooler.api_endpoint,
            pooler.max_farmers,
        )
        return row is not None

    async def pooler(self, pooler_id: PoolerId) -> Pooler | None:
        """Return one pooler; None when there is none."""
        row = await self.database.one("pooler", pooler_id)
        return None if row is None else _pooler(row)

    async def lock_pooler(self, session: Session, pooler_id: PoolerId) -> Pooler | None:
        """Return one pooler; None when there is none.

        Its row is locked: nobody else changes the row until the transaction ends.
        """
        row = await session.one("lock_pooler", pooler_id)
        return None if row is None else _pooler(row)

    async def owners_of_farmers(self, ids: Sequence[str]) -> set[str]:
        """Return the poolers (ids) that own these farmers.

        The result has "" when one of the farmers is nobody's.
        """
        rows = await self.database.many("owners_of_farmers", list(map(UUID, ids)))
        return {row["pooler_id"] for row in rows}

    async def accounts_of_farmers(self, ids: Sequence[str]) -> set[str]:
        """Return the owner accounts that speak for these farmers.

        The result has "" when one of the farmers has none.
        """
        rows = await self.database.many("accounts_of_farmers", list(map(UUID, ids)))
        return {row["owner_account"] for row in rows}

    async def standings_of_poolers(self, ids: Sequence[str]) -> set[Standing]:
        """Return what limits these poolers."""
        row = await self.database.one("standings_of_poolers", list(map(UUID, ids)))
        return standings_in(None if row is None else dict(row))

    async def standings_of_farmers(self, ids: Sequence[str]) -> set[Standing]:
        """Return what limits these farmers, or their poolers."""
        row = await self.database.one("standings_of_farmers", list(map(UUID, ids)))
        return standings_in(None if row is None else dict(row))

    async def list_poolers(self, *, after: UUID | None, limit: int) -> list[Pooler]:
        """Return poolers in the order of their ids."""
        return [_pooler(row) for row in await self.database.many("list_poolers", after, limit)]

    async def update_pooler(
        self,
        session: Session,
        pooler_id: PoolerId,
        *,
        name: str | None,
        api_endpoint: str | None,
        max_farmers: int | None,
        is_listed: bool | None = None,
        is_open_to_join: bool | None = None,
    ) -> None:
        """Change the fields that are not None."""
        await session.execute(
            "update_pooler",
            pooler_id,
            name,
            api_endpoint,
            max_farmers,
            is_listed,
            is_open_to_join,
        )

    async def set_pooler_active(self, pooler_id: PoolerId, *, active: bool) -> bool:
        """Suspend or resume a pooler; return False when there is no such pooler."""
        return await self.database.execute("set_pooler_active", pooler_id, active) == 1

    async def heartbeat(self, pooler_id: PoolerId) -> datetime | None:
        """Set last_seen to now and return it; return None when there is no such pooler."""
        row = await self.database.one("heartbeat", pooler_id)
        return None if row is None else row["last_seen"]

    async def mark_gone(self, seconds: float) -> int:
        """Mark poolers whose last heartbeat is older than so many seconds; return how many.

        The database tells of each.
        """
        return await self.database.execute("mark_gone", seconds)

    async def insert_terms(
        self, session: Session, pooler_id: PoolerId, terms: NewTerms, *, actor: str
    ) -> None:
        """Add the next version of a pooler's terms; the pooler's row must be locked."""
        newest = await self.terms(pooler_id, session=session)
        version = newest.version + 1 if newest else 1
        await session.one(
            "insert_terms",
            pooler_id,
            version,
            terms.stake_bps,
            terms.pooler_bps,
            terms.miners_bps,
            terms.payout_threshold,
            terms.payout_interval_seconds,
            terms.harvest_blocks,
            terms.text,
            digest_of(pooler_id, version, terms),
            actor,
        )

    async def terms(
        self, pooler_id: PoolerId, version: int = 0, *, session: Session | None = None
    ) -> Terms | None:
        """Return a version (0: the newest) of a pooler's terms; None when there is none."""
        row = await (session or self.database).one("terms", pooler_id, version)
        return None if row is None else Terms(**row)

    async def insert_farmer(
        self,
        session: Session,
        farmer_id: FarmerId,
        farmer: NewFarmer,
        *,
        stake_bps: int | None = None,
        terms_version: int = 0,
    ) -> None:
        """Add a farmer and count it; the pooler's row must be locked.

        It joins under a version of its pooler's terms (0: none), and with another stake than it
        asked for where that is given.
        """
        await session.execute(
            "insert_farmer",
            farmer_id,
            farmer.pooler_id,
            farmer.payout_wallet_address,
            farmer.stake_bps if stake_bps is None else stake_bps,
            farmer.metadata,
            farmer.request_id,
            farmer.digest,
            farmer.owner_account,
            terms_version,
            farmer.registered_by,
            farmer.proof,
            farmer.joins_itself,
        )
        await session.execute("count_farmer", farmer.pooler_id)

    async def take_join_turn(self, session: Session) -> None:
        """Wait until nobody else joins by itself, and keep others waiting until the end."""
        await session.execute("take_join_turn")

    async def joined(self, session: Session, owner_account: str) -> Joined:
        """Return how many have joined by themselves within 24 hours; it must be our turn."""
        row = await session.one("joined", owner_account)
        if row is None:
            raise LookupError("a count without a row")
        return Joined(**row)

    async def farmer(self, farmer_id: FarmerId) -> Farmer | None:
        """Return one farmer, with the facts that other tables have about it.

        Returns None when there is no such farmer.
        """
        row = await self.database.one("farmer", farmer_id)
        return None if row is None else _farmer(row)

    async def farmer_of_request(
        self, session: Session, pooler_id: PoolerId, request_id: str
    ) -> FarmerId | None:
        """Return the farmer that a request id has registered; None when there is none."""
        row = await session.one("farmer_of_request", pooler_id, request_id)
        return None if row is None else row["id"]

    async def list_farmers(
        self,
        *,
        pooler_id: PoolerId | None,
        owner_account: str = "",
        after: UUID | None,
        limit: int,
    ) -> list[Farmer]:
        """Return farmers in the order of their ids; of one owner account, unless it is empty."""
        rows = await self.database.many("list_farmers", pooler_id, after, limit, owner_account)
        return [_farmer(row) for row in rows]

    async def provisioning(
        self, older_than: float, *, after: FarmerId | None, limit: int
    ) -> list[tuple[FarmerId, PoolerId]]:
        """Return a page of farmers without a wallet for longer than this many seconds, by id."""
        rows = await self.database.many("provisioning", older_than, after, limit)
        return [(row["farmer_id"], row["pooler_id"]) for row in rows]

    async def activate_farmer(
        self,
        farmer_id: FarmerId,
        wallet_id: WalletId,
        address: str,
        status: FarmerStatus,
        allowed: Sequence[FarmerStatus],
    ) -> None:
        """Give a farmer its wallet.

        A farmer that is in none of the allowed statuses keeps its own wallet.
        """
        await self.database.execute(
            "activate_farmer",
            farmer_id,
            wallet_id,
            address,
            status.value,
            [one.value for one in allowed],
        )

    async def set_farmer_status(
        self, farmer_id: FarmerId, status: FarmerStatus, allowed: Sequence[FarmerStatus]
    ) -> bool:
        """Change the status from one of those allowed; return False when it is none of them."""
        row = await self.database.one(
            "set_farmer_status", farmer_id, status.value, [one.value for one in allowed]
        )
        return row is not None

    async def update_farmer(
        self,
        session: Session,
        farmer_id: FarmerId,
        *,
        stake_bps: int | None,
        metadata: str | None,
        payout_wallet_address: str | None,
    ) -> None:
        """Change the fields that are not None."""
        await session.execute(
            "update_farmer", farmer_id, stake_bps, metadata, payout_wallet_address
        )

    async def request(
        self, session: Session, request_id: str, method: str
    ) -> tuple[bytes, UUID] | None:
        """Return digest and subject of a request that was made before; None when there is none."""
        row = await session.one("request", request_id, method)
        return None if row is None else (row["digest"], row["subject_id"])

    async def insert_request(
        self, session: Session, request_id: str, method: str, digest: bytes, subject: UUID
    ) -> bool:
        """Note a request; return False when another call was faster."""
        row = await session.one("insert_request", request_id, method, digest, subject)
        return row is not None


def _pooler(row: Record) -> Pooler:
    return Pooler(**{**row, "stage": PoolerStage(row["stage"])})


def _farmer(row: Record) -> Farmer:
    return Farmer(**{**row, "status": FarmerStatus(row["status"])})

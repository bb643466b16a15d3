"""The audit log, and the pauses in which nothing is signed."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from libs.common.db.pool import Database, Session
from libs.common.db.pool import Record as Row
from libs.common.errors import UnavailableError
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.audit import Act, Action, Head, Record, Seal, chained
from services.wallet.domain.errors import NotInLogError
from services.wallet.domain.model import TransactionId
from services.wallet.domain.pausing import Pause, Reach, Scope
from services.wallet.store.orders import Orders

#: What can be done, and recorded, before there is any key of rows.
_BEFORE_KEYS = frozenset(
    action.value for action in (Action.PAUSE, Action.ROTATE_KEYS, Action.REPLACE_TOKEN_KEY)
)
#: How long two keys of rows are used side by side at most.
_OVERLAP = timedelta(minutes=10)
#: Records that are read at once.
_PAGE = 1000


class PauseNotRecordedError(UnavailableError):
    """The database took a pause and does not have it."""

    default_reason = "SIGNING_PAUSED"


async def lock_audit_log(session: Session) -> None:
    """Keep everybody else from signing, pausing or adding records until this transaction ends.

    The lock is taken before anything else is locked or read, so what is read then is what all
    others have left.
    """
    await session.one("lock_audit_log")


async def append(session: Session, acts: Sequence[Act], orders: Orders) -> None:
    """Add records in the transaction of what they tell of, and take the lock for that.

    Raises NotInLogError.
    """
    if acts:
        await lock_audit_log(session)
        await add_records(session, acts, orders)


async def add_records(session: Session, acts: Sequence[Act], orders: Orders) -> Sequence[Record]:
    """Add records as `append` does, where the lock is held already; return them.

    Raises NotInLogError where the database leaves one out: nothing is done then that would not be
    in the log.
    """
    if not acts:
        return ()
    head, moment = await audit_head(session)
    records = chained(acts, head, moment)
    added = await session.execute(
        "insert_audit_records",
        [item.number for item in records],
        [item.at for item in records],
        [item.actor for item in records],
        [item.action for item in records],
        [item.subject for item in records],
        [item.details for item in records],
        [item.previous for item in records],
        [item.hash for item in records],
        [item.version for item in records],
        [orders.for_record(item.number, item.hash) for item in records],
    )
    if added != len(records):
        raise NotInLogError(f"the database took {added} of {len(records)} records")
    return records


async def audit_head(session: Session | Database) -> tuple[Head, datetime]:
    """Return where the audit log ends, and the moment of the transaction.

    Nothing follows it in this transaction but what the transaction adds itself, where the lock is
    held.
    """
    row = await session.one("audit_head")
    if row is None:
        raise LookupError("the audit log has no head: somebody with all rights removed it")
    return Head(number=row["number"], hash=row["hash"]), row["moment"]


def told_transaction(transaction_id: TransactionId, source: str, sequence: int, bid: int) -> str:
    """Return the words by which a record names a transaction; queries/audit.sql reads them."""
    return f"transaction {transaction_id}, source {source}, sequence {sequence}, bid {bid}"


class CustodyStore:
    """The tables audit_log and pauses."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def ping(self) -> None:
        """Use the connection, so that it stays open."""
        async with self._database.session() as session:
            await audit_head(session)

    async def record(self, act: Act) -> None:
        """Add one record in a transaction of its own, and see that it is there then.

        Raises NotInLogError.
        """
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            (record,) = await add_records(session, [act], self._orders)
        if await self.hash_at(record.number) != record.hash:
            raise NotInLogError(f"record {record.number} is not in the log")

    async def head(self) -> Head:
        """Return where the audit log ends."""
        async with self._database.session() as session:
            return (await audit_head(session))[0]

    async def hash_at(self, number: int) -> bytes | None:
        """Return the hash of a record; None when it is not there."""
        row = await self._database.one("audit_hash_at", number)
        return None if row is None else row["hash"]

    async def judge(self) -> "RecordJudge":
        """Return what tells which records wallet did not write."""
        row = await self._database.one("first_vouched_record")
        return RecordJudge(self._orders, first=None if row is None else row["number"])

    async def records(self, *, after: int = 0) -> AsyncIterator[list[Record]]:
        """Yield the log after a record's number, oldest first, a page at a time."""
        while True:
            rows = await self._database.many("audit_records", after, _PAGE, None)
            if not rows:
                return
            yield [_record(row) for row in rows]
            after = rows[-1]["number"]

    async def seals(self, *, after: int, until: int) -> AsyncIterator[list[Seal]]:
        """Yield what tells who wrote the records after one number up to another, page by page."""
        while after < until:
            rows = await self._database.many("audit_seals", after, until, _PAGE)
            if not rows:
                return
            yield [Seal(**dict(row)) for row in rows]
            after = rows[-1]["number"]

    async def latest(self, *, before: int | None, action: str | None, limit: int) -> list[Record]:
        """Return records, newest first."""
        rows = await self._database.many("latest_audit_records", before, limit, action)
        return [_record(row) for row in rows]

    async def pause(self, reach: Reach, *, reason: str, actor: str) -> UUID:
        """Pause signing: nothing new is signed once this has returned; return the pause's id.

        Each order is a row of its own: none that is there stands for it, as an operator may have
        ended that one once. Raises PauseNotRecordedError when the database did not keep the row.
        """
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            pause_id = new_id()
            await session.execute(
                "insert_pause", pause_id, reach.scope.value, reach.target, reason, actor
            )
            await _read_back(session, pause_id, reach)
            act = Act(actor=actor, action=Action.PAUSE, subject=str(reach), details=reason)
            await add_records(session, [act], self._orders)
        # What a trigger does at the end of a transaction is seen after it only.
        await _read_back(self._database, pause_id, reach)
        return pause_id

    async def resume(self, reach: Reach, *, actor: str) -> bool:
        """End a pause; return False when there was none."""
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            found = await session.many("pauses_in_force", reach.scope.value, reach.target)
            for row in found:
                mac = self._orders.for_new_resume(row, resumed_by=actor, resumed_at=row["moment"])
                await session.execute("end_pause", row["id"], actor, row["moment"], mac)
            act = Act(actor=actor, action=Action.RESUME, subject=str(reach))
            await add_records(session, [act] if found else [], self._orders)
        return bool(found)

    async def release(self, operation_id: OperationId, *, actor: str) -> bool:
        """Let an operation that waits for a person be signed for again; False when it does not."""
        async with self._database.transaction() as session:
            changed = await session.execute("release_held", operation_id)
            act = Act(actor=actor, action=Action.RELEASE, subject=f"operation {operation_id}")
            await append(session, [act] if changed else [], self._orders)
        return changed > 0

    async def pauses(self, *, over: bool) -> list[Pause]:
        """Return pauses in force, newest first.

        With `over`, return also those that have ended (1,000 at most).
        """
        return [_pause(row) for row in await self._database.many("pauses", over)]


class RecordJudge:
    """The look at records in their order: which of them wallet did not write."""

    def __init__(self, orders: Orders, *, first: int | None) -> None:
        """Take the number of the first record with an authenticator: none before it has one."""
        self._orders = orders
        self._first = first
        #: The newest key that a record is vouched for by, and since when.
        self._newest, self._since = 0, datetime.max.replace(tzinfo=UTC)

    def strangers(self, page: Sequence[Seal]) -> list[str]:
        """Return in words which of the next records wallet did not write."""
        judged = [record for record in page if not self._is_before_keys(record)]
        if judged and not self._orders.are_open:
            return ["the keys of rows are not open: nobody can tell who wrote the records"]
        return [
            f"wallet did not write record {record.number}"
            for record in judged
            if not self._is_genuine(record)
        ]

    def _is_before_keys(self, record: Seal) -> bool:
        """Tell whether wallet may have written a record before there was any key of rows."""
        is_first = self._first is None or record.number < self._first
        return is_first and record.mac is None and record.action in _BEFORE_KEYS

    def _is_genuine(self, record: Seal) -> bool:
        number, at = (
            self._orders.key_of_record(record.number, record.hash, record.mac),
            record.at or datetime.max.replace(tzinfo=UTC),
        )
        if number > self._newest:
            self._newest, self._since = number, at
        # Another process may use the key before for a while, and nobody later.
        return number > 0 and (number == self._newest or at <= self._since + _OVERLAP)


async def _read_back(database: Session | Database, pause_id: UUID, reach: Reach) -> None:
    """Raise PauseNotRecordedError unless this pause is there and in force."""
    row = await database.one("pause", pause_id)
    if row is None or row["resumed_at"] is not None or _pause(row).reach != reach:
        raise PauseNotRecordedError(f"the database did not keep the pause of {reach}")


async def is_held_apart(session: Session, wallet_id: WalletId) -> bool:
    """Tell whether signing is paused for a wallet or its pooler.

    It does not matter whether signing is paused for everybody.
    """
    row = await session.one("is_held_apart", wallet_id)
    return row is not None and bool(row["is_held"])


def _record(row: Row) -> Record:
    return Record(**dict(row))


def _pause(row: Row) -> Pause:
    return Pause(
        reach=Reach(scope=Scope(row["scope"]), target=row["target"]),
        reason=row["reason"],
        paused_by=row["paused_by"],
        paused_at=row["paused_at"],
        resumed_by=row["resumed_by"],
        resumed_at=row["resumed_at"],
    )

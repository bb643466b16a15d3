"""Typed access to payouts: who has something to get, runs and their items, the switch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from libs.common.db.pool import Database, Record, Session
from libs.common.grpc.standing import Standing, standings_in
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.kale.constants import MAX_I64
from services.harvest.domain.bookkeeping import bookings_of
from services.harvest.domain.ledger import POOL
from services.harvest.domain.payout_runs import (
    Item,
    Payout,
    Run,
    Settled,
    Switching,
    Whose,
    chunks_of,
)
from services.harvest.domain.payouts import (
    Cause,
    Claims,
    Due,
    History,
    Left,
    Payee,
    PayeeKind,
    Reason,
    Terms,
    Waits,
    pay_of_miner,
    pay_of_pooler,
)
from services.harvest.store.ledger import BookkeepingStore

QUERIES = Path(__file__).parent / "queries_payouts.sql"


@dataclass(frozen=True, kw_only=True)
class PayoutTerms:
    """The operator's terms for whom no agreement says when it is paid."""

    #: For poolers, and for miners.
    pooler: Terms
    miner: Terms
    #: When fees are moved out of the accounts of farmers who are not paid themselves.
    sweep: Terms


class PayeeReader:
    """Reads who has something to get, in one session."""

    def __init__(self, session: Session, terms: PayoutTerms) -> None:
        self._session = session
        #: The operator's terms.
        self.terms = terms

    async def now(self) -> datetime:
        """Return the database's time."""
        row = await self._session.one("payout_now")
        if row is None:
            raise LookupError("a time without a row")
        now: datetime = row["now"]
        return now

    async def left(self) -> Left:
        """Return what left the pool within 24 hours."""
        row = await self._session.one("left_within_day")
        return Left() if row is None else Left(amount=row["amount"], since=row["begun_at"])

    async def is_off(self) -> bool:
        """Tell whether payouts are switched off."""
        newest = await self._session.many("payout_switchings", 1)
        return bool(newest) and bool(newest[0]["is_off"])

    async def farmers(
        self, whose: Whose, *, after: UUID | None = None, limit: int | None = None
    ) -> list[Payee]:
        """Return farmers in the order of their ids."""
        rows = await self._session.many(
            "payout_farmers", whose.farmer_id, whose.pooler_id, after, limit
        )
        return [_farmer(row) for row in rows]

    async def poolers(
        self, whose: Whose, *, after: UUID | None = None, limit: int | None = None
    ) -> list[Payee]:
        """Return poolers in the order of their ids."""
        rows = await self._session.many("payout_poolers", whose.pooler_id, after, limit)
        return [_pooler(row, self.terms) for row in rows]

    async def miners(
        self, whose: Whose, *, after: UUID | None = None, limit: int | None = None
    ) -> list[Payee]:
        """Return miners in the order of their ids."""
        rows = await self._session.many("payout_miners", whose.pooler_id, after, limit)
        return [_miner(row, self.terms) for row in rows]

    async def operator(self) -> list[Payee]:
        """Return the operator, when it has something to get."""
        row = await self._session.one("operator_fees")
        if row is None or row["fee"] <= 0:
            return []
        now = await self.now()
        since = row["since"] or now
        waits = Waits(
            amount=_fit(row["fee"]),
            reason=Reason.NOT_COLLECTED,
            since=since,
            expected_at=_collected_at(row["since"], self.terms),
        )
        return [
            Payee(
                kind=PayeeKind.OPERATOR,
                payee_id=POOL,
                pooler_id=PoolerId(POOL),
                payable=0,
                terms=None,
                history=History(since=since),
                others=[waits],
            )
        ]

    async def all_of(self, whose: Whose) -> list[Payee]:
        """Return all that a run may pay: of one farmer it is that one alone."""
        farmers = await self.farmers(whose)
        if whose.farmer_id is not None:
            return farmers
        return [*farmers, *await self.miners(whose), *await self.poolers(whose)]


class PayoutStore:
    """Runs, items and the switch."""

    def __init__(self, database: Database, terms: PayoutTerms) -> None:
        self.database = database
        self._books = BookkeepingStore(database)
        self._terms = terms

    def reader(self, session: Session) -> PayeeReader:
        """Return what reads payees in a session."""
        return PayeeReader(session, self._terms)

    async def take_turn(self, session: Session) -> None:
        """Have the turn of deciding who is paid, to the end of the transaction."""
        await session.execute("take_payout_turn")

    async def run_of_request(self, session: Session, request_id: str) -> tuple[UUID, bytes] | None:
        """Return the run that a request made, and what was asked for (digest)."""
        row = await session.one("payout_run_of_request", request_id)
        return None if row is None else (row["id"], row["digest"])

    async def has_run(self, name: str) -> bool:
        """Tell whether a request has made a run."""
        async with self.database.session() as session:
            return await self.run_of_request(session, name) is not None

    async def insert_run(
        self,
        session: Session,
        *,
        request_id: str,
        digest: bytes,
        started_by: str,
        due: Sequence[Due],
        by_name: bool = False,
    ) -> UUID:
        """Record a run with its items; one without any is complete.

        One that an operator asked for `by_name` pays the farmer whatever its standing is.
        """
        run_id = new_id()
        await session.execute(
            "insert_payout_run", run_id, request_id, digest, started_by, not due, by_name
        )
        if due:
            await session.execute("insert_payout_items", run_id, *_columns(due))
        return run_id

    async def run(self, run_id: UUID) -> Run:
        """Return a run as it stands."""
        row = await self.database.one("payout_run", run_id)
        if row is None:
            raise LookupError(f"no run {run_id}")
        return Run(**row)

    async def open_runs(self) -> list[UUID]:
        """Return the runs that have open items, the oldest first."""
        return [row["id"] for row in await self.database.many("open_payout_runs")]

    async def lease(self, run_id: UUID, process: UUID, *, seconds: float) -> bool:
        """Let one process alone ask wallet for a run for so many seconds; False: another does."""
        return await self.database.execute("lease_payout_run", run_id, process, seconds) == 1

    async def open_items(self, run_id: UUID) -> list[Item]:
        """Return the open items of a run, in the order of their chunks."""
        rows = await self.database.many("open_payout_items", run_id)
        return [Item(**{**row, "kind": PayeeKind(row["kind"])}) for row in rows]

    async def note_asked(self, run_id: UUID, items: Sequence[Item]) -> None:
        """Note that wallet is asked for these items now."""
        ids = [item.item_id for item in items]
        await self.database.execute("ask_for_payout_items", run_id, ids)

    async def settle(self, run_id: UUID, settled: Sequence[Settled]) -> int:
        """Book what became of items, and record it; return of how many that was not known.

        In this order: what is recorded as settled is booked, and never taken for available again.
        """
        columns = (
            [one.item_id for one in settled],
            [one.state for one in settled],
            [one.address for one in settled],
            [one.pooler_fee for one in settled],
            [one.operator_fee for one in settled],
            [one.reason for one in settled],
            [one.message for one in settled],
            [one.operation_id for one in settled],
            [one.transaction_hash for one in settled],
            [one.ledger for one in settled],
        )
        told = [one.movement for one in settled if one.movement is not None]
        await self._books.book_movements(bookings_of(told))
        return len(await self.database.many("settle_payout_items", run_id, *columns))

    async def complete(self, run_id: UUID) -> bool:
        """Note that a run has no open item any more; False while it has."""
        await self.database.execute("complete_payout_run", run_id)
        return await self.is_complete(run_id)

    async def is_complete(self, run_id: UUID) -> bool:
        """Tell whether a run was noted to have no open item any more."""
        return (await self.run(run_id)).completed_at is not None

    async def page(
        self, whose: Whose, *, run_id: UUID | None, before: UUID | None, limit: int
    ) -> list[Payout]:
        """Return items, newest first."""
        rows = await self.database.many(
            "list_payouts", whose.farmer_id, whose.pooler_id, run_id, before, limit
        )
        return [_payout(row) for row in rows]

    async def switchings(self, limit: int) -> list[Switching]:
        """Return how payouts were switched, newest first."""
        rows = await self.database.many("payout_switchings", limit)
        return [Switching(**row) for row in rows]

    async def switch(self, *, is_off: bool, switched_by: str, reason: str) -> bool:
        """Switch payouts off or on; False when they stood so already."""
        return await self.database.execute("switch_payouts", is_off, switched_by, reason) == 1

    async def is_off(self) -> bool:
        """Tell whether payouts are switched off."""
        async with self.database.session() as session:
            return await self.reader(session).is_off()

    async def standings_of_farmers(self, ids: Sequence[str]) -> set[Standing]:
        """Return what limits these farmers, or their poolers."""
        row = await self.database.one("standings_of_payees", list(map(UUID, ids)))
        return standings_in(None if row is None else dict(row))


def _columns(due: Sequence[Due]) -> tuple[list[object], ...]:
    """Return payouts as the arguments of the query, in order."""
    return (
        [new_id() for _ in due],
        list(chunks_of(due)),
        [one.payee.kind.value for one in due],
        [one.payee.payee_id for one in due],
        [one.payee.pooler_id for one in due],
        [one.payee.address for one in due],
        [one.cause.value for one in due],
        [one.amount for one in due],
    )


def _farmer(row: Record) -> Payee:
    has_terms = row["threshold"] is not None
    standing = next(
        (
            reason
            for reason, holds in (
                (Reason.FARMER_DEPARTED, row["farmer_departed"]),
                (Reason.FARMER_SUSPENDED, row["farmer_suspended"]),
                # A pooler that is suspended holds back nobody who leaves.
                (Reason.POOLER_SUSPENDED, row["pooler_suspended"] and not row["is_leaving"]),
                (Reason.SIGNING_PAUSED, row["signing_paused"]),
            )
            if holds
        ),
        None,
    )
    staked = Waits(amount=_fit(row["staked"]), reason=Reason.STAKED, since=row["since"])
    # What a run has is told as that, whether or not it is booked as pending by now; the rest of
    # what is pending was asked for by a withdrawal.
    pending, going = _fit(row["on_its_way"]), row["open_amount"]
    withdrawn = Waits(amount=pending - going, reason=Reason.ON_ITS_WAY, since=row["since"])
    return Payee(
        kind=PayeeKind.FARMER,
        payee_id=FarmerId(row["payee_id"]),
        pooler_id=PoolerId(row["pooler_id"]),
        payable=max(0, _fit(row["available"]) - max(0, going - pending)),
        fees=max(0, _fit(row["fees"])),
        fees_since=row["fees_since"],
        terms=(
            Terms(threshold=row["threshold"], interval=row["interval_seconds"])
            if has_terms
            else None
        ),
        history=replace(
            _history(row),
            swept_at=row["swept_at"],
            fees_left=_fit(row["fees_left"]),
            sweep_failures=row["sweep_failures"],
            sweep_failed_at=row["sweep_failed_at"],
            left_today=_fit(row["left_today"]),
            left_since=row["left_since"],
        ),
        standing=standing,
        is_leaving=row["is_leaving"],
        others=[withdrawn, staked],
    )


def _pooler(row: Record, terms: PayoutTerms) -> Payee:
    claims = Claims(
        fee=_fit(row["fee"]),
        divided=_fit(row["divided"]),
        undivided=_fit(row["undivided"]),
        uncollected=_fit(row["uncollected"]),
        pooler_funds=_fit(row["pooler_funds"]),
        miner_funds=_fit(row["miner_funds"]),
    )
    own, mined = pay_of_pooler(claims)
    # One payment at a time: the larger part goes first.
    is_own = own >= mined
    rest = claims.fee - own - mined
    since = row["since"]
    others = (
        Waits(amount=min(own, mined), reason=Reason.DUE, since=since),
        Waits(
            amount=rest,
            reason=Reason.NOT_COLLECTED,
            since=row["uncollected_since"] or since,
            expected_at=_collected_at(row["uncollected_since"], terms),
        ),
        Waits(amount=claims.undivided, reason=Reason.NOT_DIVIDED, since=since),
    )
    return Payee(
        kind=PayeeKind.POOLER,
        payee_id=row["payee_id"],
        pooler_id=PoolerId(row["payee_id"]),
        address="" if is_own else row["own_address"],
        payable=max(0, (own if is_own else mined) - row["open_amount"]),
        terms=terms.pooler,
        history=_history(row),
        standing=Reason.POOLER_SUSPENDED if row["pooler_suspended"] else None,
        is_leaving=row["is_leaving"],
        others=others,
    )


def _miner(row: Record, terms: PayoutTerms) -> Payee:
    earned = _fit(row["earned"])
    payable = pay_of_miner(earned, until=_fit(row["until"]), funds=_fit(row["miner_funds"]))
    rest = Waits(
        amount=earned - payable,
        reason=Reason.NOT_COLLECTED,
        since=row["since"],
        expected_at=_collected_at(row["uncollected_since"], terms),
    )
    return Payee(
        kind=PayeeKind.MINER,
        payee_id=row["payee_id"],
        pooler_id=PoolerId(row["pooler_id"]),
        address=row["address"],
        payable=max(0, payable - row["open_amount"]),
        terms=terms.miner,
        history=_history(row),
        # A suspended pooler gets nothing; what its miners have earned is theirs.
        is_leaving=row["is_leaving"],
        others=[rest],
    )


def _history(row: Record) -> History:
    return History(
        since=row["since"],
        failures=row["failures"],
        failed_at=row["failed_at"],
        refusal=row["refusal"],
        message=row["message"],
        run_id=row["run_id"],
        open_amount=row["open_amount"],
    )


def _payout(row: Record) -> Payout:
    return Payout(**{**row, "kind": PayeeKind(row["kind"]), "cause": Cause(row["cause"])})


def _collected_at(since: datetime | None, terms: PayoutTerms) -> datetime | None:
    """Return when the oldest fees are moved out of farmers' accounts at the latest."""
    if since is None or not terms.sweep.interval:
        return None
    return since + timedelta(seconds=terms.sweep.interval)


def _fit(amount: Decimal) -> int:
    """Return an amount as wallet takes it: what is beyond is kept as the most."""
    return max(-MAX_I64, min(int(amount), MAX_I64))

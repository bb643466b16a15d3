"""Use cases of payouts: who is paid, by the loop or by hand, and what waits and why."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from libs.batches.model import FarmerNotFoundError, RequestIdReusedError, digest_of
from libs.common.db.pool import Session
from libs.common.failpoints import failpoint
from libs.common.grpc.standing import SigningPausedError, Standing
from libs.common.ids import FarmerId, new_id
from libs.common.log import get_logger, get_security_logger
from services.harvest.domain.errors import (
    PayoutEmptyError,
    PayoutLimitError,
    PayoutNeedsApprovalError,
    PayoutOnItsWayError,
    PayoutsExceedError,
    PayoutsOffError,
    PayoutTooLargeError,
)
from services.harvest.domain.payout_runs import (
    Payout,
    Run,
    Switching,
    Whose,
    name_of_now,
    name_of_run,
)
from services.harvest.domain.payouts import (
    Cause,
    Due,
    Order,
    Payee,
    PayeeKind,
    Pending,
    Plan,
    Reason,
    Rules,
    amount_now,
    pending_of,
    plan,
    room_of,
)
from services.harvest.store.payouts import PayeeReader, PayoutStore
from services.harvest.store.store import Store
from services.harvest.usecases.payout_runner import PayoutRunner

log = get_logger(__name__)
security = get_security_logger()

#: Who starts the runs that nobody asked for.
LOOP = "loop"
#: Since when payouts are on that nobody ever switched.
_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
#: The order in which kinds of payees are listed.
_SECTIONS = (PayeeKind.FARMER, PayeeKind.POOLER, PayeeKind.MINER, PayeeKind.OPERATOR)


@dataclass(frozen=True, kw_only=True)
class PayoutLimits:
    """The operator's settings for payouts."""

    #: Seconds between two runs of the loop; 0: it makes none.
    every: float
    #: Stroops that are worth a payment.
    minimum: int
    #: Stroops above which a payout is for operators.
    approval: int
    #: Stroops that may leave to one farmer, and to all, within 24 hours; 0: no limit.
    daily_payee: int
    daily_pool: int


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants to be paid."""

    request_id: str
    #: Who wants it, for the records.
    asked_by: str


class Payouts:
    """The use cases of one process."""

    def __init__(
        self,
        *,
        store: PayoutStore,
        tables: Store,
        runner: PayoutRunner,
        limits: PayoutLimits,
    ) -> None:
        self._store = store
        self._tables = tables
        #: What has wallet pay.
        self.runner = runner
        self._limits = limits

    async def preview(self, whose: Whose) -> Plan:
        """Return what a run by hand would pay now."""
        async with self._store.database.session() as session:
            found, _ = await self._plan(session, whose, by_hand=True)
            return found

    @property
    def approval(self) -> int:
        """Return the stroops above which a run takes a second operator."""
        return self._limits.approval

    async def run(self, wish: Wish, whose: Whose, max_amount: int) -> Run:
        """Pay everybody who is due, or join the run of this request.

        Raises PayoutsOffError, PayoutsExceedError and RequestIdReusedError.
        """
        if whose.farmer_id is not None:
            await self._check_farmer(whose.farmer_id)
        digest = digest_of("run", str(whose.pooler_id), str(whose.farmer_id), max_amount)
        name = name_of_run(wish.request_id)
        async with self._store.database.transaction() as session:
            run_id = await self._known(session, name, digest)
            if run_id is None:
                found, rules = await self._plan(session, whose, by_hand=True)
                _check_run(found, max_amount, is_off=rules.is_off)
                run_id = await self._store.insert_run(
                    session,
                    request_id=name,
                    digest=digest,
                    started_by=wish.asked_by,
                    due=found.due,
                    by_name=whose.farmer_id is not None,
                )
                security.warning(
                    "payouts started",
                    actor=wish.asked_by,
                    run=str(run_id),
                    payments=len(found.due),
                    stroops=found.total,
                )
        await self._finish(run_id)
        return await self._store.run(run_id)

    async def pay_now(
        self, wish: Wish, farmer_id: FarmerId, amount: int | None, *, by_operator: bool
    ) -> Payout:
        """Pay one farmer, or join the payout of this request.

        Raises PayoutsOffError, PayoutOnItsWayError, PayoutEmptyError, PayoutTooLargeError,
        PayoutNeedsApprovalError, PayoutLimitError and RequestIdReusedError.
        """
        await self._check_farmer(farmer_id)
        digest = digest_of("now", str(farmer_id), amount)
        name = name_of_now(farmer_id, wish.request_id)
        async with self._store.database.transaction() as session:
            run_id = await self._known(session, name, digest)
            if run_id is None:
                due = await self._due_now(session, farmer_id, amount, by_operator=by_operator)
                run_id = await self._store.insert_run(
                    session,
                    request_id=name,
                    digest=digest,
                    started_by=wish.asked_by,
                    due=[due],
                    by_name=by_operator,
                )
        await self._finish(run_id)
        (payout,) = await self._store.page(Whose(), run_id=run_id, before=None, limit=1)
        return payout

    async def step(self) -> UUID | None:
        """Pay who is due by its terms, without waiting for the end; None: nobody is."""
        async with self._store.database.transaction() as session:
            await self._store.take_turn(session)
            found, _ = await self._plan(session, Whose(), by_hand=False)
            if not found.due:
                return None
            run_id = await self._store.insert_run(
                session,
                request_id=f"{LOOP}:{new_id()}",
                digest=b"",
                started_by=LOOP,
                due=found.due,
            )
        log.info("payouts", run=str(run_id), payments=len(found.due), stroops=found.total)
        self.runner.start(run_id)
        return run_id

    async def payouts(
        self, whose: Whose, *, run_id: UUID | None, before: UUID | None, limit: int
    ) -> list[Payout]:
        """Return payouts, newest first."""
        return await self._store.page(whose, run_id=run_id, before=before, limit=limit)

    async def pending(
        self, whose: Whose, *, after: tuple[int, UUID] | None, limit: int
    ) -> tuple[list[Pending], tuple[int, UUID] | None]:
        """Return the amounts of so many payees that were not paid yet, and where to go on."""
        if whose.farmer_id is not None:
            await self._check_farmer(whose.farmer_id)
        async with self._store.database.session() as session:
            reader = self._store.reader(session)
            now, left = await reader.now(), await reader.left()
            rules = await self._rules(reader, now)
            payees = await _page(reader, whose, after, limit + 1)
        found = [one for payee in payees[:limit] for one in pending_of(payee, rules, left, now)]
        if len(payees) <= limit:
            return found, None
        last = payees[limit - 1]
        return found, (_SECTIONS.index(last.kind), last.payee_id)

    async def switch(self, *, is_off: bool, actor: str, reason: str) -> Switching:
        """Switch payouts off or on; return the turn that counts."""
        if await self._store.switch(is_off=is_off, switched_by=actor, reason=reason):
            security.warning("payouts switched", off=is_off, actor=actor, why=reason)
        turns = await self._store.switchings(1)
        if turns:
            return turns[0]
        # They were never off, and are not.
        return Switching(is_off=False, switched_by=actor, switched_at=_BEGINNING, reason=reason)

    async def switchings(self, limit: int) -> list[Switching]:
        """Return how payouts were switched, newest first."""
        return await self._store.switchings(limit)

    async def warnings(self) -> list[str]:
        """Return in words that payouts are switched off."""
        turns = await self._store.switchings(1)
        if not turns or not turns[0].is_off:
            return []
        return [f"payouts are switched off by {turns[0].switched_by}: {turns[0].reason}"]

    async def _due_now(
        self, session: Session, farmer_id: FarmerId, amount: int | None, *, by_operator: bool
    ) -> Due:
        """Return what a farmer is paid who wants it now; raise why it is not."""
        reader = self._store.reader(session)
        rules, left = await self._rules(reader, await reader.now()), await reader.left()
        found = await reader.farmers(Whose(farmer_id=farmer_id))
        if rules.is_off:
            raise PayoutsOffError("payouts are switched off")
        if not found:
            if Standing.SIGNING_PAUSED in await self._store.standings_of_farmers([str(farmer_id)]):
                raise SigningPausedError("signing is paused")
            raise PayoutEmptyError("the farmer has nothing")
        payee = found[0]
        if payee.standing is Reason.SIGNING_PAUSED:
            raise SigningPausedError("signing is paused")
        if payee.history.run_id is not None:
            raise PayoutOnItsWayError(f"a payout is on its way: run {payee.history.run_id}")
        if payee.payable <= 0:
            raise PayoutEmptyError("the farmer has nothing that could be paid")
        paid = amount_now(payee, amount)
        if not paid:
            raise PayoutTooLargeError(
                "the farmer has less than that", metadata={"available": str(payee.payable)}
            )
        if paid > rules.approval and not by_operator:
            raise PayoutNeedsApprovalError(f"more than {rules.approval} stroops are for operators")
        room = room_of(payee, rules, left)
        if room is not None and paid > room:
            raise PayoutLimitError(
                "what may leave within 24 hours has left, or would", metadata={"room": str(room)}
            )
        return Due(payee=payee, amount=paid, cause=Cause.NOW)

    async def _plan(self, session: Session, whose: Whose, *, by_hand: bool) -> tuple[Plan, Rules]:
        """Return what a run would pay now, and the rules by which."""
        reader = self._store.reader(session)
        now = await reader.now()
        rules = await self._rules(reader, now)
        order = Order(by_hand=by_hand, whatever_stands=by_hand and whose.farmer_id is not None)
        return plan(await reader.all_of(whose), rules, await reader.left(), now, order), rules

    async def _rules(self, reader: PayeeReader, now: datetime) -> Rules:
        limits = self._limits
        return Rules(
            is_off=await reader.is_off(),
            minimum=limits.minimum,
            sweep=reader.terms.sweep,
            approval=limits.approval,
            daily_payee=limits.daily_payee,
            daily_pool=limits.daily_pool,
            pause=max(limits.every, 1.0),
            next_run=now + timedelta(seconds=limits.every) if limits.every else None,
        )

    async def _known(self, session: Session, name: str, digest: bytes) -> UUID | None:
        """Return the run of a request; None for a new one, whose turn it is then."""
        await self._store.take_turn(session)
        known = await self._store.run_of_request(session, name)
        if known is None:
            return None
        if known[1] != digest:
            raise RequestIdReusedError("the request_id stands for something else")
        return known[0]

    async def _finish(self, run_id: UUID) -> None:
        await failpoint("harvest.payout.recorded")
        if (await self._store.run(run_id)).completed_at is None:
            await self.runner.run(run_id)

    async def _check_farmer(self, farmer_id: FarmerId) -> None:
        if not await self._tables.farmer_exists(farmer_id):
            raise FarmerNotFoundError(f"no farmer {farmer_id}")


def _check_run(found: Plan, max_amount: int, *, is_off: bool) -> None:
    """Raise what keeps a run by hand from being made."""
    if is_off:
        raise PayoutsOffError("payouts are switched off")
    if found.total > max_amount:
        raise PayoutsExceedError(
            f"the run would pay {found.total} stroops", metadata={"total": str(found.total)}
        )


async def _page(
    reader: PayeeReader, whose: Whose, after: tuple[int, UUID] | None, limit: int
) -> list[Payee]:
    """Return payees of all kinds, farmers first, from a place on."""
    section, last = (0, None) if after is None else after
    found = list[Payee]()
    for number, kind in enumerate(_SECTIONS):
        if number < section or len(found) >= limit:
            continue
        place = last if number == section else None
        found += await _of_kind(reader, kind, whose, place, limit - len(found))
    return found


async def _of_kind(
    reader: PayeeReader, kind: PayeeKind, whose: Whose, after: UUID | None, limit: int
) -> list[Payee]:
    if kind is PayeeKind.FARMER:
        return await reader.farmers(whose, after=after, limit=limit)
    if whose.farmer_id is not None:
        return []
    if kind is PayeeKind.POOLER:
        return await reader.poolers(whose, after=after, limit=limit)
    if kind is PayeeKind.MINER:
        return await reader.miners(whose, after=after, limit=limit)
    return [] if whose.pooler_id is not None or after is not None else await reader.operator()

"""Payouts of farmers, each with the fees that are due: recorded once, by what is sealed."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from libs.common.db.pool import Database, Record, Session
from libs.common.errors import PoolError
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import FeesTamperedError, RequestIdReusedError
from services.wallet.domain.fees_due import FeeMark, Fees, Paid, Past, paid
from services.wallet.domain.model import OperationKind
from services.wallet.domain.orders import payout_bytes
from services.wallet.domain.payment_orders import filling, spread
from services.wallet.domain.payouts import (
    FarmerAccount,
    Hindrance,
    Payout,
    PoolerAccount,
    Refusal,
    Room,
    WantedPayout,
    planned,
)
from services.wallet.domain.withdrawals import DailyLimit
from services.wallet.store.channels import free_payers
from services.wallet.store.custody import append, is_held_apart
from services.wallet.store.fee_marks import FeeMarkStore
from services.wallet.store.operations import operation_of
from services.wallet.store.orders import Orders
from services.wallet.store.paid_before import PaidBefore
from services.wallet.store.payers import since
from services.wallet.store.wallets import moment_of
from services.wallet.store.withdrawals import DOUBTED, WithdrawalStore

#: Payouts that are recorded at once: they fill transactions of five payers.
AT_ONCE = 95


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What decides about payouts, as it stands while nobody else records any."""

    #: By account: its mark, what it has paid since, and the number of its next payout.
    marks: Mapping[WalletId, FeeMark]
    past: Mapping[WalletId, Sequence[Past]]
    #: Stroops of KALE that have left within a day, by account, and of all.
    left: Counter[WalletId]
    left_of_all: int

    def paid(self, wallet_id: WalletId) -> Paid:
        """Return the fees that an account has paid, or may."""
        return paid(self.marks[wallet_id], self.past[wallet_id])

    def number(self, wallet_id: WalletId) -> int:
        """Return the number of an account's next payout."""
        past = self.past[wallet_id]
        return (past[-1].number if past else self.marks[wallet_id].until_number) + 1


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A payout that is about to be recorded."""

    wanted: WantedPayout
    number: int
    #: Where the farmer's own part goes; empty without one.
    destination: str
    fees: Fees

    @property
    def pooler_account(self) -> str:
        """Return where the pooler's part goes; empty when nothing does."""
        return self.wanted.fee_accounts.pooler if self.fees.of_pooler else ""

    @property
    def operator_account(self) -> str:
        """Return where the operator's part goes; empty when nothing does."""
        return self.wanted.fee_accounts.operator if self.fees.operator else ""

    @property
    def whole(self) -> int:
        """Return what leaves the account."""
        return self.wanted.amount + self.fees.all


class PayoutStore:
    """The table payouts."""

    def __init__(
        self,
        database: Database,
        orders: Orders,
        *,
        withdrawals: WithdrawalStore,
        marks: FeeMarkStore,
    ) -> None:
        """Take the store of withdrawals, whose addresses and limits count here, too."""
        self._database = database
        self._orders = orders
        self._withdrawals = withdrawals
        self._marks = marks
        self._before = PaidBefore(database, orders, Action.PAY_FARMER)

    async def farmers(self, farmer_ids: Sequence[FarmerId]) -> dict[FarmerId, FarmerAccount]:
        """Return the accounts of farmers, with what keeps them from paying."""
        rows = await self._database.many("farmers_to_pay", list(farmer_ids))
        return {
            FarmerId(row["farmer_id"]): FarmerAccount(
                farmer_id=FarmerId(row["farmer_id"]),
                pooler_id=PoolerId(row["pooler_id"]),
                wallet_id=WalletId(row["id"]),
                address=row["address"],
                outside=row["outside"],
                hindrance=self._hindrance(row),
            )
            for row in rows
        }

    async def poolers(self, pooler_ids: Collection[PoolerId]) -> dict[PoolerId, PoolerAccount]:
        """Return the custodial accounts of poolers; one that has none yet is absent."""
        rows = await self._database.many("pooler_accounts", list(pooler_ids))
        return {
            PoolerId(row["pooler_id"]): PoolerAccount(
                pooler_id=PoolerId(row["pooler_id"]),
                wallet_id=WalletId(row["id"]),
                address=row["address"],
                is_ready=row["is_ready"],
                hindrance=self._hindrance(row),
            )
            for row in rows
        }

    def _hindrance(self, row: Record) -> Hindrance | None:
        if not self._orders.is_wallet(row):
            return Hindrance.TAMPERED
        for hindrance in (
            Hindrance.SIGNING_PAUSED,
            Hindrance.POOLER_SUSPENDED,
            Hindrance.FARMER_SUSPENDED,
            Hindrance.FARMER_DEPARTED,
        ):
            if row[hindrance.name.lower()]:
                return hindrance
        return None

    async def of_request(
        self, request_id: str, amounts: Mapping[WalletId, int]
    ) -> dict[WalletId, OperationId]:
        """Return the payouts of a request that are recorded, by account.

        Raises RequestIdReusedError when one has another amount than is asked for.
        """
        return await _of_request(self._database, request_id, amounts)

    async def record(
        self,
        request_id: str,
        wanted: Sequence[WantedPayout],
        *,
        limit: DailyLimit,
        actor: str,
        taken: Counter[str] | None = None,
    ) -> dict[OperationId, OperationId | Refusal]:
        """Make payouts durable, and find those that the request stands for already.

        Each is recorded or refused by itself; the result is by the ids that were wanted. One
        account pays once. `taken` is what fees take of accounts' room, by account: it counts, and
        grows. Raises RequestIdReusedError.
        """
        taken = Counter() if taken is None else taken
        amounts = {item.account.wallet_id: item.amount for item in wanted}
        async with self._database.transaction() as session:
            # In one turn with withdrawals, so that the sums that limits are held against stand.
            await session.one("lock_withdrawals")
            known = await _of_request(session, request_id, amounts)
            found: dict[OperationId, OperationId | Refusal] = {
                item.id: known[item.account.wallet_id]
                for item in wanted
                if item.account.wallet_id in known
            }
            fresh = [item for item in wanted if item.account.wallet_id not in known]
            made, refused = await self._decided(session, fresh, limit, taken)
            await self._insert(session, request_id, made, actor)
        return found | refused | {item.wanted.id: item.wanted.id for item in made}

    async def _decided(
        self,
        session: Session,
        wanted: Sequence[WantedPayout],
        limit: DailyLimit,
        taken: Counter[str],
    ) -> tuple[list[_Made], dict[OperationId, Refusal]]:
        """Decide about payouts, one after the other: what one takes of a limit is not there."""
        made, refused = list[_Made](), dict[OperationId, Refusal]()
        known, tampered = await self._known(session, [item.account.wallet_id for item in wanted])
        left_of_all = known.left_of_all
        for asked in wanted:
            item = replace(asked, fee_accounts=asked.fee_accounts.less(taken))
            wallet_id = item.account.wallet_id
            room = Room(farmer=limit.farmer - known.left[wallet_id], pool=limit.pool - left_of_all)
            try:
                if wallet_id in tampered:
                    raise tampered[wallet_id]
                decided = await self._made(session, item, known, room)
            except PoolError as error:
                decided = Refusal(reason=error.reason, message=error.message)
            if isinstance(decided, Refusal):
                refused[item.id] = decided
            else:
                made.append(decided)
                left_of_all += decided.whole
                taken[decided.pooler_account] += decided.fees.of_pooler
                taken[decided.operator_account] += decided.fees.operator
        return made, refused

    async def _made(
        self, session: Session, item: WantedPayout, known: _Known, room: Room
    ) -> _Made | Refusal:
        """Return a payout as it is to be recorded, or why it is not.

        Raises PayoutAddressMissingError, PayoutAddressTamperedError.
        """
        wallet_id = item.account.wallet_id
        if await is_held_apart(session, wallet_id):
            return Hindrance.SIGNING_PAUSED.refusal
        gone = known.paid(wallet_id)
        owed = item.accrued.beyond(gone.paid).all
        fees = planned(item, item.accrued.beyond(gone.all), room, owed=owed)
        if isinstance(fees, Refusal):
            return fees
        address = await self._withdrawals.counting(session, wallet_id) if item.amount else ""
        return _Made(wanted=item, number=known.number(wallet_id), destination=address, fees=fees)

    async def _known(
        self, session: Session, wallet_ids: Sequence[WalletId]
    ) -> tuple[_Known, dict[WalletId, FeesTamperedError]]:
        """Return what decides, and the accounts of which rows are not as wallet wrote them."""
        marks, past, tampered = await self._pasts(wallet_ids, session)
        left = await self._left(session)
        known = _Known(marks=marks, past=past, left=left, left_of_all=left.total())
        return known, tampered

    async def _pasts(
        self, wallet_ids: Sequence[WalletId], session: Session | None = None
    ) -> tuple[
        Mapping[WalletId, FeeMark],
        Mapping[WalletId, Sequence[Past]],
        dict[WalletId, FeesTamperedError],
    ]:
        """Return marks, what was paid since, and the accounts of which rows are not wallet's."""
        marks, past = dict[WalletId, FeeMark](), dict[WalletId, Sequence[Past]]()
        tampered: dict[WalletId, FeesTamperedError] = {}
        try:
            marks = await self._marks.marks(wallet_ids, session=session)
            past |= await self._before.past(marks, session=session)
        except FeesTamperedError:
            # Whose it is tells each by itself.
            for one in wallet_ids:
                try:
                    marks |= await self._marks.marks([one], session=session)
                    past |= await self._before.past({one: marks[one]}, session=session)
                except FeesTamperedError as error:
                    tampered[one] = error
        return marks, past, tampered

    async def owed(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, int]:
        """Return the stroops that lie in farmers' accounts as fees that have not left yet.

        A payout that is on its way has not. Where rows are not as wallet wrote them it is nothing.
        """
        # What is paid between the two looks only makes it more.
        marks, past, tampered = await self._pasts(wallet_ids)
        accrued = await self._marks.accrued(wallet_ids)
        found = dict.fromkeys(wallet_ids, 0)
        for one in wallet_ids:
            fees = accrued[one]
            if isinstance(fees, Fees) and one not in tampered:
                found[one] = fees.beyond(paid(marks[one], past[one]).paid).all
        return found

    async def _left(self, session: Session) -> Counter[WalletId]:
        """Return the stroops of KALE that have left within 24 hours, or may have, by account.

        As for withdrawals, what failed counts until it is old enough, and by wallet's own word.
        """
        left: Counter[WalletId] = Counter()
        for row in await session.many("kale_left_lately"):
            left[WalletId(row["wallet_id"])] += row["stroops"]
        young = since(new_id(), minus=DOUBTED)
        for said in await session.many("withdrawals_said_to_fail", "kale", young):
            if said["is_young"] or not self._orders.is_end(said):
                left[WalletId(said["wallet_id"])] += said["withdrawn"]
        return left

    async def _insert(
        self, session: Session, request_id: str, made: Sequence[_Made], actor: str
    ) -> None:
        if not made:
            return
        moment = await moment_of(session)
        payers = await free_payers(session, self._orders)
        each = filling(OperationKind.PAYOUT)
        given = dict(spread([item.wanted.id for item in made], payers, each=each))
        await session.execute(
            "insert_payouts",
            [item.wanted.id for item in made],
            [item.wanted.account.wallet_id for item in made],
            [item.number for item in made],
            [item.wanted.amount for item in made],
            [item.destination for item in made],
            [item.fees.pooler for item in made],
            [item.fees.operator for item in made],
            [item.fees.miners for item in made],
            [item.pooler_account for item in made],
            [item.operator_account for item in made],
            [given.get(item.wanted.id) for item in made],
            [self._operation_mac(item) for item in made],
            [self._mac(item, request_id, moment) for item in made],
            [
                self._orders.for_payment(item.wanted.id, given[item.wanted.id])
                if item.wanted.id in given
                else None
                for item in made
            ],
            request_id,
            moment,
        )
        await append(session, [_act(item, actor) for item in made], self._orders)

    def _operation_mac(self, item: _Made) -> bytes:
        return self._orders.for_own_operation(
            OperationKind.PAYOUT,
            row_id=item.wanted.id,
            wallet_id=item.wanted.account.wallet_id,
            block_index=item.number,
            amount=item.whole,
        )

    def _mac(self, item: _Made, request_id: str, moment: datetime) -> bytes:
        return self._orders.mac(
            payout_bytes(
                operation_id=item.wanted.id,
                wallet_id=item.wanted.account.wallet_id,
                number=item.number,
                request_id=request_id,
                amount=item.wanted.amount,
                destination=item.destination,
                pooler=item.fees.pooler,
                operator=item.fees.operator,
                miners=item.fees.miners,
                pooler_account=item.pooler_account,
                operator_account=item.operator_account,
                requested_at=moment,
            )
        )

    async def by_ids(self, ids: Sequence[OperationId]) -> list[Payout]:
        """Return payouts in their current state."""
        return [_payout(row) for row in await self._database.many("payouts_by_ids", list(ids))]

    async def past(self, marks: Mapping[WalletId, FeeMark]) -> dict[WalletId, list[Past]]:
        """Return what accounts have paid after their marks. Raises FeesTamperedError."""
        return await self._before.past(marks)

    async def without_account(
        self, limit: int, *, after: PoolerId | None = None
    ) -> list[tuple[PoolerId, str]]:
        """Return poolers that have no custodial account, with the addresses that they named.

        They are in the order of their ids, from the one after `after` on.
        """
        rows = await self._database.many("poolers_without_account", limit, after)
        return [(PoolerId(row["pooler_id"]), row["public_key"]) for row in rows]

    async def paid(self, wallet_id: WalletId) -> Paid:
        """Return the fees that a farmer's account has paid. Raises FeesTamperedError."""
        marks = await self._marks.marks([wallet_id])
        return paid(marks[wallet_id], (await self._before.past(marks))[wallet_id])

    async def received(self, pooler_id: PoolerId, *, session: Session | None = None) -> Fees:
        """Return the fees that a pooler's account was paid. Raises FeesTamperedError.

        They were paid by its farmers' accounts alone, as far as wallet wrote whose these are.
        """
        rows = await (session or self._database).many("wallets_of_pooler", pooler_id)
        whose = [WalletId(row["id"]) for row in rows if self._orders.is_wallet(row)]
        marks = await self._marks.marks(whose, session=session)
        past = await self._before.past(marks, session=session)
        sums = [paid(marks[one], past[one]).paid for one in whose]
        whole = sum(sums, start=Fees())
        return Fees(pooler=whole.pooler, miners=whole.miners)


async def _of_request(
    source: Database | Session, request_id: str, amounts: Mapping[WalletId, int]
) -> dict[WalletId, OperationId]:
    found: dict[WalletId, OperationId] = {}
    for row in await source.many("payouts_of_request", request_id, list(amounts)):
        wallet_id = WalletId(row["wallet_id"])
        if row["amount"] != amounts[wallet_id]:
            raise RequestIdReusedError(f"request_id {request_id!r} stands for another payout")
        found[wallet_id] = OperationId(row["operation_id"])
    return found


def _act(item: _Made, actor: str) -> Act:
    """Return the act for the audit log; queries/audit.sql holds rows against it."""
    fees = item.fees
    return Act(
        actor=actor,
        action=Action.PAY_FARMER,
        subject=f"wallet {item.wanted.account.wallet_id}",
        details=(
            f"{item.number}: {item.wanted.amount} to {item.destination or 'none'}, pooler "
            f"{fees.pooler}, operator {fees.operator}, miners {fees.miners}, {item.wanted.id}"
        ),
    )


def _payout(row: Record) -> Payout:
    return Payout(
        request_id=row["request_id"],
        amount=row["own_amount"],
        destination=row["destination"],
        fees=Fees(pooler=row["pooler"], operator=row["operator"], miners=row["miners"]),
        pooler_account=row["pooler_account"],
        operator_account=row["operator_account"],
        requested_at=row["requested_at"],
        operation=operation_of(row),
    )

"""Signed envelopes: committed before they are sent, closed when their fate is known."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import OperationId, WalletId, new_id
from libs.common.metrics import METER
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.budget import FeeTerms
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.forgotten import Grown
from services.wallet.domain.model import (
    CarriedOperation,
    Closing,
    OpenTransaction,
    OperationEvent,
    OperationKind,
    OperationState,
    TransactionEvent,
    TransactionId,
    TransactionState,
    Wallet,
)
from services.wallet.domain.payment_orders import PaymentOrder
from services.wallet.domain.states import OPERATION_EDGES, TRANSACTION_EDGES, sources, target
from services.wallet.store.budget import (
    Charge,
    FeesSpent,
    book,
    exceeded,
    fees_spent,
    may_raise,
    pooler_of,
    rent_committed,
)
from services.wallet.store.custody import add_records, lock_audit_log, told_transaction
from services.wallet.store.fees import Charged, add_fees
from services.wallet.store.holds import Holds
from services.wallet.store.kill_switch import KillSwitch, PausedHereError
from services.wallet.store.operations import settle, tell
from services.wallet.store.orders import Orders
from services.wallet.store.pause_guard import PauseGuard
from services.wallet.store.payment_orders import read_payment_orders

_fees_paid = METER.create_counter(
    "kalepool.wallet.fees", unit="stroops", description="XLM that the network has charged."
)
_rent_paid = METER.create_counter(
    "kalepool.wallet.rent", unit="stroops", description="XLM that longer lives of entries cost."
)

#: Terms without budgets: only the treasury's balance counts.
NO_BUDGET = FeeTerms()


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An envelope that is signed and not durable yet."""

    #: The envelope.
    envelope: SignedEnvelope
    #: The operations that the envelope carries, in order.
    operation_ids: tuple[OperationId, ...]
    #: Stroops of KALE that each harvest gives back besides its reward.
    stakes_returned: tuple[int, ...]
    #: Millionths of a ledger that the envelope takes.
    share: int = 0
    #: The payer that carries payments; None when the envelope carries none.
    payer_id: WalletId | None = None
    #: Whether it carries no operation and pays for longer lives of entries: the budget of rent
    #: counts.
    is_rent: bool = False
    #: Farmers' wallets that are merged: their keys sign, and no operation names them.
    merged: tuple[Wallet, ...] = ()
    #: The transaction's id from the moment that the envelope is durable.
    id: TransactionId = field(default_factory=lambda: TransactionId(new_id()))


@dataclass(frozen=True, kw_only=True)
class Committed:
    """The result of committing drafts; drafts that are not recorded must be thrown away."""

    #: Drafts that are durable and to be sent.
    recorded: list[Draft]
    #: Operations that a fee budget forbids.
    unpaid: frozenset[OperationId]
    #: Operations that were to go together with unpaid ones, and may go without them.
    spared: frozenset[OperationId]
    #: Whether a pause forbids a draft that carries no operation.
    is_paused: bool = False


@dataclass(frozen=True, kw_only=True)
class Noted:
    """The answer of a node to an envelope."""

    #: The transaction.
    transaction_id: TransactionId
    #: The ledger from which on the envelope is to be sent again, if no ledger has it.
    resend_ledger: int
    #: The node's words.
    text: str


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The facts that a dispatcher needs before it takes up any operation."""

    #: Millionths of a ledger that everything in flight takes.
    share: int
    #: Whether no plant, work or harvest waits, not even for a later block.
    is_empty: bool


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The numbers of operations that wait and of transactions in flight."""

    #: Operations that no transaction carries.
    queued: int
    #: Queued operations that wait for a person.
    held: int
    #: Transactions whose fate is not known.
    open: int
    #: Millionths of a ledger that these transactions take.
    share: int


class TransactionStore:
    """The tables transactions and transaction_operations."""

    def __init__(
        self,
        database: Database,
        orders: Orders,
        terms: FeeTerms = NO_BUDGET,
        kill_switch: KillSwitch | None = None,
    ) -> None:
        """Take the fee budgets that every signed envelope has to keep, and the kill switch."""
        self._database = database
        self._orders = orders
        self._terms = terms
        self._switch = kill_switch or KillSwitch()
        self._pauses = PauseGuard(orders)

    async def commit_signed(self, drafts: Sequence[Draft], *, ledger: int) -> Committed:
        """Make envelopes durable with what they carry, before a byte of them is sent.

        Return the drafts that are durable. A draft is not recorded, and must be thrown away, when
        its source has another transaction in flight, or when one of its operations is no longer
        queued or must not be signed now. What a pause forbids is never recorded after the pause
        was, nor once this process was told of one.
        """
        try:
            return await self._commit_signed(drafts, ledger=ledger)
        except PausedHereError:
            return Committed(recorded=[], unpaid=frozenset(), spared=frozenset(), is_paused=True)

    async def _commit_signed(self, drafts: Sequence[Draft], *, ledger: int) -> Committed:
        """Do what `commit_signed` does; raise PausedHereError instead of committing."""
        self._refuse_paused()
        async with self._database.transaction() as session:
            await lock_audit_log(session)
            holds = await self._holds(session)
            wanted = [item for draft in drafts for item in draft.operation_ids]
            states = [state.value for state in sources(OPERATION_EDGES, OperationEvent.SIGN)]
            rows = await session.many("lock_signable", wanted, states)
            # The rows leave out what a pause forbids, by the database's word; this is wallet's own.
            owners = {row["id"]: row for row in rows if holds.allows(row)}
            paused = [draft for draft in drafts if _is_paused(draft, holds)]
            complete = [
                draft for draft in drafts if draft not in paused and _may_carry(draft, owners)
            ]
            rent = [draft for draft in complete if draft.is_rent]
            complete = [draft for draft in complete if not draft.is_rent]
            charges = [_charge(draft, owners) for draft in complete]
            beyond = await exceeded(session, self._terms, charges)
            allowed = [draft for draft, whose in zip(complete, beyond, strict=True) if not whose]
            allowed += await self._affordable(session, rent)
            recorded = await self._insert(session, allowed, ledger)
            await _sign(session, recorded)
            await add_records(
                session, [_act(draft.id, draft.envelope) for draft in recorded], self._orders
            )
            _refuse_told(holds, recorded, owners)
        stopped = {
            item: pooler_of(owners[item]) in whose
            for draft, whose in zip(complete, beyond, strict=True)
            if whose
            for item in draft.operation_ids
        }
        return Committed(
            recorded=recorded,
            unpaid=frozenset(item for item, is_unpaid in stopped.items() if is_unpaid),
            spared=frozenset(item for item, is_unpaid in stopped.items() if not is_unpaid),
            is_paused=any(not draft.operation_ids for draft in paused),
        )

    async def commit_again(self, draft: Draft, *, ledger: int) -> bool:
        """Make an envelope durable for payments that are recorded as made.

        Return False when the payer has another transaction in flight, or one of the payments might
        not be signed for the first time either: a pause forbids it, or its address counts no more.
        """
        with suppress(PausedHereError):
            async with self._database.transaction() as session:
                await lock_audit_log(session)
                holds = await self._holds(session)
                rows = await session.many(
                    "lock_signable", list(draft.operation_ids), [OperationState.SUCCEEDED.value]
                )
                owners = {row["id"]: row for row in rows if holds.allows(row)}
                if owners.keys() != set(draft.operation_ids):
                    return False
                recorded = await self._insert(session, [draft], ledger)
                for item in recorded:
                    members = list(item.operation_ids)
                    await session.execute("insert_found_payments", item.id, members)
                await add_records(
                    session, [_act(item.id, item.envelope) for item in recorded], self._orders
                )
                _refuse_told(holds, recorded, owners)
            return bool(recorded)
        return False

    async def _holds(self, session: Session) -> Holds:
        """Return for whom nothing is signed, by this process's own word and by judged rows."""
        self._pauses.know(self._switch.take_recorded())
        held = await self._pauses.look(session)
        return Holds(held=held, switch=self._switch, orders=self._orders)

    def _refuse_paused(self) -> None:
        """Raise PausedHereError when this process was told to sign nothing at all."""
        if self._switch.holds_everything:
            raise PausedHereError("signing is paused in this process")

    async def _insert(self, session: Session, drafts: Sequence[Draft], ledger: int) -> list[Draft]:
        """Record drafts; return those that are recorded now."""
        envelopes = [draft.envelope for draft in drafts]
        rows = await session.many(
            "insert_transactions",
            [draft.id for draft in drafts],
            [item.source for item in envelopes],
            [item.sequence for item in envelopes],
            [item.hash for item in envelopes],
            [item.inner_hash or item.hash for item in envelopes],
            [item.xdr for item in envelopes],
            [item.max_time for item in envelopes],
            [item.fee_bid for item in envelopes],
            [draft.share for draft in drafts],
            [item.bump_to for item in envelopes],
            ledger,
            [draft.is_rent for draft in drafts],
            [self._mac(draft) for draft in drafts],
        )
        made = {row["id"] for row in rows}
        return [draft for draft in drafts if draft.id in made]

    def _mac(self, draft: Draft) -> bytes:
        envelope = draft.envelope
        return self._orders.for_transaction(
            row_id=draft.id,
            source=envelope.source,
            sequence=envelope.sequence,
            bump_to=envelope.bump_to,
            lookup_hash=envelope.inner_hash or envelope.hash,
            max_time=envelope.max_time,
            is_rent=draft.is_rent,
            operation_ids=draft.operation_ids,
        )

    async def _affordable(self, session: Session, rent: Sequence[Draft]) -> list[Draft]:
        """Return the drafts whose rent the rest of the budget allows."""
        if not rent:
            return []
        left = self._terms.rent_daily - await rent_committed(session)
        allowed: list[Draft] = []
        for draft in rent:
            if draft.envelope.fee_bid <= left:
                allowed.append(draft)
                left -= draft.envelope.fee_bid
        return allowed

    async def rent_spent(self) -> int:
        """Return the stroops of rent within 24 hours, transactions in flight included."""
        return await rent_committed(self._database)

    @property
    def terms(self) -> FeeTerms:
        """Return the fee budgets that signed envelopes keep."""
        return self._terms

    async def fees_spent(self) -> FeesSpent:
        """Return what fees came to within 24 hours, transactions in flight included."""
        return await fees_spent(self._database)

    async def note_answers(self, answers: Sequence[Noted]) -> None:
        """Mark transactions as sent, with what nodes said and when to send them again."""
        await self._database.execute(
            "note_answers",
            [item.transaction_id for item in answers],
            [item.resend_ledger for item in answers],
            [item.text for item in answers],
        )

    async def queue(self) -> Queue:
        """Return what is in flight, whoever signed it, and whether any operation waits."""
        row = await self._database.one("queue")
        return Queue(share=0, is_empty=True) if row is None else Queue(**dict(row))

    async def is_busy(self, source: str) -> bool:
        """Tell whether an account has a transaction in flight."""
        row = await self._database.one("is_busy", source)
        return row is not None and bool(row["busy"])

    async def grown(self, harvests: Sequence[OperationId]) -> dict[OperationId, Grown]:
        """Return what was planted and worked for these harvests, as far as it is recorded."""
        rows = await self._database.many("grown", list(harvests)) if harvests else []
        return {
            OperationId(row["id"]): Grown(stake=row["stake"], gap=row["gap"], zeros=row["zeros"])
            for row in rows
        }

    async def payment_orders(self, ids: Sequence[OperationId]) -> dict[OperationId, PaymentOrder]:
        """Return what the payments among these operations pay, and to whom."""
        return await read_payment_orders(self._database, self._orders, ids)

    async def backlog(self) -> Backlog:
        """Return what waits and what is in flight."""
        row = await self._database.one("backlog")
        return Backlog(queued=0, held=0, open=0, share=0) if row is None else Backlog(**dict(row))

    async def overdue(
        self, *, signed_until: int, known: Collection[TransactionId]
    ) -> dict[TransactionId, int]:
        """Return the transactions in flight that were signed up to a ledger.

        The result gives by id the ledger at which each was signed. Transactions that are `known`
        already are left out.
        """
        rows = await self._database.many("overdue_transactions", signed_until, list(known))
        return {TransactionId(row["id"]): row["signed_ledger"] for row in rows}

    async def last_sequences(self, addresses: Sequence[str], *, after: int) -> dict[str, int]:
        """Return by source the newest sequence number that a ledger after this one took."""
        rows = await self._database.many("last_sequences", list(addresses), after)
        return {row["source"]: row["sequence"] for row in rows}

    async def replace_envelope(
        self, transaction_id: TransactionId, old: str, new: SignedEnvelope
    ) -> bool:
        """Keep a higher bid of the same inner transaction.

        Return False when the envelope was replaced already, when a pause forbids the bid for any
        operation that the envelope carries, or when a budget forbids it; also while this process
        has any order to pause that is not recorded yet.
        """
        with suppress(PausedHereError):
            async with self._database.transaction() as session:
                await lock_audit_log(session)
                holds = await self._holds(session)
                if not await holds.allow_bid(session, transaction_id):
                    return False
                if not await may_raise(session, self._terms, transaction_id, bid=new.fee_bid):
                    return False
                changed = await session.execute(
                    "replace_envelope", transaction_id, old, new.xdr, new.hash, new.fee_bid
                )
                await add_records(
                    session, [_act(transaction_id, new)] if changed else [], self._orders
                )
                if self._switch.holds_anything:
                    raise PausedHereError("signing is paused in this process")
            return changed == 1
        return False

    async def open(self, ids: Collection[TransactionId]) -> list[OpenTransaction]:
        """Return those of these transactions whose fate is not known, oldest first."""
        rows = await self._database.many("open_transactions", list(ids))
        return [_open(list(group)) for _, group in groupby(rows, key=itemgetter("id"))]

    def is_genuine(self, transaction: OpenTransaction) -> bool:
        """Tell whether wallet wrote the row of a transaction in flight."""
        return self._orders.is_open_transaction(transaction)

    async def close(
        self, closings: Sequence[Closing], *, forged: Collection[TransactionId] = frozenset()
    ) -> int:
        """Close transactions and settle the operations they carried, at once.

        What somebody else closed before stays as it is. The ends of what `forged` transactions
        carry get no authenticator. Return the number of transactions that were closed here.
        """
        #: The closed transactions, each with whether it was rent.
        closed: dict[TransactionId, bool] = {}
        async with self._database.transaction() as session:
            for event in TransactionEvent:
                closed |= await _close_alike(
                    session, event, [item for item in closings if item.event is event]
                )
            changed = await settle(
                session,
                self._orders,
                [
                    (closing.transaction_id, settlement)
                    for closing in closings
                    if closing.transaction_id in closed
                    for settlement in closing.settlements
                ],
                unsealed={
                    settlement.operation_id
                    for closing in closings
                    if closing.transaction_id in forged
                    for settlement in closing.settlements
                },
            )
            charged = _charged(closings, closed)
            # Rent is told by its own transactions, and is no fee that a budget is held against.
            await book(session, [(one.operation_id, one.fee) for one in charged if not one.is_rent])
            await add_fees(session, charged)
        tell(changed)
        for counter, is_rent in ((_fees_paid, False), (_rent_paid, True)):
            counter.add(sum(i.fee for i in closings if closed.get(i.transaction_id) is is_rent))
        return len(closed)


def _is_paused(draft: Draft, holds: Holds) -> bool:
    """Tell whether a pause of everything, or of a wallet that is merged, forbids a draft."""
    return holds.held.everything or not all(map(holds.allows_merging, draft.merged))


def _refuse_told(holds: Holds, drafts: Sequence[Draft], rows: Mapping[OperationId, Record]) -> None:
    """Raise PausedHereError if this process was told meanwhile to sign none of these drafts."""
    carried = [rows[item] for draft in drafts for item in draft.operation_ids]
    holds.refuse_told(carried, [wallet for draft in drafts for wallet in draft.merged])


def _may_carry(draft: Draft, owners: Mapping[OperationId, Record]) -> bool:
    """Tell whether all operations of a draft may be signed.

    Payments may be signed only by the payer that the draft names.
    """
    return owners.keys() >= set(draft.operation_ids) and all(
        owners[item]["payer_id"] == draft.payer_id for item in draft.operation_ids
    )


def _charge(draft: Draft, owners: Mapping[OperationId, Record]) -> Charge:
    rows = [owners[item] for item in draft.operation_ids]
    return Charge(
        bid=draft.envelope.fee_bid,
        poolers=tuple(pooler_of(row) for row in rows),
        plants=tuple(pooler_of(row) for row in rows if row["kind"] == OperationKind.PLANT.value),
    )


async def _sign(session: Session, drafts: Sequence[Draft]) -> None:
    places = [
        (draft.id, position, operation_id, stake)
        for draft in drafts
        for position, (operation_id, stake) in enumerate(
            zip(draft.operation_ids, draft.stakes_returned, strict=True), start=1
        )
    ]
    if places:
        await session.execute(
            "sign_operations", *(list(column) for column in zip(*places, strict=True))
        )


async def _close_alike(
    session: Session, event: TransactionEvent, closings: Sequence[Closing]
) -> dict[TransactionId, bool]:
    if not closings:
        return {}
    rows = await session.many(
        "close_transactions",
        target(TRANSACTION_EDGES, event).value,
        [state.value for state in sources(TRANSACTION_EDGES, event)],
        [item.transaction_id for item in closings],
        [item.ledger for item in closings],
        [item.fee for item in closings],
        [item.error for item in closings],
    )
    return {TransactionId(row["id"]): row["is_rent"] for row in rows}


def _open(rows: list[Record]) -> OpenTransaction:
    first = rows[0]
    return OpenTransaction(
        id=TransactionId(first["id"]),
        state=TransactionState(first["state"]),
        source=first["source"],
        sequence=first["sequence"],
        hash=first["hash"],
        lookup_hash=first["lookup_hash"],
        envelope=first["envelope"],
        max_time=first["max_time"],
        fee_bid=first["fee_bid"],
        signed_ledger=first["signed_ledger"],
        resend_ledger=first["resend_ledger"],
        last_answer=first["last_answer"],
        bump_to=first["bump_to"],
        is_rent=first["is_rent"],
        mac=first["mac"],
        # operation_id is None for a deployment, which no operation asked for.
        operations=tuple(_carried(row) for row in rows if row["operation_id"] is not None),
    )


def _carried(row: Record) -> CarriedOperation:
    return CarriedOperation(
        id=OperationId(row["operation_id"]),
        kind=OperationKind(row["kind"]),
        wallet_id=WalletId(row["wallet_id"]),
        address=row["address"],
        block_index=row["block_index"],
        amount=row["amount"],
        zeros=row["zeros"],
        attempts=row["attempts"],
        stake_returned=row["stake_returned"],
        payments=row["payments"],
        fees=row["fees"],
    )


def _act(transaction_id: TransactionId, envelope: SignedEnvelope) -> Act:
    """Return the act for the audit log that keys were used for one envelope."""
    return Act(
        actor="wallet",
        action=Action.SIGN,
        subject=envelope.hash,
        details=told_transaction(
            transaction_id, envelope.source, envelope.sequence, envelope.fee_bid
        ),
    )


def _charged(closings: Iterable[Closing], closed: Mapping[TransactionId, bool]) -> list[Charged]:
    """Return what was charged for which operation by the transactions that were closed here."""
    charged: list[Charged] = []
    for closing in closings:
        if (is_rent := closed.get(closing.transaction_id)) is None:
            continue
        charged += [
            Charged(operation_id=item.operation_id, fee=item.fee, is_rent=is_rent)
            for item in closing.settlements
        ]
        if not closing.settlements:  # a deployment, or rent
            charged.append(Charged(operation_id=None, fee=closing.fee, is_rent=is_rent))
    return charged

"""Operations and the batches that asked for them."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import FarmerId, OperationId, WalletId
from libs.common.log import get_logger, get_security_logger
from libs.common.metrics import METER
from libs.common.once import Once
from libs.kale.amounts import WHOLE
from services.wallet.domain.errors import BusyError
from services.wallet.domain.model import (
    ChainHead,
    Ending,
    FailureReason,
    Movement,
    NewOperation,
    Operation,
    OperationEvent,
    OperationKind,
    OperationState,
    PayoutParts,
    PoolPart,
    QueuedOperation,
    Settlement,
    TransactionId,
)
from services.wallet.domain.states import OPERATION_EDGES, sources, target
from services.wallet.domain.withdrawals import Asset
from services.wallet.store.blocks import kept_head
from services.wallet.store.orders import Orders
from services.wallet.store.payout_rows import payout_row, pool_payment_row
from services.wallet.store.refusals import Now, find_standing, nonces, note_refusals

log = get_logger(__name__)
security = get_security_logger()
_settled = METER.create_counter(
    "kalepool.wallet.operations", description="Operations settled, by kind, state and reason."
)

#: Raises when a new operation makes no sense at the newest head that is kept, which it is given.
Check = Callable[[ChainHead | None], None]

#: Envelopes that ended without a proof, after which none is signed until a person says so.
MOST_UNPROVEN = 2
_NOT_ENDED_BY_WALLET = "what its row says of its end was not written by wallet"
#: Rounds of "insert what is missing, find what is there" before a batch gives up.
_ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The operations that can be taken up."""

    #: The latest ledger.
    ledger: int
    #: Last block that can be planted, now or in the next ledger.
    plant_until: int
    #: Last block that can be worked.
    work_until: int
    #: First block that cannot be harvested; 0 when harvests are to wait.
    harvest_before: int


class OperationStore:
    """The tables operations, batches and batch_operations."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders
        #: Operations whose ends somebody else wrote, as far as that was told.
        self._tampered = Once[OperationId]()

    async def batch_arguments(self, request_id: str) -> bytes | None:
        """Return the hash of the arguments of a request_id; None when the request_id is new."""
        row = await self._database.one("batch_arguments", request_id)
        return None if row is None else row["arguments_hash"]

    async def batch_ids(self, request_id: str) -> list[OperationId]:
        """Return the operations of a batch."""
        rows = await self._database.many("batch_operation_ids", request_id)
        return [OperationId(row["operation_id"]) for row in rows]

    async def record_batch(
        self,
        request_id: str,
        arguments_hash: bytes,
        *,
        kind: OperationKind,
        block_index: int,
        operations: Sequence[NewOperation],
        check: Check,
        now: Now | None = None,
    ) -> list[OperationId] | None:
        """Make a batch durable and return its operations; return None for a taken request_id.

        An operation that exists and did not fail is joined in place of a new one. So is one that
        failed for a reason that has not changed since (`now`; without it, everything has changed).
        The check is made, and may raise, once the request_id is ours: a caller who is refused must
        not have been accepted by another call a moment ago.
        """
        async with self._database.transaction() as session:
            made = await session.execute(
                "insert_batch", request_id, kind.value, block_index, arguments_hash
            )
            if not made:
                return None
            check(await kept_head(session))
            ids = await self._record(session, kind, block_index, operations, now)
            await session.execute("insert_batch_operations", request_id, ids)
        return ids

    async def record_one(
        self,
        *,
        kind: OperationKind,
        block_index: int,
        operation: NewOperation,
        check: Check,
        now: Now | None = None,
    ) -> OperationId:
        """Make one operation durable, or find the one that stands for it.

        Nothing is recorded when the check raises.
        """
        async with self._database.transaction() as session:
            check(await kept_head(session))
            return (await self._record(session, kind, block_index, [operation], now))[0]

    async def _record(
        self,
        session: Session,
        kind: OperationKind,
        block_index: int,
        operations: Sequence[NewOperation],
        now: Now | None,
    ) -> list[OperationId]:
        """Insert the missing operations and find the rest; make one that fails in between anew."""
        found = (
            {} if now is None else await find_standing(session, kind, block_index, operations, now)
        )
        operations = [item for item in operations if (item.wallet_id, item.nonce) not in found]
        if not operations:
            return list(found.values())
        macs = [
            self._orders.for_operation(kind, item, block_index=block_index) for item in operations
        ]
        digits = nonces(operations)
        for _ in range(_ROUNDS):
            await session.execute(
                "insert_operations",
                kind.value,
                block_index,
                [item.id for item in operations],
                [item.wallet_id for item in operations],
                [item.amount for item in operations],
                digits,
                [item.hash for item in operations],
                [item.zeros for item in operations],
                macs,
            )
            rows = await session.many(
                "live_operations",
                kind.value,
                block_index,
                [item.wallet_id for item in operations],
                digits,
            )
            if len(rows) == len(operations):
                return [OperationId(row["id"]) for row in rows] + list(found.values())
        raise BusyError("the same operations keep changing; call again")

    async def note_terms(self, mark: str) -> None:
        """Record the mark of what operators allow and the network asks for.

        Refusals stand while the mark stays the same.
        """
        await self._database.execute("note_terms", mark)

    async def settled_among(self, ids: Iterable[OperationId]) -> list[Operation]:
        """Return those of the operations that are settled, in the order of their settling.

        One whose end wallet did not write has failed as TAMPERED: nobody may book what its row
        says. Raises RowKeysMissingError.
        """
        # As one text: callers ask again and again for a thousand ids, and each item of a list is
        # looked at several times before it is sent.
        rows = await self._database.many("settled_among", f"{{{','.join(map(str, ids))}}}")
        return [self._judged(row) for row in rows]

    async def movements(self, after: tuple[datetime, UUID], limit: int) -> list[Movement]:
        """Return what ended, and which withdrawals were asked for, after a moment and operation.

        One that wallet did not write has failed as TAMPERED. Raises RowKeysMissingError.
        """
        return [
            self._movement(row) for row in await self._database.many("movements", *after, limit)
        ]

    def _movement(self, row: Record) -> Movement:
        operation = operation_of(row)
        if not self._is_asked(row):
            operation = self._tampered_one(operation)
        elif not row["is_request"]:
            operation = self._judged(row)
        payout, payment = row["payout"], row["pool_payment"]
        return Movement(
            operation=operation,
            is_request=row["is_request"],
            at=row["at"],
            withdrawn_kale=row["withdrawn"] if row["asset"] == Asset.KALE.value else 0,
            payout=None if payout is None else payout_parts(payout),
            pool_payment=None
            if payment is None
            else PoolPart(
                amount=payment["amount"],
                destination=payment["destination"],
                is_miner=payment["is_miner"],
            ),
        )

    def _is_asked(self, row: Record) -> bool:
        """Judge what a payment sends, and that it was asked for; what is no payment is fine."""
        payout, payment = row["payout"], row["pool_payment"]
        if row["withdrawn"] is not None and not self._orders.is_asked(row):
            return False
        if payout is not None and not self._orders.is_genuine(payout_row(payout), payout["mac"]):
            return False
        return payment is None or self._orders.is_genuine(pool_payment_row(payment), payment["mac"])

    def _judged(self, row: Record) -> Operation:
        operation = operation_of(row)
        if self._orders.is_end(row):
            return operation
        return self._tampered_one(operation)

    def _tampered_one(self, operation: Operation) -> Operation:
        self._tell_tampered(operation)
        return replace(
            operation,
            state=OperationState.FAILED,
            reason=FailureReason.TAMPERED,
            error_message=_NOT_ENDED_BY_WALLET,
            amount=0,
            gap=None,
            ledger=0,
            transaction_hash="",
        )

    def _tell_tampered(self, operation: Operation) -> None:
        """Tell once that somebody else wrote how an operation ended."""
        if not self._tampered.is_first(operation.id):
            return
        security.critical(
            "end of an operation not written by wallet",
            operation=str(operation.id),
            kind=operation.kind.value,
            state=operation.state.value,
            amount=operation.amount,
            ledger=operation.ledger,
        )

    async def by_id(self, operation_id: OperationId) -> Operation | None:
        """Return one operation; None when it does not exist."""
        row = await self._database.one("operation", operation_id)
        return None if row is None else operation_of(row)

    async def page(
        self,
        *,
        farmer_id: FarmerId | None,
        state: OperationState | None,
        kind: OperationKind | None,
        before: UUID | None,
        limit: int,
    ) -> list[Operation]:
        """Return operations, newest first."""
        rows = await self._database.many(
            "list_operations",
            farmer_id,
            None if state is None else state.value,
            None if kind is None else kind.value,
            before,
            limit,
        )
        return [operation_of(row) for row in rows]

    async def claim(
        self,
        wanted: Wanted,
        *,
        limit: int,
        lease: float,
        harvests: int = 1,
        gathered: float = 0.0,
    ) -> list[QueuedOperation]:
        """Take up operations of farmers with nothing in flight, for `lease` seconds.

        The most urgent operations come first; those of a farmer stand together. A farmer has one
        operation among them, or up to so many `harvests`, once no further one was recorded for
        `gathered` seconds.
        """
        rows = await self._database.many(
            "claim_operations",
            limit,
            lease,
            wanted.ledger,
            wanted.plant_until,
            wanted.work_until,
            wanted.harvest_before,
            harvests,
            gathered,
        )
        withdrawn = await self._withdrawn([row["wallet_id"] for row in rows if _is_limited(row)])
        claimed = [
            queued_operation(row, self._orders, withdrawn.get(row["wallet_id"], 0)) for row in rows
        ]
        return _in_order(claimed)

    async def _withdrawn(self, wallets: Sequence[UUID]) -> dict[UUID, int]:
        """Return by wallet the stroops of KALE that have left within an hour, or may have.

        A stake may have been reckoned before they left. What only waits has not left; nor has what
        somebody else wrote, who would so have more staked than was agreed.
        """
        sums: dict[UUID, int] = {}
        if wallets:
            for row in await self._database.many("withdrawn_of", wallets):
                if self._orders.has_left(row):
                    wallet_id = row["wallet_id"]
                    sums[wallet_id] = sums.get(wallet_id, 0) + row["withdrawn"]
            for row in await self._database.many("paid_out_of", wallets):
                if self._orders.is_genuine(payout_row(row), row["mac"]) and self._has_left(row):
                    wallet_id = row["wallet_id"]
                    whole = row["amount"] + row["pooler"] + row["operator"] + row["miners"]
                    sums[wallet_id] = sums.get(wallet_id, 0) + whole
        return sums

    def _has_left(self, row: Record) -> bool:
        """Judge whether a payout has left, or its payer's transaction may still take it along."""
        if row["state"] == OperationState.SUCCEEDED.value:
            return self._orders.is_end(row)
        carrier = {**dict(row), "mac": row["transaction_mac"]}
        is_carried = row["operation_id"] in row["operation_ids"]
        return is_carried and self._orders.is_payer_transaction(carrier)

    async def claim_for_treasury(
        self, kind: OperationKind, *, limit: int, lease: float, ledger: int, treasury: str
    ) -> list[QueuedOperation]:
        """Take up operations of a kind for the treasury, if it has nothing in flight."""
        rows = await self._database.many(
            "claim_for_treasury", limit, lease, ledger, treasury, kind.value
        )
        return [queued_operation(row, self._orders) for row in rows]

    async def release(self, ids: Sequence[OperationId]) -> None:
        """Give back operations that were taken up and not used."""
        if ids:
            await self._database.execute("release_operations", list(ids))

    async def has_urgent(self, wanted: Wanted) -> bool:
        """Tell whether plants or works of these blocks are waiting or in flight."""
        row = await self._database.one("has_urgent", wanted.plant_until, wanted.work_until)
        return row is not None and bool(row["urgent"])

    async def settle_queued(self, settlements: Sequence[Settlement]) -> int:
        """Settle operations that no transaction carries; return how many were still so."""
        if not settlements:
            return 0
        async with self._database.transaction() as session:
            changed = await settle(session, self._orders, [(None, item) for item in settlements])
        tell(changed)
        return len(changed)


def tell(changed: Sequence[Record]) -> None:
    """Log one line per operation that is settled now; call this when that is durable."""
    settled: Counter[tuple[str, str, str]] = Counter()
    is_told = {done: log.is_enabled_for(level) for done, level in _LEVELS.items()}
    for row in changed:
        is_settled = row["state"] != OperationState.QUEUED.value
        if is_settled:
            settled[row["kind"], row["state"], row["reason"] or ""] += 1
        if is_told[is_settled]:
            _tell_one(row, _LEVELS[is_settled])
        if not is_settled and row["unproven"] >= MOST_UNPROVEN:
            log.critical("waits for a person", operation=str(row["id"]), kind=row["kind"])
    for labels, count in settled.items():
        _settled.add(count, dict(zip(("kind", "state", "reason"), labels, strict=True)))


#: The level of an operation's line, by whether the operation is settled.
_LEVELS = {True: logging.INFO, False: logging.DEBUG}


def _tell_one(row: Record, level: int) -> None:
    log.log(
        level,
        "operation",
        operation=str(row["id"]),
        kind=row["kind"],
        wallet=str(row["wallet_id"]),
        block=row["block_index"],
        state=row["state"],
        reason=row["reason"],
        ledger=row["ledger"],
        fee=row["fee_charged"],
        transaction=None if row["transaction_id"] is None else str(row["transaction_id"]),
    )


async def settle(
    session: Session,
    orders: Orders,
    settlements: Sequence[tuple[TransactionId | None, Settlement]],
    *,
    unsealed: Collection[OperationId] = frozenset(),
) -> list[Record]:
    """Apply settlements, each with the transaction that carries its operation (None: queued).

    Return the changed rows, for `tell`. Each settlement is guarded by the state machine: an
    operation in another state stays as it is. The ends of those that are `unsealed` get no
    authenticator, as they follow from what somebody else wrote.
    """
    changed: list[Record] = []
    for possible, carried in ((_QUEUED, False), (_CARRIED, True)):
        for event in OperationEvent:
            group = [
                pair
                for pair in settlements
                if pair[1].event is event and (pair[0] is not None) is carried
            ]
            if group:
                state = target(OPERATION_EDGES, event)
                macs = [
                    None if item.operation_id in unsealed else _end_mac(orders, item, state)
                    for _, item in group
                ]
                changed += await _settle_alike(session, event, possible, group, macs)
    await note_refusals(session, changed, [item for _, item in settlements])
    return changed


async def _settle_alike(
    session: Session,
    event: OperationEvent,
    possible: frozenset[OperationState],
    group: Sequence[tuple[TransactionId | None, Settlement]],
    macs: Sequence[bytes | None],
) -> list[Record]:
    states = [state for state in sources(OPERATION_EDGES, event) if state in possible]
    items = [item for _, item in group]
    return await session.many(
        "settle_operations",
        target(OPERATION_EDGES, event).value,
        [carrier for carrier, _ in group],
        [state.value for state in states],
        [item.operation_id for item in items],
        [item.amount for item in items],
        [item.gap for item in items],
        [item.ledger for item in items],
        [item.fee for item in items],
        [None if item.reason is None else item.reason.value for item in items],
        [item.message for item in items],
        [item.due_ledger for item in items],
        [item.pause for item in items],
        [item.pack_limit for item in items],
        [item.is_unproven for item in items],
        [item.stake_returned for item in items],
        list(macs),
    )


def _end_mac(orders: Orders, item: Settlement, state: OperationState) -> bytes | None:
    """Return the authenticator of the end that an operation gets; None when it goes on."""
    if state is OperationState.QUEUED:
        return None
    has_succeeded = state is OperationState.SUCCEEDED
    return orders.for_end(
        Ending(
            operation_id=item.operation_id,
            state=state,
            amount=(item.amount or 0) if has_succeeded else 0,
            stake_returned=item.stake_returned if has_succeeded else 0,
            gap=(item.gap or 0) if has_succeeded else 0,
            ledger=item.ledger,
        )
    )


_QUEUED = frozenset({OperationState.QUEUED})
_CARRIED = frozenset({OperationState.SIGNED, OperationState.SENT})


def queued_operation(row: Record, orders: Orders, withdrawn: int = 0) -> QueuedOperation:
    return QueuedOperation(
        id=OperationId(row["id"]),
        kind=OperationKind(row["kind"]),
        wallet_id=WalletId(row["wallet_id"]),
        address=row["address"],
        block_index=row["block_index"],
        amount=row["amount"],
        nonce=None if row["nonce"] is None else int(row["nonce"]),
        hash=row["hash"],
        attempts=row["attempts"],
        pack_limit=row["pack_limit"],
        is_genuine=orders.is_claimed(row),
        pooler_id=row["pooler_id"],
        is_suspect=bool(row.get("is_suspect")),
        stake_bps=row["stake_bps"],
        withdrawn=withdrawn,
    )


def payout_parts(row: Record) -> PayoutParts:
    """Return what a payout's row moves."""
    return PayoutParts(
        amount=row["amount"],
        pooler=row["pooler"],
        operator=row["operator"],
        miners=row["miners"],
        destination=row["destination"],
        pooler_account=row["pooler_account"],
        operator_account=row["operator_account"],
    )


def _is_limited(row: Record) -> bool:
    return bool(row["kind"] == OperationKind.PLANT.value and row["stake_bps"] < WHOLE)


def _in_order(operations: Sequence[QueuedOperation]) -> list[QueuedOperation]:
    """Return what goes first, with those together that can share a template, and each farmer's."""
    oldest_first = sorted(operations, key=lambda item: (item.block_index, item.id))
    first: dict[WalletId, tuple[int, bool, OperationId]] = {}
    for item in oldest_first:
        first.setdefault(item.wallet_id, (item.block_index, item.amount > 0, item.id))
    return sorted(oldest_first, key=lambda item: (_ORDER[item.kind], first[item.wallet_id]))


#: The order in which the engine prefers kinds.
_ORDER = {kind: position for position, kind in enumerate(OperationKind)}


def operation_of(row: Record) -> Operation:
    """Return the operation of one row of the view all_operations."""
    return Operation(
        id=OperationId(row["operation_id"]),
        kind=OperationKind(row["kind"]),
        farmer_id=row["farmer_id"],
        pooler_id=row["pooler_id"],
        address=row["address"],
        block_index=row["block_index"],
        state=OperationState(row["state"]),
        amount=row["amount"],
        nonce=None if row["nonce"] is None else int(row["nonce"]),
        hash=row["hash"],
        gap=row["gap"],
        transaction_hash=row["transaction_hash"] or "",
        ledger=row["ledger"] or 0,
        fee_charged=row["fee_charged"],
        attempts=row["attempts"],
        reason=None if row["reason"] is None else FailureReason.read(row["reason"]),
        error_message=row["error_message"],
        created_at=row["created_at"],
        settled_at=row["settled_at"],
    )

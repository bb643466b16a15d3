"""Payer accounts of the pool, and the payments that belong to them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import OperationId, WalletId, new_id
from libs.common.log import get_security_logger
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import TamperedError
from services.wallet.domain.model import (
    Ending,
    OperationEvent,
    OperationKind,
    OperationState,
    QueuedOperation,
    Settlement,
    TransactionId,
)
from services.wallet.domain.payer_history import Mark, PastTransaction, PayerHistory
from services.wallet.domain.payment_orders import Part, PaymentOrder, filling
from services.wallet.domain.payments import (
    SPAN,
    PayerRecord,
    SeenPayment,
    SeenTransaction,
    WaitingPayment,
    recognised,
)
from services.wallet.domain.settling import paid_by, share, shown_paid
from services.wallet.domain.states import OPERATION_EDGES, sources, target
from services.wallet.domain.withdrawals import Asset
from services.wallet.keys.seal import SealedKey
from services.wallet.store.channels import assign, insert_pool_accounts
from services.wallet.store.custody import append, told_transaction
from services.wallet.store.fees import Charged, add_fees
from services.wallet.store.operations import queued_operation, settle, tell
from services.wallet.store.orders import Orders
from services.wallet.store.payment_orders import read_payment_orders

security = get_security_logger()

#: Milliseconds that the clocks of two wallet processes are apart at most: no transaction that
#: carried a payment has an id that is older by more.
_CLOCKS = 10 * 60 * 1000


@dataclass(frozen=True, kw_only=True)
class PayerTotals:
    """The numbers of payer accounts."""

    #: All accounts that were made.
    made: int
    #: Accounts that exist on the chain.
    ready: int
    #: Accounts with a transaction in flight.
    busy: int
    #: Accounts that may not sign, as their number and the records do not agree.
    stopped: int


@dataclass(frozen=True, kw_only=True)
class LeasedPayer:
    """A payer that nobody else gets meanwhile."""

    #: The payer's wallet.
    wallet_id: WalletId
    #: strkey G...
    address: str
    #: When the lease ends by itself, by the database's clock.
    until: datetime
    #: Why the payer may not sign, as far as is known; empty when it may.
    stopped: str


@dataclass(frozen=True, kw_only=True)
class MadePayment:
    """A payment that a payer's number shows to have been made."""

    #: Its operation.
    operation_id: OperationId
    #: The operation's state.
    state: OperationState
    #: The newest transaction that may have made it, and its hash (hex).
    transaction_id: TransactionId
    hash: str
    #: Whether wallet wrote that this transaction carried it.
    is_genuine: bool = True


@dataclass(frozen=True, kw_only=True)
class UnmadePayment:
    """A payment that is recorded as made, and that its payer's number shows to be not made."""

    #: Its operation.
    operation_id: OperationId
    #: The target of the transaction that is to make it.
    bump_to: int
    #: The wallet whose account pays; None: the treasury.
    source_id: WalletId | None
    #: What is to be paid, and to whom.
    parts: tuple[Part, ...]
    #: Envelopes for it that failed within the last hour.
    failures: int


@dataclass(frozen=True, kw_only=True)
class PaymentInFlight:
    """Payments of an asset from one account to another that are on their way."""

    #: strkey G..., both.
    source: str
    destination: str
    #: The asset.
    asset: Asset
    #: The amount in stroops, of all of them.
    amount: int


class PayerStore:
    """Wallets of the kind `payer`, and the table payments."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def insert(self, made: Sequence[tuple[SealedKey, OperationId]], *, most: int) -> int:
        """Record new payers with their creation, as long as there are less than `most`."""
        async with self._database.transaction() as session:
            return await insert_pool_accounts(
                session, self._orders, "payer", OperationKind.OPEN_PAYER, made, most=most
            )

    async def totals(self) -> PayerTotals:
        """Return the totals of payer accounts."""
        row = await self._database.one("payer_totals")
        if row is None:
            return PayerTotals(made=0, ready=0, busy=0, stopped=0)
        return PayerTotals(**dict(row))

    async def waiting(
        self, kinds: Sequence[OperationKind], *, ledger: int
    ) -> dict[OperationKind, dict[WalletId | None, int]]:
        """Count payments of these kinds that are due, by the payer that they belong to.

        None stands for payments that are nobody's yet. A kind of which none is due is absent.
        """
        names = [kind.value for kind in kinds]
        found: dict[OperationKind, dict[WalletId | None, int]] = {}
        for row in await self._database.many("waiting_payments", names, ledger):
            found.setdefault(OperationKind(row["kind"]), {})[row["payer_id"]] = row["payments"]
        return found

    async def assign(self, kind: OperationKind) -> int:
        """Assign payments that are nobody's to payers, for ever; return the number of them."""
        async with self._database.transaction() as session:
            rows = await session.many("unassigned_payments", kind.value)
            ids = [OperationId(row["id"]) for row in rows]
            return await assign(session, self._orders, ids, each=filling(kind))

    async def lease(
        self, payers: Collection[WalletId] | None, *, seconds: float
    ) -> list[LeasedPayer]:
        """Lease those of these payers (None: of all) that exist and have nothing in flight.

        The number that tells what a payer has paid is of the account that wallet made for it, and
        of no other that somebody writes into its row.
        """
        wanted = None if payers is None else list(payers)
        rows = await self._database.many("lease_payers", wanted, seconds)
        return [
            LeasedPayer(
                wallet_id=WalletId(row["id"]),
                address=row["address"],
                until=row["leased_until"],
                stopped=row["stopped"],
            )
            for row in rows
            if self._orders.is_wallet(row)
        ]

    async def give_back(self, payers: Sequence[LeasedPayer]) -> None:
        """End leases: what was signed is committed, or never will be."""
        await self._database.execute(
            "return_channels",
            [payer.wallet_id for payer in payers],
            [payer.until for payer in payers],
        )

    async def claim(
        self, kind: OperationKind, payer: WalletId, *, limit: int, lease: float, ledger: int
    ) -> list[QueuedOperation]:
        """Take up payments of a payer, the oldest of each pooler first."""
        rows = await self._database.many("claim_payments", kind.value, payer, limit, lease, ledger)
        return [
            replace(
                operation,
                is_genuine=operation.is_genuine
                and self._orders.is_payment(operation.id, payer, row["payment_mac"]),
            )
            for row in rows
            for operation in [queued_operation(row, self._orders)]
        ]

    async def in_flight(self) -> list[PaymentInFlight]:
        """Return the payments to others that are on their way, whichever payer carries them."""
        rows = await self._database.many("payments_in_flight")
        return [
            PaymentInFlight(
                source=row["source"],
                destination=row["destination"],
                asset=Asset(row["asset"]),
                amount=row["amount"],
            )
            for row in rows
        ]

    async def records(self, addresses: Sequence[str]) -> dict[str, PayerRecord]:
        """Return what the records say of payers, by address."""
        targets = await self._shown(addresses)
        shown = [max(targets[address], default=None) for address in addresses]
        rows = await self._database.many("payer_records", list(addresses), shown)
        return {
            row["address"]: PayerRecord(
                paid=row["paid"],
                failed=row["failed"],
                highest=row["highest"],
                members=frozenset(map(OperationId, row["members"])),
            )
            for row in rows
        }

    async def _shown(self, addresses: Sequence[str]) -> dict[str, list[int]]:
        """Return the numbers that wallet itself recorded as shown, by payer's address."""
        targets: dict[str, list[int]] = {address: [] for address in addresses}
        for row in await self._database.many("shown_targets_of", list(addresses)):
            address, target = row["address"], row["target"]
            if self._orders.is_shown_target(row):
                targets[address].append(target)
            else:
                security.critical(
                    "shown target not written by wallet", address=address, target=target
                )
        return targets

    async def past_marks(self, addresses: Sequence[str]) -> dict[str, Mark]:
        """Return marks of the transactions on record of payers, by address; none: absent."""
        rows = await self._database.many("payer_pasts", list(addresses))
        return {row["source"]: (row["count"], int(row["total"])) for row in rows}

    async def past(self, address: str) -> list[PastTransaction]:
        """Return all transactions on record of a payer."""
        rows = await self._database.many("payer_past", address)
        return [
            PastTransaction(
                id=TransactionId(row["id"]),
                sequence=row["sequence"],
                bump_to=row["bump_to"],
                is_genuine=self._orders.is_payer_transaction(row),
            )
            for row in rows
        ]

    async def paid_before(
        self, address: str, payments: Collection[OperationId], history: PayerHistory
    ) -> dict[OperationId, str]:
        """Return those of a payer's payments that were made, with the envelope's hash.

        What a transaction carried counts only as wallet wrote it. Raises TamperedError when one
        that may have carried any of the payments is not as wallet wrote it, or is not told of those
        that the payer's history has.
        """
        if not payments:
            return {}
        first = since(min(payments), minus=_CLOCKS)
        paid: dict[OperationId, str] = {}
        rows = await self._database.many("payer_past_since", address, first)
        missing = history.missing({TransactionId(row["id"]) for row in rows}, since=first)
        if missing:
            raise TamperedError(f"transaction {missing[0]} of its past is not told")
        for row in rows:
            if not self._orders.is_payer_transaction(row):
                raise TamperedError(
                    f"transaction {row['id']} of its past was not written by wallet"
                )
            if row["has_paid"] or history.goes_on_from(row["bump_to"]):
                paid |= dict.fromkeys(map(OperationId, row["operation_ids"]), row["hash"])
        return {item: paid[item] for item in payments if item in paid}

    async def made(self, address: str, number: int) -> list[MadePayment]:
        """Return the payments that were made when a payer stands at this number.

        There are none when the number is not the target of any of the payer's envelopes.
        """
        rows = await self._database.many("payments_made", address, number)
        carried = {row["transaction_id"]: frozenset[UUID]() for row in rows}
        for name in carried:
            carried[name] = await self._carried(name)
        return [
            MadePayment(
                operation_id=OperationId(row["id"]),
                state=OperationState(row["state"]),
                transaction_id=TransactionId(row["transaction_id"]),
                hash=row["hash"],
                is_genuine=row["id"] in carried[row["transaction_id"]],
            )
            for row in rows
        ]

    async def _carried(self, transaction_id: UUID) -> frozenset[UUID]:
        """Return what a payer's transaction carries, as wallet wrote it; else nothing."""
        row = await self._database.one("payer_transaction", transaction_id)
        if row is None or not self._orders.is_payer_transaction(row):
            return frozenset()
        return frozenset(row["operation_ids"])

    async def book(
        self,
        address: str,
        number: int,
        settlements: Sequence[Settlement],
        given_up: Sequence[MadePayment] = (),
        *,
        ledger: int = 0,
        forged: Collection[OperationId] = frozenset(),
    ) -> None:
        """Settle payments that were made when a payer stands at this number, and record that.

        Correct those payments that were `given_up`, as made in a ledger. The ends of those of which
        somebody else wrote that they were carried (`forged`) get no authenticator.
        """
        async with self._database.transaction() as session:
            mac = self._orders.for_shown_target(address, number)
            await session.execute("insert_shown_target", address, number, mac)
            waiting = [(None, item) for item in settlements]
            changed = await settle(session, self._orders, waiting, unsealed=forged)
            changed += await self._correct(session, given_up, ledger) if given_up else []
        tell(changed)

    async def _correct(
        self, session: Session, made: Sequence[MadePayment], ledger: int
    ) -> list[Record]:
        event = OperationEvent.CORRECT
        state = target(OPERATION_EDGES, event)
        return await session.many(
            "correct_payments",
            [item.operation_id for item in made],
            [state.value for state in sources(OPERATION_EDGES, event)],
            [item.transaction_id for item in made],
            ledger,
            state.value,
            [paid_by(item.hash) for item in made],
            [
                self._orders.for_end(
                    Ending(operation_id=item.operation_id, state=state, ledger=ledger)
                )
                if item.is_genuine
                else None
                for item in made
            ],
        )

    async def is_known(self, address: str, number: int) -> bool:
        """Tell whether an envelope on record brings a payer to this number."""
        row = await self._database.one("is_number_known", address, number)
        return row is not None and bool(row["is_known"])

    async def unmade(self, address: str, number: int) -> list[UnmadePayment]:
        """Return the first payments that are recorded as made and were not.

        That is so when the payer stands at this number. The payments are those of one transaction.
        """
        shown = (await self._shown([address]))[address]
        rows = await self._database.many("unmade_payments", address, number, SPAN, shown)
        ordered = await self._ordered(rows) if rows else {}
        if ordered is None:
            raise TamperedError(f"payments of payer {address} were not written by wallet")
        return [ordered[row["id"]] for row in rows]

    async def _ordered(self, rows: Sequence[Record]) -> dict[UUID, UnmadePayment] | None:
        """Return payments of one transaction as wallet wrote them; None where it did not.

        Who pays what to whom is of the very rows that are judged: those beside may tell anything.
        """
        carrier = await self._database.one("payer_transaction", rows[0]["transaction_id"])
        if carrier is None or not self._orders.is_payer_transaction(carrier):
            return None
        ids = [row["id"] for row in rows]
        orders = {row["id"]: row for row in await self._database.many("payment_orders", ids)}
        names = list(map(OperationId, ids))
        wishes = await read_payment_orders(self._database, self._orders, names)
        found: dict[UUID, UnmadePayment] = {}
        for row in rows:
            payment = self._unmade(row, orders.get(row["id"]), wishes.get(row["id"]))
            target = carrier["bump_to"]
            if (
                payment is None
                or payment.operation_id not in carrier["operation_ids"]
                or not target <= payment.bump_to <= target + SPAN
            ):
                return None
            found[row["id"]] = payment
        return found

    def _unmade(
        self, row: Record, order: Record | None, wish: PaymentOrder | None
    ) -> UnmadePayment | None:
        """Return a payment by its order, and by where it goes; None: wallet did not write them."""
        if order is None or not self._orders.is_claimed(order):
            return None
        parts, source = self._parts(order, wish), WalletId(order["wallet_id"])
        if parts is None:
            return None
        return UnmadePayment(
            operation_id=OperationId(order["id"]),
            bump_to=row["bump_to"],
            source_id=None if order["kind"] == OperationKind.TOP_UP.value else source,
            parts=parts,
            failures=row["failures"],
        )

    def _parts(self, order: Record, wish: PaymentOrder | None) -> tuple[Part, ...] | None:
        """Return what a judged order pays, and to whom; None: not written by wallet."""
        if order["kind"] == OperationKind.TOP_UP.value:
            return (Part(destination=order["address"], asset=Asset.XLM, amount=order["amount"]),)
        if wish is None or not wish.is_of(order["wallet_id"], order["amount"]):
            return None
        return wish.parts

    async def book_found(self, payer: LeasedPayer, seen: SeenTransaction) -> bool:
        """Record a payer's transaction that only the chain knows, and settle its payments at once.

        Return False, and do nothing, when one of the payments is not a payment that waits.
        """
        async with self._database.transaction() as session:
            waiting = await _waiting(session, payer.wallet_id)
            found = recognised(seen.payments, waiting) if seen.succeeded else []
            if found is None:
                return False
            name = new_id()
            row = await session.one(
                "insert_found_transaction",
                name,
                "succeeded" if seen.succeeded else "failed",
                payer.address,
                seen.sequence,
                seen.hash,
                seen.inner_hash,
                seen.envelope,
                seen.max_time,
                seen.fee_charged,
                seen.ledger,
                seen.bump_to,
                self._found_mac(name, payer, seen, found),
            )
            if row is None:
                return False
            await session.execute("insert_found_payments", row["id"], found)
            await add_fees(session, _charged(seen.fee_charged, found))
            await append(session, [_found(TransactionId(row["id"]), payer, seen)], self._orders)
            settled = [shown_paid(item, ledger=seen.ledger, by=seen.hash) for item in found]
            changed = await settle(session, self._orders, [(None, item) for item in settled])
        tell(changed)
        return True

    def _found_mac(
        self,
        name: UUID,
        payer: LeasedPayer,
        seen: SeenTransaction,
        members: Sequence[OperationId],
    ) -> bytes | None:
        """Return the authenticator of a transaction that only the chain knew."""
        if seen.bump_to is None:
            return None
        return self._orders.for_transaction(
            row_id=name,
            source=payer.address,
            sequence=seen.sequence,
            bump_to=seen.bump_to,
            lookup_hash=seen.inner_hash,
            max_time=seen.max_time,
            operation_ids=members,
        )

    async def stop(self, payer: WalletId, reason: str) -> bool:
        """Note why a payer may not sign, empty when it may; tell whether that is new."""
        return await self._database.execute("stop_payer", payer, reason) > 0


def since(name: UUID, *, minus: int) -> UUID:
    """Return the least UUIDv7 of the moment so many milliseconds before the one of this id."""
    return UUID(int=max(0, (name.int >> 80) - minus) << 80)


def _found(transaction_id: TransactionId, payer: LeasedPayer, seen: SeenTransaction) -> Act:
    words = told_transaction(transaction_id, payer.address, seen.sequence, seen.fee_charged)
    return Act(actor="wallet", action=Action.FOUND, subject=seen.hash, details=words)


def _charged(fee: int, payments: Sequence[OperationId]) -> list[Charged]:
    """Return what a transaction that only the chain knew was charged, for each of its payments."""
    if not payments:
        return [Charged(operation_id=None, fee=fee)]
    return [
        Charged(operation_id=item, fee=share(fee, len(payments), position))
        for position, item in enumerate(payments)
    ]


async def _waiting(session: Session, payer: WalletId) -> list[WaitingPayment]:
    found: dict[OperationId, list[SeenPayment]] = {}
    for row in await session.many("payments_of_payer", payer):
        payment = SeenPayment(
            source=row["source"],
            destination=row["destination"],
            asset=Asset(row["asset"]),
            amount=row["amount"],
        )
        found.setdefault(OperationId(row["id"]), []).append(payment)
    return [
        WaitingPayment(operation_id=item, payments=tuple(payments))
        for item, payments in found.items()
    ]

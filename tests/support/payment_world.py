"""Stand-ins for all that a carrier of payments asks: payers, their numbers, accounts and keys."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

from stellar_sdk import BumpSequence, FeeBumpTransactionEnvelope, Keypair, Payment

from libs.common.ids import OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.bids import Bid
from services.wallet.domain.chain_facts import AccountState, LedgerHead, SignedEnvelope
from services.wallet.domain.model import (
    FailureReason,
    OperationKind,
    QueuedOperation,
)
from services.wallet.domain.payment_orders import Part, PaymentOrder
from services.wallet.domain.payments import PayerRecord
from services.wallet.domain.trust import Decision
from services.wallet.domain.withdrawals import Asset, Destination
from services.wallet.engine.forgeries import Forgeries
from services.wallet.engine.payments.carrier import PaymentCarrier
from services.wallet.engine.sequence_sources import LEASE
from services.wallet.engine.wakeup import Wakeup, Wakeups
from services.wallet.store.payers import LeasedPayer, PayerTotals, PaymentInFlight
from tests.support.signing import (
    CLOSE_TIME,
    LEDGER,
    NETWORK,
    FakeQueue,
    FakeSigners,
    chain_state,
)

OUTSIDE, ELSEWHERE = Keypair.random().public_key, Keypair.random().public_key
#: The number that a payer stands at, unless told otherwise.
NUMBER = 500
TREASURY = WalletId(new_id())


def payer(stopped: str = "") -> LeasedPayer:
    """Return a payer that was leased."""
    return LeasedPayer(
        wallet_id=WalletId(new_id()),
        address=Keypair.random().public_key,
        until=datetime(2026, 1, 1, tzinfo=UTC),
        stopped=stopped,
    )


def payment(kind: OperationKind = OperationKind.WITHDRAW, **fields: Any) -> QueuedOperation:
    """Make a payment that was taken up."""
    values: dict[str, Any] = {
        "wallet_id": WalletId(new_id()),
        "address": Keypair.random().public_key,
        "amount": 30,
        "attempts": 0,
        "pack_limit": None,
        "pooler_id": PoolerId(new_id()),
    }
    return QueuedOperation(
        id=OperationId(new_id()),
        kind=kind,
        block_index=0,
        nonce=None,
        hash=None,
        **{**values, **fields},
    )


class Payers:
    """Has payers with payments that are due."""

    def __init__(self) -> None:
        self.due: dict[OperationKind, dict[WalletId | None, int]] = {}
        self.unassigned: dict[OperationKind, dict[WalletId | None, int]] = {}
        self.all: list[LeasedPayer] = []
        self.queued: dict[WalletId, list[QueuedOperation]] = {}
        self.flying: list[PaymentInFlight] = []
        self.leases: list[list[WalletId] | None] = []
        self.returned: list[LeasedPayer] = []
        self.claims: list[tuple[OperationKind, int, float, int]] = []
        self.asked: list[tuple[tuple[OperationKind, ...], int]] = []
        self.assigned: list[OperationKind] = []
        self.stopped = 0

    def have(self, whose: LeasedPayer, *operations: QueuedOperation) -> None:
        """Queue payments of a payer."""
        self.all.append(whose)
        self.queued[whose.wallet_id] = list(operations)
        for item in operations:
            due = self.due.setdefault(item.kind, {})
            due[whose.wallet_id] = due.get(whose.wallet_id, 0) + 1

    async def waiting(
        self, kinds: Sequence[OperationKind], *, ledger: int
    ) -> dict[OperationKind, dict[WalletId | None, int]]:
        """As the store's."""
        self.asked.append((tuple(kinds), ledger))
        return {kind: dict(self.due[kind]) for kind in kinds if kind in self.due}

    async def assign(self, kind: OperationKind) -> int:
        """As the store's."""
        self.assigned.append(kind)
        found = self.unassigned.pop(kind, {})
        if found:
            self.due[kind] = found
        return len(found)

    async def lease(
        self, payers: Collection[WalletId] | None, *, seconds: float
    ) -> list[LeasedPayer]:
        """As the store's."""
        assert seconds == LEASE
        self.leases.append(None if payers is None else list(payers))
        return [item for item in self.all if payers is None or item.wallet_id in payers]

    async def give_back(self, payers: Sequence[LeasedPayer]) -> None:
        """As the store's."""
        self.returned += payers

    async def claim(
        self, kind: OperationKind, payer: WalletId, *, limit: int, lease: float, ledger: int
    ) -> list[QueuedOperation]:
        """As the store's."""
        self.claims.append((kind, limit, lease, ledger))
        return [item for item in self.queued[payer] if item.kind is kind]

    async def totals(self) -> PayerTotals:
        """As the store's."""
        return PayerTotals(made=1, ready=1, busy=0, stopped=self.stopped)

    async def in_flight(self) -> list[PaymentInFlight]:
        """As the store's."""
        return self.flying


class Numbers:
    """Shows payers to be steady, and what they have paid before."""

    def __init__(self) -> None:
        self.records: dict[LeasedPayer, PayerRecord] = {}
        self.stopped: set[LeasedPayer] = set()
        self.paid: dict[OperationId, str] | None = {}
        self.looked: list[list[LeasedPayer]] = []
        self.error: Exception | None = None

    async def steady(
        self, payers: Sequence[LeasedPayer]
    ) -> dict[LeasedPayer, tuple[int, PayerRecord]]:
        """As the payers' numbers."""
        self.looked.append(list(payers))
        if self.error is not None:
            raise self.error
        return {
            item: (NUMBER, self.records.get(item, PayerRecord(paid=NUMBER, highest=NUMBER)))
            for item in payers
            if item not in self.stopped
        }

    async def paid_before(
        self, _payer: LeasedPayer, payments: Collection[OperationId]
    ) -> dict[OperationId, str] | None:
        """As the payers' numbers."""
        if self.paid is None:
            return None
        return {item: self.paid[item] for item in payments if item in self.paid}


class Chain:
    """Shows accounts with enough of everything, unless told otherwise."""

    def __init__(self) -> None:
        self.network = NETWORK
        self.odd: dict[str, dict[str, Any]] = {}
        self.decisions: list[Decision] = []

    def trusted(self, decision: Decision) -> "Chain":
        """As the chain's."""
        self.decisions.append(decision)
        return self

    def account(self, address: str) -> AccountState:
        """Return the state of an account."""
        values: dict[str, Any] = {"exists": True, "has_trustline": True, "kale": 100, "xlm": 100}
        return AccountState(
            address=address, **{**values, "reserves": -2, **self.odd.get(address, {})}
        )

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's."""
        return LEDGER, [self.account(item) for item in addresses]

    async def destinations(self, addresses: Sequence[str]) -> dict[str, Destination]:
        """As the chain's."""
        return {
            item: Destination(account=self.account(item), wants_memo=False) for item in addresses
        }


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A transaction that was handed on."""

    operations: list[QueuedOperation]
    envelope: SignedEnvelope
    payer: WalletId | None

    @property
    def paid(self) -> list[tuple[str, str, str, int]]:
        """Return who pays whom, in which asset, and how many stroops."""
        outer = FeeBumpTransactionEnvelope.from_xdr(self.envelope.xdr, NETWORK.passphrase)
        *payments, bump = outer.transaction.inner_transaction_envelope.transaction.operations
        assert isinstance(bump, BumpSequence)
        assert bump.bump_to == self.envelope.bump_to
        return [
            (
                item.source.account_id,
                item.destination.account_id,
                item.asset.code,
                int(Decimal(item.amount).scaleb(7)),
            )
            for item in payments
            if isinstance(item, Payment) and item.source is not None
        ]


class Transactions:
    """Signs what it is given."""

    def __init__(self) -> None:
        self.submitted: list[Submitted] = []
        self.counts: list[int] = []
        self.bids: list[OperationKind] = []

    def bid(self, kind: OperationKind) -> Bid:
        """As the treasury's."""
        self.bids.append(kind)
        return Bid(max_time=CLOSE_TIME + 30, inclusion_fee=200, max_fee=10_000)

    async def submit(
        self,
        operations: Sequence[QueuedOperation],
        sign: Callable[[], SignedEnvelope],
        *,
        payer: WalletId | None = None,
        payments: int = 0,
    ) -> None:
        """As the treasury's."""
        self.counts.append(payments)
        self.submitted.append(Submitted(operations=list(operations), envelope=sign(), payer=payer))


@dataclass
class PaymentWorld:
    """A carrier of payments over stand-ins."""

    is_fresh: bool = True
    can_pay: bool = True
    orders: dict[OperationId, PaymentOrder] = field(default_factory=dict)
    low: set[str] = field(default_factory=set)
    owed: dict[WalletId, int] = field(default_factory=dict)
    broken: list[tuple[list[OperationId], Exception]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.payers, self.numbers, self.chain = Payers(), Numbers(), Chain()
        self.queue, self.signers, self.transactions = FakeQueue(), FakeSigners(), Transactions()
        self.settled = Wakeup()
        self.state = chain_state()
        wallet = SimpleNamespace(id=TREASURY, address=self.signers.key(TREASURY).address)
        self.carrier = PaymentCarrier(
            cast(Any, self.payers),
            cast(Any, self.numbers),
            chain=cast(Any, self.chain),
            treasury=cast(Any, SimpleNamespace(wallet=wallet)),
            signers=cast(Any, self.signers),
            accounts=cast(Any, self),
            operations=cast(Any, self.queue),
            payment_orders=cast(Any, SimpleNamespace(payment_orders=self._orders)),
            payouts=cast(Any, SimpleNamespace(owed=self._owed_by)),
            chain_view=cast(Any, self),
            transactions=cast(Any, self.transactions),
            broken_keys=cast(Any, SimpleNamespace(set_aside=self._set_aside)),
            forgeries=Forgeries(cast(Any, self.queue)),
            low_channels=cast(Any, SimpleNamespace(among=self._low)),
            wakeups=Wakeups(changes=Wakeup(), settled=self.settled),
        )

    @property
    def current(self) -> Any:
        """As the chain view's."""
        return self.state

    def at(self, ledger: int) -> None:
        """Go on to another ledger."""
        head = LedgerHead(sequence=ledger, close_time=CLOSE_TIME)
        self.state = replace(self.state, ledger=head)

    async def _orders(self, ids: Sequence[OperationId]) -> Mapping[OperationId, PaymentOrder]:
        return {item: self.orders[item] for item in ids if item in self.orders}

    async def _owed_by(self, wallet_ids: Sequence[WalletId]) -> Mapping[WalletId, int]:
        return {item: self.owed.get(item, 0) for item in wallet_ids}

    async def _low(self, addresses: Sequence[str]) -> tuple[int, set[str]]:
        return LEDGER, self.low & set(addresses)

    async def _set_aside(self, items: Sequence[QueuedOperation], error: Exception) -> None:
        self.broken.append(([item.id for item in items], error))

    def withdrawal(
        self,
        *,
        to: str = OUTSIDE,
        asset: Asset = Asset.KALE,
        is_stopped: bool = False,
        is_forged: bool = False,
        **fields: Any,
    ) -> QueuedOperation:
        """Make a withdrawal that wallet itself recorded, unless it is forged."""
        made = payment(**fields)
        self.orders[made.id] = PaymentOrder(
            operation_id=made.id,
            wallet_id=made.wallet_id,
            parts=(Part(destination=to, asset=asset, amount=made.amount),),
            is_stopped=is_stopped,
            is_genuine=not is_forged,
        )
        return made

    def payout(
        self,
        *,
        amount: int = 10,
        to: str = OUTSIDE,
        pooler: tuple[str, int] | None = None,
        operator: tuple[str, int] | None = None,
        **fields: Any,
    ) -> QueuedOperation:
        """Make a payout with fees: to whom, and how much."""
        fees = [item for item in (pooler, operator) if item is not None]
        whole = amount + sum(stroops for _, stroops in fees)
        made = payment(OperationKind.PAYOUT, amount=whole, **fields)
        own = [Part(destination=to, asset=Asset.KALE, amount=amount)] if amount else []
        self.orders[made.id] = PaymentOrder(
            operation_id=made.id,
            wallet_id=made.wallet_id,
            parts=(
                *own,
                *(
                    Part(destination=place, asset=Asset.KALE, amount=stroops, is_fee=True)
                    for place, stroops in fees
                ),
            ),
        )
        return made

    def pool_payment(self, *, to: str, amount: int = 5, **fields: Any) -> QueuedOperation:
        """Make a payment from a pooler's custodial account."""
        made = payment(OperationKind.POOL_PAYMENT, amount=amount, **fields)
        self.orders[made.id] = PaymentOrder(
            operation_id=made.id,
            wallet_id=made.wallet_id,
            parts=(Part(destination=to, asset=Asset.KALE, amount=amount),),
        )
        return made

    def top_up(self, **fields: Any) -> QueuedOperation:
        """Make a top-up of a channel account that is low."""
        made = payment(OperationKind.TOP_UP, pooler_id=None, **fields)
        self.low.add(made.address)
        return made

    @property
    def reasons(self) -> dict[OperationId, FailureReason | None]:
        """Return what was given up, and why."""
        return {item.operation_id: item.reason for item in self.queue.settled if item.reason}

    @property
    def carried(self) -> list[list[OperationId]]:
        """Return what each transaction carries."""
        return [[item.id for item in one.operations] for one in self.transactions.submitted]

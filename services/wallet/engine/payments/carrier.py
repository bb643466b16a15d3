"""Payments by payers: each payer carries its own payments, one transaction at a time."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from libs.common.ids import OperationId, WalletId
from libs.common.log import get_security_logger
from services.wallet.chain import MAX_ACCOUNTS, MAX_PAYMENTS, Chain, Payment, sign_payments
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.fair_turns import Turns
from services.wallet.domain.kinds import Carrier, carried_by
from services.wallet.domain.marks import is_ahead
from services.wallet.domain.model import (
    FailureReason,
    OperationKind,
    QueuedOperation,
)
from services.wallet.domain.payment_orders import (
    Part,
    PaymentOrder,
    obstacle,
    own_kale,
    pays_fees,
    within,
)
from services.wallet.domain.payments import PayerRecord, target_for
from services.wallet.domain.settling import given_up, later, shown_paid
from services.wallet.domain.trust import Decision
from services.wallet.domain.withdrawals import Asset, Destination, free, room
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.broken_keys import BROKEN, BrokenKeys
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.forgeries import Forgeries
from services.wallet.engine.payments.payer_numbers import PayerNumbers
from services.wallet.engine.sequence_sources import LEASE
from services.wallet.engine.signers import Signers
from services.wallet.engine.treasury.channels import LowChannels
from services.wallet.engine.treasury.transactions import TreasuryTransactions
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.wakeup import Wakeups
from services.wallet.store.operations import OperationStore
from services.wallet.store.payers import LeasedPayer, PayerStore, PaymentInFlight
from services.wallet.store.payouts import PayoutStore
from services.wallet.store.transactions import TransactionStore

security = get_security_logger()

#: Payments of a payer among which the next ones are chosen, so that many of one pooler do not hide
#: those of others.
_CHOICE = 200
#: Ledgers between two looks at all payers.
_LOOK_EVERY = 12
#: Most operations of one transaction: each farmer signs for its own payments, the treasury once for
#: all top-ups, and a pooler's account once for all of its payments.
_MOST = {
    OperationKind.WITHDRAW: MAX_ACCOUNTS,
    OperationKind.PAYOUT: MAX_ACCOUNTS,
    OperationKind.TOP_UP: MAX_PAYMENTS,
    OperationKind.POOL_PAYMENT: MAX_PAYMENTS,
}


#: The kinds that payers carry.
_KINDS = carried_by(Carrier.PAYER)


class Moving:
    """Payments that are on their way, by any payer, or that the next transactions are to make.

    What they take from an account, or bring to one, is not there for the next payment.
    """

    def __init__(self, in_flight: Sequence[PaymentInFlight]) -> None:
        self._leaving: Counter[tuple[str, Asset]] = Counter()
        self._arriving: Counter[tuple[str, Asset]] = Counter()
        for item in in_flight:
            self._leaving[item.source, item.asset] += item.amount
            self._arriving[item.destination, item.asset] += item.amount

    def allows(
        self, order: PaymentOrder, payer: AccountState, destinations: Mapping[str, Destination]
    ) -> bool:
        """Tell whether one more operation's payments work when all that are on their way do."""
        leaving: Counter[Asset] = Counter()
        arriving: Counter[tuple[str, Asset]] = Counter()
        for part in order.parts:
            leaving[part.asset] += part.amount
            arriving[part.destination, part.asset] += part.amount
        return all(
            free(asset, payer) >= self._leaving[payer.address, asset] + amount
            for asset, amount in leaving.items()
        ) and all(
            room(asset, destinations[address].account) >= self._arriving[address, asset] + amount
            for (address, asset), amount in arriving.items()
        )

    def spares(self, order: PaymentOrder, payer: AccountState, owed: int) -> bool:
        """Tell whether fees that are owed stay in the account, beside all that is on its way."""
        own = own_kale(order)
        leaving = self._leaving[payer.address, Asset.KALE]
        return not own or free(Asset.KALE, payer) >= leaving + own + owed

    def is_leaving(self, source: str) -> bool:
        """Tell whether any KALE of an account is on its way."""
        return self._leaving[source, Asset.KALE] > 0

    def add(self, order: PaymentOrder, source: str) -> None:
        """Add the payments of an operation that the next transactions make."""
        for part in order.parts:
            self._leaving[source, part.asset] += part.amount
            self._arriving[part.destination, part.asset] += part.amount


@dataclass(frozen=True, kw_only=True)
class _Load:
    """The operations of a payer's next transaction, as they were chosen."""

    #: The payer.
    payer: LeasedPayer
    #: Its number, and what the records say of it.
    number: int
    record: PayerRecord
    #: The operations.
    chosen: Sequence[QueuedOperation]


class PaymentCarrier:
    """The signer of payments, for all payers that have payments and nothing in flight."""

    def __init__(
        self,
        payers: PayerStore,
        numbers: PayerNumbers,
        *,
        chain: Chain,
        treasury: Treasury,
        signers: Signers,
        accounts: Accounts,
        operations: OperationStore,
        payment_orders: TransactionStore,
        payouts: PayoutStore,
        chain_view: ChainView,
        transactions: TreasuryTransactions,
        broken_keys: BrokenKeys,
        forgeries: Forgeries,
        low_channels: LowChannels,
        wakeups: Wakeups,
    ) -> None:
        """Look up in `payment_orders` what is paid and to whom, in `payouts` what is a fee."""
        self._payers = payers
        self._numbers = numbers
        self._chain = chain
        self._treasury = treasury
        self._signers = signers
        self._accounts = accounts
        self._operations = operations
        self._order_store = payment_orders
        self._payouts = payouts
        self._chain_view = chain_view
        self._transactions = transactions
        self._broken_keys = broken_keys
        self._forgeries = forgeries
        self._low_channels = low_channels
        self._wakeups = wakeups
        #: The turns of poolers, by payer.
        self._turns: defaultdict[WalletId, Turns] = defaultdict(Turns)
        #: The ledger from which on all payers are looked at, with or without payments.
        self._look_ledger = 0

    async def step(self) -> bool:
        """Take up payments that are due; tell whether there were any."""
        if not (self._chain_view.is_fresh and self._accounts.can_pay):
            return False
        await self._look()
        waiting = await self._payers.waiting(_KINDS, ledger=self._ledger)
        # In the order of _KINDS.
        due = [(kind, waiting[kind]) for kind in _KINDS if kind in waiting]
        progress = [await self._carry_kind(kind, payers) for kind, payers in due]
        return any(progress)

    @property
    def _ledger(self) -> int:
        return self._chain_view.current.ledger.sequence

    async def _look(self) -> None:
        """Compare the numbers of all payers with the records, now and then, as one may be false."""
        ledger = self._chain_view.current.ledger.sequence
        if is_ahead(self._look_ledger, ledger, most=_LOOK_EVERY):
            return
        self._look_ledger = ledger + _LOOK_EVERY
        leased = await self._payers.lease(None, seconds=LEASE)
        if leased:
            try:
                await self._numbers.steady(leased)
            finally:
                await self._payers.give_back(leased)

    async def _carry_kind(
        self, kind: OperationKind, waiting: Mapping[WalletId | None, int]
    ) -> bool:
        ledger = self._ledger
        if None in waiting and await self._payers.assign(kind):
            waiting = (await self._payers.waiting([kind], ledger=ledger)).get(kind, {})
        wanted = [payer for payer in waiting if payer is not None]
        leased = await self._payers.lease(wanted, seconds=LEASE) if wanted else []
        if not leased:
            return False
        try:
            return await self._carry_all(kind, leased, ledger)
        finally:
            await self._payers.give_back(leased)

    async def _carry_all(
        self, kind: OperationKind, leased: Sequence[LeasedPayer], ledger: int
    ) -> bool:
        """Make a transaction of each payer; what they pay is looked at together."""
        steady = await self._numbers.steady(leased)
        progress, loads = False, list[_Load]()
        wishes: dict[OperationId, PaymentOrder] = {}
        for payer, (number, record) in steady.items():
            claimed = await self._payers.claim(
                kind, payer.wallet_id, limit=_CHOICE, lease=LEASE, ledger=ledger
            )
            genuine = await self._unpaid(payer, await self._forgeries.sift(claimed))
            chosen = self._turns[payer.wallet_id].following(genuine, most=_MOST[kind])
            wishes |= await self._wishes(chosen)
            chosen = within(
                chosen,
                wishes,
                source=self._source,
                sources=MAX_ACCOUNTS,
                payments=MAX_PAYMENTS,
            )
            rest = {item.id for item in genuine} - {item.id for item in chosen}
            await self._operations.release(sorted(rest))
            progress |= len(genuine) < len(claimed)
            if chosen:
                progress = True
                load = _Load(payer=payer, number=number, record=record, chosen=chosen)
                loads.append(load)
        sound = await self._sound([item for load in loads for item in load.chosen], wishes)
        for load in loads:
            await self._carry(load, sound, wishes)
        return progress

    async def _unpaid(
        self, payer: LeasedPayer, claimed: Sequence[QueuedOperation]
    ) -> list[QueuedOperation]:
        """Return the payments that were not made; settle those that were.

        Wallet never puts a payment back that its payer has made and gone on from. Where the payer's
        past does not tell, none is returned, and all wait.
        """
        paid = await self._numbers.paid_before(payer, [item.id for item in claimed])
        if paid is None:
            await self._operations.release([item.id for item in claimed])
            return []
        if paid:
            ledger = self._chain_view.current.ledger.sequence
            for operation_id, envelope in paid.items():
                security.critical(
                    "paid, and put back: not paid again",
                    operation=str(operation_id),
                    hash=envelope,
                )
            await self._operations.settle_queued(
                [shown_paid(item, ledger=ledger, by=by) for item, by in paid.items()]
            )
            self._wakeups.tell_settled()
        return [item for item in claimed if item.id not in paid]

    async def _carry(
        self,
        load: _Load,
        sound: Collection[OperationId],
        wishes: Mapping[OperationId, PaymentOrder],
    ) -> None:
        """Make one transaction of payments.

        A payment that fails the first time with others goes alone the next time.
        """
        together = [item for item in load.chosen if item.id in sound]
        if not together:
            return
        members = frozenset(item.id for item in together)
        bump_to = target_for(load.record, members, load.number)
        try:
            await self._submit(
                load.payer, together, wishes, sequence=load.number + 1, bump_to=bump_to
            )
        except BROKEN as error:
            await self._broken_keys.set_aside(together, error)

    async def _wishes(self, claimed: Sequence[QueuedOperation]) -> dict[OperationId, PaymentOrder]:
        """Return what operations pay: a top-up pays its channel account, the others as recorded."""
        others = [item.id for item in claimed if item.kind is not OperationKind.TOP_UP]
        top_ups = {
            item.id: PaymentOrder(
                operation_id=item.id,
                wallet_id=item.wallet_id,
                parts=(Part(destination=item.address, asset=Asset.XLM, amount=item.amount),),
            )
            for item in claimed
            if item.kind is OperationKind.TOP_UP
        }
        return top_ups | await self._order_store.payment_orders(others)

    async def _sound(
        self, claimed: Sequence[QueuedOperation], wishes: Mapping[OperationId, PaymentOrder]
    ) -> frozenset[OperationId]:
        """Give up payments that would fail as the chain stands, by agreement; return the others.

        The treasury pays no channel account that has enough.
        """
        forged = [
            item
            for item in claimed
            if item.id not in wishes or not wishes[item.id].is_of(item.wallet_id, item.amount)
        ]
        if forged:
            await self._forgeries.give_up(forged)
            self._wakeups.tell_settled()
        claimed = [item for item in claimed if item not in forged]
        top_ups = [item for item in claimed if item.kind is OperationKind.TOP_UP]
        needed = await self._needed(top_ups) if top_ups else []
        others = [item for item in claimed if item.kind is not OperationKind.TOP_UP]
        payable = await self._payable(others, wishes) if others else []
        return frozenset(item.id for item in (*needed, *payable))

    async def _payable(
        self, claimed: Sequence[QueuedOperation], wishes: Mapping[OperationId, PaymentOrder]
    ) -> list[QueuedOperation]:
        """Give up payments to others that would fail as the chain stands; return the rest."""
        moving = Moving(await self._payers.in_flight())
        # What a payer has paid that is stopped may be unknown here, with all the fees in it.
        is_unsure = (await self._payers.totals()).stopped > 0
        # Fees after what is on its way and before accounts: what is paid meanwhile counts twice.
        owed = await self._payouts.owed(
            sorted({item.wallet_id for item in claimed if own_kale(wishes[item.id])})
        )
        ledger = self._chain_view.current.ledger.sequence
        chain = self._chain.trusted(Decision.REFUSE_DESTINATION)
        _, found = await chain.accounts(sorted({item.address for item in claimed}))
        payers = {state.address: state for state in found}
        destinations = await chain.destinations(
            sorted({part.destination for item in claimed for part in wishes[item.id].parts})
        )
        sound, refused, waiting = [], [], []
        for operation in claimed:
            order, payer = wishes[operation.id], payers[operation.address]
            fees = owed.get(operation.wallet_id, 0)
            is_own = moving.spares(order, payer, fees)
            reason = obstacle(order, payer, destinations)
            if reason is not None:
                refused.append(given_up(operation, reason, "nothing was sent"))
            elif not is_own and not moving.is_leaving(payer.address):
                why = f"nothing was sent: {fees} stroops of the account are fees"
                refused.append(given_up(operation, FailureReason.INSUFFICIENT_BALANCE, why))
            elif is_unsure and pays_fees(operation, order):
                waiting.append(later(operation, due_ledger=ledger + 1))
            elif is_own and moving.allows(order, payer, destinations):
                sound.append(operation)
                moving.add(order, operation.address)
            else:
                # Pay it after those that are on their way: together they would fail, and others,
                # too. The next ledger tells what is left.
                waiting.append(later(operation, due_ledger=ledger + 1))
        await self._operations.settle_queued([*refused, *waiting])
        if refused:
            self._wakeups.tell_settled()
        return sound

    async def _needed(self, top_ups: Sequence[QueuedOperation]) -> list[QueuedOperation]:
        """Give up top-ups of channel accounts that have enough by now; return the others."""
        _, low = await self._low_channels.among([item.address for item in top_ups])
        enough = [item for item in top_ups if item.address not in low]
        await self._operations.settle_queued(
            [given_up(item, FailureReason.REFUSED, "the account has enough") for item in enough]
        )
        return [item for item in top_ups if item.address in low]

    async def _submit(
        self,
        payer: LeasedPayer,
        together: Sequence[QueuedOperation],
        wishes: Mapping[OperationId, PaymentOrder],
        *,
        sequence: int,
        bump_to: int,
    ) -> None:
        bid = self._transactions.bid(together[0].kind)
        treasury_id = self._treasury.wallet.id
        sources = [self._source(item) for item in together]
        # A channel account is paid only if its key opens: only the pool's own accounts are paid.
        own = [item.wallet_id for item in together if item.kind is OperationKind.TOP_UP]
        wallets = [treasury_id, payer.wallet_id, *sources, *own]
        async with self._signers.open(wallets) as signers:
            treasury, payer_key, *keys = signers[: 2 + len(sources)]
            payments = [
                Payment(
                    signer=key,
                    destination=part.destination,
                    asset=part.asset,
                    amount=part.amount,
                )
                for key, item in zip(keys, together, strict=True)
                for part in wishes[item.id].parts
            ]
            await self._transactions.submit(
                together,
                lambda: sign_payments(
                    payments,
                    network=self._chain.network,
                    payer=payer_key,
                    treasury=treasury,
                    sequence=sequence,
                    bump_to=bump_to,
                    bid=bid,
                ),
                payer=payer.wallet_id,
                payments=len(payments),
            )

    def _source(self, operation: QueuedOperation) -> WalletId:
        """Return whose account pays: the treasury for a channel account, else its own."""
        is_top_up = operation.kind is OperationKind.TOP_UP
        return self._treasury.wallet.id if is_top_up else operation.wallet_id

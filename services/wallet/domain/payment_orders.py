"""What an operation that a payer carries is to pay: to whom, and what of it is a fee."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.common.ids import OperationId, WalletId
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import FailureReason, OperationKind, QueuedOperation
from services.wallet.domain.withdrawals import Asset, Destination, refusal

#: Farmers' payouts that fill a transaction: each signs for its own. And payments of one account.
_FILLS = {OperationKind.PAYOUT: 19, OperationKind.POOL_PAYMENT: 99}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One payment of an operation."""

    #: strkey G...
    destination: str
    #: What is paid.
    asset: Asset
    #: How much, in stroops.
    amount: int
    #: Whether it is a fee: one that cannot be paid is left for later.
    is_fee: bool = False


@dataclass(frozen=True, kw_only=True)
class PaymentOrder:
    """The payments of one operation, all of which are made in one transaction."""

    #: The operation.
    operation_id: OperationId
    #: The wallet whose account pays; of a top-up the one that is paid.
    wallet_id: WalletId
    #: What is paid, in this order.
    parts: tuple[Part, ...]
    #: It goes to an address that is not the farmer's, or the pooler's, any more.
    is_stopped: bool = False
    #: Whether wallet itself wrote it, its payer and the addresses that decide where it goes.
    is_genuine: bool = True

    @property
    def amount(self) -> int:
        """Return the stroops that its parts come to."""
        return sum(part.amount for part in self.parts)

    def is_of(self, wallet_id: UUID, amount: int) -> bool:
        """Tell whether wallet wrote it, for the wallet and amount that its operation has."""
        return self.is_genuine and (self.wallet_id, self.amount) == (wallet_id, amount)


def own_kale(order: PaymentOrder) -> int:
    """Return the stroops of KALE of an order that are no fee."""
    return sum(part.amount for part in order.parts if part.asset is Asset.KALE and not part.is_fee)


def pays_fees(operation: QueuedOperation, order: PaymentOrder) -> bool:
    """Tell whether an operation moves fees, or pays out of them."""
    is_of_pooler = operation.kind is OperationKind.POOL_PAYMENT
    return is_of_pooler or any(part.is_fee for part in order.parts)


def within(
    operations: Sequence[QueuedOperation],
    orders: Mapping[OperationId, PaymentOrder],
    *,
    source: Callable[[QueuedOperation], WalletId],
    sources: int,
    payments: int,
) -> list[QueuedOperation]:
    """Return the operations that fit into one transaction, in their order.

    It has so many sources, which sign, and so many payments at most; one that does not fit waits,
    and those after it may still fit.
    """
    chosen, whose, count = list[QueuedOperation](), set[WalletId](), 0
    for item in operations:
        order = orders.get(item.id)
        more = 1 if order is None else len(order.parts)
        if count + more <= payments and len(whose | {source(item)}) <= sources:
            chosen.append(item)
            whose.add(source(item))
            count += more
    return chosen


def obstacle(
    order: PaymentOrder, payer: AccountState, destinations: Mapping[str, Destination]
) -> FailureReason | None:
    """Return the first reason why an order would fail as things stand on the chain.

    What stands in the way of a fee alone is told as that. Returns None when it can be tried.
    """
    if order.is_stopped:
        return FailureReason.REFUSED
    whole: dict[Asset, int] = {}
    for part in order.parts:
        whole[part.asset] = whole.get(part.asset, 0) + part.amount
    for part in order.parts:
        reason = refusal(part.asset, part.amount, payer, destinations[part.destination])
        if reason is not None:
            return _of_fee(reason) if part.is_fee else reason
        # Each of them may fit, and all together not.
        if refusal(part.asset, whole[part.asset], payer, _ANY) is not None:
            return FailureReason.INSUFFICIENT_BALANCE
    return None


#: An account that takes everything.
_ANY = Destination(
    account=AccountState(address="", exists=True, has_trustline=True), wants_memo=False
)


def takes_any(destination: Destination) -> bool:
    """Tell whether an account can take any KALE as it is on the chain."""
    return refusal(Asset.KALE, 1, _RICH, destination) is None


#: An account that can pay anything.
_RICH = AccountState(address="", exists=True, has_trustline=True, kale=1)
#: Reasons that lie with the account that is to be paid.
OF_DESTINATION = frozenset(
    {
        FailureReason.DESTINATION_MISSING,
        FailureReason.DESTINATION_REFUSES,
        FailureReason.DESTINATION_FULL,
        FailureReason.MEMO_REQUIRED,
    }
)


def _of_fee(reason: FailureReason) -> FailureReason:
    return FailureReason.FEE_REFUSED if reason in OF_DESTINATION else reason


def filling(kind: OperationKind) -> int:
    """Return how many new payments of a kind go to one payer before the next gets any."""
    return _FILLS.get(kind, 1)


def spread(
    payments: Iterable[OperationId], payers: Sequence[WalletId], *, each: int
) -> list[tuple[OperationId, WalletId]]:
    """Give payments to payers in turn, so many at a time; none without a payer."""
    if not payers:
        return []
    return [
        (payment, payers[place // each % len(payers)]) for place, payment in enumerate(payments)
    ]

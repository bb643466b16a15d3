"""Payouts of farmers and payments of poolers: what is asked for, what is paid, and why not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, unique

from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId
from libs.kale.constants import MAX_I64
from services.wallet.domain.fees_due import Fees, payable
from services.wallet.domain.model import FailureReason, Operation


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why something was refused before anything was recorded of it."""

    #: For machines.
    reason: str
    #: For people.
    message: str


@unique
class Hindrance(Enum):
    """What keeps an account from being paid from, whatever it holds."""

    WALLET_NOT_FOUND = "the farmer has no wallet"
    TAMPERED = "the wallet's row was not written by wallet"
    SIGNING_PAUSED = "signing is paused for the farmer or its pooler"
    POOLER_SUSPENDED = "the pooler is suspended"
    FARMER_SUSPENDED = "the farmer is suspended"
    FARMER_DEPARTED = "the farmer has gone"

    @property
    def refusal(self) -> Refusal:
        """Return it as it is told."""
        return Refusal(reason=self.name, message=self.value)


#: What an operator passes who asks for a farmer by name.
_BY_NAME = frozenset(
    {Hindrance.POOLER_SUSPENDED, Hindrance.FARMER_SUSPENDED, Hindrance.FARMER_DEPARTED}
)


@dataclass(frozen=True, kw_only=True)
class FarmerAccount:
    """A farmer's account that is to pay."""

    farmer_id: FarmerId
    pooler_id: PoolerId
    wallet_id: WalletId
    #: strkey G...
    address: str
    #: Where it seems to pay out to now; what counts is judged when it is recorded.
    outside: str
    #: What keeps it from paying; None: nothing.
    hindrance: Hindrance | None


@dataclass(frozen=True, kw_only=True)
class PoolerAccount:
    """A pooler's custodial account."""

    pooler_id: PoolerId
    wallet_id: WalletId
    #: strkey G...
    address: str
    #: Account and trustline exist on the chain, as last read.
    is_ready: bool
    #: What keeps it from paying the pooler; None: nothing.
    hindrance: Hindrance | None

    @property
    def is_genuine(self) -> bool:
        """Tell whether wallet itself made it."""
        return self.hindrance is not Hindrance.TAMPERED

    @property
    def held(self) -> Refusal | None:
        """Return why it pays nobody, not even miners, whose money it is; None: it does."""
        if self.hindrance in {Hindrance.TAMPERED, Hindrance.SIGNING_PAUSED}:
            return self.hindrance.refusal
        return None


@dataclass(frozen=True, kw_only=True)
class FeeAccounts:
    """Where fees of a farmer can go now."""

    #: The pooler's custodial account (strkey G...); empty: it can take none.
    pooler: str = ""
    #: The operator's address (strkey G...); empty: there is none, or it can take none.
    operator: str = ""
    #: Stroops that each of them can take.
    pooler_room: int = MAX_I64
    operator_room: int = MAX_I64

    def less(self, taken: Mapping[str, int]) -> "FeeAccounts":
        """Return them without the room that other payouts take up, by account."""
        return replace(
            self,
            pooler_room=max(0, self.pooler_room - taken.get(self.pooler, 0)),
            operator_room=max(0, self.operator_room - taken.get(self.operator, 0)),
        )


@dataclass(frozen=True, kw_only=True)
class WantedPayout:
    """A farmer's payout that is asked for, and what is known about it by then."""

    #: UUIDv7 of its operation.
    id: OperationId
    #: The account that pays.
    account: FarmerAccount
    #: Stroops of the farmer's own part.
    amount: int
    #: Fees that are agreed of all rewards so far.
    accrued: Fees
    #: Stroops that the account has beyond what is bound, as the chain stands.
    free: int
    #: Where its fees can go.
    fee_accounts: FeeAccounts


@dataclass(frozen=True, kw_only=True)
class Room:
    """Stroops that may still leave within the limits of a day."""

    #: From the farmer's account, and from all together.
    farmer: int
    pool: int

    @property
    def least(self) -> int:
        """Return what may leave."""
        return max(0, min(self.farmer, self.pool))


def planned(wanted: WantedPayout, due: Fees, room: Room, *, owed: int) -> Fees | Refusal:
    """Return the fees that are paid with a payout, or why there is none.

    Fees never keep the farmer from its own part: those that do not fit besides it wait. Its own is
    what the account has beyond `owed`, the stroops of fees that have not left.
    """
    own = max(0, wanted.free - owed)
    if wanted.amount > own:
        return _refused(
            FailureReason.INSUFFICIENT_BALANCE.name,
            f"the account has {own} stroops of its own that can leave",
        )
    if wanted.amount > room.least:
        return _refused(
            "WITHDRAWAL_LIMIT", f"{room.least} stroops may leave within the 24 hours that end now"
        )
    fees = payable(
        due,
        free=min(wanted.free, room.least) - wanted.amount,
        to_pooler=wanted.fee_accounts.pooler_room if wanted.fee_accounts.pooler else 0,
        to_operator=wanted.fee_accounts.operator_room if wanted.fee_accounts.operator else 0,
    )
    if wanted.amount + fees.all == 0:
        return _refused("NOTHING_DUE", "there is no fee that can be paid now, and no amount")
    return fees


def _refused(reason: str, message: str) -> Refusal:
    return Refusal(reason=reason, message=message)


@dataclass(frozen=True, kw_only=True)
class Payout:
    """One payout as recorded."""

    request_id: str
    #: Stroops of the farmer's own part.
    amount: int
    #: Where that goes (strkey G...); empty without an amount.
    destination: str
    fees: Fees
    #: Where fees go (strkey G...); empty where none go.
    pooler_account: str
    operator_account: str
    requested_at: datetime
    #: The operation that makes all of it.
    operation: Operation


@dataclass(frozen=True, kw_only=True)
class WantedPayment:
    """A payment from a pooler's custodial account that is asked for."""

    #: UUIDv7 of its operation.
    id: OperationId
    #: Where to (strkey G...).
    destination: str
    #: Stroops.
    amount: int
    #: Whether it is a miner's; else it is the pooler's own.
    is_miner: bool


@dataclass(frozen=True, kw_only=True)
class PoolPayment:
    """One payment from a pooler's custodial account as recorded."""

    request_id: str
    is_miner: bool
    amount: int
    #: strkey G...
    destination: str
    requested_at: datetime
    #: The operation that makes it.
    operation: Operation


def affordable(
    wanted: Iterable[WantedPayment], *, left: Fees
) -> Iterator[tuple[WantedPayment, Refusal | None]]:
    """Yield payments in their order, each with why it cannot be made of what is left, if so.

    The miners' part pays miners, and the rest the pooler: neither is ever paid of the other's.
    """
    rest = {True: left.miners, False: left.pooler}
    for item in wanted:
        if item.amount > rest[item.is_miner]:
            yield item, _refused("MORE_THAN_DUE", f"{rest[item.is_miner]} stroops are left for it")
            continue
        rest[item.is_miner] -= item.amount
        yield item, None


def part_of(payment: WantedPayment) -> Fees:
    """Return a payment from a pooler's account as a part of fees."""
    if payment.is_miner:
        return Fees(miners=payment.amount)
    return Fees(pooler=payment.amount)


def first_refusals(
    accounts: Mapping[FarmerId, FarmerAccount],
    wanted: Sequence[FarmerId],
    *,
    by_name: bool = False,
) -> dict[FarmerId, Refusal]:
    """Return why some farmers cannot be paid from, whatever their accounts hold.

    Those that an operator asked for by name are, whatever their standing is.
    """
    found: dict[FarmerId, Refusal] = {}
    for farmer_id in wanted:
        account = accounts.get(farmer_id)
        hindrance = Hindrance.WALLET_NOT_FOUND if account is None else account.hindrance
        if hindrance is not None and not (by_name and hindrance in _BY_NAME):
            found[farmer_id] = hindrance.refusal
    return found

"""Withdrawals: the limits, the destinations, and the refusals before anything is signed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique

from libs.common.ids import OperationId, WalletId
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import FailureReason, Operation


@unique
class Asset(Enum):
    """Assets that can be withdrawn."""

    KALE = "kale"
    XLM = "xlm"


@dataclass(frozen=True, kw_only=True)
class DailyLimit:
    """Stroops of one asset that may leave within 24 hours."""

    #: From one farmer's account.
    farmer: int
    #: From all farmers' accounts together.
    pool: int


@dataclass(frozen=True, kw_only=True)
class CountLimits:
    """Numbers of withdrawals."""

    #: Withdrawals of a farmer that are not settled.
    open: int = 20
    #: Withdrawals of a farmer, and of all of a pooler, that ledgers refused within 24 hours. Each
    #: has cost a fee, and the time of others.
    failures: int = 5
    failures_of_pooler: int = 50


@dataclass(frozen=True, kw_only=True)
class WithdrawalTerms:
    """The operator's terms for withdrawals."""

    #: Seconds until a changed address counts.
    cooling: float
    #: Daily limits by asset.
    limits: Mapping[Asset, DailyLimit]
    #: Limits of their number.
    counts: CountLimits
    #: Addresses that a farmer may have registered within a day, or the cooling time.
    changes: int


@dataclass(frozen=True, kw_only=True)
class PayoutAddresses:
    """The outside addresses of a farmer."""

    #: Where withdrawals go now (strkey G...); empty: nowhere.
    address: str
    #: The address after the pending change; None when no change is waiting.
    pending: str | None
    #: When the pending change takes effect.
    pending_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class AddressPast:
    """The outside addresses of a farmer, and what they were before."""

    #: Those that count and are to come.
    now: PayoutAddresses
    #: Number of the newest one; 0: there is none.
    number: int
    #: The newest one; empty: none.
    newest: str
    #: There was an address before: another one takes its place.
    has_had_one: bool


@dataclass(frozen=True, kw_only=True)
class NewWithdrawal:
    """A farmer's request for a withdrawal."""

    #: UUIDv7, the operation's and the withdrawal's.
    id: OperationId
    #: Id that makes a repeated request return the same withdrawal.
    request_id: str
    #: The farmer's wallet.
    wallet_id: WalletId
    #: What to send.
    asset: Asset
    #: How much, in stroops.
    amount: int
    #: Who asked for it, for the audit log.
    actor: str
    #: The address (strkey G...) that the caller expects; empty: any that counts.
    destination: str = ""


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """One withdrawal as recorded."""

    #: Id that made the request idempotent.
    request_id: str
    #: What is sent.
    asset: Asset
    #: How much, in stroops.
    amount: int
    #: The destination (strkey G...).
    destination: str
    #: The operation that carries it.
    operation: Operation


@dataclass(frozen=True, kw_only=True)
class Destination:
    """The account that a withdrawal is to go to, as it is on the chain."""

    #: Account and trustline.
    account: AccountState
    #: It wants a memo with every payment (SEP-29).
    wants_memo: bool


def refusal(
    asset: Asset, amount: int, payer: AccountState, destination: Destination
) -> FailureReason | None:
    """Return the first reason why a payment would fail as things stand on the chain.

    Returns None when the payment can be tried. What offers and reserves bind cannot leave, and
    what a line cannot take cannot arrive.
    """
    is_kale, account = asset is Asset.KALE, destination.account
    obstacles = {
        FailureReason.NOT_FUNDED: not payer.exists,
        FailureReason.ACCOUNT_LOCKED: not payer.obeys,
        FailureReason.LINE_FROZEN: is_kale and payer.is_frozen,
        FailureReason.NO_TRUSTLINE: is_kale and not payer.has_trustline,
        FailureReason.INSUFFICIENT_BALANCE: free(asset, payer) < amount,
        FailureReason.DESTINATION_MISSING: not account.exists,
        FailureReason.MEMO_REQUIRED: destination.wants_memo,
        FailureReason.DESTINATION_REFUSES: is_kale and not account.has_trustline,
        FailureReason.DESTINATION_FULL: room(asset, account) < amount,
    }
    return next((reason for reason, is_there in obstacles.items() if is_there), None)


def free(asset: Asset, account: AccountState) -> int:
    """Return the stroops of an asset that can leave an account."""
    return account.kale_free if asset is Asset.KALE else account.xlm_free


def room(asset: Asset, account: AccountState) -> int:
    """Return the stroops of an asset that an account can take."""
    return account.kale_room if asset is Asset.KALE else account.xlm_room

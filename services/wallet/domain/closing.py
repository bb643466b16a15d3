"""Which accounts of farmers and poolers that leave can be closed, and how."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.wallet.domain.chain_facts import BASE_RESERVE, AccountState, PailState
from services.wallet.domain.errors import (
    AccountHoldsError,
    AccountNotEmptyError,
    PayoutAddressMissingError,
    XlmUnpayableError,
)
from services.wallet.domain.model import FailureReason
from services.wallet.domain.withdrawals import Asset, Destination, refusal

#: Why an account is not closed as it is, as it is told to who asks.
Obstacle = AccountNotEmptyError | AccountHoldsError | PayoutAddressMissingError | XlmUnpayableError
#: Reserves of an account itself.
_OF_ACCOUNT = 2
#: AccountFlags.AUTH_IMMUTABLE_FLAG: such an account cannot be merged.
_IMMUTABLE = 4
#: A sequence number has the ledger that made its account in its upper half.
_LEDGER_BITS = 32


@dataclass(frozen=True, kw_only=True)
class ClosingAccount:
    """An account with all that stands in the way of its merger."""

    #: Account and KALE trustline, as elsewhere.
    state: AccountState
    #: Whether it has a KALE trustline, authorised or not, and the stroops on it.
    has_line: bool = False
    line_balance: int = 0
    #: Trustlines, offers, data entries and signers, all together.
    sub_entries: int = 0
    #: Keys of its further signers.
    signers: tuple[str, ...] = ()
    #: Reserves that others pay for it, and that it pays for others.
    sponsored: int = 0
    sponsoring: int = 0
    #: AccountFlags.
    flags: int = 0
    #: Names of data entries that were asked for and are there: nobody lists all of an account's.
    data_names: tuple[str, ...] = ()

    @property
    def is_sponsored(self) -> bool:
        """Tell whether the account itself is: its trustline is one reserve."""
        return self.sponsored >= _OF_ACCOUNT

    @property
    def reserves_back(self) -> int:
        """Return the stroops of the sponsor's XLM that are free once it is closed."""
        return self.sponsored * BASE_RESERVE


@dataclass(frozen=True, kw_only=True)
class Closing:
    """How an account is closed."""

    #: It has a KALE trustline, which is empty.
    has_line: bool
    #: Stroops of XLM that are its own.
    xlm: int
    #: Where these go, and the account too, unless the pool sponsors it (strkey G...); may be empty
    #: where neither is needed.
    pays_to: str
    #: The treasury takes the account; else `pays_to` does.
    is_sponsored: bool


def closing_of(
    account: ClosingAccount, destination: Destination | None, *, ledger: int
) -> Closing | Obstacle:
    """Return how an account is closed, or why it is not, as read at a ledger.

    `destination` is its payout address that counts; None: there is none. Nothing is merged that
    the merger would move, or that somebody else may have a right in.
    """
    if account.line_balance:
        return AccountNotEmptyError(
            f"the account has {account.line_balance} stroops of KALE",
            metadata={"kale_stroops": str(account.line_balance)},
        )
    held = list(_held(account, ledger))
    if held:
        return AccountHoldsError(
            f"the account cannot be closed: {'; '.join(held)}",
            metadata={"address": account.state.address, "holds": "; ".join(held)},
        )
    if account.is_sponsored and not account.state.xlm:
        return Closing(has_line=account.has_line, xlm=0, pays_to="", is_sponsored=True)
    if destination is None:
        return PayoutAddressMissingError(
            f"the account has {account.state.xlm} stroops of XLM of its own, and no payout address"
        )
    why = _unpayable(account, destination)
    if why is not None:
        return XlmUnpayableError(
            f"{account.state.xlm} stroops of XLM cannot be paid to {destination.account.address}: "
            f"{why.value}",
            metadata={"xlm_stroops": str(account.state.xlm), "refusal": why.value},
        )
    return Closing(
        has_line=account.has_line,
        xlm=account.state.xlm,
        pays_to=destination.account.address,
        is_sponsored=account.is_sponsored,
    )


def reason_of(obstacle: Obstacle) -> FailureReason:
    """Return the reason that an operation ends with which met an obstacle after it was recorded."""
    if isinstance(obstacle, AccountNotEmptyError):
        return FailureReason.ACCOUNT_NOT_EMPTY
    return FailureReason.ACCOUNT_HOLDS


def workable_from(*, index: int, timestamp: int, now: int, interval: int) -> int:
    """Return the first block that somebody may still work, by the running one and the time.

    A block takes works until somebody plants in the next one. Where nobody does for as long again
    as a block lasts, nobody is waited for who would still work it.
    """
    return index if now < timestamp + 2 * interval else index + 1


def unharvested(pails: dict[int, PailState], current: int) -> AccountNotEmptyError | None:
    """Return why the pails (by block) of an account keep it open; None when they do not.

    One in a block from `current` on may still be worked, and one that was worked can be harvested.
    What was not worked in its block is lost.
    """
    for block, pail in sorted(pails.items()):
        if block >= current or pail.zeros is not None:
            return AccountNotEmptyError(
                f"the pail in block {block} is not harvested yet", metadata={"block": str(block)}
            )
    return None


def _held(account: ClosingAccount, ledger: int) -> Iterator[str]:
    """Yield in words what keeps an account from being merged, other than KALE."""
    state = account.state
    others = account.sub_entries - len(account.signers) - account.has_line
    known = account.data_names[:others]
    yield from (f"data entry {name}" for name in known)
    if others > len(known):
        yield f"{others - len(known)} other trustlines, offers or data entries"
    yield from (f"signer {key}" for key in account.signers)
    if account.sponsoring:
        yield f"{account.sponsoring} reserves that it pays for others"
    if account.flags & _IMMUTABLE:
        yield "the flag AUTH_IMMUTABLE"
    if not state.obeys_fully:
        yield "the pool's key alone may not merge it"
    if state.sequence >= ledger << _LEDGER_BITS:
        yield f"its sequence number {state.sequence} is too far for a merger"


def _unpayable(account: ClosingAccount, destination: Destination) -> FailureReason | None:
    state = account.state
    if destination.account.address == state.address:
        return FailureReason.DESTINATION_REFUSES
    # All of it can leave: the reserves are gone with the account.
    whole = AccountState(address=state.address, exists=True, xlm=state.xlm, reserves=-_OF_ACCOUNT)
    return refusal(Asset.XLM, state.xlm, whole, destination)

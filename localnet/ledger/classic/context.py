"""The context of a classic operation, and the way in which an operation is refused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NoReturn

from stellar_sdk import xdr

from localnet.ledger.accounts import MAX_SUB_ENTRIES, Account, adjust, load_account
from localnet.ledger.results import OpCode, OperationOutcome, op_error, op_result
from localnet.ledger.signatures import Threshold
from localnet.ledger.state import Changes
from localnet.network import BASE_RESERVE, Network


class OperationRefusedError(Exception):
    """An error: the operation cannot be done; the error carries the operation's result."""

    def __init__(self, outcome: OperationOutcome) -> None:
        super().__init__(outcome.packed.hex())
        self.outcome = outcome


@dataclass(kw_only=True)
class Context:
    """One operation within one transaction."""

    #: The network, for the ids in events.
    network: Network
    #: The entries; the operation writes its changes here.
    state: Changes
    #: Raw key of the operation's source account, which exists.
    source: bytes
    #: Sequence of the ledger that applies the operation.
    sequence: int
    #: Close time of that ledger in seconds since 1970.
    close_time: int
    #: Sponsored account -> its sponsor, while BeginSponsoringFutureReserves is open.
    sponsorships: dict[bytes, bytes]
    #: The asset events that the operation emits (ContractEvent in XDR).
    events: list[bytes] = field(default_factory=list)

    @property
    def account(self) -> Account:
        """The source account of the operation."""
        account = load_account(self.state, self.source)
        if account is None:
            raise OperationRefusedError(op_error(OpCode.opNO_ACCOUNT))
        return account


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The functions that judge and do one kind of operation."""

    #: Returns the threshold of the source account that the signatures must reach.
    threshold: Callable[[xdr.OperationBody], Threshold]
    #: Returns the fault of the body, independent of the state: a result, or None.
    check: Callable[[xdr.OperationBody, bytes], OperationOutcome | None]
    #: Does the operation; raises OperationRefusedError.
    apply: Callable[[Context, xdr.OperationBody], OperationOutcome]


def low(_: xdr.OperationBody) -> Threshold:
    """Return the low threshold."""
    return Threshold.LOW


def medium(_: xdr.OperationBody) -> Threshold:
    """Return the medium threshold."""
    return Threshold.MEDIUM


def high(_: xdr.OperationBody) -> Threshold:
    """Return the high threshold."""
    return Threshold.HIGH


def unchecked(_body: xdr.OperationBody, _source: bytes) -> OperationOutcome | None:
    """Return None, for bodies that cannot be wrong by themselves."""
    return None


def refuse(kind: xdr.OperationType, code: IntEnum) -> NoReturn:
    """End the operation with its own failure code."""
    raise OperationRefusedError(op_result(kind, code))


def claim_reserve(ctx: Context, owner: bytes, too_low: OperationOutcome) -> bytes | None:
    """Claim the reserve for one new entry of `owner`, from its open sponsor or from itself.

    Returns the sponsor's raw key or None. `too_low` is the result when the payer cannot afford the
    reserve.
    """
    account = load_account(ctx.state, owner)
    if account is None:
        raise OperationRefusedError(op_error(OpCode.opNO_ACCOUNT))
    if account.sub_entries >= MAX_SUB_ENTRIES:
        raise OperationRefusedError(op_error(OpCode.opTOO_MANY_SUBENTRIES))
    sponsor = ctx.sponsorships.get(owner)
    if sponsor is None:
        if account.available < BASE_RESERVE:
            raise OperationRefusedError(too_low)
        adjust(ctx.state, owner, sub_entries=1)
        return None
    sponsor_pays(ctx, sponsor, 1, too_low)
    adjust(ctx.state, owner, sub_entries=1, num_sponsored=1)
    return sponsor


def sponsor_pays(ctx: Context, sponsor: bytes, count: int, too_low: OperationOutcome) -> None:
    """Charge `count` reserves to the sponsor."""
    payer = load_account(ctx.state, sponsor)
    if payer is None or payer.available < count * BASE_RESERVE:
        raise OperationRefusedError(too_low)
    adjust(ctx.state, sponsor, num_sponsoring=count)


def release_reserve(ctx: Context, owner: bytes, sponsor: bytes | None) -> None:
    """Give back the reserve of a removed entry of `owner`."""
    if sponsor is None:
        adjust(ctx.state, owner, sub_entries=-1)
        return
    adjust(ctx.state, owner, sub_entries=-1, num_sponsored=-1)
    adjust(ctx.state, sponsor, num_sponsoring=-1)

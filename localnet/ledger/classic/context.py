"""What a classic operation works with, and how it refuses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NoReturn

from stellar_sdk import xdr

from localnet.ledger.accounts import BASE_RESERVE, MAX_SUB_ENTRIES, Account, adjust, load_account
from localnet.ledger.results import OpCode, OperationOutcome, op_error, op_result
from localnet.ledger.signatures import Threshold
from localnet.ledger.state import Changes
from localnet.network import Network


class OperationRefusedError(Exception):
    """The operation cannot be done; carries its result."""

    def __init__(self, outcome: OperationOutcome) -> None:
        super().__init__(outcome.packed.hex())
        self.outcome = outcome


@dataclass(kw_only=True)
class Context:
    """One operation within one transaction."""

    #: The network, for the ids in events.
    network: Network
    #: Entries; the operation's changes go here.
    state: Changes
    #: Raw key of the operation's source account, which exists.
    source: bytes
    #: Sequence of the ledger that applies it.
    sequence: int
    #: Its close time in seconds since 1970.
    close_time: int
    #: Sponsored account -> its sponsor, while BeginSponsoringFutureReserves is open.
    sponsorships: dict[bytes, bytes]
    #: The asset events that the operation emits (ContractEvent in XDR).
    events: list[bytes] = field(default_factory=list)

    @property
    def account(self) -> Account:
        """The source account."""
        account = load_account(self.state, self.source)
        if account is None:
            raise OperationRefusedError(op_error(OpCode.opNO_ACCOUNT))
        return account


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How one kind of operation is judged and done."""

    #: Threshold of the source account that its signatures must reach.
    threshold: Callable[[xdr.OperationBody], Threshold]
    #: What is wrong with the body whatever the state: a result, or None.
    check: Callable[[xdr.OperationBody, bytes], OperationOutcome | None]
    #: Does it; raises OperationRefusedError.
    apply: Callable[[Context, xdr.OperationBody], OperationOutcome]


def low(_: xdr.OperationBody) -> Threshold:
    """Low threshold."""
    return Threshold.LOW


def medium(_: xdr.OperationBody) -> Threshold:
    """Medium threshold."""
    return Threshold.MEDIUM


def high(_: xdr.OperationBody) -> Threshold:
    """High threshold."""
    return Threshold.HIGH


def unchecked(_body: xdr.OperationBody, _source: bytes) -> OperationOutcome | None:
    """For bodies that cannot be wrong by themselves."""
    return None


def refuse(kind: xdr.OperationType, code: IntEnum) -> NoReturn:
    """End the operation with its own failure code."""
    raise OperationRefusedError(op_result(kind, code))


def claim_reserve(ctx: Context, owner: bytes, too_low: OperationOutcome) -> bytes | None:
    """Reserve for one new entry of `owner`: paid by its sponsor, if one is open, or by itself.

    Returns the sponsor's raw key or None. `too_low` is the result when the payer cannot afford it.
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
    """Count `count` reserves to the sponsor."""
    payer = load_account(ctx.state, sponsor)
    if payer is None or payer.available < count * BASE_RESERVE:
        raise OperationRefusedError(too_low)
    adjust(ctx.state, sponsor, num_sponsoring=count)


def release_reserve(ctx: Context, owner: bytes, sponsor: bytes | None) -> None:
    """Give back the reserve of an entry of `owner` that is removed."""
    if sponsor is None:
        adjust(ctx.state, owner, sub_entries=-1)
        return
    adjust(ctx.state, owner, sub_entries=-1, num_sponsored=-1)
    adjust(ctx.state, sponsor, num_sponsoring=-1)

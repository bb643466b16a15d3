"""What a run of payouts consists of, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.ids import FarmerId, PoolerId
from services.harvest.domain.bookkeeping import Movement
from services.harvest.domain.payouts import Cause, Due, PayeeKind


@dataclass(frozen=True, kw_only=True)
class Item:
    """A payment of a run that is open."""

    item_id: UUID
    #: With the run it names the request to wallet.
    chunk: int
    kind: PayeeKind
    payee_id: UUID
    pooler_id: PoolerId
    #: Of whoever is paid as a miner is: from the miners' part, to this address.
    address: str
    #: Stroops; 0: fees only.
    amount: int
    #: Whether wallet was asked for it before.
    was_asked: bool = False
    #: Whether its run is an operator's for a farmer by name; so are all of a run, or none.
    by_name: bool = False


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of an item."""

    item_id: UUID
    #: paid, failed, or refused.
    state: str
    #: Where it went; empty when that is not known.
    address: str = ""
    #: Stroops of fees that were moved on: the pooler's with its miners', and the operator's.
    pooler_fee: int = 0
    operator_fee: int = 0
    #: Why it failed, for machines and for people.
    reason: str = ""
    message: str = ""
    #: wallet's operation; None: there is none.
    operation_id: UUID | None = None
    #: Hash of the transaction (hex), or empty, and its ledger; 0 when none did it.
    transaction_hash: str = ""
    ledger: int = 0
    #: What is to be booked of it; None: nothing, or it was booked before.
    movement: Movement | None = None


@dataclass(frozen=True, kw_only=True)
class Payout(Settled):
    """An item as it is listed."""

    run_id: UUID
    kind: PayeeKind
    payee_id: UUID
    pooler_id: PoolerId
    cause: Cause
    #: Stroops.
    amount: int
    created_at: datetime
    #: None while it is open.
    settled_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as it stands."""

    run_id: UUID
    #: What made it idempotent.
    request_id: str
    started_by: str
    started_at: datetime
    #: None while an item is open.
    completed_at: datetime | None
    #: Items, those that were paid, and those of which nothing was.
    items: int
    paid: int
    failed: int
    #: Stroops that it was to pay, and has paid.
    total: int
    total_paid: int
    #: Stroops of fees that it has moved out of farmers' accounts.
    fees_moved: int


@dataclass(frozen=True, kw_only=True)
class Switching:
    """A turn of the switch."""

    is_off: bool
    switched_by: str
    switched_at: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class Whose:
    """Whom something is about; by default everybody."""

    farmer_id: FarmerId | None = None
    pooler_id: PoolerId | None = None


def name_of_run(request_id: str) -> str:
    """Return the name of the run that an operator's request makes."""
    return f"run:{request_id}"


def name_of_now(farmer_id: FarmerId, request_id: str) -> str:
    """Return the name of the run that pays one farmer now."""
    return f"now:{farmer_id}:{request_id}"


#: Items of one request to wallet.
_FARMERS, _MINERS = 1_000, 10_000


def chunks_of(due: Sequence[Due]) -> list[int]:
    """Return the number of each payout's request to wallet, from 0 on.

    Farmers go together, miners by their pooler, and each pooler by itself.
    """
    numbers = dict[tuple[object, ...], int]()
    counts = dict[object, int]()
    chunks = list[int]()
    for one in due:
        payee = one.payee
        group: tuple[object, ...] = (payee.kind,)
        size = _FARMERS
        if payee.kind is PayeeKind.MINER:
            group, size = (payee.kind, payee.pooler_id), _MINERS
        if payee.kind is PayeeKind.POOLER:
            group = (payee.kind, payee.pooler_id)
        count = counts[group] = counts.get(group, 0) + 1
        chunks.append(numbers.setdefault((*group, (count - 1) // size), len(numbers)))
    return chunks

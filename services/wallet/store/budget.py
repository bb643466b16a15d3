"""The books that fee budgets are compared with; all of it happens in a transaction that signs."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import OperationId, PoolerId
from services.wallet.domain.budget import Books, FeeTerms, Purse, shared_costs
from services.wallet.domain.model import TransactionId


async def open_purse(session: Session, terms: FeeTerms) -> Purse:
    """Return what may still be bid.

    Nobody else signs meanwhile, as the audit log is locked.
    """
    committed = await session.many("fees_committed")
    obligations = await session.many("fee_obligations")
    treasury = await session.one("treasury_stroops")
    books = Books(
        committed={pooler_of(row): row["stroops"] for row in committed},
        obligations={pooler_of(row): row["operations"] for row in obligations},
        treasury=0 if treasury is None else treasury["stroops"],
    )
    return Purse(terms, books)


@dataclass(frozen=True, kw_only=True)
class Charge:
    """The bid of one envelope, with the poolers whose operations it carries."""

    #: The bid in stroops.
    bid: int
    #: The pooler of each operation; None for the pool's own.
    poolers: tuple[PoolerId | None, ...]
    #: The poolers of the plants among the operations.
    plants: tuple[PoolerId | None, ...]


async def exceeded(
    session: Session, terms: FeeTerms, charges: Sequence[Charge]
) -> list[frozenset[PoolerId | None]]:
    """Return whose budgets each of these charges exceeds.

    A charge that exceeds nobody's may be signed. Works and harvests are served before plants.
    """
    if not terms.has_caps and not any(charge.plants for charge in charges):
        # Nothing limits works and harvests: the books need not be opened.
        return [frozenset()] * len(charges)
    purse = await open_purse(session, terms)
    found: list[frozenset[PoolerId | None]] = [frozenset()] * len(charges)
    for place, charge in sorted(enumerate(charges), key=lambda pair: bool(pair[1].plants)):
        costs = shared_costs(charge.bid, charge.poolers)
        found[place] = purse.exceeded(costs, plants=charge.plants)
    return found


async def may_raise(
    session: Session, terms: FeeTerms, transaction_id: TransactionId, *, bid: int
) -> bool:
    """Tell whether a transaction in flight may bid so much.

    A plant's reserve is kept back already.
    """
    rows = await session.many("carried_by", transaction_id)
    if not rows:
        return False
    poolers = tuple(pooler_of(row) for row in rows)
    charge = Charge(bid=bid - rows[0]["fee_bid"], poolers=poolers, plants=())
    return not any(await exceeded(session, terms, [charge]))


async def rent_committed(session: Session | Database) -> int:
    """Return the stroops of rent within 24 hours, transactions in flight included."""
    row = await session.one("rent_committed")
    return 0 if row is None else int(row["stroops"])


@dataclass(frozen=True, kw_only=True)
class FeesSpent:
    """Stroops within 24 hours: charged, to the full hour, or bid by what is in flight."""

    #: Of all transactions.
    all: int
    #: Of the pooler whose farmers cost most; 0 without one.
    largest_pooler: int


async def fees_spent(session: Session | Database) -> FeesSpent:
    """Return what fees came to, rent left out."""
    rows = await session.many("fees_committed")
    poolers = [row["stroops"] for row in rows if pooler_of(row) is not None]
    return FeesSpent(
        all=sum(row["stroops"] for row in rows), largest_pooler=max(poolers, default=0)
    )


async def book(session: Session, fees: Sequence[tuple[OperationId | None, int]]) -> None:
    """Add what was charged, for an operation or for the pool itself."""
    if fees:
        await session.execute("book_fees", [item for item, _ in fees], [fee for _, fee in fees])


def pooler_of(row: Record) -> PoolerId | None:
    """Return the pooler whose budget a row is about; None for the pool's own."""
    return None if row["pooler_id"] is None else PoolerId(row["pooler_id"])

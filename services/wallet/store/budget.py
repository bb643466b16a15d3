"""The books that fee budgets are held against; all of it within a transaction that signs."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from libs.common.db.pool import Session
from libs.common.ids import OperationId, PoolerId
from services.wallet.domain.budget import Books, FeeTerms, Purse, shared_costs
from services.wallet.domain.model import OperationKind, TransactionId

Owners = Mapping[OperationId, tuple[OperationKind, PoolerId | None]]


async def open_purse(session: Session, terms: FeeTerms) -> Purse:
    """What may still be bid; nobody else signs meanwhile, as the audit log is locked."""
    committed = await session.many("fees_committed")
    obligations = await session.many("fee_obligations")
    treasury = await session.one("treasury_stroops")
    books = Books(
        committed={_pooler(row["pooler_id"]): row["stroops"] for row in committed},
        obligations={_pooler(row["pooler_id"]): row["operations"] for row in obligations},
        treasury=0 if treasury is None else treasury["stroops"],
    )
    return Purse(terms, books)


async def owners(session: Session, ids: Sequence[OperationId]) -> Owners:
    """Kind and pooler of operations."""
    rows = await session.many("poolers_of", list(ids))
    return {
        OperationId(row["id"]): (OperationKind(row["kind"]), _pooler(row["pooler_id"]))
        for row in rows
    }


async def may_raise(
    session: Session, terms: FeeTerms, transaction_id: TransactionId, *, bid: int
) -> bool:
    """Whether a transaction in flight may bid so much; a plant's reserve is kept back already."""
    rows = await session.many("carried_by", transaction_id)
    if not rows:
        return False
    costs = shared_costs(bid - rows[0]["fee_bid"], [_pooler(row["pooler_id"]) for row in rows])
    return (await open_purse(session, terms)).pays(costs)


async def book(session: Session, fees: Sequence[tuple[OperationId | None, int]]) -> None:
    """Adds what was charged, for an operation or for the pool itself."""
    if fees:
        await session.execute("book_fees", [item for item, _ in fees], [fee for _, fee in fees])


def _pooler(value: UUID | None) -> PoolerId | None:
    return None if value is None else PoolerId(value)

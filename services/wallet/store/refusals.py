"""Refusals: operations that ended for a reason that somebody has to change.

They are the answer to whoever asks for the same again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from libs.common.db.pool import Record, Session
from libs.common.ids import OperationId, WalletId
from services.wallet.domain.budget import FeeTerms
from services.wallet.domain.model import (
    FailureReason,
    NewOperation,
    OperationKind,
    Settlement,
)
from services.wallet.domain.refusals import LASTING, Circumstances, Refusal, standing
from services.wallet.store.budget import open_purse, pooler_of

#: What identifies an operation of a kind and block: the wallet, and the nonce of a work.
Wish = tuple[WalletId, int | None]


@dataclass(frozen=True, kw_only=True)
class Now:
    """The present terms that refusals are compared with."""

    #: The state of the network and the farm.
    circumstances: Circumstances
    #: The fee budgets.
    fees: FeeTerms


def nonces(operations: Sequence[NewOperation]) -> list[str | None]:
    """Return the operations' nonces in digits: as numbers they take much longer to encode."""
    return [None if item.nonce is None else str(item.nonce) for item in operations]


async def note_refusals(
    session: Session, changed: Sequence[Record], settlements: Sequence[Settlement]
) -> None:
    """Keep the refusals that no repetition cures among what was settled now (`changed`)."""
    lasting = {reason.value for reason in LASTING}
    ended = {row["id"] for row in changed if row["reason"] in lasting}
    refused = [item for item in settlements if item.operation_id in ended]
    if refused:
        await session.execute(
            "insert_refusals",
            [item.operation_id for item in refused],
            [item.asked for item in refused],
        )


async def find_standing(
    session: Session,
    kind: OperationKind,
    block_index: int,
    operations: Sequence[NewOperation],
    now: Now,
) -> dict[Wish, OperationId]:
    """Return the refused operations that stand for these wishes.

    Lift the refusals whose reason is gone.
    """
    rows = await session.many(
        "refusals_of",
        kind.value,
        block_index,
        [item.wallet_id for item in operations],
        nonces(operations),
    )
    if not rows:
        return {}
    refusals = {OperationId(row["id"]): _refusal(row) for row in rows}
    has_room = await _room(session, kind, refusals.values(), now)
    kept = standing(refusals.values(), now.circumstances, has_room=has_room)
    left = {refusal.operation_id for refusal in kept}
    lifted = sorted(refusals.keys() - left)
    if lifted:
        await session.execute("lift_refusals", lifted)
    return {_wish(row): OperationId(row["id"]) for row in rows if row["id"] in left}


async def _room(
    session: Session, kind: OperationKind, refusals: Iterable[Refusal], now: Now
) -> Callable[[Refusal], bool]:
    """Return a function that tells, refusal by refusal, whether the fee budgets have room for it.

    The function keeps count, so that no more refusals are asked again than fit. It promises
    nothing: the budgets are enforced where an envelope is signed.
    """
    if not any(refusal.reason is FailureReason.FEE_BUDGET for refusal in refusals):
        return lambda _: True
    purse = await open_purse(session, now.fees)

    def has_room(refusal: Refusal) -> bool:
        cost = now.fees.reserve if refusal.bid is None else refusal.bid
        who = refusal.pooler_id
        plants = [who] if kind is OperationKind.PLANT else []
        return not purse.exceeded({who: cost}, plants=plants)

    return has_room


def _wish(row: Record) -> Wish:
    nonce = None if row["nonce"] is None else int(row["nonce"])
    return WalletId(row["wallet_id"]), nonce


def _refusal(row: Record) -> Refusal:
    return Refusal(
        operation_id=OperationId(row["id"]),
        pooler_id=pooler_of(row),
        reason=FailureReason.read(row["reason"]),
        bid=row["bid"],
        age=row["age"],
    )

"""Choice of the block that a plant goes to, and whether an operation's block allows it now."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import assert_never

from services.wallet.domain.errors import BlockNotClosedError, WrongBlockError
from services.wallet.domain.model import ChainHead, FailureReason, OperationKind


@unique
class Readiness(Enum):
    """Readiness of an operation: whether it can be tried now."""

    GO = "go"
    WAIT = "wait"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Decision about a queued operation."""

    #: Try, wait for the next ledger, or give up.
    readiness: Readiness
    #: Why it is given up.
    reason: FailureReason | None = None
    #: The same in words.
    message: str = ""


GO = Verdict(readiness=Readiness.GO)
WAIT = Verdict(readiness=Readiness.WAIT)
#: Verdict on an operation that has waited for the farm's rent until its block was over.
RENT_DUE = Verdict(
    readiness=Readiness.FAIL,
    reason=FailureReason.RENT_DUE,
    message="the farm's rent was due until the block was over; the pool's operator has to allow it",
)


def plantable_block(*, index: int, has_block: bool, timestamp: int, now: int, interval: int) -> int:
    """Return the block that a plant at close time `now` goes to.

    The rule is KALE_CONTRACT section 6, plant step 6. `timestamp` is FarmBlock's, all times in unix
    seconds.
    """
    if now >= timestamp + interval:
        return index + 1
    if has_block or index == 0:
        return index
    return index + 1


def plant_bound(*, ahead: bool, timestamp: int, now: int, interval: int) -> int:
    """Return the latest close time (unix s) at which a plant surely goes to its block.

    The block of the plant is the plantable one. Before the interval is over, the last second of the
    interval is the bound. Afterwards the next block opens at `now` or later, so it cannot be over
    before a whole interval has passed. With `ahead`, the block of the plant is the one that cannot
    be opened before the interval is over. An envelope with this bound never plants in another
    block, whatever its simulation saw.
    """
    end = timestamp + interval
    if now < end:
        return (end + interval if ahead else end) - 1
    return now + interval - 1


def readiness(
    kind: OperationKind, block_index: int, head: ChainHead, *, plantable_soon: int = 0
) -> Verdict:
    """Judge whether an operation's block allows it at this head.

    `plantable_soon` is the block that the next ledger may plant: a plant for it may be sent.
    """
    current = -1 if head.current_block is None else head.current_block
    match kind:
        case OperationKind.PLANT:
            return _plant_readiness(block_index, head, max(plantable_soon, head.plantable_block))
        case OperationKind.WORK:
            return _work_readiness(block_index, current)
        case OperationKind.HARVEST:
            return GO if block_index < current else WAIT
        case (
            OperationKind.DATA_ENTRY
            | OperationKind.CLOSE_ACCOUNT
            | OperationKind.ONBOARD
            | OperationKind.OPEN_CHANNEL
            | OperationKind.OPEN_PAYER
            | OperationKind.TOP_UP
            | OperationKind.WITHDRAW
            | OperationKind.PAYOUT
            | OperationKind.POOL_PAYMENT
        ):
            return GO
    assert_never(kind)


def _plant_readiness(block_index: int, head: ChainHead, soon: int) -> Verdict:
    if block_index < head.plantable_block:
        return _closed(block_index, head.plantable_block)
    if head.paused:
        return Verdict(
            readiness=Readiness.FAIL,
            reason=FailureReason.FARM_PAUSED,
            message="the farm's admin has paused planting",
        )
    return GO if block_index <= soon else WAIT


def _work_readiness(block_index: int, current: int) -> Verdict:
    if block_index < current:
        return _closed(block_index, current)
    return GO if block_index == current else WAIT


def _closed(block_index: int, now: int) -> Verdict:
    return Verdict(
        readiness=Readiness.FAIL,
        reason=FailureReason.BLOCK_CLOSED,
        message=f"block {block_index} is over, the chain is at block {now}",
    )


def check_acceptable(kind: OperationKind, block_index: int, head: ChainHead) -> None:
    """Check that a new batch makes sense for a block.

    Raises WrongBlockError or BlockNotClosedError when it does not. A plant for the block after the
    current one is accepted before that block can be opened: the plant waits.
    """
    current = -1 if head.current_block is None else head.current_block
    shown = "no block" if head.current_block is None else f"block {current}"
    metadata = {
        "current_block": "" if head.current_block is None else str(current),
        "plantable_block": str(head.plantable_block),
    }
    match kind:
        case OperationKind.PLANT:
            first, last = head.plantable_block, max(current + 1, head.plantable_block)
            if not first <= block_index <= last:
                raise WrongBlockError(
                    f"block {block_index} cannot be planted, block {first} can", metadata=metadata
                )
        case OperationKind.WORK:
            if block_index != current:
                raise WrongBlockError(
                    f"block {block_index} is not the current one, {shown} is",
                    metadata=metadata,
                )
        case OperationKind.HARVEST:
            if block_index >= current:
                raise BlockNotClosedError(
                    f"block {block_index} is not closed, the chain is at {shown}",
                    metadata=metadata,
                )
        case (
            OperationKind.DATA_ENTRY
            | OperationKind.CLOSE_ACCOUNT
            | OperationKind.ONBOARD
            | OperationKind.OPEN_CHANNEL
            | OperationKind.OPEN_PAYER
            | OperationKind.TOP_UP
            | OperationKind.WITHDRAW
            | OperationKind.PAYOUT
            | OperationKind.POOL_PAYMENT
        ):
            raise ValueError(f"{kind.value}: no batch asks for this")
        case _:
            assert_never(kind)

"""The data entry of the treasury's account that holds the newest root of the pool's claims."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.kale.statements.roots import read_entry
from services.wallet.domain.model import (
    FailureReason,
    Operation,
    OperationEvent,
    QueuedOperation,
    Settlement,
)
from services.wallet.domain.settling import given_up


@dataclass(frozen=True, kw_only=True)
class DataEntry:
    """A root that is to stand, stands, or stood in the data entry."""

    #: The day, as days since 1970.
    day: int
    #: Record of the day's root, 32 bytes.
    root: bytes
    #: The operation that writes it.
    operation: Operation


@dataclass(frozen=True, kw_only=True)
class Publishing:
    """What is to be done with the roots that wait, by what stands in the data entry."""

    #: The one to write; None when nothing is to be written.
    newest: QueuedOperation | None
    #: The others, and the newest when the chain has it, or a later one, already.
    settled: Sequence[Settlement]


def publishing(waiting: Sequence[QueuedOperation], value: bytes | None, ledger: int) -> Publishing:
    """Decide what becomes of roots that wait, where the entry had this value at a ledger.

    The newest alone is written, and the entry never goes back to an earlier day: after a database
    was restored the chain may be ahead. A value that is no root of ours is replaced.
    """
    there = _read(value)
    *older, newest = sorted(waiting, key=lambda operation: operation.block_index)
    settled = [_superseded(operation) for operation in older]
    if there == (newest.block_index, newest.hash):
        done = Settlement(operation_id=newest.id, event=OperationEvent.SUCCEED, ledger=ledger)
        return Publishing(newest=None, settled=[*settled, done])
    if there is not None and there[0] > newest.block_index:
        return Publishing(newest=None, settled=[*settled, _superseded(newest)])
    return Publishing(newest=newest, settled=settled)


def _read(value: bytes | None) -> tuple[int, bytes] | None:
    try:
        return None if value is None else read_entry(value)
    except ValueError:
        return None


def _superseded(operation: QueuedOperation) -> Settlement:
    return given_up(operation, FailureReason.EXPIRED, "a later day's root takes its place")

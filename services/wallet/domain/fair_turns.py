"""Turns of poolers in transactions that carry operations of several farmers.

A transaction happens as a whole or not at all. So a pooler of which ledgers have refused operations
lately keeps to itself: its operations share no transaction with those of others, and it has one
turn, then all others have theirs. Within a turn the oldest operation of each pooler goes before
the second oldest of any.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from libs.common.ids import OperationId, PoolerId
from services.wallet.domain.model import QueuedOperation
from services.wallet.domain.settling import apart, goes_alone


@dataclass(kw_only=True)
class Turns:
    """The memory of who had a turn when, of one account that carries operations."""

    #: Turns so far.
    _count: int = 0
    #: The last turn of those who share transactions (None), and of each pooler that does not.
    _last: dict[PoolerId | None, int] = field(default_factory=dict)
    #: The last turn in which an operation of a pooler went.
    _went: dict[PoolerId | None, int] = field(default_factory=dict)

    def following(self, waiting: Sequence[QueuedOperation], *, most: int) -> list[QueuedOperation]:
        """Return the operations that share the next transaction, and note that they had a turn."""
        groups: dict[PoolerId | None, list[QueuedOperation]] = {}
        for operation in waiting:
            groups.setdefault(_kept_apart(operation), []).append(operation)
        if not groups:
            return []
        # Who shares goes before who keeps to itself, when both had no turn yet.
        whose = min(
            groups,
            key=lambda key: (
                self._last.get(key, -1),
                key is not None,
                min(item.id for item in groups[key]),
            ),
        )
        together, _ = apart(groups[whose])
        chosen = self._in_turn(together)[:most]
        self._count += 1
        self._last[whose] = self._count
        self._went |= dict.fromkeys((item.pooler_id for item in chosen), self._count)
        return chosen

    def _in_turn(self, operations: Sequence[QueuedOperation]) -> list[QueuedOperation]:
        """Return operations in the order in which poolers have their turns."""
        seen: Counter[PoolerId | None] = Counter()
        places: dict[OperationId, tuple[int, int, OperationId]] = {}
        for item in sorted(operations, key=lambda item: item.id):
            places[item.id] = seen[item.pooler_id], self._went.get(item.pooler_id, -1), item.id
            seen[item.pooler_id] += 1
        return sorted(operations, key=lambda item: places[item.id])


def _kept_apart(operation: QueuedOperation) -> PoolerId | None:
    """Return the pooler that keeps to itself, if the operation is one of it."""
    return operation.pooler_id if operation.is_suspect or goes_alone(operation) else None

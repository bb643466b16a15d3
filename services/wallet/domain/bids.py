"""Cost of a transaction: its bid, the operator's caps, and the network's minimum."""

from dataclasses import dataclass, replace

#: Lowest inclusion fee of an operation, in stroops.
MIN_INCLUSION_FEE = 100


@dataclass(frozen=True, kw_only=True)
class Bid:
    """Highest cost of one envelope, and its lifetime."""

    #: Close time (unix seconds) after which no ledger may take it.
    max_time: int
    #: Stroops bid per operation for inclusion.
    inclusion_fee: int
    #: Stroops that the network may charge at most.
    max_fee: int

    def for_all(self, count: int) -> "Bid":
        """Return the bid of a transaction for so many operations: the cap holds for each."""
        return replace(self, max_fee=self.max_fee * count)

    def inclusion_within(self, *, operations: int, others: int) -> int:
        """Return the stroops to bid for inclusion per operation.

        The bid is the inclusion fee asked for, or what the cap leaves beside the `others` when that
        is less. No answer of a node makes a bid exceed the cap.
        """
        left = (self.max_fee - others) // operations
        return max(MIN_INCLUSION_FEE, min(self.inclusion_fee, left))


@dataclass(frozen=True, kw_only=True)
class OperatorLimits:
    """The operator's limits for one transaction."""

    #: Seconds (of ledger close time) that an envelope may live.
    lifetime: int
    #: Stroops that the network may charge at most for each operation in a transaction.
    max_fee: int
    #: Operations that are simulated each on its own at the same time.
    parallel: int
    #: Stands for these limits and the budgets; changes with any of them.
    mark: str = ""

    def cap(self, operations: int, *, is_payment: bool) -> int:
        """Return the stroops that a transaction with so many operations may cost.

        The bump of a payer's number counts as one more operation.
        """
        return self.max_fee * (operations + is_payment)

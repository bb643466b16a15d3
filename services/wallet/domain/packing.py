"""Capacity of one transaction and of one ledger, by the network's own limits."""

from dataclasses import dataclass

#: A whole ledger, in the unit that shares of it are counted in.
WHOLE_LEDGER = 1_000_000
#: The largest share in flight: what the next ledger takes. A node's queue holds twice that, but
#: drops and bans a transaction that it has held for some ledgers, and with equal bids chance
#: decides which (STELLAR.md section 1). An operation that waits here instead loses nothing.
IN_FLIGHT = WHOLE_LEDGER


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The network's limits for contract calls, as they are now."""

    #: CPU instructions of one transaction, and of one cluster of a ledger.
    transaction_instructions: int
    ledger_instructions: int
    #: Entries that one transaction may name.
    transaction_footprint: int
    #: Entries that one transaction, and a ledger, may write.
    transaction_write_entries: int
    ledger_write_entries: int
    #: Bytes that one transaction, and a ledger, may write.
    transaction_write_bytes: int
    ledger_write_bytes: int
    #: Bytes of one envelope, and of a ledger's envelopes.
    transaction_bytes: int
    ledger_bytes: int
    #: Transactions of a ledger.
    ledger_transactions: int
    #: Bytes of the events of one transaction.
    transaction_event_bytes: int
    #: Ledgers that a temporary entry lives at least: a pail's whole life.
    temporary_ledgers: int
    #: Ledgers that any entry lives at most, the one that it is made in included.
    max_entry_ledgers: int = 0
    #: Stands for everything that the network's settings say, prices included; changes with them.
    mark: str = ""


#: Limits to go by while those of the network are not known: what mainnet had when contracts were
#: new there, and as much for a whole ledger as for one transaction. The network has only raised
#: them since, and a ledger that is used less than it could be costs time and nothing else.
CAUTIOUS = Limits(
    transaction_instructions=100_000_000,
    ledger_instructions=100_000_000,
    transaction_footprint=100,
    transaction_write_entries=50,
    ledger_write_entries=50,
    transaction_write_bytes=132_096,
    ledger_write_bytes=132_096,
    transaction_bytes=132_096,
    ledger_bytes=132_096,
    ledger_transactions=50,
    transaction_event_bytes=16_384,
    temporary_ledgers=17_280,
    max_entry_ledgers=3_110_400,
    mark="unknown",
)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Use that one transaction makes of the limits."""

    #: CPU instructions.
    instructions: int
    #: Entries named.
    footprint: int
    #: Entries written.
    write_entries: int
    #: Bytes written.
    write_bytes: int
    #: Bytes of the signed envelope.
    envelope_bytes: int


def fits(usage: Usage, limits: Limits) -> bool:
    """Tell whether one transaction may use that much; a simulation checks CPU and memory only."""
    return (
        usage.instructions <= limits.transaction_instructions
        and usage.footprint <= limits.transaction_footprint
        and usage.write_entries <= limits.transaction_write_entries
        and usage.write_bytes <= limits.transaction_write_bytes
        and usage.envelope_bytes <= limits.transaction_bytes
    )


def share(usage: Usage, limits: Limits) -> int:
    """Return the part of a ledger (in millionths) that a transaction takes, rounded up.

    The limit that binds first counts. Plants and works all write the farm's instance, so their
    instructions count against one cluster.
    """
    parts = (
        (usage.instructions, limits.ledger_instructions),
        (usage.write_entries, limits.ledger_write_entries),
        (usage.write_bytes, limits.ledger_write_bytes),
        (usage.envelope_bytes, limits.ledger_bytes),
        (1, limits.ledger_transactions),
    )
    return max(-(-used * WHOLE_LEDGER // most) for used, most in parts)


def room(open_shares: int) -> int:
    """Return the share that may be sent beside the shares in flight, in millionths of a ledger."""
    return max(0, IN_FLIGHT - open_shares)


def ledgers_needed(count: int, each: int) -> int:
    """Return the fewest ledgers that take `count` transactions with a share of `each`."""
    per_ledger = WHOLE_LEDGER // each
    return -(-count // per_ledger)


#: Calls that are tried together first; the network then tells whether that is too many.
_FIRST_TRY = 40


class Window:
    """The number of calls of a kind that go into one transaction, found by bisection.

    Instructions, bytes and entries could be counted beforehand; only a simulation tells how much of
    the memory limit a nested call takes.
    """

    def __init__(self) -> None:
        self._good = 1
        self._bad: int | None = None

    @property
    def next_size(self) -> int:
        """Return the number to try: the largest that fits, once that is known."""
        if self._bad is None:
            return max(_FIRST_TRY, self._good)
        return max(1, self._good, (self._good + self._bad) // 2)

    def fitting(self, count: int) -> None:
        """Note that so many calls fit into one transaction."""
        self._good = max(self._good, count)
        if self._bad is not None and self._bad <= self._good:
            self._bad = None

    def too_many(self, count: int) -> None:
        """Note that so many calls did not fit into one transaction."""
        self._bad = count
        self._good = min(self._good, count - 1)

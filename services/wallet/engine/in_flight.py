"""The transactions that a process follows: sent by it, and not seen closed yet."""

from collections.abc import Iterable, Mapping

from services.wallet.domain.model import TransactionId


class InFlight:
    """The followed transactions, shared by sender and tracker.

    The sender adds what it sends. The tracker sees the end.
    """

    def __init__(self) -> None:
        self._signed: dict[TransactionId, int] = {}

    @property
    def ids(self) -> set[TransactionId]:
        """Return the ids of all transactions that are followed."""
        return set(self._signed)

    def oldest(self, default: int) -> int:
        """Return the ledger at which the oldest followed transaction was signed.

        Return `default` when no transaction is followed.
        """
        return min(self._signed.values(), default=default)

    def follow(self, ids: Iterable[TransactionId], ledger: int) -> None:
        """Follow transactions that are sent at a ledger.

        A transaction that is followed already keeps its earlier ledger.
        """
        for item in ids:
            self._signed.setdefault(item, ledger)

    def take_over(self, signed: Mapping[TransactionId, int]) -> None:
        """Follow transactions that others have signed, each from the ledger of its signing."""
        self._signed.update(signed)

    def forget(self, ids: Iterable[TransactionId]) -> None:
        """Stop following these transactions, whoever closed them."""
        for item in ids:
            self._signed.pop(item, None)

    def turn_back(self, ledger: int) -> None:
        """Set the signing ledgers above this ledger to this ledger, because the head was a lie."""
        self._signed = {item: min(signed, ledger) for item, signed in self._signed.items()}

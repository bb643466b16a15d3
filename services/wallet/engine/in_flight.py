"""The transactions that a process follows: what it has sent and has not seen closed."""

from collections.abc import Iterable, Mapping

from services.wallet.domain.model import TransactionId


class InFlight:
    """Shared by the sender, which adds what it sends, and the tracker, which sees the end."""

    def __init__(self) -> None:
        self._signed: dict[TransactionId, int] = {}

    @property
    def ids(self) -> set[TransactionId]:
        """All that is followed."""
        return set(self._signed)

    def oldest(self, default: int) -> int:
        """Give the ledger at which the oldest of them was signed; `default` when there is none."""
        return min(self._signed.values(), default=default)

    def follow(self, ids: Iterable[TransactionId], ledger: int) -> None:
        """Follow what is sent at a ledger; what was sent before keeps its own."""
        for item in ids:
            self._signed.setdefault(item, ledger)

    def take_over(self, signed: Mapping[TransactionId, int]) -> None:
        """Follow what others have signed, each at its ledger."""
        self._signed.update(signed)

    def forget(self, ids: Iterable[TransactionId]) -> None:
        """Follow these no longer, whoever closed them."""
        for item in ids:
            self._signed.pop(item, None)

    def turn_back(self, ledger: int) -> None:
        """Note that what was signed above this ledger was signed below it: the head was a lie."""
        self._signed = {item: min(signed, ledger) for item, signed in self._signed.items()}

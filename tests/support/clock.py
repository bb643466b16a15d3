"""A clock that tests turn."""

from datetime import UTC, datetime


class FakeClock:
    """Stands still until a test turns it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """What the test says."""
        return self.seconds

    def now(self) -> datetime:
        """The same as a date."""
        return datetime.fromtimestamp(self.seconds, UTC)

"""A clock that tests control."""

from datetime import UTC, datetime


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """Return the time that the test has set."""
        return self.seconds

    def now(self) -> datetime:
        """Return the time that the test has set as a date."""
        return datetime.fromtimestamp(self.seconds, UTC)

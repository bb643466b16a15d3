"""The token bucket as arithmetic: pure, no clock of its own."""

from dataclasses import dataclass

#: Seconds in which an empty bucket is full again.
PERIOD = 60.0


@dataclass(slots=True)
class Bucket:
    """As many tokens as one caller may use at once; they come back evenly over a minute.

    All that is kept is when it will be full, so that an idle bucket need not be kept at all.
    """

    #: When it is full again, on the clock that `take` is called with (s).
    full_at: float = 0.0

    def take(self, per_minute: int, now: float) -> float:
        """Takes a token: 0, or the seconds until there is one; then nothing is taken."""
        interval = PERIOD / per_minute
        full_at = max(self.full_at, now) + interval
        wait = full_at - PERIOD - now
        # A thousandth of a token is rounding: whoever waits as long as told is let in.
        if wait > interval / 1000:
            return wait
        self.full_at = full_at
        return 0.0

    def is_full(self, now: float) -> bool:
        """Whether nothing is missing."""
        return self.full_at <= now

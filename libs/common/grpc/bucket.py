"""The token bucket as arithmetic: pure, without a clock of its own."""

from dataclasses import dataclass

#: Seconds in which an empty bucket is full again.
PERIOD = 60.0


@dataclass(slots=True)
class Bucket:
    """The tokens that one caller may use at once; used tokens come back evenly over a minute.

    A bucket keeps only the time at which it will be full, so that an idle bucket need not be kept
    at all.
    """

    #: When it is full again, on the clock that `take` is called with (s).
    full_at: float = 0.0

    def take(self, per_minute: int, now: float) -> float:
        """Take a token and return 0.

        If there is no token, take nothing and return the seconds until there is one.
        """
        interval = PERIOD / per_minute
        full_at = max(self.full_at, now) + interval
        wait = full_at - PERIOD - now
        # A thousandth of a token is rounding: whoever waits as long as told is let in.
        if wait > interval / 1000:
            return wait
        self.full_at = full_at
        return 0.0

    def is_full(self, now: float) -> bool:
        """Tell whether no token is missing."""
        return self.full_at <= now

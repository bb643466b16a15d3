"""What nodes said that wallet does not know: told once in the log, and kept for operators."""

from dataclasses import dataclass

from libs.common.clock import Clock, SystemClock
from libs.common.log import get_logger

log = get_logger(__name__)

#: Seconds without another such answer after which one is forgotten.
KEPT = 3600.0


@dataclass(kw_only=True)
class _Unknown:
    """One kind of answer that is not known."""

    #: What was not known of it, and what is done instead.
    why: str
    instead: str
    #: Number of such answers, and when the last one came (monotonic s).
    count: int
    last: float


class Unknowns:
    """The answers of a newer network that were met of late, by what they were about."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._met: dict[str, _Unknown] = {}

    def tell(self, about: str, why: str, *, instead: str) -> None:
        """Note an answer that is not known; log it, unless the same was logged of late."""
        now = self._clock.monotonic()
        self._forget(now)
        met = self._met.get(about)
        if met is not None and met.why == why:
            met.count, met.last = met.count + 1, now
            return
        log.warning("not known", about=about, error=why, instead=instead)
        self._met[about] = _Unknown(why=why, instead=instead, count=1, last=now)

    @property
    def warnings(self) -> list[str]:
        """Return what was met of late, in words."""
        self._forget(self._clock.monotonic())
        return [
            f"this version of wallet does not know {about} as nodes tell them ({met.why}; "
            f"{met.count} times): {met.instead}"
            for about, met in self._met.items()
        ]

    def _forget(self, now: float) -> None:
        self._met = {about: met for about, met in self._met.items() if now - met.last < KEPT}

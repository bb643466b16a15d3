"""How much to hash in one scan, so that each takes about the time that its engine wishes."""

from miner.engine import Appetite

#: A scan that took so little time tells nothing about the next one.
_TOO_SHORT_SECONDS = 1e-4
#: Hashes grow or shrink by this factor at most from one scan to the next.
_STEP = 4


class Pace:
    """The hashes of the next scan of one engine."""

    def __init__(self, appetite: Appetite) -> None:
        """Begin with what the engine says."""
        self._appetite = appetite
        #: Hashes of the next scan.
        self.hashes = appetite.hashes

    def took(self, hashes: int, seconds: float) -> None:
        """Learn from a scan. One that ended early, at its finds, tells its rate all the same."""
        if hashes <= 0 or seconds < _TOO_SHORT_SECONDS:
            return
        wanted = round(hashes / seconds * self._appetite.seconds)
        least, most = self.hashes // _STEP, self.hashes * _STEP
        self.hashes = max(self._appetite.least, min(max(wanted, least), most))

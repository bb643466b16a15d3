"""What is held against a credential: shares that no sound miner sends."""

from collections.abc import Iterable
from dataclasses import dataclass

from pooler.shares.domain.codes import FAULTS, Code


@dataclass(frozen=True, kw_only=True)
class ConductRules:
    """When conduct ends in a ban."""

    #: Faults within a window before anything is said; they have to be more than what was accepted.
    faults: int = 200
    #: Seconds of a window.
    window: float = 300.0
    #: Seconds of a ban for faults, and for nonces that are withheld; 0: no ban.
    ban: float = 600.0
    withholding_ban: float = 86_400.0


class Conduct:
    """The faults of one credential in the running window."""

    __slots__ = ("_begun", "_faults", "_rules", "_sound")

    def __init__(self, rules: ConductRules) -> None:
        """Begin with nothing."""
        self._rules = rules
        self._begun = 0.0
        self._faults = 0
        self._sound = 0

    def count(self, codes: Iterable[Code], at: float) -> str | None:
        """Count what became of some shares; return the reason when it is enough for a ban."""
        if at - self._begun > self._rules.window:
            self._begun, self._faults, self._sound = at, 0, 0
        for code in codes:
            self._faults += code in FAULTS
            self._sound += code is Code.ACCEPTED
        if self._faults < self._rules.faults or self._faults <= self._sound:
            return None
        told = f"{self._faults} shares within {self._rules.window:g} s were none"
        self._faults = self._sound = 0
        return told

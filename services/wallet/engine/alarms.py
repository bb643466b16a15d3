"""Alarms: conditions that an operator has to change.

Each alarm is logged once, again when its cause changes, and once when it is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A condition that no repetition cures."""

    #: What is not done because of this condition: "rent".
    name: str
    #: The cause, in one word; another word is logged anew.
    cause: str
    #: The condition in words, for people.
    message: str
    #: Figures for the log; a change of these alone is not logged.
    details: Mapping[str, object] = field(default_factory=dict)


class Alarms:
    """The alarms that stand now, by name; one such object per process."""

    def __init__(self) -> None:
        self._known: dict[str, Alarm] = {}

    def tell(self, alarm: Alarm) -> None:
        """Log an alarm, unless it was logged before and its cause has not changed since."""
        before = self._known.get(alarm.name)
        self._known[alarm.name] = alarm
        if before is None or before.cause != alarm.cause:
            log.critical(
                "refused",
                what=alarm.name,
                cause=alarm.cause,
                error=alarm.message,
                **dict(alarm.details),
            )

    def over(self, name: str) -> None:
        """Log that an alarm is over, if it was logged."""
        if self._known.pop(name, None) is not None:
            log.info("no longer refused", what=name)

    def message(self, name: str) -> str:
        """Return the alarm's message; empty when there is no such alarm."""
        known = self._known.get(name)
        return "" if known is None else known.message

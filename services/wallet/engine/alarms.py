"""What an operator has to change: told once, again with another cause, and once when it is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something that no repetition cures."""

    #: What is not done because of it: "rent".
    name: str
    #: Why, in one word; another word is told anew.
    cause: str
    #: In words, for people.
    message: str
    #: Gauges, for the log; that they change is not told.
    details: Mapping[str, object] = field(default_factory=dict)


class Alarms:
    """What is wrong now, by name; one per process."""

    def __init__(self) -> None:
        self._known: dict[str, Alarm] = {}

    def tell(self, alarm: Alarm) -> None:
        """Logs it, unless that was done and nothing has changed since."""
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
        """Logs that it is over, if it was told."""
        if self._known.pop(name, None) is not None:
            log.info("no longer refused", what=name)

    def message(self, name: str) -> str:
        """What is wrong, in words; empty when nothing is."""
        known = self._known.get(name)
        return "" if known is None else known.message

"""Checks of request fields that collect every violation before they raise."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from libs.common.errors import FieldViolation, InvalidArgumentError
from libs.common.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, decode_token

T = TypeVar("T")

MAX_REQUEST_ID = 128
#: Given in place of an id that is not valid; never used, as `done` raises.
_NO_ID = UUID(int=0)


class FieldChecks:
    """One request's checks: each method gives the checked value, `done` raises for all at once."""

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    def fail(self, field: str, description: str) -> None:
        """Notes a violation."""
        self._violations.append(FieldViolation(field=field, description=description))

    def done(self) -> None:
        """Raises InvalidArgumentError with every violation, if there was one."""
        if not self._violations:
            return
        summary = "; ".join(f"{item.field} {item.description}" for item in self._violations[:5])
        raise InvalidArgumentError(summary, violations=self._violations)

    def uuid(self, field: str, value: str) -> UUID:
        """A UUID in its canonical text form."""
        try:
            parsed = UUID(value)
        except ValueError:
            parsed = _NO_ID
        if str(parsed) != value.lower() or parsed == _NO_ID:
            self.fail(field, "must be a UUID" if value else "is required")
            return _NO_ID
        return parsed

    def optional_uuid(self, field: str, value: str) -> UUID | None:
        """A UUID, or None for the empty string."""
        return self.uuid(field, value) if value else None

    def number(self, field: str, value: int, *, low: int, high: int) -> int:
        """An integer in a closed range."""
        if not low <= value <= high:
            self.fail(field, f"must be from {low} to {high}, not {value}")
        return value

    def number_or_default(
        self, field: str, value: int, *, low: int, high: int, default: int
    ) -> int:
        """An integer in a closed range; 0 means the default."""
        return default if value == 0 else self.number(field, value, low=low, high=high)

    def text(self, field: str, value: str, *, low: int = 0, high: int) -> str:
        """A string of `low` to `high` characters, none of them a control character."""
        if not low <= len(value) <= high:
            self.fail(field, f"must have {low} to {high} characters, not {len(value)}")
        elif any(ord(character) < 32 or ord(character) == 127 for character in value):
            self.fail(field, "must not have control characters")
        return value

    def request_id(self, value: str, *, required: bool = False) -> str:
        """A request id (AIP-155)."""
        return self.text("request_id", value, low=1 if required else 0, high=MAX_REQUEST_ID)

    def page_size(self, value: int) -> int:
        """A page size with its default."""
        return self.number_or_default(
            "page_size", value, low=1, high=MAX_PAGE_SIZE, default=DEFAULT_PAGE_SIZE
        )

    def page_token(self, value: str, kinds: Sequence[type]) -> tuple[Any, ...] | None:
        """The key in a page token (libs.common.paging), or None for the first page."""
        try:
            return decode_token(value, kinds)
        except InvalidArgumentError as error:
            self._violations += error.violations
            return None

    def size(self, field: str, value: Sequence[object], *, low: int = 1, high: int) -> None:
        """A list with a number of items in a closed range."""
        if not low <= len(value) <= high:
            self.fail(field, f"must have {low} to {high} items, not {len(value)}")

    def unique(self, values: Iterable[tuple[str, object]]) -> None:
        """No value stands twice; items are (field path, value)."""
        seen: dict[object, str] = {}
        for field, value in values:
            if value in seen and value != _NO_ID:
                self.fail(field, f"repeats {seen[value]}")
            seen.setdefault(value, field)

    def parsed(self, field: str, value: str, parse: Callable[[str], T], default: T) -> T:
        """What `parse` makes of the value; its ValueError becomes the violation's description."""
        try:
            return parse(value)
        except ValueError as error:
            self.fail(field, str(error))
            return default

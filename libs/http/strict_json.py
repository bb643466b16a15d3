"""JSON as strangers send it: what is no JSON is refused, what is odd is kept for its field to name.

Python's parser takes NaN, keys that stand twice, and numbers of any length. Here such a value
becomes an Unusable, or the object a Repeated, so that whoever reads the field can say where it is.
"""

import json
import math
from collections import Counter
from typing import Any

from libs.common.errors import FieldViolation, InvalidArgumentError

#: Digits, with a sign, that a whole number of 64 bits has at most.
_LONGEST_WHOLE = 20
#: Characters that any other number has at most.
_LONGEST_REAL = 64
#: Bytes from which a body is parsed beside the event loop.
LARGE = 65_536


#: Writes a value of Python as JSON.
json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class Unusable:
    """A number that no field can hold."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        """Take what is wrong, in words that follow the field's name."""
        self.why = why


class Refused(Unusable):
    """A value that its field's reader has to refuse with these words, whatever the field's type."""

    __slots__ = ()


class Real(float):
    """A number with a fraction or an exponent, with its text."""

    __slots__ = ("text",)

    text: str


class Repeated(dict[str, Any]):
    """An object in which a key stands more than once; the last value counts for nobody."""

    #: Those keys.
    keys_given_twice: tuple[str, ...] = ()


class BadJsonError(InvalidArgumentError):
    """The body is no JSON."""

    default_reason = "MALFORMED_JSON"

    @classmethod
    def because(cls, why: str) -> "BadJsonError":
        """Return the error with the reason in words."""
        violation = FieldViolation(field="body", description=why)
        return cls(f"body {why}", violations=[violation])


def parse(body: bytes) -> Any:
    """Return the value that a body holds; raise BadJsonError when it is no JSON."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJsonError.because(f"is not UTF-8: byte {error.start}") from None
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadJsonError.because(f"is no JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise BadJsonError.because("is nested too deeply") from None


def to_json(value: Any) -> bytes:
    """Return a value of Python as JSON in UTF-8."""
    return json_text(value).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    times = Counter(name for name, _ in pairs)
    repeated = Repeated(found)
    repeated.keys_given_twice = tuple(name for name, number in times.items() if number > 1)
    return repeated


def _whole(text: str) -> int | Unusable:
    return int(text) if len(text) <= _LONGEST_WHOLE else Unusable("is beyond 64 bits")


def _real(text: str) -> Real | Unusable:
    if len(text) > _LONGEST_REAL:
        return Unusable(f"has more than {_LONGEST_REAL} characters for a number")
    number = Real(text)
    if not math.isfinite(number):
        return Unusable("is beyond the numbers")
    number.text = text
    return number


def _constant(text: str) -> Unusable:
    return Unusable(f"must not be {text}, which is no number of JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole, parse_float=_real, parse_constant=_constant
)

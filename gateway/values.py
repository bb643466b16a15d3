"""Values of fields, from JSON or from the text of a path or query: converted, or what is wrong."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from kalepool.rules.v1 import rules_pb2

from libs.http.strict_json import Real, Refused, Repeated, Unusable

#: Objects and lists in one another at most.
MAX_DEPTH = 64
#: Whole numbers up to this size are exact as a double.
_EXACT = 2**53
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_REAL = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
#: RFC 3339, as far as google.protobuf.Timestamp has it.
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DURATION = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?s")


class WrongValueError(ValueError):
    """The value cannot be one of the field; the message follows the field's name."""


#: Returns the value for protobuf. Raises WrongValueError.
Convert = Callable[[Any], Any]


def rules_of(field: FieldDescriptor) -> rules_pb2.FieldRules:
    """Return the rules of a field of a request."""
    rules: rules_pb2.FieldRules = field.GetOptions().Extensions[rules_pb2.field]
    return rules


def bounds_of(field: FieldDescriptor) -> tuple[int, int]:
    """Return the smallest and the largest number that a field may have, by its type and rules."""
    low, high = LIMITS[field.cpp_type]
    rules = rules_of(field)
    if rules.HasField("min"):
        low = max(low, rules.min)
    if rules.HasField("max"):
        high = min(high, rules.max)
    return low, high


def _whole_number(field: FieldDescriptor) -> Convert:
    """Return the conversion of whole numbers that a field can hold.

    What breaks a rule besides is refused by the service, in the same words.
    """
    return _range(*LIMITS[field.cpp_type], told=bounds_of(field))


def _range(low: int, high: int, *, told: tuple[int, int]) -> Convert:
    """Return the conversion of whole numbers in a range, themselves or as a text of digits.

    `told` is the range that is named to who sends a number outside.
    """

    def convert(value: Any) -> int:
        if type(value) is int:
            number = value
        elif _is_whole(value):
            number = int(value)
        elif isinstance(value, Unusable):
            raise WrongValueError(value.why)
        else:
            raise WrongValueError("must be a whole number")
        if not low <= number <= high:
            raise WrongValueError(f"must be from {told[0]} to {told[1]}")
        return number

    return convert


def _is_whole(value: Any) -> bool:
    """Tell whether a text, or a number with a fraction or an exponent, is a whole number."""
    if isinstance(value, str):
        return _WHOLE.fullmatch(value) is not None
    return isinstance(value, Real) and value.is_integer() and abs(value) < _EXACT


def _text(value: Any, *, what: str = "a string") -> str:
    if isinstance(value, Refused):
        raise WrongValueError(value.why)
    if not isinstance(value, str):
        raise WrongValueError(f"must be {what}")
    if not value.isascii():
        _check_unicode(value)
    return value


def _check_unicode(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongValueError("has half of a character (a lone surrogate)") from None


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise WrongValueError("must be true or false")


def _truth_as_text(value: str) -> bool:
    if value not in {"true", "false"}:
        raise WrongValueError("must be true or false")
    return value == "true"


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str) or not _BASE64.fullmatch(value):
        raise WrongValueError("must be bytes in base64")
    digits = value.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:
        raise WrongValueError("must be bytes in base64") from None


def _real(value: Any) -> float:
    if isinstance(value, Unusable):
        raise WrongValueError(value.why)
    if isinstance(value, str) and _REAL.fullmatch(value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongValueError("must be a number")
    return float(value)


def _enum(field: FieldDescriptor, descriptor: EnumDescriptor) -> Convert:
    names: Mapping[str, int] = {value.name: value.number for value in descriptor.values}
    # The value of 0 is no choice where there has to be one.
    told = ", ".join(
        name for name, number in names.items() if number or not rules_of(field).required
    )
    number_of = _range(-(2**31), 2**31 - 1, told=(0, max(names.values())))

    def convert(value: Any) -> int:
        if isinstance(value, str) and value in names:
            return names[value]
        if type(value) is int or (isinstance(value, str) and _WHOLE.fullmatch(value)):
            number: int = number_of(value)
            return number
        raise WrongValueError(f"must be one of {told}")

    return convert


#: The smallest and the largest number of each type of whole numbers.
LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def from_json(field: FieldDescriptor) -> Convert:
    """Return the conversion of a value of JSON for a field that is no message."""
    if field.enum_type is not None:
        return _enum(field, field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        is_fraction = rules_of(field).format == rules_pb2.FORMAT_FRACTION
        return partial(_text, what='a string such as "0.25"') if is_fraction else _text
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _truth
    return _whole_number(field) if field.cpp_type in LIMITS else _real


def from_text(field: FieldDescriptor) -> Convert:
    """Return the conversion of the text of a path or query for a field that is no message."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _truth_as_text
    return from_json(field)


# Messages of google.protobuf that JSON has a form of its own for ---------------------------------


def _moment(value: Any, message: timestamp_pb2.Timestamp) -> None:
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise WrongValueError("must be a moment such as 2026-01-31T12:00:00Z")
    try:
        message.FromJsonString(value.upper())
    except (ValueError, OverflowError):
        raise WrongValueError("must be a moment such as 2026-01-31T12:00:00Z") from None


def _duration(value: Any, message: duration_pb2.Duration) -> None:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise WrongValueError('must be a duration in seconds such as "1.5s"')
    try:
        message.FromJsonString(value)
    except (ValueError, OverflowError):
        raise WrongValueError('must be a duration in seconds such as "1.5s"') from None


def _struct(value: Any, message: struct_pb2.Struct) -> None:
    if not isinstance(value, dict):
        raise WrongValueError("must be an object")
    plain = _plain(value, MAX_DEPTH)
    message.Clear()
    message.update(plain)


def _plain(value: Any, depth: int) -> Any:
    """Return a free value as protobuf's Struct takes it; refuse what it would change."""
    if isinstance(value, dict | list) and depth <= 0:
        raise WrongValueError(f"is nested in more than {MAX_DEPTH} levels")
    if isinstance(value, Repeated):
        raise WrongValueError(f"has {value.keys_given_twice[0]!r} twice")
    if isinstance(value, dict):
        return {_text(name): _plain(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth - 1) for item in value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Unusable):
        raise WrongValueError(f"has a number that {value.why}")
    if type(value) is int and abs(value) > _EXACT:
        raise WrongValueError("has a number beyond 2^53, which is not exact: write a string")
    return value


#: Fills a message from a value of JSON. Raises WrongValueError.
Fill = Callable[[Any, Any], None]

WELL_KNOWN: Mapping[str, Fill] = {
    "google.protobuf.Timestamp": _moment,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
}

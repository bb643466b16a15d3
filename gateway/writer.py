"""Replies as JSON, in the form of proto JSON: camelCase, 64-bit numbers as strings, all fields.

Made once from the descriptors. Tests compare it with google.protobuf.json_format, which does the
same at many times the cost.
"""

import base64
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from json.encoder import encode_basestring
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from libs.http.strict_json import json_text

#: Returns a value as JSON.
Write = Callable[[Any], str]

#: Whole numbers up to this size are exact as a double.
_EXACT = 2**53
_EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
#: Seconds that google.protobuf.Timestamp has: from the year 1 to the year 9999.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_NANOS = 10**9
#: Moments that are kept as text: the same ones are told again and again.
_KEPT = 4096


def message_to_json(message: Message) -> bytes:
    """Return a message as JSON in UTF-8."""
    return writer_of(message.DESCRIPTOR)(message).encode()


@cache
def writer_of(descriptor: Descriptor) -> Write:
    """Return what makes an object of a message of this type."""
    known = _WELL_KNOWN.get(descriptor.full_name)
    if known is not None:
        return known
    # A type may hold itself: its writer is looked up when it is needed.
    fields = [
        (f"{encode_basestring(field.json_name)}:", field.name, field.has_presence, _value(field))
        for field in descriptor.fields
    ]

    def write(message: Any) -> str:
        written = [
            name + convert(getattr(message, field))
            for name, field, has_presence, convert in fields
            if not has_presence or message.HasField(field)
        ]
        return "{" + ",".join(written) + "}"

    return write


def _value(field: FieldDescriptor) -> Write:
    """Return what writes a field's value."""
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return _map_writer(inner)
    one = _item_writer(field)
    if not field.is_repeated:
        return one
    return lambda values: "[" + ",".join([one(value) for value in values]) + "]"


def _map_writer(entry: Descriptor) -> Write:
    key, one = entry.fields_by_name["key"], _item_writer(entry.fields_by_name["value"])
    is_truth = key.cpp_type == FieldDescriptor.CPPTYPE_BOOL

    def write(values: Any) -> str:
        written = [
            f"{encode_basestring(_truth(name) if is_truth else str(name))}:{one(item)}"
            for name, item in values.items()
        ]
        return "{" + ",".join(written) + "}"

    return write


def _item_writer(field: FieldDescriptor) -> Write:
    if field.message_type is not None:
        return _message_writer(field.message_type)
    if field.enum_type is not None:
        names = {one.number: encode_basestring(one.name) for one in field.enum_type.values}
        return lambda number: names.get(number) or str(number)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: f'"{base64.b64encode(value).decode()}"'
    return _SCALARS.get(field.cpp_type, str)


def _message_writer(descriptor: Descriptor) -> Write:
    """Return what writes a message; its type is looked into later, as a type may hold itself."""

    def write(message: Any) -> str:
        return writer_of(descriptor)(message)

    return write


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _long(value: int) -> str:
    return f'"{value}"'


def _real(value: float) -> str:
    return json_text(_number(value))


def _number(value: float) -> float | str:
    """Return a number; proto JSON has those that JSON has not as strings."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _moment(stamp: Any) -> str:
    """Return a google.protobuf.Timestamp; raise ValueError for one that there cannot be."""
    return _moment_of(stamp.seconds, stamp.nanos)


@lru_cache(maxsize=_KEPT)
def _moment_of(seconds: int, nanos: int) -> str:
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND or not 0 <= nanos < _NANOS:
        raise ValueError(f"there is no moment {seconds} s and {nanos} ns after 1970")
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    for digits in (0, 3, 6, 9):
        part, rest = divmod(nanos, 10 ** (9 - digits))
        if not rest:
            return f'"{text}.{part:0{digits}d}Z"' if digits else f'"{text}Z"'
    raise AssertionError("nine digits have no rest")


def _duration(message: Any) -> str:
    return f'"{message.ToJsonString()}"'


def _struct(message: Any) -> str:
    return json_text(_plain(message))


def _plain(message: Any) -> dict[str, Any]:
    return {name: _free(value) for name, value in message.fields.items()}


def _free(value: Any) -> Any:
    """Return a google.protobuf.Value; whole numbers have no fraction."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain(value.struct_value)
    if kind == "list_value":
        return [_free(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        is_whole = number.is_integer() and abs(number) <= _EXACT
        return int(number) if is_whole else _number(number)
    return None if kind in {None, "null_value"} else getattr(value, kind)


#: Others are small whole numbers.
_SCALARS: dict[int, Write] = {
    FieldDescriptor.CPPTYPE_STRING: encode_basestring,
    FieldDescriptor.CPPTYPE_BOOL: _truth,
    FieldDescriptor.CPPTYPE_INT64: _long,
    FieldDescriptor.CPPTYPE_UINT64: _long,
    FieldDescriptor.CPPTYPE_DOUBLE: _real,
    FieldDescriptor.CPPTYPE_FLOAT: _real,
}
_WELL_KNOWN: dict[str, Write] = {
    "google.protobuf.Timestamp": _moment,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
}

"""Replies as JSON, in the form of proto JSON: camelCase, 64-bit numbers as strings, all fields.

Made once from the descriptors. Tests compare it with google.protobuf.json_format, which does the
same at several times the cost.
"""

import base64
import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Write = Callable[[Any], Any]

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

#: Whole numbers up to this size are exact as a double.
_EXACT = 2**53
_LONG = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
_REAL = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


def to_json(value: Any) -> bytes:
    """Return a value of Python as JSON in UTF-8."""
    return _encode(value).encode()


def message_to_json(message: Message) -> bytes:
    """Return a message as JSON in UTF-8."""
    return to_json(writer_of(message.DESCRIPTOR)(message))


@cache
def writer_of(descriptor: Descriptor) -> Write:
    """Return what makes an object of a message of this type."""
    known = _WELL_KNOWN.get(descriptor.full_name)
    if known is not None:
        return known
    # A type may hold itself: its writer is looked up when it is needed.
    fields = [
        (field.json_name, field.name, field.has_presence, _value_writer(field))
        for field in descriptor.fields
    ]

    def write(message: Any) -> dict[str, Any]:
        written = {}
        for json_name, name, has_presence, convert in fields:
            if has_presence and not message.HasField(name):
                continue
            value = getattr(message, name)
            written[json_name] = value if convert is None else convert(value)
        return written

    return write


def _value_writer(field: FieldDescriptor) -> Write | None:
    """Return what converts a field's value; None for one that JSON has as it is."""
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return _map_writer(inner)
    one = _item_writer(field)
    if not field.is_repeated:
        return one
    return list if one is None else lambda values: [one(value) for value in values]


def _map_writer(entry: Descriptor) -> Write:
    key, one = entry.fields_by_name["key"], _item_writer(entry.fields_by_name["value"])
    is_truth = key.cpp_type == FieldDescriptor.CPPTYPE_BOOL

    def write(values: Any) -> dict[str, Any]:
        return {
            str(name).lower() if is_truth else str(name): item if one is None else one(item)
            for name, item in values.items()
        }

    return write


def _item_writer(field: FieldDescriptor) -> Write | None:
    if field.message_type is not None:
        return _message_writer(field.message_type)
    if field.enum_type is not None:
        names = {value.number: value.name for value in field.enum_type.values}
        return lambda number: names.get(number, number)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if field.cpp_type in _LONG:
        return str
    if field.cpp_type in _REAL:
        return _number
    return None


def _message_writer(descriptor: Descriptor) -> Write:
    """Return what writes a message; its type is looked into later, as a type may hold itself."""

    def write(message: Any) -> Any:
        return writer_of(descriptor)(message)

    return write


def _number(value: float) -> float | str:
    """Return a number; proto JSON has those that JSON has not as strings."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(message: Any) -> str:
    text: str = message.ToJsonString()
    return text


def _struct(message: Any) -> dict[str, Any]:
    return {name: _free(value) for name, value in message.fields.items()}


def _free(value: Any) -> Any:
    """Return a google.protobuf.Value; whole numbers have no fraction."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _struct(value.struct_value)
    if kind == "list_value":
        return [_free(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        is_whole = number.is_integer() and abs(number) <= _EXACT
        return int(number) if is_whole else _number(number)
    return None if kind in {None, "null_value"} else getattr(value, kind)


_WELL_KNOWN: dict[str, Write] = {
    "google.protobuf.Timestamp": _text,
    "google.protobuf.Duration": _text,
    "google.protobuf.Struct": _struct,
}

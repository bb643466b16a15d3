"""Messages in which every field says something, made from their descriptors."""

from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

#: Messages are filled to this depth.
_DEPTH = 4
_VALUES: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_STRING: 'a text, \u00e9\u2713 & <more> "quoted"',
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.1,
    FieldDescriptor.CPPTYPE_FLOAT: 0.5,
    FieldDescriptor.CPPTYPE_INT32: -7,
    FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1,
    # More than a double holds.
    FieldDescriptor.CPPTYPE_INT64: -(2**53) - 1,
    FieldDescriptor.CPPTYPE_UINT64: 2**64 - 1,
}


def filled(descriptor: Descriptor, depth: int = 0) -> Message:
    """Return a message with a value in every field; of a oneof, in the first."""
    message: Message = message_factory.GetMessageClass(descriptor)()
    if descriptor.full_name == "google.protobuf.Timestamp":
        message.FromJsonString("2025-08-25T10:00:00.123456789Z")  # type: ignore[attr-defined]
        return message
    if descriptor.full_name == "google.protobuf.Duration":
        message.FromJsonString("1.500s")  # type: ignore[attr-defined]
        return message
    if descriptor.full_name == "google.protobuf.Struct":
        message.update(  # type: ignore[attr-defined]
            {"a": [1, None, {"b": True}], "c": "x", "d": 0.5}
        )
        return message
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) > 1 and oneof.fields[0] is not field:
            continue
        if field.message_type is None or depth < _DEPTH:
            _fill(message, field, depth)
    return message


def _fill(message: Message, field: FieldDescriptor, depth: int) -> None:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        getattr(message, field.name)["a key"] = _scalar(inner.fields_by_name["value"])
    elif inner is not None and field.is_repeated:
        getattr(message, field.name).extend([filled(inner, depth + 1), type(filled(inner))()])
    elif inner is not None:
        getattr(message, field.name).CopyFrom(filled(inner, depth + 1))
    elif field.is_repeated:
        getattr(message, field.name).extend([_scalar(field)] * 2)
    else:
        setattr(message, field.name, _scalar(field))


def _scalar(field: FieldDescriptor) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"\x00\xff\xfe"
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    return _VALUES[field.cpp_type]

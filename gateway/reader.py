"""Requests from JSON, and from texts of paths and queries; every field that is wrong is named.

Made once from the descriptors. google.protobuf.json_format does the same at a multiple of the cost,
stops at the first error, and takes some of what it should not; tests compare the two.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.values import WELL_KNOWN, Fill, WrongValueError, from_json, from_text
from libs.common.errors import FieldViolation, InvalidArgumentError
from libs.http.strict_json import Repeated

#: Violations that are told at most; a body may have ten thousand.
_TOLD = 100
#: Violations that the message names; the details have the others.
_IN_WORDS = 5


class Findings:
    """What is wrong with a request, in the order in which it was found."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def note(self, field: str, description: str) -> None:
        """Note a field that is wrong; raise InvalidArgumentError when there are too many."""
        # The name may be the caller's, and half a character in it can be told to nobody.
        told = field.encode("utf-8", "replace").decode()
        if not told or told.endswith("."):  # a name of no characters
            told += '""'
        self._found.append(FieldViolation(field=told, description=description))
        if len(self._found) >= _TOLD:
            self.check()

    def check(self) -> None:
        """Raise InvalidArgumentError when anything was noted."""
        if not self._found:
            return
        words = "; ".join(f"{one.field} {one.description}" for one in self._found[:_IN_WORDS])
        more = len(self._found) - _IN_WORDS
        ending = f"; and {more} more" if more > 0 else ""
        raise InvalidArgumentError(words + ending, violations=self._found)


#: Sets a field of a message from a value of JSON; the field's path comes third.
_Set = Callable[[Message, Any, str, Findings], None]


@cache
def reader_of(descriptor: Descriptor) -> "Reader":
    """Return the reader of a message's type; there is one for each."""
    return Reader(descriptor)


class Reader:
    """The reader of one type of messages.

    Raise TypeError for a type that no request may have.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self._setters: dict[str, tuple[FieldDescriptor, _Set]] = {}
        self._fields: dict[str, FieldDescriptor] = {}
        self._text_setters: dict[str, _SetText] = {}
        for field in descriptor.fields:
            setter = _setter(field)
            for name in (field.json_name, field.name):
                self._setters[name] = (field, setter)
                self._fields[name] = field
                self._text_setters[name] = _text_setter(field)

    def read(self, value: Any, message: Message, path: str, findings: Findings) -> None:
        """Set the fields of a message from an object of JSON; note what is wrong with it."""
        if not isinstance(value, dict):
            findings.note(path.removesuffix(".") or "body", "must be an object")
            return
        if isinstance(value, Repeated):
            for name in value.keys_given_twice:
                findings.note(path + name[:64], "is given twice")
        seen: set[int] = set()
        for name, item in value.items():
            known = self._setters.get(name)
            if known is None:
                findings.note(f"{path}{name[:64]}", "is no field of this request")
                continue
            field, setter = known
            if field.number in seen:
                findings.note(path + field.json_name, f"is given twice, as '{field.name}', too")
                continue
            seen.add(field.number)
            if item is not None and may_be_set(field, message, path, findings):
                setter(message, item, path + field.json_name, findings)

    def field(self, path: Sequence[str]) -> FieldDescriptor | None:
        """Return the field that names lead to, through messages; None when there is none."""
        found = self._fields.get(path[0])
        if found is None or len(path) == 1:
            return found
        if found.message_type is None or found.is_repeated or _is_well_known(found):
            return None
        return reader_of(found.message_type).field(path[1:])

    def names_of(self, name: str) -> tuple[str, ...] | None:
        """Return the fields that a name of a query leads to, whichever of their names it has."""
        path = name.split(".")
        fields = [self.field(path[:length]) for length in range(1, len(path) + 1)]
        known = [field.name for field in fields if field is not None]
        return tuple(known) if len(known) == len(path) else None

    def read_text(
        self, name: str, texts: Sequence[str], message: Message, findings: Findings
    ) -> None:
        """Set a field from texts of a path or query; note what is wrong with them.

        A dot in the name leads into a message: `filter.state`.
        """
        path = name.split(".")
        field = self.field(path)
        if field is None:
            findings.note(name[:64], "is no field of this request")
            return
        for part in path[:-1]:
            message = getattr(message, reader_of(message.DESCRIPTOR)._fields[part].name)
        reader_of(message.DESCRIPTOR)._text_setters[path[-1]](message, texts, name, findings)


#: Messages whose JSON is a string.
_AS_TEXT = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})
#: Sets a field of a message from texts; the field's path comes third.
_SetText = Callable[[Message, Sequence[str], str, Findings], None]


def _text_setter(field: FieldDescriptor) -> _SetText:
    if field.message_type is not None and field.message_type.full_name not in _AS_TEXT:
        return _refuse_texts
    if field.is_repeated and not field.message_type:
        add = _add_scalars(field, from_text(field))
        return lambda message, texts, path, findings: add(message, list(texts), path, findings)
    one = _setter(field) if field.message_type else _set_scalar(field, from_text(field))

    def set_field(message: Message, texts: Sequence[str], path: str, findings: Findings) -> None:
        if len(texts) > 1:
            findings.note(path, "is given several times")
        elif may_be_set(field, message, "", findings):
            one(message, texts[0], path, findings)

    return set_field


def _refuse_texts(_message: Message, _texts: Sequence[str], path: str, findings: Findings) -> None:
    findings.note(path, "cannot stand in a path or query")


def may_be_set(field: FieldDescriptor, message: Message, path: str, findings: Findings) -> bool:
    """Tell whether no other field of the same oneof is set; note it otherwise."""
    oneof = field.containing_oneof
    if oneof is None or len(oneof.fields) == 1:
        return True
    if message.WhichOneof(oneof.name) in {None, field.name}:
        return True
    names = ", ".join(one.json_name for one in oneof.fields)
    findings.note(path + field.json_name, f"is one too many: give one of {names}")
    return False


def _is_well_known(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name in WELL_KNOWN


def _setter(field: FieldDescriptor) -> _Set:
    inner = field.message_type
    if inner is None:
        convert = from_json(field)
        return _add_scalars(field, convert) if field.is_repeated else _set_scalar(field, convert)
    if inner.GetOptions().map_entry:
        raise TypeError(f"{field.full_name}: a request cannot have a map")
    if inner.full_name in WELL_KNOWN and not field.is_repeated:
        return _fill_well_known(field, WELL_KNOWN[inner.full_name])
    if inner.file.package.startswith("google."):
        raise TypeError(f"{field.full_name}: a request cannot have {inner.full_name}")
    return _add_messages(field) if field.is_repeated else _fill_message(field)


def _set_scalar(field: FieldDescriptor, convert: Callable[[Any], Any]) -> _Set:
    name = field.name

    def set_field(message: Message, value: Any, path: str, findings: Findings) -> None:
        try:
            setattr(message, name, convert(value))
        except WrongValueError as wrong:
            findings.note(path, str(wrong))

    return set_field


def _add_scalars(field: FieldDescriptor, convert: Callable[[Any], Any]) -> _Set:
    name = field.name

    def set_field(message: Message, value: Any, path: str, findings: Findings) -> None:
        if not isinstance(value, list):
            findings.note(path, "must be a list")
            return
        found = []
        for number, item in enumerate(value):
            try:
                found.append(convert(item))
            except WrongValueError as wrong:
                findings.note(f"{path}[{number}]", str(wrong))
        getattr(message, name).extend(found)

    return set_field


def _fill_well_known(field: FieldDescriptor, fill: Fill) -> _Set:
    name = field.name

    def set_field(message: Message, value: Any, path: str, findings: Findings) -> None:
        inner = getattr(message, name)
        inner.SetInParent()
        try:
            fill(value, inner)
        except WrongValueError as wrong:
            findings.note(path, str(wrong))

    return set_field


def _fill_message(field: FieldDescriptor) -> _Set:
    name, descriptor = field.name, field.message_type

    def set_field(message: Message, value: Any, path: str, findings: Findings) -> None:
        inner = getattr(message, name)
        inner.SetInParent()
        reader_of(descriptor).read(value, inner, f"{path}.", findings)

    return set_field


def _add_messages(field: FieldDescriptor) -> _Set:
    name, descriptor = field.name, field.message_type

    def set_field(message: Message, value: Any, path: str, findings: Findings) -> None:
        if not isinstance(value, list):
            findings.note(path, "must be a list")
            return
        reader, items = reader_of(descriptor), getattr(message, name)
        for number, item in enumerate(value):
            reader.read(item, items.add(), f"{path}[{number}].", findings)

    return set_field


def check_readable(descriptor: Descriptor, seen: frozenset[str] = frozenset()) -> None:
    """Raise TypeError when a request of this type has a field that cannot be read from JSON."""
    if descriptor.full_name in seen:
        return
    reader_of(descriptor)
    for field in descriptor.fields:
        inner = field.message_type
        if inner is not None and inner.full_name not in WELL_KNOWN:
            check_readable(inner, seen | {descriptor.full_name})

"""Checks of whole requests, made once from the descriptors of their messages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from kalepool.rules.v1 import rules_pb2

from libs.common.errors import FieldViolation, InvalidArgumentError
from libs.common.rules.fields import RuleError, Surroundings, capped, declared, value_checks
from libs.common.rules.values import Check

#: Violations that the message names; the details have all that fit (libs/common/grpc/errors.py).
_IN_WORDS = 5
#: `unique_by` of a list whose items are themselves the values.
ITSELF = "."

#: Notes what is wrong: (path of the field, description).
Note = Callable[[str, str], None]
#: Looks at one field of a message whose own path, with a dot, comes second.
FieldCheck = Callable[[Any, str, Note], None]


@dataclass(frozen=True, kw_only=True)
class _Value:
    """The checks of one value of a field."""

    #: Rules of the value itself.
    checks: tuple[Check, ...]
    #: Rules of the fields in it, when it is a message of ours.
    fields: tuple[FieldCheck, ...]

    def check(self, value: Any, path: str, note: Note) -> None:
        for check in self.checks:
            if (wrong := check(value)) is not None:
                note(path, wrong)
                return
        for field in self.fields:
            field(value, f"{path}.", note)


class RuleBook:
    """All rules of one server's requests."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._messages: dict[str, tuple[FieldCheck, ...]] = {}

    def learn(self, service: ServiceDescriptor) -> None:
        """Read the rules of a service's requests.

        Raise RuleError when a field of a request has no rule.
        """
        for method in service.methods:
            self._fields(method.input_type)

    def check(self, request: Message) -> None:
        """Raise InvalidArgumentError with every violation, in the order of the fields."""
        found: list[FieldViolation] = []

        def note(path: str, description: str) -> None:
            found.append(FieldViolation(field=path, description=description))

        for field in self._messages.get(request.DESCRIPTOR.full_name, ()):
            field(request, "", note)
        if found:
            words = "; ".join(f"{one.field} {one.description}" for one in found[:_IN_WORDS])
            more = f"; and {len(found) - _IN_WORDS} more" if len(found) > _IN_WORDS else ""
            raise InvalidArgumentError(words + more, violations=found)

    def _fields(self, message: Descriptor) -> tuple[FieldCheck, ...]:
        known = self._messages.get(message.full_name)
        if known is None:
            known = tuple(self._checks(message))
            self._messages[message.full_name] = known
        return known

    def _checks(self, message: Descriptor) -> Iterator[FieldCheck]:
        for field in message.fields:
            rules = declared(field)
            value = self._value(field, rules)
            if field.is_repeated:
                yield self._list(field, rules, value)
            elif rules.required or value.checks or value.fields:
                yield _single(field, rules, value)
        for oneof in message.oneofs:
            if oneof.GetOptions().Extensions[rules_pb2.one_required]:
                yield _one_of(oneof.name, [field.name for field in oneof.fields])

    def _value(self, field: FieldDescriptor, rules: rules_pb2.FieldRules) -> _Value:
        inner = field.message_type
        is_ours = inner is not None and not inner.full_name.startswith("google.")
        return _Value(
            checks=value_checks(field, rules, self._around),
            fields=self._fields(inner) if inner is not None and is_ours else (),
        )

    def _list(
        self, field: FieldDescriptor, rules: rules_pb2.FieldRules, value: _Value
    ) -> FieldCheck:
        name, low = field.name, int(rules.required)
        high = capped(rules, rules.max_items, self._around) or rules.max_items
        unique = _unique(field, rules.unique_by) if rules.unique_by else None

        def check(message: Any, prefix: str, note: Note) -> None:
            items, path = getattr(message, name), prefix + name
            if not low <= len(items) <= high:
                note(path, f"must have {low} to {high} items, not {len(items)}")
                return
            for number, item in enumerate(items):
                value.check(item, f"{path}[{number}]", note)
            if unique is not None:
                unique(items, path, note)

        return check


def _single(field: FieldDescriptor, rules: rules_pb2.FieldRules, value: _Value) -> FieldCheck:
    name, required, has_presence = field.name, rules.required, field.has_presence
    is_text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING
    may_be_empty = is_text and not rules.min_len and not required

    def check(message: Any, prefix: str, note: Note) -> None:
        found = getattr(message, name)
        if not (message.HasField(name) if has_presence else found):
            if required:
                note(prefix + name, "is required")
        elif found or not may_be_empty:
            value.check(found, prefix + name, note)

    return check


def _one_of(name: str, names: list[str]) -> FieldCheck:
    def check(message: Any, prefix: str, note: Note) -> None:
        if message.WhichOneof(name) is None:
            note(prefix + name, f"one of {', '.join(names)} is required")

    return check


def _unique(field: FieldDescriptor, by: str) -> Callable[[Any, str, Note], None]:
    """Make the check that no value repeats. Case is ignored: a UUID may be written in two ways."""
    inner = field.message_type
    if (by == ITSELF) != (inner is None) or (inner is not None and by not in inner.fields_by_name):
        raise RuleError(f"{field.full_name} has no {by} to be unique")
    ending = "" if by == ITSELF else f".{by}"

    def check(items: Any, path: str, note: Note) -> None:
        seen: dict[object, int] = {}
        for number, item in enumerate(items):
            value = item if by == ITSELF else getattr(item, by)
            first = seen.setdefault(str(value).lower(), number)
            if value and first != number:
                note(f"{path}[{number}]{ending}", f"repeats {path}[{first}]{ending}")

    return check

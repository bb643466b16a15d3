"""The checks of one field, made from its rules.

A rule that does not fit its field fails at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.descriptor import FieldDescriptor
from kalepool.rules.v1 import rules_pb2

from libs.common.rules import values
from libs.common.rules.values import Check, Parse
from libs.common.texts import fault_of

_NUMBERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_GENERAL = frozenset({"any", "required", "max_items", "unique_by", "max_setting"})
_TEXT = frozenset({"format", "min_len", "max_len", "page_key"})
_JSON = "google.protobuf.Struct"


class RuleError(Exception):
    """The protos declare a rule that makes no sense; found when a server starts."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The formats and settings that rules take from the process that checks them."""

    #: Formats that the pool has beside the general ones, by name: STELLAR_ACCOUNT.
    formats: Mapping[str, Parse]
    #: Settings that rules name, by name: MAX_FARMERS.
    settings: Mapping[str, int]


def declared(field: FieldDescriptor) -> rules_pb2.FieldRules:
    """Return the rules next to a field; raise RuleError when there are none."""
    rules: rules_pb2.FieldRules = field.GetOptions().Extensions[rules_pb2.field]
    if not rules.ListFields():
        raise RuleError(f"{field.full_name} has no rule (kalepool.rules.v1.field)")
    _fit(field, rules)
    return rules


def value_checks(
    field: FieldDescriptor, rules: rules_pb2.FieldRules, around: Surroundings
) -> tuple[Check, ...]:
    """Return the checks of each value of the field; the first one that fails is reported."""
    return tuple(_checks(field, rules, around))


def capped(rules: rules_pb2.FieldRules, limit: int | None, around: Surroundings) -> int | None:
    """Return the limit, or the setting that the rules name when the setting is lower."""
    if not rules.max_setting:
        return limit
    if rules.max_setting not in around.settings:
        raise RuleError(f"no setting is called {rules.max_setting}")
    setting = around.settings[rules.max_setting]
    return setting if limit is None else min(limit, setting)


def _checks(
    field: FieldDescriptor, rules: rules_pb2.FieldRules, around: Surroundings
) -> Iterator[Check]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        yield from _text_checks(field, rules, around)
    elif field.cpp_type in _NUMBERS:
        low = rules.min if rules.HasField("min") else None
        high = capped(rules, rules.max if rules.HasField("max") else None, around)
        if low is not None or high is not None:
            yield values.in_range(low, high)
    elif field.enum_type is not None and rules.defined_only:
        yield values.is_defined(frozenset(field.enum_type.values_by_number))
    elif rules.HasField("json"):
        yield values.is_json(rules.json)


def _text_checks(
    field: FieldDescriptor, rules: rules_pb2.FieldRules, around: Surroundings
) -> Iterator[Check]:
    if rules.HasField("max_len"):
        low = max(rules.min_len, int(rules.required))
        unit = "bytes" if field.type == FieldDescriptor.TYPE_BYTES else "characters"
        yield values.has_length(low, rules.max_len, unit)
    if rules.page_key:
        yield values.is_page_token(rules.page_key)
    if rules.format:
        yield _format(rules.format, around)


def _format(number: rules_pb2.Format.ValueType, around: Surroundings) -> Check:
    if number == rules_pb2.FORMAT_UUID:
        return values.is_uuid
    if number == rules_pb2.FORMAT_TEXT:
        return fault_of
    name = rules_pb2.Format.Name(number).removeprefix("FORMAT_")
    if name not in around.formats:
        raise RuleError(f"this server knows no format {name}")
    return values.parses(around.formats[name])


def _fit(field: FieldDescriptor, rules: rules_pb2.FieldRules) -> None:
    """Check that the rules fit the field's type: a rule of another type would do nothing."""
    strange = {found.name for found, _ in rules.ListFields()} - _GENERAL - _fitting(field)
    if strange:
        raise RuleError(f"{field.full_name} cannot have the rules {sorted(strange)}")
    if not field.is_repeated and (rules.HasField("max_items") or rules.unique_by):
        raise RuleError(f"{field.full_name} is no list")
    if field.is_repeated and not rules.HasField("max_items"):
        raise RuleError(f"{field.full_name} is a list without max_items")
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and not _is_bounded(rules):
        raise RuleError(f"{field.full_name} may be of any length")
    if field.cpp_type in _NUMBERS and not _tells_zero_from_nothing(field, rules):
        raise RuleError(f"{field.full_name} may be 0, so it has to be optional")


def _fitting(field: FieldDescriptor) -> frozenset[str]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _TEXT
    if field.cpp_type in _NUMBERS:
        return frozenset({"min", "max"})
    if field.enum_type is not None:
        return frozenset({"defined_only"})
    if field.message_type is not None and field.message_type.full_name == _JSON:
        return frozenset({"json"})
    return frozenset()


def _tells_zero_from_nothing(field: FieldDescriptor, rules: rules_pb2.FieldRules) -> bool:
    """Tell whether a number that was forgotten cannot be taken for one that was sent.

    Without presence both are 0, so 0 must be no value: refused, or the word for "not set".
    """
    return field.has_presence or field.is_repeated or rules.required or rules.min > 0


def _is_bounded(rules: rules_pb2.FieldRules) -> bool:
    free = {rules_pb2.FORMAT_UNSPECIFIED, rules_pb2.FORMAT_TEXT}
    return rules.HasField("max_len") or rules.format not in free

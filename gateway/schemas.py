"""JSON Schemas (2020-12) of messages, from their descriptors, the rules of fields and comments."""

from collections.abc import Mapping

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from kalepool.rules.v1 import rules_pb2

from gateway.comments import comment_of
from gateway.values import LIMITS, bounds_of, rules_of
from libs.http.reference.document import Schema

_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_FORMATS: Mapping[int, Schema] = {
    rules_pb2.FORMAT_TEXT: {"pattern": r"^[^\u0000-\u001f\u007f]*$"},
    rules_pb2.FORMAT_UUID: {"format": "uuid", "pattern": _UUID},
    rules_pb2.FORMAT_STELLAR_ACCOUNT: {"pattern": "^G[A-Z2-7]{55}$"},
    rules_pb2.FORMAT_STELLAR_ADDRESS: {"pattern": "^[GC][A-Z2-7]{55}$"},
    rules_pb2.FORMAT_FRACTION: {"pattern": r"^(0(\.[0-9]{1,4})?|1(\.0{1,4})?)$"},
}
_LONG = {
    FieldDescriptor.CPPTYPE_INT64: ("int64", "^-?[0-9]{1,19}$"),
    FieldDescriptor.CPPTYPE_UINT64: ("uint64", "^[0-9]{1,20}$"),
}
_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
    "google.protobuf.Struct": {"type": "object"},
}


def name_of(descriptor: Descriptor | EnumDescriptor) -> str:
    """Return the name of a type's schema: wallet.Block for kalepool.wallet.v1.Block."""
    parts = descriptor.full_name.removeprefix("kalepool.").split(".")
    return ".".join(part for part in parts if part != "v1")


class Schemas:
    """The schemas of all types that were asked for, and of those that they hold."""

    def __init__(self) -> None:
        #: By name, as they stand in an OpenAPI document's components.
        self.all: dict[str, Schema] = {}
        #: Names of those that stand in requests: what holds of them there holds of them anywhere.
        self._in_requests: set[str] = set()

    def reference(self, descriptor: Descriptor, *, is_request: bool) -> Schema:
        """Return a reference to a message's schema, which is made when it is not there."""
        known = _WELL_KNOWN.get(descriptor.full_name)
        if known is not None:
            return dict(known)
        name = name_of(descriptor)
        if name not in self.all or (is_request and name not in self._in_requests):
            if is_request:
                self._in_requests.add(name)
            self.all[name] = {}
            self.all[name] = self.message(descriptor, is_request=is_request, left_out=())
        return {"$ref": f"#/components/schemas/{name}"}

    def message(
        self, descriptor: Descriptor, *, is_request: bool, left_out: tuple[str, ...]
    ) -> Schema:
        """Return a message's schema, without some fields."""
        fields = [field for field in descriptor.fields if field.name not in left_out]
        schema: Schema = {
            "type": "object",
            "properties": {
                field.json_name: self.field(field, is_request=is_request) for field in fields
            },
        }
        comment = comment_of(descriptor.full_name)
        if comment:
            schema["description"] = comment
        if is_request:
            # A field of a request may be null: it is not set then.
            schema["additionalProperties"] = False
            required = [field.json_name for field in fields if rules_of(field).required]
        else:
            required = [field.json_name for field in fields if not field.has_presence]
        if required:
            schema["required"] = required
        return schema

    def field(self, field: FieldDescriptor, *, is_request: bool) -> Schema:
        """Return a field's schema, with its comment and the rules that hold for requests."""
        inner = field.message_type
        rules = rules_of(field) if is_request else rules_pb2.FieldRules()
        schema = self._value(field, rules, is_request=is_request)
        if inner is not None and inner.GetOptions().map_entry:
            value = inner.fields_by_name["value"]
            schema = {
                "type": "object",
                "additionalProperties": self._value(value, rules, is_request=is_request),
            }
        elif field.is_repeated:
            schema = {"type": "array", "items": schema}
            if rules.HasField("max_items"):
                schema["maxItems"] = rules.max_items
            if rules.required:
                schema["minItems"] = 1
        comment = comment_of(field.full_name)
        return {**schema, "description": comment} if comment else schema

    def _value(
        self, field: FieldDescriptor, rules: rules_pb2.FieldRules, *, is_request: bool
    ) -> Schema:
        if field.message_type is not None:
            return self.reference(field.message_type, is_request=is_request)
        if field.enum_type is not None:
            known = self._enum(field.enum_type)
            return _without_first(known, field.enum_type) if rules.required else known
        return _scalar(field, rules, is_request=is_request)

    def _enum(self, descriptor: EnumDescriptor) -> Schema:
        name = name_of(descriptor)
        if name not in self.all:
            values = [
                f"- `{value.name}`: {comment_of(_value_name(descriptor, value.name))}"
                for value in descriptor.values
            ]
            self.all[name] = {
                "type": "string",
                "enum": [value.name for value in descriptor.values],
                "description": "\n".join([comment_of(descriptor.full_name), "", *values]),
            }
        return {"$ref": f"#/components/schemas/{name}"}


def _value_name(descriptor: EnumDescriptor, name: str) -> str:
    """Return the name of an enum's value in comments.json, where it stands below its enum."""
    return f"{descriptor.full_name}.{name}"


def _without_first(schema: Schema, descriptor: EnumDescriptor) -> Schema:
    """Return an enum's schema without the value that stands for "not set"."""
    return {**schema, "not": {"const": descriptor.values_by_number[0].name}}


def _scalar(field: FieldDescriptor, rules: rules_pb2.FieldRules, *, is_request: bool) -> Schema:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"type": "boolean"}
    if field.cpp_type in _LONG:
        return _long(field, is_request=is_request)
    if field.cpp_type in LIMITS:
        return {"type": "integer", **_bounds(field, is_request=is_request)}
    return _text(field, rules) if is_request else {"type": "string"}


def _long(field: FieldDescriptor, *, is_request: bool) -> Schema:
    """Return the schema of a number of 64 bits: JSON has it as a string."""
    name, pattern = _LONG[field.cpp_type]
    text: Schema = {"type": "string", "format": name, "pattern": pattern}
    if not is_request:
        return text
    return {"anyOf": [text, {"type": "integer", **_bounds(field, is_request=True)}]}


def _bounds(field: FieldDescriptor, *, is_request: bool) -> Schema:
    """Return the bounds of a number, which in requests are those that are enforced.

    A 0 that means "not set" may always be given.
    """
    if not is_request:
        low, high = LIMITS[field.cpp_type]
        return {"minimum": low, "maximum": high}
    low, high = bounds_of(field)
    return {"minimum": min(0, low) if _may_be_unset(field) else low, "maximum": high}


def _may_be_unset(field: FieldDescriptor) -> bool:
    """Tell whether a field's 0 or empty text means that the field is not set, which is allowed."""
    return not (rules_of(field).required or field.has_presence or field.is_repeated)


def _text(field: FieldDescriptor, rules: rules_pb2.FieldRules) -> Schema:
    schema: Schema = {"type": "string"}
    shape = _FORMATS.get(rules.format, {})
    # An empty text means that the field is not set. In a list, it is an item like any other.
    may_be_empty = not rules.required and not rules.min_len and not field.is_repeated
    if may_be_empty and "pattern" in shape:
        pattern = shape["pattern"].removeprefix("^").removesuffix("$")
        shape = {"pattern": f"^({pattern})?$"}
    schema |= shape
    if rules.HasField("max_len"):
        schema["maxLength"] = rules.max_len
    low = max(rules.min_len, int(rules.required))
    if low:
        schema["minLength"] = low
    return schema

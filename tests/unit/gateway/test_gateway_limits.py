"""What the reference says of requests is what is enforced: limits, what has to be there, types."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor

from gateway.bindings import Binding, all_bindings
from gateway.examples import value_of
from gateway.openapi import document_of
from gateway.reader import Findings, reader_of
from gateway.schemas import name_of
from gateway.seed import ACTIONS
from libs.common.errors import InvalidArgumentError
from libs.common.rules.book import RuleBook
from libs.common.rules.fields import Surroundings
from libs.http.strict_json import parse
from libs.kale.formats import FORMATS

BINDINGS = all_bindings()
DOCUMENT = document_of(BINDINGS)
SCHEMAS = DOCUMENT["components"]["schemas"]
BOOK = RuleBook(Surroundings(formats=FORMATS, settings={"MAX_FARMERS": 1000}))
for one in BINDINGS:
    BOOK.learn(one.method.descriptor.containing_service)


def messages(descriptor: Descriptor, seen: set[str]) -> Iterator[Descriptor]:
    """A request and the messages of ours in it, each once."""
    if descriptor.full_name in seen or descriptor.full_name.startswith("google."):
        return
    seen.add(descriptor.full_name)
    yield descriptor
    for field in descriptor.fields:
        if field.message_type is not None:
            yield from messages(field.message_type, seen)


def requests() -> list[Descriptor]:
    """The types of everything that may stand in a request."""
    seen = set[str]()
    return [
        found
        for binding in BINDINGS
        for found in messages(binding.method.descriptor.input_type, seen)
    ]


def parameters_of(binding: Binding) -> list[Any]:
    """What the document says of a way's path and query."""
    path, names = binding.template.text, binding.method.descriptor.input_type.fields_by_name
    for name in binding.template.variables:
        path = path.replace(f"{{{name}}}", f"{{{names[name].json_name}}}")
    found: list[Any] = DOCUMENT["paths"][path][binding.verb.lower()]["parameters"]
    return found


def parameters() -> dict[tuple[str, str], Any]:
    """The schemas of what stands in paths and queries, by the request's type and the field."""
    return {
        (name_of(binding.method.descriptor.input_type), one["name"]): one["schema"]
        for binding in BINDINGS
        for one in parameters_of(binding)
    }


def fields() -> list[Any]:
    """Every field of every request as the document has it: in a body, a path or a query."""
    found, outside = [], parameters()
    for descriptor in requests():
        for field in descriptor.fields:
            name = name_of(descriptor)
            body = SCHEMAS.get(name, {}).get("properties", {}).get(field.json_name)
            schema = outside.get((name, field.json_name)) if body is None else body
            if schema is not None:
                found.append(pytest.param(field, schema, id=field.full_name))
    return found


FIELDS = fields()


def wrong(field: Any, value: Any) -> str:
    """Return what is wrong with a value of JSON in a field, by gateway or rules; "" for nothing."""
    descriptor = field.containing_type
    message, findings = message_factory.GetMessageClass(descriptor)(), Findings()
    try:
        read = parse(json.dumps({field.json_name: value}).encode())
        reader_of(descriptor).read(read, message, "", findings)
        findings.check()
        BOOK.check(message)
    except InvalidArgumentError as error:
        names = (field.json_name, field.name)
        told = [one.description for one in error.violations if one.field in names]
        return told[0] if told else ""
    return ""


def missing(descriptor: Descriptor) -> set[str]:
    """Return the fields that a message without any is told to need."""
    try:
        BOOK.check(message_factory.GetMessageClass(descriptor)())
    except InvalidArgumentError as error:
        told = {one.field for one in error.violations}
        return {field.json_name for field in descriptor.fields if field.name in told}
    return set()


def part(schema: Any, kind: str) -> Any:
    """Return a schema, or that of its alternatives, that is of a kind; None when there is none."""
    found = [one for one in schema.get("anyOf", [schema]) if one.get("type") == kind]
    return found[0] if found else None


def test_most_of_what_can_be_sent_is_looked_at() -> None:
    assert len(FIELDS) > 80
    assert sum(part(one.values[1], "integer") is not None for one in FIELDS) > 20


@pytest.mark.parametrize(("field", "schema"), FIELDS)
def test_numbers_are_taken_up_to_the_limits_of_the_reference(field: Any, schema: Any) -> None:
    number = part(schema, "integer")
    if number is None or field.is_repeated:
        return
    low, high = number["minimum"], number["maximum"]
    assert wrong(field, low) == ""
    assert wrong(field, high) == ""
    assert str(high) in wrong(field, high + 1)
    # A 0 where there has to be another number counts as not sent.
    assert wrong(field, low - 1).startswith("must be" if low != 1 else ("must be", "is required"))
    # However far beyond it is, the same limit is named.
    for beyond in (2**31, 2**32, 2**63):
        if beyond > high:
            assert str(high) in wrong(field, beyond)


@pytest.mark.parametrize(("field", "schema"), FIELDS)
def test_texts_and_lists_are_taken_up_to_the_lengths_of_the_reference(
    field: Any, schema: Any
) -> None:
    text = part(schema, "string") if field.message_type is None else None
    if text is not None and "maxLength" in text:
        most = text["maxLength"]
        assert "characters, not" not in wrong(field, "a" * most)
        assert f"{most} characters, not {most + 1}" in wrong(field, "a" * (most + 1))
    if "maxItems" in schema:
        most, item = schema["maxItems"], value_of(field)[0]
        assert "items, not" not in wrong(field, [item] * most)
        assert f"{most} items, not {most + 1}" in wrong(field, [item] * (most + 1))


@pytest.mark.parametrize("descriptor", requests(), ids=lambda one: one.full_name)
def test_what_has_to_be_there_is_what_the_reference_requires(descriptor: Any) -> None:
    schema = SCHEMAS.get(name_of(descriptor))
    if schema is not None:  # else all of it stands in paths and queries
        assert set(schema.get("required", ())) == missing(descriptor)


@pytest.mark.parametrize(
    "binding",
    [one for one in BINDINGS if not one.has_body],
    ids=lambda one: f"{one.verb} {one.template.text}",
)
def test_a_parameter_that_has_to_be_there_is_required(binding: Any) -> None:
    required = {one["name"] for one in parameters_of(binding) if one["required"]}
    variables = {
        binding.method.descriptor.input_type.fields_by_name[name].json_name
        for name in binding.template.variables
    }
    assert required == missing(binding.method.descriptor.input_type) | variables


#: A value of each kind of JSON.
SAMPLES: list[Any] = [True, "x", 7, 1.5, [], {}]
#: What a field says that it has to be, by the kind of value that the reference has for it.
WORDS = {
    "integer": "must be a whole number",
    "boolean": "must be true or false",
    "string": "must be a string",
    "array": "must be a list",
    "object": "must be an object",
}


@pytest.mark.parametrize(("field", "schema"), FIELDS)
def test_a_value_of_another_kind_is_told_the_kind_of_the_field(field: Any, schema: Any) -> None:
    target = SCHEMAS.get(schema.get("$ref", "").rpartition("/")[2], schema)
    kind = target["anyOf"][1]["type"] if "anyOf" in target else target["type"]
    expected = WORDS[kind]
    if "enum" in target:
        expected = "must be one of"
    elif "contentEncoding" in target:
        expected = "must be bytes in base64"
    elif target.get("format") == "date-time":
        expected = "must be a moment"
    fitting = {"integer": (int,), "boolean": (bool,), "string": (str,)}
    for sample in SAMPLES:
        kinds: tuple[type, ...] = fitting.get(kind, (list if kind == "array" else dict,))
        if type(sample) in kinds or ("enum" in target and type(sample) is int):
            continue
        assert wrong(field, sample).startswith(expected), (sample, wrong(field, sample))


def test_the_seeds_requests_are_those_of_the_rpcs() -> None:
    inputs = {one.method.descriptor.full_name: one.method.descriptor.input_type for one in BINDINGS}
    for action in ACTIONS:
        body = DOCUMENT["paths"][action.path]["post"]["requestBody"]
        reference = body["content"]["application/json"]["schema"]["$ref"]
        seeds = SCHEMAS[reference.rpartition("/")[2]]
        rpcs = SCHEMAS[name_of(inputs[action.method])]
        own = {"stakePercentage"} if action.path == "/farmers/register" else set()
        assert seeds["required"] == rpcs["required"]
        assert set(seeds["properties"]) == set(rpcs["properties"])
        for name, schema in rpcs["properties"].items():
            assert name in own or seeds["properties"][name] == schema

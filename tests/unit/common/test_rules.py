"""Rules next to the fields of requests: every field has one, and each does what it says."""

import itertools
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from kalepool.rules.v1 import rules_pb2

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.rpcs import services
from libs.common.paging import encode_token
from libs.common.rules.book import RuleBook
from libs.common.rules.fields import RuleError, Surroundings, declared
from libs.kale.formats import FORMATS

AROUND = Surroundings(formats=FORMATS, settings={"MAX_FARMERS": 1000})
SOMEBODY = "0190a5f0-0000-7000-8000-00000000000a"
Field = descriptor_pb2.FieldDescriptorProto
#: Names of made messages: the pool of descriptors takes each once.
NUMBERS = itertools.count()


def methods() -> Iterator[MethodDescriptor]:
    """Every RPC of the pool."""
    for service in services():
        yield from service.methods


def messages_in(message: Descriptor, seen: set[str]) -> Iterator[Descriptor]:
    """A message of ours and all in it, each once."""
    if message.full_name in seen or message.full_name.startswith("google."):
        return
    seen.add(message.full_name)
    yield message
    for field in message.fields:
        if field.message_type is not None:
            yield from messages_in(field.message_type, seen)


def test_every_field_of_every_request_has_a_rule() -> None:
    bare, seen = [], set[str]()
    for method in methods():
        for message in messages_in(method.input_type, seen):
            for field in message.fields:
                if not field.GetOptions().HasExtension(rules_pb2.field):
                    bare.append(field.full_name)
                else:
                    declared(field)
    assert bare == []
    assert len(seen) > 40


def test_no_rule_stands_where_nobody_looks() -> None:
    requests = set[str]()
    for method in methods():
        list(messages_in(method.input_type, requests))
    answers = set[str]()
    for method in methods():
        for message in messages_in(method.output_type, answers):
            if message.full_name not in requests:
                ruled = [f.name for f in message.fields if f.GetOptions().ListFields()]
                assert not ruled, message.full_name


def test_every_server_can_learn_its_rules() -> None:
    book = RuleBook(AROUND)
    for service in services():
        book.learn(service)


def build(*fields: Field, items: list[Field] | None = None) -> type[Message]:
    """A message class, made now, with a service that takes it."""
    name = f"fresh.n{next(NUMBERS)}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto",
        package=name,
        syntax="proto3",
        dependency=["kalepool/rules/v1/rules.proto"],
    )
    request = file.message_type.add(name="Request")
    request.field.extend(fields)
    file.message_type.add(name="Item").field.extend(items or [])
    kind = file.enum_type.add(name="Kind")
    for number, value in enumerate(("KIND_UNSPECIFIED", "KIND_ONE")):
        kind.value.add(name=value, number=number)
    for field in (*request.field, *file.message_type[1].field):
        if field.type_name:
            field.type_name = field.type_name.replace("$", f".{name}.")
        if field.proto3_optional:
            field.oneof_index = len(request.oneof_decl)
            request.oneof_decl.add(name=f"_{field.name}")
    file.service.add(name="Service").method.add(
        name="Call", input_type=f".{name}.Request", output_type=f".{name}.Request"
    )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{name}.Request"))


def field(
    name: str,
    kind: Any,
    *,
    rules: dict[str, Any] | None = None,
    many: bool = False,
    optional: bool = False,
    type_name: str = "",
) -> Field:
    """A field with rules."""
    made = Field(
        name=name,
        number=sum(map(ord, name)),
        type=kind,
        type_name=type_name or None,
        label=Field.LABEL_REPEATED if many else Field.LABEL_OPTIONAL,
        proto3_optional=optional,
    )
    if rules is not None:
        made.options.Extensions[rules_pb2.field].CopyFrom(rules_pb2.FieldRules(**rules))
    return made


def book_of(message: type[Message], around: Surroundings = AROUND) -> RuleBook:
    """A book that knows the message."""
    book = RuleBook(around)
    service: Any = message.DESCRIPTOR.file.services_by_name["Service"]
    book.learn(service)
    return book


def complaints(message: type[Message], **values: Any) -> list[tuple[str, str]]:
    """What is wrong with a request."""
    try:
        book_of(message).check(message(**values))
    except InvalidArgumentError as error:
        return [(one.field, one.description) for one in error.violations]
    return []


TEXTS: list[tuple[dict[str, Any], str, str]] = [
    ({"required": True, "max_len": 9}, "", "is required"),
    ({"max_len": 3}, "abcd", "must have 0 to 3 characters, not 4"),
    ({"required": True, "max_len": 3}, "abcd", "must have 1 to 3 characters, not 4"),
    ({"max_len": 9, "format": rules_pb2.FORMAT_TEXT}, "a\x00", "must not have control characters"),
    ({"format": rules_pb2.FORMAT_UUID}, SOMEBODY.replace("-", ""), "must be a UUID"),
    ({"format": rules_pb2.FORMAT_UUID}, str(UUID(int=0)), "must be a UUID"),
    ({"format": rules_pb2.FORMAT_UUID}, SOMEBODY + "\n", "must be a UUID"),
    ({"format": rules_pb2.FORMAT_STELLAR_ACCOUNT}, "C" * 56, "must be the address of a Stellar"),
    ({"format": rules_pb2.FORMAT_STELLAR_ADDRESS}, "C" * 55, "must have 56 characters, not 55"),
    ({"format": rules_pb2.FORMAT_FRACTION}, "2", "must be a decimal"),
    ({"max_len": 99, "page_key": [rules_pb2.KEY_PART_ID]}, encode_token([7]), "is not a next_page"),
]


@pytest.mark.parametrize(("rules", "value", "said"), TEXTS)
def test_texts(rules: dict[str, Any], value: str, said: str) -> None:
    message = build(field("text", Field.TYPE_STRING, rules=rules))
    ((where, what),) = complaints(message, text=value)
    assert where == "text"
    assert what.startswith(said)


def test_what_is_not_set_is_held_against_required_only() -> None:
    message = build(
        field("id", Field.TYPE_STRING, rules={"format": rules_pb2.FORMAT_UUID}),
        field("size", Field.TYPE_INT32, rules={"min": 1, "max": 5}),
        field("name", Field.TYPE_STRING, rules={"min_len": 1, "max_len": 3}, optional=True),
        field("limit", Field.TYPE_INT32, rules={"min": 1}, optional=True),
    )
    assert complaints(message) == []
    assert complaints(message, name="", limit=0) == [
        ("name", "must have 1 to 3 characters, not 0"),
        ("limit", "must be at least 1, not 0"),
    ]


def test_a_zero_that_was_sent_is_not_a_number_that_was_forgotten() -> None:
    message = build(
        field("block", Field.TYPE_UINT32, rules={"required": True, "max": 9}, optional=True),
        field("nonce", Field.TYPE_UINT64, rules={"required": True}, optional=True),
        field("size", Field.TYPE_INT32, rules={"required": True}),
    )
    assert complaints(message, block=0, nonce=0, size=1) == []
    assert complaints(message) == [
        ("block", "is required"),
        ("nonce", "is required"),
        ("size", "is required"),
    ]
    assert complaints(message, block=0, nonce=0, size=0) == [("size", "is required")]


def test_all_violations_come_at_once_with_their_paths() -> None:
    message = build(
        field(
            "items",
            Field.TYPE_MESSAGE,
            rules={"required": True, "max_items": 3, "unique_by": "id"},
            many=True,
            type_name="$Item",
        ),
        field("kind", Field.TYPE_ENUM, rules={"defined_only": True}, type_name="$Kind"),
        field("one", Field.TYPE_MESSAGE, rules={"required": True}, type_name="$Item"),
        items=[
            field(
                "id", Field.TYPE_STRING, rules={"required": True, "format": rules_pb2.FORMAT_UUID}
            ),
            field("raw", Field.TYPE_BYTES, rules={"max_len": 2}),
        ],
    )
    assert [where for where, _ in complaints(message)] == ["items", "one"]
    items = [{"id": SOMEBODY}, {"id": "x", "raw": b"abc"}, {"id": SOMEBODY.upper()}]
    assert complaints(message, items=items, kind=7, one={}) == [
        ("items[1].id", "must be a UUID"),
        ("items[1].raw", "must have 0 to 2 bytes, not 3"),
        ("items[2].id", "repeats items[0].id"),
        ("kind", "has no value 7"),
        ("one.id", "is required"),
    ]
    assert complaints(message, items=[{}] * 4, one={"id": SOMEBODY}) == [
        ("items", "must have 1 to 3 items, not 4")
    ]


@given(st.integers(-(2**63), 2**63 - 1))
def test_exactly_the_numbers_in_range_are_taken(number: int) -> None:
    assert (complaints(NUMBER, number=number) == []) == (-3 <= number <= 1000)


NUMBER = build(
    field(
        "number",
        Field.TYPE_INT64,
        rules={"min": -3, "max": 2000, "max_setting": "MAX_FARMERS"},
        optional=True,
    )
)


@given(st.text(max_size=40))
def test_any_text_is_taken_or_told(text: str) -> None:
    said = complaints(ANY_TEXT, id=text, token=text, account=text)
    assert {where for where, _ in said} <= {"id", "token", "account"}
    assert bool(said) == bool(text)


ANY_TEXT = build(
    field("id", Field.TYPE_STRING, rules={"format": rules_pb2.FORMAT_UUID}),
    field(
        "token", Field.TYPE_STRING, rules={"max_len": 50, "page_key": [rules_pb2.KEY_PART_INDEX]}
    ),
    field("account", Field.TYPE_STRING, rules={"format": rules_pb2.FORMAT_STELLAR_ACCOUNT}),
)

NONSENSE: list[tuple[Field, str]] = [
    (field("bare", Field.TYPE_STRING), "has no rule"),
    (field("empty", Field.TYPE_STRING, rules={}), "has no rule"),
    (field("free", Field.TYPE_STRING, rules={"required": True}), "any length"),
    (field("plain", Field.TYPE_STRING, rules={"format": rules_pb2.FORMAT_TEXT}), "any length"),
    (field("number", Field.TYPE_INT32, rules={"max_len": 3}), "max_len"),
    (field("text", Field.TYPE_STRING, rules={"min": 3, "max_len": 1}), "min"),
    (field("many", Field.TYPE_INT32, rules={"min": 3}, many=True), "without max_items"),
    (field("single", Field.TYPE_INT32, rules={"max_items": 3}), "is no list"),
    (
        field("cap", Field.TYPE_INT32, rules={"min": 1, "max_setting": "MAX_NOTHING"}),
        "MAX_NOTHING",
    ),
    (field("any", Field.TYPE_UINT64, rules={"any": True}), "has to be optional"),
    (field("high", Field.TYPE_UINT32, rules={"max": 9}), "has to be optional"),
    (field("zero", Field.TYPE_INT64, rules={"min": 0}), "has to be optional"),
    (field("below", Field.TYPE_INT32, rules={"min": -1, "max": 9}), "has to be optional"),
    (
        field("twin", Field.TYPE_STRING, rules={"max_len": 1, "max_items": 2, "unique_by": "id"}),
        "is no list",
    ),
]


@pytest.mark.parametrize(("made", "said"), NONSENSE)
def test_nonsense_is_found_when_the_server_starts(made: Field, said: str) -> None:
    with pytest.raises(RuleError, match=said):
        book_of(build(made))


def test_a_format_that_the_server_does_not_know_is_found_at_its_start() -> None:
    message = build(field("to", Field.TYPE_STRING, rules={"format": rules_pb2.FORMAT_FRACTION}))
    with pytest.raises(RuleError, match="FRACTION"):
        book_of(message, Surroundings(formats={}, settings={}))

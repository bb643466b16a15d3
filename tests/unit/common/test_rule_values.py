"""Checks of single values: what passes at the very edge, and the words for what does not."""

from typing import Any
from uuid import UUID

import pytest
from google.protobuf import struct_pb2
from kalepool.rules.v1 import rules_pb2

from libs.common.paging import encode_token
from libs.common.rules.values import (
    has_length,
    in_range,
    is_defined,
    is_json,
    is_page_token,
    is_uuid,
    parses,
)

ID = "0190a5f0-0000-7000-8000-00000000000a"


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (ID, True),
        (ID.upper(), True),
        ("00000000-0000-0000-0000-000000000001", True),
        ("00000000-0000-0000-0000-000000000000", False),
        (ID.replace("-", ""), False),
        (f"{{{ID}}}", False),
        (ID + "a", False),
        (ID[:-1], False),
        (ID.replace("a", "g"), False),
        ("", False),
    ],
)
def test_an_id_has_its_canonical_form_and_is_not_nil(text: str, passes: bool) -> None:
    assert is_uuid(text) == (None if passes else "must be a UUID")


def test_what_does_not_parse_is_told_in_the_parsers_words() -> None:
    def parse(text: str) -> int:
        if text == "x":
            raise ValueError("is an x")
        return 0

    assert parses(parse)("x") == "is an x"
    assert parses(parse)("y") is None


def test_a_length_is_within_its_bounds() -> None:
    check = has_length(2, 4, "characters")
    assert [check("a" * size) for size in (2, 3, 4)] == [None] * 3
    assert check("a") == "must have 2 to 4 characters, not 1"
    assert check(b"12345") == "must have 2 to 4 characters, not 5"
    assert has_length(2, 2, "bytes")(b"1") == "must have 2 bytes, not 1"
    assert has_length(2, 2, "bytes")(b"12") is None


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(-1, 3, "from -1 to 3"), (-1, None, "at least -1"), (None, 3, "at most 3"), (0, 0, "from 0")],
)
def test_a_number_is_within_its_bounds(low: int | None, high: int | None, words: str) -> None:
    check = in_range(low, high)
    for bound, step in ((low, -1), (high, 1)):
        if bound is not None:
            assert check(bound) is None
            told = check(bound + step)
            assert told is not None
            assert told.startswith(f"must be {words}")
            assert told.endswith(f", not {bound + step}")


def test_a_number_of_an_enum_is_one_that_it_names() -> None:
    check = is_defined(frozenset({0, 2}))
    assert (check(0), check(2)) == (None, None)
    assert check(1) == "has no value 1"


def test_a_page_token_has_the_parts_of_its_list() -> None:
    index, name = rules_pb2.KEY_PART_INDEX, rules_pb2.KEY_PART_ID
    check = is_page_token([index, name])
    assert check(encode_token((7, UUID(ID)))) is None
    assert check("") is None
    assert check(encode_token((UUID(ID), 7)))
    assert check(encode_token((7,)))


def wrong(values: dict[str, Any], *, size: int = 1000, depth: int = 10) -> str | None:
    """What is wrong with some JSON."""
    struct = struct_pb2.Struct()
    struct.update(values)
    return is_json(rules_pb2.JsonRules(max_bytes=size, max_depth=depth))(struct)


def test_json_has_so_many_bytes_at_most() -> None:
    # {"a": "ää"} has nine characters around two of two bytes.
    assert wrong({"a": "ää"}, size=13) is None
    assert wrong({"a": "ää"}, size=12) == "must have at most 12 bytes as JSON, not 13"


@pytest.mark.parametrize(
    ("values", "depth"),
    [
        ({}, 1),
        ({"a": 1}, 1),
        ({"a": []}, 2),
        ({"a": {}}, 2),
        ({"a": [[1]]}, 3),
        ({"b": 1, "a": {"b": [1]}}, 3),
    ],
)
def test_json_is_so_deep_at_most(values: dict[str, Any], depth: int) -> None:
    assert wrong(values, depth=depth) is None
    assert wrong(values, depth=depth - 1) == f"must be at most {depth - 1} levels deep"


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("\x00", False),
        ("a\\\x00", False),
        ("\\u0000", True),
        ("\\\\u0000", True),
        ("u0000", True),
        ("\x01", True),
    ],
)
def test_json_has_no_character_that_postgresql_cannot_keep(text: str, passes: bool) -> None:
    assert wrong({"a": text}) == (None if passes else "must not have NUL characters")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_no_number_that_there_is_not(number: float) -> None:
    assert wrong({"a": number}) == "must not have numbers that JSON has not"

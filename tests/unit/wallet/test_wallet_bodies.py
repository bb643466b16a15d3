"""Bodies of nodes' answers: how many parts they may have, and which text."""

import json

import pytest

from services.wallet.chain.node.bodies import BodyError, NoJsonError, parse
from services.wallet.chain.node.bounds import Bounds

MARKS = 12
BOUNDS = Bounds(size=2**20, marks=MARKS)
#: Longer than a body that may have any shape.
LONG = "A" * 70_000


def body(value: object, *, ensure_ascii: bool = True) -> bytearray:
    """Write an answer as nodes do."""
    return bytearray(json.dumps(value, ensure_ascii=ensure_ascii).encode())


def with_marks(kind: str, count: int) -> bytearray:
    """Write a long answer with so many marks of one kind besides those around it."""
    text = {",": "0," * count, "[": "[" * count + "]" * count + ",", "{": '{"a":' * count}[kind]
    end = {",": "0", "[": "0", "{": "0" + "}" * count}[kind]
    return bytearray(f'["{LONG}",{text}{end}]'.encode())


@pytest.mark.parametrize(("kind", "own"), [(",", 2), ("[", 3), ("{", 2)])
def test_a_large_body_has_parts_up_to_its_bound(kind: str, own: int) -> None:
    assert parse(with_marks(kind, MARKS - own), BOUNDS)[0] == LONG
    with pytest.raises(BodyError, match="more than 12 parts"):
        parse(with_marks(kind, MARKS - own + 1), BOUNDS)


def test_marks_of_all_kinds_count_together() -> None:
    value = [LONG, {"a": [1, 2]}, {"b": [3]}, 4]  # 4 commas, 3 "[", 2 "{"
    assert parse(body(value), Bounds(size=2**20, marks=9)) == value
    with pytest.raises(BodyError):
        parse(body(value), Bounds(size=2**20, marks=8))


def test_a_small_body_may_have_any_shape() -> None:
    value = [[0]] * 100 + ["\u20ac"]
    assert parse(body(value, ensure_ascii=False), BOUNDS) == value


@pytest.mark.parametrize("text", ["\u20ac", "\U0001f600"])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_large_body_is_ascii(text: str, escaped: bool) -> None:
    with pytest.raises(NoJsonError, match="not ASCII"):
        parse(body([LONG, text], ensure_ascii=escaped), BOUNDS)


def test_a_large_body_may_escape_what_takes_one_byte() -> None:
    value = [LONG, 'a "word"\n\\ \u00e9']
    assert parse(body(value), BOUNDS) == value

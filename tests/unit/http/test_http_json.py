"""JSON as strangers send it: refused, or kept for its field to be named."""

import pytest

from libs.http.strict_json import BadJsonError, Real, Repeated, Unusable, parse


def test_what_is_json_is_read() -> None:
    assert parse(b'{"a": [1, "2", true, null, {"b": -3}], "\xc3\xa4": "\\u00e4"}') == {
        "a": [1, "2", True, None, {"b": -3}],
        "ä": "ä",
    }


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "is no JSON: Expecting value at line 1, column 1"),
        (b"{", "is no JSON"),
        (b"{'a': 1}", "is no JSON"),
        (b'{"a": 1} {}', "is no JSON: Extra data"),
        (b'{"a": 01}', "is no JSON"),
        (b'{"a": "\x01"}', "is no JSON: Invalid control character"),
        (b'\xef\xbb\xbf{"a": 1}', "is no JSON"),
        (b'{"a": "\xff"}', "is not UTF-8: byte 7"),
        ('{"a": "ä"}'.encode("utf-16"), "is not UTF-8"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "is nested too deeply"),
    ],
)
def test_what_is_no_json_is_told_why(body: bytes, why: str) -> None:
    with pytest.raises(BadJsonError) as caught:
        parse(body)
    assert why in caught.value.message
    assert [one.field for one in caught.value.violations] == ["body"]


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1" * 21, "-" + "1" * 5000, "1e999", "0." + "1" * 70]
)
def test_a_number_that_no_field_holds_is_kept_for_its_field_to_name(text: str) -> None:
    found = parse(f'{{"a": {text}}}'.encode())
    assert isinstance(found["a"], Unusable)
    assert found["a"].why


def test_a_fraction_keeps_its_digits() -> None:
    found = parse(b"[0.1, 1e2]")
    assert all(isinstance(one, Real) for one in found)
    assert [one.text for one in found] == ["0.1", "1e2"]
    assert found == [0.1, 100.0]


def test_keys_that_stand_twice_are_known() -> None:
    found = parse(b'{"a": 1, "b": 2, "a": 3, "c": {"d": 1, "d": 1}}')
    assert isinstance(found, Repeated)
    assert found.keys_given_twice == ("a",)
    assert isinstance(found["c"], Repeated)
    assert not isinstance(parse(b'{"a": 1, "b": 2}'), Repeated)


def test_many_keys_that_stand_twice_take_no_time_that_grows_with_their_square() -> None:
    names = ",".join(f'"{number}": 1' for number in range(50_000))
    found = parse(f"{{{names}, {names}}}".encode())
    assert len(found.keys_given_twice) == 50_000

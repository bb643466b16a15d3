"""Fields of a node's answer, read strictly: what a method would not answer is refused."""

from base64 import b64encode
from typing import Any

import pytest

from services.wallet.chain.node import fields
from services.wallet.chain.node.fields import (
    INT64,
    LONGEST,
    LONGEST_DATA,
    UINT32,
    close_time_of,
    decimal,
    hash_of,
    head_of,
    head_of_page,
    integer,
    objects,
    raw_bytes,
    text,
    texts,
    time_of,
)
from services.wallet.domain.chain_facts import LedgerHead

#: 9999-12-31T23:59:59Z.
LAST_SECOND = 253_402_300_799


def test_the_bounds() -> None:
    assert (UINT32, INT64) == (4_294_967_295, 9_223_372_036_854_775_807)
    assert (LONGEST, LONGEST_DATA) == (524_288, 131_072)


@pytest.mark.parametrize("value", [0, 1, UINT32])
def test_a_number_of_32_bits(value: int) -> None:
    assert integer({"n": value}, "n") == value


@pytest.mark.parametrize("value", [-1, UINT32 + 1, True, 7.0, "7", None])
def test_what_is_no_number_of_32_bits(value: object) -> None:
    with pytest.raises(ValueError, match=f"n is no number from 0 to {UINT32}"):
        integer({"n": value}, "n")


def test_the_bounds_of_a_number_belong_to_it() -> None:
    assert [integer({"n": value}, "n", low=3, high=5) for value in (3, 4, 5)] == [3, 4, 5]
    for value in (2, 6):
        with pytest.raises(ValueError, match="n is no number from 3 to 5"):
            integer({"n": value}, "n", low=3, high=5)


@pytest.mark.parametrize("value", [0, INT64, "0", "12", str(INT64)])
def test_a_number_of_64_bits_may_be_a_text(value: int | str) -> None:
    assert decimal({"n": value}, "n") == int(value)


@pytest.mark.parametrize(
    "value", [-1, INT64 + 1, str(INT64 + 1), "-1", "", "1.5", "٣", "²", "0" * 20, True, 7.0, None]
)
def test_what_is_no_number_of_64_bits(value: object) -> None:
    with pytest.raises(ValueError, match=f"n is no number from 0 to {INT64}"):
        decimal({"n": value}, "n")


def test_a_text_of_digits_is_a_number_up_to_19_of_them() -> None:
    assert decimal({"n": "0" * 18 + "7"}, "n") == 7


def test_a_time_is_one_that_a_date_can_be_made_of() -> None:
    assert time_of({"t": str(LAST_SECOND)}, "t") == LAST_SECOND
    with pytest.raises(ValueError, match="t is no number"):
        time_of({"t": str(LAST_SECOND + 1)}, "t")


def test_a_text_is_not_empty_and_not_too_long() -> None:
    assert [text({"t": value}, "t", longest=3) for value in ("a", "abc")] == ["a", "abc"]
    for value in ("", "abcd", 7, None):
        with pytest.raises(ValueError, match="t is no text of up to 3 characters"):
            text({"t": value}, "t", longest=3)


@pytest.mark.parametrize("value", ["ab" * 32, "0" * 64])
def test_a_hash(value: str) -> None:
    assert hash_of({"h": value}, "h") == value


@pytest.mark.parametrize("value", ["ab" * 31, "ab" * 33, "AB" * 32, "g" * 64, 7, None, ["a"] * 64])
def test_what_is_no_hash(value: object) -> None:
    with pytest.raises(ValueError, match="h is no hash"):
        hash_of({"h": value}, "h")


@pytest.mark.parametrize("answer", [{}, {"l": None}, {"l": []}])
def test_a_list_that_is_absent_is_empty(answer: dict[str, Any]) -> None:
    assert list(objects(answer, "l", most=0)) == []
    assert list(texts(answer, "l", most=0)) == []


def test_a_list_of_objects() -> None:
    assert objects({"l": [{}, {"a": 1}]}, "l", most=2) == [{}, {"a": 1}]
    with pytest.raises(ValueError, match="l is no list of up to 1 items"):
        objects({"l": [{}, {}]}, "l", most=1)
    with pytest.raises(ValueError, match="l is no list"):
        objects({"l": {}}, "l", most=1)
    with pytest.raises(ValueError, match="l has an item that is no object"):
        objects({"l": [{}, "x"]}, "l", most=2)


def test_a_list_of_texts() -> None:
    assert texts({"l": ["ab", "cd"]}, "l", most=2, longest=4) == ["ab", "cd"]
    with pytest.raises(ValueError, match="l has more than 3 characters"):
        texts({"l": ["ab", "cd"]}, "l", most=2, longest=3)
    with pytest.raises(ValueError, match="l has an item that is no text"):
        texts({"l": ["ab", 7]}, "l", most=2)


def test_bytes_are_strict_base64() -> None:
    assert raw_bytes(b64encode(b"abc").decode(), "b") == b"abc"
    for value in ("$$$$", "YWJj\n", "YWJ"):
        with pytest.raises(ValueError, match="b is no base64"):
            raw_bytes(value, "b")
    with pytest.raises(TypeError, match="b is no text"):
        raw_bytes(7, "b")


def test_bytes_have_no_more_characters_than_are_decoded_in_a_short_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fields, "LONGEST", 8)
    assert raw_bytes("A" * 8, "b") == bytes(6)
    with pytest.raises(ValueError, match="b has more than 8 characters"):
        raw_bytes("A" * 12, "b")


@pytest.mark.parametrize(
    ("read", "name"),
    [(head_of, "latestLedgerCloseTime"), (head_of_page, "latestLedgerCloseTimestamp")],
)
def test_a_head_is_a_ledger_its_time_and_the_oldest_that_is_remembered(
    read: Any, name: str
) -> None:
    answer = {"latestLedger": 9, "oldestLedger": 9, name: "77"}
    assert read(answer) == LedgerHead(sequence=9, close_time=77, oldest=9)
    assert read({**answer, "oldestLedger": 0}).oldest == 0
    for wrong in ({"latestLedger": 0}, {"oldestLedger": 10}, {name: "-1"}):
        with pytest.raises(ValueError, match="is no number"):
            read({**answer, **wrong})


def test_the_close_time_is_told_under_one_of_two_names_or_not_at_all() -> None:
    assert close_time_of({"latestLedgerCloseTime": "7"}) == 7
    assert close_time_of({"latestLedgerCloseTimestamp": 8}) == 8
    assert close_time_of({"latestLedger": 9}) is None

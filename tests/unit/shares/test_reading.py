"""What miners send is read strictly: every field that is wrong is named."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.shares.domain.errors import MalformedError
from pooler.shares.door.reading import (
    ask_of,
    joining_of,
    no_parameters,
    page_of,
    shares_of,
    terms_of,
)
from pooler.shares.service import Ask
from pooler.shares.submitting import Brought

TERMS = "0123456789abcdef"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def fields_of(error: pytest.ExceptionInfo[MalformedError]) -> list[str]:
    return [one.field for one in error.value.violations]


def test_shares_have_the_job_that_they_name_or_the_batchs() -> None:
    body = {"job": "b", "shares": [{"nonce": "1"}, {"nonce": 2, "job": "a"}, {"nonce": "3"}]}
    assert shares_of(json.dumps(body).encode(), "") == [
        Brought(job="b", nonce=1),
        Brought(job="a", nonce=2),
        Brought(job="b", nonce=3),
    ]
    del body["job"]
    assert shares_of(json.dumps(body).encode(), "h")[0] == Brought(job="h", nonce=1)
    with pytest.raises(MalformedError) as caught:
        shares_of(json.dumps(body).encode(), "")
    assert fields_of(caught) == ["shares[0].job", "shares[2].job"]


def test_what_a_program_prints_that_knows_no_pool_is_one_share() -> None:
    body = b'{"hash": "00ab", "nonce": 12345678901234567890}'
    assert shares_of(body, "h") == [Brought(job="h", nonce=12345678901234567890)]


@pytest.mark.parametrize(
    ("nonce", "is_sound"),
    [
        ("0", True),
        (0, True),
        (str(2**63 - 1), True),
        (str(2**64 - 1), True),
        (2**64 - 1, True),
        (str(2**64), False),
        (-1, False),
        ("-1", False),
        ("+1", False),
        ("1.0", False),
        (1.0, False),
        (True, False),
        (None, False),
        ("", False),
        (" 1", False),
        ("١", False),
        ("1" * 21, False),
        ([], False),
        ({}, False),
    ],
)
def test_a_nonce_is_a_whole_number_of_64_bits(nonce: Any, is_sound: bool) -> None:
    body = json.dumps({"shares": [{"job": "a", "nonce": nonce}]}).encode()
    if is_sound:
        assert shares_of(body, "") == [Brought(job="a", nonce=int(nonce))]
        return
    with pytest.raises(MalformedError) as caught:
        shares_of(body, "")
    assert fields_of(caught) == ["shares[0].nonce"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", ["body"]),
        (b"[]", ["body", "shares"]),
        (b"\xff", ["body"]),
        (b'{"shares": []}', ["shares"]),
        (b'{"shares": {}}', ["shares"]),
        (b'{"shares": [1]}', ["shares[0]", "shares[0].nonce", "shares[0].job"]),
        (b'{"shares": [{"job": 1, "nonce": "1"}]}', ["shares[0].job"]),
        (b'{"shares": [{"job": "a", "nonce": "1", "x": 1}]}', ["shares[0].x"]),
        (b'{"shares": [{"job": "a", "nonce": "1", "nonce": "2"}]}', ["shares[0].nonce"]),
        (b'{"shares": [{"job": "a", "nonce": NaN}]}', ["shares[0].nonce"]),
        (b'{"shares": [{"job": "a", "nonce": 1e400}]}', ["shares[0].nonce"]),
        (b'{"shares": [{"job": "a", "nonce": "1"}], "shares": []}', ["shares", "shares"]),
        (b'{"nonce": "x"}', ["nonce", "job"]),
        (b"[" * 100_000, ["body"]),
    ],
)
def test_whatever_is_wrong_is_named(body: bytes, fields: list[str]) -> None:
    with pytest.raises(MalformedError) as caught:
        shares_of(body, "")
    assert fields_of(caught) == fields
    assert caught.value.reason == "MALFORMED"


def test_a_batch_has_a_thousand_shares_at_most() -> None:
    share = {"job": "a", "nonce": "1"}
    assert len(shares_of(json.dumps({"shares": [share] * 1000}).encode(), "")) == 1000
    with pytest.raises(MalformedError, match="1 to 1,000"):
        shares_of(json.dumps({"shares": [share] * 1001}).encode(), "")


def test_of_a_thousand_wrong_shares_twenty_are_named() -> None:
    with pytest.raises(MalformedError, match="and 980 more") as caught:
        shares_of(json.dumps({"shares": [{"job": "a"}] * 1000}).encode(), "")
    assert len(caught.value.violations) == 20


@given(JSON)
def test_no_json_is_more_than_malformed(value: Any) -> None:
    body = json.dumps(value).encode()
    for read in (joining_of, terms_of, lambda one: shares_of(one, "")):
        with pytest.raises(MalformedError):
            read(body)


@given(st.dictionaries(st.sampled_from(["job", "nonce", "shares", "hash"]), JSON))
def test_no_object_with_known_names_is_more_than_malformed(value: Any) -> None:
    try:
        found = shares_of(json.dumps(value).encode(), "")
    except MalformedError:
        return
    assert all(0 <= one.nonce < 2**64 and one.job for one in found)


def test_who_joins_says_where_and_under_which_terms() -> None:
    body = {"address": "G", "terms": TERMS}
    assert joining_of(json.dumps(body).encode()).name == ""
    with pytest.raises(MalformedError) as caught:
        joining_of(b'{"name": "\\u0007", "x": 1}')
    assert fields_of(caught) == ["x", "address", "terms", "name"]
    with pytest.raises(MalformedError) as caught:
        joining_of(json.dumps({**body, "name": "\ud800"}).encode())
    assert fields_of(caught) == ["name"]
    assert terms_of(json.dumps({"terms": TERMS}).encode()) == TERMS


def test_a_query_is_read_strictly() -> None:
    assert ask_of("") == Ask()
    assert ask_of("worker=a.b-c_1&rate=5&difficulty=70000&count=100") == Ask(
        worker="a.b-c_1", rate=5.0, difficulty=70_000, count=100
    )
    assert ask_of("format=argv").is_argv
    for query, fields in (
        ("worker=", ["worker"]),
        ("worker=a%20b", ["worker"]),
        ("worker=" + "a" * 33, ["worker"]),
        ("rate=-1", ["rate"]),
        ("rate=1e9", ["rate"]),
        ("rate=NaN", ["rate"]),
        ("difficulty=0", ["difficulty"]),
        ("count=0&format=xml", ["count", "format"]),
        ("count=101", ["count"]),
        ("worker=a&worker=b", ["worker"]),
        ("other=1", ["other"]),
        ("worker", ["query"]),
        ("worker=%ff", ["query"]),
        ("&".join(f"a{number}=1" for number in range(30)), ["query"]),
    ):
        with pytest.raises(MalformedError) as caught:
            ask_of(query)
        assert fields_of(caught) == fields, query


def test_a_page_has_bounds() -> None:
    assert page_of("", few=20, most=500) == (2**32, 20)
    assert page_of("before=7&limit=500", few=20, most=500) == (7, 500)
    with pytest.raises(MalformedError, match="limit"):
        page_of("limit=501", few=20, most=500)
    no_parameters("")
    with pytest.raises(MalformedError, match="not known"):
        no_parameters("a=1")

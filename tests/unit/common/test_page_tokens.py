"""Tokens of pages at their edges: the last item, the largest index, keys of other kinds."""

import base64
import json
from uuid import UUID

import pytest

from libs.common.errors import InvalidArgumentError
from libs.common.paging import (
    DEFAULT_PAGE_SIZE,
    MAX_INDEX,
    decode_token,
    encode_token,
    id_after,
    size_of,
    token_after,
)

ONE, OTHER = UUID(int=1), UUID(int=2)


def token_of(key: object) -> str:
    """A token with any key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def test_a_page_has_as_many_items_as_were_asked_for() -> None:
    assert [size_of(size) for size in (0, 1, 7)] == [100, 1, 7]
    assert DEFAULT_PAGE_SIZE == 100


def test_the_next_page_begins_after_the_last_item_of_this_one() -> None:
    assert token_after([], 2) == token_after([ONE], 2) == token_after([ONE, OTHER], 2) == ""
    assert id_after(token_after([ONE, OTHER, UUID(int=3)], 2)) == OTHER
    assert id_after("") is None


@pytest.mark.parametrize("index", [0, MAX_INDEX])
def test_an_index_may_be_any_that_a_column_holds(index: int) -> None:
    assert decode_token(encode_token([index]), [int]) == (index,)
    assert MAX_INDEX == 2**31 - 1


@pytest.mark.parametrize(
    "key", [[-1], [2**31], [True], [1.0], ["1"], [str(ONE)], [None], [1, 1], [], 1, {"1": 1}, "1"]
)
def test_what_is_no_index_is_none(key: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        decode_token(token_of(key), [int])
    (violation,) = caught.value.violations
    assert violation.field == "page_token"
    assert violation.description == "is not a next_page_token of this method"
    assert caught.value.message == "page_token is not valid"


@pytest.mark.parametrize("key", [[1], ["x"], [[str(ONE)]], [str(ONE), str(ONE)]])
def test_what_is_no_id_is_none(key: object) -> None:
    with pytest.raises(InvalidArgumentError):
        id_after(token_of(key))

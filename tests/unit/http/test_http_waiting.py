"""Events that wait for a reader, and numbers at the very edge of what JSON may have."""

import asyncio

import pytest

from libs.common.errors import UnavailableError
from libs.http.strict_json import BadJsonError, Real, Unusable, parse, to_json
from libs.http.waiting import WaitingEvents


class Event:
    """An event with a text."""

    def __init__(self, text: bytes) -> None:
        self.text = text


class Waiting(WaitingEvents[Event]):
    """Events that all wait."""

    def put(self, number: int, text: bytes) -> None:
        self._waiting[number] = Event(text)
        self._wake.set()

    async def text(self, seconds: float = 10.0) -> bytes | None:
        found = await self.next(seconds)
        return None if found is None else found.text


async def test_events_are_taken_in_order_and_once() -> None:
    events = Waiting()
    for number, text in ((9, b"a"), (1, b"b"), (5, b"c")):
        events.put(number, text)
    assert [await events.text() for _ in range(3)] == [b"a", b"b", b"c"]
    assert await events.text(0.01) is None
    assert not events.is_closed


async def test_an_event_that_comes_is_taken_at_once() -> None:
    events = Waiting()
    taking = asyncio.create_task(events.text())
    await asyncio.sleep(0)
    # Whoever only wakes it has nothing for it.
    events._wake.set()
    await asyncio.sleep(0.01)
    assert not taking.done()
    events.put(1, b"a")
    async with asyncio.timeout(60):
        assert await taking == b"a"


async def test_an_error_comes_after_what_waits() -> None:
    events, error = Waiting(), UnavailableError("away")
    events.put(1, b"a")
    events.fail(error)
    assert await events.text() == b"a"
    for _ in range(2):
        with pytest.raises(UnavailableError) as caught:
            await events.text()
        assert caught.value is error
    waiting = Waiting()
    taking = asyncio.create_task(waiting.text())
    await asyncio.sleep(0)
    waiting.fail(error)
    async with asyncio.timeout(60):
        with pytest.raises(UnavailableError):
            await taking


async def test_who_is_closed_gets_nothing_more() -> None:
    events = Waiting()
    taking = asyncio.create_task(events.text())
    await asyncio.sleep(0)
    events.close()
    async with asyncio.timeout(60):
        assert await taking is None
    events.put(1, b"a")
    events.fail(UnavailableError("away"))
    assert await events.text() is None
    assert events.is_closed


# Numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1" * 20, "-" + "9" * 19])
def test_a_whole_number_may_have_twenty_characters(text: str) -> None:
    assert parse(text.encode()) == int(text)
    longer = parse(f"{text}0".encode())
    assert isinstance(longer, Unusable)
    assert longer.why == "is beyond 64 bits"


def test_any_other_number_may_have_64_characters() -> None:
    text = "0." + "1" * 62
    found = parse(text.encode())
    assert isinstance(found, Real)
    assert found.text == text
    longer = parse(f"{text}1".encode())
    assert isinstance(longer, Unusable)
    assert longer.why == "has more than 64 characters for a number"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1e999", "is beyond the numbers"),
        ("-1e999", "is beyond the numbers"),
        ("NaN", "must not be NaN, which is no number of JSON"),
        ("-Infinity", "must not be -Infinity, which is no number of JSON"),
    ],
)
def test_a_number_that_there_is_not_is_kept_with_why(text: str, why: str) -> None:
    found = parse(text.encode())
    assert isinstance(found, Unusable)
    assert found.why == why


def test_where_json_ends_is_told() -> None:
    with pytest.raises(BadJsonError) as caught:
        parse(b'{"a": 1,\n  "b" 2}')
    (violation,) = caught.value.violations
    assert violation.description.endswith("at line 2, column 7")
    assert caught.value.message == f"body {violation.description}"
    assert caught.value.reason == "MALFORMED_JSON"


def test_json_is_written_short_and_without_numbers_that_there_are_not() -> None:
    assert to_json({"ä": [1, 2.5, None]}) == '{"ä":[1,2.5,null]}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(float("nan"))

"""Readers of streams: the newest state of each thing waits, and what was missed comes first."""

import pytest

from gateway.feeds import Event, Reader, parse_id
from libs.common.errors import UnavailableError
from libs.http.errors import StreamTooSlowError


def event(cursor: int, change: int = 0) -> Event:
    return Event(cursor=cursor, change=change, data=b"{}")


async def taken(reader: Reader) -> list[str]:
    found = []
    while (one := await reader.next(0.01)) is not None:
        found.append(one.id)
    return found


async def test_of_one_thing_the_newest_state_waits() -> None:
    reader = Reader()
    for one in (event(1, 1), event(1, 2), event(2, 3), event(1, 4)):
        reader.put(one)
    assert await taken(reader) == ["2.3", "1.4"]


async def test_what_was_missed_comes_first() -> None:
    reader = Reader()
    reader.put(event(5, 1))
    reader.put_before([event(3), event(4)])
    reader.put(event(5, 2))
    assert await taken(reader) == ["3.0", "4.0", "5.2"]


async def test_an_error_comes_after_what_waits() -> None:
    reader = Reader()
    reader.put(event(1))
    reader.fail(UnavailableError("away"))
    assert (await reader.next(1)) == event(1)
    with pytest.raises(UnavailableError):
        await reader.next(1)


async def test_a_reader_who_takes_nothing_has_an_end() -> None:
    reader = Reader()
    for number in range(700):
        reader.put(event(number))
    with pytest.raises(StreamTooSlowError):
        for _ in range(701):
            await reader.next(1)


async def test_nobody_reads_once_the_reader_is_closed() -> None:
    reader = Reader()
    reader.put(event(1))
    reader.close()
    assert await reader.next(1) is None


async def test_the_first_event_is_waited_for() -> None:
    reader = Reader()
    with pytest.raises(UnavailableError):
        await reader.first(0.01)
    reader.put(event(3))
    assert (await reader.first(1)).cursor == 3
    assert await taken(reader) == ["3.0"]


def test_an_id_tells_the_cursor() -> None:
    assert parse_id(event(7, 1500).id) == 7
    assert parse_id("7") == 7

"""Streams of events on one connection: sent at once where there is room, else ended."""

import asyncio
from typing import Any

from gateway.feeds import Event, Reader
from libs.http.request import Record, Request
from libs.http.sse import send_events

HEARTBEAT = 0.05


class Wire:
    """A connection that takes what the test lets it take."""

    def __init__(self) -> None:
        self.is_full = False
        self.is_aborted = False
        self.parts: list[bytes] = []
        self.tell: Any = None

    def watch(self, tell: Any) -> None:
        """Keep who wants to hear of the end."""
        self.tell = tell

    def unwatch(self, _: Any) -> None:
        """Nobody wants to hear of the end any more."""
        self.tell = None

    def abort(self) -> None:
        """End."""
        self.is_aborted = True

    async def send(self, message: Any) -> None:
        """Take a part; wait for ever while there is no room."""
        if self.is_full:
            await asyncio.Event().wait()
        self.parts.append(message.get("body", b""))


def sending(wire: Wire, reader: Reader) -> "asyncio.Task[None]":
    async def check() -> None:
        raise AssertionError("it is too early")

    request = Request(
        scope={"state": {"connection": wire}},
        receive=check,  # type: ignore[arg-type]
        send=wire.send,
        address="127.0.0.1",
        request_id="1",
        record=Record(),
        headers={},
    )
    return asyncio.create_task(send_events(request, reader, heartbeat=HEARTBEAT, check=check))


async def until(told: Any) -> None:
    async with asyncio.timeout(10):
        while not told():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_an_event_is_put_into_words_once_for_all_readers() -> None:
    event = Event(cursor=7, change=9, data=b"{}")
    wires, readers = (Wire(), Wire()), (Reader(), Reader())
    tasks = [sending(wire, reader) for wire, reader in zip(wires, readers, strict=True)]
    for reader in readers:
        reader.put(event)
    await until(lambda: all(event.text in wire.parts for wire in wires))
    assert event.text == b"id: 7.9\ndata: {}\n\n"
    assert event.text is event.text
    for wire in wires:
        wire.tell()  # gone
    await asyncio.gather(*tasks)
    assert all(wire.tell is None and not wire.is_aborted for wire in wires)


async def test_who_takes_nothing_for_two_signs_of_life_is_cut_off() -> None:
    wire, reader = Wire(), Reader()
    task = sending(wire, reader)
    await until(lambda: wire.parts)
    wire.is_full = True
    reader.put(Event(cursor=7, change=9, data=b"{}"))
    async with asyncio.timeout(10):
        await task
    assert wire.is_aborted


async def test_who_goes_away_while_nothing_happens_ends_the_stream() -> None:
    wire, reader = Wire(), Reader()
    task = sending(wire, reader)
    await until(lambda: b": \n\n" in wire.parts)
    wire.tell()
    async with asyncio.timeout(10):
        await task
    assert reader.is_closed

"""Progress: nothing for two seconds, then how long it takes and how far it has come."""

import asyncio
import io

import pytest

from cli import progress
from cli.progress import Progress
from libs.common.errors import UnavailableError


class Stream(io.StringIO):
    """Standard error, a terminal or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._is_terminal


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes no time here."""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LOOK", 0.0)
    monkeypatch.setattr(progress, "_REFRESH", 0.0)
    monkeypatch.setattr(progress, "_LINES_AT", (0.0, 3600.0))


async def until(stream: Stream, text: str) -> None:
    """Waits until the text was written."""
    async with asyncio.timeout(30):
        while text not in stream.getvalue():  # noqa: ASYNC110  (a stream has no event)
            await asyncio.sleep(0)


async def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 3600.0)
    stream = Stream(is_terminal=True)
    async with Progress(stream=stream).during("waiting for Plant"):
        await asyncio.sleep(0.01)
    assert stream.getvalue() == ""


async def test_a_terminal_has_one_line_that_is_taken_off_at_the_end() -> None:
    stream, now = Stream(is_terminal=True), [100.0]
    async with Progress(stream=stream, clock=lambda: now[0]).during("waiting for Plant"):
        await until(stream, "kalepool: waiting for Plant: 0 s")
        now[0] = 107.0
        await until(stream, "kalepool: waiting for Plant: 7 s")
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


async def test_elsewhere_it_is_a_line_and_not_one_for_every_second() -> None:
    stream = Stream(is_terminal=False)
    async with Progress(stream=stream, clock=lambda: 0.0).during("waiting for Plant"):
        await until(stream, "\n")
        for _ in range(100):
            await asyncio.sleep(0)
    assert stream.getvalue() == "kalepool: waiting for Plant: 0 s\n"


async def test_a_look_tells_how_far_it_is_and_may_fail() -> None:
    stream, looks = Stream(is_terminal=True), 0

    async def look() -> str:
        nonlocal looks
        looks += 1
        if looks % 2:
            raise UnavailableError("away")
        return f"{looks} plantings recorded"

    async with Progress(stream=stream).during("waiting for Plant", look):
        await until(stream, "s, 2 plantings recorded")
        await until(stream, "s, 4 plantings recorded")


async def test_the_outer_wait_is_the_one_that_is_shown() -> None:
    stream = Stream(is_terminal=True)
    shown = Progress(stream=stream)
    async with shown.during("reading farmers"):
        async with shown.during("waiting for ListFarmers"):
            shown.say("2000 so far")
            await until(stream, "reading farmers: 0 s, 2000 so far")
        await until(stream, "reading farmers")
    assert "ListFarmers" not in stream.getvalue()


async def test_an_error_takes_the_line_off_too() -> None:
    stream = Stream(is_terminal=True)
    with pytest.raises(UnavailableError):
        async with Progress(stream=stream).during("waiting for Plant"):
            await until(stream, "kalepool")
            raise UnavailableError("away")
    assert stream.getvalue().endswith("\r\x1b[K")


def test_lines_become_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINES_AT", (2.0, 10.0, 30.0, 60.0))
    assert [progress._pause(lines) for lines in range(5)] == [8.0, 20.0, 30.0, 60.0, 60.0]

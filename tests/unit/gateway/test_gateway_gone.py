"""The look-out for callers who go away: on a connection, and for the call that is made for them."""

from typing import Any

from gateway.backends import Gone
from libs.http.request import Record, Request


class Wire:
    """A connection whose other side goes away when the test says so."""

    is_full = False

    def __init__(self) -> None:
        self.watchers: list[Any] = []

    def watch(self, tell: Any) -> None:
        """Keep it."""
        self.watchers.append(tell)

    def unwatch(self, tell: Any) -> None:
        """Keep it no longer."""
        self.watchers.remove(tell)

    def abort(self) -> None:
        """Go away."""
        for tell in self.watchers:
            tell()


def request_by(wire: Wire) -> Request:
    async def nothing(*_: Any) -> Any:
        raise AssertionError

    return Request(
        scope={"state": {"connection": wire}},
        receive=nothing,
        send=nothing,
        address="127.0.0.1",
        request_id="1",
        record=Record(),
        headers={},
    )


def test_a_request_is_watched_while_the_block_runs() -> None:
    wire, told = Wire(), list[str]()
    request = request_by(wire)
    with request.watched(lambda: told.append("gone")):
        request.abort()
        assert told == ["gone"]
    request.abort()
    assert told == ["gone"]


def test_who_goes_away_ends_the_newest_call_alone() -> None:
    gone, ended = Gone(), list[int]()
    gone.ends(lambda: ended.append(1))
    gone.ends(lambda: ended.append(2))
    assert not gone.is_so
    gone.notice()
    assert gone.is_so
    assert ended == [2]


def test_a_call_for_who_is_gone_already_ends_at_once() -> None:
    gone, ended = Gone(), list[int]()
    gone.notice()
    gone.ends(lambda: ended.append(1))
    assert ended == [1]

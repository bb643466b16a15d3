"""Streams of events: what a miner is told the moment that it happens."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from libs.common.errors import UnavailableError
from libs.http.strict_json import to_json
from libs.http.waiting import WaitingEvents
from pooler.shares.workers import LiveWorker

#: Events that may wait for one reader; the oldest goes when one more comes.
_WAITING = 64


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a stream."""

    #: Its name; of events with the same name that wait, the newest may take the place of all.
    name: str
    #: The event as a stream of server-sent events has it.
    text: bytes
    #: Whether a newer event of the name makes this one worthless.
    is_replaced: bool = False


def event_of(name: str, content: Mapping[str, Any], *, is_replaced: bool = False) -> Event:
    """Return an event with JSON."""
    text = b"event: %b\ndata: %b\n\n" % (name.encode(), to_json(content))
    return Event(name=name, text=text, is_replaced=is_replaced)


class Subscriber(WaitingEvents[Event]):
    """One reader: the events that it has not taken yet."""

    def __init__(self, worker: LiveWorker, count: int) -> None:
        """Take the worker whose jobs it gets, and how many at a time."""
        super().__init__()
        self.worker = worker
        self.count = count
        self._number = 0

    def put(self, event: Event) -> None:
        """Let an event wait."""
        if event.is_replaced:
            for number in [n for n, one in self._waiting.items() if one.name == event.name]:
                del self._waiting[number]
        elif len(self._waiting) >= _WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._number += 1
        self._waiting[self._number] = event
        self._wake.set()


class Streams:
    """All readers."""

    def __init__(self) -> None:
        self._by_miner: dict[int, set[Subscriber]] = {}

    def __len__(self) -> int:
        """Count the readers."""
        return sum(map(len, self._by_miner.values()))

    @contextmanager
    def reading(self, worker: LiveWorker, *, count: int) -> Iterator[Subscriber]:
        """Have a reader while the block runs."""
        reader = Subscriber(worker, count)
        number = worker.miner.number
        self._by_miner.setdefault(number, set()).add(reader)
        try:
            yield reader
        finally:
            readers = self._by_miner[number]
            readers.discard(reader)
            if not readers:
                del self._by_miner[number]

    def all(self) -> list[Subscriber]:
        """Return all readers."""
        return [one for readers in self._by_miner.values() for one in readers]

    def of(self, miner: int) -> Iterable[Subscriber]:
        """Return the readers of a miner."""
        return tuple(self._by_miner.get(miner, ()))

    def tell(self, miner: int, event: Event) -> None:
        """Tell all readers of a miner."""
        for reader in self.of(miner):
            reader.put(event)

    def tell_all(self, event: Event) -> None:
        """Tell everybody."""
        for reader in self.all():
            reader.put(event)

    def close_all(self) -> None:
        """End all streams: the pool stops."""
        for reader in self.all():
            reader.fail(UnavailableError("the pool stops", reason="STOPPING", retry_after=1.0))

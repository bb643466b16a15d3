"""The calls that reached a handler, and how they ended there, by the services' own records."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from libs.common.names import SERVICES

#: Prefix of the request ids of calls that are given up.
_PREFIX = "left"


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A record of one request."""

    #: The number of the call.
    number: int
    #: End of the call in the service's record: CANCELLED when its caller went away before the end.
    status: str


def request_id(process: str, number: int) -> str:
    """Return the request id of a call to one process.

    Calls that it causes elsewhere keep the request id, and do not count.
    """
    return f"{_PREFIX}.{process}.{number}"


class Records:
    """The services' logs, each read on from the end of the last reading."""

    def __init__(self, logs: Path) -> None:
        """Begin at the end of the present logs."""
        self._paths: Mapping[str, Path] = {name: logs / f"{name}.log" for name in SERVICES}
        self._read = {name: path.stat().st_size for name, path in self._paths.items()}

    def arrivals(self) -> Iterator[Arrival]:
        """Yield calls that have ended since the last reading."""
        for name, path in self._paths.items():
            mine = f'"request_id": "{request_id(name, 0)[:-1]}'.encode()
            for line in self._lines(name, path):
                if mine in line:
                    yield from _arrival(json.loads(line))

    def _lines(self, name: str, path: Path) -> list[bytes]:
        """Return whole lines only: the last line may not be finished."""
        with path.open("rb") as log:
            log.seek(self._read[name])
            content = log.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read[name] += len(whole)
        return whole.splitlines()


def _arrival(line: Mapping[str, str]) -> Iterator[Arrival]:
    if line["event"] == "request":
        number = line["request_id"].rpartition(".")[2]
        yield Arrival(number=int(number), status=line["status"])

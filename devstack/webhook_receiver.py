"""A receiver of webhooks, in a process of its own, which answers as the path says.

python -m devstack.webhook_receiver FOLDER writes its port to FOLDER/port, and each request that
came whole to FOLDER/requests.jsonl before it is answered.
"""

import base64
import hmac
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from devstack.processes import Command, Process, ProcessDiedError

#: Seconds that /slow takes, and /late, which an ordinary limit allows.
SLOW, LATE = 60.0, 0.5
#: Seconds until it serves at the latest.
_START = 20.0
_MOVED = frozenset({301, 302, 307, 308})


class _Handler(BaseHTTPRequestHandler):
    """Answers by the path's first part; what it has no word for, with 204.

    /status/N: with that status. /once/N: with that status when a notification comes for the first
    time. /cut: not at all, the first time. /late: after a while. /slow: when nobody waits any more.
    """

    folder: Path
    lock = threading.Lock()
    seen: ClassVar[Counter[tuple[str, str]]] = Counter()

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        came_at = time.time()
        with self.lock:
            status = self._status(headers.get("webhook-id", ""))
            line = json.dumps(
                {
                    "path": self.path,
                    "headers": headers,
                    "body": body.decode(),
                    "at": came_at,
                    "status": status,
                }
            )
            with (self.folder / "requests.jsonl").open("a") as file:
                file.write(line + "\n")
        if not status:
            self.close_connection = True
            return
        time.sleep({"slow": SLOW, "late": LATE}.get(self.path.split("/")[1], 0))
        self.send_response(status)
        if status in _MOVED:
            self.send_header("Location", "/redirected")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _status(self, notification_id: str) -> int:
        """Return the status to answer with; 0: none."""
        key = self.path, notification_id
        self.seen[key] += 1
        _, kind, *rest = self.path.split("/")
        if kind == "status" or (kind == "once" and self.seen[key] == 1):
            return int(rest[0])
        return 0 if kind == "cut" and self.seen[key] == 1 else 204

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(folder: Path) -> None:
    """Serve for ever."""
    _Handler.folder = folder
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    (folder / "port.new").write_text(str(server.server_port))
    (folder / "port.new").rename(folder / "port")
    server.serve_forever()


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request that came."""

    #: The path.
    path: str
    #: Headers by name, in small letters.
    headers: Mapping[str, str]
    #: The body.
    body: str
    #: When the whole of it had come, in Unix seconds.
    at: float
    #: The status that it was to be answered with; 0: none.
    status: int

    @property
    def content(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def id(self) -> str:
        """Return by what a receiver knows a repeat."""
        return self.headers["webhook-id"]

    def is_signed_by(self, secret: str) -> bool:
        """Check the signature as Standard Webhooks say, without any code of the pool's."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.{self.body}"
        expected = base64.b64encode(hmac.digest(key, signed.encode(), "sha256")).decode()
        is_fresh = abs(self.at - int(self.headers["webhook-timestamp"])) < 300
        return is_fresh and self.headers["webhook-signature"] == f"v1,{expected}"


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """The receiver that runs."""

    #: Where it writes.
    folder: Path
    #: The process.
    process: Process

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{(self.folder / 'port').read_text()}"

    def received(self, path: str | None = None) -> list[Received]:
        """Return what came so far, in order; all paths, or one."""
        place = self.folder / "requests.jsonl"
        lines = place.read_text().splitlines() if place.exists() else []
        found = [Received(**json.loads(line)) for line in lines]
        return [one for one in found if path in {None, one.path}]


@asynccontextmanager
async def open_receiver(folder: Path) -> AsyncIterator[Receiver]:
    """Run a receiver while the block runs."""
    folder.mkdir(parents=True)  # noqa: ASYNC240  (nothing else runs yet)
    arguments = ("-m", "devstack.webhook_receiver", str(folder))
    process = Process(Command(name="receiver", arguments=arguments, environment={}), folder)
    await process.start()
    try:
        deadline = time.monotonic() + _START
        while not (folder / "port").exists():
            process.check()
            if time.monotonic() > deadline:
                raise ProcessDiedError("the receiver does not start")
            time.sleep(0.02)  # noqa: ASYNC251  (nothing else runs yet)
        yield Receiver(folder=folder, process=process)
    finally:
        await process.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

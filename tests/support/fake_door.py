"""A pooler's door for miners, for tests: the shapes that poolers have, answers as the test says."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from libs.kale.hash import work_hash

CREDENTIAL = "km_test"
TERMS = "0123456789abcdef"
ENTROPY = bytes(range(32))
BLOCK = 194_614


class FakeDoor:
    """Gives jobs, judges shares by the contract's hash, and tells streams what the test says."""

    def __init__(self) -> None:
        self.difficulty = 256
        self.nonces = 4_096
        self.farmers = 3
        #: Requests by path, and the queries of /work and /events.
        self.calls: Counter[str] = Counter()
        self.queries: list[Mapping[str, str]] = []
        #: Answers that take the place of the next ones of a path.
        self.refusals: dict[str, list[tuple[int, Mapping[str, Any], Mapping[str, str]]]] = {}
        #: Nonces that were credited, and verdicts by code.
        self.credited: set[tuple[str, int]] = set()
        self.verdicts: Counter[str] = Counter()
        self.block = BLOCK
        self._next = 0
        self._streams: set[asyncio.Queue[tuple[str, Mapping[str, Any]] | None]] = set()
        self._jobs: dict[str, Mapping[str, Any]] = {}

    def refuse(self, path: str, status: int, reason: str, **more: Any) -> None:
        """Answer the next request of a path by a problem."""
        problem = {"status": status, "reason": reason, "detail": f"told {reason}", **more}
        self.refusals.setdefault(path, []).append((status, problem, {"Retry-After": "0.1"}))

    def answer_by(self, path: str, content: Mapping[str, Any]) -> None:
        """Answer the next request of a path by this, whatever it asks."""
        self.refusals.setdefault(path, []).append((200, content, {}))

    def tell(self, name: str, data: Mapping[str, Any]) -> None:
        """Tell all streams something."""
        for stream in self._streams:
            stream.put_nowait((name, data))

    def cut(self) -> None:
        """End all streams."""
        for stream in self._streams:
            stream.put_nowait(None)

    def jobs(self, count: int = 1) -> list[Mapping[str, Any]]:
        """Make jobs of the running block."""
        return [self._job() for _ in range(count)]

    def _job(self) -> Mapping[str, Any]:
        number = self._next
        self._next += 1
        farmer = number % self.farmers
        job = {
            "job": f"token-{number}",
            "block": self.block,
            "entropy": ENTROPY.hex(),
            "farmer": "G...",
            "farmerKey": bytes([farmer + 1]).hex() * 32,
            "firstNonce": str(number * self.nonces),
            "nonceCount": str(self.nonces),
            "target": str(2**64 // self.difficulty - 1),
            "difficulty": str(self.difficulty),
            "cap": 9,
            "closesAt": 2**33,
            "expiresAt": 2**33,
            "askAgainMs": 60_000,
        }
        self._jobs[str(job["job"])] = job
        return job

    # The door -------------------------------------------------------------------------------------

    @web.middleware
    async def answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls[request.path] += 1
        refusals = self.refusals.get(request.path)
        if refusals:
            status, problem, headers = refusals.pop(0)
            return web.json_response(problem, status=status, headers=headers)
        public = request.path in {"/v1/pool", "/join"}
        if not public and request.headers.get("Authorization") != f"Bearer {CREDENTIAL}":
            problem = {"reason": "BAD_CREDENTIAL", "detail": "no such credential"}
            return web.json_response(problem, status=401)
        answered: web.StreamResponse = await handler(request)
        return answered

    async def pool(self, _request: web.Request) -> web.Response:
        terms = {"version": TERMS, "scheme": "by proven hashes", "minersPart": "0.1", "note": ""}
        limits = {"lowestDifficulty": "16", "highestDifficulty": str(16**10)}
        return web.json_response({"terms": terms, "limits": limits})

    async def join(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert set(body) == {"address", "terms", "name"}
        assert body["terms"] == TERMS
        return web.json_response({"credential": CREDENTIAL}, status=201)

    async def terms(self, request: web.Request) -> web.Response:
        assert await request.json() == {"terms": TERMS}
        return web.json_response({})

    async def work(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        return web.json_response({"jobs": self.jobs(int(request.query.get("count", 1)))})

    async def submit(self, request: web.Request) -> web.Response:
        shares = (await request.json())["shares"]
        verdicts = [self._verdict(share) for share in shares]
        self.verdicts.update(verdicts)
        accepted = verdicts.count("ACCEPTED")
        return web.json_response(
            {
                "accepted": accepted,
                "points": str(accepted * self.difficulty),
                "verdicts": [{"code": code} for code in verdicts],
                "jobs": [],
            }
        )

    def _verdict(self, share: Mapping[str, str]) -> str:
        job = self._jobs.get(share["job"])
        if job is None:
            return "BAD_TOKEN"
        nonce = int(share["nonce"])
        first = int(job["firstNonce"])
        if not first <= nonce < first + int(job["nonceCount"]):
            return "OUT_OF_RANGE"
        if (share["job"], nonce) in self.credited:
            return "DUPLICATE"
        digest = work_hash(
            index=job["block"],
            nonce=nonce,
            entropy=ENTROPY,
            farmer_key=bytes.fromhex(job["farmerKey"]),
        )
        if int.from_bytes(digest[:8], "big") > int(job["target"]):
            return "LOW_DIFFICULTY"
        self.credited.add((share["job"], nonce))
        return "ACCEPTED"

    async def events(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        stream: asyncio.Queue[tuple[str, Mapping[str, Any]] | None] = asyncio.Queue()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._streams.add(stream)
        try:
            await self._send(response, "job", {"jobs": self.jobs()})
            await response.write(b": a sign of life\n\n")
            while (told := await stream.get()) is not None:
                await self._send(response, *told)
        finally:
            self._streams.discard(stream)
        return response

    async def _send(self, response: web.StreamResponse, name: str, data: Mapping[str, Any]) -> None:
        await response.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())


@asynccontextmanager
async def open_door(door: FakeDoor) -> AsyncIterator[str]:
    """Serve a door; yield its address."""
    app = web.Application(middlewares=[door.answer])
    app.add_routes(
        [
            web.get("/v1/pool", door.pool),
            web.post("/join", door.join),
            web.post("/terms", door.terms),
            web.get("/work", door.work),
            web.post("/submit", door.submit),
            web.get("/events", door.events),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sockets: Sequence[Any] = site._server.sockets  # type: ignore[union-attr]
    try:
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        door.cut()
        await runner.cleanup()

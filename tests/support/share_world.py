"""A door for miners, before a block that tests play."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from devstack.stand_in_pooler import StandInBlock, block_of
from libs.kale.hash import work_hash
from pooler.shares.app import open_app
from pooler.shares.config import SharesSettings
from pooler.shares.service import Shares

#: An account of nobody.
ADDRESS = "GAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7JZX"
#: Hashes of a share in tests: a search takes no time.
DIFFICULTY = 16


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A miner with its credential."""

    http: httpx.AsyncClient
    credential: str
    miner_id: str

    @property
    def headers(self) -> dict[str, str]:
        """The credential as a header."""
        return {"Authorization": f"Bearer {self.credential}"}

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET."""
        return await self.http.get(path, headers=self.headers, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        """Send a POST."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.http.post(path, headers=headers, **options)

    async def job(self, worker: str = "rig", **more: Any) -> dict[str, Any]:
        """Get one job."""
        query = {"worker": worker, "difficulty": DIFFICULTY, **more}
        answer = await self.get("/work", params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["jobs"][0]
        return found

    async def submit(self, *shares: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Bring shares; return the verdicts."""
        answer = await self.post("/submit", json={"shares": list(shares)})
        assert answer.status_code == 200, answer.text
        verdicts: list[dict[str, Any]] = answer.json()["verdicts"]
        return verdicts

    async def codes(self, *shares: Mapping[str, Any]) -> list[str]:
        """Bring shares; return the codes."""
        return [verdict["code"] for verdict in await self.submit(*shares)]


@dataclass(kw_only=True)
class ShareWorld:
    """The door and what is behind it."""

    shares: Shares
    http: httpx.AsyncClient
    port: int
    clock: "StandStillClock"
    block: StandInBlock

    async def join(self, address: str = ADDRESS, name: str = "") -> Rig:
        """Join as a miner."""
        body = {"address": address, "terms": self.shares.accounts.terms.version, "name": name}
        answer = await self.http.post("/join", json=body)
        assert answer.status_code == 201, answer.text
        told = answer.json()
        return Rig(http=self.http, credential=told["credential"], miner_id=told["minerId"])

    async def next_block(self) -> StandInBlock:
        """Open the next block."""
        self.block = block_of(self.block.index + 1, farmers=len(self.block.targets))
        await self.shares.open_block(self.block)
        return self.block


class StandStillClock:
    """Unix seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_769_860_800.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def nonces_of(job: Mapping[str, Any], *, is_share: bool = True) -> Iterator[int]:
    """Yield the nonces of a job that are shares, or those that are none."""
    entropy, key = bytes.fromhex(job["entropy"]), bytes.fromhex(job["farmerKey"])
    first, target = int(job["firstNonce"]), int(job["target"])
    for nonce in range(first, first + int(job["nonceCount"])):
        digest = work_hash(index=job["block"], nonce=nonce, entropy=entropy, farmer_key=key)
        if (int.from_bytes(digest[:8], "big") <= target) == is_share:
            yield nonce


def found_in(job: Mapping[str, Any], count: int, *, skip: int = 0) -> list[dict[str, str]]:
    """Return shares of a job, after some that are left out."""
    nonces = nonces_of(job)
    for _ in range(skip):
        next(nonces)
    return [{"job": job["job"], "nonce": str(next(nonces))} for _ in range(count)]


def settings_of(folder: Path, **changes: Any) -> SharesSettings:
    """Return settings for tests."""
    given: dict[str, Any] = {
        "shares_database": str(folder / "shares.db"),
        "shares_lowest_difficulty": 1,
        "shares_heartbeat_ms": 200,
        "shares_shutdown_grace_ms": 1000,
        "shares_join_limit": 10_000,
    }
    return SharesSettings(**{**given, **changes})


@asynccontextmanager
async def open_share_world(
    folder: Path, *, farmers: int = 5, index: int = 100, **changes: Any
) -> AsyncIterator[ShareWorld]:
    """Serve miners while the block runs; the clock stands still."""
    clock = StandStillClock()
    settings = settings_of(folder, **changes)
    async with (
        open_app(settings, clock=clock) as (shares, port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as http,
    ):
        block = block_of(index, farmers=farmers)
        await shares.open_block(block)
        yield ShareWorld(shares=shares, http=http, port=port, clock=clock, block=block)

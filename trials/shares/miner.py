"""A miner of a trial: finds many easy shares, brings them, and remembers what it was told."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import aiohttp
import sha3

#: An account of nobody.
ADDRESS = "GAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7JZX"
#: Hashes of a share: a trial has many of them, and searches little.
DIFFICULTY = 16
#: Seconds until a request that got no answer is sent again.
_PAUSE = 0.05

#: What names a share on both sides: the job's token and the nonce.
ShareName = tuple[str, int]


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


@dataclass(kw_only=True)
class TrialMiner:
    """One miner with one worker."""

    http: aiohttp.ClientSession
    url: str
    worker: str
    credential: str = ""
    #: Shares that were sent, whatever became of them, and those that were told to be credited.
    sent: set[ShareName] = field(default_factory=set)
    acknowledged: set[ShareName] = field(default_factory=set)
    #: What became of shares.
    codes: Counter[str] = field(default_factory=Counter)
    #: Answers by status.
    statuses: Counter[int] = field(default_factory=Counter)

    async def join(self) -> None:
        """Join, and keep the credential."""
        pool = await self.ask("GET", "/v1/pool")
        body = {"address": ADDRESS, "terms": pool["terms"]["version"], "name": self.worker}
        self.credential = (await self.ask("POST", "/join", json=body))["credential"]

    async def job(self, difficulty: int = DIFFICULTY) -> dict[str, Any]:
        """Get a job. Raise RefusedError."""
        query = f"/work?worker={self.worker}&difficulty={difficulty}"
        found: dict[str, Any] = (await self.ask("GET", query))["jobs"][0]
        return found

    async def bring(self, shares: Sequence[ShareName]) -> list[str]:
        """Bring shares; return their codes. Raise RefusedError or aiohttp.ClientError."""
        self.sent.update(shares)
        body = {"shares": [{"job": job, "nonce": str(nonce)} for job, nonce in shares]}
        answer = await self.ask("POST", "/submit", json=body)
        codes = [verdict["code"] for verdict in answer["verdicts"]]
        self.codes.update(codes)
        self.acknowledged.update(
            share for share, code in zip(shares, codes, strict=True) if code == "ACCEPTED"
        )
        return codes

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Send a request; raise RefusedError for what is no success."""
        headers = {"Authorization": f"Bearer {self.credential}"} if self.credential else {}
        async with self.http.request(
            method, self.url + path, headers=headers, **options
        ) as response:
            self.statuses[response.status] += 1
            content = await response.json(content_type=None)
            if response.status >= 300:
                raise RefusedError(response.status, str(content.get("reason")))
            return content

    async def mine(self, batch: int) -> None:
        """Search and bring for ever; what got no answer is brought again until it gets one."""
        while True:
            job = await self.outlasting(self.job)
            shares = list(islice(shares_of(job), batch * 4))
            for start in range(0, len(shares), batch):
                await self.outlasting(self.bring, shares[start : start + batch])

    async def outlasting(self, call: Any, *arguments: Any) -> Any:
        """Make a call again and again until it succeeds; return what it returns."""
        while True:
            try:
                return await call(*arguments)
            except (aiohttp.ClientError, OSError, RefusedError, TimeoutError):
                await asyncio.sleep(_PAUSE)


def shares_of(job: Mapping[str, Any]) -> Iterator[ShareName]:
    """Yield shares of a job."""
    head = int(job["block"]).to_bytes(4, "big")
    tail = bytes.fromhex(job["entropy"]) + bytes.fromhex(job["farmerKey"])
    first, target = int(job["firstNonce"]), int(job["target"])
    for nonce in range(first, first + int(job["nonceCount"])):
        digest = sha3.keccak_256(head + nonce.to_bytes(8, "big") + tail).digest()
        if int.from_bytes(digest[:8], "big") <= target:
            yield job["job"], nonce

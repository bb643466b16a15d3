"""JSON-RPC of one Stellar node, with typed failures and a watch on its age."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from services.wallet.chain.errors import RpcRejectedError, RpcUnavailableError, StaleAnswerError
from services.wallet.chain.model import LedgerHead

#: Keys of one getLedgerEntries at most.
MAX_KEYS = 200
#: Transactions of one getTransactions at most.
MAX_TRANSACTIONS = 200
#: No transaction has this hash: asking for it gives the head with its close time on every version.
_NO_HASH = "0" * 64
#: Ledgers that an answer may lie behind the newest one seen before it counts as stale.
_TOLERATED_LAG = 2

Json = Mapping[str, Any]


class Rpc:
    """One endpoint. Every answer's ledger is compared with the highest one seen."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._ids = itertools.count(1)
        self._highest = 0

    async def head(self) -> LedgerHead:
        """The latest ledger with its close time."""
        return head_of(await self.transaction(_NO_HASH))

    async def passphrase(self) -> str:
        """The network's passphrase."""
        answer = await self._call("getNetwork", {})
        return str(answer["passphrase"])

    async def entries(self, keys: Sequence[str]) -> tuple[int, dict[str, Json]]:
        """The ledger that was read and its entries by key (base64); missing ones are absent.

        More than 200 keys take several requests: then it is the oldest ledger among the answers.
        """
        ledgers: list[int] = []
        found: dict[str, Json] = {}
        for start in range(0, len(keys), MAX_KEYS):
            chunk = list(keys[start : start + MAX_KEYS])
            answer = await self._call("getLedgerEntries", {"keys": chunk})
            self._note(answer)
            ledgers.append(int(answer["latestLedger"]))
            found |= {entry["key"]: entry for entry in answer["entries"] or []}
        return min(ledgers, default=0), found

    async def simulate(self, envelope: str) -> Json:
        """The raw answer of simulateTransaction."""
        answer = await self._call("simulateTransaction", {"transaction": envelope})
        self._note(answer)
        return answer

    async def send(self, envelope: str) -> Json:
        """The raw answer of sendTransaction. RpcUnavailableError means: it may have been taken."""
        return await self._call("sendTransaction", {"transaction": envelope})

    async def transaction(self, tx_hash: str) -> Json:
        """The raw answer of getTransaction."""
        answer = await self._call("getTransaction", {"hash": tx_hash})
        self._note(answer)
        return answer

    async def transactions(self, *, start: int | None = None, cursor: str | None = None) -> Json:
        """The raw answer of getTransactions: up to 200 from ledger `start`, or after `cursor`."""
        page = {"limit": MAX_TRANSACTIONS} | ({"cursor": cursor} if cursor else {})
        body = {"startLedger": start} if start is not None else {}
        answer = await self._call("getTransactions", {**body, "pagination": page})
        self._note(answer)
        return answer

    async def soroban_inclusion_fee(self) -> int:
        """Stroops that most recent contract calls bid for inclusion (90th percentile)."""
        answer = await self._call("getFeeStats", {})
        return max(100, int(answer["sorobanInclusionFee"]["p90"]))

    async def get(self, url: str) -> int:
        """Status of a plain GET, for friendbots."""
        try:
            async with self._session.get(url) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RpcUnavailableError(f"{url.partition('?')[0]} does not answer") from error

    async def _call(self, method: str, parameters: Json) -> Json:
        request = {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "method": method,
            **({"params": parameters} if parameters else {}),
        }
        try:
            async with self._session.post(self._url, json=request) as response:
                response.raise_for_status()
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise RpcUnavailableError(
                f"the Stellar node gave no answer to {method}", retry_after=1.0
            ) from error
        return _result(answer, method)

    def _note(self, answer: Json) -> None:
        ledger = int(answer.get("latestLedger", 0))
        if ledger + _TOLERATED_LAG < self._highest:
            raise StaleAnswerError(
                f"the Stellar node is at ledger {ledger}, {self._highest} was seen before",
                retry_after=1.0,
            )
        self._highest = max(self._highest, ledger)


def head_of(answer: Json) -> LedgerHead:
    """The head in an answer of getTransaction."""
    return LedgerHead(
        sequence=int(answer["latestLedger"]),
        close_time=int(answer["latestLedgerCloseTime"]),
        oldest=int(answer["oldestLedger"]),
    )


def head_of_page(answer: Json) -> LedgerHead:
    """The head in an answer of getTransactions."""
    return LedgerHead(
        sequence=int(answer["latestLedger"]),
        close_time=int(answer["latestLedgerCloseTimestamp"]),
        oldest=int(answer["oldestLedger"]),
    )


def _result(answer: Any, method: str) -> Json:
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise RpcUnavailableError(f"the Stellar node's answer to {method} is not JSON-RPC")
    error = answer.get("error")
    if error is None:
        result: Json = answer["result"]
        return result
    # -32603 is the node's own trouble; everything else is about the request.
    if error.get("code") == -32603:
        raise RpcUnavailableError(f"{method}: {error.get('message')}", retry_after=1.0)
    raise RpcRejectedError(f"{method}: {error.get('message')}")


@asynccontextmanager
async def open_rpc(url: str, *, timeout: float) -> AsyncIterator[Rpc]:
    """A session with kept-alive connections; `timeout` (s) is for one request."""
    limits = aiohttp.ClientTimeout(total=timeout)
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(timeout=limits, connector=connector) as session:
        yield Rpc(session, url)

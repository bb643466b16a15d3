"""A Stellar RPC node as `kalepool statement verify` asks it: any node will do."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from cli.errors import CommandLineError
from cli.stellar_xdr import data_key, data_value, moves_of, token_id
from libs.common.errors import UnavailableError
from libs.kale.address import account_key
from libs.kale.networks import NETWORKS
from libs.kale.statements.chain import SeenTransaction
from libs.kale.statements.roots import ENTRY_NAME

#: Seconds for one answer, and for all of them.
_ANSWER = 20.0
#: Transactions that are asked for at once: public nodes are everybody's.
_AT_ONCE = 8
#: Bytes of an answer at most.
_LARGEST = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network of a node, and how far back it remembers."""

    #: First ledger that the node had when it was asked: it drops one every few seconds.
    oldest: int
    #: Id of KALE's contract; empty on a network that is not known, where amounts are not compared.
    token: bytes


class StellarNode:
    """Reads from one node by JSON-RPC."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def network(self, asset: str = "") -> Network:
        """Return which network the node is of; there KALE is `asset` (CODE:ISSUER) if given.

        Raises UnavailableError, and CommandLineError for what is no asset.
        """
        health, network = await asyncio.gather(self._ask("getHealth"), self._ask("getNetwork"))
        passphrase = network.get("passphrase")
        known = {one.passphrase: one.asset for one in NETWORKS.values()}
        kale = asset or known.get(str(passphrase), "")
        try:
            token = token_id(kale, str(passphrase)) if kale else b""
        except ValueError as error:
            raise CommandLineError(f"--asset: {error}") from error
        return Network(oldest=_number(health, "oldestLedger"), token=token)

    async def oldest(self) -> int:
        """Return the first ledger that the node has now. Raises UnavailableError."""
        return _number(await self._ask("getHealth"), "oldestLedger")

    async def entry(self, account: str) -> bytes | None:
        """Return the value of the data entry that holds a root; None when there is none.

        Raises UnavailableError.
        """
        try:
            key = data_key(account, ENTRY_NAME)
        except ValueError:
            return None
        answer = await self._ask("getLedgerEntries", keys=[key])
        for item in answer.get("entries") or []:
            try:
                return data_value(item["xdr"], address=account, name=ENTRY_NAME)
            except (ValueError, KeyError, TypeError) as error:
                raise _unreadable("getLedgerEntries") from error
        return None

    async def transactions(
        self, hashes: Sequence[str], *, account: str, token: bytes
    ) -> dict[str, SeenTransaction]:
        """Return those of these transactions that the node has. Raises UnavailableError."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> tuple[str, SeenTransaction | None]:
            async with turn:
                return name, _seen(await self._ask("getTransaction", hash=name), account, token)

        found = await asyncio.gather(*map(one, hashes))
        return {name: seen for name, seen in found if seen is not None}

    async def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters or None}
        try:
            async with self._session.post(self._url, json=body) as reply:
                reply.raise_for_status()
                answer = await reply.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise UnavailableError(f"{self._url} does not answer {method}: {error}") from error
        result = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(result, dict):
            raise UnavailableError(f"{self._url} refuses {method}: {str(answer)[:200]}")
        return result


def _seen(answer: dict[str, Any], account: str, token: bytes) -> SeenTransaction | None:
    status = answer.get("status")
    if status not in {"SUCCESS", "FAILED"}:
        return None
    return SeenTransaction(
        ledger=_number(answer, "ledger"),
        succeeded=status == "SUCCESS",
        moves=_moves(answer.get("events"), account, token),
    )


def _moves(events: Any, account: str, token: bytes) -> tuple[int, ...] | None:
    """Return what a transaction's events moved; None when the node tells none, or not so."""
    told = events.get("contractEventsXdr") if isinstance(events, dict) else None
    if not token or not account or not isinstance(told, list):
        return None
    texts = [text for of_operation in told for text in of_operation or []]
    if not texts:  # a node need not tell events of classic payments
        return None
    try:
        return moves_of(texts, token=token, account=account_key(account))
    except (ValueError, TypeError) as error:
        raise _unreadable("getTransaction") from error


def _number(answer: dict[str, Any], name: str) -> int:
    value = answer.get(name)
    if type(value) is not int:
        raise _unreadable(name)
    return value


def _unreadable(what: str) -> UnavailableError:
    return UnavailableError(f"the node's answer cannot be read: {what}")


@asynccontextmanager
async def open_node(url: str) -> AsyncIterator[StellarNode]:
    """Open a session to a node. Raises CommandLineError for what is no URL."""
    if not url.startswith(("http://", "https://")):
        raise CommandLineError(f"--rpc: {url} is no URL of a Stellar RPC")
    timeout = aiohttp.ClientTimeout(total=_ANSWER)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=_LARGEST) as session:
        yield StellarNode(session, url)

"""A Stellar node that repeats the answers of another node, changed in the way a test asks for."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.json_rpc import json_rpc_server

#: Function that changes a method's result.
Lie = Callable[[str, dict[str, Any]], dict[str, Any]]


def truth(_: str, result: dict[str, Any]) -> dict[str, Any]:
    """Return the result unchanged."""
    return result


class LyingNode:
    """A node that passes requests on to an honest node, and lies about its answers."""

    def __init__(self, honest: str) -> None:
        self._honest = honest
        #: Function that changes the answers.
        self.lie: Lie = truth
        #: Methods that were called, in order.
        self.calls: list[str] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run the node while the block runs; yield its URL."""
        async with aiohttp.ClientSession() as session:

            async def answer(request: Any) -> web.Response:
                async with session.post(self._honest, json=request) as response:
                    given = await response.json()
                if isinstance(request, list):
                    return web.json_response(
                        [self._twist(call, item) for call, item in zip(request, given, strict=True)]
                    )
                return web.json_response(self._twist(request, given))

            async with json_rpc_server(answer) as url:
                yield url

    def _twist(self, call: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(call["method"])
        if "result" not in given:
            return given
        return {**given, "result": self.lie(call["method"], given["result"])}


def plus(ledgers: int = 0, seconds: int = 0) -> Lie:
    """Return a lie that shifts all ledgers and clocks forward by these amounts."""

    def lie(_: str, result: dict[str, Any]) -> dict[str, Any]:
        changed = dict(result)
        if "latestLedger" in result:
            changed["latestLedger"] += ledgers
        for name in ("latestLedgerCloseTime", "latestLedgerCloseTimestamp"):
            if name in result:
                changed[name] = type(result[name])(int(result[name]) + seconds)
        return changed

    return lie


def nothing_there(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Claim that no entry exists."""
    return {**result, "entries": []} if method == "getLedgerEntries" else result


class Frozen:
    """A lie that shows entries as they were when they were read for the first time."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, Any]] = {}

    def __call__(self, method: str, result: dict[str, Any]) -> dict[str, Any]:
        """Return the old contents with the new ledger."""
        if method != "getLedgerEntries":
            return result
        for entry in result["entries"]:
            self._seen.setdefault(entry["key"], entry)
        return {**result, "entries": [self._seen[entry["key"]] for entry in result["entries"]]}

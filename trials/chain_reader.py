"""A copy of the chain's transactions outside of the chain: the tested node may lose its history."""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import aiohttp

from devstack.chain_view import ChainView, add_transaction, call_rpc, read_transactions

#: Seconds until a failed read is repeated: a node may have been told to fail.
_PAUSE = 0.2


class Reader:
    """A reader that reads every transaction once, in order, and forgets none of its findings."""

    def __init__(self, session: aiohttp.ClientSession, rpc_url: str) -> None:
        self._session = session
        self._rpc_url = rpc_url
        self._last = 0
        #: Pails made, worked and harvested.
        self.view = ChainView()

    async def catch_up(self) -> None:
        """Read all new transactions; repeat the read while the node misbehaves.

        Only the read is repeated. Ledgers that are inconsistent are the witness's concern: the call
        raises what `add` raises, and so does each further call.
        """
        for ledger, items in groupby(await self._new(), key=_ledger):
            for item in items:
                self.add(item)
            self._last = ledger

    async def _new(self) -> Sequence[dict[str, Any]]:
        """Wait for the node to return its transactions since the last ledger that was read."""
        while True:
            try:
                return await self._read()
            except (aiohttp.ClientError, OSError, ValueError, RuntimeError, KeyError):
                await asyncio.sleep(_PAUSE)

    async def _read(self) -> Sequence[dict[str, Any]]:
        """Read from the last ledger that was read, or from the oldest that the node has."""
        health = await call_rpc(self._session, self._rpc_url, "getHealth", None)
        first = max(int(health["oldestLedger"]), self._last)
        return [
            item
            async for item in read_transactions(self._session, self._rpc_url, first=first)
            if _ledger(item) > self._last
        ]

    def add(self, item: dict[str, Any]) -> None:
        """Take one transaction in the form that getTransactions returns."""
        add_transaction(self.view, item)


def _ledger(item: dict[str, Any]) -> int:
    return int(item["ledger"])

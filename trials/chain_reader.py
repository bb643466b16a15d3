"""What is on the chain, kept outside of it: the node under test may forget its history."""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import aiohttp

from devstack.chain_view import ChainView, add_transaction, call_rpc, read_transactions

#: Seconds until a read that failed is repeated: the node may have been told to fail.
_PAUSE = 0.2


class Reader:
    """Reads every transaction once, in order, and never forgets what it came to."""

    def __init__(self, session: aiohttp.ClientSession, rpc_url: str) -> None:
        self._session = session
        self._rpc_url = rpc_url
        self._last = 0
        #: Pails made, worked and harvested.
        self.view = ChainView()

    async def catch_up(self) -> None:
        """Reads what is new; repeats while the node misbehaves.

        Only reading is repeated: ledgers that make no sense are what a witness is for, and raise
        what `add` raises, at each further call, too.
        """
        for ledger, items in groupby(await self._new(), key=_ledger):
            for item in items:
                self.add(item)
            self._last = ledger

    async def _new(self) -> Sequence[dict[str, Any]]:
        """What the node has since the last ledger that was read, as soon as it says so."""
        while True:
            try:
                return await self._read()
            except (aiohttp.ClientError, OSError, ValueError, RuntimeError, KeyError):
                await asyncio.sleep(_PAUSE)

    async def _read(self) -> Sequence[dict[str, Any]]:
        """From the last ledger that was read, or the oldest that there is."""
        health = await call_rpc(self._session, self._rpc_url, "getHealth", None)
        first = max(int(health["oldestLedger"]), self._last)
        return [
            item
            async for item in read_transactions(self._session, self._rpc_url, first=first)
            if _ledger(item) > self._last
        ]

    def add(self, item: dict[str, Any]) -> None:
        """Takes one transaction, as getTransactions gives it."""
        add_transaction(self.view, item)


def _ledger(item: dict[str, Any]) -> int:
    return int(item["ledger"])

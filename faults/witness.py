"""What is on the chain, kept outside of it: the node under test may forget its history."""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
from stellar_sdk import xdr

from demo.chain_view import ChainView, add_transaction, call_rpc, read_transactions
from demo.farm_calls import FarmCall, farm_calls

#: Seconds until a read that failed is repeated: the node may have been told to fail.
_PAUSE = 0.2


@dataclass(frozen=True, kw_only=True)
class SeenCall:
    """One call of the farm in a ledger."""

    #: The call.
    call: FarmCall
    #: Its ledger.
    ledger: int


@dataclass(frozen=True, kw_only=True)
class SeenFee:
    """What one contract call was to cost and did cost."""

    #: Hash (hex) of the transaction.
    hash: str
    #: Operations that it carried.
    calls: int
    #: Stroops of XLM that the network might have charged.
    bid: int
    #: Stroops of XLM that it did charge.
    charged: int


class Witness:
    """Reads every transaction once, in order, and never forgets."""

    def __init__(self, session: aiohttp.ClientSession, rpc_url: str) -> None:
        self._session = session
        self._rpc_url = rpc_url
        self._last = 0
        #: Pails made, worked and harvested.
        self.view = ChainView()
        #: The farm's calls in the order in which they were applied.
        self.calls: list[SeenCall] = []
        #: Contract calls in the same order.
        self.fees: list[SeenFee] = []

    async def catch_up(self) -> None:
        """Reads what is new; repeats while the node misbehaves."""
        while True:
            try:
                await self._read()
            except (aiohttp.ClientError, OSError, ValueError, RuntimeError, KeyError):
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def _read(self) -> None:
        """From the last ledger that was read, or the oldest that there is."""
        health = await call_rpc(self._session, self._rpc_url, "getHealth", None)
        first = max(int(health["oldestLedger"]), self._last)
        found = [
            item
            async for item in read_transactions(self._session, self._rpc_url, first=first)
            if int(item["ledger"]) > self._last
        ]
        for item in found:
            self._add(item)
            self._last = int(item["ledger"])

    def _add(self, item: dict[str, Any]) -> None:
        add_transaction(self.view, item)
        calls = farm_calls(item)
        if not calls:
            return
        self.calls += [SeenCall(call=call, ledger=int(item["ledger"])) for call in calls]
        envelope = xdr.TransactionEnvelope.from_xdr(item["envelopeXdr"])
        result = xdr.TransactionResult.from_xdr(item["resultXdr"])
        self.fees.append(
            SeenFee(
                hash=item["txHash"],
                calls=len(calls),
                bid=_bid(envelope),
                charged=result.fee_charged.int64,
            )
        )


def _bid(envelope: xdr.TransactionEnvelope) -> int:
    if envelope.fee_bump is not None:
        return envelope.fee_bump.tx.fee.int64
    if envelope.v1 is None:
        raise ValueError("an envelope without a transaction of version 1")
    return envelope.v1.tx.fee.uint32

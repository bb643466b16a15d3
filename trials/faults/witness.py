"""The calls, fees and payments on the chain, remembered outside of the chain."""

from dataclasses import dataclass
from typing import Any

import aiohttp
from stellar_sdk import xdr

from devstack.farm_calls import FarmCall, farm_calls
from trials.payments import PaymentReader, payments_in


@dataclass(frozen=True, kw_only=True)
class SeenCall:
    """One call of the farm in a ledger."""

    #: The call.
    call: FarmCall
    #: Its ledger.
    ledger: int


@dataclass(frozen=True, kw_only=True)
class SeenFee:
    """The possible and the actual cost of one contract call."""

    #: Hash (hex) of the transaction.
    hash: str
    #: Operations that the transaction carried, the bump of a payer's number included.
    calls: int
    #: Stroops of XLM that the network might have charged.
    bid: int
    #: Stroops of XLM that the network did charge.
    charged: int


class Witness(PaymentReader):
    """A reader of payments that also remembers calls and fees."""

    def __init__(self, session: aiohttp.ClientSession, rpc_url: str) -> None:
        super().__init__(session, rpc_url)
        #: The farm's calls in the order in which they were applied.
        self.calls: list[SeenCall] = []
        #: Contract calls and payments in the same order.
        self.fees: list[SeenFee] = []

    def add(self, item: dict[str, Any]) -> None:
        """Take one more transaction."""
        super().add(item)
        calls, payments = farm_calls(item), payments_in(item)
        if not calls and not payments:
            return
        self.calls += [SeenCall(call=call, ledger=int(item["ledger"])) for call in calls]
        envelope = xdr.TransactionEnvelope.from_xdr(item["envelopeXdr"])
        result = xdr.TransactionResult.from_xdr(item["resultXdr"])
        self.fees.append(
            SeenFee(
                hash=item["txHash"],
                # The bump of a payer's number is one operation more (OperatorLimits.cap).
                calls=len(calls) or len(payments) + 1,
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

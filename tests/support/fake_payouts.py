"""wallet's payouts without a chain: what is asked for is settled at once, with faults on demand.

The fake keeps the promise that harvest relies on: under one request id each payee is paid once.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import payout_pb2, payout_pb2_grpc, wallet_pb2
from stellar_sdk import Keypair

from libs.common.errors import FailedPreconditionError, PoolError, UnavailableError
from libs.common.grpc.errors import to_status
from libs.common.ids import new_id

LEDGER, FEE = 321, 400


@dataclass(kw_only=True)
class PayoutFaults:
    """The faults of the fake; tests change them at any time."""

    #: Payees (farmers' ids, miners' addresses, poolers' ids) that are refused, with the reasons.
    refused: dict[str, str] = field(default_factory=dict)
    #: Payees whose payments fail in a ledger, each with the reason.
    failing: dict[str, str] = field(default_factory=dict)
    #: Payees of whom nobody can say how their payments ended.
    tampered: set[str] = field(default_factory=set)
    #: Number of calls that are answered UNAVAILABLE, after what they ask for was recorded.
    lost: int = 0
    #: Reason with which every call is refused as a whole.
    refuse: str = ""


class FakePayouts(payout_pb2_grpc.PayoutServiceServicer):
    """A servicer of PayFarmers, PayMiners and PayPooler."""

    def __init__(self) -> None:
        self.faults = PayoutFaults()
        #: Request ids of every call, in order.
        self.calls: list[str] = []
        #: Of each call of PayFarmers, whether an operator asked by name.
        self.by_name: list[bool] = []
        #: Stroops that were paid, by farmer's id, miner's address and pooler's id.
        self.paid: Counter[str] = Counter()
        #: How often each of them was paid.
        self.times: Counter[str] = Counter()
        #: Fees (pooler, operator, miners) that leave with a farmer's next payout, by farmer's id.
        self.fees: dict[str, tuple[int, int, int]] = {}
        #: Poolers of farmers.
        self.poolers: dict[str, str] = {}
        #: What was recorded, by request id and payee.
        self._known: dict[tuple[str, str], Any] = {}

    async def PayFarmers(
        self, request: payout_pb2.PayFarmersRequest, context: Any
    ) -> AsyncIterator[payout_pb2.PayFarmersResponse]:
        """Pay farmers, one in a message."""
        self.by_name.append(request.by_name)
        results = [
            self._farmer(request.request_id, item) for item in await self._asked(request, context)
        ]
        await self._lose(context)
        for result in results:
            yield payout_pb2.PayFarmersResponse(results=[result])

    async def PayMiners(
        self, request: payout_pb2.PayMinersRequest, context: Any
    ) -> AsyncIterator[payout_pb2.PayMinersResponse]:
        """Pay miners, all in a message."""
        results = [
            self._miner(request.request_id, request.pooler_id, item)
            for item in await self._asked(request, context)
        ]
        await self._lose(context)
        yield payout_pb2.PayMinersResponse(results=results)

    async def PayPooler(
        self, request: payout_pb2.PayPoolerRequest, context: Any
    ) -> payout_pb2.PayPoolerResponse:
        """Pay a pooler."""
        self.calls.append(request.request_id)
        name = request.pooler_id
        if name in self.faults.refused:
            return payout_pb2.PayPoolerResponse(refusal=self._refusal(name))
        payment = self._payment(request.request_id, name, name, request.amount, is_miner=False)
        await self._lose(context)
        return payout_pb2.PayPoolerResponse(payment=payment)

    async def _asked(self, request: Any, context: Any) -> Sequence[Any]:
        self.calls.append(request.request_id)
        if self.faults.refuse:
            error = FailedPreconditionError("refused", reason=self.faults.refuse)
            await context.abort_with_status(to_status(error))
        items: Sequence[Any] = request.items
        return items

    async def _lose(self, context: Any) -> None:
        if self.faults.lost:
            self.faults.lost -= 1
            error: PoolError = UnavailableError("away")
            await context.abort_with_status(to_status(error))

    def _refusal(self, name: str) -> payout_pb2.PayoutRefusal:
        reason = self.faults.refused[name]
        return payout_pb2.PayoutRefusal(reason=reason, message=f"{reason} in words")

    def _farmer(self, request_id: str, item: Any) -> payout_pb2.FarmerPayoutResult:
        name = item.farmer_id
        known = self._known.get((request_id, name))
        if known is None:
            if name in self.faults.refused:
                return payout_pb2.FarmerPayoutResult(farmer_id=name, refusal=self._refusal(name))
            pooler, operator, miners = self.fees.pop(name, (0, 0, 0))
            known = payout_pb2.Payout(
                request_id=request_id,
                farmer_id=name,
                pooler_id=self.poolers[name],
                amount=item.amount,
                destination=address_of(name),
                fees=payout_pb2.FeeParts(pooler=pooler, operator=operator, miners=miners),
                operation=self._operation(name, item.amount),
            )
            if name in self.faults.failing:
                self.fees[name] = (pooler, operator, miners)
            self._known[request_id, name] = known
        return payout_pb2.FarmerPayoutResult(farmer_id=name, payout=known)

    def _miner(self, request_id: str, pooler_id: str, item: Any) -> payout_pb2.MinerPaymentResult:
        name = item.address
        if name in self.faults.refused:
            return payout_pb2.MinerPaymentResult(address=name, refusal=self._refusal(name))
        payment = self._payment(request_id, pooler_id, name, item.amount, is_miner=True)
        return payout_pb2.MinerPaymentResult(address=name, payment=payment)

    def _payment(
        self, request_id: str, pooler_id: str, name: str, amount: int, *, is_miner: bool
    ) -> payout_pb2.PoolPayment:
        known = self._known.get((request_id, name))
        if known is None:
            known = self._known[request_id, name] = payout_pb2.PoolPayment(
                request_id=request_id,
                pooler_id=pooler_id,
                is_miner=is_miner,
                amount=amount,
                destination=name if is_miner else address_of(name),
                operation=self._operation(name, amount),
            )
        return known

    def _operation(self, name: str, amount: int) -> wallet_pb2.Operation:
        operation = wallet_pb2.Operation(
            operation_id=str(new_id()),
            state=wallet_pb2.OPERATION_STATE_SUCCEEDED,
            transaction_hash="ab" * 32,
            ledger=LEDGER,
            fee_charged=FEE,
        )
        operation.settled_at.GetCurrentTime()
        if name in self.faults.failing:
            operation.state = wallet_pb2.OPERATION_STATE_FAILED
            operation.reason = common_pb2.FailureReason.Value(
                f"FAILURE_REASON_{self.faults.failing[name]}"
            )
            return operation
        self.paid[name] += amount
        self.times[name] += 1
        if name in self.faults.tampered:
            operation.state = wallet_pb2.OPERATION_STATE_FAILED
            operation.reason = common_pb2.FAILURE_REASON_TAMPERED
        return operation


def address_of(name: str) -> str:
    """Return the address that a farmer or a pooler is paid at."""
    return Keypair.from_raw_ed25519_seed(hashlib.sha256(name.encode()).digest()).public_key

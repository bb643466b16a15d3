"""kalepool.wallet.v1.PayoutService: payouts of farmers, their fees, and what those pay for."""

from collections.abc import AsyncIterator
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import payout_pb2, payout_pb2_grpc

from libs.common.grpc.identity import caller
from libs.common.ids import FarmerId, PoolerId
from services.wallet.domain.fees_due import Fees
from services.wallet.domain.payouts import Payout, PoolPayment, Refusal
from services.wallet.servicers import messages
from services.wallet.usecases.payouts import Payouts

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = payout_pb2.DESCRIPTOR.services_by_name["PayoutService"].full_name
#: Methods that wait for ledgers.
SETTLING = ("PayFarmers", "PayMiners", "PayPooler")
#: Methods that other services call.
INTERNAL = ("CreatePoolerWallet", *SETTLING, "GetFeeState", "GetPoolerFees")


class PayoutServicer(payout_pb2_grpc.PayoutServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(self, payouts: Payouts) -> None:
        self._payouts = payouts

    async def CreatePoolerWallet(
        self, request: payout_pb2.CreatePoolerWalletRequest, context: Context
    ) -> payout_pb2.CreatePoolerWalletResponse:
        """See payout.proto."""
        pooler_id = PoolerId(UUID(request.pooler_id))
        await self._payouts.create_pooler_wallet(pooler_id, request.pooler_address)
        address, pooler_address = await self._payouts.pooler_addresses(pooler_id)
        return payout_pb2.CreatePoolerWalletResponse(address=address, pooler_address=pooler_address)

    async def PayFarmers(
        self, request: payout_pb2.PayFarmersRequest, context: Context
    ) -> AsyncIterator[payout_pb2.PayFarmersResponse]:
        """See payout.proto."""
        amounts = {FarmerId(UUID(item.farmer_id)): item.amount for item in request.items}
        actor = caller().actor
        async for told in self._payouts.pay_farmers(
            request.request_id, amounts, actor=actor, by_name=request.by_name
        ):
            yield payout_pb2.PayFarmersResponse(
                results=[
                    payout_pb2.FarmerPayoutResult(
                        farmer_id=str(farmer_id),
                        payout=None if isinstance(item, Refusal) else _payout(item),
                        refusal=_refusal(item) if isinstance(item, Refusal) else None,
                    )
                    for farmer_id, item in told.items()
                ]
            )

    async def PayMiners(
        self, request: payout_pb2.PayMinersRequest, context: Context
    ) -> AsyncIterator[payout_pb2.PayMinersResponse]:
        """See payout.proto."""
        pooler_id, actor = PoolerId(UUID(request.pooler_id)), caller().actor
        amounts = {item.address: item.amount for item in request.items}
        name = request.request_id
        async for told in self._payouts.pay_miners(name, pooler_id, amounts, actor=actor):
            yield payout_pb2.PayMinersResponse(
                results=[
                    payout_pb2.MinerPaymentResult(
                        address=address,
                        payment=None if isinstance(item, Refusal) else _pool_payment(item),
                        refusal=_refusal(item) if isinstance(item, Refusal) else None,
                    )
                    for address, item in told.items()
                ]
            )

    async def PayPooler(
        self, request: payout_pb2.PayPoolerRequest, context: Context
    ) -> payout_pb2.PayPoolerResponse:
        """See payout.proto."""
        item = await self._payouts.pay_pooler(
            request.request_id,
            PoolerId(UUID(request.pooler_id)),
            request.amount,
            actor=caller().actor,
        )
        return payout_pb2.PayPoolerResponse(
            payment=None if isinstance(item, Refusal) else _pool_payment(item),
            refusal=_refusal(item) if isinstance(item, Refusal) else None,
        )

    async def GetFeeState(
        self, request: payout_pb2.GetFeeStateRequest, context: Context
    ) -> payout_pb2.GetFeeStateResponse:
        """See payout.proto."""
        state = await self._payouts.fee_state(FarmerId(UUID(request.farmer_id)))
        return payout_pb2.GetFeeStateResponse(
            accrued=_parts(state.accrued),
            paid=_parts(state.paid.paid),
            in_flight=_parts(state.paid.in_flight),
        )

    async def GetPoolerFees(
        self, request: payout_pb2.GetPoolerFeesRequest, context: Context
    ) -> payout_pb2.GetPoolerFeesResponse:
        """See payout.proto."""
        found = await self._payouts.pooler_fees(PoolerId(UUID(request.pooler_id)))
        return payout_pb2.GetPoolerFeesResponse(
            address=found.account.address,
            pooler_address=found.pooler_address,
            is_ready=found.account.is_ready,
            received=_parts(found.received),
            paid=_parts(found.paid.paid),
            in_flight=_parts(found.paid.in_flight),
        )


def _parts(fees: Fees) -> payout_pb2.FeeParts:
    return payout_pb2.FeeParts(pooler=fees.pooler, operator=fees.operator, miners=fees.miners)


def _refusal(refusal: Refusal) -> payout_pb2.PayoutRefusal:
    return payout_pb2.PayoutRefusal(reason=refusal.reason, message=refusal.message)


def _payout(payout: Payout) -> payout_pb2.Payout:
    operation = payout.operation
    return payout_pb2.Payout(
        payout_id=str(operation.id),
        request_id=payout.request_id,
        farmer_id=str(operation.farmer_id or ""),
        pooler_id=str(operation.pooler_id or ""),
        amount=payout.amount,
        destination=payout.destination,
        fees=_parts(payout.fees),
        pooler_account=payout.pooler_account,
        operator_account=payout.operator_account,
        requested_at=messages.timestamp(payout.requested_at),
        operation=messages.operation_message(operation),
    )


def _pool_payment(payment: PoolPayment) -> payout_pb2.PoolPayment:
    operation = payment.operation
    return payout_pb2.PoolPayment(
        payment_id=str(operation.id),
        request_id=payment.request_id,
        pooler_id=str(operation.pooler_id or ""),
        is_miner=payment.is_miner,
        amount=payment.amount,
        destination=payment.destination,
        requested_at=messages.timestamp(payment.requested_at),
        operation=messages.operation_message(operation),
    )

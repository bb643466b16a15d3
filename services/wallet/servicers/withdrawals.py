"""kalepool.wallet.v1.WithdrawalService: farmers' withdrawals."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import withdrawal_pb2, withdrawal_pb2_grpc

from libs.common.grpc.identity import caller
from libs.common.ids import FarmerId, OperationId
from libs.common.paging import id_after, size_of, token_after
from services.wallet.domain.withdrawals import Asset, Withdrawal
from services.wallet.servicers import messages
from services.wallet.store.withdrawals import WithdrawalStore
from services.wallet.usecases.agreements import Agreements
from services.wallet.usecases.withdrawals import Withdrawals

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = withdrawal_pb2.DESCRIPTOR.services_by_name["WithdrawalService"].full_name
#: Methods that wait for ledgers.
SETTLING = ("Withdraw",)
#: Methods that registry calls.
INTERNAL = ("GetPayoutAddress",)
_ASSETS = {
    withdrawal_pb2.WITHDRAWAL_ASSET_KALE: Asset.KALE,
    withdrawal_pb2.WITHDRAWAL_ASSET_XLM: Asset.XLM,
}


class WithdrawalServicer(withdrawal_pb2_grpc.WithdrawalServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(
        self, withdrawals: Withdrawals, store: WithdrawalStore, agreements: Agreements
    ) -> None:
        self._withdrawals = withdrawals
        self._agreements = agreements
        self._store = store

    async def SetPayoutAddress(
        self, request: withdrawal_pb2.SetPayoutAddressRequest, context: Context
    ) -> withdrawal_pb2.SetPayoutAddressResponse:
        """See withdrawal.proto."""
        moment = await self._agreements.set_address(
            FarmerId(UUID(request.farmer_id)), request.address, caller()
        )
        return withdrawal_pb2.SetPayoutAddressResponse(effective_at=messages.timestamp(moment))

    async def GetPayoutAddress(
        self, request: withdrawal_pb2.GetPayoutAddressRequest, context: Context
    ) -> withdrawal_pb2.GetPayoutAddressResponse:
        """See withdrawal.proto."""
        found = await self._withdrawals.addresses(FarmerId(UUID(request.farmer_id)))
        pending_at = found.pending_at
        return withdrawal_pb2.GetPayoutAddressResponse(
            address=found.address,
            pending_address=found.pending or "",
            pending_effective_at=None if pending_at is None else messages.timestamp(pending_at),
        )

    async def Withdraw(
        self, request: withdrawal_pb2.WithdrawRequest, context: Context
    ) -> withdrawal_pb2.WithdrawResponse:
        """See withdrawal.proto."""
        withdrawal = await self._withdrawals.withdraw(
            FarmerId(UUID(request.farmer_id)),
            request_id=request.request_id,
            asset=_ASSETS[request.asset],
            amount=request.amount,
            destination=request.destination,
            actor=caller().actor,
        )
        return withdrawal_pb2.WithdrawResponse(withdrawal=_message(withdrawal))

    async def GetWithdrawal(
        self, request: withdrawal_pb2.GetWithdrawalRequest, context: Context
    ) -> withdrawal_pb2.GetWithdrawalResponse:
        """See withdrawal.proto."""
        withdrawal = await self._withdrawals.withdrawal(OperationId(UUID(request.withdrawal_id)))
        return withdrawal_pb2.GetWithdrawalResponse(withdrawal=_message(withdrawal))

    async def ListWithdrawals(
        self, request: withdrawal_pb2.ListWithdrawalsRequest, context: Context
    ) -> withdrawal_pb2.ListWithdrawalsResponse:
        """See withdrawal.proto."""
        size = size_of(request.page_size)
        found = await self._store.page(
            farmer_id=FarmerId(UUID(request.farmer_id)) if request.farmer_id else None,
            before=id_after(request.page_token),
            limit=size + 1,
        )
        return withdrawal_pb2.ListWithdrawalsResponse(
            withdrawals=[_message(item) for item in found[:size]],
            next_page_token=token_after([item.operation.id for item in found], size),
        )


def _message(withdrawal: Withdrawal) -> withdrawal_pb2.Withdrawal:
    operation = withdrawal.operation
    return withdrawal_pb2.Withdrawal(
        withdrawal_id=str(operation.id),
        request_id=withdrawal.request_id,
        farmer_id=str(operation.farmer_id or ""),
        asset=withdrawal_pb2.WithdrawalAsset.Value(f"WITHDRAWAL_ASSET_{withdrawal.asset.name}"),
        amount=withdrawal.amount,
        destination=withdrawal.destination,
        operation=messages.operation_message(operation),
    )

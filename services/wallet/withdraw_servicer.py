"""kalepool.wallet.v1.WithdrawalService: farmers' money on its way out."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import withdraw_pb2, withdraw_pb2_grpc

from libs.common.grpc.limits import caller_of
from libs.common.grpc.validate import FieldChecks
from libs.common.ids import FarmerId, OperationId
from libs.common.paging import encode_token
from libs.kale.address import account_address
from libs.kale.constants import MAX_I64
from services.wallet import messages
from services.wallet.domain.withdrawals import Asset, Withdrawal
from services.wallet.withdrawal_usecases import Withdrawals

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = withdraw_pb2.DESCRIPTOR.services_by_name["WithdrawalService"].full_name
#: Methods that wait for ledgers.
SETTLING = ("Withdraw",)
#: Methods that registry calls.
UNLIMITED = ("SetPayoutAddress",)
_ASSETS = {
    withdraw_pb2.WITHDRAWAL_ASSET_UNSPECIFIED: Asset.KALE,
    withdraw_pb2.WITHDRAWAL_ASSET_KALE: Asset.KALE,
    withdraw_pb2.WITHDRAWAL_ASSET_XLM: Asset.XLM,
}


class WithdrawalServicer(withdraw_pb2_grpc.WithdrawalServiceServicer):
    """Thin: check, one call, map."""

    def __init__(self, withdrawals: Withdrawals) -> None:
        self._withdrawals = withdrawals

    async def SetPayoutAddress(
        self, request: withdraw_pb2.SetPayoutAddressRequest, context: Context
    ) -> withdraw_pb2.SetPayoutAddressResponse:
        """See withdraw.proto."""
        checks = FieldChecks()
        checks.request_id(request.request_id)
        farmer_id = FarmerId(checks.uuid("farmer_id", request.farmer_id))
        address = request.address
        if address:
            checks.parsed("address", address, account_address, "")
        checks.done()
        moment = await self._withdrawals.set_address(
            farmer_id, address, actor=caller_of(context.peer())
        )
        return withdraw_pb2.SetPayoutAddressResponse(effective_at=messages.timestamp(moment))

    async def GetPayoutAddress(
        self, request: withdraw_pb2.GetPayoutAddressRequest, context: Context
    ) -> withdraw_pb2.GetPayoutAddressResponse:
        """See withdraw.proto."""
        checks = FieldChecks()
        farmer_id = FarmerId(checks.uuid("farmer_id", request.farmer_id))
        checks.done()
        found = await self._withdrawals.addresses(farmer_id)
        pending_at = found.pending_at
        return withdraw_pb2.GetPayoutAddressResponse(
            address=found.address,
            pending_address=found.pending or "",
            pending_effective_at=None if pending_at is None else messages.timestamp(pending_at),
        )

    async def Withdraw(
        self, request: withdraw_pb2.WithdrawRequest, context: Context
    ) -> withdraw_pb2.WithdrawResponse:
        """See withdraw.proto."""
        checks = FieldChecks()
        request_id = checks.request_id(request.request_id, required=True)
        farmer_id = FarmerId(checks.uuid("farmer_id", request.farmer_id))
        if request.asset not in _ASSETS:
            checks.fail("asset", f"has no value {request.asset}")
        amount = checks.number("amount", request.amount, low=1, high=MAX_I64)
        checks.done()
        withdrawal = await self._withdrawals.withdraw(
            farmer_id,
            request_id=request_id,
            asset=_ASSETS[request.asset],
            amount=amount,
            actor=caller_of(context.peer()),
        )
        return withdraw_pb2.WithdrawResponse(withdrawal=_message(withdrawal))

    async def GetWithdrawal(
        self, request: withdraw_pb2.GetWithdrawalRequest, context: Context
    ) -> withdraw_pb2.GetWithdrawalResponse:
        """See withdraw.proto."""
        checks = FieldChecks()
        withdrawal_id = OperationId(checks.uuid("withdrawal_id", request.withdrawal_id))
        checks.done()
        withdrawal = await self._withdrawals.withdrawal(withdrawal_id)
        return withdraw_pb2.GetWithdrawalResponse(withdrawal=_message(withdrawal))

    async def ListWithdrawals(
        self, request: withdraw_pb2.ListWithdrawalsRequest, context: Context
    ) -> withdraw_pb2.ListWithdrawalsResponse:
        """See withdraw.proto."""
        checks = FieldChecks()
        farmer_id = checks.optional_uuid("farmer_id", request.farmer_id)
        size = checks.page_size(request.page_size)
        key = checks.page_token(request.page_token, [UUID])
        checks.done()
        found = await self._withdrawals.store.page(
            farmer_id=None if farmer_id is None else FarmerId(farmer_id),
            before=None if key is None else key[0],
            limit=size + 1,
        )
        more = len(found) > size
        return withdraw_pb2.ListWithdrawalsResponse(
            withdrawals=[_message(item) for item in found[:size]],
            next_page_token=encode_token([found[size - 1].operation.id]) if more else "",
        )


def _message(withdrawal: Withdrawal) -> withdraw_pb2.Withdrawal:
    operation = withdrawal.operation
    return withdraw_pb2.Withdrawal(
        withdrawal_id=str(operation.id),
        request_id=withdrawal.request_id,
        farmer_id=str(operation.farmer_id or ""),
        asset=withdraw_pb2.WithdrawalAsset.Value(f"WITHDRAWAL_ASSET_{withdrawal.asset.name}"),
        amount=withdrawal.amount,
        destination=withdrawal.destination,
        operation=messages.operation_message(operation),
    )

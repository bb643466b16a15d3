"""Client of wallet for registry.

wallet makes wallets, and pays out to one address of each farmer.
"""

from uuid import UUID

import grpc
from kalepool.wallet.v1 import (
    approval_pb2,
    approval_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)

from libs.common.grpc.client import call
from libs.common.grpc.health import is_serving
from libs.common.grpc.second_person import Order
from libs.common.ids import FarmerId, PoolerId, WalletId
from libs.kale.amounts import format_percentage, parse_percentage

#: Seconds for one call.
TIMEOUT = 15.0


class WalletClient:
    """Typed calls of wallet."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub: wallet_pb2_grpc.WalletServiceAsyncStub = wallet_pb2_grpc.WalletServiceStub(
            channel
        )
        self._withdrawals: withdrawal_pb2_grpc.WithdrawalServiceAsyncStub = (
            withdrawal_pb2_grpc.WithdrawalServiceStub(channel)
        )
        self._approvals: approval_pb2_grpc.ApprovalServiceAsyncStub = (
            approval_pb2_grpc.ApprovalServiceStub(channel)
        )

    async def is_serving(self) -> bool:
        """Tell whether wallet is serving, for the health check."""
        return await is_serving(self._channel)

    async def create_wallet(
        self, farmer_id: FarmerId, pooler_id: PoolerId, *, payout_address: str, stake_bps: int
    ) -> tuple[WalletId, str]:
        """Return the farmer's wallet and its address; make the wallet when there is none.

        A repeated call returns the same wallet.
        """
        request = wallet_pb2.CreateWalletRequest(
            farmer_id=str(farmer_id),
            pooler_id=str(pooler_id),
            payout_address=payout_address,
            stake_percentage=format_percentage(stake_bps),
        )
        response = await call(self._stub.CreateWallet, request, timeout=TIMEOUT)
        return WalletId(UUID(response.wallet.wallet_id)), response.wallet.address

    async def stake_limit(self, farmer_id: FarmerId) -> int:
        """Return what a farmer may stake at most, in ten-thousandths of its balance."""
        request = wallet_pb2.GetWalletRequest(farmer_id=str(farmer_id))
        found = await call(self._stub.GetWallet, request, timeout=TIMEOUT)
        return parse_percentage(found.wallet.stake_limit)

    async def newest_payout_address(self, farmer_id: FarmerId) -> str:
        """Return the address that was set last, whether or not it counts already; "" for none."""
        request = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=str(farmer_id))
        found = await call(self._withdrawals.GetPayoutAddress, request, timeout=TIMEOUT)
        return found.pending_address if found.HasField("pending_effective_at") else found.address

    async def use_approval(self, order: Order) -> None:
        """Return when an operator's order may be carried out; its approval is used up then.

        Raise FailedPreconditionError (SECOND_PERSON) while no other operator has approved it.
        """
        request = approval_pb2.UseApprovalRequest(
            method=order.method,
            digest=order.digest,
            request=order.request,
            asked_by=order.asked_by,
            actor=order.actor,
        )
        await call(self._approvals.UseApproval, request, timeout=TIMEOUT)

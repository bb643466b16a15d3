"""wallet as registry sees it: it makes wallets."""

from uuid import UUID

import grpc
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc

from libs.common.grpc.client import call
from libs.common.grpc.health import is_serving
from libs.common.ids import FarmerId, PoolerId, WalletId

#: Seconds for one call.
TIMEOUT = 15.0


class WalletClient:
    """Typed calls of wallet."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub: wallet_pb2_grpc.WalletServiceAsyncStub = wallet_pb2_grpc.WalletServiceStub(
            channel
        )

    async def is_serving(self) -> bool:
        """For the health check."""
        return await is_serving(self._channel)

    async def create_wallet(self, farmer_id: FarmerId, pooler_id: PoolerId) -> tuple[WalletId, str]:
        """The farmer's wallet and its address; asking again gives the same."""
        request = wallet_pb2.CreateWalletRequest(farmer_id=str(farmer_id), pooler_id=str(pooler_id))
        response = await call(self._stub.CreateWallet, request, timeout=TIMEOUT)
        return WalletId(UUID(response.wallet.wallet_id)), response.wallet.address

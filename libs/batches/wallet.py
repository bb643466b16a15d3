"""A client of wallet for plant, work and harvest: hand over a chunk, wait until it is settled."""

from collections.abc import AsyncIterator, Sequence

import grpc
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc

from libs.batches.model import Chunk
from libs.common.grpc.client import stream
from libs.common.grpc.health import is_serving
from libs.common.ids import FarmerId


class WalletClient:
    """Typed calls of wallet's batch RPCs; errors are those that wallet raised."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout: float) -> None:
        """Take `timeout` (s) for one batch stream; a broken stream is called again."""
        self._channel = channel
        self._stub: wallet_pb2_grpc.WalletServiceAsyncStub = wallet_pb2_grpc.WalletServiceStub(
            channel
        )
        self._timeout = timeout

    async def is_serving(self) -> bool:
        """Tell the health check whether wallet serves."""
        return await is_serving(self._channel)

    async def plant(self, chunk: Chunk[tuple[FarmerId, int]]) -> None:
        """Call BatchPlant with (farmer, stake)."""
        request = wallet_pb2.BatchPlantRequest(
            request_id=chunk.request_id,
            block_index=chunk.block_index,
            operations=[
                wallet_pb2.PlantOperation(farmer_id=str(farmer), stake=stake)
                for farmer, stake in chunk.items
            ],
        )
        responses = stream(self._stub.BatchPlant, request, timeout=self._timeout)
        await _drain(responses)

    async def work(self, chunk: Chunk[tuple[FarmerId, int, bytes]]) -> None:
        """Call BatchWork with (farmer, nonce, hash)."""
        request = wallet_pb2.BatchWorkRequest(
            request_id=chunk.request_id,
            block_index=chunk.block_index,
            operations=[
                wallet_pb2.WorkOperation(farmer_id=str(farmer), nonce=nonce, hash=digest)
                for farmer, nonce, digest in chunk.items
            ],
        )
        responses = stream(self._stub.BatchWork, request, timeout=self._timeout)
        await _drain(responses)

    async def harvest(self, chunk: Chunk[FarmerId]) -> None:
        """Call BatchHarvest with farmers."""
        request = wallet_pb2.BatchHarvestRequest(
            request_id=chunk.request_id,
            block_index=chunk.block_index,
            operations=_harvests(chunk.items),
        )
        responses = stream(self._stub.BatchHarvest, request, timeout=self._timeout)
        await _drain(responses)


def _harvests(farmers: Sequence[FarmerId]) -> list[wallet_pb2.HarvestOperation]:
    return [wallet_pb2.HarvestOperation(farmer_id=str(farmer)) for farmer in farmers]


async def _drain(responses: AsyncIterator[object]) -> None:
    """Wait for the stream's end; the results themselves are read from wallet's view."""
    async for _ in responses:
        pass

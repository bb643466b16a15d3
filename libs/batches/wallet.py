"""A client of wallet for plant, work and harvest: hand over a chunk, wait until it is settled."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol
from uuid import UUID

import grpc
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc

from libs.batches.model import TAMPERED, Chunk
from libs.common.grpc.client import call, stream
from libs.common.grpc.health import is_serving
from libs.common.ids import FarmerId

#: States of operations that have ended, as wallet's view has them.
_STATES = {
    wallet_pb2.OPERATION_STATE_SUCCEEDED: "succeeded",
    wallet_pb2.OPERATION_STATE_FAILED: "failed",
    wallet_pb2.OPERATION_STATE_EXPIRED: "expired",
}
#: Operations that wallet is asked about at once, and seconds for that.
_AT_ONCE, _ANSWER = 1000, 10.0
#: Ends that are remembered: of a few batches of all farmers.
_MOST = 50_000


class Told(Protocol):
    """The fields that wallet's answers to batches have."""

    @property
    def operation(self) -> wallet_pb2.Operation:
        """Return an operation that has ended."""
        ...

    @property
    def others(self) -> Sequence[wallet_pb2.Operation]:
        """Return the operations that have ended with it."""
        ...


class WalletClient:
    """Typed calls of wallet's batch RPCs; errors are those that wallet raised.

    Satisfies libs.batches.model.Judge.
    """

    def __init__(self, channel: grpc.aio.Channel, *, timeout: float) -> None:
        """Take `timeout` (s) for one batch stream; a broken stream is called again."""
        #: How operations ended, by what wallet told; the oldest are forgotten first.
        self._ends: dict[UUID, str] = {}
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
        await self._drain(responses)

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
        await self._drain(responses)

    async def harvest(self, chunk: Chunk[FarmerId]) -> None:
        """Call BatchHarvest with farmers."""
        request = wallet_pb2.BatchHarvestRequest(
            request_id=chunk.request_id,
            block_index=chunk.block_index,
            operations=_harvests(chunk.items),
        )
        responses = stream(self._stub.BatchHarvest, request, timeout=self._timeout)
        await self._drain(responses)

    async def ends(self, settled: Mapping[UUID, str]) -> Mapping[UUID, str]:
        """Return how these operations ended by wallet's word; see Judge.

        A stream of this process has told most of them already. Wallet is asked again wherever it
        last told something else than the rows say, TAMPERED included.
        """
        found = {name: said for name, said in settled.items() if self._ends.get(name) == said}
        unknown = [name for name in settled if name not in found]
        for start in range(0, len(unknown), _AT_ONCE):
            names = map(str, unknown[start : start + _AT_ONCE])
            request = wallet_pb2.JudgeOperationsRequest(operation_ids=names)
            response = await call(self._stub.JudgeOperations, request, timeout=_ANSWER)
            found |= self._remember(response.operations)
        return found

    async def _drain(self, responses: AsyncIterator[Told]) -> None:
        """Wait for the stream's end, and remember how each operation ended.

        The results themselves are read from wallet's view.
        """
        async for response in responses:
            self._remember([response.operation, *response.others])

    def _remember(self, operations: Sequence[wallet_pb2.Operation]) -> dict[UUID, str]:
        ends = {UUID(one.operation_id): _end(one) for one in operations}
        self._ends |= ends
        while len(self._ends) > _MOST:
            del self._ends[next(iter(self._ends))]
        return ends


def _end(operation: wallet_pb2.Operation) -> str:
    if operation.reason == common_pb2.FAILURE_REASON_TAMPERED:
        return TAMPERED
    return _STATES.get(operation.state, "")


def _harvests(farmers: Sequence[FarmerId]) -> list[wallet_pb2.HarvestOperation]:
    return [wallet_pb2.HarvestOperation(farmer_id=str(farmer)) for farmer in farmers]

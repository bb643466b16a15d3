"""A typed client of the five services: plain values in and out, repeats built in."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

import grpc
from kalepool.harvest.v1 import harvest_pb2, harvest_pb2_grpc
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc
from kalepool.work.v1 import work_pb2, work_pb2_grpc

from libs.common.errors import PoolError
from libs.common.grpc.client import call, open_channel, stream
from libs.common.grpc.tls import PLAINTEXT, Transport
from libs.common.ids import FarmerId, PoolerId, new_id
from pooler import messages
from pooler.miner import Found
from pooler.model import (
    BatchSummary,
    ChainView,
    FarmerOutcome,
    FarmerRecord,
    PoolerRecord,
    SweepSummary,
)
from pooler.retry import patiently

T = TypeVar("T")

#: Gets the method, each error that is waited out, and the seconds until the next try.
Notice = Callable[[str, PoolError, float], None]

#: Seconds that one try of a quick call, and of a batch, may take.
_QUICK = 10.0
_BATCH = 240.0
#: Seconds that one try of a plant may take: plants not settled by then are left, so that the
#: others are worked.
_PLANT = 150.0
#: Seconds for which a quick call is repeated: a service that restarts is back much sooner.
_PATIENCE = 120.0
#: Seconds for which a registration is repeated: a thousand at once run into the rate limit.
_ENROL_PATIENCE = 3600.0
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Where the five services listen (host:port)."""

    #: Poolers and farmers.
    registry: str = "127.0.0.1:50051"
    #: Blocks.
    wallet: str = "127.0.0.1:50052"
    #: Planting.
    plant: str = "127.0.0.1:50053"
    #: Nonces.
    work: str = "127.0.0.1:50054"
    #: Rewards.
    harvest: str = "127.0.0.1:50055"


class PoolClient:
    """Calls of the pool; each is repeated with the same request_id while its error may pass.

    All methods raise PoolError: at once when a repeat would not help, else when patience is over.
    """

    def __init__(
        self,
        *,
        registry: grpc.aio.Channel,
        wallet: grpc.aio.Channel,
        plant: grpc.aio.Channel,
        work: grpc.aio.Channel,
        harvest: grpc.aio.Channel,
        notice: Notice,
    ) -> None:
        """Take `notice`, which is told of every error that is waited out."""
        self._registry = registry_pb2_grpc.RegistryServiceStub(registry)
        self._wallet = wallet_pb2_grpc.WalletServiceStub(wallet)
        self._plant = plant_pb2_grpc.PlantServiceStub(plant)
        self._work = work_pb2_grpc.WorkServiceStub(work)
        self._harvest = harvest_pb2_grpc.HarvestServiceStub(harvest)
        self._notice = notice

    async def register_pooler(self, *, name: str, public_key: str, request_id: str) -> PoolerRecord:
        """Register a pooler; a repeat with the same request_id returns the first answer."""
        request = registry_pb2.RegisterPoolerRequest(
            request_id=request_id, name=name, public_key=public_key
        )
        answer = await self._quick(
            "RegisterPooler", lambda: call(self._registry.RegisterPooler, request, timeout=_QUICK)
        )
        return messages.pooler(answer.pooler)

    async def poolers(self) -> AsyncIterator[PoolerRecord]:
        """List all poolers, in the order of registration."""
        token = ""
        while True:
            request = registry_pb2.ListPoolersRequest(page_size=_PAGE, page_token=token)
            answer = await self._list_poolers(request)
            for pooler in answer.poolers:
                yield messages.pooler(pooler)
            token = answer.next_page_token
            if not token:
                return

    async def heartbeat(self, pooler_id: PoolerId) -> None:
        """Say that the pooler is alive.

        The call is not repeated, as the next heartbeat comes soon.
        """
        request = registry_pb2.HeartbeatRequest(pooler_id=str(pooler_id))
        await call(self._registry.Heartbeat, request, timeout=_QUICK)

    async def register_farmer(
        self, pooler_id: PoolerId, *, stake_percentage: str, request_id: str
    ) -> FarmerId:
        """Register a farmer; a repeat with the same request_id returns the same farmer."""
        request = registry_pb2.RegisterFarmerRequest(
            request_id=request_id, pooler_id=str(pooler_id), stake_percentage=stake_percentage
        )
        answer = await self._repeat(
            "RegisterFarmer",
            lambda: call(self._registry.RegisterFarmer, request, timeout=_QUICK),
            patience=_ENROL_PATIENCE,
        )
        return FarmerId(UUID(answer.farmer_id))

    async def farmers(self, pooler_id: PoolerId) -> AsyncIterator[FarmerRecord]:
        """List the pooler's farmers, in the order of registration."""
        token = ""
        while True:
            request = registry_pb2.ListFarmersRequest(
                pooler_id=str(pooler_id), page_size=_PAGE, page_token=token
            )
            answer = await self._list_farmers(request)
            for farmer in answer.farmers:
                yield messages.farmer(farmer)
            token = answer.next_page_token
            if not token:
                return

    async def block(self, index: int | None = None) -> ChainView:
        """Return one block, the current one by default, and the head. Raise NotFoundError."""
        request = wallet_pb2.GetBlockRequest(index=index)
        return messages.chain_view(
            await self._quick(
                "GetBlock", lambda: call(self._wallet.GetBlock, request, timeout=_QUICK)
            )
        )

    async def watch_blocks(self) -> AsyncIterator[ChainView]:
        """Yield blocks as they change, without an end.

        An error ends the stream, and the caller opens another.
        """
        request = wallet_pb2.WatchBlocksRequest()
        async for message in stream(self._wallet.WatchBlocks, request, timeout=None):
            yield messages.chain_view(message)

    async def plant(
        self, pooler_id: PoolerId, block_index: int, *, farmers: int, patience: float
    ) -> BatchSummary:
        """Plant up to `farmers` farmers; try for `patience` seconds.

        Raise FailedPreconditionError (WRONG_BLOCK) when the block cannot be planted now.
        """
        request = plant_pb2.PlantRequest(
            block_index=block_index,
            pooler_id=str(pooler_id),
            max_farmers_capacity=farmers,
            request_id=str(new_id()),
        )
        answer = await self._repeat(
            "Plant",
            lambda: call(self._plant.Plant, request, timeout=_PLANT),
            patience=patience,
        )
        return messages.plant_summary(answer)

    async def planted(self, pooler_id: PoolerId, block_index: int) -> AsyncIterator[FarmerOutcome]:
        """List the farmers planted in a block, by the pool's records.

        The records also have plants of calls before a crash.
        """
        token = ""
        while True:
            request = plant_pb2.ListPlantingsRequest(
                pooler_id=str(pooler_id),
                block_index=block_index,
                page_size=_PAGE,
                page_token=token,
            )
            answer = await self._list_plantings(request)
            for planting in map(messages.planting, answer.plantings):
                if planting.succeeded:
                    yield planting
            token = answer.next_page_token
            if not token:
                return

    async def submit_work(
        self, pooler_id: PoolerId, block_index: int, found: Sequence[Found], *, patience: float
    ) -> BatchSummary:
        """Submit nonces; try for `patience` seconds.

        Raise FailedPreconditionError (WRONG_BLOCK) when the block is no longer the current one.
        """
        request = work_pb2.SubmitWorkRequest(
            block_index=block_index,
            pooler_id=str(pooler_id),
            submissions=[_submission(one) for one in found],
            request_id=str(new_id()),
        )
        answer = await self._repeat(
            "SubmitWork",
            lambda: call(self._work.SubmitWork, request, timeout=_BATCH),
            patience=patience,
        )
        return messages.work_summary(answer)

    async def harvest(
        self, pooler_id: PoolerId, block_index: int, *, patience: float
    ) -> BatchSummary:
        """Harvest a closed block; try for `patience` seconds.

        Raise FailedPreconditionError (BLOCK_NOT_CLOSED) before the next block is open.
        """
        request = harvest_pb2.HarvestRequest(
            block_index=block_index, pooler_id=str(pooler_id), request_id=str(new_id())
        )
        answer = await self._repeat(
            "Harvest",
            lambda: call(self._harvest.Harvest, request, timeout=_BATCH),
            patience=patience,
        )
        return messages.harvest_summary(answer)

    async def harvest_pending(self, pooler_id: PoolerId, *, patience: float) -> SweepSummary:
        """Harvest every closed block that has something worked and not harvested."""
        request = harvest_pb2.HarvestPendingRequest(pooler_id=str(pooler_id))
        answer = await self._repeat(
            "HarvestPending",
            lambda: call(self._harvest.HarvestPending, request, timeout=_BATCH),
            patience=patience,
        )
        return messages.sweep_summary(answer)

    async def _list_poolers(
        self, request: registry_pb2.ListPoolersRequest
    ) -> registry_pb2.ListPoolersResponse:
        return await self._quick(
            "ListPoolers", lambda: call(self._registry.ListPoolers, request, timeout=_QUICK)
        )

    async def _list_farmers(
        self, request: registry_pb2.ListFarmersRequest
    ) -> registry_pb2.ListFarmersResponse:
        return await self._quick(
            "ListFarmers", lambda: call(self._registry.ListFarmers, request, timeout=_QUICK)
        )

    async def _list_plantings(
        self, request: plant_pb2.ListPlantingsRequest
    ) -> plant_pb2.ListPlantingsResponse:
        return await self._quick(
            "ListPlantings", lambda: call(self._plant.ListPlantings, request, timeout=_QUICK)
        )

    async def _quick(self, method: str, attempt: Callable[[], Awaitable[T]]) -> T:
        return await self._repeat(method, attempt, patience=_PATIENCE)

    async def _repeat(
        self, method: str, attempt: Callable[[], Awaitable[T]], *, patience: float
    ) -> T:
        return await patiently(attempt, patience=patience, notice=partial(self._notice, method))


@asynccontextmanager
async def open_client(
    targets: Targets,
    transport: Transport = PLAINTEXT,
    *,
    notice: Notice = lambda _method, _error, _delay: None,
) -> AsyncIterator[PoolClient]:
    """Open a client with one channel to each service; channels connect when they are used."""
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(open_channel(target, transport, name=name))
            for name, target in asdict(targets).items()
        }
        yield PoolClient(**channels, notice=notice)


def _submission(found: Found) -> work_pb2.Submission:
    return work_pb2.Submission(
        farmer_id=str(found.farmer_id),
        nonce=found.nonce,
        timestamp=int(found.found_at.timestamp() * 1000),
    )

"""A typed client of the five services: plain values in and out, repeats built in."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

from kalepool.harvest.v1 import harvest_pb2, harvest_pb2_grpc, miner_pb2, miner_pb2_grpc
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.report.v1 import report_pb2, report_pb2_grpc
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc
from kalepool.work.v1 import work_pb2, work_pb2_grpc

from client import messages
from client.calls import PAGE, Calls, Limits, Notice
from client.connection import Connections, Targets, TokenFiles, open_connections
from client.model import (
    BatchSummary,
    BlockCounts,
    ChainView,
    FarmerOutcome,
    FarmerRecord,
    MinersPot,
    MinersTold,
    PoolerRecord,
    Submission,
    SweepSummary,
)
from client.money import MoneyClient
from client.retry import backoff, wait_after
from libs.common.errors import NotFoundError, PoolError, UnauthenticatedError, UnavailableError
from libs.common.grpc.tls import PLAINTEXT, Transport
from libs.common.ids import FarmerId, PoolerId, new_id

#: The limits of who gives none.
_LIMITS = Limits()
#: Seconds without a message after which a stream counts as broken: it has a sign of life every 15.
_SILENCE = 45.0


class PoolClient:
    """Calls of the pool; each is repeated with the same request_id while its error may pass.

    All methods raise PoolError: at once when a repeat would not help, else when patience is over.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        limits: Limits = _LIMITS,
        notice: Notice = lambda _method, _error, _delay: None,
    ) -> None:
        """Take `notice`, which is told of every error that is waited out."""
        channels = connections.channels
        calls = Calls(connections, limits=limits, notice=notice)
        #: Agreements, payouts, statements and the ledger.
        self.money = MoneyClient(calls)
        self._connections = connections
        self._limits = limits
        self._notice = notice
        self._ask = calls.ask
        self._pages = calls.pages
        self._registry = registry_pb2_grpc.RegistryServiceStub(channels["registry"])
        self._wallet = wallet_pb2_grpc.WalletServiceStub(channels["wallet"])
        self._plant = plant_pb2_grpc.PlantServiceStub(channels["plant"])
        self._work = work_pb2_grpc.WorkServiceStub(channels["work"])
        self._harvest = harvest_pb2_grpc.HarvestServiceStub(channels["harvest"])
        self._miners = miner_pb2_grpc.MinerCreditServiceStub(channels["harvest"])
        self._reports = report_pb2_grpc.ReportServiceStub(channels["harvest"])

    # Poolers and farmers --------------------------------------------------------------------------

    async def register_pooler(self, *, name: str, public_key: str, request_id: str) -> PoolerRecord:
        """Register a pooler; a repeat with the same request_id returns the first answer."""
        request = registry_pb2.RegisterPoolerRequest(
            request_id=request_id, name=name, public_key=public_key
        )
        answer = await self._ask(self._registry.RegisterPooler, request)
        return messages.pooler(answer.pooler)

    async def poolers(self) -> AsyncIterator[PoolerRecord]:
        """List all poolers, in the order of registration."""
        request = registry_pb2.ListPoolersRequest(page_size=PAGE)
        async for page in self._pages(self._registry.ListPoolers, request):
            for pooler in page.poolers:
                yield messages.pooler(pooler)

    async def heartbeat(self, pooler_id: PoolerId) -> None:
        """Say that the pooler is alive.

        The call is not repeated, as the next heartbeat comes soon.
        """
        request = registry_pb2.HeartbeatRequest(pooler_id=str(pooler_id))
        await self._ask(self._registry.Heartbeat, request, patience=0)

    async def register_farmer(
        self, pooler_id: PoolerId, *, stake_percentage: str, request_id: str
    ) -> FarmerId:
        """Register a farmer; a repeat with the same request_id returns the same farmer."""
        request = registry_pb2.RegisterFarmerRequest(
            request_id=request_id, pooler_id=str(pooler_id), stake_percentage=stake_percentage
        )
        answer = await self._ask(
            self._registry.RegisterFarmer, request, patience=self._limits.enrol_patience_seconds
        )
        return FarmerId(UUID(answer.farmer_id))

    async def farmers(self, pooler_id: PoolerId) -> AsyncIterator[FarmerRecord]:
        """List the pooler's farmers, in the order of registration."""
        request = registry_pb2.ListFarmersRequest(pooler_id=str(pooler_id), page_size=PAGE)
        async for page in self._pages(self._registry.ListFarmers, request):
            for farmer in page.farmers:
                yield messages.farmer(farmer)

    async def balances(self, pooler_id: PoolerId) -> AsyncIterator[tuple[FarmerId, int]]:
        """List the stroops of KALE of the pooler's farmers, as wallet read them last.

        Stakes that are planted are not among them.
        """
        request = wallet_pb2.ListWalletsRequest(pooler_id=str(pooler_id), page_size=PAGE)
        async for page in self._pages(self._wallet.ListWallets, request):
            for wallet in page.wallets:
                yield FarmerId(UUID(wallet.farmer_id)), wallet.balances.kale_stroops

    # Blocks ---------------------------------------------------------------------------------------

    async def block(self, index: int | None = None) -> ChainView:
        """Return one block, the current one by default, and the head. Raise NotFoundError."""
        request = wallet_pb2.GetBlockRequest(index=index)
        answer = await self._ask(self._wallet.GetBlock, request)
        return messages.chain_view(answer)

    async def block_counts(self, block_index: int) -> BlockCounts:
        """Return what all farmers of the pool have done in a block."""
        request = report_pb2.GetBlockReportRequest(block_index=block_index)
        try:
            answer = await self._ask(self._reports.GetBlockReport, request)
        except NotFoundError:
            return BlockCounts(planted=0, zeros={})  # nobody has planted yet
        return messages.block_counts(answer)

    async def watch_blocks(self, after_index: int | None = None) -> AsyncGenerator[ChainView, None]:
        """Yield blocks as they change, without an end; begin after `after_index` if it is given.

        A stream that breaks is opened again and goes on with the blocks that were opened meanwhile;
        the newest state may come twice. Raise PoolError when another try would not help:
        OutOfRangeError (HISTORY_GONE) when the blocks in between are no longer there.
        """
        seen, delays, refused = after_index, backoff(), False
        while True:
            try:
                async with aclosing(self._changes(seen)) as views:
                    async for view in views:
                        seen = seen if view.block is None else view.block.index
                        delays, refused = backoff(), False
                        yield view
                await asyncio.sleep(next(delays))
            except UnauthenticatedError:
                # The access token that began the stream has ended; a fresh one begins the next.
                if refused or not self._connections.by_token:
                    raise
                refused = True
            except PoolError as error:
                await self._outlast("WatchBlocks", error, next(delays))

    # A block's three calls ------------------------------------------------------------------------

    async def plant(
        self,
        pooler_id: PoolerId,
        block_index: int,
        *,
        farmers: int = 0,
        stakes: Mapping[FarmerId, int] | None = None,
        sitting_out: Collection[FarmerId] = (),
        patience: float | None = None,
    ) -> BatchSummary:
        """Plant up to `farmers` farmers, all by default; try for `patience` seconds.

        `stakes` are stroops of single farmers, which count where they are less than was agreed;
        those who sit out are not planted.

        Raise FailedPreconditionError (WRONG_BLOCK) when the block cannot be planted now.
        """
        request = plant_pb2.PlantRequest(
            block_index=block_index,
            pooler_id=str(pooler_id),
            max_farmers_capacity=farmers,
            request_id=str(new_id()),
            stakes=messages.stakes(stakes or {}),
            sitting_out=sorted(map(str, sitting_out)),
        )
        answer = await self._ask(
            self._plant.Plant, request, seconds=self._limits.plant_seconds, patience=patience
        )
        return messages.plant_summary(answer)

    async def planted(self, pooler_id: PoolerId, block_index: int) -> AsyncIterator[FarmerOutcome]:
        """List the farmers planted in a block, by the pool's records.

        The records also have plants of calls before a crash.
        """
        request = plant_pb2.ListPlantingsRequest(
            pooler_id=str(pooler_id), block_index=block_index, page_size=PAGE
        )
        async for page in self._pages(self._plant.ListPlantings, request):
            for planting in map(messages.planting, page.plantings):
                if planting.succeeded:
                    yield planting

    async def submit_work(
        self,
        pooler_id: PoolerId,
        block_index: int,
        found: Sequence[Submission],
        *,
        patience: float | None = None,
    ) -> BatchSummary:
        """Submit nonces; try for `patience` seconds.

        Raise FailedPreconditionError (WRONG_BLOCK) when the block is no longer the current one.
        """
        request = work_pb2.SubmitWorkRequest(
            block_index=block_index,
            pooler_id=str(pooler_id),
            submissions=map(messages.submission, found),
            request_id=str(new_id()),
        )
        answer = await self._ask(
            self._work.SubmitWork, request, seconds=self._limits.batch_seconds, patience=patience
        )
        return messages.work_summary(answer)

    async def worked(self, pooler_id: PoolerId, block_index: int) -> AsyncIterator[FarmerOutcome]:
        """List the works of a block that the chain took, by the pool's records.

        A farmer who worked twice is there twice.
        """
        request = work_pb2.ListWorksRequest(
            pooler_id=str(pooler_id), block_index=block_index, page_size=PAGE
        )
        async for page in self._pages(self._work.ListWorks, request):
            for work in map(messages.work, page.works):
                if work.succeeded:
                    yield work

    async def harvest(
        self, pooler_id: PoolerId, block_index: int, *, patience: float | None = None
    ) -> BatchSummary:
        """Harvest a closed block; try for `patience` seconds.

        Raise FailedPreconditionError (BLOCK_NOT_CLOSED) before the next block is open.
        """
        request = harvest_pb2.HarvestRequest(
            block_index=block_index, pooler_id=str(pooler_id), request_id=str(new_id())
        )
        answer = await self._ask(
            self._harvest.Harvest, request, seconds=self._limits.batch_seconds, patience=patience
        )
        return messages.harvest_summary(answer)

    async def harvest_pending(
        self, pooler_id: PoolerId, *, patience: float | None = None
    ) -> SweepSummary:
        """Harvest every closed block that has something worked and not harvested."""
        request = harvest_pb2.HarvestPendingRequest(pooler_id=str(pooler_id))
        answer = await self._ask(
            self._harvest.HarvestPending,
            request,
            seconds=self._limits.batch_seconds,
            patience=patience,
        )
        return messages.sweep_summary(answer)

    async def harvested(
        self, pooler_id: PoolerId, block_index: int
    ) -> AsyncIterator[FarmerOutcome]:
        """List the harvests of a block that were paid, by the pool's records.

        The records also have what the pool has harvested by itself, as it does once a minute.
        """
        request = harvest_pb2.ListHarvestsRequest(
            pooler_id=str(pooler_id), block_index=block_index, page_size=PAGE
        )
        async for page in self._pages(self._harvest.ListHarvests, request):
            for harvest in map(messages.harvest, page.harvests):
                if harvest.succeeded:
                    yield harvest

    async def credit_miners(self, told: MinersTold) -> MinersPot:
        """Tell what miners did in a closed block; to tell it again changes nothing.

        Raise AlreadyExistsError (MINERS_TOLD) when something else was told before, and
        FailedPreconditionError (BLOCK_NOT_CLOSED) or NotFoundError (BLOCK_NOT_FARMED) for a block
        that cannot be told of. The call is not repeated: who tells looks again later.
        """
        request = miner_pb2.CreditMinersRequest(
            pooler_id=str(told.pooler_id),
            block_index=told.block_index,
            miners=[
                miner_pb2.MinerPoints(address=address, points=points)
                for address, points in told.points.items()
            ],
            own_points=told.own_points,
            chunk=told.chunk,
            chunks=told.chunks,
        )
        answer = await self._ask(
            self._miners.CreditMiners, request, seconds=self._limits.batch_seconds, patience=0
        )
        return MinersPot(is_complete=answer.is_complete, pot=answer.pot, divided=answer.divided)

    # How calls are made ---------------------------------------------------------------------------

    async def _changes(self, after_index: int | None) -> AsyncGenerator[ChainView, None]:
        """Yield what one stream tells. Raise UnavailableError when it falls silent."""
        request = wallet_pb2.WatchBlocksRequest(after_index=after_index)
        async with aclosing(self._connections.stream(self._wallet.WatchBlocks, request)) as changes:
            while True:
                try:
                    async with asyncio.timeout(_SILENCE):
                        message = await anext(changes, None)
                except TimeoutError as error:
                    raise UnavailableError("the stream of blocks fell silent") from error
                if message is None:
                    return
                yield messages.chain_view(message)

    async def _outlast(self, method: str, error: PoolError, delay: float) -> None:
        """Wait before another try; raise the error when another try would not help."""
        wait = wait_after(error, delay)
        if wait is None:
            raise error
        self._notice(method, error, wait)
        await asyncio.sleep(wait)


@asynccontextmanager
async def open_client(
    targets: Targets,
    caller: Transport | TokenFiles = PLAINTEXT,
    *,
    limits: Limits = _LIMITS,
    notice: Notice = lambda _method, _error, _delay: None,
) -> AsyncIterator[PoolClient]:
    """Open a client with one channel to each service; channels connect when they are used.

    `caller` says who calls: mutual TLS (`transport_of` of TlsFiles), or an API token.
    """
    async with open_connections(targets.by_name(), caller) as connections:
        yield PoolClient(connections, limits=limits, notice=notice)

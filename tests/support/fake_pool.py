"""A whole pool in one process, for its clients: five services over the farm's state machine.

Real gRPC, real rules, real time; a block lasts two seconds. It answers as the protos say,
idempotence included, and can lose answers.
"""

import asyncio
import base64
import binascii
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import time
from types import ModuleType
from typing import Any, TypeAlias
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.common.v1 import common_pb2
from kalepool.harvest.v1 import harvest_pb2, miner_pb2
from kalepool.plant.v1 import plant_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.report.v1 import report_pb2
from kalepool.wallet.v1 import wallet_pb2
from kalepool.work.v1 import work_pb2

from client import Targets
from libs.common.errors import FailedPreconditionError, NotFoundError, PoolError, UnavailableError
from libs.common.grpc.errors import to_status
from libs.kale import farm
from libs.kale.address import raw_key
from libs.kale.errors import FarmCode, FarmError
from libs.kale.farm import FarmState, Moment
from libs.kale.hash import leading_zeros, work_hash

BLOCK_SECONDS = 2
LEDGER_SECONDS = 0.1
STAKE = 1_000_000
PLANT_FEE, WORK_FEE = 20_000, 5_000

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def new_address() -> str:
    """Make a random G address."""
    payload = bytes([6 << 3]) + secrets.token_bytes(32)
    checksum = binascii.crc_hqx(payload, 0).to_bytes(2, "little")
    return base64.b32encode(payload + checksum).decode()


class FakeChain:
    """The farm, and the ledger that runs with the clock."""

    def __init__(self) -> None:
        self._started = time()
        self.state: FarmState = FarmState(
            running=farm.founded(self.at()).running, interval_seconds=BLOCK_SECONDS
        )
        #: Stroops paid out as rewards.
        self.rewards = 0
        #: Ledger that opened each block.
        self.opened: dict[int, int] = {}
        #: Leading zeros of every accepted work, by block and address.
        self.worked: dict[tuple[int, str], int] = {}

    def at(self) -> Moment:
        """Now."""
        return Moment(
            ledger=1000 + int((time() - self._started) / LEDGER_SECONDS), time=int(time())
        )

    @property
    def current(self) -> int:
        """Index of the current block."""
        return self.state.index or 0

    @property
    def plantable(self) -> int:
        """Index of the block that a plant would go to now."""
        return self.plantable_at(self.at())

    def plantable_at(self, at: Moment) -> int:
        """Index of the block that a plant would go to."""
        assert self.state.running is not None
        return farm.plantable_index(
            current=self.state.index,
            running_since=self.state.running.opened_at,
            now=at.time,
            interval_seconds=BLOCK_SECONDS,
        )

    def plant(self, farmer: str, amount: int = 0, *, at: Moment | None = None) -> None:
        """Plant, as anyone; now, or with others at one moment."""
        at = at or self.at()
        self.state = farm.plant(self.state, farmer=farmer, amount=amount, at=at)
        self.opened.setdefault(self.current, at.ledger)

    def work(self, farmer: str, index: int, nonce: int) -> tuple[int, int]:
        """Work; return the zeros and the gap."""
        entropy = self.state.blocks[index].entropy
        digest = work_hash(index=index, nonce=nonce, entropy=entropy, farmer_key=raw_key(farmer))
        self.state, gap = farm.work(
            self.state, farmer=farmer, digest=digest, nonce=nonce, at=self.at()
        )
        self.worked[index, farmer] = leading_zeros(digest)
        return leading_zeros(digest), gap

    def harvest(self, farmer: str, index: int) -> int:
        """Harvest; return the reward."""
        self.state, paid = farm.harvest(self.state, farmer=farmer, index=index, at=self.at())
        self.rewards += paid.reward
        return paid.reward


class FakePool:
    """State and answers of the five services."""

    def __init__(self) -> None:
        self.chain = FakeChain()
        self.pooler: registry_pb2.Pooler | None = None
        #: Farmer id to address, in the order of registration.
        self.farmers: dict[str, str] = {}
        self.plantings: list[plant_pb2.Planting] = []
        self.works: list[work_pb2.Work] = []
        self.harvests: list[harvest_pb2.HarvestRecord] = []
        #: What was told of miners, by block and chunk, and what is answered instead.
        self.credited: dict[tuple[int, int], miner_pb2.CreditMinersRequest] = {}
        self.refuse_credits: PoolError | None = None
        self.heartbeats = 0
        #: Calls that were answered, by method.
        self.calls: Counter[str] = Counter()
        #: Those about one block, by method and block.
        self.calls_of_block: Counter[tuple[str, int]] = Counter()
        #: Answers to lose from now on, by method: the call is done, the caller gets UNAVAILABLE.
        self.lose: Counter[str] = Counter()
        self._answers: dict[tuple[str, str], Message] = {}

    def register_pooler(
        self, request: registry_pb2.RegisterPoolerRequest
    ) -> registry_pb2.RegisterPoolerResponse:
        self.pooler = registry_pb2.Pooler(
            pooler_id=str(uuid4()), name=request.name, public_key=request.public_key
        )
        return registry_pb2.RegisterPoolerResponse(pooler=self.pooler)

    def list_poolers(self, _: registry_pb2.ListPoolersRequest) -> registry_pb2.ListPoolersResponse:
        return registry_pb2.ListPoolersResponse(poolers=[self.pooler] if self.pooler else [])

    def heartbeat(self, _: registry_pb2.HeartbeatRequest) -> registry_pb2.HeartbeatResponse:
        self.heartbeats += 1
        return registry_pb2.HeartbeatResponse()

    def register_farmer(
        self, request: registry_pb2.RegisterFarmerRequest
    ) -> registry_pb2.RegisterFarmerResponse:
        farmer_id = str(uuid4())
        self.farmers[farmer_id] = new_address()
        return registry_pb2.RegisterFarmerResponse(farmer_id=farmer_id)

    def forget_farmer(self, number: int) -> None:
        """As if the registration had never arrived."""
        answer = self._answers.pop(("RegisterFarmer", f"farmer-{number}"))
        assert isinstance(answer, registry_pb2.RegisterFarmerResponse)
        del self.farmers[answer.farmer_id]

    def list_farmers(
        self, request: registry_pb2.ListFarmersRequest
    ) -> registry_pb2.ListFarmersResponse:
        """One farmer a page, so that paging is used."""
        rest = list(self.farmers.items())[int(request.page_token or 0) :]
        farmers = [
            registry_pb2.Farmer(
                farmer_id=farmer_id,
                custodial_wallet=address,
                status=registry_pb2.FARMER_STATUS_ACTIVE,
                is_funded=True,
                stake_percentage="0.5",
            )
            for farmer_id, address in rest[:1]
        ]
        token = str(int(request.page_token or 0) + 1) if len(rest) > 1 else ""
        return registry_pb2.ListFarmersResponse(farmers=farmers, next_page_token=token)

    def list_wallets(self, _: wallet_pb2.ListWalletsRequest) -> wallet_pb2.ListWalletsResponse:
        """Each farmer has twice its stake."""
        return wallet_pb2.ListWalletsResponse(
            wallets=[
                wallet_pb2.Wallet(
                    farmer_id=farmer_id, balances=wallet_pb2.Balances(kale_stroops=2 * STAKE)
                )
                for farmer_id in self.farmers
            ]
        )

    def get_block(self, request: wallet_pb2.GetBlockRequest) -> wallet_pb2.GetBlockResponse:
        index = request.index if request.HasField("index") else self.chain.current
        block = self._block(index)
        if block is None and request.HasField("index"):
            raise NotFoundError("never seen", reason="BLOCK_UNKNOWN")
        return wallet_pb2.GetBlockResponse(block=block, head=self._head())

    async def watch_blocks(
        self, request: wallet_pb2.WatchBlocksRequest, context: Context
    ) -> AsyncIterator[wallet_pb2.WatchBlocksResponse]:
        """Yield the current block ten times a second; break the stream now and then."""
        for _ in range(7):
            block = self._block(self.chain.current)
            yield wallet_pb2.WatchBlocksResponse(block=block, head=self._head())
            await asyncio.sleep(LEDGER_SECONDS)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")

    def plant(self, request: plant_pb2.PlantRequest) -> plant_pb2.PlantResponse:
        # One moment for all: between two farmers a second may begin, and with it the next block.
        at = self.chain.at()
        if request.block_index != self.chain.plantable_at(at):
            raise FailedPreconditionError("not now", reason="WRONG_BLOCK")
        farmers = list(self.farmers.items())[: request.max_farmers_capacity or None]
        planted = []
        chosen = {one.farmer_id: one.stake for one in request.stakes}
        for farmer_id, address in farmers:
            if farmer_id in request.sitting_out:
                continue
            stake = min(STAKE, chosen.get(farmer_id, STAKE))
            with suppress(FarmError):
                self.chain.plant(address, stake, at=at)
                planted.append(_planting(farmer_id, address, request.block_index, stake, at.ledger))
        self.plantings += planted
        return plant_pb2.PlantResponse(
            block_index=request.block_index,
            total_requested=len(planted),
            successful_plants=len(planted),
            total_staked=sum(one.stake_amount for one in planted),
            plantings=planted,
        )

    def list_plantings(
        self, request: plant_pb2.ListPlantingsRequest
    ) -> plant_pb2.ListPlantingsResponse:
        found = [one for one in self.plantings if one.block_index == request.block_index]
        return plant_pb2.ListPlantingsResponse(plantings=found)

    def submit_work(self, request: work_pb2.SubmitWorkRequest) -> work_pb2.SubmitWorkResponse:
        if request.block_index != self.chain.current:
            raise FailedPreconditionError("over", reason="WRONG_BLOCK")
        verdicts = [self._verdict(request.block_index, one) for one in request.submissions]
        worked = sum(one.status == work_pb2.VERDICT_STATUS_WORKED for one in verdicts)
        return work_pb2.SubmitWorkResponse(
            block_index=request.block_index,
            total_submissions=len(verdicts),
            valid_nonces=worked,
            submitted_work=worked,
            verdicts=verdicts,
        )

    def list_works(self, request: work_pb2.ListWorksRequest) -> work_pb2.ListWorksResponse:
        found = [one for one in self.works if one.block_index == request.block_index]
        return work_pb2.ListWorksResponse(works=found)

    def block_report(
        self, request: report_pb2.GetBlockReportRequest
    ) -> report_pb2.GetBlockReportResponse:
        index = request.block_index
        planted = sum(one.block_index == index for one in self.plantings)
        if not planted:
            raise NotFoundError("not farmed", reason="BLOCK_NOT_FARMED")
        zeros = Counter(one.zeros for one in self.works if one.block_index == index)
        by_zeros = [zeros[number] for number in range(max(zeros, default=-1) + 1)]
        block = report_pb2.BlockReport(
            block_index=index,
            planted=planted,
            worked=sum(by_zeros),
            farmers_by_zeros=by_zeros,
        )
        return report_pb2.GetBlockReportResponse(block=block)

    def harvest(self, request: harvest_pb2.HarvestRequest) -> harvest_pb2.HarvestResponse:
        if request.block_index >= self.chain.current:
            raise FailedPreconditionError("open", reason="BLOCK_NOT_CLOSED")
        records = []
        for farmer_id, address in self.farmers.items():
            with suppress(FarmError):
                reward = self.chain.harvest(address, request.block_index)
                records.append(_harvest(farmer_id, request.block_index, reward))
        self.harvests += records
        return harvest_pb2.HarvestResponse(
            block_index=request.block_index,
            total_eligible=len(records),
            successful_harvests=len(records),
            total_rewards=sum(one.reward_amount for one in records),
            harvests=records,
        )

    def list_harvests(
        self, request: harvest_pb2.ListHarvestsRequest
    ) -> harvest_pb2.ListHarvestsResponse:
        found = [one for one in self.harvests if one.block_index == request.block_index]
        return harvest_pb2.ListHarvestsResponse(harvests=found)

    def credit_miners(
        self, request: miner_pb2.CreditMinersRequest
    ) -> miner_pb2.CreditMinersResponse:
        if self.refuse_credits:
            raise self.refuse_credits
        self.credited[request.block_index, request.chunk] = request
        return miner_pb2.CreditMinersResponse(is_complete=True)

    def harvest_pending(
        self, request: harvest_pb2.HarvestPendingRequest
    ) -> harvest_pb2.HarvestPendingResponse:
        pending = {index for _, index in self.chain.state.pails if index < self.chain.current}
        blocks = [
            self.harvest(harvest_pb2.HarvestRequest(block_index=index)) for index in sorted(pending)
        ]
        return harvest_pb2.HarvestPendingResponse(
            blocks=blocks,
            total_rewards=sum(block.total_rewards for block in blocks),
            still_pending=sum(index < self.chain.current for _, index in self.chain.state.pails),
        )

    def services(self) -> dict[str, dict[str, Handler]]:
        """Handlers by service and method."""
        registry, wallet = self._unary(registry_pb2), self._unary(wallet_pb2)
        plant, work, harvest = map(self._unary, (plant_pb2, work_pb2, harvest_pb2))
        report = self._unary(report_pb2)
        return {
            "registry": {
                "RegisterPooler": registry("RegisterPooler", self.register_pooler),
                "ListPoolers": registry("ListPoolers", self.list_poolers),
                "Heartbeat": registry("Heartbeat", self.heartbeat),
                "RegisterFarmer": registry("RegisterFarmer", self.register_farmer),
                "ListFarmers": registry("ListFarmers", self.list_farmers),
            },
            "wallet": {
                "GetBlock": wallet("GetBlock", self.get_block),
                "ListWallets": wallet("ListWallets", self.list_wallets),
                "WatchBlocks": grpc.unary_stream_rpc_method_handler(
                    self.watch_blocks,
                    request_deserializer=wallet_pb2.WatchBlocksRequest.FromString,
                    response_serializer=wallet_pb2.WatchBlocksResponse.SerializeToString,
                ),
            },
            "plant": {
                "Plant": plant("Plant", self.plant),
                "ListPlantings": plant("ListPlantings", self.list_plantings),
            },
            "work": {
                "SubmitWork": work("SubmitWork", self.submit_work),
                "ListWorks": work("ListWorks", self.list_works),
            },
            "harvest": {
                "Harvest": harvest("Harvest", self.harvest),
                "HarvestPending": harvest("HarvestPending", self.harvest_pending),
                "ListHarvests": harvest("ListHarvests", self.list_harvests),
            },
            "harvest.v1.MinerCredit": {
                "CreditMiners": self._unary(miner_pb2)("CreditMiners", self.credit_miners),
            },
            "report": {"GetBlockReport": report("GetBlockReport", self.block_report)},
        }

    def _unary(self, module: ModuleType) -> Callable[..., Handler]:
        """Handlers that answer a repeated request_id as the first time, and lose answers."""

        def handler(name: str, answer: Callable[[Any], Message]) -> Handler:
            async def behave(request: Any, context: Context) -> Message:
                try:
                    response = self._answer(name, answer, request)
                    if self.lose[name] > 0:
                        self.lose[name] -= 1
                        raise UnavailableError("the answer is lost")
                except PoolError as error:
                    await context.abort_with_status(to_status(error))
                self.calls[name] += 1
                self.calls_of_block[name, getattr(request, "block_index", -1)] += 1
                return response

            return grpc.unary_unary_rpc_method_handler(
                behave,
                request_deserializer=getattr(module, f"{name}Request").FromString,
                response_serializer=getattr(module, f"{name}Response").SerializeToString,
            )

        return handler

    def _answer(self, name: str, answer: Callable[[Any], Message], request: Any) -> Message:
        request_id = getattr(request, "request_id", "")
        if not request_id:
            return answer(request)
        key = (name, request_id)
        if key not in self._answers:
            self._answers[key] = answer(request)
        return self._answers[key]

    def _verdict(self, index: int, submission: work_pb2.Submission) -> work_pb2.Verdict:
        address = self.farmers[submission.farmer_id]
        verdict = work_pb2.Verdict(farmer_id=submission.farmer_id, nonce=submission.nonce)
        try:
            verdict.zeros, verdict.gap = self.chain.work(address, index, submission.nonce)
            verdict.fee_charged = WORK_FEE
            verdict.status = work_pb2.VERDICT_STATUS_WORKED
            self.works.append(
                work_pb2.Work(
                    farmer_id=submission.farmer_id,
                    block_index=index,
                    custodial_wallet=address,
                    zeros=verdict.zeros,
                    status=work_pb2.WORK_STATUS_SUCCESS,
                )
            )
        except FarmError as error:
            verdict.status = work_pb2.VERDICT_STATUS_FAILED
            verdict.reason = _REASONS[error.code]
        return verdict

    def _block(self, index: int) -> wallet_pb2.Block | None:
        block, running = self.chain.state.blocks.get(index), self.chain.state.running
        if block is None or running is None:
            return None
        since = running.opened_at if index == self.chain.current else block.opened_at
        return wallet_pb2.Block(
            index=index,
            opened_at=Timestamp(seconds=block.opened_at),
            closes_at=Timestamp(seconds=since + BLOCK_SECONDS),
            entropy=block.entropy,
            min_zeros=block.stats.min_zeros,
            max_zeros=block.stats.max_zeros,
            staked_total=block.stats.staked_total,
            min_gap=block.stats.min_gap,
            max_gap=block.stats.max_gap,
            min_stake=block.stats.min_stake,
            max_stake=block.stats.max_stake,
            normalized_total=str(block.stats.normalized_total),
            opened_ledger=self.chain.opened.get(index, 0),
            expires_ledger=block.live_until or 0,
        )

    def _head(self) -> wallet_pb2.ChainHead:
        at = self.chain.at()
        return wallet_pb2.ChainHead(
            ledger=at.ledger,
            close_time=Timestamp(seconds=at.time),
            current_block=self.chain.current,
            plantable_block=self.chain.plantable,
        )


_REASONS = {
    FarmCode.GAP_COUNT_TOO_LOW: common_pb2.FAILURE_REASON_GAP_TOO_LOW,
    FarmCode.ZERO_COUNT_TOO_LOW: common_pb2.FAILURE_REASON_ZEROS_TOO_LOW,
    FarmCode.PAIL_MISSING: common_pb2.FAILURE_REASON_NOT_PLANTED,
}


def _planting(
    farmer_id: str, address: str, index: int, stake: int, ledger: int
) -> plant_pb2.Planting:
    return plant_pb2.Planting(
        farmer_id=farmer_id,
        custodial_wallet=address,
        block_index=index,
        stake_amount=stake,
        ledger=ledger,
        fee_charged=PLANT_FEE,
        status=plant_pb2.PLANTING_STATUS_SUCCESS,
    )


def _harvest(farmer_id: str, index: int, reward: int) -> harvest_pb2.HarvestRecord:
    return harvest_pb2.HarvestRecord(
        farmer_id=farmer_id,
        block_index=index,
        reward_amount=reward,
        status=harvest_pb2.HARVEST_STATUS_SUCCESS,
    )


class FakeServer:
    """Serves a FakePool; can be stopped and started again at the same address."""

    def __init__(self, pool: FakePool) -> None:
        self._pool = pool
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def targets(self) -> Targets:
        """The five services, all at one address."""
        target = f"127.0.0.1:{self._port}"
        return Targets(registry=target, wallet=target, plant=target, work=target, harvest=target)

    async def start(self) -> None:
        """Listen, at the address it had before if it had one."""
        self._server = grpc.aio.server()
        for name, methods in self._pool.services().items():
            named = name if ".v1." in name else f"{name}.v1.{name.capitalize()}"
            service = f"kalepool.{named}Service"
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, methods),)
            )
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        await self._server.start()

    async def stop(self) -> None:
        """Break every connection."""
        if self._server is not None:
            await self._server.stop(grace=None)


@asynccontextmanager
async def open_fake(pool: FakePool) -> AsyncIterator[FakeServer]:
    """Serve the pool while the block runs."""
    server = FakeServer(pool)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()

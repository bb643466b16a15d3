"""Calls of wallet as registry, plant, work and harvest make them; for trials."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from kalepool.wallet.v1 import (
    agreement_pb2,
    agreement_pb2_grpc,
    engine_pb2,
    engine_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)

from devstack.stack import OPERATOR, Stack, who_calls
from libs.common.grpc.client import open_channel
from libs.common.grpc.identity import CallerKind
from libs.common.ids import new_id
from libs.kale.address import raw_key
from libs.kale.hash import leading_zeros, work_hash

#: Operations of one call: what plant, work and harvest send.
CHUNK = 50
#: Seconds that one attempt of a call may take.
CALL_TIMEOUT = 600.0
#: Seconds until a call is repeated whose process was away.
_PAUSE = 0.2
#: Calls at a time while wallets are made.
_PARALLEL = 20


#: The caller of each method of wallet, by the method's short name.
_CALLERS = {
    method.name: who_calls(f"/{service.full_name}/{method.name}")
    for service in wallet_pb2.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
#: The operator, who makes all calls of the other services of its process.
_OPERATOR = CallerKind.OPERATOR, OPERATOR
_Caller = tuple[CallerKind, str]


class WaitTimeoutError(Exception):
    """Something that was expected did not happen in time."""


T = TypeVar("T")
Stub = TypeVar("Stub")


@dataclass(frozen=True, kw_only=True)
class Farmer:
    """A farmer with a wallet."""

    #: UUID.
    id: str
    #: strkey G...
    address: str


class WalletCaller:
    """A caller of one or more wallet processes.

    A call whose process dies goes on at the next one.
    """

    def __init__(self, processes: Sequence[Mapping[_Caller, grpc.aio.Channel]]) -> None:
        """Take `processes`, each with a channel for each caller: the services, and the operator."""
        self._stubs = [_stub(channels) for channels in processes]
        self._engine = _engine_stub(processes[0][_OPERATOR])
        self._agreements = _agreement_stub(processes[0][_OPERATOR])
        self._withdrawals = [_withdrawal_stub(channels[_OPERATOR]) for channels in processes]
        self.pooler_id = str(new_id())
        #: Status codes of attempts that were repeated, in the order in which they came.
        self.repeated: list[grpc.StatusCode] = []

    async def create_farmers(self, count: int) -> list[Farmer]:
        """Create wallets of new farmers; the farmers' accounts are made in the background."""
        limit = asyncio.Semaphore(_PARALLEL)

        async def create(number: int) -> Farmer:
            request = wallet_pb2.CreateWalletRequest(
                farmer_id=str(new_id()), pooler_id=self.pooler_id
            )
            async with limit:
                reply = await self._call(
                    number, lambda stub: stub.CreateWallet(request, timeout=CALL_TIMEOUT)
                )
            return Farmer(id=reply.wallet.farmer_id, address=reply.wallet.address)

        return list(await asyncio.gather(*(create(number) for number in range(count))))

    async def count_ready(self) -> int:
        """Count our farmers that have account and trustline."""
        request = wallet_pb2.ListWalletsRequest(pooler_id=self.pooler_id, page_size=1000)
        count = 0
        while True:
            page = await self._call(0, lambda stub: stub.ListWallets(request))
            count += sum(item.status == wallet_pb2.WALLET_STATUS_READY for item in page.wallets)
            if not page.next_page_token:
                return count
            request.page_token = page.next_page_token

    async def engine_status(self) -> engine_pb2.GetEngineStatusResponse:
        """Return the status of the submission engine."""
        return await self._engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest())

    async def deploy_multicall(self) -> str:
        """Return the multicall contract's id; deploy the contract when it is not there."""
        request = engine_pb2.DeployMulticallRequest(max_fee_stroops=1_000_000_000)
        reply = await self._engine.DeployMulticall(request, timeout=CALL_TIMEOUT)
        return reply.contract_id

    async def block(self, index: int | None = None) -> wallet_pb2.GetBlockResponse:
        """Return a block (None: the current one) and the head."""
        request = wallet_pb2.GetBlockRequest(index=index)
        return await self._call(0, lambda stub: stub.GetBlock(request, timeout=CALL_TIMEOUT))

    async def kale_balances(self, farmers: Sequence[Farmer]) -> dict[str, int]:
        """Return stroops of KALE by address, read from the chain by the wallet."""
        request = wallet_pb2.GetBalancesRequest(farmer_ids=[farmer.id for farmer in farmers])
        reply = await self._call(0, lambda stub: stub.GetBalances(request))
        return {item.address: item.kale_stroops for item in reply.balances}

    async def plant(
        self, name: str, block: int, stakes: Mapping[Farmer, int]
    ) -> list[wallet_pb2.Operation]:
        """Call BatchPlant in chunks, all at once, to the end; `stakes` in stroops of KALE."""
        items = [
            wallet_pb2.PlantOperation(farmer_id=farmer.id, stake=stake)
            for farmer, stake in stakes.items()
        ]
        requests = [
            wallet_pb2.BatchPlantRequest(
                request_id=f"{name}:{start}",
                block_index=block,
                operations=items[start : start + CHUNK],
            )
            for start in range(0, len(items), CHUNK)
        ]
        return await self._collect(lambda stub: stub.BatchPlant, requests)

    async def work(
        self, name: str, shown: Sequence["Shown"], block: int
    ) -> list[wallet_pb2.Operation]:
        """Call BatchWork in chunks, all at once, to the end."""
        items = [
            wallet_pb2.WorkOperation(farmer_id=item.farmer.id, nonce=item.nonce, hash=item.hash)
            for item in shown
        ]
        requests = [
            wallet_pb2.BatchWorkRequest(
                request_id=f"{name}:{start}",
                block_index=block,
                operations=items[start : start + CHUNK],
            )
            for start in range(0, len(items), CHUNK)
        ]
        return await self._collect(lambda stub: stub.BatchWork, requests)

    async def harvest(
        self, name: str, block: int, farmers: Sequence[Farmer]
    ) -> list[wallet_pb2.Operation]:
        """Call BatchHarvest in chunks, all at once, to the end."""
        items = [wallet_pb2.HarvestOperation(farmer_id=farmer.id) for farmer in farmers]
        requests = [
            wallet_pb2.BatchHarvestRequest(
                request_id=f"{name}:{start}",
                block_index=block,
                operations=items[start : start + CHUNK],
            )
            for start in range(0, len(items), CHUNK)
        ]
        return await self._collect(lambda stub: stub.BatchHarvest, requests)

    async def pay_out_to(self, farmers: Sequence[Farmer], address: str) -> None:
        """Set the address of these farmers' withdrawals.

        The address counts once the cooling time is over. Their pooler farms for itself.
        """
        mark = agreement_pb2.MarkPoolerRequest(pooler_id=self.pooler_id, farms_for_itself=True)
        await self._agreements.MarkPooler(mark, timeout=CALL_TIMEOUT)
        for farmer in farmers:
            request = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer.id, address=address)
            await self._withdrawals[0].SetPayoutAddress(request, timeout=CALL_TIMEOUT)

    async def withdraw(
        self, name: str, farmers: Sequence[Farmer], amount: int
    ) -> list[wallet_pb2.Operation]:
        """Withdraw stroops of KALE for each farmer, all at once, to the end."""

        async def one(number: int, farmer: Farmer) -> wallet_pb2.Operation:
            request = withdrawal_pb2.WithdrawRequest(
                request_id=name,
                farmer_id=farmer.id,
                asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
                amount=amount,
            )
            reply = await _until_answered(
                self._withdrawals,
                number,
                lambda stub: stub.Withdraw(request, timeout=CALL_TIMEOUT),
                self.repeated,
            )
            return reply.withdrawal.operation

        calls = (one(number, farmer) for number, farmer in enumerate(farmers))
        return list(await asyncio.gather(*calls))

    async def _collect(
        self,
        method: Callable[["wallet_pb2_grpc.WalletServiceAsyncStub"], Any],
        requests: Sequence[Any],
    ) -> list[wallet_pb2.Operation]:
        """Return the operations of all requests, each settled."""

        async def one(number: int, request: Any) -> list[wallet_pb2.Operation]:
            async def attempt(
                stub: "wallet_pb2_grpc.WalletServiceAsyncStub",
            ) -> list[wallet_pb2.Operation]:
                replies = method(stub)(request, timeout=CALL_TIMEOUT)
                return [
                    item async for reply in replies for item in (reply.operation, *reply.others)
                ]

            return await self._call(number, attempt)

        groups = await asyncio.gather(*(one(n, request) for n, request in enumerate(requests)))
        return [operation for group in groups for operation in group]

    async def _call(
        self,
        number: int,
        attempt: Callable[["wallet_pb2_grpc.WalletServiceAsyncStub"], Awaitable[T]],
    ) -> T:
        return await _until_answered(self._stubs, number, attempt, self.repeated)


async def _until_answered(
    stubs: Sequence[Stub],
    number: int,
    attempt: Callable[[Stub], Awaitable[T]],
    repeated: list[grpc.StatusCode],
) -> T:
    """Try until a process answers; a repeat joins what the first call has begun.

    Only UNAVAILABLE is repeated: everything else is an answer.
    """
    while True:
        try:
            return await attempt(stubs[number % len(stubs)])
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            repeated.append(error.code())
            number += 1
            await asyncio.sleep(_PAUSE)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The work of one farmer."""

    #: The farmer whose work it is.
    farmer: Farmer
    #: The nonce.
    nonce: int
    #: The keccak-256 hash that the nonce gives, 32 bytes.
    hash: bytes


def mine(
    farmers: Sequence[Farmer], block: int, entropy: bytes, *, zeros: int = 1, first: int = 0
) -> list[Shown]:
    """Find for each farmer the first nonce from `first` on whose hash has enough zeros.

    `zeros` is the least number of zeros.
    """

    def search(farmer: Farmer) -> Shown:
        key, nonce = raw_key(farmer.address), first
        while True:
            digest = work_hash(index=block, nonce=nonce, entropy=entropy, farmer_key=key)
            if leading_zeros(digest) >= zeros:
                return Shown(farmer=farmer, nonce=nonce, hash=digest)
            nonce += 1

    return [search(farmer) for farmer in farmers]


@asynccontextmanager
async def open_caller(stack: Stack, names: Sequence[str]) -> AsyncIterator[WalletCaller]:
    """Open a caller of a stack's wallet processes, by their names."""
    transports = {who: stack.transport(*who) for who in {_OPERATOR, *_CALLERS.values()}}
    async with AsyncExitStack() as cleanup:
        yield WalletCaller(
            [
                {
                    who: await cleanup.enter_async_context(
                        open_channel(stack.target(name), transport, name="wallet")
                    )
                    for who, transport in transports.items()
                }
                for name in names
            ]
        )


async def wait_until(
    condition: Callable[[], Awaitable[bool]], message: str, *, seconds: float, poll: float = 0.1
) -> None:
    """Return when a condition holds; else raise WaitTimeoutError with the message."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        if asyncio.get_running_loop().time() > deadline:
            raise WaitTimeoutError(f"{message} within {seconds:.0f} s")
        await asyncio.sleep(poll)


def _engine_stub(channel: grpc.aio.Channel) -> "engine_pb2_grpc.EngineServiceAsyncStub":
    return engine_pb2_grpc.EngineServiceStub(channel)


def _agreement_stub(
    channel: grpc.aio.Channel,
) -> "agreement_pb2_grpc.AgreementServiceAsyncStub":
    return agreement_pb2_grpc.AgreementServiceStub(channel)


def _stub(channels: Mapping[_Caller, grpc.aio.Channel]) -> "wallet_pb2_grpc.WalletServiceAsyncStub":
    """Return a stub with each method on the channel of the caller that may call it."""
    stubs = {who: wallet_pb2_grpc.WalletServiceStub(channel) for who, channel in channels.items()}
    stub = wallet_pb2_grpc.WalletServiceStub(channels[_OPERATOR])
    for method, who in _CALLERS.items():
        setattr(stub, method, getattr(stubs[who], method))
    return stub


def _withdrawal_stub(
    channel: grpc.aio.Channel,
) -> "withdrawal_pb2_grpc.WithdrawalServiceAsyncStub":
    return withdrawal_pb2_grpc.WithdrawalServiceStub(channel)

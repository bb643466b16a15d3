"""A wallet process on a localnet process, for tests that need the whole path to the chain."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import aiohttp
import grpc
from kalepool.wallet.v1 import (
    agreement_pb2,
    agreement_pb2_grpc,
    custody_pb2,
    custody_pb2_grpc,
    engine_pb2,
    engine_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
)

from devstack.ports import free_ports
from devstack.processes import Command, Process, ProcessDiedError
from libs.common.grpc.client import open_channel
from libs.common.grpc.health import is_serving
from libs.common.ids import new_id
from libs.kale.address import raw_key
from libs.kale.hash import leading_zeros, work_hash
from tests.support.database import DatabaseAccess

#: Seconds within which a process must serve, or an expected event must happen.
PATIENCE = 120.0
#: Seconds until a wallet that has died has to be started again.
_AWAY = 300.0
T = TypeVar("T")


@dataclass(kw_only=True)
class WalletWorld:
    """One localnet, one wallet, one database."""

    #: The database, with all rights.
    database: DatabaseAccess
    #: URL of the localnet's JSON-RPC.
    rpc_url: str
    #: Address of the wallet (host:port).
    target: str
    #: Process of the wallet.
    wallet: Process
    #: Environment that the wallet gets again at a restart.
    environment: dict[str, str]
    #: Folder of the logs.
    logs: Path
    #: Stub of the wallet.
    stub: "wallet_pb2_grpc.WalletServiceAsyncStub"
    #: Pooler of all farmers.
    pooler_id: str = field(default_factory=lambda: str(new_id()))

    async def restart(self, **environment: str) -> None:
        """Start the wallet again at the same address, after it ended or was killed here."""
        await self.wallet.stop(number=9)
        command = Command(
            name="wallet",
            arguments=("-m", "services.wallet"),
            environment={**self.environment, **environment},
        )
        self.wallet = Process(command, self.logs)
        await self.wallet.start()

    async def revive(self) -> None:
        """Wait until the wallet has died of a failpoint, then start it without any failpoint."""
        await self.wait_until_dead()
        await self.restart()

    async def wait_until_dead(self) -> None:
        """Wait until the wallet has died of a failpoint."""

        async def died() -> bool:
            try:
                self.wallet.check()
            except ProcessDiedError:
                return True
            return False

        await eventually(died, "the failpoint was not reached")

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Have nothing signed while the block runs."""
        reach = custody_pb2.PauseReach(everything=True)
        async with open_channel(self.target) as channel:
            custody = custody_pb2_grpc.CustodyServiceStub(channel)
            await custody.PauseSigning(
                custody_pb2.PauseSigningRequest(reach=reach, reason="a test")
            )
            try:
                yield
            finally:
                await custody.ResumeSigning(custody_pb2.ResumeSigningRequest(reach=reach))

    async def wait_until_serving(self) -> None:
        """Wait until the wallet's health check says SERVING."""
        await eventually(self.serves, "the wallet does not serve", self.wallet)

    async def serves(self) -> bool:
        """Tell whether the wallet's health check says SERVING."""
        async with open_channel(self.target) as channel:
            return await is_serving(channel)

    async def wait_for_payers(self) -> None:
        """Wait until the treasury has opened all payer accounts, which it does at its start."""
        await self._engine_until(
            lambda status: 0 < status.payers.made == status.payers.ready,
            "the payer accounts are not there",
        )

    async def wait_until_settled(self) -> None:
        """Wait until nothing that the wallet has signed waits for its end."""
        await self._engine_until(
            lambda status: not status.open_transactions, "a transaction waits for its end"
        )

    async def _engine_until(
        self, holds: Callable[[engine_pb2.GetEngineStatusResponse], bool], message: str
    ) -> None:
        async with open_channel(self.target) as channel:
            engine = engine_pb2_grpc.EngineServiceStub(channel)

            async def asked() -> bool:
                return holds(await engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest()))

            await eventually(asked, message, self.wallet)

    async def use_multicall(self, *, channels: int) -> None:
        """Carry operations together by a multicall from now on, restarts included.

        `channels` is the number of channel accounts.
        """
        async with open_channel(self.target) as channel:
            engine = engine_pb2_grpc.EngineServiceStub(channel)
            request = engine_pb2.DeployMulticallRequest(max_fee_stroops=10**9)
            reply = await engine.DeployMulticall(request, timeout=PATIENCE)
            self.environment |= {
                "CHANNEL_ACCOUNTS": str(channels),
                "CHANNEL_FUNDING_STROOPS": str(200_000_000),
                "MULTICALL_CONTRACT_ID": reply.contract_id,
            }
            await self.restart()

            async def ready() -> bool:
                status = await engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest())
                return status.channels.ready == channels

            await eventually(ready, "the channel accounts are not there", self.wallet)

    async def mark(self, pooler_id: str = "") -> None:
        """Say, as an operator does, that a pooler (by default the world's) farms for itself."""
        async with open_channel(self.target) as channel:
            request = agreement_pb2.MarkPoolerRequest(
                pooler_id=pooler_id or self.pooler_id, farms_for_itself=True
            )
            stub = agreement_pb2_grpc.AgreementServiceStub(channel)
            await self._until_available(stub.MarkPooler, request)

    async def create_farmers(self, count: int) -> dict[str, str]:
        """Create wallets of new farmers; return addresses by farmer id."""
        requests = [
            wallet_pb2.CreateWalletRequest(farmer_id=str(new_id()), pooler_id=self.pooler_id)
            for _ in range(count)
        ]
        replies = [await self._until_available(self.stub.CreateWallet, item) for item in requests]
        return {reply.wallet.farmer_id: reply.wallet.address for reply in replies}

    async def wait_until_ready(self, farmers: Sequence[str], *, pooler_id: str = "") -> None:
        """Wait until all farmers, by default the world's, have account and trustline."""

        async def ready() -> bool:
            whose = pooler_id or self.pooler_id
            request = wallet_pb2.ListWalletsRequest(pooler_id=whose, page_size=1000)
            wallets = (await self.stub.ListWallets(request)).wallets
            done = {
                wallet.farmer_id
                for wallet in wallets
                if wallet.status == wallet_pb2.WALLET_STATUS_READY
            }
            return done.issuperset(farmers)

        await eventually(ready, "the farmers are not ready", self.wallet)

    async def pay_kale(self, addresses: Sequence[str], stroops: int) -> None:
        """Send KALE from the localnet's faucet."""
        async with aiohttp.ClientSession() as session:

            async def pay(address: str) -> None:
                url = f"{self.rpc_url}/kale?addr={address}&amount={stroops}"
                async with session.get(url) as reply:
                    assert reply.status == 200, await reply.text()

            await asyncio.gather(*(pay(address) for address in addresses))

    async def block(self, index: int | None = None) -> wallet_pb2.GetBlockResponse:
        """Return a block and the head."""
        return await self.stub.GetBlock(wallet_pb2.GetBlockRequest(index=index))

    async def plantable(self, *, room: int = 0) -> int:
        """Return the block that a plant goes to now, and for at least `room` seconds more."""
        block = 0

        async def found() -> bool:
            nonlocal block
            answer = await self.block()
            block = answer.head.plantable_block
            # A block that is not open yet has all its seconds from its first plant on.
            left = answer.block.closes_at.seconds - answer.head.close_time.seconds
            return block > answer.head.current_block or left >= room

        await eventually(found, f"no block has {room} seconds left", self.wallet)
        return block

    async def wait_for_plantable(self, index: int) -> None:
        """Wait until a plant would go to this block."""

        async def plantable() -> bool:
            return await self.plantable() >= index

        await eventually(plantable, f"block {index} does not become plantable", self.wallet)

    async def next_block(self) -> int:
        """Return a block that nobody has planted in, as soon as it can be planted."""
        head = (await self.block()).head
        block = max(head.plantable_block, head.current_block + 1)
        await self.wait_for_plantable(block)
        return block

    async def nonces_by_zeros(self, block: int, address: str, zeros: Sequence[int]) -> list[int]:
        """Return nonces whose hashes have exactly these numbers of zeros."""
        entropy = (await self.block(block)).block.entropy
        key = raw_key(address)

        def has(nonce: int, count: int) -> bool:
            digest = work_hash(index=block, nonce=nonce, entropy=entropy, farmer_key=key)
            return leading_zeros(digest) == count

        return [next(nonce for nonce in range(10**6) if has(nonce, count)) for count in zeros]

    async def wait_for_current(self, index: int) -> None:
        """Wait until the wallet has seen this block as the current one."""

        async def current() -> bool:
            return (await self.block()).head.current_block >= index

        await eventually(current, f"block {index} is not opened", self.wallet)

    async def wait_for_ledger(self, ledger: int) -> None:
        """Wait until the wallet has seen this ledger."""

        async def seen() -> bool:
            return (await self.block()).head.ledger >= ledger

        await eventually(seen, f"ledger {ledger} is not seen", self.wallet)

    async def plant(
        self, request_id: str, block: int, stakes: Mapping[str, int]
    ) -> list[wallet_pb2.Operation]:
        """Call BatchPlant to its end; call it again when the wallet died meanwhile."""
        return await self._collect(self.stub.BatchPlant, _plants(request_id, block, stakes))

    async def plant_without_waiting(
        self, request_id: str, block: int, stakes: Mapping[str, int]
    ) -> None:
        """Call BatchPlant, and give the call up once the batch is recorded."""
        call = self.stub.BatchPlant(_plants(request_id, block, stakes), timeout=0.5)
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise

    async def work(
        self, request_id: str, block: int, nonces: Mapping[str, int], farmers: Mapping[str, str]
    ) -> list[wallet_pb2.Operation]:
        """Call BatchWork with right hashes, to its end."""
        entropy = (await self.block(block)).block.entropy
        request = wallet_pb2.BatchWorkRequest(
            request_id=request_id,
            block_index=block,
            operations=[
                wallet_pb2.WorkOperation(
                    farmer_id=farmer,
                    nonce=nonce,
                    hash=work_hash(
                        index=block,
                        nonce=nonce,
                        entropy=entropy,
                        farmer_key=raw_key(farmers[farmer]),
                    ),
                )
                for farmer, nonce in nonces.items()
            ],
        )
        return await self._collect(self.stub.BatchWork, request)

    async def harvest(
        self, request_id: str, block: int, farmers: Sequence[str]
    ) -> list[wallet_pb2.Operation]:
        """Call BatchHarvest, to its end."""
        request = wallet_pb2.BatchHarvestRequest(
            request_id=request_id,
            block_index=block,
            operations=[wallet_pb2.HarvestOperation(farmer_id=farmer) for farmer in farmers],
        )
        return await self._collect(self.stub.BatchHarvest, request)

    async def balances(self, farmers: Sequence[str]) -> dict[str, wallet_pb2.Balances]:
        """Return the balances on the chain by farmer."""
        reply = await self.stub.GetBalances(wallet_pb2.GetBalancesRequest(farmer_ids=farmers))
        return {balances.farmer_id: balances for balances in reply.balances}

    async def _until_available(self, method: Any, request: Any) -> Any:
        """Return the reply; repeat the call while the wallet is dead, not for ever."""

        async def ask() -> Any:
            return await method(request, timeout=PATIENCE)

        return await _until_available(ask)

    async def _collect(self, method: Any, request: Any) -> list[wallet_pb2.Operation]:
        async def ask() -> list[wallet_pb2.Operation]:
            replies = method(request, timeout=PATIENCE * 2)
            return [item async for reply in replies for item in (reply.operation, *reply.others)]

        return await _until_available(ask)


async def _until_available(ask: Callable[[], Awaitable[T]]) -> T:
    """Return the answer; ask again while nobody answers, for _AWAY seconds at most."""
    async with asyncio.timeout(_AWAY):
        while True:
            try:
                return await ask()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.2)


def _plants(request_id: str, block: int, stakes: Mapping[str, int]) -> wallet_pb2.BatchPlantRequest:
    return wallet_pb2.BatchPlantRequest(
        request_id=request_id,
        block_index=block,
        operations=[
            wallet_pb2.PlantOperation(farmer_id=farmer, stake=stake)
            for farmer, stake in stakes.items()
        ],
    )


async def eventually(condition: Any, message: str, *processes: Process) -> None:
    """Wait until a condition holds; fail with the message, or when a process has ended."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            if await condition():
                return
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        for process in processes:
            process.check()
        if asyncio.get_running_loop().time() > deadline:
            tails = "\n".join(process.log_tail() for process in processes)
            raise AssertionError(f"{message} after {PATIENCE} s\n{tails}")
        await asyncio.sleep(0.1)


def _settings(rpc_url: str) -> dict[str, str]:
    """Return the settings of a wallet that runs alone."""
    return {
        "HOST": "127.0.0.1",
        # Access is tested elsewhere; here the test calls every RPC.
        "TRANSPORT": "plaintext",
        "API_RATE_LIMIT": "0",
        "STELLAR_RPC_URL": rpc_url,
        "FRIENDBOT_URL": f"{rpc_url}/friendbot",
        "MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "CHAIN_POLL_MS": "100",
        "OPERATION_TIMEOUT": "5000",
    }


@asynccontextmanager
async def open_wallet_world(
    database: DatabaseAccess,
    logs: Path,
    *,
    ledger_seconds: float = 0.5,
    block_seconds: int = 6,
    localnet_environment: Mapping[str, str] = MappingProxyType({}),
    localnet_port: int = 0,
    **environment: str,
) -> AsyncIterator[WalletWorld]:
    """Start localnet and wallet as processes; stop them at the end."""
    ports = free_ports(2)
    ports[0] = localnet_port or ports[0]
    rpc_url = f"http://127.0.0.1:{ports[0]}"
    localnet = Process(
        Command(
            name="localnet",
            arguments=("-m", "localnet"),
            environment={
                "LOCALNET_PORT": str(ports[0]),
                "LOCALNET_LEDGER_SECONDS": str(ledger_seconds),
                "LOCALNET_BLOCK_SECONDS": str(block_seconds),
                **localnet_environment,
            },
        ),
        logs,
    )
    settings = {
        "PORT": str(ports[1]),
        "DATABASE_URL": database.dsn("wallet"),
        "BLOCK_SECONDS": str(block_seconds),
        **_settings(rpc_url),
        **environment,
    }
    wallet = Process(
        Command(name="wallet", arguments=("-m", "services.wallet"), environment=settings), logs
    )
    target = f"127.0.0.1:{ports[1]}"
    async with open_channel(target) as channel:
        world = WalletWorld(
            database=database,
            rpc_url=rpc_url,
            target=target,
            wallet=wallet,
            environment=settings,
            logs=logs,
            stub=wallet_pb2_grpc.WalletServiceStub(channel),
        )
        try:
            await localnet.start()
            await wallet.start()
            await world.wait_until_serving()
            # The payout addresses of its farmers' wallets count at once.
            await world.mark()
            yield world
        finally:
            await world.wallet.stop()
            await localnet.stop()

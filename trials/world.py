"""The pool's custody part as real processes: PostgreSQL, localnet, wallet, and its farmers."""

import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, unique
from pathlib import Path

import aiohttp

from devstack.farmers import fund, pooler_config, settle
from devstack.pool_calls import PoolCaller, open_pool_caller
from devstack.stack import Progress, Stack, StackConfig, open_stack
from devstack.wallet_calls import Farmer, WalletCaller, open_caller, wait_until
from libs.common.names import SERVICES
from pooler.config import PoolerConfig

DIRECTORY = Path("var") / "bench"
#: Seconds of a ledger while farmers get their accounts, which is not measured.
SETUP_LEDGER_SECONDS = 1.0
#: Seconds that an idle connection to the chain's JSON-RPC is kept.
_KEEP_SECONDS = 3.0
#: Seconds that the creation of one farmer's account may take.
_PATIENCE_PER_FARMER = 1.0


@unique
class Carrier(Enum):
    """The ways in which operations are carried."""

    SINGLE = "single"
    MULTICALL = "multicall"


#: For single operations, two ledgers' worth of works or harvests have a source each; packs are few,
#: and expensive.
_CHANNELS = {
    Carrier.SINGLE: {"CHANNEL_ACCOUNTS": "500", "CHANNEL_FUNDING_STROOPS": "20000000"},
    Carrier.MULTICALL: {"CHANNEL_ACCOUNTS": "60", "CHANNEL_FUNDING_STROOPS": "200000000"},
}


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """Settings of the world."""

    #: Number of farmers.
    farmers: int
    #: How operations are carried.
    carrier: Carrier = Carrier.SINGLE
    #: Wallet processes on the one database.
    wallets: int = 1
    #: Seconds between two ledgers during the measurement.
    ledger_seconds: float = 5.0
    #: Seconds of a KALE block.
    block_seconds: int = 120
    #: Limits of the network to change; empty means mainnet's as measured.
    network_settings: Mapping[str, int] = field(default_factory=dict)
    #: Additional variables for localnet.
    localnet_environment: Mapping[str, str] = field(default_factory=dict)
    #: Additional variables for the wallet.
    wallet_environment: Mapping[str, str] = field(default_factory=dict)
    #: Variables for registry, which then runs beside the wallet; None: it runs in the whole pool
    #: only.
    registry_environment: Mapping[str, str] | None = None
    #: Additional variables for harvest.
    harvest_environment: Mapping[str, str] = field(default_factory=dict)
    #: Whether to run all five services instead of the wallet alone; the farmers are then those of a
    #: pooler.
    whole: bool = False
    #: Done before the farmers of the whole pool are registered; it returns the pooler's settings.
    prepare: Callable[[Stack, PoolerConfig], Awaitable[PoolerConfig]] | None = None
    #: Variables for every service and PostgreSQL.
    common_environment: Mapping[str, str] = field(default_factory=dict)
    #: Folder of PostgreSQL's data; None: below `directory`.
    postgres_home: Path | None = None
    #: Nodes of localnet that the wallet asks, the preferred node first; none: the chain's own
    #: alone.
    nodes: tuple[int, ...] = ()
    #: Folder for data and logs, emptied at start.
    directory: Path = DIRECTORY


@dataclass(frozen=True, kw_only=True)
class World:
    """The running world."""

    #: The settings.
    config: WorldConfig
    #: The processes.
    stack: Stack
    #: Caller of the wallets.
    caller: WalletCaller
    #: HTTP session for the chain's JSON-RPC.
    session: aiohttp.ClientSession
    #: The farmers.
    farmers: Sequence[Farmer]
    #: An additional farmer that opens the blocks before and after the measured blocks.
    opener: Farmer
    #: Caller of the whole pool, where it runs.
    pool: PoolCaller | None = None

    @property
    def rpc_url(self) -> str:
        """Return the URL of the chain's JSON-RPC."""
        return self.stack.rpc_url

    def wallet_pids(self) -> list[int]:
        """Return the process ids of the wallets."""
        pids = self.stack.pids()
        return [pids[name] for name in wallet_names(self.config.wallets)]


def wallet_names(count: int) -> list[str]:
    """Return the names of the wallet processes of a stack."""
    return ["wallet", *(f"wallet-{number}" for number in range(2, count + 1))]


@asynccontextmanager
async def open_world(config: WorldConfig, progress: Progress) -> AsyncIterator[World]:
    """Build everything, farmers funded with KALE included; stop everything at the end."""
    async with AsyncExitStack() as cleanup:
        stack = await cleanup.enter_async_context(open_stack(_stack_config(config), progress))
        names = wallet_names(config.wallets)
        for name in names[1:]:
            await stack.start_copy("wallet", name)
        caller = await cleanup.enter_async_context(open_caller(stack, names))
        # The node closes connections that are idle for 5 s.
        connector = aiohttp.TCPConnector(keepalive_timeout=_KEEP_SECONDS)
        session = await cleanup.enter_async_context(aiohttp.ClientSession(connector=connector))
        pool = None
        if config.whole:
            asked = pooler_config(stack, config.farmers + 1, blocks=0)
            if config.prepare is not None:
                asked = await config.prepare(stack, asked)
            settled, _ = await settle(stack, asked, lambda _event: None, progress)
            pool = await cleanup.enter_async_context(open_pool_caller(settled))
            opener, *farmers = await pool.farmers()
        else:
            opener, *farmers = await _settle_farmers(stack, caller, config.farmers + 1, progress)
        await open_channels(stack, caller, config.carrier, config.wallet_environment, progress)
        progress(f"ledgers of {config.ledger_seconds:g} s from now on")
        await stack.restart(
            "localnet", environment={"LOCALNET_LEDGER_SECONDS": str(config.ledger_seconds)}
        )
        yield World(
            config=config,
            stack=stack,
            caller=caller,
            session=session,
            farmers=farmers,
            opener=opener,
            pool=pool,
        )


def _stack_config(config: WorldConfig) -> StackConfig:
    localnet = {
        # The chain is kept on disk, so that it goes on when its ledgers become slower.
        "LOCALNET_STATE_DIR": str((config.directory / "chain").absolute()),
        "LOCALNET_NETWORK_SETTINGS": json.dumps(dict(config.network_settings)),
        **config.localnet_environment,
    }
    wallet = {
        # A fifth of a ledger, as with ledgers of 5 s and a wallet that nobody configures.
        "CHAIN_POLL_MS": str(round(config.ledger_seconds * 200)),
        "BATCH_TIMEOUT": "3600000",
        "API_RATE_LIMIT": "0",
        # All farmers are made at once, and more of them than there may be in a day.
        "SPONSORED_DAILY_PER_POOLER_STROOPS": "0",
        "SPONSORED_DAILY_STROOPS": "0",
        "TOP_UP_DAILY_STROOPS": str(10**15),
        "LOG_LEVEL": "warning",
        **config.wallet_environment,
    }
    return StackConfig(
        directory=config.directory,
        ledger_seconds=min(SETUP_LEDGER_SECONDS, config.ledger_seconds),
        block_seconds=config.block_seconds,
        services=_services(config),
        environment={
            **dict.fromkeys((*SERVICES, "postgres"), config.common_environment),
            "localnet": localnet,
            "registry": {**config.common_environment, **(config.registry_environment or {})},
            "wallet": {**config.common_environment, **wallet},
            # Only callers harvest here: the pool harvests nothing by itself.
            "harvest": {
                **config.common_environment,
                "HARVEST_SWEEP_SECONDS": "0",
                **config.harvest_environment,
            },
        },
        postgres_home=config.postgres_home,
        nodes=config.nodes,
    )


def _services(config: WorldConfig) -> tuple[str, ...]:
    if config.whole:
        return SERVICES
    return ("wallet",) if config.registry_environment is None else ("registry", "wallet")


async def open_channels(
    stack: Stack,
    caller: WalletCaller,
    carrier: Carrier,
    more: Mapping[str, str],
    progress: Progress,
) -> None:
    """Create the channel accounts of all wallet processes, and the multicall.

    The channel accounts are the sources of the multicall's transactions. `more` are variables of
    the wallet in addition to those that a carrier needs.
    """
    environment = {**_CHANNELS[carrier], **more}
    if carrier is Carrier.MULTICALL:
        progress("deploying the multicall")
        environment["MULTICALL_CONTRACT_ID"] = await caller.deploy_multicall()
    for name in [name for name in stack.pids() if name.startswith("wallet")]:
        stack.configure(name, environment)
        await stack.restart(name, number=signal.SIGTERM)
    count = int(environment["CHANNEL_ACCOUNTS"])
    progress(f"making {count} channel accounts")

    async def ready() -> bool:
        return (await caller.engine_status()).channels.ready == count

    await wait_until(ready, f"{count} channels are not ready", seconds=120, poll=1.0)


async def _settle_farmers(
    stack: Stack, caller: WalletCaller, count: int, progress: Progress
) -> list[Farmer]:
    """Create farmers with accounts, trustlines and KALE."""
    progress(f"making {count} wallets")
    farmers = await caller.create_farmers(count)
    progress(f"bringing {count} farmers onto the chain")

    async def ready() -> bool:
        return await caller.count_ready() == count

    patience = 60 + count * _PATIENCE_PER_FARMER
    await wait_until(ready, f"{count} farmers are not ready", seconds=patience, poll=1.0)
    progress("giving them KALE to stake")
    await fund(stack.rpc_url, [farmer.address for farmer in farmers])
    return farmers

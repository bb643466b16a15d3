"""The running pool in which things are broken, and the tools to break and to mend it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import asyncpg

from devstack.pool_calls import PoolCaller
from devstack.processes import ProcessDiedError
from devstack.stack import Progress
from devstack.wallet_calls import Farmer, WalletCaller, wait_until
from trials.faults.clock import FakeClock, fake_clock
from trials.faults.disk import SmallDisk, small_disk
from trials.faults.records import Records
from trials.faults.witness import Witness
from trials.world import World, WorldConfig, open_world, wallet_names

DIRECTORY = Path("var") / "faults"
#: Stroops of XLM that a transaction may cost in these runs, for each of its operations.
CAP = 1_000_000
#: Starts of a wallet until it counts as broken: the rows that follow will show the failure.
_REVIVALS = 3
#: Seconds that the node has to start in.
_COMEBACK = 60.0
#: Seconds between two checks for a wallet that has died.
_WATCH = 0.1


class PoolStoppedError(Exception):
    """The pool does not go on although everything is mended: nothing is left to break."""


@dataclass(kw_only=True)
class Arena:
    """One pool under attack."""

    #: The processes.
    world: World
    #: Memory of the chain outside of the chain.
    witness: Witness
    #: Records of the pool.
    records: Records
    #: Stroops of XLM that a transaction may cost for each of its operations.
    cap: int
    #: The wall clock of the services and of PostgreSQL, where the clock can be set wrong.
    clock: FakeClock | None = None
    #: PostgreSQL's disk, where the disk can be filled.
    disk: SmallDisk | None = None
    #: Processes that were killed, or killed themselves, so far.
    kills: int = 0
    #: Addresses of farmers beside `farmers`, which were given as much.
    others: Sequence[str] = ()
    #: Source of random instants; set for each cell.
    random: Random = field(default_factory=Random)

    @property
    def farmers(self) -> Sequence[Farmer]:
        """Return the farmers."""
        return self.world.farmers

    @property
    def farm(self) -> WalletCaller | PoolCaller:
        """Return the caller for plant, work and harvest: a pooler where there is a whole pool."""
        return self.world.pool or self.world.caller

    @property
    def wallets(self) -> list[str]:
        """Return the names of the wallet processes."""
        return wallet_names(self.world.config.wallets)

    @property
    def services(self) -> list[str]:
        """Return the names of all processes that must serve, except localnet."""
        return [name for name in self.world.stack.pids() if name != "localnet"]

    async def misbehave(self, node: int = 0, **faults: Any) -> None:
        """Add faults to those that a node has already; node 0 is the chain's own."""
        await self._post(node, faults)

    async def behave(self) -> None:
        """End all faults of the nodes."""
        for node in (0, *self.world.config.nodes):
            await self._post(node, {"reset": True, "stale": False})

    async def misdeeds(self, node: int = 0) -> Mapping[str, int]:
        """Return how often each of a node's faults has struck since the node last behaved."""
        async with self.world.session.get(f"{self.world.stack.node_url(node)}/faults") as reply:
            used: dict[str, int] = (await reply.json())["used"]
            return used

    async def _post(self, node: int, body: Mapping[str, Any]) -> None:
        url = f"{self.world.stack.node_url(node)}/faults"
        async with self.world.session.post(url, json=body) as reply:
            if reply.status != 200:
                raise RuntimeError(f"localnet refuses {body}: {await reply.text()}")

    async def forget_history(self) -> None:
        """Let the node lose every ledger before its newest; the witness has these ledgers."""
        await self.witness.catch_up()
        await self.misbehave(forget_before=2**31 - 1)

    async def kill(self, name: str = "wallet", *, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill a process (kill -9, or another signal) and start it again.

        The call does not wait until the process serves.
        """
        self.kills += 1
        await self.world.stack.end(name, number=number)
        await self.world.stack.begin(name)

    async def arm(self, failpoint: str, *, name: str = "wallet") -> None:
        """Start a process with a failpoint at which it kills itself."""
        with suppress(ProcessDiedError):  # reached already while it starts
            await self.world.stack.restart(name, environment={"FAILPOINTS": f"{failpoint}=kill"})

    async def revive_dead(self, names: Sequence[str]) -> None:
        """Start every one of these processes that has died, for ever."""
        while True:
            for name in names:
                if self.world.stack.has_ended(name):
                    self.kills += 1
                    await self.world.stack.begin(name)
            await asyncio.sleep(_WATCH)

    async def mend(self) -> None:
        """Make everything run and behave."""
        if self.world.stack.postgres_has_ended:
            await self.world.stack.restart_postgres()
        await wait_until(self._behaves, "localnet does not come back", seconds=_COMEBACK)
        await self.world.stack.wait_ready("localnet")
        for name in self.services:
            await self._revive(name)

    async def _behaves(self) -> bool:
        """Tell whether localnet answers without faults.

        Localnet listens a moment after its start, and a localnet that was just ended may still look
        alive at first.
        """
        if self.world.stack.has_ended("localnet"):
            await self.world.stack.begin("localnet")
        try:
            await self.behave()
        except aiohttp.ClientConnectionError:
            return False
        return True

    async def _revive(self, name: str) -> None:
        """Start a process until it serves: a process that was just killed may look alive at first.

        PoolStoppedError when the process does not serve, however long it is waited for.
        """
        for _ in range(_REVIVALS):
            if self.world.stack.has_ended(name):
                await self.world.stack.begin(name)
            with suppress(ProcessDiedError):
                await self.world.stack.wait_ready(name)
                return
        raise PoolStoppedError(f"{name} does not serve any more")

    async def cut_connections(self, role: str) -> int:
        """End every database session of the roles like `role`; return the number of sessions."""
        return len(await self.records.many("cut_connections", role))

    async def refuses_writes(self) -> bool:
        """Tell whether PostgreSQL has no room for new data."""
        try:
            await self.records.many("write_much")
        except asyncpg.DiskFullError:
            return True
        return False

    async def next_block(self) -> int:
        """Return the first block that nobody has planted in, as soon as it can be planted."""
        block = 0

        async def plantable() -> bool:
            nonlocal block
            await self.witness.catch_up()
            head = (await self.world.caller.block()).head
            planted = (index for _, index in self.witness.view.plants)
            block = max(planted, default=head.current_block) + 1
            # The wallet may still believe what nodes said in the row before.
            return bool(head.plantable_block == block)

        patience = 2.0 * self.world.config.block_seconds + 60
        await wait_until(plantable, "no new block is plantable", seconds=patience)
        return block

    async def entropy(self, block: int) -> bytes:
        """Wait until the wallet, too, has seen the block; return the block's entropy."""
        caller = self.world.caller

        async def seen() -> bool:
            return (await caller.block()).head.current_block >= block

        await wait_until(seen, f"the wallet does not see block {block}", seconds=60)
        return (await caller.block(block)).block.entropy


@asynccontextmanager
async def open_arena(
    name: str, config: WorldConfig, progress: Progress, *, disk_mib: int = 0, clock: bool = False
) -> AsyncIterator[Arena]:
    """Start everything, with logs in a folder of this name; set the cap and short envelopes.

    `disk_mib` gives PostgreSQL a disk of its own of that size, `clock` gives the services and
    PostgreSQL a wall clock that can be set; NotHereError where this machine cannot do that.
    """
    environment = {
        "MAX_FEE_STROOPS": str(CAP),
        "OPERATION_TIMEOUT": "5000",
        "CHANNEL_ACCOUNTS": "12",
        # In milliseconds: withdrawals begin at once.
        "WITHDRAW_COOLING_MS": "1",
        **config.wallet_environment,
    }
    with ExitStack() as held:
        fake = held.enter_context(fake_clock()) if clock else None
        disk = held.enter_context(small_disk(disk_mib)) if disk_mib else None
        config = replace(
            config,
            directory=DIRECTORY / name,
            wallet_environment=environment,
            common_environment=fake.environment if fake else {},
            postgres_home=disk.home if disk else None,
        )
        async with open_world(config, progress) as world:
            witness = Witness(world.session, world.rpc_url)
            await witness.catch_up()
            await world.caller.pay_out_to(world.farmers, world.opener.address)
            yield Arena(
                world=world,
                witness=witness,
                records=Records(world.stack.admin_dsn),
                cap=int(environment["MAX_FEE_STROOPS"]),
                clock=fake,
                disk=disk,
            )

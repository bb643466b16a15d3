"""The assembly of a localnet: one node, its timer, its HTTP server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from localnet.config import LocalnetSettings
from localnet.funding import Funding
from localnet.ledger.close import ClosedLedger, Genesis
from localnet.ledger.node import Node, open_node
from localnet.ledger.sqlite_store import SqliteStore
from localnet.network import Network
from localnet.rpc.context import RpcContext
from localnet.rpc.nodes import Nodes
from localnet.rpc.server import make_app


@dataclass(frozen=True, kw_only=True)
class RunningLocalnet:
    """A localnet that accepts requests."""

    #: The node itself, for tests and checks in the same process.
    node: Node
    #: The nodes that clients can ask.
    nodes: Nodes
    #: URL of JSON-RPC.
    url: str
    #: Tasks that run beside the server; none of them ends unless something is broken.
    loops: tuple[asyncio.Task[None], ...]

    @property
    def rpc(self) -> RpcContext:
        """The context of the methods of the first node; its faults may be changed."""
        return self.nodes.first

    @property
    def urls(self) -> list[str]:
        """URLs of JSON-RPC of all nodes."""
        return node_urls(self.url, len(self.nodes.contexts))

    def close_ledger(self, close_time: int | None = None) -> ClosedLedger:
        """Close a ledger now; with `timer=False` no other way exists."""
        now = int(self.rpc.clock()) if close_time is None else close_time
        pending = bool(self.node.queue.transactions())
        skip = self.rpc.faults.skips_ledger(pending=pending)
        closed = self.node.close_ledger(now, skip_pending=skip)
        self.nodes.close_forks(now)
        return closed


def node_urls(url: str, count: int) -> list[str]:
    """Return the JSON-RPC URLs of so many nodes; the first URL is `url` itself."""
    return [url, *(f"{url}/node/{number}" for number in range(1, count))]


def _open_store(settings: LocalnetSettings) -> SqliteStore | None:
    if settings.state_dir is None:
        return None
    identity = {
        "passphrase": settings.passphrase,
        "block_seconds": str(settings.block_seconds),
    }
    return SqliteStore(settings.state_dir, identity=identity)


@asynccontextmanager
async def open_localnet(
    settings: LocalnetSettings, *, timer: bool = True, clock: Callable[[], float] = time.time
) -> AsyncIterator[RunningLocalnet]:
    """Start a localnet; without the timer, only `close_ledger` closes ledgers."""
    store = _open_store(settings)
    try:
        network = Network(passphrase=settings.passphrase)
        node = open_node(
            Genesis(
                network=network,
                block_seconds=settings.block_seconds,
                farm_code_bytes=settings.farm_code_bytes,
            ),
            close_time=int(clock()),
            retention=settings.retention_ledgers,
            overrides=settings.network_settings,
            store=store,
        )
        async with _serving(Nodes(node, settings, clock), timer=timer) as running:
            yield running
    finally:
        if store is not None:
            store.close()


@asynccontextmanager
async def _serving(nodes: Nodes, *, timer: bool) -> AsyncIterator[RunningLocalnet]:
    rpc = nodes.first
    funding = Funding(nodes.chain, ledger_seconds=rpc.settings.ledger_seconds)
    runner = web.AppRunner(
        make_app(nodes, funding),
        access_log=None,
        shutdown_timeout=1,
        keepalive_timeout=rpc.settings.idle_seconds,
    )
    await runner.setup()
    loops: list[asyncio.Task[None]] = []
    try:
        await web.TCPSite(runner, rpc.settings.host, rpc.settings.port).start()
        host, port = runner.addresses[0][:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        nodes.announce(f"{url}/friendbot")
        loops.append(asyncio.create_task(funding.run()))
        if timer:
            loops.append(asyncio.create_task(_close_ledgers(nodes)))
        yield RunningLocalnet(node=nodes.chain, nodes=nodes, url=url, loops=tuple(loops))
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await runner.cleanup()


async def _close_ledgers(nodes: Nodes) -> None:
    """Close ledgers on time; after a late ledger, the next ones keep the normal interval."""
    loop, rpc, chain = asyncio.get_running_loop(), nodes.first, nodes.chain
    due = loop.time()
    while True:
        due = max(due + rpc.settings.ledger_seconds, loop.time())
        await asyncio.sleep(due - loop.time())
        pending, now = chain.queue.transactions(), int(rpc.clock())
        candidates = [] if rpc.faults.skips_ledger(pending=bool(pending)) else pending
        # The work is done in a thread, so that requests are answered meanwhile.
        prepared = await asyncio.to_thread(chain.prepare, candidates, now)
        chain.commit(prepared)
        nodes.close_forks(now)

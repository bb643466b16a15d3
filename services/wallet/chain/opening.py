"""Where the chain is opened: its endpoints, and what looks at them again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.wallet.chain.facade import Chain
from services.wallet.chain.networks import Network
from services.wallet.chain.node.endpoints import HEDGE, open_endpoints


@asynccontextmanager
async def open_chain(
    network: Network, *, timeout: float, hedge: float = HEDGE
) -> AsyncIterator[Chain]:
    """Open the chain over the network's endpoints.

    `timeout` (s) is for one request to one endpoint. After `hedge` (s) without an answer, the next
    endpoint is asked, too.
    """
    async with open_endpoints(
        network.rpc_urls, passphrase=network.passphrase, timeout=timeout, hedge=hedge
    ) as endpoints:
        chain = Chain(network, endpoints)
        endpoints.recheck_by(chain.recheck)
        yield chain

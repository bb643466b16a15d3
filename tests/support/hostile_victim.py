"""Asks nodes for their transactions, many times at once, and tells how much memory that took."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from services.wallet.chain.errors import RpcUnavailableError
from services.wallet.chain.facade import Chain, open_chain
from services.wallet.chain.networks import network_for

#: Requests to each node at once.
AT_ONCE = 12
#: Seconds for one request.
TIMEOUT = 3.0
WANTED = {f"{number:064x}": ["plant"] for number in range(16)}


def peak() -> float:
    """MiB that this program has used at most. getrusage would tell those of the one that started
    it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def ask(chain: Chain) -> bool:
    """Whether it failed, as it should."""
    try:
        await chain.included(99, WANTED)
    except RpcUnavailableError:
        return True
    return False


async def run(urls: Sequence[str]) -> dict[str, float]:
    """What became of it; each node is soon asked, for the one before is slow."""
    async with asyncio.TaskGroup() as group:
        network = network_for("localnet", rpc_url=",".join(urls))
        async with open_chain(network, timeout=TIMEOUT, hedge=0.1) as chain:
            await chain.head()
            normal = peak()
            tasks = [group.create_task(ask(chain)) for _ in range(AT_ONCE)]
            failed = sum([await task for task in tasks])
    return {"failed": failed, "above_normal": peak() - normal}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(run(sys.argv[1:]))))

"""A program that asks nodes for transactions, many times at once, and reports the memory used."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from services.wallet.chain.errors import RpcUnavailableError
from services.wallet.chain.facade import Chain
from services.wallet.chain.networks import network_for
from services.wallet.chain.opening import open_chain

#: Requests to each node at once.
AT_ONCE = 12
#: Seconds for one request.
TIMEOUT = 3.0
WANTED = {f"{number:064x}": ["plant"] for number in range(16)}


def peak() -> float:
    """Return the most MiB that this program has used.

    getrusage would also count the memory of the program that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def ask(chain: Chain) -> bool:
    """Ask for transactions; tell whether the call failed, as it should."""
    try:
        await chain.included(99, WANTED)
    except RpcUnavailableError:
        return True
    return False


async def run(urls: Sequence[str]) -> dict[str, float]:
    """Return the result; each node is asked soon, because the node before it is slow."""
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

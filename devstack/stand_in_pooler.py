"""python -m devstack.stand_in_pooler: work for miners without a pool, for tests and trials.

Plays blocks with the contract's own hash, farmers that are nobody, and no chain. The settings are
those of pooler/shares/config.py. On standard output the first line is JSON with the port; with
--tell-blocks each block has a line of its own, with the moment from which it is known.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from uuid import UUID

import uvloop

from libs.common.descriptors import raise_limit
from libs.common.ids import FarmerId
from libs.common.log import configure_logging
from libs.kale.address import address_of
from pooler.shares.app import open_app
from pooler.shares.block import Find, Target
from pooler.shares.config import SharesSettings
from pooler.shares.service import Shares

#: Stroops that a block of the stand-in earns.
REWARDS = 25_050_000_000


def bytes_of(*names: object) -> bytes:
    """Return 32 bytes that are the same for the same names."""
    return blake2b(repr(names).encode(), digest_size=32).digest()


def target_of(number: int) -> Target:
    """Return a farmer by its number; there is no account at its address."""
    key = bytes_of("farmer", number)
    return Target(
        farmer_id=FarmerId(UUID(bytes=key[:16], version=4)), address=address_of(key), key=key
    )


@dataclass(kw_only=True)
class StandInBlock:
    """A block that is mined; it fulfils RunningBlock."""

    index: int
    targets: Sequence[Target]
    #: Another chain has other entropy.
    chain: str = ""
    cap: int = 64
    opened_at: float = 0.0
    closes_at: float = 300.0
    #: The best nonce of each farmer so far, and all that were offered.
    best: dict[FarmerId, Find] = field(default_factory=dict)
    offered: list[Find] = field(default_factory=list)
    #: Positions of farmers whose works are sent.
    sent: set[int] = field(default_factory=set)

    @property
    def entropy(self) -> bytes:
        """Return the block's entropy."""
        return bytes_of("block", self.chain, self.index)

    def zeros_of(self, position: int) -> int:
        """Return the best zeros so far of a farmer."""
        found = self.best.get(self.targets[position].farmer_id)
        return -1 if found is None else found.zeros

    def is_sent(self, position: int) -> bool:
        """Tell whether a farmer's work is sent."""
        return position in self.sent

    def offer(self, find: Find) -> None:
        """Keep a nonce where it is the best."""
        self.offered.append(find)
        before = self.best.get(find.farmer_id)
        if before is None or find.zeros > before.zeros:
            self.best[find.farmer_id] = find


def block_of(
    index: int, *, farmers: int, seconds: float = 300.0, opened_at: float = 0.0, chain: str = ""
) -> StandInBlock:
    """Return a block with so many farmers; the same index has the same block."""
    return StandInBlock(
        index=index,
        targets=[target_of(number) for number in range(farmers)],
        opened_at=opened_at,
        closes_at=opened_at + seconds,
        chain=chain,
    )


async def play(shares: Shares, options: argparse.Namespace) -> None:
    """Play one block after the other, for ever; which block it is, the clock says."""
    seconds: float = options.block_seconds
    while True:
        index = int(time.time() // seconds)
        opened_at = index * seconds
        block = block_of(index, farmers=options.farmers, seconds=seconds, opened_at=opened_at)
        if options.tell_blocks:
            _tell({"block": index, "at": time.time()})
        await shares.open_block(block)
        await shares.harvested(index - 1, REWARDS)
        await asyncio.sleep(max(0.0, opened_at + options.sent_share * seconds - time.time()))
        await shares.works_sent(index)
        await asyncio.sleep(max(0.0, opened_at + seconds - time.time()))


def _tell(content: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


async def serve(options: argparse.Namespace) -> None:
    """Serve miners until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with open_app(SharesSettings()) as (shares, port):
        _tell({"port": port})
        playing = asyncio.create_task(play(shares, options))
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({playing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (playing, waiting):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stand-in's process."""
    parser = argparse.ArgumentParser(description="Work for miners without a pool.")
    parser.add_argument("--farmers", type=int, default=25)
    parser.add_argument("--block-seconds", type=float, default=300.0)
    # Part of a block after which its works are sent.
    parser.add_argument("--sent-share", type=float, default=0.9)
    parser.add_argument("--tell-blocks", action="store_true")
    options = parser.parse_args(arguments)
    configure_logging(service="stand-in", level="warning")
    raise_limit()
    uvloop.run(serve(options))


if __name__ == "__main__":
    main()

"""Payouts of a day: everybody is paid by its terms while processes are killed, to the stroop."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
from kalepool.wallet.v1 import agreement_pb2

from client import MinersTold, PoolerId, open_client
from devstack.chain_view import ChainView
from devstack.check import FarmerRow, Verdict, settled_verdict
from devstack.outside import create_outside
from devstack.paying import Receivers, agree, calls_of, set_addresses
from devstack.stack import OPERATOR, Progress, Stack
from devstack.wallet_calls import wait_until
from libs.common.db.queries import load_queries
from libs.common.errors import PoolError
from libs.common.grpc.client import call
from libs.common.grpc.identity import CallerKind
from pooler.config import PoolerConfig
from trials.payments import QUERIES, PaymentReader, flows, payment_differences, pooler_accounts
from trials.records import Records

#: Stroops of KALE that a block brings all farmers together, about.
_BLOCK_REWARD = 25_050_000_000
#: Blocks' worth of a farmer's part from which on half of the farmers are paid, blocks after which
#: all are, and blocks' worth of fees that are moved alone: in a day of so many blocks, and in a
#: longer one as much more, so that paying a thousand farmers leaves room for farming.
_THRESHOLD_BLOCKS, _INTERVAL_BLOCKS, _SWEEP_BLOCKS, _BLOCKS = 2, 4, 1, 48
#: Stroops that nobody earns in a day: who is paid from there on is paid by the interval alone.
_NEVER = 10**15
#: What the farmers agree to beside: of the pooler's fee half is its miners'.
_POOLER_FEE, _MINERS_PART = "0.2", "0.5"
#: Seconds of a call, between two tries, and until all that is on its way has ended.
_CALL, _PAUSE, _PATIENCE = 20.0, 0.5, 180.0
#: The reason of a block in which nobody took part.
_NOT_FARMED = "BLOCK_NOT_FARMED"


@dataclass(frozen=True, kw_only=True)
class PaidDay:
    """What was paid."""

    #: Payouts that were made, by their cause, and of miners and poolers.
    made: Mapping[str, int] = field(default_factory=dict)
    #: Stroops of KALE that reached somebody outside of the pool.
    stroops: int = 0
    #: Payouts that failed or were refused, by their reason.
    given_up: Mapping[str, int] = field(default_factory=dict)
    #: What was paid twice, or is not what the records say, in words.
    differences: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Tell whether payouts of each kind were made."""
        return all(self.made.get(kind) for kind in KINDS)


#: Causes of farmers' payouts, and the other payees.
KINDS = ("threshold", "interval", "sweep", "miner", "pooler")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often everybody is paid in a day."""

    #: Farmers, and seconds of a block.
    farmers: int
    block_seconds: int
    #: How many times as rarely as in a short day.
    times: int

    @classmethod
    def of(cls, *, farmers: int, blocks: int, block_seconds: int) -> "Pace":
        """Return the pace of a day of so many blocks."""
        return cls(farmers=farmers, block_seconds=block_seconds, times=max(1, blocks // _BLOCKS))

    @property
    def threshold(self) -> int:
        """Return the stroops from which on half of the farmers are paid."""
        return max(1, self.times * _THRESHOLD_BLOCKS * _BLOCK_REWARD // self.farmers)

    @property
    def interval(self) -> int:
        """Return the seconds after which a farmer is paid whatever it has."""
        return self.times * _INTERVAL_BLOCKS * self.block_seconds

    @property
    def sweep(self) -> int:
        """Return the stroops of fees that are moved alone: about a fifth of rewards are fees."""
        return max(1, self.times * _SWEEP_BLOCKS * _BLOCK_REWARD // (5 * self.farmers))

    def environment(self, receivers: Receivers) -> dict[str, dict[str, str]]:
        """Return the settings by which processes pay while they farm, twice in a block."""
        own = receivers.environment()
        return {
            "wallet": own["wallet"],
            "harvest": {
                **own["harvest"],
                "PAYOUT_SECONDS": str(self.block_seconds / 2),
                "PAYOUT_SWEEP_STROOPS": str(self.sweep),
                # What lies in an account unexplained is recorded by then, whoever is killed.
                "DEPOSIT_SETTLE_SECONDS": "45",
            },
        }


class DayPayouts:
    """The payouts of one day, made by the loop of harvest."""

    def __init__(self, stack: Stack, receivers: Receivers, pace: Pace, progress: Progress) -> None:
        self._stack = stack
        self._pace = pace
        #: The first block whose miners were not told of.
        self._untold: int | None = None
        self._receivers = receivers
        self._progress = progress
        self._records = Records(stack.admin_dsn, load_queries(QUERIES))

    async def prepare(self, config: PoolerConfig) -> PoolerConfig:
        """Create whom is paid, and register the pooler with its terms."""
        self._progress("creating the accounts that are to be paid")
        await create_outside(self._stack.rpc_url, self._receivers.all)
        return await agree(
            self._stack,
            config,
            self._receivers.pooler,
            miners_part=_MINERS_PART,
            threshold=_NEVER,
            interval_seconds=self._pace.interval,
        )

    async def agree(self, config: PoolerConfig) -> None:
        """Say where farmers are paid; half of them are also paid by a threshold."""
        self._progress("saying where farmers are paid, and from when on")
        rows = [
            FarmerRow(farmer_id=row["farmer_id"], address=row["address"])
            for row in await self._records.many("farmers")
        ]
        await set_addresses(self._stack, config, Verdict(farmers=rows, compared=0), self._receivers)
        terms = agreement_pb2.AgreedTerms(
            stake_percentage=config.stake_percentage,
            pooler_fee=_POOLER_FEE,
            miners_part=_MINERS_PART,
            payout_threshold=self._pace.threshold,
            payout_interval_seconds=self._pace.interval,
            harvest_blocks=1,
        )
        async with calls_of(self._stack, CallerKind.OPERATOR, OPERATOR) as calls:
            for row in rows[::2]:
                request = agreement_pb2.SetAgreementRequest(
                    farmer_id=str(row.farmer_id), terms=terms
                )
                await call(calls.agreements.SetAgreement, request, timeout=_CALL)

    async def tell_miners(self, config: PoolerConfig, newest: int) -> None:
        """Tell, as the pooler, who mined the blocks before the newest one, or as many as it can."""
        if config.pooler_id is None:
            raise ValueError("the pooler is not registered")
        block = newest if self._untold is None else self._untold
        self._untold = block
        if block >= newest:
            return
        async with open_client(config.targets, config.caller()) as client:
            for number in range(block, newest):
                told = MinersTold(
                    pooler_id=PoolerId(config.pooler_id),
                    block_index=number,
                    points={self._receivers.miner.public_key: 1},
                )
                try:
                    await client.credit_miners(told)
                except PoolError as error:
                    if error.reason != _NOT_FARMED:
                        break  # a process is away, or the block not closed yet
                block = number + 1
        self._untold = block

    async def end(self) -> None:
        """Have no further run made, and wait until all that are under way have ended."""
        self._progress("waiting for the last payouts")
        self._stack.configure("harvest", {"PAYOUT_SECONDS": "0"})
        await self._stack.restart("harvest")

        async def ended() -> bool:
            return not await self._records.count("count_open_payouts")

        await wait_until(ended, "payouts are open", seconds=_PATIENCE, poll=_PAUSE)

    async def verdict(
        self, given: Mapping[str, int], reader: PaymentReader
    ) -> tuple[Verdict, PaidDay]:
        """Compare records, ledger and chain, account by account; `given` is KALE from outside."""

        async def view() -> ChainView:
            await reader.catch_up()
            return reader.view

        await reader.catch_up()
        moved = flows(reader.payments, given, await pooler_accounts(self._records))
        verdict = await settled_verdict(self._stack, moved.funded, view, collected=moved.collected)
        differences = await payment_differences(self._records, self._stack.rpc_url, reader.payments)
        return verdict, paid_of(await self._records.many("payouts_made"), differences)


def paid_of(rows: Sequence[asyncpg.Record], differences: Sequence[str]) -> PaidDay:
    """Return what was paid, by the rows of payouts_made."""
    made, given_up, stroops = Counter[str](), Counter[str](), 0
    for row in rows:
        if row["state"] == "paid":
            made[row["what"]] += row["payouts"]
            stroops += int(row["stroops"])
        else:
            given_up[row["reason"] or row["state"]] += row["payouts"]
    return PaidDay(made=made, stroops=stroops, given_up=given_up, differences=differences)

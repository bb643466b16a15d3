"""Payouts of a running pool to accounts outside of it, held against what the chain minted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from kalepool.harvest.v1 import ledger_pb2, ledger_pb2_grpc, payout_pb2, payout_pb2_grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import (
    agreement_pb2,
    agreement_pb2_grpc,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)
from stellar_sdk import Keypair

from devstack.chain_view import read_kale_balances
from devstack.check import Verdict
from devstack.outside import create_outside, kale
from devstack.stack import OPERATOR, Progress, Stack
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.identity import CallerKind
from libs.common.ids import new_id
from libs.kale.amounts import format_kale
from libs.kale.constants import MAX_I64
from pooler.config import PoolerConfig

#: What the farmers agree to: a pooler's fee of 20 %, half of which is its miners'; the operator's
#: is 2.5 %.
_POOLER_FEE, _MINERS_PART, OPERATOR_BPS = "0.2", "0.5", 250
#: Seconds for a call, and runs of payouts at most: what one run collects the next one pays.
_CALL, _RUNS = 120.0, 12
#: Seconds between two runs: what the pooler tells of its miners is divided meanwhile.
_PAUSE = 2.0
_STAKED = payout_pb2.PENDING_REASON_STAKED


@dataclass(frozen=True, kw_only=True)
class Receivers:
    """Accounts outside of the pool that are paid."""

    #: A payout address for each farmer.
    farmers: Sequence[Keypair]
    miner: Keypair
    pooler: Keypair
    operator: Keypair

    @classmethod
    def made(cls, farmers: int) -> "Receivers":
        """Return new ones."""
        return cls(
            farmers=[Keypair.random() for _ in range(farmers)],
            miner=Keypair.random(),
            pooler=Keypair.random(),
            operator=Keypair.random(),
        )

    @property
    def all(self) -> list[Keypair]:
        """Return all of them."""
        return [self.miner, self.pooler, self.operator, *self.farmers]

    def environment(self) -> dict[str, dict[str, str]]:
        """Return the settings by which processes pay them, by hand and to the stroop."""
        return {
            "wallet": {
                "OPERATOR_PAYOUT_ADDRESS": self.operator.public_key,
                "OPERATOR_FEE_BPS": str(OPERATOR_BPS),
                # A day would be long for who looks on.
                "WITHDRAW_COOLING_MS": "1000",
            },
            "harvest": {
                "PAYOUT_SECONDS": "0",
                "PAYOUT_MINIMUM_STROOPS": "1",
                "PAYOUT_SWEEP_STROOPS": "1",
                "PAYOUT_POOLER_STROOPS": "1",
                "PAYOUT_MINER_STROOPS": "1",
            },
        }


@dataclass(frozen=True, kw_only=True)
class Paid:
    """What everybody got, in stroops of KALE, as the chain has it."""

    farmers: int
    miners: int
    pooler: int
    operator: int
    #: What the chain minted as rewards.
    minted: int
    #: What is staked in blocks that were not harvested.
    staked: int
    #: What the farmers had before, and what is left in their accounts.
    funded: int
    left: int
    #: What was not paid, in words; none when all was.
    unpaid: Sequence[str]
    #: Whether the pool's ledger adds up.
    ledger_adds_up: bool

    @property
    def total(self) -> int:
        """Return what all of them got."""
        return self.farmers + self.miners + self.pooler + self.operator

    @property
    def expected(self) -> int:
        """Return what they should have: what was minted, less stakes, and what they had before."""
        return self.minted - self.staked + self.funded - self.left

    @property
    def equal(self) -> bool:
        """Tell whether all was paid, and it adds up."""
        return self.total == self.expected and not self.unpaid and self.ledger_adds_up


@dataclass(frozen=True, kw_only=True)
class Calls:
    """The operator's calls, and its pooler's."""

    registry: Any
    agreements: Any
    withdrawals: Any
    payouts: Any
    ledger: Any


async def prepare(
    stack: Stack,
    config: PoolerConfig,
    receivers: Receivers,
    progress: Progress,
    *,
    miners_part: str = _MINERS_PART,
) -> PoolerConfig:
    """Register the pooler with the terms that its farmers agree to by joining."""
    progress("creating the accounts that are to be paid")
    await create_outside(stack.rpc_url, receivers.all)
    return await agree(stack, config, receivers.pooler, miners_part=miners_part)


async def agree(
    stack: Stack,
    config: PoolerConfig,
    pooler: Keypair,
    *,
    miners_part: str = _MINERS_PART,
    threshold: int = 1,
    interval_seconds: int = 0,
) -> PoolerConfig:
    """Register a pooler, who is paid at this key's account, with its terms.

    Its farmers are paid from so many stroops on, or after so many seconds (0: never).
    """
    own = replace(config, public_key=pooler.public_key)
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as stubs:
        registered = await call(
            stubs.registry.RegisterPooler,
            registry_pb2.RegisterPoolerRequest(
                request_id=own.public_key, name=own.name, public_key=own.public_key
            ),
            timeout=_CALL,
        )
        pooler_id = registered.pooler.pooler_id
        await call(
            stubs.agreements.MarkPooler,
            agreement_pb2.MarkPoolerRequest(pooler_id=pooler_id, farms_for_itself=True),
            timeout=_CALL,
        )
        await call(
            stubs.registry.PublishTerms,
            registry_pb2.PublishTermsRequest(
                pooler_id=pooler_id,
                pooler_fee=_POOLER_FEE,
                miners_part=miners_part,
                payout_threshold=threshold,
                payout_interval_seconds=interval_seconds,
            ),
            timeout=_CALL,
        )
    return replace(own, pooler_id=UUID(pooler_id))


async def set_addresses(
    stack: Stack, config: PoolerConfig, verdict: Verdict, receivers: Receivers
) -> None:
    """Have the pooler say where its farmers are paid, a new account each."""
    async with calls_of(stack, CallerKind.POOLER, str(config.pooler_id)) as stubs:
        for farmer, key in zip(verdict.farmers, receivers.farmers, strict=False):
            request = withdrawal_pb2.SetPayoutAddressRequest(
                farmer_id=str(farmer.farmer_id), address=key.public_key
            )
            await call(stubs.withdrawals.SetPayoutAddress, request, timeout=_CALL)


async def pay(
    stack: Stack,
    config: PoolerConfig,
    verdict: Verdict,
    receivers: Receivers,
    progress: Progress,
) -> Paid:
    """Have the pool pay everybody, and look at what they have then."""
    progress("paying farmers, the miner, the pooler and the operator")
    await set_addresses(stack, config, verdict, receivers)
    farmers = verdict.farmers
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as stubs:
        unpaid = await _pay_all(stubs)
        checked = await call(
            stubs.ledger.CheckLedger, ledger_pb2.CheckLedgerRequest(), timeout=_CALL
        )
    addresses = [key.public_key for key in receivers.all]
    held = await read_kale_balances(
        stack.rpc_url, [*addresses, *(one.address for one in farmers)], kale()
    )
    own = {key.public_key: held.get(key.public_key, 0) for key in receivers.farmers}
    return Paid(
        farmers=sum(own.values()),
        miners=held.get(receivers.miner.public_key, 0),
        pooler=held.get(receivers.pooler.public_key, 0),
        operator=held.get(receivers.operator.public_key, 0),
        minted=sum(one.reward for one in farmers),
        staked=sum(one.staked - one.stake_returned for one in farmers),
        funded=sum(one.funded for one in farmers),
        left=sum(held.get(one.address, 0) for one in farmers),
        unpaid=unpaid,
        ledger_adds_up=not checked.differences,
    )


async def _pay_all(stubs: Calls) -> list[str]:
    """Make runs until nothing is left to pay; return what is left all the same, in words."""
    for _ in range(_RUNS):
        request = payout_pb2.RunPayoutsRequest(request_id=str(new_id()), max_amount=MAX_I64)
        await call(stubs.payouts.RunPayouts, request, timeout=_CALL)
        left = await _left(stubs)
        if not left:
            return []
        await asyncio.sleep(_PAUSE)
    return left


async def _left(stubs: Calls) -> list[str]:
    found = await call(
        stubs.payouts.ListPending, payout_pb2.ListPendingRequest(page_size=1000), timeout=_CALL
    )
    return [
        f"{format_kale(one.amount)} KALE of {payout_pb2.PayeeKind.Name(one.kind)} {one.payee_id}: "
        f"{payout_pb2.PendingReason.Name(one.reason)} {one.refusal}"
        for one in found.amounts
        # It is the next block's.
        if one.reason != _STAKED
    ]


@asynccontextmanager
async def calls_of(stack: Stack, kind: CallerKind, name: str) -> AsyncIterator[Calls]:
    """Open the calls of an operator or a pooler."""
    transport = stack.transport(kind, name)
    async with (
        open_channel(stack.target("registry"), transport, name="registry") as registry,
        open_channel(stack.target("wallet"), transport, name="wallet") as wallet,
        open_channel(stack.target("harvest"), transport, name="harvest") as harvest,
    ):
        yield Calls(
            registry=registry_pb2_grpc.RegistryServiceStub(registry),
            agreements=agreement_pb2_grpc.AgreementServiceStub(wallet),
            withdrawals=withdrawal_pb2_grpc.WithdrawalServiceStub(wallet),
            payouts=payout_pb2_grpc.PayoutsServiceStub(harvest),
            ledger=ledger_pb2_grpc.LedgerServiceStub(harvest),
        )

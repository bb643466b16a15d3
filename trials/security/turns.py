"""Payouts that cannot succeed, and farmers who lock their accounts: who has to wait for them?"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import aiohttp
import asyncpg
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2
from stellar_sdk import Keypair, SetOptions, TransactionBuilder
from stellar_sdk.soroban_server_async import SorobanServerAsync

from devstack.farmers import fund
from devstack.stack import Progress, Stack
from devstack.wallet_calls import Farmer, WalletCaller, open_caller, wait_until
from localnet.network import Network
from trials.canaries import seed_of

#: Payouts that cannot succeed, of so many farmers of one pooler.
PAYOUTS, _GREEDY = 100, 5
#: Payouts of another pooler alone, and beside them, one after the other.
_HONEST = 3
#: Farmers of a pooler of whom one locks its account.
FARMERS = 100
#: Stroops of KALE that a payout has.
_AMOUNT = 10_000_000
#: Seconds that a call may take longer than alone: two ledgers, and what a busy machine takes.
_SLACK_LEDGERS, _SLACK = 2, 1.0
_TRANSACTIONS = "SELECT count(*) FROM wallet.transactions WHERE bump_to IS NOT NULL"
_SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED


@dataclass(frozen=True, kw_only=True)
class Payouts:
    """Payouts beside those of another pooler that cannot succeed."""

    #: Seconds of the slowest honest payout: of some alone, and of as many beside the others.
    alone: float
    beside: float
    #: Transactions that were paid for payouts that cannot succeed.
    wasted: int
    #: Such payouts that were told anything but the true reason.
    untold: int


@dataclass(frozen=True, kw_only=True)
class Plants:
    """Plants of many farmers, of whom one has locked its account."""

    #: Seconds of a plant of all farmers, before and after that.
    sound: float
    locked: float
    #: Farmers that were planted beside the locked one.
    planted: int
    #: Whether the locked one was refused with its true reason, and nothing was signed for it.
    is_told: bool


@dataclass(frozen=True, kw_only=True)
class Waits:
    """How long somebody waited, and what was paid for nothing."""

    #: Seconds of a ledger.
    ledger: float
    payouts: Payouts
    plants: Plants

    @property
    def failures(self) -> Iterator[str]:
        """Yield what went wrong, in words."""
        slack = _SLACK_LEDGERS * self.ledger + _SLACK
        payouts, plants = self.payouts, self.plants
        if payouts.beside > payouts.alone + slack:
            took = f"{payouts.beside:.1f} s instead of {payouts.alone:.1f} s"
            yield f"an honest payout took {took}"
        if payouts.wasted or payouts.untold:
            yield (
                f"of {PAYOUTS} payouts that cannot succeed, {payouts.untold} were not told why, "
                f"and {payouts.wasted} transactions were paid"
            )
        if plants.locked > plants.sound + slack:
            took = f"{plants.locked:.1f} s instead of {plants.sound:.1f} s"
            yield f"a plant beside a locked account took {took}"
        if plants.planted != FARMERS - 1:
            yield f"{plants.planted} of {FARMERS - 1} farmers were planted beside a locked account"
        if not plants.is_told:
            yield "a locked account was not refused with its true reason"


async def waits(stack: Stack, progress: Progress) -> Waits:
    """Try both; the pool must have no cooling time for payout addresses."""
    async with (
        open_caller(stack, ["wallet"]) as greedy,
        open_caller(stack, ["wallet"]) as honest,
        SorobanServerAsync(stack.rpc_url) as rpc,
    ):
        progress(f"{PAYOUTS} payouts that cannot succeed, beside honest ones")
        payouts = await _payouts(stack, greedy, honest, rpc)
        progress(f"one of {FARMERS} farmers locks its account")
        plants = await _plants(stack, honest, rpc)
    return Waits(ledger=stack.config.ledger_seconds, payouts=payouts, plants=plants)


# Payouts ------------------------------------------------------------------------------------------


async def _payouts(
    stack: Stack, greedy: WalletCaller, honest: WalletCaller, rpc: SorobanServerAsync
) -> Payouts:
    many, (one,) = await _farmers(stack, greedy, _GREEDY), await _farmers(stack, honest, 1)
    await greedy.pay_out_to(many, await outside(stack, rpc, room="0.0000001"))
    await honest.pay_out_to([one], await outside(stack, rpc))
    # The first payout of a pool waits for what later ones find done.
    await _timed(honest, one, "the first")
    alone = [await _timed(honest, one, f"alone {number}") for number in range(_HONEST)]
    before = await _count(stack)
    calls = [
        asyncio.create_task(greedy.withdraw(f"turn {number}", many, _AMOUNT))
        for number in range(PAYOUTS // _GREEDY)
    ]
    beside = [await _timed(honest, one, f"beside {number}") for number in range(_HONEST)]
    ends = [operation for call in calls for operation in await call]
    reason = common_pb2.FAILURE_REASON_DESTINATION_FULL
    return Payouts(
        alone=max(alone),
        beside=max(beside),
        wasted=await _count(stack) - before - _HONEST,
        untold=sum((item.reason, item.fee_charged) != (reason, 0) for item in ends),
    )


async def _timed(caller: WalletCaller, farmer: Farmer, name: str) -> float:
    """Return the seconds of one payout, which has to succeed."""
    began = time.monotonic()
    (operation,) = await caller.withdraw(name, [farmer], _AMOUNT)
    took = time.monotonic() - began
    if operation.state != _SUCCEEDED:
        raise RuntimeError(f"an honest payout failed: {operation.error_message}")
    return took


async def _count(stack: Stack) -> int:
    admin = await asyncpg.connect(stack.admin_dsn)
    try:
        return int(await admin.fetchval(_TRANSACTIONS))
    finally:
        await admin.close()


async def outside(stack: Stack, rpc: SorobanServerAsync, *, room: str | None = None) -> str:
    """Make an account that is not the pool's, with a KALE line of this limit."""
    key, network = Keypair.random(), Network()
    async with aiohttp.ClientSession() as session:
        query = {"addr": key.public_key}
        async with session.get(f"{stack.rpc_url}/friendbot", params=query) as reply:
            reply.raise_for_status()
    builder = TransactionBuilder(
        await rpc.load_account(key.public_key), network.passphrase, base_fee=1000
    )
    envelope = builder.set_timeout(60).append_change_trust_op(network.kale, room).build()
    envelope.sign(key)
    sent = await rpc.send_transaction(envelope)
    await rpc.poll_transaction(sent.hash, max_attempts=30)
    return key.public_key


# Plants -------------------------------------------------------------------------------------------


async def _plants(stack: Stack, caller: WalletCaller, rpc: SorobanServerAsync) -> Plants:
    farmers = await _farmers(stack, caller, FARMERS)
    sound, ends = await _planted(caller, farmers, await _next_block(caller))
    if len(ends) != FARMERS or any(item.state != _SUCCEEDED for item in ends):
        raise RuntimeError("not all farmers were planted before one locks its account")
    lost, *_ = farmers
    await _lock(stack, lost, rpc)
    locked, ends = await _planted(caller, farmers, await _next_block(caller))
    (refused,) = [item for item in ends if item.farmer_id == lost.id]
    reason = common_pb2.FAILURE_REASON_ACCOUNT_LOCKED
    return Plants(
        sound=sound,
        locked=locked,
        planted=sum(item.state == _SUCCEEDED for item in ends),
        is_told=(refused.reason, refused.attempts, refused.fee_charged) == (reason, 0, 0),
    )


async def _planted(
    caller: WalletCaller, farmers: Sequence[Farmer], block: int
) -> tuple[float, list[wallet_pb2.Operation]]:
    """Plant a block; return the seconds that it took, and the ends."""
    began = time.monotonic()
    ends = await caller.plant(f"turns {block}", block, dict.fromkeys(farmers, 1))
    return time.monotonic() - began, ends


async def _next_block(caller: WalletCaller) -> int:
    """Return a block that nobody has planted in, as soon as it can be planted."""
    head = (await caller.block()).head
    block = max(head.plantable_block, head.current_block + 1)

    async def plantable() -> bool:
        return (await caller.block()).head.plantable_block >= block

    await wait_until(plantable, "the next block does not become plantable", seconds=60, poll=0.2)
    return block


async def _lock(stack: Stack, farmer: Farmer, rpc: SorobanServerAsync) -> None:
    """Take the pool's key its weight, as the account's owner can who was given the key."""
    key, network = Keypair.from_raw_ed25519_seed(await seed_of(stack, farmer.address)), Network()
    builder = TransactionBuilder(
        await rpc.load_account(farmer.address), network.passphrase, base_fee=1000
    )
    inner = builder.set_timeout(60).append_operation(SetOptions(master_weight=0)).build()
    inner.sign(key)
    bump = TransactionBuilder.build_fee_bump_transaction(
        network.faucet, 10_000, inner, network.passphrase
    )
    bump.sign(network.faucet)
    sent = await rpc.send_transaction(bump)
    answer = await rpc.poll_transaction(sent.hash, max_attempts=30)
    if answer.status.value != "SUCCESS":
        raise RuntimeError("the account was not locked")


async def _farmers(stack: Stack, caller: WalletCaller, count: int) -> list[Farmer]:
    """Make farmers that have accounts and KALE."""
    before = await caller.count_ready()
    farmers = await caller.create_farmers(count)

    async def ready() -> bool:
        return await caller.count_ready() >= before + count

    await wait_until(ready, "the farmers have no accounts", seconds=300, poll=0.5)
    await fund(stack.rpc_url, [farmer.address for farmer in farmers])
    return farmers

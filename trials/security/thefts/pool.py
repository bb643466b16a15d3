"""A pool to steal from: farmers with payout addresses, two operators, and a look at the chain."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import aiohttp
import asyncpg
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import (
    approval_pb2,
    custody_pb2,
    engine_pb2,
    wallet_pb2,
    withdrawal_pb2,
)
from stellar_sdk import FeeBumpTransactionEnvelope, Keypair, Payment, TransactionBuilder, xdr
from stellar_sdk.soroban_server_async import SorobanServerAsync

from devstack.callers import Stubs, own_mark, stubs_of
from devstack.chain_view import read_transactions
from devstack.stack import Progress, Stack, StackConfig
from devstack.wallet_calls import wait_until
from libs.common.errors import FailedPreconditionError, NotFoundError, PoolError
from libs.common.grpc.client import call
from libs.common.grpc.identity import CallerKind
from libs.common.ids import new_id
from localnet.ledger.keys import trustline_asset, trustline_key
from localnet.network import Network
from trials.security.thefts.others import OTHERS, Others, make_others
from trials.security.turns import outside

Connection: TypeAlias = "asyncpg.Connection[Any]"

KALE = 10**7
#: Stroops of KALE that a farmer may withdraw within a day here.
DAILY = 5 * KALE
#: Farmers that may be made besides those that are there: of the pooler, and of all poolers.
MORE, MORE_IN_ALL = 2, 6
#: Poolers that are there, each with an account of its own.
POOLERS = 2
#: Payout addresses of a farmer within a day.
ADDRESSES = 10
#: Stroops of reserves of a farmer's account.
_SPONSORED = 15_000_000
#: Seconds of a call, and until something that is to happen has happened.
TIMEOUT, PATIENCE = 20.0, 30.0
#: Seconds in which nothing is paid that is not to be paid: some ledgers.
WHILE = 4.0
EVERYTHING = custody_pb2.PauseReach(everything=True)
_OPEN = """
SELECT EXISTS (
    SELECT 1 FROM wallet.operations AS o INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE w.farmer_id = $1 AND o.kind = 'withdraw' AND o.state IN ('queued', 'signed', 'sent')
)
"""
_READY = wallet_pb2.WALLET_STATUS_READY
_SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
_ENVIRONMENT: Mapping[str, Mapping[str, str]] = {
    "registry": {
        "SECOND_PERSON_SECONDS": "600",
        "API_RATE_LIMIT": "0",
        "RECOVERY_SECONDS": "1",
    },
    "harvest": {"SECOND_PERSON_SECONDS": "600", "API_RATE_LIMIT": "0"},
    "wallet": {
        "SECOND_PERSON_SECONDS": "600",
        "API_RATE_LIMIT": "0",
        "KEY_EXPORT": "true",
        "AUDIT_HEAD_INTERVAL_MS": "1000",
        "CHANNEL_ACCOUNTS": "1",
        "CHANNEL_FUNDING_STROOPS": "2000000000",
        "RENT_DAILY_STROOPS": "0",
        "WITHDRAW_DAILY_KALE_STROOPS": str(DAILY),
        "WITHDRAW_ADDRESS_CHANGES": str(ADDRESSES),
    },
}


def pool_config(directory: Path, *, farmers: int) -> StackConfig:
    """Return a pool with small limits, where operators need each other."""
    limits = {
        # Some thefts stop payers.
        "PAYER_ACCOUNTS": str(max(5, 2 * farmers - 30)),
        "SPONSORED_DAILY_PER_POOLER_STROOPS": str((farmers + MORE) * _SPONSORED),
        "SPONSORED_DAILY_STROOPS": str((farmers + OTHERS + POOLERS + MORE_IN_ALL) * _SPONSORED),
    }
    return StackConfig(
        directory=directory,
        ledger_seconds=0.5,
        block_seconds=12,
        services=("registry", "wallet", "harvest"),
        environment={**_ENVIRONMENT, "wallet": {**_ENVIRONMENT["wallet"], **limits}},
    )


@dataclass(frozen=True, kw_only=True)
class Farmer:
    """A farmer with an account, and where it is paid."""

    #: Its id, and its address in the pool.
    id: str
    address: str
    #: Its payout address, which has a line for KALE.
    outside: str


@dataclass(kw_only=True)
class Pool:
    """What a theft finds, and what is looked at afterwards."""

    stack: Stack
    #: With all rights.
    admin: Connection
    rpc: SorobanServerAsync
    session: aiohttp.ClientSession
    #: Two operators, the pooler, and two services by their certificates.
    ann: Stubs
    bob: Stubs
    pooler: Stubs
    registry: Stubs
    plant: Stubs
    pooler_id: str
    #: Whoever is paid beside each theft.
    honest: Farmer
    #: Whoever is to be paid in pauses, and never is.
    friends: Farmer
    #: Those that nobody has used so far.
    stock: list[Farmer]
    #: How many there were at first.
    made: int
    #: A pooler that farms for others, and its farmers.
    others: Others
    #: Those of whom each column is changed.
    victims: list[Farmer] = field(default_factory=list)
    #: Payouts of theirs that were asked for: each has a sum of its own.
    asked: int = 0
    #: Addresses of the thief's, of the theft that runs.
    thieves: list[str] = field(default_factory=list)
    #: Stroops that the honest acts of the theft that runs may cost.
    cost: int = 0
    #: Seconds of a payout beside nothing.
    alone: float = 0.0

    # Farmers and payouts ----------------------------------------------------------------------

    async def farmer(self, kale: int = 10 * KALE) -> Farmer:
        """Return a farmer that no theft has used, with so much KALE."""
        farmer = self.stock.pop()
        await self.give(farmer.address, kale)
        return farmer

    async def friend(self) -> Farmer:
        """Return the farmer that thefts share, once none of its payouts is open."""

        async def is_idle() -> bool:
            return not await self.admin.fetchval(_OPEN, self.friends.id)

        await wait_until(is_idle, "a payout stays open", seconds=PATIENCE, poll=0.2)
        return self.friends

    async def give(self, address: str, stroops: int) -> None:
        """Send KALE from the network's faucet."""
        query = {"addr": address, "amount": str(stroops)}
        async with self.session.get(f"{self.stack.rpc_url}/kale", params=query) as reply:
            reply.raise_for_status()

    async def withdraw(
        self, farmer: Farmer, amount: int = KALE, *, timeout: float = TIMEOUT, name: str = ""
    ) -> withdrawal_pb2.Withdrawal | str:
        """Have the pooler ask for a payout; return it, or the reason of a refusal."""
        request = withdrawal_pb2.WithdrawRequest(
            request_id=name or str(new_id()),
            farmer_id=farmer.id,
            asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
            amount=amount,
        )
        try:
            reply = await call(self.pooler.withdrawals.Withdraw, request, timeout=timeout)
        except PoolError as error:
            return error.reason
        withdrawal: withdrawal_pb2.Withdrawal = reply.withdrawal
        return withdrawal

    async def paid(self, farmer: Farmer) -> UUID:
        """Have the pooler ask for a payout of 1 KALE, which has to be made; return its id."""
        done = await self.withdraw(farmer)
        if isinstance(done, str) or done.operation.state != _SUCCEEDED:
            raise RuntimeError(f"a payout was not made: {done}")
        return UUID(done.withdrawal_id)

    async def paid_meanwhile(self, farmer: Farmer) -> bool:
        """Tell whether a payout that must not be made now is made."""
        before = await self.kale(farmer.outside)
        await self.withdraw(farmer, 1000, timeout=WHILE)
        return await self.kale(farmer.outside) > before

    async def delay(self) -> float | None:
        """Return how many seconds longer than alone an honest payout takes; None: not made."""
        began = time.monotonic()
        done = await self.withdraw(self.honest, 1000, timeout=PATIENCE)
        took = time.monotonic() - began
        if isinstance(done, str) or done.operation.state != _SUCCEEDED:
            return None
        return took - self.alone

    # Operators --------------------------------------------------------------------------------

    async def agreed(self, method: str, request: Any) -> Any:
        """Have ann send a request (`custody.ResumeSigning`), with bob's approval."""
        stub = self._method(method)
        approval = await self.waits(method, request)
        if approval:
            await self.approve(approval)
        return await call(stub, request, timeout=TIMEOUT)

    async def waits(self, method: str, request: Any) -> str:
        """Have ann send a request; return the approval that it waits for, empty for none."""
        try:
            await call(self._method(method), request, timeout=TIMEOUT)
        except FailedPreconditionError as error:
            if error.reason != "SECOND_PERSON":
                raise
            return error.metadata["approval_id"]
        return ""

    async def approve(self, approval: str) -> None:
        """Have bob agree."""
        request = approval_pb2.ApproveRequest(approval_id=approval)
        await call(self.bob.approvals.Approve, request, timeout=TIMEOUT)

    def _method(self, name: str) -> Any:
        service, _, method = name.partition(".")
        return getattr(getattr(self.ann, service), method)

    async def pause(
        self, reach: custody_pb2.PauseReach = EVERYTHING
    ) -> custody_pb2.PauseSigningResponse:
        """Have ann stop what is signed."""
        request = custody_pb2.PauseSigningRequest(reach=reach, reason="a thief")
        return await call(self.ann.custody.PauseSigning, request, timeout=TIMEOUT)

    async def resume(self, reach: custody_pb2.PauseReach = EVERYTHING) -> None:
        """Have both let it go on.

        A pause whose row somebody has taken away is put back when wallet looks.
        """
        request = custody_pb2.ResumeSigningRequest(reach=reach)
        for _ in range(int(WHILE)):
            try:
                await self.agreed("custody.ResumeSigning", request)
            except NotFoundError:
                await asyncio.sleep(1.0)
            else:
                return

    @asynccontextmanager
    async def paused(
        self, reach: custody_pb2.PauseReach = EVERYTHING
    ) -> AsyncIterator[custody_pb2.PauseSigningResponse]:
        """Have nothing signed while the block runs."""
        told = await self.pause(reach)
        try:
            yield told
        finally:
            await self.resume(reach)

    async def verify(self) -> custody_pb2.VerifyAuditLogResponse:
        """Return what an operator is told of the audit log."""
        request = custody_pb2.VerifyAuditLogRequest()
        return await call(self.ann.custody.VerifyAuditLog, request, timeout=60.0)

    async def status(self) -> engine_pb2.GetEngineStatusResponse:
        """Return what an operator is told of the engine."""
        request = engine_pb2.GetEngineStatusRequest()
        return await call(self.ann.engine.GetEngineStatus, request, timeout=TIMEOUT)

    # The chain and the log --------------------------------------------------------------------

    async def kale(self, address: str) -> int:
        """Return the stroops of KALE that an address has."""
        raw = Keypair.from_public_key(address).raw_public_key()
        line = trustline_key(raw, trustline_asset(Network().kale.to_xdr_object()))
        found = await self._entry(xdr.LedgerKey.from_xdr_bytes(line))
        return 0 if found is None or found.trust_line is None else found.trust_line.balance.int64

    async def xlm(self, address: str) -> int:
        """Return the stroops of XLM that an address has."""
        account = xdr.LedgerKeyAccount(Keypair.from_public_key(address).xdr_account_id())
        found = await self._entry(xdr.LedgerKey(xdr.LedgerEntryType.ACCOUNT, account=account))
        return 0 if found is None or found.account is None else found.account.balance.int64

    async def _entry(self, key: xdr.LedgerKey) -> xdr.LedgerEntryData | None:
        entries = (await self.rpc.get_ledger_entries([key])).entries or []
        return xdr.LedgerEntryData.from_xdr(entries[0].xdr) if entries else None

    async def payments(self) -> Counter[tuple[str, int]]:
        """Return how often each address was paid each sum of KALE, in stroops, by the chain."""
        found, passphrase = Counter[tuple[str, int]](), Network().passphrase
        async for item in read_transactions(self.session, self.stack.rpc_url):
            if item["status"] != "SUCCESS":
                continue
            envelope: Any = TransactionBuilder.from_xdr(item["envelopeXdr"], passphrase)
            if isinstance(envelope, FeeBumpTransactionEnvelope):
                envelope = envelope.transaction.inner_transaction_envelope
            for operation in envelope.transaction.operations:
                if isinstance(operation, Payment) and operation.asset == Network().kale:
                    stroops = int(Decimal(operation.amount) * KALE)
                    found[operation.destination.account_id, stroops] += 1
        return found

    async def treasury(self) -> int:
        """Return the stroops of XLM that the treasury has."""
        address = await self.admin.fetchval(
            "SELECT address FROM wallet.wallets WHERE kind = 'treasury'"
        )
        return await self.xlm(address)

    async def thief(self) -> str:
        """Return an address of the thief's, which can take KALE."""
        address = await outside(self.stack, self.rpc)
        self.thieves.append(address)
        return address

    async def lie(self, **lies: object) -> None:
        """Have the node tell these lies, and no others."""
        await self.fault(reset=True, lies=lies)

    async def fault(self, **body: object) -> None:
        """Set faults of the network's node."""
        async with self.session.post(f"{self.stack.rpc_url}/faults", json=body) as reply:
            reply.raise_for_status()

    @property
    def log_size(self) -> int:
        """Return where wallet's log ends."""
        return int(self._log.stat().st_size)

    def noticed(self, since: int) -> list[str]:
        """Return the critical events of wallet's security log, each once."""
        with self._log.open("rb") as file:
            file.seek(since)
            lines = file.read().decode(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return list(
            dict.fromkeys(
                line["event"]
                for line in found
                if line.get("log") == "security" and line.get("level") == "critical"
            )
        )

    async def is_noticed(self, words: str, since: int) -> bool:
        """Tell whether wallet's security log has an event after some time."""
        for _ in range(int(PATIENCE * 5)):
            if words in self.noticed(since):
                return True
            await asyncio.sleep(0.2)
        return False

    @property
    def _log(self) -> Any:
        return self.stack.config.directory / "logs" / "wallet.log"

    async def repair(self, statement: str, *arguments: object) -> None:
        """Take back what a thief has written, whatever triggers say."""
        async with self.admin.transaction():
            await self.admin.execute("SET LOCAL session_replication_role = replica")
            await self.admin.execute(statement, *arguments)


@asynccontextmanager
async def open_pool(stack: Stack, progress: Progress, *, farmers: int) -> AsyncIterator[Pool]:
    """Register a pooler and its farmers on a stack of `pool_config`."""
    async with AsyncExitStack() as cleanup:
        session = await cleanup.enter_async_context(aiohttp.ClientSession())
        rpc = await cleanup.enter_async_context(SorobanServerAsync(stack.rpc_url))
        admin = await asyncpg.connect(stack.admin_dsn)
        cleanup.push_async_callback(admin.close)

        async def shown(kind: CallerKind, name: str) -> Stubs:
            return await cleanup.enter_async_context(stubs_of(stack, kind, name))

        ann, bob = [await shown(CallerKind.OPERATOR, name) for name in ("ann", "bob")]
        registry, plant = [await shown(CallerKind.SERVICE, name) for name in ("registry", "plant")]
        progress(f"registering {farmers} farmers to steal from")
        pooler_id = await _pooler(ann, bob, "north", is_own=True)
        pooler = await shown(CallerKind.POOLER, pooler_id)
        honest, friends, *stock = await _farmers(stack, rpc, pooler, pooler_id, farmers)
        south_id = await _pooler(ann, bob, "south", is_own=False)
        south = await shown(CallerKind.POOLER, south_id)
        pool = Pool(
            stack=stack,
            admin=admin,
            rpc=rpc,
            session=session,
            ann=ann,
            bob=bob,
            pooler=pooler,
            registry=registry,
            plant=plant,
            pooler_id=pooler_id,
            honest=honest,
            friends=friends,
            stock=stock,
            made=farmers,
            others=await make_others(stack, rpc, ann, south, south_id),
        )
        await _ready(pool)
        yield pool


async def _pooler(ann: Stubs, bob: Stubs, name: str, *, is_own: bool) -> str:
    new = registry_pb2.RegisterPoolerRequest(
        request_id=name, name=name, public_key=Keypair.random().public_key
    )
    pooler = (await by_two(ann.registry.RegisterPooler, new, bob)).pooler
    if is_own:
        # It names the addresses of its farmers.
        await by_two(ann.agreements.MarkPooler, own_mark(pooler.pooler_id), bob)
    return str(pooler.pooler_id)


async def by_two(method: Any, request: Any, bob: Stubs) -> Any:
    """Give an order that takes two operators; bob is the second one."""
    try:
        return await call(method, request, timeout=TIMEOUT)
    except FailedPreconditionError as error:
        if error.reason != "SECOND_PERSON":
            raise
        agree = approval_pb2.ApproveRequest(approval_id=error.metadata["approval_id"])
        await call(bob.approvals.Approve, agree, timeout=TIMEOUT)
    return await call(method, request, timeout=TIMEOUT)


async def _farmers(
    stack: Stack, rpc: SorobanServerAsync, pooler: Stubs, pooler_id: str, count: int
) -> Sequence[Farmer]:
    async def one() -> Farmer:
        address = await outside(stack, rpc)
        request = registry_pb2.RegisterFarmerRequest(
            request_id=str(new_id()),
            pooler_id=pooler_id,
            stake_percentage="0.5",
            payout_wallet_address=address,
        )
        made = await call(pooler.registry.RegisterFarmer, request, timeout=60.0)
        return Farmer(id=made.farmer_id, address=made.custodial_wallet, outside=address)

    return await asyncio.gather(*(one() for _ in range(count)))


async def _ready(pool: Pool) -> None:
    """Wait until all accounts are there, and see how long a payout takes."""

    async def farmers() -> bool:
        request = wallet_pb2.ListWalletsRequest(pooler_id=pool.pooler_id, page_size=1000)
        reply = await call(pool.ann.wallets.ListWallets, request, timeout=TIMEOUT)
        return [one.status for one in reply.wallets] == [_READY] * pool.made

    async def accounts() -> bool:
        status = await pool.status()
        return status.channels.ready == 1 and 0 < status.payers.made == status.payers.ready

    await wait_until(farmers, "the farmers have no accounts", seconds=120, poll=0.5)
    await wait_until(accounts, "payers and channels have no accounts", seconds=120, poll=0.5)
    for farmer in (pool.honest, pool.friends):
        await pool.give(farmer.address, 10 * KALE)
    times = [await pool.delay() for _ in range(3)]
    pool.alone = sorted(time or 0.0 for time in times)[1]

"""Orders that wallet did not write, by whoever has a database password: who is paid for them?

Each attack writes rows that wallet acts on, as far as the rights of a role go, and knows no key of
wallet. What the database does not refuse wallet must not carry out.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast
from uuid import UUID

import asyncpg
from kalepool.wallet.v1 import (
    custody_pb2,
    custody_pb2_grpc,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)
from stellar_sdk import Keypair
from stellar_sdk.exceptions import AccountNotFoundException
from stellar_sdk.soroban_server_async import SorobanServerAsync

from devstack.stack import Progress, Stack
from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
from libs.common.names import SERVICES
from trials.report import Table

Connection: TypeAlias = "asyncpg.Connection[Any]"

#: What the thief would like to have, in stroops.
LOOT = 777_000_000
_KALE = 10**7
#: Seconds in which wallet ends an order that it takes up.
_PATIENCE = 20.0
_EVERYTHING = custody_pb2.PauseReach(everything=True)
#: The whole rights on the database, in words.
ALL_RIGHTS = "all rights"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A farmer with a withdrawal that waits, and a thief."""

    #: The farmer's wallet, and the payer of its withdrawal.
    wallet_id: UUID
    payer_id: UUID
    #: The withdrawal's operation.
    withdrawal: UUID
    #: The thief's address.
    thief: str
    #: The connection by which the thief writes.
    thieves: Connection

    async def order(self, kind: str, wallet_id: UUID, **values: object) -> UUID:
        """Write an operation, as wallet would."""
        name = UUID(str(new_id()))
        columns = {"kind": kind, "wallet_id": wallet_id, "block_index": 0} | values
        await _insert(self.thieves, "wallet.operations", id=name, **columns)
        return name

    async def account(self, kind: str, **owner: object) -> UUID:
        """Write an account of the pool with the thief's address."""
        name = UUID(str(new_id()))
        row = {"id": name, "kind": kind, "address": self.thief, "status": "pending"} | owner
        await _insert(self.thieves, "wallet.wallets", **row)
        await _insert(self.thieves, "wallet.accounts", wallet_id=name)
        return name


async def a_channel_of_the_thief(scene: Scene) -> UUID:
    return await scene.order("open_channel", await scene.account("channel"))


async def a_payer_of_the_thief(scene: Scene) -> UUID:
    return await scene.order("open_payer", await scene.account("payer"))


async def a_top_up_of_the_thief(scene: Scene) -> UUID:
    account = await scene.account("channel")
    name = await scene.order("top_up", account, amount=LOOT, block_index=7)
    await _insert(scene.thieves, "wallet.payments", operation_id=name, payer_id=scene.payer_id)
    return name


async def a_farmer_of_the_thief(scene: Scene) -> UUID:
    owner = {"farmer_id": new_id(), "pooler_id": new_id()}
    return await scene.order("onboard", await scene.account("farmer", **owner))


async def a_withdrawal_of_the_thief(scene: Scene) -> UUID:
    await _insert(
        scene.thieves,
        "wallet.payout_addresses",
        wallet_id=scene.wallet_id,
        number=2,
        address=scene.thief,
        effective_at=await scene.thieves.fetchval("SELECT now() - interval '1 second'"),
    )
    name = await scene.order("withdraw", scene.wallet_id, amount=LOOT, block_index=9)
    await _insert(
        scene.thieves,
        "wallet.withdrawals",
        operation_id=name,
        wallet_id=scene.wallet_id,
        request_id="mine",
        asset="xlm",
        amount=LOOT,
        destination=scene.thief,
    )
    await _insert(scene.thieves, "wallet.payments", operation_id=name, payer_id=scene.payer_id)
    return name


async def another_amount(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.operations SET amount = $2 WHERE id = $1", scene.withdrawal, LOOT
    )
    return scene.withdrawal


async def a_withdrawal_of_another_kind(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.operations SET kind = 'top_up' WHERE id = $1", scene.withdrawal
    )
    return scene.withdrawal


async def a_stake_that_nobody_agreed_to(scene: Scene) -> UUID:
    block = await scene.thieves.fetchval("SELECT plantable_block FROM chain.head")
    return await scene.order("plant", scene.wallet_id, amount=9 * _KALE, block_index=block)


async def a_copied_authenticator(scene: Scene) -> UUID:
    """Write an order with the authenticator of a genuine one."""
    mac = await scene.thieves.fetchval(
        "SELECT mac FROM wallet.operations WHERE id = $1", scene.withdrawal
    )
    block = await scene.thieves.fetchval("SELECT plantable_block FROM chain.head")
    return await scene.order("plant", scene.wallet_id, amount=_KALE, block_index=block, mac=mac)


async def another_destination(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.withdrawals SET destination = $2 WHERE operation_id = $1",
        scene.withdrawal,
        scene.thief,
    )
    await scene.thieves.execute(
        "UPDATE wallet.payout_addresses SET address = $2 WHERE wallet_id = $1",
        scene.wallet_id,
        scene.thief,
    )
    return scene.withdrawal


async def a_farmer_of_another_pooler(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.wallets SET pooler_id = $2 WHERE id = $1", scene.wallet_id, new_id()
    )
    return scene.withdrawal


async def another_account_to_pay_from(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.operations SET wallet_id = (SELECT id FROM wallet.wallets "
        "WHERE kind = 'treasury') WHERE id = $1",
        scene.withdrawal,
    )
    return scene.withdrawal


#: An attack; returns the operation that wallet is to be made to carry out.
Attack: TypeAlias = Callable[[Scene], Awaitable[UUID]]
#: What wallet's own role may write, by its name.
BY_WALLET: Mapping[str, Attack] = {
    "a channel account with the thief's address": a_channel_of_the_thief,
    "a payer account with the thief's address": a_payer_of_the_thief,
    "a top-up of the thief's account": a_top_up_of_the_thief,
    "a farmer with the thief's address": a_farmer_of_the_thief,
    "a withdrawal to the thief": a_withdrawal_of_the_thief,
    "another amount of a withdrawal": another_amount,
    "a withdrawal that becomes a top-up": a_withdrawal_of_another_kind,
    "a plant with a stake that nobody agreed to": a_stake_that_nobody_agreed_to,
    "a plant with the authenticator of a withdrawal": a_copied_authenticator,
    "a withdrawal from the treasury": another_account_to_pay_from,
}
#: What somebody with all rights may write besides.
BY_ALL_RIGHTS: Mapping[str, Attack] = {
    "a withdrawal that becomes a top-up": a_withdrawal_of_another_kind,
    "a withdrawal from the treasury": another_account_to_pay_from,
    "another destination of a withdrawal": another_destination,
    "a farmer of another pooler": a_farmer_of_another_pooler,
}
_ALL = {**BY_WALLET, **BY_ALL_RIGHTS}


@dataclass(frozen=True, kw_only=True)
class Forged:
    """An order that wallet did not write, and what came of it."""

    #: What was written.
    name: str
    #: Whose rights wrote it.
    who: str
    #: What stopped it, in words.
    answer: str
    #: Whether the thief's account is on the chain: the pool pays for each account that it makes.
    is_paid: bool = False
    #: Whether wallet did what the order says.
    is_done: bool = False

    @property
    def failures(self) -> list[str]:
        """Return in words what must not be."""
        if self.is_paid or self.is_done:
            return [f"{self.name}, written with the rights of {self.who}, was carried out"]
        return []


async def forge_orders(stack: Stack, progress: Progress) -> list[Forged]:
    """Try every attack with the rights of every role; the pool must have farmed."""
    progress("orders that wallet did not write")
    async with _doors(stack) as doors:
        admin, wallet = stack.admin_dsn, stack.service_dsn("wallet")
        return [
            *await _refused(stack, doors),
            *[await _tried(stack, doors, name, "wallet", wallet) for name in BY_WALLET],
            *[await _tried(stack, doors, name, ALL_RIGHTS, admin) for name in BY_ALL_RIGHTS],
        ]


def table_of(found: Sequence[Forged]) -> Table:
    """Return what stopped each order, by whose rights it was written with."""
    answers = {(one.name, one.who): one.answer for one in found}
    who = (*SERVICES, ALL_RIGHTS)
    return Table(
        title="orders that wallet did not write, by whose rights, and what stopped them",
        columns=("order", *who),
        rows=[
            (name, *(answers.get((name, one), "") for one in who))
            for name in dict.fromkeys(one.name for one in found)
        ],
    )


@dataclass(frozen=True, kw_only=True)
class _Doors:
    """What an operator does and looks up meanwhile."""

    custody: "custody_pb2_grpc.CustodyServiceAsyncStub"
    withdrawals: "withdrawal_pb2_grpc.WithdrawalServiceAsyncStub"
    admin: Connection
    #: The farmer who withdraws.
    farmer_id: str


@asynccontextmanager
async def _doors(stack: Stack) -> AsyncIterator[_Doors]:
    async with open_channel(stack.target("wallet"), stack.operator(), name="wallet") as channel:
        admin = await asyncpg.connect(stack.admin_dsn)
        try:
            farmer = await admin.fetchval(_FARMER)
            if farmer is None:
                raise RuntimeError("no farmer has withdrawn")
            yield _Doors(
                custody=custody_pb2_grpc.CustodyServiceStub(channel),
                withdrawals=withdrawal_pb2_grpc.WithdrawalServiceStub(channel),
                admin=admin,
                farmer_id=str(farmer),
            )
        finally:
            await admin.close()


async def _refused(stack: Stack, doors: _Doors) -> list[Forged]:
    """Try every attack as each of the other services: the database has to refuse all of them."""
    found = []
    async with _waiting(doors) as scene:
        for service in (name for name in SERVICES if name != "wallet"):
            thieves = await asyncpg.connect(stack.service_dsn(service))
            try:
                for name, attack in _ALL.items():
                    found.append(
                        await _refusal(name, service, attack, replace(scene, thieves=thieves))
                    )
            finally:
                await thieves.close()
    return found


async def _refusal(name: str, who: str, attack: Attack, scene: Scene) -> Forged:
    try:
        await attack(scene)
    except asyncpg.InsufficientPrivilegeError:
        return Forged(name=name, who=who, answer="the database")
    return Forged(name=name, who=who, answer="nothing", is_done=True)


async def _tried(stack: Stack, doors: _Doors, name: str, who: str, dsn: str) -> Forged:
    """Attack beside a withdrawal that waits, and see what wallet does once it signs again."""
    attack = _ALL[name]
    thieves = await asyncpg.connect(dsn)
    addresses = await doors.admin.fetchval(_ADDRESSES, doors.farmer_id)
    try:
        async with _waiting(doors) as scene:
            try:
                forged = await attack(replace(scene, thieves=thieves))
            except (asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError):
                return Forged(name=name, who=who, answer="the database")
        state = await _end_of(doors.admin, forged)
    finally:
        await thieves.close()
        # No call changes addresses that wallet did not write: the next attack finds those before.
        await doors.admin.execute(_NO_ADDRESSES, doors.farmer_id)
        await doors.admin.execute(_PUT_ADDRESSES, addresses)
    is_paid = await exists(stack.rpc_url, scene.thief)
    if state is None:
        # All accounts of the kind are there, so wallet takes up no other one.
        return Forged(name=name, who=who, answer="not taken up", is_paid=is_paid)
    is_done = state != ("failed", "TAMPERED")
    return Forged(name=name, who=who, answer=state[1], is_paid=is_paid, is_done=is_done)


@asynccontextmanager
async def _waiting(doors: _Doors) -> AsyncIterator[Scene]:
    """Yield a withdrawal of a farmer that waits, as signing is paused while the block runs."""
    pause = custody_pb2.PauseSigningRequest(reach=_EVERYTHING, reason="forged orders")
    await doors.custody.PauseSigning(pause, timeout=30)
    request = withdrawal_pb2.WithdrawRequest(
        request_id=str(new_id()),
        farmer_id=doors.farmer_id,
        asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
        amount=1,
    )
    asked = asyncio.ensure_future(doors.withdrawals.Withdraw(request, timeout=60))
    try:
        row = await _recorded(doors.admin, request.request_id, asked)
        yield Scene(
            wallet_id=row["wallet_id"],
            payer_id=row["payer_id"],
            withdrawal=row["operation_id"],
            thief=Keypair.random().public_key,
            thieves=doors.admin,
        )
    finally:
        resume = custody_pb2.ResumeSigningRequest(reach=_EVERYTHING)
        await doors.custody.ResumeSigning(resume, timeout=30)
        await asyncio.wait([asked], timeout=_PATIENCE)
        asked.cancel()


async def _recorded(
    admin: Connection, request_id: str, asked: "asyncio.Future[Any]"
) -> "asyncpg.Record":
    for _ in range(int(_PATIENCE * 20)):
        row = await admin.fetchrow(_WITHDRAWAL, request_id)
        if row is not None:
            return cast("asyncpg.Record", row)
        if asked.done():
            asked.result()  # why it was refused
        await asyncio.sleep(0.05)
    raise TimeoutError("wallet did not record a withdrawal")


async def _end_of(admin: Connection, operation: UUID) -> tuple[str, str] | None:
    """Return state and reason of an order once it has ended; None when nobody takes it up."""
    for _ in range(int(_PATIENCE * 10)):
        row = await admin.fetchrow(_END, operation)
        if row is not None:
            return row["state"], row["reason"]
        await asyncio.sleep(0.1)
    return None


async def exists(rpc_url: str, address: str) -> bool:
    """Tell whether an account is on the chain: nobody but the pool pays for the thief's."""
    async with SorobanServerAsync(rpc_url) as rpc:
        try:
            await rpc.load_account(address)
        except AccountNotFoundException:
            return False
    return True


async def _insert(connection: Connection, table: str, **values: object) -> None:
    names = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await connection.execute(
        f"INSERT INTO {table} ({names}) VALUES ({places})",  # noqa: S608  (the trial's own words)
        *values.values(),
    )


#: The farmer who has withdrawn last: there is an address, and something left.
_ADDRESSES = """
SELECT coalesce(array_agg(a::text), '{}') FROM wallet.payout_addresses AS a
INNER JOIN wallet.wallets AS w ON w.id = a.wallet_id WHERE w.farmer_id = $1
"""
_NO_ADDRESSES = """
DELETE FROM wallet.payout_addresses AS a USING wallet.wallets AS w
WHERE w.id = a.wallet_id AND w.farmer_id = $1
"""
_PUT_ADDRESSES = """
INSERT INTO wallet.payout_addresses
SELECT (one::wallet.payout_addresses).* FROM unnest($1::text[]) AS one
"""
_FARMER = """
SELECT w.farmer_id FROM wallet.withdrawals AS d
INNER JOIN wallet.operations AS o ON d.operation_id = o.id
INNER JOIN wallet.wallets AS w ON d.wallet_id = w.id
WHERE o.state = 'succeeded'
ORDER BY o.settled_at DESC LIMIT 1
"""
_WITHDRAWAL = """
SELECT d.operation_id, d.wallet_id, p.payer_id FROM wallet.withdrawals AS d
INNER JOIN wallet.payments AS p ON d.operation_id = p.operation_id
WHERE d.request_id = $1
"""
_END = """
SELECT state::text, coalesce(reason, '') AS reason FROM wallet.operations
WHERE id = $1 AND settled_at IS NOT NULL
"""

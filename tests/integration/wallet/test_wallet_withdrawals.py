"""Withdrawals: to the registered address alone, once per request, within the limits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import asyncpg
import grpc
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import (
    custody_pb2,
    custody_pb2_grpc,
    wallet_pb2,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)
from stellar_sdk import Keypair
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.db.pool import Database, Session
from libs.common.grpc.client import open_channel
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.errors import (
    PayoutAddressDiffersError,
    PayoutAddressMissingError,
    PayoutAddressTamperedError,
    RequestIdReusedError,
    SigningPausedError,
    WithdrawalLimitError,
)
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.domain.withdrawals import Asset, DailyLimit, NewWithdrawal, PayoutAddresses
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.custody import CustodyStore
from services.wallet.store.transactions import TransactionStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from tests.support.database import Connection, DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.payers import Outside, payer
from tests.support.wallet_world import WalletWorld, eventually

KALE = 10**7
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
FAILED = wallet_pb2.OPERATION_STATE_FAILED
LIMIT = DailyLimit(farmer=100, pool=150)
OUTSIDE, OTHER = Keypair.random().public_key, Keypair.random().public_key
PROVIDER = LocalKeyProvider(bytes(32))


# The store ------------------------------------------------------------------------------------


async def farmer(pool: Database, *, payout_address: str = OUTSIDE) -> WalletId:
    """The wallet of a new farmer."""
    sealed = await seal_new_key(PROVIDER, WalletId(new_id()))
    await WalletStore(pool, ORDERS).insert_farmer(
        sealed,
        farmer_id=FarmerId(new_id()),
        pooler_id=PoolerId(new_id()),
        onboarding_id=OperationId(new_id()),
        payout_address=payout_address,
    )
    return sealed.wallet_id


async def sign_addresses(admin: Connection) -> None:
    """Make all addresses wallet's own, as if their moments had been these."""
    for row in await admin.fetch(
        "SELECT wallet_id, number, address, registered_at, effective_at"
        " FROM wallet.payout_addresses"
    ):
        await admin.execute(
            "UPDATE wallet.payout_addresses SET mac = $3 WHERE wallet_id = $1 AND number = $2",
            row["wallet_id"],
            row["number"],
            ORDERS.for_payout_address(**dict(row)),
        )


def wish(wallet_id: WalletId, request_id: str, amount: int = 40) -> NewWithdrawal:
    return NewWithdrawal(
        id=OperationId(new_id()),
        request_id=request_id,
        wallet_id=wallet_id,
        asset=Asset.KALE,
        amount=amount,
        actor="me",
    )


async def test_the_address_of_the_registration_counts_at_once(pool: Database) -> None:
    found = await WithdrawalStore(pool, ORDERS).addresses(await farmer(pool))
    assert found == PayoutAddresses(address=OUTSIDE, pending=None, pending_at=None)


async def test_an_address_that_was_taken_away_stops_withdrawals(
    pool: Database, database: DatabaseAccess
) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    await store.set_address(wallet_id, OTHER, cooling=0, actor="me")
    await store.record(wish(wallet_id, "one"), LIMIT)
    async with connect(database.admin_dsn) as admin:
        gone = "DELETE FROM wallet.payout_addresses WHERE wallet_id = $1 AND number = 2"
        await admin.execute(gone, wallet_id)
    with pytest.raises(PayoutAddressTamperedError):
        await store.record(wish(wallet_id, "two"), LIMIT)
    # Whom the farmer belongs to says anew where its money goes.
    await store.set_address(wallet_id, OTHER, cooling=0, actor="me")
    made = await store.record(wish(wallet_id, "two"), LIMIT)
    found = await store.by_id(made)
    assert found is not None
    assert found.destination == OTHER


async def test_the_last_address_that_was_taken_away_is_not_no_address(
    pool: Database, database: DatabaseAccess
) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    async with connect(database.admin_dsn) as admin:
        await admin.execute("DELETE FROM wallet.payout_addresses WHERE wallet_id = $1", wallet_id)
    with pytest.raises(PayoutAddressTamperedError):
        await store.record(wish(wallet_id, "one"), LIMIT)
    none = await farmer(pool, payout_address="")
    with pytest.raises(PayoutAddressMissingError):
        await store.record(wish(none, "one"), LIMIT)


async def test_a_withdrawal_goes_where_its_giver_expects_or_nowhere(pool: Database) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    expects_other = replace(wish(wallet_id, "one"), destination=OTHER)
    with pytest.raises(PayoutAddressDiffersError, match="destination") as caught:
        await store.record(expects_other, LIMIT)
    assert caught.value.metadata == {"expected": OTHER, "found": OUTSIDE}
    made = await store.record(replace(wish(wallet_id, "one"), destination=OUTSIDE), LIMIT)
    assert made != expects_other.id
    found = await store.by_id(made)
    assert found is not None
    assert found.destination == OUTSIDE
    # A repeat stands for the one that was made, whatever counts by now.
    assert await store.record(expects_other, LIMIT) == made


async def test_a_changed_address_counts_after_the_cooling_time(pool: Database) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    moment = await store.set_address(wallet_id, OTHER, cooling=3, actor="me")
    waiting = PayoutAddresses(address=OUTSIDE, pending=OTHER, pending_at=moment)
    assert await store.addresses(wallet_id) == waiting
    await asyncio.sleep((moment - datetime.now(UTC)).total_seconds() + 0.1)
    assert (await store.addresses(wallet_id)).address == OTHER


async def test_an_address_that_is_replaced_while_it_cools_never_counts(pool: Database) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    await store.set_address(wallet_id, OTHER, cooling=2, actor="me")
    await store.set_address(wallet_id, OUTSIDE, cooling=60, actor="me")
    await asyncio.sleep(2.1)
    found = await store.addresses(wallet_id)
    assert found == PayoutAddresses(address=OUTSIDE, pending=None, pending_at=None)


async def test_repeating_the_newest_address_does_not_begin_again(pool: Database) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    first = await store.set_address(wallet_id, OTHER, cooling=60, actor="me")
    assert await store.set_address(wallet_id, OTHER, cooling=60, actor="me") == first


async def test_no_address_stops_withdrawals_at_once(pool: Database) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    await store.set_address(wallet_id, "", cooling=60, actor="me")
    with pytest.raises(PayoutAddressMissingError):
        await store.record(wish(wallet_id, "one"), LIMIT)
    await store.set_address(wallet_id, OUTSIDE, cooling=60, actor="me")
    with pytest.raises(PayoutAddressMissingError, match="counts from"):
        await store.record(wish(wallet_id, "one"), LIMIT)


@dataclass(frozen=True, kw_only=True)
class Late:
    """A process that is held up between the beginning of its transactions and what they do."""

    database: Database
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Begins at once; goes on when it may."""
        async with self.database.transaction() as session:
            await session.connection.fetchval("SELECT now()")
            self.begun.set()
            await self.may_go_on.wait()
            yield session

    def store(self) -> WithdrawalStore:
        """Its store."""
        return WithdrawalStore(cast("Database", self), ORDERS)


async def test_no_address_stops_what_began_before_it(pool: Database) -> None:
    late, wallet_id = Late(database=pool), await farmer(pool)
    waiting = asyncio.create_task(late.store().record(wish(wallet_id, "one"), LIMIT))
    await late.begun.wait()
    await WithdrawalStore(pool, ORDERS).set_address(wallet_id, "", cooling=60, actor="me")
    late.may_go_on.set()
    with pytest.raises(PayoutAddressMissingError):
        await waiting


async def test_no_address_is_not_undone_by_a_change_that_began_before_it(pool: Database) -> None:
    late, wallet_id = Late(database=pool), await farmer(pool)
    changing = late.store().set_address(wallet_id, OTHER, cooling=60, actor="me")
    waiting = asyncio.create_task(changing)
    await late.begun.wait()
    store = WithdrawalStore(pool, ORDERS)
    await store.set_address(wallet_id, "", cooling=60, actor="me")
    late.may_go_on.set()
    moment = await waiting
    found = await store.addresses(wallet_id)
    assert found == PayoutAddresses(address="", pending=OTHER, pending_at=moment)


async def test_no_address_stops_withdrawals_when_the_clock_was_set_back(
    pool: Database, database: DatabaseAccess
) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    async with connect(database.admin_dsn) as admin:
        await admin.execute(
            "UPDATE wallet.payout_addresses SET registered_at = now() + interval '1 hour',"
            " effective_at = now() + interval '1 hour'"
        )
        await sign_addresses(admin)
    await store.set_address(wallet_id, "", cooling=60, actor="me")
    assert (await store.addresses(wallet_id)).address == ""
    await store.set_address(wallet_id, OTHER, cooling=60, actor="me")
    assert (await store.addresses(wallet_id)).address == ""


async def test_the_address_of_the_registration_is_in_the_audit_log(pool: Database) -> None:
    wallet_id = await farmer(pool)
    records = await CustodyStore(pool, ORDERS).latest(before=None, action=None, limit=10)
    assert [(item.action, item.subject) for item in records] == [
        ("set_payout_address", f"wallet {wallet_id}"),
        ("create_wallet", f"wallet {wallet_id}"),
    ]
    assert OUTSIDE in records[0].details


async def test_nothing_is_signed_once_there_is_no_address(
    pool: Database, database: DatabaseAccess
) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    waiting = await store.record(wish(wallet_id, "one"), LIMIT)
    async with pool.session() as session:
        assert await session.many("lock_signable", [waiting], ["queued"])
        for address in ("", OTHER, OUTSIDE):  # the last two are to come
            await store.set_address(wallet_id, address, cooling=60, actor="me")
            assert not await session.many("lock_signable", [waiting], ["queued"])


async def test_what_waits_does_not_go_to_an_address_that_was_replaced(
    pool: Database, database: DatabaseAccess
) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    waiting, transactions = (
        await store.record(wish(wallet_id, "one"), LIMIT),
        TransactionStore(pool, ORDERS),
    )
    await store.set_address(wallet_id, OTHER, cooling=60, actor="me")
    assert not (await transactions.payment_orders([waiting]))[waiting].is_stopped
    async with connect(database.admin_dsn) as admin:
        # As if a pause had lasted for a day.
        await admin.execute(
            "UPDATE wallet.payout_addresses SET registered_at = registered_at - interval '1 day',"
            " effective_at = effective_at - interval '1 day'"
        )
        await sign_addresses(admin)
    assert (await store.addresses(wallet_id)).address == OTHER
    assert (await transactions.payment_orders([waiting]))[waiting].is_stopped
    async with pool.session() as session:
        assert not await session.many("lock_signable", [waiting], ["queued"])


async def test_what_waits_is_paid_though_the_clock_was_set_back(
    pool: Database, database: DatabaseAccess
) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    waiting = await store.record(wish(wallet_id, "one"), LIMIT)
    async with connect(database.admin_dsn) as admin:
        await admin.execute(
            "UPDATE wallet.payout_addresses SET registered_at = registered_at + interval '1 hour',"
            " effective_at = effective_at + interval '1 hour 1 ms'"
        )
        assert (await TransactionStore(pool, ORDERS).payment_orders([waiting]))[waiting].is_stopped
        await admin.execute("UPDATE wallet.withdrawals SET requested_at = now() + interval '2 h'")
    assert not (await TransactionStore(pool, ORDERS).payment_orders([waiting]))[waiting].is_stopped
    async with pool.session() as session:
        assert await session.many("lock_signable", [waiting], ["queued"])


async def test_one_request_is_one_withdrawal_however_often_it_comes(pool: Database) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    found = await asyncio.gather(*(store.record(wish(wallet_id, "one"), LIMIT) for _ in range(8)))
    assert len(set(found)) == 1
    with pytest.raises(RequestIdReusedError):
        await store.record(wish(wallet_id, "one", 41), LIMIT)
    assert await store.record(wish(wallet_id, "two"), LIMIT) not in found


@pytest.mark.parametrize("scope", [Scope.POOLER, Scope.WALLET, Scope.EVERYTHING])
async def test_whom_an_operator_has_stopped_does_not_use_up_the_pools_limit(
    pool: Database, database: DatabaseAccess, scope: Scope
) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    known = await store.record(wish(wallet_id, "before"), LIMIT)
    async with connect(database.admin_dsn) as admin:
        pooler: UUID = await admin.fetchval(
            "SELECT pooler_id FROM wallet.wallets WHERE id = $1", wallet_id
        )
    targets = {Scope.POOLER: pooler, Scope.WALLET: wallet_id, Scope.EVERYTHING: None}
    reach = Reach(scope=scope, target=targets[scope])
    await CustodyStore(pool, ORDERS).pause(reach, reason="a test", actor="ann")
    if scope is Scope.EVERYTHING:
        assert await store.record(wish(wallet_id, "meanwhile"), LIMIT) != known
    else:
        with pytest.raises(SigningPausedError):
            await store.record(wish(wallet_id, "meanwhile"), LIMIT)
    assert await store.record(wish(wallet_id, "before"), LIMIT) == known
    assert await store.record(wish(await farmer(pool), "of another"), LIMIT) != known


async def test_limits_hold_for_requests_that_come_at_once(pool: Database) -> None:
    store, first, second = WithdrawalStore(pool, ORDERS), await farmer(pool), await farmer(pool)

    async def ask(wallet_id: WalletId, number: int) -> bool:
        try:
            await store.record(wish(wallet_id, str(number)), LIMIT)
        except WithdrawalLimitError:
            return False
        return True

    taken = await asyncio.gather(*(ask(first, number) for number in range(6)))
    assert sum(taken) == 2  # 80 of 100
    taken = await asyncio.gather(*(ask(second, number) for number in range(6)))
    assert sum(taken) == 1  # 120 of 150
    with pytest.raises(WithdrawalLimitError) as caught:
        await store.record(wish(second, "more", 31), LIMIT)
    assert caught.value.metadata == {"limit": "150", "used": "120", "of": "pool"}


async def test_limits_hold_whatever_the_database_is_set_to(
    pool: Database, database: DatabaseAccess
) -> None:
    async with connect(database.admin_dsn) as admin:
        name = await admin.fetchval("SELECT current_database()")
        for setting in (
            "default_transaction_isolation = 'repeatable read'",
            "synchronous_commit = off",
        ):
            await admin.execute(f'ALTER DATABASE "{name}" SET {setting}')
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    wishes = [store.record(wish(wallet_id, str(number)), LIMIT) for number in range(8)]
    found = await asyncio.gather(*wishes, return_exceptions=True)
    assert sum(isinstance(item, WithdrawalLimitError) for item in found) == 6
    assert sum(isinstance(item, UUID) for item in found) == 2
    async with pool.session() as session:
        # What is committed before it is sent has to survive the server's end.
        assert await session.connection.fetchval("SHOW synchronous_commit") == "on"


async def test_what_was_given_up_does_not_count(pool: Database, database: DatabaseAccess) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    given_up = await store.record(wish(wallet_id, "one", 100), LIMIT)
    async with connect(database.admin_dsn) as admin:
        await admin.execute(
            """UPDATE wallet.operations
            SET state = 'failed', settled_at = now(), reason = 'REFUSED' WHERE id = $1""",
            given_up,
        )
    await store.record(wish(wallet_id, "two", 100), LIMIT)


async def settle(database: DatabaseAccess, withdrawal_id: OperationId, *, hours_ago: int) -> None:
    """A withdrawal was asked for two days ago, and left so many hours ago."""
    async with connect(database.admin_dsn) as admin:
        await admin.execute(
            "UPDATE wallet.withdrawals SET requested_at = now() - interval '2 days'"
            " WHERE operation_id = $1",
            withdrawal_id,
        )
        # Nobody else dates an end back.
        await admin.execute("SET session_replication_role = replica")
        await admin.execute(
            "UPDATE wallet.operations SET state = 'succeeded',"
            " settled_at = now() - make_interval(hours => $2) WHERE id = $1",
            withdrawal_id,
            hours_ago,
        )


async def test_yesterday_does_not_count(pool: Database, database: DatabaseAccess) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    await settle(database, await store.record(wish(wallet_id, "one", 100), LIMIT), hours_ago=24)
    await store.record(wish(wallet_id, "two", 100), LIMIT)


async def test_what_left_today_counts_whenever_it_was_asked_for(
    pool: Database, database: DatabaseAccess
) -> None:
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    await settle(database, await store.record(wish(wallet_id, "one", 100), LIMIT), hours_ago=23)
    with pytest.raises(WithdrawalLimitError):
        await store.record(wish(wallet_id, "two", 1), LIMIT)


async def test_days_of_a_pause_do_not_add_up(pool: Database, database: DatabaseAccess) -> None:
    """What waits leaves at once when signing is resumed: no more than may leave within a day."""
    store, wallet_id = WithdrawalStore(pool, ORDERS), await farmer(pool)
    await store.record(wish(wallet_id, "one", 100), LIMIT)
    async with connect(database.admin_dsn) as admin:
        await admin.execute("UPDATE wallet.withdrawals SET requested_at = now() - interval '1 day'")
    with pytest.raises(WithdrawalLimitError):
        await store.record(wish(wallet_id, "two", 100), LIMIT)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wallet.payout_addresses SET effective_at = now()",
        "DELETE FROM wallet.payout_addresses",
        "UPDATE wallet.withdrawals SET destination = ''",
        "DELETE FROM wallet.withdrawals",
    ],
)
async def test_history_cannot_be_changed(database: DatabaseAccess, statement: str) -> None:
    async with connect(database.dsn("wallet")) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


# The whole way --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def outside(world: WalletWorld) -> AsyncIterator[Outside]:
    """Accounts that are not the pool's, as many as a test wants."""
    async with SorobanServerAsync(world.rpc_url) as rpc:
        yield Outside(world, rpc)


async def test_kale_goes_to_the_payout_address_once(world: WalletWorld, outside: Outside) -> None:
    destination = await outside.account()
    farmer_of = await payer(world, destination)
    paid = await farmer_of.withdraw("first", 4 * KALE)
    assert paid.operation.state == SUCCEEDED
    assert (paid.destination, paid.amount, paid.asset) == (
        destination,
        4 * KALE,
        withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
    )
    assert 0 < paid.operation.fee_charged <= 1_000_000
    assert paid.operation.amount == 0  # which would be KALE's, whatever was sent
    assert await farmer_of.withdraw("first", 4 * KALE) == paid
    assert await outside.kale(destination) == 4 * KALE
    assert (await world.balances([farmer_of.farmer_id]))[
        farmer_of.farmer_id
    ].kale_stroops == 6 * KALE
    async with connect(world.database.admin_dsn) as admin:
        told = await admin.fetch(
            "SELECT kind, facts ->> 'transactionHash' AS hash FROM wallet.notices "
            "WHERE facts ->> 'withdrawalId' = $1",
            paid.operation.operation_id,
        )
    assert [tuple(row) for row in told] == [("payout.made", paid.operation.transaction_hash)]


async def test_many_at_once_each_get_their_own(world: WalletWorld, outside: Outside) -> None:
    destinations = [await outside.account() for _ in range(3)]
    payers = [await payer(world, destination) for destination in destinations]
    wishes = [(item, f"wish {number}") for item in payers for number in range(4)]
    done = await asyncio.gather(*(item.withdraw(name, KALE) for item, name in wishes))
    assert {item.operation.state for item in done} == {SUCCEEDED}
    assert [await outside.kale(item) for item in destinations] == [4 * KALE] * 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (None, common_pb2.FAILURE_REASON_DESTINATION_MISSING),
        ({"trustline": False}, common_pb2.FAILURE_REASON_DESTINATION_REFUSES),
        ({"memo": True}, common_pb2.FAILURE_REASON_MEMO_REQUIRED),
    ],
)
async def test_a_destination_that_cannot_take_it_costs_nothing(
    world: WalletWorld,
    outside: Outside,
    options: dict[str, Any] | None,
    reason: common_pb2.FailureReason.ValueType,
) -> None:
    nobody = Keypair.random().public_key
    destination = nobody if options is None else await outside.account(**options)
    refused = await (await payer(world, destination)).withdraw("one", KALE)
    assert refused.operation.state == FAILED
    assert (refused.operation.reason, refused.operation.fee_charged) == (reason, 0)


async def test_no_address_stops_what_waits(world: WalletWorld, outside: Outside) -> None:
    destination = await outside.account()
    farmer_of = await payer(world, destination)
    reach = custody_pb2.PauseReach(everything=True)
    none = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer_of.farmer_id)
    other = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer_of.farmer_id, address=OTHER)
    own = withdrawal_pb2.ListWithdrawalsRequest(farmer_id=farmer_of.farmer_id)
    async with open_channel(world.target) as channel:
        custody = custody_pb2_grpc.CustodyServiceStub(channel)
        addresses = withdrawal_pb2_grpc.WithdrawalServiceStub(channel)
        await custody.PauseSigning(custody_pb2.PauseSigningRequest(reach=reach, reason="a test"))
        waiting = asyncio.create_task(farmer_of.withdraw("one", KALE))

        async def waits() -> bool:
            return bool((await addresses.ListWithdrawals(own)).withdrawals)

        await eventually(waits, "nothing waits", world.wallet)
        await addresses.SetPayoutAddress(none)
        await addresses.SetPayoutAddress(other)  # one that is to come does not let it go on
        await custody.ResumeSigning(custody_pb2.ResumeSigningRequest(reach=reach))
    stopped = await waiting
    assert (stopped.operation.state, stopped.operation.reason) == (
        FAILED,
        common_pb2.FAILURE_REASON_REFUSED,
    )
    assert await outside.kale(destination) == 0


async def test_bad_input_names_every_field(world: WalletWorld) -> None:
    async with open_channel(world.target) as channel:
        stub = withdrawal_pb2_grpc.WithdrawalServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Withdraw(
                withdrawal_pb2.WithdrawRequest(farmer_id="x", asset=cast("Any", 9), amount=-1)
            )
        details = caught.value.details() or ""
        for field in ("request_id", "farmer_id", "asset", "amount"):
            assert field in details
        with pytest.raises(grpc.aio.AioRpcError, match="payout address"):
            request = withdrawal_pb2.WithdrawRequest(
                request_id="one",
                farmer_id=(await one_farmer(world)),
                asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
                amount=1,
            )
            await stub.Withdraw(request)
        request.ClearField("asset")
        with pytest.raises(grpc.aio.AioRpcError, match="asset is required"):
            await stub.Withdraw(request)


async def one_farmer(world: WalletWorld) -> str:
    """A farmer without a payout address."""
    (farmer_id,) = await world.create_farmers(1)
    return farmer_id

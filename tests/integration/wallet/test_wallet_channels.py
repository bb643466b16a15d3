"""Channel accounts: leased to one at a time, made no more than wanted, topped up once."""

import asyncio

from libs.common.db.pool import Database
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import SealedKey, seal_new_key
from services.wallet.store.channels import ChannelStore
from services.wallet.store.custody import CustodyStore
from services.wallet.store.wallets import WalletStore
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS

PROVIDER = LocalKeyProvider(bytes(32))
XLM = 10_000_000


async def keys(count: int) -> list[tuple[SealedKey, OperationId]]:
    """Fresh keys with the names of the operations that open their accounts."""
    return [
        (await seal_new_key(PROVIDER, WalletId(new_id())), OperationId(new_id()))
        for _ in range(count)
    ]


async def ready(pool: Database, *balances: int) -> list[WalletId]:
    """Channels that exist on the chain with these stroops of XLM."""
    made = await keys(len(balances))
    assert await ChannelStore(pool, ORDERS).insert(made, most=100) == len(balances)
    states = {
        sealed.wallet_id: AccountState(address=sealed.address, exists=True, xlm=xlm, sequence=1)
        for (sealed, _), xlm in zip(made, balances, strict=True)
    }
    await WalletStore(pool, ORDERS).save_accounts(states, 50)
    return [sealed.wallet_id for sealed, _ in made]


async def test_processes_together_make_no_more_than_wanted(pool: Database) -> None:
    store = ChannelStore(pool, ORDERS)
    fresh = [await keys(4) for _ in range(3)]
    made = await asyncio.gather(*(store.insert(item, most=6) for item in fresh))
    assert sum(made) == 6
    assert (await store.totals(low=0)).made == 6


async def test_every_key_is_in_the_audit_log(pool: Database) -> None:
    made = await keys(2)
    await ChannelStore(pool, ORDERS).insert(made, most=1)
    (record,) = await CustodyStore(pool, ORDERS).latest(
        before=None, action="create_wallet", limit=10
    )
    (sealed, _), _ = made
    assert (record.subject, record.details) == (
        f"wallet {sealed.wallet_id}",
        f"channel {sealed.address}",
    )


async def test_a_channel_is_leased_to_one(pool: Database) -> None:
    wallets = await ready(pool, *[5 * XLM] * 6)
    store = ChannelStore(pool, ORDERS)
    leases = await asyncio.gather(*(store.lease(4, seconds=60) for _ in range(3)))
    leased = [item.wallet_id for lease in leases for item in lease]
    leased += [item.wallet_id for item in await store.lease(99, seconds=60)]
    assert sorted(leased) == sorted(wallets)
    assert await store.lease(99, seconds=60) == []


async def test_a_lease_ends_by_itself(pool: Database) -> None:
    await ready(pool, 5 * XLM)
    store = ChannelStore(pool, ORDERS)
    assert len(await store.lease(1, seconds=0)) == 1
    assert len(await store.lease(1, seconds=60)) == 1


async def test_what_was_given_back_is_leased_again(pool: Database) -> None:
    await ready(pool, 5 * XLM, 5 * XLM)
    store = ChannelStore(pool, ORDERS)
    first, second = await store.lease(2, seconds=60)
    await store.give_back([second])
    (again,) = await store.lease(2, seconds=60)
    assert (again.wallet_id, again.address) == (second.wallet_id, second.address)
    assert again.wallet_id != first.wallet_id


async def test_a_lease_that_ran_out_takes_nothing_from_who_has_it_now(pool: Database) -> None:
    await ready(pool, 5 * XLM)
    store = ChannelStore(pool, ORDERS)
    late = await store.lease(1, seconds=0)
    (now,) = await store.lease(1, seconds=60)
    await store.give_back(late)
    assert await store.lease(1, seconds=60) == []
    await store.give_back([now])
    assert len(await store.lease(1, seconds=60)) == 1


async def test_a_lease_of_a_clock_that_was_set_back_is_not_waited_for(
    pool: Database, database: DatabaseAccess
) -> None:
    await ready(pool, 5 * XLM)
    store = ChannelStore(pool, ORDERS)
    assert len(await store.lease(1, seconds=60)) == 1
    assert await store.lease(1, seconds=60) == []
    async with connect(database.admin_dsn) as admin:
        await admin.execute("UPDATE wallet.wallets SET leased_until = leased_until + '1 hour'")
    assert len(await store.lease(1, seconds=60)) == 1


async def test_who_cannot_pay_is_not_leased(pool: Database) -> None:
    """What an account must keep is no money for fees."""
    await ready(pool, XLM, 15_000_000)
    assert await ChannelStore(pool, ORDERS).lease(9, seconds=60) == []


async def test_a_poor_channel_is_topped_up_once(pool: Database, database: DatabaseAccess) -> None:
    poor, *_ = await ready(pool, XLM, 5 * XLM)
    store = ChannelStore(pool, ORDERS)
    queued = []
    for again in range(3):
        wanted = {
            wallet_id: OperationId(new_id())
            for wallet_id in await store.poor(below=2 * XLM, limit=5)
        }
        top_ups = await store.queue_top_ups(
            wanted, amount=3 * XLM, ledger=50 + again, budget=100 * XLM
        )
        queued.append(top_ups.queued)
    assert queued == [1, 0, 0]
    totals = await store.totals(low=2 * XLM)
    assert (totals.low, totals.ready, totals.xlm) == (1, 2, 6 * XLM)
    async with connect(database.admin_dsn) as admin:
        rows = await admin.fetch("SELECT * FROM wallet.operations WHERE kind = 'top_up'")
    assert [(row["wallet_id"], row["amount"]) for row in rows] == [(poor, 3 * XLM)]
    (record,) = await CustodyStore(pool, ORDERS).latest(before=None, action="top_up", limit=9)
    assert (record.subject, record.details) == (
        f"wallet {poor}",
        f"{3 * XLM} stroops of XLM, {rows[0]['id']}",
    )

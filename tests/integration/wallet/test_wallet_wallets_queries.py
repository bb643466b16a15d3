"""The queries of wallets, keys and accounts: what each takes, what it leaves, in which order."""

from typing import Any
from uuid import UUID

import pytest

from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.keys.seal import SealedKey
from services.wallet.store.wallets import WalletStore
from tests.support.orders import ORDERS
from tests.support.table_rows import store_backwards
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows

ALL = 99


def sealed(address: str) -> SealedKey:
    """A key that nobody can open."""
    return SealedKey(
        wallet_id=WalletId(new_id()),
        address=address,
        kek_id="kek",
        wrapped_data_key=address.encode(),
        nonce=bytes(12),
        sealed_seed=b"seed",
    )


async def insert_farmer(
    rows: WalletRows, address: str, *, farmer: FarmerId | None = None, payout: str = ""
) -> WalletId | None:
    """A farmer's wallet; None when there is one."""
    key = sealed(address)
    made = await WalletStore(rows.pool, ORDERS).insert_farmer(
        key,
        farmer_id=farmer or FarmerId(new_id()),
        pooler_id=PoolerId(new_id()),
        onboarding_id=OperationId(new_id()),
        payout_address=payout,
    )
    return key.wallet_id if made else None


# Making ----------------------------------------------------------------------------------------


async def test_a_farmers_wallet_is_to_be_onboarded_and_the_treasury_is_not(
    rows: WalletRows,
) -> None:
    farmer = FarmerId(new_id())
    wallet_id = await insert_farmer(rows, "G1", farmer=farmer)
    assert wallet_id is not None
    assert await insert_farmer(rows, "G2", farmer=farmer) is None
    assert await WalletStore(rows.pool, ORDERS).insert_treasury(sealed("G3"))
    assert not await WalletStore(rows.pool, ORDERS).insert_treasury(sealed("G4"))
    found = await rows.connection.fetch(
        "SELECT wallet_id, kind, block_index, state FROM wallet.operations"
    )
    assert [tuple(row) for row in found] == [(wallet_id, "onboard", 0, "queued")]


async def test_a_payout_address_that_is_given_is_the_first(rows: WalletRows) -> None:
    assert await insert_farmer(rows, "G1") is not None
    wallet_id = await insert_farmer(rows, "G2", payout="GOUT")
    found = await rows.connection.fetch(
        "SELECT wallet_id, number, address FROM wallet.payout_addresses"
    )
    assert [tuple(row) for row in found] == [(wallet_id, 1, "GOUT")]


# Reading ---------------------------------------------------------------------------------------


async def test_a_wallet_is_found_by_id_farmer_and_address(rows: WalletRows) -> None:
    store = WalletStore(rows.pool, ORDERS)
    farmers, treasury = [await rows.wallet() for _ in range(2)], await rows.wallet("treasury")
    for row in farmers:
        found = await store.by_id(row.id)
        assert found is not None
        assert (found.id, found.address, found.farmer_id) == (row.id, row.address, row.farmer_id)
        assert await store.by_farmer(row.owner) == found
        assert await store.by_address(row.address) == found
        assert await store.of_farmers([row.owner]) == {row.farmer_id: found}
        assert await store.ids_of_farmers([row.owner]) == {row.farmer_id: found.id}
    found = await store.by_id(treasury.id)
    assert found is not None
    assert found.address == treasury.address
    assert await store.treasury() == found
    # It belongs to no farmer.
    assert await store.by_address(treasury.address) is None
    unknown = new_id()
    assert await store.by_id(WalletId(unknown)) is None
    assert await store.by_farmer(FarmerId(unknown)) is None
    assert await store.by_address("GNOBODY") is None


async def test_there_is_no_treasury_among_other_wallets(rows: WalletRows) -> None:
    for kind in ("farmer", "channel", "payer"):
        await rows.wallet(kind)
    assert await WalletStore(rows.pool, ORDERS).treasury() is None


async def test_farmers_wallets_are_listed_by_pooler_and_id_a_page_at_a_time(
    rows: WalletRows,
) -> None:
    pooler = PoolerId(new_id())
    ids = sorted([(await rows.wallet(pooler=pooler)).id for _ in range(3)])
    strange = await rows.wallet()
    await rows.wallet("treasury")
    everybody = sorted([*ids, strange.id])
    for table, column in (("wallet.wallets", "id"), ("wallet.accounts", "wallet_id")):
        await store_backwards(rows.connection, table, everybody, column=column)

    async def listed(
        owner: PoolerId | None = None, after: UUID | None = None, limit: int = ALL
    ) -> list[UUID]:
        found = await WalletStore(rows.pool, ORDERS).page(pooler_id=owner, after=after, limit=limit)
        return [wallet.id for wallet in found]

    assert await listed() == everybody
    assert await listed(pooler) == ids
    assert await listed(strange.pooler_id) == [strange.id]
    assert await listed(after=everybody[1]) == everybody[2:]
    assert await listed(pooler, after=ids[0]) == ids[1:]
    assert await listed(limit=2) == everybody[:2]


async def test_addresses_of_all_wallets_come_by_id_a_page_at_a_time(rows: WalletRows) -> None:
    kinds = ("farmer", "farmer", "treasury")
    wallets = sorted([await rows.wallet(kind) for kind in kinds], key=lambda row: row.id)
    await store_backwards(rows.connection, "wallet.wallets", [row.id for row in wallets])
    everything = [(row.id, row.address) for row in wallets]
    store = WalletStore(rows.pool, ORDERS)
    assert await store.addresses_after(None, ALL) == everything
    assert await store.addresses_after(None, 2) == everything[:2]
    assert await store.addresses_after(wallets[0].id, ALL) == everything[1:]


async def test_keys_come_with_their_own_addresses(rows: WalletRows) -> None:
    made = {await insert_farmer(rows, name): name for name in ("G1", "G2", "G3")}
    asked = [wallet_id for wallet_id in made if wallet_id is not None][:2]
    found = await WalletStore(rows.pool, ORDERS).sealed_keys(asked)
    told = {wallet_id: (key.address, key.wrapped_data_key) for wallet_id, key in found.items()}
    assert told == {one: (made[one], made[one].encode()) for one in asked}


# Accounts --------------------------------------------------------------------------------------


async def save(rows: WalletRows, ledger: int, states: dict[WalletId, dict[str, Any]]) -> None:
    """What a node has told of accounts that exist, unless it says something else."""
    await WalletStore(rows.pool, ORDERS).save_accounts(
        {
            wallet_id: AccountState(**{"address": "", "exists": True, **values})
            for wallet_id, values in states.items()
        },
        ledger,
    )


async def kept(rows: WalletRows, wallet: WalletRow) -> tuple[int, int]:
    """The KALE of a wallet, and the ledger of which it is."""
    found = await WalletStore(rows.pool, ORDERS).by_id(wallet.id)
    assert found is not None
    return found.balances.kale, found.balances.ledger


async def test_each_account_is_saved_for_its_own_wallet(rows: WalletRows) -> None:
    one, two, other = [await rows.wallet() for _ in range(3)]
    await save(rows, LEDGER, {one.id: {"kale": 1}, two.id: {"kale": 2}})
    assert [await kept(rows, item) for item in (one, two, other)] == [
        (1, LEDGER),
        (2, LEDGER),
        (0, 0),
    ]


@pytest.mark.parametrize(
    ("ledger", "is_saved"),
    [
        (LEDGER - 65, True),  # what is kept is of a node that lied about the height
        (LEDGER - 64, False),
        (LEDGER - 1, False),
        (LEDGER, True),
        (LEDGER + 1, True),
    ],
)
async def test_an_account_is_not_saved_as_it_was_before(
    rows: WalletRows, ledger: int, is_saved: bool
) -> None:
    wallet = await rows.wallet()
    await save(rows, LEDGER, {wallet.id: {"kale": 1}})
    await save(rows, ledger, {wallet.id: {"kale": 2}})
    assert await kept(rows, wallet) == ((2, ledger) if is_saved else (1, LEDGER))


@pytest.mark.parametrize(
    "change",
    [{"exists": False}, {"has_trustline": True}, {"xlm": 6}, {"kale": 6}, {"reserves": 6}],
)
async def test_whatever_differs_is_saved(rows: WalletRows, change: dict[str, Any]) -> None:
    wallet, before = await rows.wallet(), {"xlm": 5, "kale": 5, "reserves": 5}
    await save(rows, LEDGER, {wallet.id: before})
    await save(rows, LEDGER + 1, {wallet.id: {**before, **change}})
    assert (await kept(rows, wallet))[1] == LEDGER + 1


async def test_what_is_the_same_is_saved_once_a_minute(rows: WalletRows) -> None:
    wallet, same = await rows.wallet(), {"kale": 5}
    await save(rows, LEDGER, {wallet.id: same})
    for seconds, is_saved in ((0, False), (50, False), (70, True)):
        await rows.connection.execute(
            "UPDATE wallet.accounts SET refreshed_at = now() - make_interval(secs => $1)", seconds
        )
        await save(rows, LEDGER + 1, {wallet.id: same})
        assert await kept(rows, wallet) == (5, LEDGER + is_saved)


async def test_what_is_the_same_is_not_saved_before_the_minute_is_over(rows: WalletRows) -> None:
    wallet = await rows.wallet()
    await save(rows, LEDGER, {wallet.id: {}})
    async with rows.pool.transaction() as session:
        await session.connection.execute(
            "UPDATE wallet.accounts SET refreshed_at = now() - interval '1 minute'"
        )
        told = ([wallet.id], [True], [False], [0], [0], [0], LEDGER + 1)
        await session.execute("save_accounts", *told)
    assert await kept(rows, wallet) == (0, LEDGER)


@pytest.mark.parametrize(("ledger", "is_saved"), [(0, True), (1, False)])
async def test_the_first_look_at_an_account_is_saved(
    rows: WalletRows, ledger: int, is_saved: bool
) -> None:
    wallet = await rows.wallet()
    await rows.connection.execute("UPDATE wallet.accounts SET ledger = $1", ledger)
    await save(rows, LEDGER, {wallet.id: {"exists": False}})
    assert await kept(rows, wallet) == (0, LEDGER if is_saved else ledger)


async def ready(rows: WalletRows) -> set[WalletId]:
    """The wallets that are ready."""
    found = await rows.connection.fetch("SELECT id FROM wallet.wallets WHERE status = 'ready'")
    return {row["id"] for row in found}


async def test_a_wallet_is_ready_once_it_can_hold_what_it_is_for(rows: WalletRows) -> None:
    able, unable, absent, other = [await rows.wallet(status="pending") for _ in range(4)]
    treasury = await rows.wallet("treasury", status="pending")
    payer = await rows.wallet("payer", status="pending")
    states: dict[WalletId, dict[str, Any]] = {
        able.id: {"has_trustline": True},
        unable.id: {},
        absent.id: {"exists": False, "has_trustline": True},
        treasury.id: {},
        payer.id: {"exists": False},
    }
    await save(rows, LEDGER, states)
    assert await ready(rows) == {able.id, treasury.id}
    assert other.id not in await ready(rows)


async def test_what_is_ready_is_not_written_again(rows: WalletRows) -> None:
    wallet = await rows.wallet(status="pending")
    told = ([wallet.id], [True], [True], [0], [0], [0], LEDGER)
    assert await rows.pool.execute("save_accounts", *told) == 1
    assert await rows.pool.execute("save_accounts", *told) == 0


# Owners ----------------------------------------------------------------------------------------


async def test_owners_are_told_once(rows: WalletRows) -> None:
    store, pooler = WalletStore(rows.pool, ORDERS), PoolerId(new_id())
    own, also = [await rows.wallet(pooler=pooler) for _ in range(2)]
    strange, treasury = await rows.wallet(), await rows.wallet("treasury")
    wallets = (own, also, strange, treasury)
    works = {row.id: await rows.operation(row, "onboard", "succeeded", block=0) for row in wallets}
    nobody = new_id()
    by_kind = (
        (
            store.owners_of_farmers,
            "owners_of_farmers",
            [row.farmer_id or nobody for row in wallets],
        ),
        (store.owners_of_wallets, "owners_of_wallets", [row.id for row in wallets]),
        (store.owners_of_operations, "owners_of_operations", [works[row.id] for row in wallets]),
    )
    for owners, query, (first, second, other, pools) in by_kind:

        async def told(*asked: UUID) -> set[str]:
            return await owners([str(one) for one in asked])  # noqa: B023  (called in this turn)

        assert await told(first) == {str(pooler)}
        assert await told(other) == {str(strange.pooler_id)}
        assert await told(first, second, other) == {str(pooler), str(strange.pooler_id)}
        assert await told(pools) == {""}
        assert await told(new_id()) == {""}
        assert len(await rows.pool.many(query, [first, first])) == 1

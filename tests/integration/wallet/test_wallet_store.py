"""The wallet's tables: who may do what, and what the database itself refuses."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState, SignedEnvelope
from services.wallet.domain.errors import WrongBlockError
from services.wallet.domain.model import (
    ChainHead,
    Closing,
    FailureReason,
    NewOperation,
    Operation,
    OperationEvent,
    OperationKind,
    OperationState,
    Settlement,
    TransactionEvent,
    TransactionId,
)
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.custody import CustodyStore
from services.wallet.store.operations import OperationStore, Wanted
from services.wallet.store.transactions import Draft, Queue, TransactionStore
from services.wallet.store.wallets import WalletStore
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS

PROVIDER = LocalKeyProvider(bytes(32))
LEDGER = 100
ALL = Wanted(ledger=LEDGER, plant_until=9, work_until=9, harvest_before=9)


async def farmer(pool: Database) -> tuple[FarmerId, WalletId, str]:
    """A farmer's wallet."""
    farmer_id = FarmerId(new_id())
    sealed = await seal_new_key(PROVIDER, WalletId(new_id()))
    assert await WalletStore(pool, ORDERS).insert_farmer(
        sealed,
        farmer_id=farmer_id,
        pooler_id=PoolerId(new_id()),
        onboarding_id=OperationId(new_id()),
    )
    return farmer_id, sealed.wallet_id, sealed.address


def wish(wallet_id: WalletId, *, stake: int = 0) -> NewOperation:
    """A plant to be."""
    return NewOperation(
        id=OperationId(new_id()),
        wallet_id=wallet_id,
        amount=stake,
        nonce=None,
        hash=None,
        zeros=None,
    )


async def record(pool: Database, request_id: str, *wishes: NewOperation) -> list[OperationId]:
    """A batch of plants in block 5."""
    store = OperationStore(pool, ORDERS)
    await store.record_batch(
        request_id,
        bytes(32),
        kind=OperationKind.PLANT,
        block_index=5,
        operations=wishes,
        check=accept,
    )
    return await store.batch_ids(request_id)


def accept(_kept: ChainHead | None) -> None:
    """Whatever is asked for makes sense."""


def refuse(_kept: ChainHead | None) -> None:
    """Nothing does."""
    raise WrongBlockError("block 5 is over")


def envelope(source: str, *, sequence: int = 1) -> SignedEnvelope:
    """What a signed envelope looks like from here."""
    name = new_id().hex
    return SignedEnvelope(
        xdr=name,
        hash=name,
        inner_hash=f"inner {name}",
        source=source,
        sequence=sequence,
        max_time=1000,
        fee_bid=100,
    )


async def endow(pool: Database) -> None:
    """A treasury with 100 XLM."""
    sealed, store = await seal_new_key(PROVIDER, WalletId(new_id())), WalletStore(pool, ORDERS)
    if await store.insert_treasury(sealed):
        rich = AccountState(address=sealed.address, exists=True, xlm=10**9, sequence=1)
        await store.save_accounts({sealed.wallet_id: rich}, LEDGER)


async def sign(pool: Database, source: str, operation_id: OperationId) -> TransactionId | None:
    """Commits an envelope for one operation; its transaction, or None when it was not recorded."""
    await endow(pool)
    draft = Draft(
        envelope=envelope(source), operation_ids=(operation_id,), stakes_returned=(0,), share=10
    )
    recorded = (await TransactionStore(pool, ORDERS).commit_signed([draft], ledger=LEDGER)).recorded
    return recorded[0].id if recorded else None


def closing(
    transaction_id: TransactionId,
    operation_id: OperationId,
    event: TransactionEvent = TransactionEvent.SUCCEED,
    ledger: int = LEDGER,
) -> Closing:
    """The end of a transaction with one operation."""
    return Closing(
        transaction_id=transaction_id,
        event=event,
        settlements=(succeeded(operation_id),),
        ledger=ledger,
        fee=7,
    )


def succeeded(operation_id: OperationId) -> Settlement:
    """It worked."""
    return Settlement(operation_id=operation_id, event=OperationEvent.SUCCEED, ledger=LEDGER, fee=7)


async def by_id(pool: Database, operation_id: OperationId) -> Operation:
    """An operation that exists."""
    operation = await OperationStore(pool, ORDERS).by_id(operation_id)
    assert operation is not None
    return operation


# Wallets and keys


async def test_a_farmer_has_one_wallet(pool: Database) -> None:
    farmer_id, wallet_id, _ = await farmer(pool)
    again = await WalletStore(pool, ORDERS).insert_farmer(
        await seal_new_key(PROVIDER, WalletId(new_id())),
        farmer_id=farmer_id,
        pooler_id=PoolerId(new_id()),
        onboarding_id=OperationId(new_id()),
    )
    assert not again
    wallet = await WalletStore(pool, ORDERS).by_farmer(farmer_id)
    assert wallet is not None
    assert wallet.id == wallet_id


async def test_treasuries_made_at_once_are_one(pool: Database) -> None:
    store = WalletStore(pool, ORDERS)
    keys = [await seal_new_key(PROVIDER, WalletId(new_id())) for _ in range(5)]
    made = await asyncio.gather(*(store.insert_treasury(key) for key in keys))
    assert sorted(made) == [False, False, False, False, True]
    treasury = await store.treasury()
    assert treasury is not None
    assert treasury.address == keys[made.index(True)].address


@pytest.mark.parametrize("role", ["registry", "plant", "work", "harvest"])
@pytest.mark.parametrize("table", ["sealed_keys", "wallets", "operations", "transactions"])
async def test_no_other_service_reads_custody(
    database: DatabaseAccess, role: str, table: str
) -> None:
    async with connect(database.dsn(role)) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"SELECT 1 FROM wallet.{table}")  # noqa: S608  (ours)


@pytest.mark.parametrize("table", ["sealed_keys", "wallets"])
async def test_nobody_empties_the_table_of_keys(
    pool: Database, database: DatabaseAccess, table: str
) -> None:
    await farmer(pool)
    async with connect(database.admin_dsn) as admin:
        with pytest.raises(asyncpg.RaiseError, match="never deleted"):
            await admin.execute(f"TRUNCATE wallet.{table} CASCADE")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wallet.sealed_keys SET sealed_seed = 'x'",
        "DELETE FROM wallet.sealed_keys",
        "DELETE FROM wallet.operations",
        "UPDATE wallet.wallets SET address = 'x'",
        "DROP TABLE wallet.sealed_keys",
    ],
)
async def test_the_service_itself_cannot_change_keys(
    database: DatabaseAccess, statement: str
) -> None:
    async with connect(database.dsn("wallet")) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


@pytest.mark.parametrize(
    ("view", "roles"),
    [
        ("wallet.farmer_accounts", ["registry", "plant", "work", "harvest"]),
        ("wallet.settled_operations", ["plant", "work", "harvest"]),
        ("wallet.batch_operations", ["plant", "work", "harvest"]),
        ("chain.blocks", ["registry", "plant", "work", "harvest"]),
        ("chain.head", ["registry", "plant", "work", "harvest"]),
    ],
)
async def test_what_others_may_read(database: DatabaseAccess, view: str, roles: list[str]) -> None:
    for role in roles:
        async with connect(database.dsn(role)) as connection:
            assert await connection.fetch(f"SELECT * FROM {view}") == []  # noqa: S608  (ours)


async def test_older_news_of_an_account_are_passed_over(pool: Database) -> None:
    farmer_id, wallet_id, address = await farmer(pool)
    store = WalletStore(pool, ORDERS)

    async def told(kale: int, ledger: int) -> int:
        state = AccountState(address=address, exists=True, has_trustline=True, kale=kale)
        await store.save_accounts({wallet_id: state}, ledger)
        wallet = await store.by_farmer(farmer_id)
        assert wallet is not None
        assert wallet.is_ready
        return wallet.balances.kale

    assert await told(5, 10) == 5
    assert await told(3, 9) == 5
    assert await told(4, 10) == 4


# Operations


async def test_a_batch_joins_what_is_there(pool: Database) -> None:
    wallets = [(await farmer(pool))[1] for _ in range(3)]
    first = await record(pool, "one", *(wish(item, stake=1) for item in wallets[:2]))
    second = await record(pool, "two", *(wish(item, stake=9) for item in wallets))
    assert len(first) == 2
    assert len(second) == 3
    assert set(first) < set(second)
    assert {(await by_id(pool, item)).amount for item in first} == {1}


async def test_batches_recorded_at_once_share_their_operations(pool: Database) -> None:
    wallets = [(await farmer(pool))[1] for _ in range(20)]
    orders = [wallets, wallets[::-1], wallets[10:] + wallets[:10]]
    batches = await asyncio.gather(
        *(
            record(pool, f"batch {number}", *(wish(item) for item in order))
            for number, order in enumerate(orders)
        )
    )
    assert len({frozenset(ids) for ids in batches}) == 1


async def test_what_failed_is_done_anew(pool: Database) -> None:
    _, wallet_id, _ = await farmer(pool)
    (failed,) = await record(pool, "one", wish(wallet_id))
    settlement = Settlement(
        operation_id=failed,
        event=OperationEvent.FAIL,
        reason=FailureReason.INSUFFICIENT_BALANCE,
        message="too little",
    )
    assert await OperationStore(pool, ORDERS).settle_queued([settlement]) == 1
    (anew,) = await record(pool, "two", wish(wallet_id))
    assert anew != failed
    assert await OperationStore(pool, ORDERS).batch_ids("one") == [failed]


async def test_claims_are_exclusive_and_one_per_farmer(pool: Database) -> None:
    store = OperationStore(pool, ORDERS)
    wallets = [(await farmer(pool))[1] for _ in range(6)]
    await record(pool, "one", *(wish(item) for item in wallets))
    claims = await asyncio.gather(*(store.claim(ALL, limit=4, lease=60) for _ in range(3)))
    claimed = [item.wallet_id for claim in claims for item in claim]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= set(wallets)
    claimed += [item.wallet_id for item in await store.claim(ALL, limit=99, lease=60)]
    assert len(claimed) == len(set(claimed)) == len(wallets)
    assert await store.claim(ALL, limit=99, lease=60) == []


async def test_a_lease_of_a_clock_that_was_set_back_is_not_waited_for(
    pool: Database, database: DatabaseAccess
) -> None:
    store = OperationStore(pool, ORDERS)
    _, wallet_id, _ = await farmer(pool)
    await record(pool, "one", wish(wallet_id))
    assert len(await store.claim(ALL, limit=9, lease=60)) == 1
    assert await store.claim(ALL, limit=9, lease=60) == []
    async with connect(database.admin_dsn) as admin:
        await admin.execute("UPDATE wallet.operations SET due_at = due_at + interval '1 hour'")
    assert len(await store.claim(ALL, limit=9, lease=60)) == 1


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_who_comes_too_late_joins_what_another_call_has_in_hand(
    pool: Database, database: DatabaseAccess, is_accepted: bool
) -> None:
    """Two replicas run the same batch: the later one must not refuse what the other was given."""
    _, wallet_id, _ = await farmer(pool)
    async with connect(database.admin_dsn) as admin:
        other = admin.transaction()
        await other.start()
        await admin.execute("INSERT INTO wallet.batches VALUES ('one', 'plant', 5, $1)", bytes(32))
        late = asyncio.create_task(
            OperationStore(pool, ORDERS).record_batch(
                "one",
                bytes(32),
                kind=OperationKind.PLANT,
                block_index=5,
                operations=[wish(wallet_id)],
                check=refuse,
            )
        )
        await asyncio.sleep(0.2)
        assert not late.done()
        await (other.commit() if is_accepted else other.rollback())
    if is_accepted:
        assert await late is None
    else:
        with pytest.raises(WrongBlockError):
            await late


async def test_a_source_with_a_transaction_in_flight_is_not_claimed(pool: Database) -> None:
    store = OperationStore(pool, ORDERS)
    _, wallet_id, address = await farmer(pool)
    (plant,) = await record(pool, "one", wish(wallet_id))
    assert await sign(pool, address, plant) is not None
    await store.record_one(
        kind=OperationKind.HARVEST, block_index=4, operation=wish(wallet_id), check=accept
    )
    assert await store.claim(ALL, limit=9, lease=60) == []


async def test_a_second_envelope_of_a_source_is_not_recorded(pool: Database) -> None:
    _, wallet_id, address = await farmer(pool)
    (plant,) = await record(pool, "one", wish(wallet_id))
    harvest = await OperationStore(pool, ORDERS).record_one(
        kind=OperationKind.HARVEST, block_index=4, operation=wish(wallet_id), check=accept
    )
    found = await asyncio.gather(sign(pool, address, plant), sign(pool, address, harvest))
    assert sum(item is not None for item in found) == 1
    states = {(await by_id(pool, item)).state for item in (plant, harvest)}
    assert states == {OperationState.SIGNED, OperationState.QUEUED}


async def test_an_operation_is_signed_once(pool: Database) -> None:
    _, wallet_id, address = await farmer(pool)
    (plant,) = await record(pool, "one", wish(wallet_id))
    transaction_id = await sign(pool, address, plant)
    assert transaction_id is not None
    assert await sign(pool, "GOTHER", plant) is None  # rolled back as a whole
    found = await TransactionStore(pool, ORDERS).overdue(signed_until=10**9, known=[])
    assert list(found) == [transaction_id]


async def test_others_transactions_are_found_when_they_are_overdue(pool: Database) -> None:
    store = TransactionStore(pool, ORDERS)
    signed = []
    for name in ("one", "two"):
        _, wallet_id, address = await farmer(pool)
        (plant,) = await record(pool, name, wish(wallet_id))
        transaction_id = await sign(pool, address, plant)
        assert transaction_id is not None
        signed.append((transaction_id, plant))
    (first, plant), (second, _) = signed
    both = await store.overdue(signed_until=10**9, known=[])
    assert both.keys() == {first, second}
    (ledger,) = set(both.values())
    assert await store.overdue(signed_until=ledger - 1, known=[]) == {}
    assert await store.overdue(signed_until=ledger, known=[]) == both
    assert await store.overdue(signed_until=ledger, known=[first]) == {second: ledger}
    await store.close([closing(first, plant)])
    assert await store.overdue(signed_until=ledger, known=[]) == {second: ledger}
    assert [item.id for item in await store.open([first, second])] == [second]
    assert await store.open([first]) == []


async def test_a_transaction_is_closed_once(pool: Database) -> None:
    _, wallet_id, address = await farmer(pool)
    (plant,) = await record(pool, "one", wish(wallet_id))
    transaction_id = await sign(pool, address, plant)
    assert transaction_id is not None
    store = TransactionStore(pool, ORDERS)

    closed = await asyncio.gather(
        store.close([closing(transaction_id, plant)]),
        store.close([closing(transaction_id, plant, TransactionEvent.EXCLUDE, 0)]),
    )
    assert sorted(closed) == [0, 1]
    operation = await by_id(pool, plant)
    assert (operation.state, operation.fee_charged) == (OperationState.SUCCEEDED, 7)
    assert await store.open([transaction_id]) == []


async def test_a_sequence_number_counts_where_a_node_shows_an_older_ledger(pool: Database) -> None:
    _, wallet_id, address = await farmer(pool)
    other, store = (await farmer(pool))[2], TransactionStore(pool, ORDERS)
    await endow(pool)
    plants = [await record(pool, f"batch {number}", wish(wallet_id)) for number in range(2)]
    assert plants[0] == plants[1]
    for number in (1, 2):
        draft = Draft(
            envelope=envelope(address, sequence=number),
            operation_ids=(plants[0][0],) if number == 1 else (),
            stakes_returned=(0,) if number == 1 else (),
        )
        assert (await store.commit_signed([draft], ledger=LEDGER)).recorded == [draft]
        assert await store.last_sequences([address], after=LEDGER + number) == {}
        settled = closing(draft.id, plants[0][0], ledger=LEDGER + number)
        await store.close([settled])
    asked = [address, other]
    assert await store.last_sequences(asked, after=LEDGER) == {address: 2}
    assert await store.last_sequences(asked, after=LEDGER + 1) == {address: 2}
    assert await store.last_sequences(asked, after=LEDGER + 2) == {}


async def test_an_envelope_is_recorded_once(pool: Database) -> None:
    await endow(pool)
    same, store = envelope("GSOURCE"), TransactionStore(pool, ORDERS)
    drafts = [Draft(envelope=same, operation_ids=(), stakes_returned=()) for _ in range(2)]
    assert (await store.commit_signed(drafts[:1], ledger=LEDGER)).recorded == drafts[:1]
    await store.close(
        [Closing(transaction_id=drafts[0].id, event=TransactionEvent.EXCLUDE, settlements=())]
    )
    assert (await store.commit_signed(drafts[1:], ledger=LEDGER)).recorded == []


async def test_what_is_settled_never_changes(pool: Database, database: DatabaseAccess) -> None:
    _, wallet_id, address = await farmer(pool)
    (plant,) = await record(pool, "one", wish(wallet_id))
    transaction_id = await sign(pool, address, plant)
    assert transaction_id is not None
    await TransactionStore(pool, ORDERS).close([closing(transaction_id, plant)])
    assert await OperationStore(pool, ORDERS).settle_queued([succeeded(plant)]) == 0
    async with connect(database.admin_dsn) as admin:
        for statement in (
            "UPDATE wallet.operations SET amount = 99 WHERE state = 'succeeded'",
            "UPDATE wallet.transactions SET fee_charged = 1",
            "DELETE FROM wallet.operations WHERE state = 'succeeded'",
        ):
            with pytest.raises(asyncpg.RaiseError, match="never changes"):
                await admin.execute(statement)


async def test_an_envelope_is_replaced_only_by_who_knows_it(pool: Database) -> None:
    _, wallet_id, address = await farmer(pool)
    (plant,) = await record(pool, "one", wish(wallet_id))
    transaction_id = await sign(pool, address, plant)
    assert transaction_id is not None
    store = TransactionStore(pool, ORDERS)
    (old,) = await store.open([transaction_id])
    higher = envelope(address)
    assert not await store.replace_envelope(transaction_id, "another", higher)
    assert await store.replace_envelope(transaction_id, old.envelope, higher)
    (new,) = await store.open([transaction_id])
    assert (new.envelope, new.lookup_hash) == (higher.xdr, old.lookup_hash)


@pytest.mark.parametrize("scope", [Scope.EVERYTHING, Scope.POOLER, Scope.WALLET])
async def test_no_bid_is_raised_for_what_is_paused(pool: Database, scope: Scope) -> None:
    farmer_id, wallet_id, address = await farmer(pool)
    (plant,) = await record(pool, "one", wish(wallet_id))
    transaction_id = await sign(pool, address, plant)
    assert transaction_id is not None
    wallet = await WalletStore(pool, ORDERS).by_farmer(farmer_id)
    assert wallet is not None
    targets = {Scope.WALLET: wallet_id, Scope.POOLER: wallet.pooler_id}
    reach = Reach(scope=scope, target=targets.get(scope))
    store, custody = TransactionStore(pool, ORDERS), CustodyStore(pool, ORDERS)
    (old,) = await store.open([transaction_id])
    await custody.pause(reach, reason="a test", actor="me")
    assert not await store.replace_envelope(transaction_id, old.envelope, envelope(address))
    await custody.resume(reach, actor="me")
    assert await store.replace_envelope(transaction_id, old.envelope, envelope(address))


async def test_settled_operations_show_what_other_services_need(
    pool: Database, database: DatabaseAccess
) -> None:
    farmer_id, wallet_id, address = await farmer(pool)
    (plant,) = await record(pool, "one", wish(wallet_id, stake=42))
    transaction_id = await sign(pool, address, plant)
    assert transaction_id is not None
    async with connect(database.dsn("plant")) as reader:
        query = """
            SELECT s.* FROM wallet.settled_operations AS s
            INNER JOIN wallet.batch_operations AS b USING (operation_id)
            WHERE b.request_id = 'one'
        """
        assert await reader.fetch(query) == []
        await TransactionStore(pool, ORDERS).close([closing(transaction_id, plant)])
        (row,) = await reader.fetch(query)
    assert row["farmer_id"] == farmer_id
    assert row["address"] == address
    assert (row["kind"], row["state"], row["block_index"]) == ("plant", "succeeded", 5)
    assert (row["amount"], row["ledger"], row["fee_charged"]) == (42, LEDGER, 7)
    assert row["transaction_hash"]
    assert UUID(str(row["operation_id"])) == plant


async def test_every_query_fits_the_schema(pool: Database, database: DatabaseAccess) -> None:
    """As the service's own role, so that a missing grant shows up when it is executed."""
    async with connect(database.dsn("wallet")) as connection:
        for name, query in pool._queries.items():
            statement = await connection.prepare(query.sql)
            assert (query.kind == "exec") != bool(statement.get_attributes()), name


async def test_a_dispatcher_is_told_whether_anything_waits(pool: Database) -> None:
    store = TransactionStore(pool, ORDERS)
    _, wallet_id, address = await farmer(pool)  # who waits to be brought onto the chain
    assert await store.queue() == Queue(share=0, is_empty=True)
    (operation_id,) = await record(pool, "batch", wish(wallet_id))
    assert await store.queue() == Queue(share=0, is_empty=False)
    assert await sign(pool, address, operation_id) is not None
    assert await store.queue() == Queue(share=10, is_empty=True)

"""What wallet notices: each change once, in the statement that makes it, and whom it concerns."""

import json
from typing import Any

import asyncpg
import pytest

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.custody import CustodyStore
from services.wallet.store.notices import Condition, NoticeStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from tests.support.database import connect
from tests.support.orders import ORDERS
from tests.support.own_say import OPERATOR, POOLER, OwnSay, terms
from tests.support.wallet_rows import WalletRow, WalletRows

A, B, C = (f"G{letter * 55}" for letter in "ABC")
NOBODY: dict[str, Any] = {"pooler_id": None, "farmer_id": None, "is_public": False}


async def notices(rows: WalletRows) -> list[tuple[str, dict[str, Any]]]:
    """Kind and facts of all notices, in order."""
    found = await rows.connection.fetch(
        "SELECT kind, facts::text AS facts FROM wallet.notices ORDER BY number"
    )
    return [(row["kind"], json.loads(row["facts"])) for row in found]


async def kinds(rows: WalletRows) -> list[str]:
    """Kinds of all notices, in order."""
    return [kind for kind, _ in await notices(rows)]


async def whose(rows: WalletRows) -> list[dict[str, Any]]:
    """Whom the notices concern, in order."""
    found = await rows.connection.fetch(
        "SELECT pooler_id, farmer_id, is_public FROM wallet.notices ORDER BY number"
    )
    return [dict(row) for row in found]


def of(account: WalletRow) -> dict[str, Any]:
    """What a notice of a farmer says of whose it is."""
    return {"pooler_id": account.pooler_id, "farmer_id": account.farmer_id, "is_public": False}


async def payout(rows: WalletRows, account: WalletRow, state: str = "queued") -> OperationId:
    """A withdrawal."""
    name = await rows.operation(account, "withdraw", state, block=next(rows.numbers), amount=7)
    await rows.insert(
        "wallet.withdrawals",
        operation_id=name,
        wallet_id=account.id,
        request_id=str(name),
        asset="kale",
        amount=7,
        destination=A,
    )
    return name


async def settle(rows: WalletRows, name: OperationId, state: str, **values: object) -> None:
    """Settle an operation, as wallet's own role."""
    columns = "".join(f", {column} = ${place}" for place, column in enumerate(values, start=3))
    async with rows.pool.session() as session:
        await session.connection.execute(
            "UPDATE wallet.operations "  # noqa: S608  (the test's own words)
            f"SET state = $2, settled_at = now(){columns} WHERE id = $1",
            name,
            state,
            *values.values(),
        )


async def test_a_payout_that_was_made_is_told_with_its_transaction(rows: WalletRows) -> None:
    account = await rows.wallet()
    name = await payout(rows, account, "sent")
    (carrier,) = await rows.connection.fetch(
        "SELECT t.hash FROM wallet.transactions AS t "
        "JOIN wallet.operations AS o ON o.transaction_id = t.id WHERE o.id = $1",
        name,
    )
    assert await notices(rows) == []
    await settle(rows, name, "succeeded", ledger=77)
    expected = {
        "withdrawalId": str(name),
        "asset": "kale",
        "amountStroops": "7",
        "destination": A,
        "transactionHash": carrier["hash"],
        "ledger": "77",
    }
    assert await notices(rows) == [("payout.made", expected)]
    assert await whose(rows) == [of(account)]


async def test_a_payout_that_was_given_up_is_told_with_its_reason(rows: WalletRows) -> None:
    account = await rows.wallet()
    for state in ("failed", "expired"):
        name = await payout(rows, account)
        await settle(rows, name, state, reason="NOT_FUNDED", error_message="no account")
    found = await notices(rows)
    assert [kind for kind, _ in found] == ["payout.failed"] * 2
    assert found[0][1] | {"withdrawalId": ""} == {
        "withdrawalId": "",
        "asset": "kale",
        "amountStroops": "7",
        "destination": A,
        "reason": "NOT_FUNDED",
        "message": "no account",
    }


async def test_a_payout_that_arrived_after_all_is_told_again(rows: WalletRows) -> None:
    """A lie of nodes had it given up; the payer's number shows that it was made."""
    account = await rows.wallet()
    name = await payout(rows, account)
    await settle(rows, name, "failed", reason="NOT_FUNDED")
    await rows.connection.execute(
        "ALTER TABLE wallet.operations DISABLE TRIGGER operations_settled_stay"
    )
    await settle(rows, name, "succeeded", reason=None, ledger=78)
    assert await kinds(rows) == ["payout.failed", "payout.made"]


async def test_a_payout_that_goes_back_into_the_queue_and_other_operations_are_not_told(
    rows: WalletRows,
) -> None:
    account = await rows.wallet()
    name = await payout(rows, account, "sent")
    async with rows.pool.session() as session:
        await session.connection.execute(
            "UPDATE wallet.operations SET state = 'queued', transaction_id = NULL WHERE id = $1",
            name,
        )
    plant = await rows.operation(account, "plant", "sent")
    await settle(rows, plant, "succeeded", ledger=5)
    assert await notices(rows) == []


async def test_a_change_of_the_payout_address_is_told_now_and_when_it_counts(
    rows: WalletRows,
) -> None:
    account = await rows.wallet(status="ready")
    store, teller = WithdrawalStore(rows.pool, ORDERS), NoticeStore(rows.pool)
    await store.set_address(account.id, A, cooling=3600, actor="me")
    await store.set_address(account.id, A, cooling=3600, actor="me")  # the same: no change
    (pending,) = await notices(rows)
    assert pending[0] == "payout_address.pending"
    assert pending[1]["address"] == A
    await teller.tell_effective_addresses()
    assert await kinds(rows) == ["payout_address.pending"]
    await _cool(rows, account.id, 1)
    for _ in range(2):
        await teller.tell_effective_addresses()
    assert await kinds(rows) == ["payout_address.pending", "payout_address.changed"]
    assert (await notices(rows))[1][1]["address"] == A
    assert await whose(rows) == [of(account)] * 2


async def test_an_address_that_counts_at_once_is_told_once(rows: WalletRows) -> None:
    account = await rows.wallet()
    store = WithdrawalStore(rows.pool, ORDERS)
    await store.set_address(account.id, A, cooling=0, actor="me")
    await store.set_address(account.id, "", cooling=3600, actor="me")
    await NoticeStore(rows.pool).tell_effective_addresses()
    assert [(kind, facts["address"]) for kind, facts in await notices(rows)] == [
        ("payout_address.changed", A),
        ("payout_address.changed", ""),
    ]


async def test_an_address_that_was_replaced_while_it_cooled_never_counts(
    rows: WalletRows,
) -> None:
    account = await rows.wallet()
    store = WithdrawalStore(rows.pool, ORDERS)
    await store.set_address(account.id, A, cooling=3600, actor="me")
    await store.set_address(account.id, B, cooling=7200, actor="me")
    await _cool(rows, account.id, 1, hours=0.9)
    await NoticeStore(rows.pool).tell_effective_addresses()
    assert await kinds(rows) == ["payout_address.pending"] * 2


async def test_what_came_into_force_long_ago_is_not_told(rows: WalletRows) -> None:
    account = await rows.wallet()
    await WithdrawalStore(rows.pool, ORDERS).set_address(account.id, A, cooling=3600, actor="me")
    await _cool(rows, account.id, 1, hours=30 * 24)
    await NoticeStore(rows.pool).tell_effective_addresses()
    assert await kinds(rows) == ["payout_address.pending"]


async def _cool(rows: WalletRows, wallet_id: WalletId, number: int, *, hours: float = 2.0) -> None:
    """Let so many hours go by for one address."""
    await rows.connection.execute(
        "UPDATE wallet.payout_addresses "
        "SET registered_at = registered_at - $3 * interval '1 hour', "
        "effective_at = effective_at - $3 * interval '1 hour' "
        "WHERE wallet_id = $1 AND number = $2",
        wallet_id,
        number,
        hours,
    )


async def test_the_address_of_a_registration_is_no_change(rows: WalletRows) -> None:
    sealed = await seal_new_key(LocalKeyProvider(bytes(32)), WalletId(new_id()))
    await WalletStore(rows.pool, ORDERS).insert_farmer(
        sealed,
        farmer_id=FarmerId(new_id()),
        pooler_id=PoolerId(new_id()),
        onboarding_id=OperationId(new_id()),
        payout_address=A,
    )
    assert await rows.connection.fetchval("SELECT count(*) FROM wallet.payout_addresses") == 1
    assert await notices(rows) == []


async def test_changes_of_terms_and_of_who_speaks_are_told(
    pool: Database, rows: WalletRows
) -> None:
    """What is registered with a farmer is no change."""
    say = OwnSay(pool=pool)
    farmer = await say.farmer(terms=terms())
    assert await notices(rows) == []
    made = await say.store.agree(farmer.farmer_id, terms(pooler_bps=900), POOLER)
    moment = await say.store.set_owner(farmer.farmer_id, B, OPERATOR)
    assert await notices(rows) == [
        (
            "agreement.changed",
            {
                "number": "2",
                "poolerBps": "900",
                "operatorBps": "0",
                "stakeBps": "5000",
                "proof": "certificate",
                "effectiveAt": f"{made.effective_at:%Y-%m-%dT%H:%M:%SZ}",
            },
        ),
        ("owner_account.changed", {"address": B, "effectiveAt": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}),
    ]
    about = {"pooler_id": farmer.pooler_id, "farmer_id": farmer.farmer_id, "is_public": False}
    assert await whose(rows) == [about] * 2


async def test_pauses_are_told_to_whom_they_concern(rows: WalletRows) -> None:
    account = await rows.wallet()
    store = CustodyStore(rows.pool, ORDERS)
    reaches = [
        Reach(scope=Scope.EVERYTHING, target=None),
        Reach(scope=Scope.POOLER, target=account.pooler_id),
        Reach(scope=Scope.WALLET, target=account.id),
    ]
    for reach in reaches:
        await store.pause(reach, reason="theft", actor="ann")
        await store.pause(reach, reason="again", actor="bob")
    for reach in reaches:
        assert await store.resume(reach, actor="ann")
    found = await notices(rows)
    assert [kind for kind, _ in found] == ["signing.paused"] * 3 + ["signing.resumed"] * 3
    # Neither who nor why: that is operators' business.
    assert [facts for _, facts in found[:3]] == [
        {"scope": "everything"},
        {"scope": "pooler"},
        {"scope": "farmer"},
    ]
    everybody = {**NOBODY, "is_public": True}
    pooler = {**NOBODY, "pooler_id": account.pooler_id}
    assert await whose(rows) == [everybody, pooler, of(account)] * 2


def low(xlm: int = 5) -> Condition:
    return Condition(name="treasury", kind="treasury", facts={"xlmStroops": str(xlm)})


def aside(position: int) -> Condition:
    facts = {"host": f"node{position}"}
    return Condition(name=f"node {position}", kind="node", facts=facts)


async def test_a_condition_is_told_when_it_begins_and_when_nobody_reports_it_any_more(
    rows: WalletRows,
) -> None:
    store = NoticeStore(rows.pool)
    for xlm in (5, 4):
        await store.report([low(xlm), aside(1)], unknown=[])
    assert sorted(await kinds(rows)) == ["node.set_aside", "treasury.low"]
    # Another process does not see it; that ends nothing while this one does.
    await store.report([], unknown=[])
    assert len(await kinds(rows)) == 2
    await _go_by(rows)
    await store.report([low(4)], unknown=[])
    assert [kind for kind in await kinds(rows) if kind.startswith("node")] == [
        "node.set_aside",
        "node.back",
    ]
    await _go_by(rows)
    await store.report([aside(1), aside(2)], unknown=[])
    found = [(kind, facts.get("host")) for kind, facts in (await notices(rows))[3:]]
    assert sorted(found) == [
        ("node.set_aside", "node1"),
        ("node.set_aside", "node2"),
        ("treasury.restored", None),
    ]
    assert await whose(rows) == [NOBODY] * 6


async def test_who_cannot_tell_ends_nothing(rows: WalletRows) -> None:
    store = NoticeStore(rows.pool)
    await store.report([low(), aside(1)], unknown=[])
    await _go_by(rows)
    await store.report([], unknown=["treasury"])
    assert sorted(await kinds(rows)) == ["node.back", "node.set_aside", "treasury.low"]


async def _go_by(rows: WalletRows) -> None:
    """Let more than a minute go by."""
    await rows.connection.execute(
        "UPDATE wallet.conditions SET reported_at = reported_at - interval '61 seconds'"
    )


async def test_notices_are_forgotten_after_a_month(rows: WalletRows) -> None:
    store = NoticeStore(rows.pool)
    await store.report([aside(number) for number in range(3)], unknown=[])
    for host, days in (("node0", 31), ("node1", 29)):
        await rows.connection.execute(
            "UPDATE wallet.notices SET at = now() - make_interval(days => $2) "
            "WHERE facts ->> 'host' = $1",
            host,
            days,
        )
    assert await store.forget() == 1
    assert await store.forget() == 0
    assert sorted(facts["host"] for _, facts in await notices(rows)) == ["node1", "node2"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO wallet.notices (name, kind, facts) VALUES ('', '', '{}')",
        "UPDATE wallet.notices SET kind = ''",
        "DELETE FROM wallet.notices",
        "TRUNCATE wallet.notices",
        "DELETE FROM wallet.conditions",
        "UPDATE wallet.conditions SET kind = 'node'",
        "SELECT * FROM wallet.notices",
    ],
)
async def test_wallets_own_role_writes_no_notices(rows: WalletRows, statement: str) -> None:
    async with rows.pool.session() as session:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.connection.execute(statement)


async def test_who_may_read_notices_cannot_hold_them_up(rows: WalletRows) -> None:
    """registry's role takes what locks it can get: a pause is recorded all the same."""
    dsn = rows.dsn
    async with connect(dsn) as insider, insider.transaction():
        await insider.execute("SET LOCAL ROLE kalepool_registry")
        await insider.execute("SELECT * FROM wallet.notices")
        for mode in ("ROW SHARE", "SHARE", "ACCESS EXCLUSIVE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with insider.transaction():
                    await insider.execute(f"LOCK TABLE wallet.notices IN {mode} MODE")
        store = CustodyStore(rows.pool, ORDERS)
        everything = Reach(scope=Scope.EVERYTHING, target=None)
        await store.pause(everything, reason="theft", actor="ann")
        assert await kinds(rows) == ["signing.paused"]

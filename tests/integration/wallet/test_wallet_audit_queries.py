"""The queries that hold the audit log against rows: which rows and records they take for sound."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.queries import load_queries
from libs.common.ids import new_id
from services.wallet.store import QUERIES
from services.wallet.store.custody import CustodyStore
from tests.support.orders import ORDERS
from tests.support.table_rows import new_ids
from tests.support.wallet_rows import WalletRow, WalletRows, ago

ZERO, ALL = UUID(int=0), 99
TICK, MINUTE, HOUR = timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1)
#: Changes of one thing of a record, which then tells of something else.
LATER, EARLIER = {"at": TICK}, {"at": -TICK}


async def record(rows: WalletRows, at: datetime, action: str, **values: object) -> int:
    """A record, which follows no other one."""
    number = next(rows.numbers)
    row = {"actor": "me", "subject": "", "details": "", "previous": bytes(32)} | values
    # The database takes no record that does not follow the last one, made now.
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.insert(
        "wallet.audit_log",
        number=number,
        at=at,
        action=action,
        hash=number.to_bytes(32),
        **row,
    )
    return number


def changed(told: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """What a record has, with one thing changed; its moment by a time."""
    if "at" not in change:
        return told | change
    return told | {"at": told["at"] + change["at"]}


async def judged(
    rows: WalletRows, query: str, first: UUID = ZERO, limit: int = ALL
) -> list[tuple[UUID, bool]]:
    """The rows that a query looks at, and whether each is recorded."""
    found = await rows.pool.many(query, first, limit)
    return [(row["id"], row["is_recorded"]) for row in found]


async def check_pages(rows: WalletRows, query: str, ids: list[UUID]) -> None:
    """See that a query gives these ids in their order, from any of them on."""

    async def found(first: UUID = ZERO, limit: int = ALL) -> list[UUID]:
        return [name for name, _ in await judged(rows, query, first, limit)]

    assert await found() == ids
    assert await found(limit=2) == ids[:2]
    for number, first in enumerate(ids):
        assert await found(first) == ids[number:]


async def test_a_records_hash_is_found_by_its_number(rows: WalletRows) -> None:
    numbers = [await record(rows, ago(), "sign") for _ in range(3)]
    store = CustodyStore(rows.pool, ORDERS)
    assert await store.hash_at(numbers[1]) == numbers[1].to_bytes(32)
    assert await store.hash_at(numbers[2] + 1) is None


# Transactions ---------------------------------------------------------------------------------


def words(name: UUID, source: str, sequence: int) -> str:
    """How a record names a transaction."""
    return f"transaction {name}, source {source}, sequence {sequence}, bid 100"


@pytest.mark.parametrize("wait", [timedelta(), MINUTE], ids=["at once", "later"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, True, id="signed"),
        pytest.param({"action": "found"}, True, id="found"),
        pytest.param({"action": "withdraw"}, False, id="another act"),
        pytest.param({"subject": "other"}, False, id="another envelope"),
        pytest.param({"details": "sequence 8"}, False, id="another number"),
        pytest.param({"details": "source H"}, False, id="another source"),
        pytest.param({"details": "x"}, False, id="other words before"),
    ],
)
async def test_a_transaction_needs_a_record_of_its_envelope(
    rows: WalletRows, wait: timedelta, change: dict[str, str], expected: bool
) -> None:
    start, name = ago(minutes=9), new_id()
    told = {"action": "sign", "subject": "hash", "details": words(name, "G", 7)} | change
    if "details" in change:
        source = "H" if "H" in change["details"] else "G"
        number = 8 if "8" in change["details"] else 7
        told["details"] = ("x" if change["details"] == "x" else "") + words(name, source, number)
    await record(rows, start + wait, **told)
    # Two of a kind are one.
    await record(rows, start + wait, **told)
    moments: dict[str, Any] = {"created_at": start, "closed_at": start + 2 * MINUTE}
    await rows.transaction("G", "failed", id=name, sequence=7, hash="hash", **moments)
    unrecorded = await rows.transaction("G", "failed", sequence=7, **moments)
    found = await judged(rows, "recorded_transactions")
    assert found == [(name, expected), (unrecorded, False)]


@pytest.mark.parametrize(
    ("after", "expected"),
    [(-TICK, False), (timedelta(), True), (2 * MINUTE, True), (2 * MINUTE + TICK, False)],
)
async def test_a_transactions_record_is_of_the_time_while_it_was_open(
    rows: WalletRows, after: timedelta, expected: bool
) -> None:
    start = ago(minutes=9)
    name = await rows.transaction(
        "G", "failed", sequence=7, hash="h", created_at=start, closed_at=start + 2 * MINUTE
    )
    await record(rows, start + after, "sign", subject="h", details=words(name, "G", 7))
    assert await judged(rows, "recorded_transactions") == [(name, expected)]


async def test_the_bid_of_an_open_transaction_may_be_raised_until_now(rows: WalletRows) -> None:
    start = ago(minutes=9)
    raised = await rows.transaction("G", sequence=7, hash="a", created_at=start)
    to_come = await rows.transaction("H", sequence=7, hash="b", created_at=start)
    await record(rows, ago(minutes=1), "sign", subject="a", details=words(raised, "G", 7))
    await record(rows, ago(minutes=-9), "sign", subject="b", details=words(to_come, "H", 7))
    assert await judged(rows, "recorded_transactions") == [(raised, True), (to_come, False)]


async def test_transactions_are_looked_at_by_pages_of_ids(rows: WalletRows) -> None:
    ids = new_ids(4)
    for name in reversed(ids):
        await rows.transaction(id=name)
    await check_pages(rows, "recorded_transactions", ids)


def parts(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all parts of a plan."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from parts(below)


@pytest.mark.parametrize("action", ["sign", "found"])
async def test_a_page_of_transactions_recorded_at_once_takes_no_look_for_each(
    rows: WalletRows, action: str
) -> None:
    """The log of the page's time is read once; only a bid that was raised is looked for."""
    moments = [ago(minutes=minutes) for minutes in (9, 5, 3)]
    for moment in moments:
        name = await rows.transaction("G", "failed", sequence=7, created_at=moment)
        told = words(name, "G", 7)
        await record(rows, moment, action, subject=name.hex, details=told)
    assert {is_recorded for _, is_recorded in await judged(rows, "recorded_transactions")} == {True}
    sql = load_queries(*QUERIES)["recorded_transactions"].sql
    explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}"
    plan = json.loads(await rows.connection.fetchval(explained, ZERO, ALL))[0]["Plan"]
    looks = [part for part in parts(plan) if part.get("Subplan Name", "").startswith("SubPlan")]
    assert looks
    assert sum(part["Actual Loops"] for part in looks) == 0


# Withdrawals and wallets ----------------------------------------------------------------------


async def withdrawal(rows: WalletRows, owner: WalletRow, at: datetime, **values: Any) -> UUID:
    return await rows.payment(owner, None, amount=5, requested_at=at, **values)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        (LATER, False),
        (EARLIER, False),
        ({"action": "top_up"}, False),
        ({"subject": f"wallet {ZERO}"}, False),
        ({"details": "6 stroops of KALE to outside, {}"}, False),
        ({"details": "5 stroops of XLM to outside, {}"}, False),
        ({"details": "5 stroops of KALE to inside, {}"}, False),
        ({"details": "5 stroops of KALE to outside, nothing"}, False),
    ],
)
async def test_a_withdrawal_needs_a_record_of_that_moment_and_of_all_that_it_is(
    rows: WalletRows, change: dict[str, Any], expected: bool
) -> None:
    owner, start = await rows.wallet(), ago(minutes=9)
    name = await withdrawal(rows, owner, start)
    beside = await withdrawal(rows, await rows.wallet(), start)
    told: dict[str, Any] = {
        "at": start,
        "action": "withdraw",
        "subject": f"wallet {owner.id}",
        "details": "5 stroops of KALE to outside, {}",
    }
    told = changed(told, change)
    await record(rows, **(told | {"details": told["details"].format(name)}))
    assert await judged(rows, "recorded_withdrawals") == [(name, expected), (beside, False)]


@pytest.mark.parametrize(
    "change", ["amount = amount", "amount = 6", "kind = 'top_up'", "wallet_id = $2"]
)
async def test_what_is_to_be_paid_is_what_was_asked_for(rows: WalletRows, change: str) -> None:
    owner, other, start = await rows.wallet(), await rows.wallet(), ago(minutes=9)
    name = await withdrawal(rows, owner, start)
    details = f"5 stroops of KALE to outside, {name}"
    await record(rows, start, "withdraw", subject=f"wallet {owner.id}", details=details)
    await rows.connection.execute(
        f"UPDATE wallet.operations SET {change} WHERE id = $1 AND $2::uuid <> id",  # noqa: S608
        name,
        other.id,
    )
    assert await judged(rows, "recorded_withdrawals") == [(name, change == "amount = amount")]


async def test_withdrawals_are_looked_at_by_pages_of_ids(rows: WalletRows) -> None:
    ids, owner = new_ids(4), await rows.wallet()
    for name in reversed(ids):
        await withdrawal(rows, owner, ago(), id=name)
    await check_pages(rows, "recorded_withdrawals", ids)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        (LATER, False),
        (EARLIER, False),
        ({"action": "export_key"}, False),
        ({"subject": f"wallet {ZERO}"}, False),
        ({"details": "farmer G"}, False),
        ({"details": "payer {}"}, False),
    ],
)
async def test_a_wallet_needs_a_record_of_that_moment_with_its_kind_and_address(
    rows: WalletRows, change: dict[str, Any], expected: bool
) -> None:
    owner, beside = await rows.wallet(), await rows.wallet()
    created = await rows.connection.fetchval(
        "SELECT created_at FROM wallet.wallets WHERE id = $1", owner.id
    )
    told: dict[str, Any] = {
        "at": created,
        "action": "create_wallet",
        "subject": f"wallet {owner.id}",
        "details": "farmer {}",
    }
    told = changed(told, change)
    await record(rows, **(told | {"details": told["details"].format(owner.address)}))
    assert await judged(rows, "recorded_wallets") == [(owner.id, expected), (beside.id, False)]


async def test_wallets_are_looked_at_by_pages_of_ids(rows: WalletRows) -> None:
    ids = new_ids(4)
    for name in reversed(ids):
        await rows.wallet(id=name)
    await check_pages(rows, "recorded_wallets", ids)


# Payout addresses -----------------------------------------------------------------------------


async def addresses(rows: WalletRows, owner: UUID, *registered: tuple[str, datetime]) -> None:
    await rows.connection.execute("SET session_replication_role = replica")
    for number, (address, moment) in enumerate(registered, start=1):
        await rows.insert(
            "wallet.payout_addresses",
            wallet_id=owner,
            number=number,
            address=address,
            registered_at=moment,
            effective_at=moment,
        )


@pytest.mark.parametrize(
    ("registered", "recorded", "expected"),
    [
        pytest.param("G", [("G at once", 0)], True, id="of that moment"),
        pytest.param("G", [("G at once", -60)], True, id="of an hour before"),
        pytest.param("G", [("G at once", -60.1)], False, id="of more than an hour before"),
        pytest.param("G", [("G at once", 0.1)], False, id="of a later moment"),
        pytest.param("G", [("G at once", -90), ("G at once", -30)], True, id="the last one counts"),
        pytest.param("G", [("G at once", -30), ("G at once", 30)], True, id="before a later one"),
        pytest.param("G", [("H at once", 0)], False, id="of another address"),
        pytest.param("G", [("at once G", 0)], False, id="whose first word is another one"),
        pytest.param("G", [("none", 0)], False, id="of none"),
        pytest.param("", [("none at once", 0)], True, id="none"),
        pytest.param("", [("G at once", 0)], False, id="none, and a record of some"),
        pytest.param("G", [], False, id="no record"),
    ],
)
async def test_an_address_needs_a_record_of_the_hour_before(
    rows: WalletRows, registered: str, recorded: list[tuple[str, float]], expected: bool
) -> None:
    start, action = ago(minutes=99), "set_payout_address"
    owner, beside = await rows.wallet(), await rows.wallet()
    await addresses(rows, owner.id, (registered, start))
    # It is told of by an act of another kind, and another wallet's record does not count.
    await addresses(rows, beside.id, (registered, start), ("K", start))
    subject = f"wallet {beside.id}"
    await record(rows, start, "withdraw", subject=subject, details=f"{registered or 'none'} x")
    await record(rows, start, action, subject=subject, details="K at once")
    for details, minutes in recorded:
        moment = start + timedelta(minutes=minutes)
        await record(rows, moment, action, subject=f"wallet {owner.id}", details=details)
    expectation = [(owner.id, expected), (beside.id, False)]
    assert await judged(rows, "recorded_addresses") == expectation


async def test_addresses_are_looked_at_by_pages_of_wallets(rows: WalletRows) -> None:
    ids = new_ids(4)
    for name in reversed(ids):
        await rows.wallet(id=name)
    for name in reversed(ids):
        await addresses(rows, name, ("G", ago()), ("H", ago()))
    await check_pages(rows, "recorded_addresses", ids)


# Pauses and tokens ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("which", "change", "expected"),
    [
        ("begun", {}, True),
        ("begun", LATER, False),
        ("begun", EARLIER, False),
        ("begun", {"action": "resume"}, False),
        ("begun", {"actor": "you"}, False),
        ("begun", {"subject": "wallet"}, False),
        ("begun", {"details": "drill"}, False),
        ("ended", LATER, False),
        ("ended", EARLIER, False),
        ("ended", {"action": "pause"}, False),
        ("ended", {"actor": "me"}, False),
        ("ended", {"subject": f"wallet {ZERO}"}, False),
    ],
)
async def test_a_pause_needs_records_of_its_beginning_and_its_end(
    rows: WalletRows, which: str, change: dict[str, Any], expected: bool
) -> None:
    name, target, begun, end = new_id(), new_id(), ago(minutes=9), ago(minutes=5)
    row = {"scope": "wallet", "target": target, "reason": "fire", "paused_by": "me"}
    over = {"resumed_by": "you", "resumed_at": end}
    await rows.insert("wallet.pauses", id=name, paused_at=begun, **row, **over)
    in_force = new_id()
    await rows.insert("wallet.pauses", id=in_force, paused_at=begun, **row)
    subject = f"wallet {target}"
    told: dict[str, dict[str, Any]] = {
        "begun": {"at": begun, "action": "pause", "subject": subject, "details": "fire"},
        "ended": {"at": end, "action": "resume", "subject": subject, "actor": "you"},
    }
    told[which] = changed(told[which], change)
    for one in told.values():
        await record(rows, **one)
    # One that is in force needs no record of an end.
    begins = expected or which == "ended"
    assert await judged(rows, "recorded_pauses") == [(name, expected), (in_force, begins)]


async def test_pauses_are_looked_at_by_pages_of_ids(rows: WalletRows) -> None:
    ids = new_ids(4)
    for name in reversed(ids):
        row = {"scope": "everything", "reason": "", "paused_by": "me"}
        await rows.insert("wallet.pauses", id=name, **row)
    await check_pages(rows, "recorded_pauses", ids)


async def token(rows: WalletRows, name: UUID, created: datetime, **values: object) -> None:
    row = {
        "role": "operator",
        "subject": "whose",
        "name": "for what",
        "methods": [],
        "is_read_only": False,
        "secret_hash": name.bytes * 2,
        "request_id": "",
        "created_by": "me",
        "created_at": created,
        "expires_at": ago(hours=-9),
        "mac": bytes(34),
    }
    await rows.insert("wallet.tokens", id=name, **row | values)


@pytest.mark.parametrize(
    ("which", "change", "expected"),
    [
        ("made", {}, True),
        ("made", LATER, False),
        ("made", EARLIER, False),
        ("made", {"action": "revoke_token"}, False),
        ("made", {"actor": "you"}, False),
        ("made", {"subject": f"token {ZERO}"}, False),
        ("made", {"details": "whose, for"}, False),
        ("revoked", LATER, False),
        ("revoked", EARLIER, False),
        ("revoked", {"action": "create_token"}, False),
        ("revoked", {"actor": "me"}, False),
        ("revoked", {"subject": f"token {ZERO}"}, False),
    ],
)
async def test_a_token_needs_records_of_its_making_and_its_revocation(
    rows: WalletRows, which: str, change: dict[str, Any], expected: bool
) -> None:
    name, made, end = new_id(), ago(minutes=9), ago(minutes=5)
    await token(rows, name, made, revoked_by="you", revoked_at=end)
    in_force = new_id()
    await token(rows, in_force, made)
    subject = f"token {name}"
    details = "whose, for what"
    told: dict[str, dict[str, Any]] = {
        "made": {"at": made, "action": "create_token", "subject": subject, "details": details},
        "revoked": {"at": end, "action": "revoke_token", "subject": subject, "actor": "you"},
    }
    told[which] = changed(told[which], change)
    for one in told.values():
        await record(rows, **one)
    own = {"action": "create_token", "subject": f"token {in_force}", "details": details}
    await record(rows, made, **own)
    assert await judged(rows, "recorded_tokens") == [(name, expected), (in_force, True)]


async def test_tokens_are_looked_at_by_pages_of_ids(rows: WalletRows) -> None:
    ids = new_ids(4)
    for name in reversed(ids):
        await token(rows, name, ago())
    await check_pages(rows, "recorded_tokens", ids)


# Roots --------------------------------------------------------------------------------------------


async def root(rows: WalletRows, owner: WalletRow, moment: datetime, day: int = 5) -> UUID:
    """A root that was asked for at a moment."""
    name = await rows.operation(owner, "data_entry", block=day, hash=bytes(32))
    await rows.insert(
        "wallet.data_entries", operation_id=name, day=day, root=bytes(32), requested_at=moment
    )
    return name


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        (LATER, False),
        (EARLIER, False),
        ({"action": "withdraw"}, False),
        ({"subject": f"wallet {ZERO}"}, False),
        ({"details": "day 6, " + "00" * 32 + ", {}"}, False),
        ({"details": "day 5, " + "01" * 32 + ", {}"}, False),
        ({"details": "day 5, " + "00" * 32 + ", nothing"}, False),
    ],
)
async def test_a_root_needs_a_record_of_that_moment_and_of_all_that_it_is(
    rows: WalletRows, change: dict[str, Any], expected: bool
) -> None:
    owner, start = await rows.wallet("treasury"), ago(minutes=9)
    name = await root(rows, owner, start)
    beside = await root(rows, owner, start, day=6)
    told: dict[str, Any] = {
        "at": start,
        "action": "publish_root",
        "subject": f"wallet {owner.id}",
        "details": "day 5, " + "00" * 32 + ", {}",
    }
    told = changed(told, change)
    await record(rows, **(told | {"details": told["details"].format(name)}))
    assert await judged(rows, "recorded_data_entries") == [(name, expected), (beside, False)]


@pytest.mark.parametrize("name", ["block_index = block_index + 1", "hash = sha256('')"])
async def test_what_is_to_be_written_is_what_was_asked_for(rows: WalletRows, name: str) -> None:
    owner, start = await rows.wallet("treasury"), ago(minutes=9)
    asked = await root(rows, owner, start)
    details = f"day 5, {'00' * 32}, {asked}"
    await record(rows, start, "publish_root", subject=f"wallet {owner.id}", details=details)
    assert await judged(rows, "recorded_data_entries") == [(asked, True)]
    await rows.connection.execute(
        f"UPDATE wallet.operations SET {name} WHERE id = $1",  # noqa: S608  (the test's own)
        asked,
    )
    assert await judged(rows, "recorded_data_entries") == [(asked, False)]

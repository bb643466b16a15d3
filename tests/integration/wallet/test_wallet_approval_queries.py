"""The queries of second persons' approvals over real tables: which they take, which they leave."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.common.ids import new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.store.custody import CustodyStore
from tests.support.orders import ORDERS
from tests.support.table_rows import mixed, new_ids
from tests.support.wallet_rows import WalletRows, ago

METHOD = "/kalepool.wallet.v1.CustodyService/ResumeSigning"
FOREIGN = "/kalepool.registry.v1.RegistryService/SuspendPooler"
DIGEST, MAC = bytes(32), bytes(34)
ASKED, LATER = ago(minutes=5), ago(hours=-24)  # tests may run an hour after their import


async def approval(
    rows: WalletRows, *, approved: bool = False, used: bool = False, **values: object
) -> UUID:
    """A request of Ann's that has some minutes left."""
    name = values.pop("id", None) or new_id()
    row: dict[str, object] = {
        "method": METHOD,
        "digest": DIGEST,
        "request": "{}",
        "asked_by": "ann",
        "asked_at": ASKED,
        "expires_at": LATER,
    }
    if approved or used:
        row |= {"approved_by": "bob", "approved_at": ago(minutes=2)}
    if used:
        row |= {"used_at": ago(minutes=1)}
    await rows.insert("wallet.approvals", id=name, **row | values)
    assert isinstance(name, UUID)
    return name


async def states(rows: WalletRows) -> dict[UUID, tuple[Any, ...]]:
    """By whom each was approved, and when it was used."""
    found = await rows.connection.fetch(
        "SELECT id, approved_by, approved_at, used_at FROM wallet.approvals"
    )
    return {row["id"]: tuple(row)[1:] for row in found}


# The newest of a request


async def newest(rows: WalletRows, digest: bytes = DIGEST, **changed: str) -> Any:
    """The row of a request."""
    asked_by, method = changed.get("asked_by", "ann"), changed.get("method", METHOD)
    (row,) = await rows.pool.many("approval_of", digest, asked_by, method)
    return row


async def test_the_newest_approval_is_of_this_very_request(rows: WalletRows) -> None:
    first, second, third, fourth, fifth = new_ids(5)
    # By when it was asked for, and among those of one moment by its id.
    await approval(rows, id=third, asked_at=ago(minutes=3))
    await approval(rows, id=fourth, asked_at=ago(minutes=4))
    moment = ago(minutes=2)
    for name in (first, fifth, second):
        await approval(rows, id=name, asked_at=moment)
    await approval(rows, asked_at=ago(minutes=1), digest=bytes([1]) * 32)
    await approval(rows, asked_at=ago(minutes=1), asked_by="cid")
    await approval(rows, asked_at=ago(minutes=1), method=FOREIGN)
    assert (await newest(rows))["id"] == fifth


async def test_a_request_that_nobody_made_has_no_approval_and_a_moment(rows: WalletRows) -> None:
    await approval(rows)
    row = await newest(rows, bytes([1]) * 32)
    assert row["id"] is None
    assert isinstance(row["moment"], datetime)
    assert not row["is_used_by_log"]


async def test_the_log_tells_which_approval_was_used(rows: WalletRows) -> None:
    mine = await approval(rows)
    other = await approval(rows, asked_by="cid")

    async def note(action: Action, name: UUID) -> None:
        act = Act(actor="ann", action=action, subject=f"approval {name}", details="")
        await CustodyStore(rows.pool, ORDERS).record(act)

    await note(Action.ASK_APPROVAL, mine)
    await note(Action.USE_APPROVAL, other)
    assert not (await newest(rows))["is_used_by_log"]
    assert (await newest(rows, asked_by="cid"))["is_used_by_log"]
    await note(Action.USE_APPROVAL, mine)
    assert (await newest(rows))["is_used_by_log"]


# Giving and using


async def test_only_what_is_open_is_approved(rows: WalletRows) -> None:
    moment = ago()
    mine = await approval(rows)
    await approval(rows)
    over = await approval(rows, expires_at=moment)
    before = await states(rows)
    assert await rows.pool.execute("approve", over, "bob", moment, MAC) == 0
    assert await states(rows) == before
    assert await rows.pool.execute("approve", mine, "bob", moment, MAC) == 1
    assert await states(rows) == before | {mine: ("bob", moment, None)}
    for taken in (mine, await approval(rows, used=True)):
        assert await rows.pool.execute("approve", taken, "cid", moment, MAC) == 0


async def test_nobody_approves_of_an_own_request(rows: WalletRows) -> None:
    mine = await approval(rows)
    assert await rows.pool.execute("approve", mine, "ann", ago(), MAC) == 0


async def test_only_what_was_approved_is_used_and_once(rows: WalletRows) -> None:
    moment = ago()
    asked = await approval(rows)
    over = await approval(rows, approved=True, expires_at=moment)
    mine = await approval(rows, approved=True)
    await approval(rows, approved=True)
    before = await states(rows)
    for name in (asked, over):
        assert await rows.pool.execute("use_approval", name, moment, MAC) == 0
    assert await states(rows) == before
    assert await rows.pool.execute("use_approval", mine, moment, MAC) == 1
    assert await states(rows) == before | {mine: (*before[mine][:2], moment)}
    assert await rows.pool.execute("use_approval", mine, ago(), MAC) == 0


async def test_an_approval_is_read_by_its_id(rows: WalletRows) -> None:
    await approval(rows)
    mine = await approval(rows, used=True, request='{"a":1}')
    await approval(rows)
    row = await rows.pool.one("approval", mine)
    assert row is not None
    assert (row["id"], row["request"], row["asked_by"]) == (mine, '{"a":1}', "ann")
    assert row["moment"] > row["used_at"] > row["approved_at"]
    assert await rows.pool.one("approval", new_id()) is None


# Lists


async def listed(rows: WalletRows, over: bool, before: UUID | None = None, limit: int = 9) -> Any:
    """The ids, as they come."""
    return [row["id"] for row in await rows.pool.many("approvals", over, before, limit)]


async def test_those_that_can_be_given_or_used_come_newest_first(rows: WalletRows) -> None:
    names = new_ids(5)
    for name in mixed(names):
        await approval(rows, id=name, approved=name == names[2])
    over = [await approval(rows, used=True), await approval(rows, expires_at=ago(seconds=1))]
    backwards = names[::-1]
    assert await listed(rows, False) == backwards
    assert await listed(rows, False, limit=2) == backwards[:2]
    assert await listed(rows, False, before=names[3]) == backwards[2:]
    assert await listed(rows, True) == sorted([*names, *over], reverse=True)
    assert await listed(rows, True, before=names[1]) == [names[0]]


async def test_what_waits_is_counted_by_operator_for_wallet_and_together_for_others(
    rows: WalletRows,
) -> None:
    async def counted(who: str) -> Sequence[int]:
        row = await rows.pool.one("open_approvals", who)
        assert row is not None
        return row["own"], row["brought"]

    assert await counted("ann") == (0, 0)
    for who, method in (("ann", METHOD), ("ann", METHOD), ("cid", METHOD)):
        await approval(rows, asked_by=who, method=method, approved=who == "cid")
    for who in ("ann", "cid", "dan"):
        await approval(rows, asked_by=who, method=FOREIGN)
    await approval(rows, used=True)
    await approval(rows, used=True, method=FOREIGN)
    await approval(rows, expires_at=ago(seconds=1))
    await approval(rows, expires_at=ago(seconds=1), method=FOREIGN)
    assert await counted("ann") == (2, 3)
    assert await counted("cid") == (1, 3)
    assert await counted("dan") == (0, 3)


async def test_what_ends_at_this_moment_is_over(rows: WalletRows) -> None:
    known = await approval(rows, used=True)
    async with rows.pool.transaction() as session:
        found = await session.one("approval", known)
        assert found is not None
        moment = found["moment"]
        asked = (METHOD, DIGEST, "{}", "ann", moment - timedelta(minutes=1))
        await session.execute("insert_approval", new_id(), *asked, moment, MAC)
        row = await session.one("open_approvals", "ann")
        assert row is not None
        assert row["own"] == 0
        assert list(await session.many("approvals", False, None, 9)) == []


# Withdrawals that are there already


async def test_a_withdrawal_is_found_by_its_farmer_and_request(rows: WalletRows) -> None:
    farmer, other, payer = await rows.wallet(), await rows.wallet(), await rows.wallet("payer")
    mine = await rows.payment(farmer, payer)
    await rows.payment(farmer, payer)
    theirs = await rows.payment(other, payer)
    unassigned = await rows.payment(farmer, None)

    async def found(owner: object, request_id: UUID) -> Any:
        row = await rows.pool.one("withdrawal_named", owner, str(request_id))
        return None if row is None else (row["operation_id"], row["wallet_id"], row["payer_id"])

    assert await found(farmer.owner, mine) == (mine, farmer.id, payer.id)
    assert await found(other.owner, theirs) == (theirs, other.id, payer.id)
    assert await found(farmer.owner, theirs) is None
    assert await found(farmer.owner, unassigned) is None


async def test_an_approval_that_was_given_stays_given(rows: WalletRows) -> None:
    mine = await approval(rows, approved=True)
    with pytest.raises(asyncpg.RaiseError, match="was given or used, for good"):
        await rows.connection.execute(
            "UPDATE wallet.approvals SET approved_by = 'dan' WHERE id = $1", mine
        )

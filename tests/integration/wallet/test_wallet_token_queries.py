"""The queries of API tokens and standings over real tables: which they take, which they leave."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.common.grpc.standing import Standing
from libs.common.ids import PoolerId, new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.store.custody import CustodyStore
from services.wallet.store.tokens import TokenStore
from services.wallet.store.wallets import WalletStore
from tests.support.orders import ORDERS
from tests.support.table_rows import mixed, new_ids
from tests.support.wallet_rows import WalletRow, WalletRows, ago

MAC = bytes(34)


async def token(rows: WalletRows, **values: object) -> UUID:
    """An operator's token that counts."""
    name = values.pop("id", None) or new_id()
    assert isinstance(name, UUID)
    row: dict[str, object] = {
        "role": "pooler" if values.get("pooler_id") else "operator",
        "subject": "spiffe://kalepool/operator/ann",
        "name": "a token",
        "methods": [],
        "is_read_only": False,
        "secret_hash": name.bytes * 2,
        "request_id": "",
        "created_by": "ann",
        "created_at": ago(minutes=5),
        "expires_at": ago(minutes=-5),
        "mac": MAC,
    }
    await rows.insert("wallet.tokens", id=name, **row | values)
    return name


async def insert(rows: WalletRows, name: UUID, request_id: str, created_by: str = "ann") -> int:
    """Write one by the query; return how many were written."""
    fixed: tuple[object, ...] = (
        "operator",
        "spiffe://s",
        None,
        "n",
        [],
        False,
        name.bytes * 2,
        request_id,
        created_by,
    )
    return await rows.pool.execute(
        "insert_token", name, *fixed, ago(minutes=1), ago(minutes=-1), MAC
    )


async def names(rows: WalletRows) -> set[UUID]:
    """Of all tokens."""
    return set(await rows.values("wallet.tokens", "name"))


# Making


async def test_a_request_that_is_named_makes_one_token_of_each_maker(rows: WalletRows) -> None:
    one, two, three, four, five = new_ids(5)
    assert await insert(rows, one, "r") == 1
    assert await insert(rows, two, "r") == 0
    assert await insert(rows, three, "r", "bob") == 1
    # One without a name is a request of its own each time.
    assert await insert(rows, four, "") == await insert(rows, five, "") == 1
    assert await names(rows) == {one, three, four, five}
    found = await rows.pool.one("token_of_request", "ann", "r")
    assert found is not None
    assert found["id"] == one
    assert await rows.pool.one("token_of_request", "ann", "s") is None
    assert await rows.pool.one("token_of_request", "cid", "r") is None


# Reading


async def test_a_token_is_found_by_its_hash(rows: WalletRows) -> None:
    await token(rows)
    mine = await token(rows, name="mine")
    await token(rows)
    row = await rows.pool.one("token_of_secret", mine.bytes * 2)
    assert row is not None
    assert (row["id"], row["name"]) == (mine, "mine")
    assert (row["has_ended"], row["is_told_revoked"]) == (False, False)
    assert await rows.pool.one("token_of_secret", bytes(32)) is None


async def test_a_token_ends_at_its_moment(rows: WalletRows) -> None:
    known = await token(rows, expires_at=ago(seconds=1))
    row = await rows.pool.one("token_of_secret", known.bytes * 2)
    assert row is not None
    assert row["has_ended"]
    async with rows.pool.transaction() as session:
        now = await session.one("token", known)
        assert now is not None
        for left, has_ended in ((timedelta(0), True), (timedelta(microseconds=1), False)):
            name = new_id()
            fixed: tuple[object, ...] = (
                "operator",
                "spiffe://s",
                None,
                "n",
                [],
                False,
                name.bytes * 2,
                "",
                "ann",
            )
            ends = now["moment"] + left
            await session.execute("insert_token", name, *fixed, ago(), ends, MAC)
            found = await session.one("token_of_secret", name.bytes * 2)
            assert found is not None
            assert found["has_ended"] is has_ended


async def test_the_log_tells_which_token_was_revoked(rows: WalletRows) -> None:
    mine, other = await token(rows), await token(rows)

    async def note(action: Action, name: UUID) -> None:
        act = Act(actor="ann", action=action, subject=f"token {name}", details="")
        await CustodyStore(rows.pool, ORDERS).record(act)

    async def told(name: UUID) -> bool:
        row = await rows.pool.one("token_of_secret", name.bytes * 2)
        assert row is not None
        return bool(row["is_told_revoked"])

    await note(Action.CREATE_TOKEN, mine)
    await note(Action.REVOKE_TOKEN, other)
    assert (await told(mine), await told(other)) == (False, True)
    await note(Action.REVOKE_TOKEN, mine)
    assert await told(mine)


async def test_a_token_is_read_by_its_id(rows: WalletRows) -> None:
    await token(rows)
    mine = await token(rows, name="mine")
    row = await rows.pool.one("token", mine)
    assert row is not None
    assert (row["id"], row["name"]) == (mine, "mine")
    assert row["created_at"] < row["moment"] < row["expires_at"]
    assert await rows.pool.one("token", new_id()) is None


async def test_tokens_come_newest_first_by_pooler_and_page(rows: WalletRows) -> None:
    pooler, ids = PoolerId(new_id()), new_ids(6)
    for name in mixed(ids):
        await token(rows, id=name, pooler_id=pooler if name in ids[:4] else None)
    await token(rows, pooler_id=new_id(), id=ids[0].__class__(int=1))
    store = TokenStore(rows.pool, ORDERS)

    async def listed(of: PoolerId | None, before: UUID | None = None, limit: int = 9) -> list[UUID]:
        return [one.id for one in await store.tokens(of, before=before, limit=limit)]

    backwards = ids[::-1]
    assert await listed(None) == [*backwards, UUID(int=1)]
    assert await listed(pooler) == backwards[2:]
    assert await listed(pooler, limit=2) == backwards[2:4]
    assert await listed(pooler, before=ids[2]) == backwards[4:]
    assert await listed(None, before=ids[1]) == [ids[0], UUID(int=1)]


async def test_owners_of_tokens_are_told_once_also_for_those_that_are_not_there(
    rows: WalletRows,
) -> None:
    pooler = new_id()
    mine, operators = await token(rows, pooler_id=pooler), await token(rows)
    await token(rows, pooler_id=new_id())
    asked = [mine, mine, operators, new_id()]
    found = await rows.pool.many("owners_of_tokens", asked)
    assert sorted(str(row["pooler_id"]) for row in found) == sorted([str(pooler), "None", "None"])
    assert {row["id"] for row in found} == {mine, operators, None}


# Revoking


async def test_only_a_token_that_counts_is_revoked(rows: WalletRows) -> None:
    moment = ago()
    mine, other = await token(rows), await token(rows)
    gone = await token(rows, revoked_by="bob", revoked_at=ago(minutes=1))
    before = await rows.values("wallet.tokens", "revoked_by")
    assert await rows.pool.execute("revoke_token", gone, "ann", moment, MAC) == 0
    assert await rows.pool.execute("revoke_token", mine, "ann", moment, MAC) == 1
    assert await rows.values("wallet.tokens", "revoked_by") == before | {mine: "ann"}
    assert (await rows.values("wallet.tokens", "revoked_at"))[mine] == moment
    assert before[other] is None


# Keys of access tokens


async def test_keys_come_by_number_and_are_wrapped_anew_where_they_are_as_they_were(
    rows: WalletRows,
) -> None:
    async def keys() -> list[tuple[Any, ...]]:
        found = await rows.pool.many("token_keys")
        assert all(0 <= row["age"] < 600 for row in found)
        return [(row["number"], row["kek_id"], row["wrapped_key"]) for row in found]

    for number in (1, 2, 3):
        assert await rows.pool.execute("insert_token_key", number, "kek", bytes([number])) == 1
    assert await rows.pool.execute("insert_token_key", 3, "another", b"x") == 0
    assert await keys() == [(number, "kek", bytes([number])) for number in (1, 2, 3)]
    for number, kek_id, wrapped in ((4, "kek", b"\2"), (2, "old", b"\2"), (2, "kek", b"\3")):
        changed = await rows.pool.execute("replace_token_key", number, kek_id, wrapped, "new", b"n")
        assert changed == 0
    assert await rows.pool.execute("replace_token_key", 2, "kek", b"\2", "new", b"n") == 1
    assert await keys() == [(1, "kek", b"\1"), (2, "new", b"n"), (3, "kek", b"\3")]


# Standings


async def pooler(rows: WalletRows, *, is_active: bool = True) -> PoolerId:
    """One that registry knows."""
    name = PoolerId(new_id())
    await rows.insert(
        "registry.poolers",
        id=name,
        name="a pooler",
        public_key=f"G{name.hex.upper():A<55}",
        max_farmers=9,
        is_active=is_active,
    )
    return name


async def pause(rows: WalletRows, scope: str, target: UUID | None, *, ended: bool = False) -> None:
    """A pause of signing."""
    end = {"resumed_by": "me", "resumed_at": ago()} if ended else {}
    fixed = {"scope": scope, "target": target, "reason": "a test", "paused_by": "me"}
    await rows.insert("wallet.pauses", id=new_id(), **fixed, **end)


async def test_a_pooler_is_known_where_registry_has_it(rows: WalletRows) -> None:
    known = await pooler(rows)
    store = TokenStore(rows.pool, ORDERS)
    assert await store.is_pooler(known)
    assert not await store.is_pooler(PoolerId(new_id()))


async def test_what_limits_poolers(rows: WalletRows) -> None:
    active, suspended, paused, resumed = [
        await pooler(rows, is_active=number != 1) for number in range(4)
    ]
    await pause(rows, "pooler", paused)
    await pause(rows, "pooler", resumed, ended=True)
    await pause(rows, "everything", None)
    store = TokenStore(rows.pool, ORDERS)

    async def found(*ids: PoolerId) -> set[Standing]:
        return await store.standings_of_poolers(list(map(str, ids)))

    assert await found(active, resumed) == set()
    assert await found(suspended) == {Standing.POOLER_SUSPENDED}
    assert await found(paused) == {Standing.SIGNING_PAUSED}
    assert await found(active, suspended, paused) == {
        Standing.POOLER_SUSPENDED,
        Standing.SIGNING_PAUSED,
    }
    assert await found(PoolerId(new_id())) == set()
    row = await rows.pool.one("standings_of_poolers", [new_id()])
    assert row is not None
    assert tuple(row) == (False, False)


async def farmer(
    rows: WalletRows, status: str = "active", *, here: PoolerId, there: PoolerId | None = None
) -> WalletRow:
    """A farmer with a wallet, of a pooler here and in registry."""
    owner = await rows.wallet(pooler=here)
    await rows.insert(
        "registry.farmers",
        id=owner.owner,
        wallet_id=owner.id,
        custodial_public_key=owner.address,
        pooler_id=there or here,
        status=status,
        request_id=str(owner.id),
        digest=bytes(32),
    )
    return owner


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("active", None),
        ("suspended", Standing.FARMER_SUSPENDED),
        ("leaving", Standing.FARMER_LEAVING),
        ("departed", Standing.FARMER_DEPARTED),
    ],
)
async def test_a_farmers_own_status_limits_it(
    rows: WalletRows, status: str, standing: Standing | None
) -> None:
    home = await pooler(rows)
    mine = await farmer(rows, status, here=home)
    others = [
        await farmer(rows, other, here=home)
        for other in ("active", "suspended", "leaving", "departed")
    ]
    assert await limits(rows, mine) == ({standing} if standing else set())
    # One of several is enough.
    assert await limits(rows, others[0], mine) == ({standing} if standing else set())


async def limits(rows: WalletRows, *owners: WalletRow) -> set[Standing]:
    """What limits these farmers."""
    store = WalletStore(rows.pool, ORDERS)
    return await store.standings_of_farmers([str(item.owner) for item in owners])


async def test_a_pooler_that_is_suspended_limits_farmers_that_are_its_own_here_or_there(
    rows: WalletRows,
) -> None:
    home, bad = await pooler(rows), await pooler(rows, is_active=False)
    assert await limits(rows, await farmer(rows, here=home)) == set()
    for here, there in ((bad, home), (home, bad), (bad, bad)):
        owner = await farmer(rows, here=here, there=there)
        assert await limits(rows, owner) == {Standing.POOLER_SUSPENDED}


async def test_a_farmer_that_registry_does_not_know_is_limited_by_its_pooler_and_pauses(
    rows: WalletRows,
) -> None:
    bad = await pooler(rows, is_active=False)
    assert await limits(rows, await rows.wallet()) == set()
    assert await limits(rows, await rows.wallet(pooler=bad)) == {Standing.POOLER_SUSPENDED}


async def test_pauses_of_a_farmer_or_its_pooler_limit_it(rows: WalletRows) -> None:
    home = await pooler(rows)
    mine, fine = await farmer(rows, here=home), await rows.wallet()
    await pause(rows, "everything", None)
    await pause(rows, "wallet", mine.id, ended=True)
    assert await limits(rows, mine, fine) == set()
    await pause(rows, "wallet", mine.id)
    assert await limits(rows, mine) == {Standing.SIGNING_PAUSED}
    assert await limits(rows, fine) == set()
    other = await farmer(rows, here=home)
    assert await limits(rows, other) == set()
    await pause(rows, "pooler", home)
    assert await limits(rows, other) == {Standing.SIGNING_PAUSED}
    assert await limits(rows, fine) == set()


# KALE that has left


async def test_kale_that_left_within_an_hour_is_told_by_wallet(rows: WalletRows) -> None:
    owner, other, payer = await rows.wallet(), await rows.wallet(), await rows.wallet("payer")
    far, recent = 2**33, ago(minutes=59)

    async def left(state: str, **values: Any) -> UUID:
        return await rows.payment(owner, payer, state=state, **{"requested_at": recent} | values)

    async def sent(state: str, max_time: int, **values: Any) -> UUID:
        # A payer has one transaction in flight.
        own = await rows.wallet("payer")
        carrier = await rows.transaction(own.address, state=state, max_time=max_time, bump_to=9999)
        in_flight = "sent" if state not in {"signed", "sent"} else state
        recently = {"requested_at": recent} | values
        name = await rows.payment(owner, own, state=in_flight, transaction_id=carrier, **recently)
        await rows.place(carrier, 0, name)
        return name

    now = int(ago().timestamp())
    counted = {
        await left("succeeded"),
        await sent("signed", far),
        await sent("sent", far),
        await sent("sent", now - 30),
    }
    for state in ("queued", "failed", "expired"):
        await left(state)
    await left("succeeded", asset="xlm")
    await left("succeeded", requested_at=ago(minutes=61))
    await sent("sent", far, asset="xlm")
    await sent("sent", far, requested_at=ago(minutes=61))
    # No ledger may take these any more.
    await sent("sent", now - 90)
    await sent("failed", far)
    await rows.payment(other, payer, state="succeeded", requested_at=recent)
    found = await rows.pool.many("withdrawn_of", [owner.id])
    assert {row["operation_id"] for row in found} == counted
    assert len(found) == len(counted)
    for row in found:
        assert row["operation_ids"] == ([] if row["id"] is None else [row["operation_id"]])
        assert (row["id"] is None) is (row["state"] == "succeeded")

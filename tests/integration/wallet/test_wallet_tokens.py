"""API tokens in the database: made, exchanged, revoked, and what nobody else can make of them."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
import structlog

from libs.common.db.pool import Database
from libs.common.errors import InvalidArgumentError
from libs.common.grpc.identity import Caller, CallerKind
from libs.common.grpc.standing import Standing
from libs.common.grpc.tokens import LIFE
from libs.common.ids import PoolerId, new_id
from services.wallet.domain.audit import Findings
from services.wallet.domain.errors import (
    PoolerNotFoundError,
    TokenNotFoundError,
    TokenRoleError,
    TokenShownError,
    TokenUnknownError,
)
from services.wallet.domain.tokens import Role, Token, TokenId, hash_of, new_text
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.custody import CustodyStore
from tests.support.database import Connection, DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.tokens import POOLER_ID, new_token
from tests.support.wallet_rows import WalletRows
from tests.support.wallet_tokens import ANN, DOMAIN, Wallet, open_wallet, register

PLANT = "/kalepool.plant.v1.PlantService/Plant"
LIST = "/kalepool.plant.v1.PlantService/ListPlantings"


def pooler(pooler_id: PoolerId) -> Caller:
    name = str(pooler_id)
    return Caller(kind=CallerKind.POOLER, name=name, identity=f"spiffe://{DOMAIN}/pooler/{name}")


@pytest.fixture
async def wallet(pool: Database) -> Wallet:
    return await open_wallet(pool)


@pytest.fixture(autouse=True)
async def registered(rows: WalletRows) -> None:
    """The pooler that most tokens are for."""
    await register(rows, POOLER_ID)


async def refused(wallet: Wallet, text: str) -> None:
    """A token that does not count is refused, and all such are told the same."""
    with pytest.raises(TokenUnknownError) as caught:
        await wallet.tokens.exchange(text)
    assert (caught.value.reason, caught.value.message) == (
        "TOKEN_UNKNOWN",
        "this is no token that counts",
    )


async def test_a_token_is_shown_once_and_exchanged_for_one_that_services_take(
    wallet: Wallet, rows: WalletRows
) -> None:
    new = new_token(methods=(PLANT, LIST))
    text, token = await wallet.tokens.create(new, ANN)
    caller = await wallet.exchanged(text)
    assert caller.identity == f"spiffe://{DOMAIN}/pooler/{new.pooler_id}"
    assert caller.grant is not None
    assert caller.grant.methods == frozenset({PLANT, LIST})
    assert (caller.grant.token_id, caller.grant.is_read_only) == (str(token.id), False)
    assert 0 < caller.grant.ends - time.time() <= LIFE
    # The text is nowhere: not in the row, not in the log.
    (row,) = await rows.connection.fetch("SELECT t::text AS whole FROM wallet.tokens AS t")
    assert text not in row["whole"]
    assert text[3:] not in row["whole"]
    (record,) = await rows.connection.fetch("SELECT * FROM wallet.audit_log")
    assert (record["actor"], record["action"]) == (ANN.identity, "create_token")
    assert record["subject"] == f"token {token.id}"
    assert text not in str(dict(record))


async def test_an_operators_token_speaks_for_the_operator_who_made_it(wallet: Wallet) -> None:
    """Else whoever asks for something could make a second person to agree to it."""
    new = new_token(role=Role.OPERATOR, pooler_id=None, name="bob", is_read_only=True)
    text, token = await wallet.tokens.create(new, ANN)
    caller = await wallet.exchanged(text)
    assert (caller.kind, caller.name) == (CallerKind.OPERATOR, "ann")
    assert (token.subject, token.name) == (ANN.identity, "bob")
    assert caller.grant is not None
    assert caller.grant.is_read_only


async def test_a_pooler_makes_tokens_of_its_own_and_no_operators(wallet: Wallet) -> None:
    new = new_token()
    assert new.pooler_id is not None
    own = pooler(new.pooler_id)
    text, token = await wallet.tokens.create(new, own)
    assert (await wallet.exchanged(text)).identity == token.created_by == own.identity
    with pytest.raises(TokenRoleError):
        await wallet.tokens.create(new_token(role=Role.OPERATOR, pooler_id=None), own)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": "North"}, ["name"]),
        ({"name": "-"}, ["name"]),
        ({"pooler_id": None}, ["pooler_id"]),
        ({"role": Role.OPERATOR}, ["pooler_id"]),
        ({"methods": (PLANT, "Plant")}, ["methods[1]"]),
        ({"methods": ("/kalepool.wallet.v1.CustodyService/ExportKey",)}, ["methods[0]"]),
        ({"methods": ("/kalepool.wallet.v1.TokenService/CreateToken",)}, ["methods[0]"]),
        # A pooler may not call it at all; a token that is read-only may not either.
        ({"methods": ("/kalepool.wallet.v1.WalletService/GetTreasury",)}, ["methods[0]"]),
        ({"methods": (LIST, PLANT), "is_read_only": True, "name": ""}, ["name", "methods[1]"]),
    ],
    ids=str,
)
async def test_what_no_token_can_be_is_refused_by_its_field(
    wallet: Wallet, changes: Mapping[str, Any], fields: list[str]
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await wallet.tokens.create(new_token(**changes), ANN)
    assert [one.field for one in caught.value.violations] == fields


async def test_no_token_is_made_for_a_pooler_that_there_is_not(
    wallet: Wallet, rows: WalletRows
) -> None:
    nobody = PoolerId(new_id())
    for caller in (ANN, pooler(nobody)):
        with pytest.raises(PoolerNotFoundError) as caught:
            await wallet.tokens.create(new_token(pooler_id=nobody), caller)
        assert caught.value.message == f"pooler_id: no pooler {nobody}"
        assert caught.value.metadata == {"pooler_id": str(nobody)}
    assert await wallet.store.tokens(None, before=None, limit=9) == []
    assert await rows.connection.fetch("SELECT 1 FROM wallet.audit_log") == []
    # One that is suspended may come back.
    await register(rows, nobody, is_active=False)
    assert (await wallet.tokens.create(new_token(pooler_id=nobody), ANN))[1].pooler_id == nobody


async def test_a_request_makes_one_token(wallet: Wallet) -> None:
    new = new_token(request_id="r")
    _, token = await wallet.tokens.create(new, ANN)
    with pytest.raises(TokenShownError) as caught:
        await wallet.tokens.create(new, ANN)
    assert caught.value.metadata == {"token_id": str(token.id)}
    bob = replace(ANN, name="bob", identity=f"spiffe://{DOMAIN}/operator/bob")
    await wallet.tokens.create(new, bob)
    for _ in range(2):  # requests without a name
        await wallet.tokens.create(new_token(), ANN)


async def test_a_token_that_is_unknown_ended_or_revoked_is_refused_alike(
    wallet: Wallet, rows: WalletRows
) -> None:
    await refused(wallet, new_text())
    await refused(wallet, "no token at all")
    ended, _ = await wallet.tokens.create(new_token(seconds=-1), ANN)
    await refused(wallet, ended)
    text, token = await wallet.tokens.create(new_token(), ANN)
    before = await wallet.exchanged(text)
    revoked = await wallet.tokens.revoke(token.id, actor=ANN.identity)
    assert revoked.revoked_by == ANN.identity
    assert revoked.revoked_at is not None
    await refused(wallet, text)
    # Doing it twice changes nothing, and is recorded once.
    again = await wallet.tokens.revoke(token.id, actor="somebody else")
    assert again == revoked
    with pytest.raises(TokenNotFoundError):
        await wallet.tokens.revoke(TokenId(new_id()), actor=ANN.identity)
    records = await rows.connection.fetch(
        "SELECT actor, subject FROM wallet.audit_log WHERE action = 'revoke_token'"
    )
    assert [tuple(row) for row in records] == [(ANN.identity, f"token {token.id}")]
    # What was given before has its minute, and no more.
    assert before.grant is not None
    assert before.grant.ends <= time.time() + LIFE


async def test_an_access_token_never_outlives_its_token(wallet: Wallet) -> None:
    text, token = await wallet.tokens.create(new_token(seconds=20), ANN)
    found = await wallet.tokens.exchange(text)
    assert found.expires_at <= token.expires_at
    caller = await wallet.check.caller(found.access_token, via="here")
    assert caller.grant is not None
    assert caller.grant.ends == int(token.expires_at.timestamp())


async def test_tokens_are_listed_newest_first_and_pooler_by_pooler(
    wallet: Wallet, rows: WalletRows
) -> None:
    one, other = PoolerId(new_id()), PoolerId(new_id())
    await register(rows, one, other)
    made = [
        (await wallet.tokens.create(new_token(pooler_id=whose), ANN))[1]
        for whose in (one, other, one)
    ]
    ids = [token.id for token in made]
    store = wallet.store
    assert [token.id for token in await store.tokens(None, before=None, limit=9)] == ids[::-1]
    assert [token.id for token in await store.tokens(one, before=None, limit=9)] == [
        ids[2],
        ids[0],
    ]
    assert [token.id for token in await store.tokens(one, before=ids[2], limit=9)] == [ids[0]]
    assert [token.id for token in await store.tokens(None, before=None, limit=1)] == [ids[2]]
    assert await store.owners([str(ids[0]), str(ids[2])]) == {str(one)}
    assert await store.owners([str(ids[0]), str(ids[1])]) == {str(one), str(other)}
    assert await store.owners([str(new_id())]) == {""}


async def test_an_operators_token_is_no_poolers(wallet: Wallet) -> None:
    _, token = await wallet.tokens.create(new_token(role=Role.OPERATOR, pooler_id=None), ANN)
    assert await wallet.store.owners([str(token.id)]) == {""}


async def test_a_suspended_poolers_standing_is_told(wallet: Wallet, rows: WalletRows) -> None:
    active, suspended = PoolerId(new_id()), PoolerId(new_id())
    await register(rows, active)
    await register(rows, suspended, is_active=False)
    standings = wallet.store.standings_of_poolers
    assert await standings([str(active)]) == set()
    assert await standings([str(suspended)]) == {Standing.POOLER_SUSPENDED}
    assert await standings([str(new_id())]) == set()


# Attacks with passwords of the database ---------------------------------------------------------


@pytest.mark.parametrize("service", ["registry", "plant", "work", "harvest"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM wallet.tokens",
        "SELECT 1 FROM wallet.token_keys",
        "UPDATE wallet.tokens SET revoked_by = NULL",
        "DELETE FROM wallet.tokens",
        "INSERT INTO wallet.token_keys (number, kek_id, wrapped_key) VALUES (9, 'x', 'x')",
        "INSERT INTO wallet.tokens (id) VALUES (gen_random_uuid())",
    ],
)
async def test_another_services_password_reaches_no_token(
    database: DatabaseAccess, service: str, statement: str
) -> None:
    async with connect(database.dsn(service)) as thief:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await thief.execute(statement)


async def insert_forged(connection: Connection, token: Token, **changes: Any) -> str:
    """Write a token of one's own beside a real one, with all of it but what is changed."""
    text = new_text()
    row = dict(
        await connection.fetchrow("SELECT * FROM wallet.tokens WHERE id = $1", token.id) or {}
    )
    row |= {"id": new_id(), "secret_hash": hash_of(text), **changes}
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await connection.execute(
        f"INSERT INTO wallet.tokens ({', '.join(row)}) VALUES ({places})",  # noqa: S608
        *row.values(),
    )
    return text


async def test_wallets_password_makes_no_token(wallet: Wallet, database: DatabaseAccess) -> None:
    """Neither with an authenticator of somebody's own, nor with that of a real token."""
    _, token = await wallet.tokens.create(new_token(), ANN)
    operator: dict[str, Any] = {"role": "operator", "pooler_id": None, "subject": ANN.identity}
    async with connect(database.dsn("wallet")) as thief:
        forged = [
            await insert_forged(thief, token),
            await insert_forged(thief, token, mac=bytes(34)),
            await insert_forged(thief, token, **operator),
        ]
        with structlog.testing.capture_logs() as lines:
            for text in forged:
                await refused(wallet, text)
        told = [line for line in lines if line["event"] == "token not written by wallet"]
        assert len(told) == len(forged)
        assert all(line["log_level"] == "critical" for line in told)


#: Changes of a real token, as its thief would like it.
CHANGES = [
    "subject = 'spiffe://kalepool/operator/ann'",
    "role = 'operator', pooler_id = NULL, subject = 'spiffe://kalepool/operator/ann'",
    "pooler_id = gen_random_uuid()",
    "methods = '{}'",
    "methods = array_append(methods, '/kalepool.plant.v1.PlantService/Plant')",
    "is_read_only = false",
    "expires_at = expires_at + interval '1 year'",
    "created_at = created_at + interval '1 second'",
    "created_by = 'somebody'",
    "name = 'south'",
]


@pytest.mark.parametrize("change", CHANGES)
async def test_nobody_changes_what_a_token_may(
    wallet: Wallet, rows: WalletRows, database: DatabaseAccess, change: str
) -> None:
    """Wallet's own role has no right to; and with all rights the token counts for nothing."""
    new = new_token(methods=(LIST,), is_read_only=True)
    text, _ = await wallet.tokens.create(new, ANN)
    statement = f"UPDATE wallet.tokens SET {change}"  # noqa: S608  (the test's own words)
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await thief.execute(statement)
    await wallet.exchanged(text)
    await rows.connection.execute(statement)
    await refused(wallet, text)


async def test_a_hash_that_was_put_in_anothers_place_counts_for_nothing(
    wallet: Wallet, rows: WalletRows
) -> None:
    """A thief who has a token of its own makes it the token of an operator."""
    own, poolers = await wallet.tokens.create(new_token(), ANN)
    new = new_token(role=Role.OPERATOR, pooler_id=None)
    text, operators = await wallet.tokens.create(new, ANN)
    connection = rows.connection
    await connection.execute("DELETE FROM wallet.tokens WHERE id = $1", poolers.id)
    await connection.execute(
        "UPDATE wallet.tokens SET secret_hash = $2 WHERE id = $1", operators.id, hash_of(own)
    )
    await refused(wallet, own)
    await refused(wallet, text)


async def test_a_revocation_cannot_be_taken_back(
    wallet: Wallet, rows: WalletRows, database: DatabaseAccess
) -> None:
    text, token = await wallet.tokens.create(new_token(), ANN)
    before = await rows.connection.fetchval("SELECT mac FROM wallet.tokens")
    await wallet.tokens.revoke(token.id, actor=ANN.identity)
    back = "UPDATE wallet.tokens SET revoked_by = NULL, revoked_at = NULL, mac = $1"
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.RaiseError, match="for good"):
            await thief.execute(back, before)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await thief.execute("DELETE FROM wallet.tokens")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await thief.execute("ALTER TABLE wallet.tokens DISABLE TRIGGER ALL")
    # With all rights, and the authenticator from before: the audit log tells.
    async with rows.connection.transaction():
        await rows.connection.execute("SET LOCAL session_replication_role = 'replica'")
        await rows.connection.execute(back, before)
    with structlog.testing.capture_logs() as lines:
        await refused(wallet, text)
    assert [line["event"] for line in lines] == ["token was revoked by the audit log"]


@pytest.mark.parametrize("is_by_another", [False, True], ids=["revoked here", "seen here"])
async def test_a_revocation_cannot_be_taken_back_together_with_its_record(
    pool: Database, rows: WalletRows, *, is_by_another: bool
) -> None:
    """By somebody with all rights, while a process runs that revoked it or saw it revoked."""
    wallet = await open_wallet(pool)
    text, token = await wallet.tokens.create(new_token(), ANN)
    before = await rows.connection.fetchval("SELECT mac FROM wallet.tokens")
    if is_by_another:
        await (await open_wallet(pool)).tokens.revoke(token.id, actor=ANN.identity)
        await refused(wallet, text)
    else:
        await wallet.tokens.revoke(token.id, actor=ANN.identity)
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute("DELETE FROM wallet.audit_log WHERE action = 'revoke_token'")
    await rows.connection.execute(
        "UPDATE wallet.tokens SET revoked_by = NULL, revoked_at = NULL, mac = $1", before
    )
    with structlog.testing.capture_logs() as lines:
        await refused(wallet, text)
    assert [line["event"] for line in lines] == ["token was revoked"]


async def test_a_revocation_that_wallet_did_not_write_is_seen(
    wallet: Wallet, database: DatabaseAccess
) -> None:
    """Whoever has wallet's password can keep a token from counting, but not unnoticed."""
    text, _ = await wallet.tokens.create(new_token(), ANN)
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute("UPDATE wallet.tokens SET revoked_by = 'x', revoked_at = now()")
    with structlog.testing.capture_logs() as lines:
        await refused(wallet, text)
    assert [line["event"] for line in lines] == ["token not written by wallet"]


async def test_the_audit_log_is_held_against_tokens_both_ways(
    wallet: Wallet, rows: WalletRows, database: DatabaseAccess
) -> None:
    _, token = await wallet.tokens.create(new_token(), ANN)
    _, other = await wallet.tokens.create(new_token(), ANN)
    await wallet.tokens.revoke(token.id, actor=ANN.identity)

    async def found() -> list[str]:
        findings, check = Findings(), AuditCheck(rows.pool)
        async for page in CustodyStore(rows.pool, ORDERS).records():
            await check.records(page, findings)
        await check.rows(findings)
        return findings.words()

    assert await found() == []
    async with connect(database.dsn("wallet")) as thief:
        await insert_forged(thief, token)
    (forged,) = await found()
    assert "the audit log has no record of token" in forged
    await rows.connection.execute("DELETE FROM wallet.tokens WHERE id <> $1", other.id)
    assert await found() == [
        "what record 1 tells of is not there",
        "what record 3 tells of is not there",
    ]

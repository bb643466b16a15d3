"""Keys that sign access tokens: made, opened, replaced, and what nobody else can make of them."""

from contextlib import suppress
from datetime import timedelta

import asyncpg
import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.db.pool import Database
from libs.common.grpc.tokens import TokenInvalidError
from services.wallet.domain.audit import Action
from services.wallet.domain.errors import TokenKeysMissingError
from services.wallet.engine.rotation import KeyRotator
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KeyProviderError
from services.wallet.keys.token_keys import SealedTokenKey, seal_token_key
from services.wallet.store.custody import CustodyStore
from services.wallet.store.keys import KeyStore
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.tokens import POOLER_ID, new_token
from tests.support.wallet_rows import WalletRows
from tests.support.wallet_tokens import ANN, MASTER_KEY, PROVIDER, Wallet, open_wallet, register

NEW = bytes([9]) * 32


@pytest.fixture
async def wallet(pool: Database) -> Wallet:
    return await open_wallet(pool)


@pytest.fixture(autouse=True)
async def registered(rows: WalletRows) -> None:
    """The pooler that most tokens are for."""
    await register(rows, POOLER_ID)


async def age(rows: WalletRows, seconds: float) -> None:
    """Make all keys older."""
    await rows.connection.execute(
        "UPDATE wallet.token_keys SET created_at = created_at - $1::interval",
        timedelta(seconds=seconds),
    )


async def test_every_process_signs_with_the_same_key(pool: Database, rows: WalletRows) -> None:
    one, other = await open_wallet(pool), await open_wallet(pool)
    assert one.keys.current.key_id == other.keys.current.key_id
    text, _ = await one.tokens.create(new_token(), ANN)
    found = await one.tokens.exchange(text)
    assert (await other.check.caller(found.access_token, via="here")).name
    assert await rows.connection.fetchval("SELECT count(*) FROM wallet.token_keys") == 1


async def test_a_key_is_replaced_while_tokens_go_on(pool: Database, rows: WalletRows) -> None:
    wallet = await open_wallet(pool)
    text, _ = await wallet.tokens.create(new_token(), ANN)
    first = wallet.keys.current.key_id
    before = await wallet.tokens.exchange(text)
    second = await wallet.keys.replace(actor=ANN.identity)
    assert [key.key_id for key in wallet.keys.public] == [first, second]
    assert wallet.keys.current.key_id == first, "nobody knows the new one yet"
    await age(rows, 121)
    await wallet.keys.open()
    assert wallet.keys.current.key_id == second
    assert await wallet.check.caller(before.access_token, via="here")
    after = await wallet.tokens.exchange(text)
    assert jwt.get_unverified_header(after.access_token)["kid"] == second
    await age(rows, 120)
    await wallet.keys.open()
    assert [key.key_id for key in wallet.keys.public] == [second]
    with pytest.raises(TokenInvalidError):
        await wallet.check.caller(before.access_token, via="here")
    (record,) = await CustodyStore(rows.pool, ORDERS).latest(
        before=None, action=Action.REPLACE_TOKEN_KEY.value, limit=10
    )
    assert (record.actor, record.subject) == (ANN.identity, "token key 2")


async def test_wallets_password_adds_no_key_that_signs(
    pool: Database, rows: WalletRows, database: DatabaseAccess
) -> None:
    wallet = await open_wallet(pool)
    own = await seal_token_key(LocalKeyProvider(NEW), 2)
    real = (await KeyStore(pool, ORDERS).token_keys())[0]
    async with connect(database.dsn("wallet")) as thief:
        insert = "INSERT INTO wallet.token_keys (number, kek_id, wrapped_key) VALUES ($1, $2, $3)"
        kek = await PROVIDER.current_kek()
        await thief.execute(insert, 2, kek, own.wrapped_key)
        await thief.execute(insert, 3, kek, real.wrapped_key)  # a real key at another's place
        await thief.execute(insert, 4, "local:unknown", b"x")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await thief.execute("UPDATE wallet.token_keys SET created_at = '2020-01-02'")
    await age(rows, 10_000)
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            await wallet.keys.open()
    told = [line["number"] for line in lines if line["event"] == "key of tokens does not open"]
    assert told == [2, 3, 4]
    assert [key.number for key in wallet.keys.public] == [1]
    claims = {"sub": ANN.identity}
    private = Ed25519PrivateKey.generate()
    headers = {"typ": "at+jwt", "kid": wallet.keys.current.key_id}
    with pytest.raises(TokenInvalidError):
        token = jwt.encode(claims, private, algorithm="EdDSA", headers=headers)
        await wallet.check.caller(token, via="here")
    # A key that is made now comes after all of these, and signs in its turn.
    key_id = await wallet.keys.replace(actor=ANN.identity)
    await age(rows, 121)
    await wallet.keys.open()
    assert wallet.keys.current.key_id == key_id


@pytest.mark.parametrize("is_restarted", [False, True], ids=["running", "started anew"])
async def test_a_key_that_was_replaced_signs_no_more_when_the_newer_one_is_spoilt(
    pool: Database, rows: WalletRows, database: DatabaseAccess, is_restarted: bool
) -> None:
    """Somebody stole it, and writes the newer one over with wallet's password."""
    wallet = await open_wallet(pool)
    stolen = wallet.keys.current
    second = await wallet.keys.replace(actor=ANN.identity)
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute(
        "UPDATE wallet.audit_log SET at = at - interval '1 hour' WHERE action = 'replace_token_key'"
    )
    await age(rows, 3600)
    await wallet.keys.open()
    assert [key.key_id for key in wallet.keys.public] == [second]
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute("UPDATE wallet.token_keys SET wrapped_key = 'x' WHERE number = 2")
    if is_restarted:
        keys = TokenKeys(PROVIDER, KeyStore(pool, ORDERS))
        with pytest.raises(KeyProviderError, match="from number 2 on"):
            await keys.open()
    else:
        with pytest.raises(KeyProviderError, match="from number 2 on"):
            await wallet.keys.open()
        # What is open goes on.
        keys = wallet.keys
        assert [key.key_id for key in keys.public] == [second]
    with suppress(TokenKeysMissingError):
        assert keys.known(stolen.key_id) is None
    # An operator makes another one.
    third = await keys.replace(actor=ANN.identity)
    assert keys.current.key_id == third
    assert keys.known(stolen.key_id) is None


async def test_a_number_at_the_end_keeps_no_key_from_being_replaced(
    wallet: Wallet, rows: WalletRows, database: DatabaseAccess
) -> None:
    insert = (
        "INSERT INTO wallet.token_keys (number, kek_id, wrapped_key, created_at) "
        "VALUES ($1, 'x', 'x', {})"
    )
    async with connect(database.dsn("wallet")) as thief:
        for number, moment in ((2**31 - 1, "now()"), (3, "now()"), (2, "'2026-01-01Z'")):
            with pytest.raises(asyncpg.CheckViolationError, match="does not follow"):
                await thief.execute(insert.format(moment), number)
    assert await wallet.keys.replace(actor=ANN.identity)


async def test_without_any_key_that_opens_nothing_is_signed(pool: Database) -> None:
    await open_wallet(pool)
    with pytest.raises(KeyProviderError, match="no key of tokens"):
        await open_wallet(pool, LocalKeyProvider(NEW))


async def test_a_rotation_brings_the_keys_under_the_new_kek(
    pool: Database, rows: WalletRows
) -> None:
    wallet = await open_wallet(pool)
    await wallet.keys.replace(actor=ANN.identity)
    text, _ = await wallet.tokens.create(new_token(), ANN)
    before = await wallet.tokens.exchange(text)
    both = LocalKeyProvider(NEW, MASTER_KEY)
    rotator = KeyRotator(both, KeyStore(pool, ORDERS), Wakeup())
    await rotator.start(actor=ANN.identity)
    while await rotator.step():
        pass
    status = await rotator.status()
    assert [(use.kek_id, use.keys) for use in status.keks] == [(await both.current_kek(), 2)]
    assert status.rotation is not None
    assert status.rotation.failed == 0
    after = await open_wallet(pool, LocalKeyProvider(NEW))
    assert await after.check.caller(before.access_token, via="here")


async def test_a_sealed_key_shows_nothing(pool: Database) -> None:
    await open_wallet(pool)
    (sealed,) = await KeyStore(pool, ORDERS).token_keys()
    assert isinstance(sealed, SealedTokenKey)
    assert sealed.wrapped_key.hex() not in repr(sealed)

"""Vault in particular: tokens that end, are renewed, replaced or refused; keys that do not fit."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.wallet.domain.errors import KeysUnavailableError
from services.wallet.keys.provider import KEY_BYTES, KeyProviderError, MasterKeyError
from services.wallet.keys.vault import BATCH, VaultKeyProvider
from services.wallet.keys.vault_session import (
    AppRole,
    Login,
    TokenFile,
    VaultSession,
    open_session,
)
from tests.support.key_servers import Bao

DATA_KEY = bytes(KEY_BYTES)


@dataclass(frozen=True, kw_only=True)
class Access:
    """A session, and the provider that uses it."""

    #: The session.
    session: VaultSession
    #: The provider.
    provider: VaultKeyProvider


@pytest.fixture
async def key(bao: Bao) -> str:
    """The name of a fresh transit key, and of the policy to use it."""
    name = f"key-{secrets.token_hex(4)}"
    await bao.make_key(name)
    return name


@asynccontextmanager
async def opened(bao: Bao, key: str, login: Login, *, timeout: float = 5) -> AsyncIterator[Access]:
    """Access with this login."""
    async with open_session(
        bao.address, namespace="", ca_file=None, timeout=timeout, login=login
    ) as session:
        provider = VaultKeyProvider(session, mount="transit", key=key)
        yield Access(session=session, provider=provider)


async def app_role(bao: Bao, key: str, folder: Path, **options: str) -> AppRole:
    """A login with an AppRole that may use the key."""
    role_id, secret_id = await bao.app_role(key, **options)
    file = folder / "secret_id"
    file.write_text(secret_id + "\n")
    return AppRole(mount="approle", role_id=role_id, secret_id_file=file)


async def test_an_app_role_is_enough(bao: Bao, key: str, tmp_path: Path) -> None:
    async with opened(bao, key, await app_role(bao, key, tmp_path)) as access:
        wrapped = await access.provider.wrap(DATA_KEY, b"context")
        assert wrapped.kek_id == f"vault:transit/{key}:v1"
        assert await access.provider.unwrap([wrapped]) == [DATA_KEY]


async def test_more_keys_than_one_request_takes(bao: Bao, key: str, tmp_path: Path) -> None:
    async with opened(bao, key, await app_role(bao, key, tmp_path)) as access:
        wrapped = await access.provider.wrap(DATA_KEY, b"context")
        found = await access.provider.unwrap([wrapped] * (2 * BATCH + 1))
        assert found == [DATA_KEY] * (2 * BATCH + 1)


async def test_a_short_token_is_renewed_and_at_its_end_replaced(
    bao: Bao, key: str, tmp_path: Path
) -> None:
    login = await app_role(bao, key, tmp_path, token_ttl="3s", token_max_ttl="6s")
    tokens: set[str] = set()
    started = time.monotonic()
    async with opened(bao, key, login) as access:
        while time.monotonic() < started + 8:
            await access.provider.current_kek()
            token = access.session._token
            assert token is not None
            tokens.add(token.value)
            await asyncio.sleep(0.5)
    # One for every six seconds; without renewals there is one for every three.
    assert 2 <= len(tokens) <= 1 + (time.monotonic() - started) // 6


async def test_a_revoked_token_is_replaced_at_once(bao: Bao, key: str, tmp_path: Path) -> None:
    async with opened(bao, key, await app_role(bao, key, tmp_path)) as access:
        await access.provider.current_kek()
        token = access.session._token
        assert token is not None
        assert token.value not in repr(token)
        await bao.ask("POST", "auth/token/revoke", {"token": token.value})
        asked = [access.provider.wrap(DATA_KEY, b"context") for _ in range(5)]
        assert len({wrapped.kek_id for wrapped in await asyncio.gather(*asked)}) == 1


async def test_a_new_token_in_the_file_is_taken(bao: Bao, key: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("nobody's")
    async with opened(bao, key, TokenFile(path=file)) as access:
        with pytest.raises(KeysUnavailableError, match="VAULT_TOKEN_FILE") as caught:
            await access.provider.current_kek()
        assert "nobody's" not in str(caught.value)
        file.unlink()
        with pytest.raises(KeysUnavailableError, match="VAULT_TOKEN_FILE"):
            await access.provider.current_kek()
        file.write_text(await bao.token(key, ttl="1h") + "\n")
        assert await access.provider.current_kek() == f"vault:transit/{key}:v1"


async def test_a_secret_id_that_is_refused(bao: Bao, key: str, tmp_path: Path) -> None:
    login = await app_role(bao, key, tmp_path)
    login.secret_id_file.write_text("wrong-secret")
    async with opened(bao, key, login) as access:
        with pytest.raises(KeysUnavailableError, match="VAULT_SECRET_ID_FILE") as caught:
            await access.provider.wrap(DATA_KEY, b"")
        assert "wrong-secret" not in str(caught.value)


async def test_what_the_policy_does_not_allow_waits_for_who_mends_it(
    bao: Bao, key: str, tmp_path: Path
) -> None:
    async with opened(bao, "another", await app_role(bao, key, tmp_path)) as access:
        with pytest.raises(KeysUnavailableError, match="permission denied"):
            await access.provider.wrap(DATA_KEY, b"")


async def test_a_key_that_is_not_there_or_does_not_fit(bao: Bao, tmp_path: Path) -> None:
    root = tmp_path / "token"
    root.write_text("root")
    await bao.make_key("signs", kind="ed25519")
    async with opened(bao, "missing", TokenFile(path=root)) as access:
        nowhere = VaultKeyProvider(access.session, mount="nowhere", key="missing")
        with pytest.raises(KeyProviderError, match="nowhere/missing"):
            await nowhere.current_kek()
        with pytest.raises(KeyProviderError, match="nowhere/missing"):
            await nowhere.wrap(DATA_KEY, b"")
        with pytest.raises(KeyProviderError, match="ed25519"):
            await VaultKeyProvider(access.session, mount="transit", key="signs").current_kek()


async def test_versions_that_vault_may_no_longer_use(bao: Bao, key: str, tmp_path: Path) -> None:
    async with opened(bao, key, await app_role(bao, key, tmp_path)) as access:
        old = await access.provider.wrap(DATA_KEY, b"")
        await bao.rotate(key)
        new = await access.provider.wrap(DATA_KEY, b"")
        await bao.ask("POST", f"transit/keys/{key}/config", {"min_decryption_version": 2})
        refused, found = await access.provider.unwrap([old, new])
        assert isinstance(refused, KeyProviderError)
        assert found == DATA_KEY


async def test_a_slow_vault_is_an_outage(bao: Bao, tmp_path: Path) -> None:
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    root = tmp_path / "token"
    root.write_text("root")
    async with open_session(
        f"http://127.0.0.1:{port}",
        namespace="",
        ca_file=None,
        timeout=0.2,
        login=TokenFile(path=root),
    ) as session:
        with pytest.raises(KeysUnavailableError, match="Timeout"):
            await VaultKeyProvider(session, mount="transit", key="k").current_kek()
    silent.close()


async def test_certificates_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "ca"
    for content in ("", "rubbish"):
        file.write_text(content)
        with pytest.raises(MasterKeyError, match="VAULT_CACERT"):
            async with open_session(
                "https://127.0.0.1:1",
                namespace="",
                ca_file=file,
                timeout=1,
                login=TokenFile(path=file),
            ):
                pass

"""Settings of the key providers: what does not fit together is told at the start, by its name."""

import base64
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.wallet.key_settings import KeySettings
from services.wallet.keys.cache import CachedProvider
from services.wallet.keys.keychain import Keychain
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.open_providers import open_keys
from services.wallet.keys.provider import WrappedKey
from services.wallet.keys.vault import VaultKeyProvider
from services.wallet.keys.vault_session import AppRole, TokenFile

KEY = base64.b64encode(b"k" * 32).decode()
VAULT = {"vault_addr": "https://vault.example:8200", "vault_transit_key": "kalepool"}
APP_ROLE = {**VAULT, "vault_role_id": "role", "vault_secret_id_file": Path("secret")}
TOKEN = {**VAULT, "vault_token_file": Path("token")}
AWS = {"aws_kms_key_id": "alias/kalepool", "aws_region": "eu-central-1"}


def settings(**values: Any) -> KeySettings:
    """Settings that read no environment."""
    return KeySettings(_env_file=None, **values)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine counts."""
    for name in KeySettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "MASTER_KEY"),
        ({"master_key": "AAAA"}, "MASTER_KEY"),
        ({"master_key": KEY, "master_key_file": Path("x")}, "MASTER_KEY_FILE"),
        ({"master_key": KEY, "master_key_previous_files": "nowhere"}, "MASTER_KEY_PREVIOUS_FILES"),
        ({"key_provider": "vault"}, "VAULT_ADDR"),
        ({"key_provider": "aws-kms"}, "AWS_KMS_KEY_ID"),
        ({"key_provider": "gcp", "master_key": KEY}, "key_provider"),
        ({"key_provider": "vault", **VAULT}, "VAULT_TOKEN_FILE"),
        ({"key_provider": "vault", **APP_ROLE, **TOKEN}, "VAULT_ROLE_ID"),
        ({"key_provider": "vault", **VAULT, "vault_role_id": "role"}, "VAULT_SECRET_ID_FILE"),
        ({"key_provider": "vault", **TOKEN, "vault_transit_key": ""}, "VAULT_TRANSIT_KEY"),
        ({"key_provider": "vault", **TOKEN, "vault_addr": "http://vault:8200"}, "VAULT_ADDR"),
        ({"key_provider": "vault", **TOKEN, "vault_addr": "vault:8200"}, "VAULT_ADDR"),
        ({"key_provider": "aws-kms", **AWS, "aws_kms_endpoint": "http://kms"}, "AWS_KMS_ENDPOINT"),
        # What is set up beside the provider that seals must be whole, too.
        ({"master_key": KEY, "vault_addr": "https://vault"}, "VAULT_TRANSIT_KEY"),
    ],
)
def test_the_message_names_the_setting_and_no_key(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(named)) as caught:
        settings(**values)
    assert KEY not in str(caught.value)


async def test_local_is_the_default_and_takes_previous_keys(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(base64.b64encode(name.encode() * 32).decode())
    files = f"{tmp_path / 'a'}, {tmp_path / 'b'}"
    chosen = settings(master_key=KEY, master_key_previous_files=files).keys()
    assert chosen.local == [b"k" * 32, b"a" * 32, b"b" * 32]
    assert KEY not in repr(chosen)
    assert repr(b"k" * 32) not in repr(chosen)
    async with open_keys(chosen) as provider:
        assert provider.kind == "local"
        assert provider.holds(await LocalKeyProvider(b"b" * 32).current_kek())


async def test_the_named_provider_seals_and_the_others_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    given = settings(key_provider="vault", master_key=KEY, **AWS, **APP_ROLE)
    async with open_keys(given.keys()) as provider:
        assert provider.kind == "vault"
        for kek_id in (
            await LocalKeyProvider(b"k" * 32).current_kek(),
            "vault:transit/kalepool:v3",
            "aws-kms:arn:aws:kms:eu-central-1:1:key/x",
        ):
            assert provider.holds(kek_id)
        assert not provider.holds("vault:transit/other:v1")
        assert not provider.holds("local:0000000000000000")


def test_ways_to_log_in() -> None:
    vault = settings(key_provider="vault", **TOKEN).keys().vault
    assert vault is not None
    assert vault.login == TokenFile(path=Path("token"))
    vault = settings(key_provider="vault", **APP_ROLE).keys().vault
    assert vault is not None
    assert vault.login == AppRole(mount="approle", role_id="role", secret_id_file=Path("secret"))


@pytest.mark.parametrize("address", ["http://127.0.0.1:8200", "http://[::1]:1", "http://localhost"])
def test_this_machine_needs_no_tls(address: str) -> None:
    settings(key_provider="vault", **{**TOKEN, "vault_addr": address})


async def test_one_provider_is_itself_and_two_are_one(tmp_path: Path) -> None:
    async with open_keys(settings(master_key=KEY).keys()) as provider:
        assert isinstance(provider, LocalKeyProvider)
    (tmp_path / "token").write_text("t")
    token = {**VAULT, "vault_token_file": tmp_path / "token"}
    async with open_keys(settings(master_key=KEY, **token).keys()) as both:
        assert isinstance(both, Keychain)
        assert both.kind == "local"
        assert both.holds(await LocalKeyProvider(b"k" * 32).current_kek())


@pytest.mark.parametrize("seconds", [0, 60])
async def test_keys_of_a_server_are_kept_only_where_that_is_wanted(
    seconds: int, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("t")
    token = {**VAULT, "vault_token_file": tmp_path / "token"}
    chosen = replace(settings(key_provider="vault", **token).keys(), cache_seconds=seconds)
    key = WrappedKey(kek_id="k", ciphertext=b"", context=b"")
    async with open_keys(chosen) as provider:
        if not seconds:
            assert isinstance(provider, VaultKeyProvider)
            return
        assert isinstance(provider, CachedProvider)
        cache = provider._cache
        cache.put(key, b"1")
    # Nothing stays in memory behind it.
    assert len(cache) == 0

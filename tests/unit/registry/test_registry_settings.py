"""registry's settings: what is wrong with webhooks' files is told, and no key is shown."""

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.registry.config import RegistrySettings
from services.registry.domain.joining import JoinLimits

DATABASE = SecretStr("postgresql://nowhere/none")
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(3)]


def settings(**changes: Any) -> RegistrySettings:
    return RegistrySettings(
        transport="plaintext", database_url=SecretStr("postgresql://nowhere/none"), **changes
    )


def test_without_a_key_there_are_no_webhooks() -> None:
    assert settings().webhook_keys() is None


def test_keys_come_from_a_setting_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("\n".join(KEYS) + "\n")
    by_file = settings(webhook_key_file=path).webhook_keys()
    by_value = settings(webhook_key=SecretStr(" ".join(KEYS))).webhook_keys()
    assert by_file is not None
    assert by_file == by_value
    assert len(by_file.by_name) == 3
    one = settings(webhook_key=SecretStr(KEYS[0])).webhook_keys()
    assert one is not None
    assert one.newest == by_file.newest


def test_wrong_keys_and_files_stop_the_start_and_are_named(tmp_path: Path) -> None:
    path, binary = tmp_path / "keys", tmp_path / "binary"
    path.write_text(KEYS[0])
    binary.write_bytes(bytes(range(128, 160)))
    wrong: dict[str, dict[str, Any]] = {
        "set WEBHOOK_KEY or WEBHOOK_KEY_FILE, not both": {
            "webhook_key": SecretStr(KEYS[0]),
            "webhook_key_file": path,
        },
        "WEBHOOK_KEY: key 2 is not base64": {"webhook_key": SecretStr(f"{KEYS[0]} {KEYS[1]}x")},
        "WEBHOOK_KEY_FILE: No such file": {"webhook_key_file": tmp_path / "nowhere"},
        "WEBHOOK_KEY_FILE: is no text": {"webhook_key_file": binary},
        "WEBHOOK_CA_FILE: there is no such file": {"webhook_ca_file": tmp_path / "nowhere"},
    }
    for told, changes in wrong.items():
        with pytest.raises(ValidationError, match=told) as caught:
            settings(**changes)
        assert KEYS[0] not in str(caught.value)


def test_nobody_joins_by_itself_unless_it_is_said() -> None:
    assert settings().join_limits() == JoinLimits(daily=0, owner_daily=1)
    given = settings(self_join_daily=7, self_join_owner_daily=3)
    assert given.join_limits() == JoinLimits(daily=7, owner_daily=3)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("self_join_daily", -1), ("self_join_owner_daily", 0), ("self_join_daily", 1_000_001)],
)
def test_limits_of_who_joins_that_are_none_stop_the_start(name: str, wrong: int) -> None:
    with pytest.raises(ValidationError, match=name):
        settings(**{name: wrong})


def test_files_of_certificates_are_still_looked_at() -> None:
    """registry's own check stands beside that of every service."""
    with pytest.raises(ValidationError, match="TLS_CERT_FILE"):
        RegistrySettings(database_url=DATABASE)


def test_notifications_are_kept_for_longer_than_wallet_keeps_its_notices() -> None:
    with pytest.raises(ValidationError, match="notification_keep_seconds"):
        settings(notification_keep_seconds=30 * 86_400)

"""The values that settings have when nobody sets them, and which values go together."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_core import PydanticUndefined

from libs.batches.config import BatchSettings
from libs.common.authority import make_authority
from libs.common.config import ServiceSettings, Settings
from libs.common.grpc.identity import CallerKind

DATABASE_URL = SecretStr("postgresql://kalepool_test:of-a-test@127.0.0.1/none")
#: As docs/configuration.md tells operators.
SERVICE = {
    "transport": "mtls",
    "tls_cert_file": None,
    "tls_key_file": None,
    "tls_ca_file": None,
    "host": "127.0.0.1",
    "port": 0,
    "token_port": 0,
    "trust_domain": "kalepool",
    "database_url": PydanticUndefined,
    "database_ca_file": None,
    "database_pgbouncer": False,
    "database_pool_size": 20,
    "database_timeout": 30_000,
    "database_lock_timeout_ms": 10_000,
    "stellar_network": "localnet",
    "kale_contract_id": "",
    "log_level": "info",
    "metrics_port": 0,
    "metrics_host": "127.0.0.1",
    "api_rate_limit": 100,
    "api_rate_limits": "",
    "max_calls_in_progress": 1000,
    "max_connections": 4096,
    "handshake_timeout_ms": 5000,
    "max_streams_per_caller": 100,
    "second_person_seconds": 0,
    "request_timeout": 30_000,
    "batch_timeout": 240_000,
    "shutdown_grace_ms": 10_000,
    "max_farmers": 1000,
    "self_join_daily": 0,
    "max_request_bytes": 4_194_304,
    "registry_target": "127.0.0.1:50051",
    "wallet_target": "127.0.0.1:50052",
    "plant_target": "127.0.0.1:50053",
    "work_target": "127.0.0.1:50054",
    "harvest_target": "127.0.0.1:50055",
}
BATCHES = SERVICE | {"max_batch_size": 50, "parallel_limit": 10, "recovery_seconds": 5.0}


def defaults_of(settings: type[Settings]) -> dict[str, object]:
    return {name: field.default for name, field in settings.model_fields.items()}


def test_a_service_has_these_values_unless_others_are_set() -> None:
    assert defaults_of(ServiceSettings) == SERVICE
    assert defaults_of(BatchSettings) == BATCHES


def made(**values: Any) -> ServiceSettings:
    return ServiceSettings(_env_file=None, database_url=DATABASE_URL, **values)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The settings of a service with certificates."""
    authority = make_authority("pool.example")
    authority.save(tmp_path)
    certificate, key = authority.issue(CallerKind.SERVICE, "plant").save(tmp_path, "plant")
    return {
        "tls_cert_file": certificate,
        "tls_key_file": key,
        "tls_ca_file": tmp_path / "ca.pem",
    }


#: What needs certificates, and what is told of it.
CERTAIN = [
    ({"host": "0.0.0.0"}, "HOST must be 127.0.0.1"),  # noqa: S104
    ({"token_port": 1}, "TOKEN_PORT needs TRANSPORT=mtls"),
    ({"second_person_seconds": 1}, "SECOND_PERSON_SECONDS needs TRANSPORT=mtls"),
]


@pytest.mark.parametrize(("values", "told"), CERTAIN)
def test_what_needs_certificates_is_refused_without_them(
    values: dict[str, Any], told: str, files: dict[str, Path]
) -> None:
    assert made(transport="plaintext").transport == "plaintext"
    with pytest.raises(ValidationError, match=told):
        made(transport="plaintext", **values)
    settings = made(**files, **values)
    assert {name: getattr(settings, name) for name in values} == values


def test_settings_stay_as_they_were_read() -> None:
    settings, name = made(transport="plaintext"), "port"
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, name, 7)


def test_a_value_that_is_refused_is_not_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        made(transport="plaintext", database_pool_size="a secret in the wrong place")
    assert "a secret in the wrong place" not in str(caught.value)


def test_secrets_are_values_and_passwords_in_addresses() -> None:
    found = made(transport="plaintext").secrets()
    assert found == {DATABASE_URL.get_secret_value(), "of-a-test"}
    bare = SecretStr("postgresql://kalepool_test@127.0.0.1/none")
    without = ServiceSettings(_env_file=None, transport="plaintext", database_url=bare)
    assert without.secrets() == {bare.get_secret_value()}


def test_settings_are_read_from_a_folder_of_secrets(tmp_path: Path) -> None:
    (tmp_path / "database_url").write_text("postgresql://from-a-file@127.0.0.1/none")
    code = (
        "from libs.common.config import ServiceSettings;"
        "print(ServiceSettings().database_url.get_secret_value())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            "PYTHONPATH": os.pathsep.join(sys.path),
            "SECRETS_DIR": str(tmp_path),
            "TRANSPORT": "plaintext",
        },
    )
    assert done.stdout == "postgresql://from-a-file@127.0.0.1/none\n"

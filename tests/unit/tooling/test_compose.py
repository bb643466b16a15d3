"""docker-compose.yml says nothing that the code, the images or the compose format do not know."""

import importlib
import importlib.util
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from libs.common.authority import make_authority
from libs.common.names import SERVICES
from localnet.config import LocalnetSettings
from scripts.make_secrets import secret_files
from services.migrations import MigrationSettings

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name in CONTAINERS if name != "postgres")
#: Read by libs.common.config itself: the folder in which all settings are looked up as files.
PROCESS_VARIABLES = {"SECRETS_DIR"}
#: Documented by the image `postgres`.
POSTGRES_VARIABLES = {"POSTGRES_DB", "POSTGRES_PASSWORD_FILE"}
#: `python -m <module> <words>` that the code knows.
COMMANDS = {
    "migrate": ("services", ["migrate"]),
    "localnet": ("localnet", []),
    **{name: (f"services.{name}", ["serve"]) for name in SERVICES},
}
INTERPOLATION = re.compile(r"\$\{(?P<name>[A-Z_]+):?-(?P<default>[^}]*)\}")


def settings_of(container: str) -> type[BaseSettings]:
    """The settings class that the container's process reads."""
    if container == "migrate":
        return MigrationSettings
    if container == "localnet":
        return LocalnetSettings
    module = importlib.import_module(f"services.{container}.config")
    return getattr(module, f"{container.capitalize()}Settings")  # type: ignore[no-any-return]


def known_variables(container: str) -> set[str]:
    """Names of the environment variables that the container's process reads."""
    settings = settings_of(container)
    prefix = str(settings.model_config.get("env_prefix", ""))
    return {f"{prefix}{field}".upper() for field in settings.model_fields} | PROCESS_VARIABLES


def environment(container: str) -> dict[str, str]:
    """The container's variables; outer variables count as not set."""
    given: dict[str, str] = CONTAINERS[container].get("environment", {})
    return {name: INTERPOLATION.sub(r"\g<default>", str(text)) for name, text in given.items()}


def mounted_secrets(container: str) -> Iterator[tuple[str, str]]:
    """The source's name and the file's name in the container."""
    for secret in CONTAINERS[container].get("secrets", []):
        if isinstance(secret, str):
            yield secret, secret
        else:
            yield secret["source"], secret["target"]


def test_the_file_fits_the_compose_schema() -> None:
    checker = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_services_and_their_surroundings_are_there() -> None:
    assert set(CONTAINERS) == {"postgres", "migrate", "localnet", *SERVICES}
    assert CONTAINERS["localnet"]["profiles"] == ["localnet"]
    assert {CONTAINERS[name]["image"] for name in OURS} == {"kalepool:local"}


@pytest.mark.parametrize("container", OURS)
def test_the_command_is_one_that_the_code_knows(container: str) -> None:
    module, words = COMMANDS[container]
    assert CONTAINERS[container]["command"] == ["python", "-m", module, *words]
    assert importlib.util.find_spec(f"{module}.__main__") is not None


@pytest.mark.parametrize("container", OURS)
def test_every_variable_is_one_that_the_code_reads(container: str) -> None:
    assert set(environment(container)) <= known_variables(container)


@pytest.mark.parametrize("container", OURS)
def test_the_settings_accept_the_values(
    container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in known_variables(container):
        monkeypatch.delenv(name, raising=False)
    for name, text in environment(container).items():
        monkeypatch.setenv(name, text)
    generated = secret_files(make_authority("kalepool"))
    for source, target in mounted_secrets(container):
        (tmp_path / target).write_text(generated[source], encoding="utf-8")
    for name, text in environment(container).items():
        if text.startswith("/run/secrets/"):
            monkeypatch.setenv(name, str(tmp_path / Path(text).name))
    # No .env of the developer counts here.
    monkeypatch.chdir(tmp_path)
    settings = settings_of(container)(_secrets_dir=tmp_path)
    assert getattr(settings, "host", "0.0.0.0") == "0.0.0.0"  # noqa: S104  (inside a container)


def test_postgres_gets_only_what_its_image_knows() -> None:
    assert set(environment("postgres")) <= POSTGRES_VARIABLES
    assert re.fullmatch(r"postgres:18\.\d+(-\w+)?", CONTAINERS["postgres"]["image"])


def test_every_secret_is_declared_and_made() -> None:
    declared = COMPOSE["secrets"]
    assert set(declared) == set(secret_files(make_authority("kalepool")))
    for name, secret in declared.items():
        assert secret == {"file": f"./deploy/secrets/{name}"}
    used = {source for container in CONTAINERS for source, _ in mounted_secrets(container)}
    assert used == set(declared)


def test_only_wallet_gets_the_master_key() -> None:
    holders = [name for name in CONTAINERS if "wallet_master_key" in dict(mounted_secrets(name))]
    assert holders == ["wallet"]


@pytest.mark.parametrize("service", SERVICES)
def test_ports_probes_and_targets_agree(service: str) -> None:
    container = CONTAINERS[service]
    port = environment(service)["PORT"]
    assert container["ports"] == [f"127.0.0.1:{port}:{port}"]
    probe = [sys.executable, *container["healthcheck"]["test"][2:]]
    assert probe[1:] == ["-m", "libs.common.grpc.probe", f"127.0.0.1:{port}"]
    assert importlib.util.find_spec("libs.common.grpc.probe") is not None
    for other in SERVICES:
        assert environment(other)[f"{service.upper()}_TARGET"] == f"{service}:{port}"
    assert settings_of(service).model_fields["port"].default == int(port)


def test_the_variables_that_the_head_comment_names_are_the_ones_that_count() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    used = {match["name"] for match in INTERPOLATION.finditer(text)}
    named = set(re.findall(r"^#   ([A-Z_]+)  ", text, flags=re.MULTILINE))
    assert used == named

"""docker-compose.yml says nothing that the code, the images or the compose format do not know."""

import importlib
import importlib.util
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from gateway.config import GatewaySettings
from libs.common.authority import make_authority
from libs.common.names import SERVICES
from libs.kale.networks import NETWORKS
from localnet.config import LocalnetSettings
from scripts.make_secrets import secret_files
from services.migrations import ROLE_CONNECTIONS, MigrationSettings
from services.wallet.chain.networks import network_for

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
    "migrate": ("services", ["migrate", "restrict"]),
    "localnet": ("localnet", []),
    "backup": ("backup", ["--help"]),
    "gateway": ("gateway", []),
    **{name: (f"services.{name}", ["serve"]) for name in SERVICES},
}
INTERPOLATION = re.compile(r"\$\{(?P<name>[A-Z_]+):?-(?P<default>[^}]*)\}")
#: What wallet reads on each network.
NETWORK_FILES = sorted((ROOT / "deploy" / "networks").glob("*.env"))
NETWORK_NAMES = sorted(NETWORKS)


def settings_of(container: str) -> type[BaseSettings]:
    """The settings class that the container's process reads."""
    if container in {"migrate", "backup"}:
        return MigrationSettings
    if container == "localnet":
        return LocalnetSettings
    if container == "gateway":
        return GatewaySettings
    module = importlib.import_module(f"services.{container}.config")
    return getattr(module, f"{container.capitalize()}Settings")  # type: ignore[no-any-return]


def known_variables(container: str) -> set[str]:
    """Names of the environment variables that the container's process reads."""
    settings = settings_of(container)
    prefix = str(settings.model_config.get("env_prefix", ""))
    return {f"{prefix}{field}".upper() for field in settings.model_fields} | PROCESS_VARIABLES


def interpolated(text: str, outer: Mapping[str, str]) -> str:
    """As compose does it; an empty outer variable counts as one that is not set."""
    return INTERPOLATION.sub(lambda match: outer.get(match["name"]) or match["default"], text)


def file_environment(container: str, outer: Mapping[str, str]) -> dict[str, str]:
    """What the container's env_file entries give; those that need not be there are not."""
    files = CONTAINERS[container].get("env_file", [])
    paths = [ROOT / interpolated(file, outer) for file in files if isinstance(file, str)]
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {name: interpolated(text, outer) for name, text in pairs}


def environment(container: str, **outer: str) -> dict[str, str]:
    """The container's variables, where only `outer` is set outside."""
    given: dict[str, str] = CONTAINERS[container].get("environment", {})
    own = {name: interpolated(str(text), outer) for name, text in given.items()}
    return file_environment(container, outer) | own


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
    around = {"postgres", "migrate", "localnet", "backup", "gateway"}
    assert set(CONTAINERS) == {*around, *SERVICES}
    profiles = {name: CONTAINERS[name].get("profiles") for name in CONTAINERS}
    assert {name: given for name, given in profiles.items() if given} == {
        "localnet": ["localnet"],
        "backup": ["backup"],
    }
    images = {name: CONTAINERS[name]["image"] for name in OURS}
    assert images.pop("backup") == "kalepool-backup:local"
    assert set(images.values()) == {"kalepool:local"}


@pytest.mark.parametrize("container", OURS)
def test_the_command_is_one_that_the_code_knows(container: str) -> None:
    module, words = COMMANDS[container]
    command = CONTAINERS[container].get("entrypoint", []) + CONTAINERS[container]["command"]
    assert command == ["python", "-m", module, *words]
    assert importlib.util.find_spec(f"{module}.__main__") is not None


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Reads a container's settings as its process does, where only `outer` is set outside."""

    def start(container: str, **outer: str) -> BaseSettings:
        for name in known_variables(container):
            monkeypatch.delenv(name, raising=False)
        generated = secret_files(make_authority("kalepool"))
        for source, target in mounted_secrets(container):
            (tmp_path / target).write_text(generated[source], encoding="utf-8")
        for name, text in environment(container, **outer).items():
            monkeypatch.setenv(name, text.replace("/run/secrets/", f"{tmp_path}/"))
        # No .env of the developer counts here.
        monkeypatch.chdir(tmp_path)
        return settings_of(container)(_secrets_dir=tmp_path)

    return start


@pytest.mark.parametrize("network", NETWORK_NAMES)
@pytest.mark.parametrize("container", OURS)
def test_every_variable_is_one_that_the_code_reads(container: str, network: str) -> None:
    assert set(environment(container, STELLAR_NETWORK=network)) <= known_variables(container)


@pytest.mark.parametrize("container", OURS)
def test_the_settings_accept_the_values(container: str, started: Callable[..., Any]) -> None:
    settings = started(container)
    assert getattr(settings, "host", "0.0.0.0") == "0.0.0.0"  # noqa: S104  (inside a container)


def test_every_network_has_its_file() -> None:
    assert [path.stem for path in NETWORK_FILES] == NETWORK_NAMES


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_all_services_are_on_the_chosen_network(network: str, started: Callable[..., Any]) -> None:
    """localnet's node and friendbot are for localnet: on testnet they would fund nobody."""
    for service in SERVICES:
        outer = {"STELLAR_NETWORK": network, "STELLAR_RPC_URL": "https://node.example"}
        assert started(service, **outer).stellar_network == network
    chosen = started("wallet", STELLAR_NETWORK=network, STELLAR_RPC_URL="https://node.example")
    assert chosen.network().rpc_urls == ("https://node.example",)
    own = network_for(network, rpc_url="https://node.example").friendbot_url
    here = "http://localnet:8000/friendbot"
    assert chosen.network().friendbot_url == (here if network == "localnet" else own)


def test_what_is_not_said_follows_from_the_network(started: Callable[..., Any]) -> None:
    assert started("wallet").network().rpc_urls == ("http://localnet:8000",)
    testnet = started("wallet", STELLAR_NETWORK="testnet").network()
    assert testnet == network_for("testnet")
    with pytest.raises(ValidationError, match="STELLAR_RPC_URL"):
        started("wallet", STELLAR_NETWORK="mainnet")


def test_wallet_knows_how_long_a_block_of_the_localnet_is(started: Callable[..., Any]) -> None:
    here = {"LOCALNET_BLOCK_SECONDS": "60"}
    assert started("wallet", **here).block_seconds == started("localnet", **here).block_seconds
    assert started("wallet", STELLAR_NETWORK="testnet", **here).block_seconds == 300


@pytest.mark.parametrize("service", [*SERVICES, "gateway"])
def test_all_other_settings_have_a_file_that_git_does_not_take(service: str) -> None:
    last = CONTAINERS[service]["env_file"][-1]
    assert last == {"path": f"deploy/{service}.env", "required": False}
    ignored = (last["path"], "deploy/secrets/wallet/treasury", "deploy/backups/pool.backup")
    command = ["git", "check-ignore", "--no-index", *ignored]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert tuple(done.stdout.split()) == ignored


def test_postgres_has_connections_for_everybody() -> None:
    command = CONTAINERS["postgres"]["command"]
    (most,) = (int(word.partition("=")[2]) for word in command if "max_connections" in word)
    pools = [settings_of(name).model_fields["database_pool_size"].default for name in SERVICES]
    # Three are the superuser's; migrations and backups need some, too.
    assert sum(pools) + 3 + 10 <= most
    # Whatever one role takes of what it may, the others have what they may.
    assert len(SERVICES) * ROLE_CONNECTIONS + 3 + 10 <= most
    assert max(pools) * 3 <= ROLE_CONNECTIONS


def test_postgres_has_locks_for_many_nested_transactions() -> None:
    """Whoever fills the table of locks keeps everybody else from new connections."""
    command = " ".join(CONTAINERS["postgres"]["command"])
    (most,) = (int(found) for found in re.findall(r"max_connections=(\d+)", command))
    (locks,) = (int(found) for found in re.findall(r"max_locks_per_transaction=(\d+)", command))
    assert locks * most >= 4 * 37_440


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
    mounts = {name: CONTAINERS[name].get("volumes", []) for name in OURS}
    assert [name for name in OURS if "deploy/secrets" in str(mounts[name])] == ["wallet"]


def test_people_stay_signed_in_when_the_gateway_starts_again(started: Callable[..., Any]) -> None:
    first, second = [started("gateway").session_secret() for _ in range(2)]
    assert first is not None
    assert second is not None
    holders = [name for name in CONTAINERS if "gateway_session_key" in dict(mounted_secrets(name))]
    assert holders == ["gateway"]


def test_webhooks_are_there_and_only_registry_has_their_key(started: Callable[..., Any]) -> None:
    assert started("registry").webhook_keys() is not None
    holders = [name for name in CONTAINERS if "webhook_key" in dict(mounted_secrets(name))]
    assert holders == ["registry"]


def test_backups_are_made_by_programs_of_the_servers_version() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    image = CONTAINERS["postgres"]["image"]
    assert f"ARG POSTGRES_IMAGE={image}\n" in dockerfile
    target = CONTAINERS["backup"]["build"]["target"]
    assert f"FROM ${{POSTGRES_IMAGE}} AS {target}\n" in dockerfile
    # What is built when no target is named is the last stage.
    assert not dockerfile.rpartition("\nFROM ")[2].startswith("${POSTGRES_IMAGE}")


def test_a_folder_that_is_missing_is_told_and_not_made_by_root() -> None:
    mounts = [mount for name in OURS for mount in CONTAINERS[name].get("volumes", [])]
    assert {mount["target"] for mount in mounts} == {"/run/wallet", "/backups"}
    assert not any(mount["bind"]["create_host_path"] for mount in mounts)


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


def test_the_gateway_finds_the_services_and_is_reached_on_this_machine_alone() -> None:
    given = environment("gateway")
    for service in SERVICES:
        assert given[f"{service.upper()}_TARGET"] == f"{service}:{environment(service)['PORT']}"
    port = GatewaySettings.model_fields["port"].default
    assert given["PORT"] == str(port)
    assert CONTAINERS["gateway"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}/" in CONTAINERS["gateway"]["healthcheck"]["test"][-1]
    assert not any("database" in source for source, _ in mounted_secrets("gateway"))


def test_the_variables_that_the_head_comment_names_are_the_ones_that_count() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    files = [path.read_text(encoding="utf-8") for path in NETWORK_FILES]
    used = {match["name"] for part in (text, *files) for match in INTERPOLATION.finditer(part)}
    named = set(re.findall(r"^#   ([A-Z_]+)  ", text, flags=re.MULTILINE))
    assert used == named

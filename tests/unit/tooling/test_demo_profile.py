"""`make up` writes the profile that calls its pool, and selects it."""

from pathlib import Path

import pytest
from rich.console import Console

from cli import profiles
from cli.profiles import Profiles
from cli.settings import Given, choose
from demo.standing import PROFILE, select_profile
from devstack.stack import FIXED_PORTS
from libs.common.names import SERVICES


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of profiles of this test's own; the pool is below another one."""
    monkeypatch.setenv("KALEPOOL_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TRANSPORT", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config"


def said() -> str:
    """What it prints."""
    console = Console(width=200)
    with console.capture() as printed:
        select_profile(console, FIXED_PORTS)
    return printed.get()


def test_the_profile_calls_the_pool_as_its_operator(tmp_path: Path) -> None:
    text = said()
    assert "kalepool watch" in text
    assert "was selected before" not in text
    chosen = choose(Given())
    folder = tmp_path / "var" / "up" / "certificates"
    assert chosen.profile == PROFILE
    # The command calls the services; the gateway is for those without gRPC.
    assert chosen.targets == {name: f"127.0.0.1:{FIXED_PORTS[name]}" for name in SERVICES}
    assert chosen.tls == (folder / "operator.pem", folder / "operator.key", folder / "ca.pem")


def test_profiles_of_the_users_own_stay_and_the_way_back_is_told() -> None:
    own = {"wallet_target": "north:1"}
    profiles.save(Profiles().put("north", own).select("north"))
    assert "kalepool profile use north selects it again" in said()
    found = profiles.load()
    assert (found.selected, found.by_name["north"]) == (PROFILE, own)
    assert "was selected before" not in said()


def test_a_folder_that_cannot_be_written_is_told_and_left(home: Path) -> None:
    home.write_text("a file", encoding="utf-8")
    assert "no profile was written: " in said()

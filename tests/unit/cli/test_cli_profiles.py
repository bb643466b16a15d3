"""kalepool profile: a pool by name; what is given for one command wins, and no key gets in."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cli import profiles
from cli.errors import CommandLineError
from cli.main import main
from cli.profiles import Profiles
from cli.settings import Given, choose

CERTIFICATE = {
    "tls_cert_file": "/pool/me.pem",
    "tls_key_file": "/pool/me.key",
    "tls_ca_file": "/pool/ca.pem",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of profiles of this test's own; no variable says anything else."""
    monkeypatch.setenv("KALEPOOL_CONFIG_HOME", str(tmp_path / "config"))
    names = ("REGISTRY_TARGET", "WALLET_TARGET", "TRANSPORT", "TLS_CERT_FILE", "KALEPOOL_PROFILE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config"


def saved(**settings: str) -> None:
    """A selected profile of these settings."""
    profiles.save(Profiles().put("north", settings).select("north"))


def test_a_profile_is_kept_and_read_again(home: Path) -> None:
    odd = {"wallet_target": "[::1]:7", "tls_cert_file": '/pool/ü "7\\8.pem'}
    kept = Profiles().put("north", CERTIFICATE).put("a.b", odd).select("a.b")
    assert profiles.save(kept) == home / "profiles.toml"
    assert profiles.load() == kept
    assert [path.name for path in home.iterdir()] == ["profiles.toml"]


def test_without_a_file_there_are_no_profiles() -> None:
    assert profiles.load() == Profiles()
    chosen = choose(Given())
    assert (chosen.profile, chosen.targets["wallet"]) == ("", "127.0.0.1:50052")


def test_what_is_given_wins_over_the_profile_and_that_over_the_defaults() -> None:
    saved(wallet_target="north:1", plant_target="north:2", **CERTIFICATE)
    chosen = choose(Given(wallet_target="here:1", tls_cert_file=Path("/other.pem")))
    assert chosen.targets == {
        "registry": "127.0.0.1:50051",
        "wallet": "here:1",
        "plant": "north:2",
        "work": "127.0.0.1:50054",
        "harvest": "127.0.0.1:50055",
    }
    assert chosen.tls == (Path("/other.pem"), Path("/pool/me.key"), Path("/pool/ca.pem"))
    assert (chosen.profile, chosen.is_plaintext, chosen.token_file) == ("north", False, None)


def test_another_profile_or_none_may_be_named() -> None:
    saved(wallet_target="north:1")
    profiles.save(profiles.load().put("south", {"wallet_target": "south:1"}))
    assert choose(Given(profile="south")).targets["wallet"] == "south:1"
    assert choose(Given(profile="none")).targets["wallet"] == "127.0.0.1:50052"
    with pytest.raises(CommandLineError, match="'west': there are north, south"):
        choose(Given(profile="west"))


TOKEN = {"token_file": "/pool/token", "tls_ca_file": "/pool/ca.pem"}


def test_a_caller_is_named_in_one_way() -> None:
    saved(**TOKEN)
    assert choose(Given()).token_file == Path("/pool/token")
    assert choose(Given(tls_cert_file=Path("/me.pem"))).token_file is None
    plaintext = choose(Given(transport="plaintext"))
    assert (plaintext.token_file, plaintext.is_plaintext) == (None, True)
    saved(transport="plaintext", **CERTIFICATE)
    token = choose(Given(token_file=Path("/token")))
    assert (token.token_file, token.is_plaintext) == (Path("/token"), False)
    assert token.tls == (None, None, Path("/pool/ca.pem"))


def run(*arguments: str) -> int:
    """The command."""
    return main(arguments)


def listed(capsys: pytest.CaptureFixture[str]) -> Any:
    """What `profile list --json` says."""
    capsys.readouterr()
    assert run("profile", "list", "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_adds_lists_and_selects(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WALLET_TARGET", "north:50052")
    for name in ("me.pem", "token"):
        (tmp_path / name).touch()
    token = str(tmp_path / "token")
    assert run("profile", "add", "north", "--tls-cert-file", "me.pem", "--select") == 0
    assert run("profile", "add", "south", "--token-file", token) == 0
    assert listed(capsys) == {
        "selected": "north",
        "profiles": {
            "north": {"wallet_target": "north:50052", "tls_cert_file": str(tmp_path / "me.pem")},
            "south": {"wallet_target": "north:50052", "token_file": token},
        },
    }
    assert run("profile", "use", "south") == 0
    assert listed(capsys)["selected"] == "south"
    assert run("profile", "list") == 0
    assert "yes" in next(row for row in capsys.readouterr().out.splitlines() if "south" in row)
    assert run("profile", "use", "none") == 0
    assert listed(capsys)["selected"] == ""


WRONG = {
    "profile use west": "no profile is called 'west'",
    "profile add north": "give at least one address or file",
    "profile add North --wallet-target a:1": "no profile can be called 'North'",
    "profile add none --wallet-target a:1": "no profile can be called 'none'",
    "profile add north --wallet-target north": "wallet_target: must be host:port",
    "profile add north --plant-target http://north:50053": "plant_target: must be host:port",
    "profile add north --work-target north:70000": "work_target: must be host:port",
    "profile add north --tls-key-file /nowhere": "--tls-key-file: there is no file /nowhere",
    "profile add north --token-file /nowhere": "--token-file: there is no file /nowhere",
    "profile show": "no profile is selected",
    "profile show west": "no profile is called 'west'",
    "profile remove west": "no profile is called 'west'",
    "pooler list --registry-target north": "REGISTRY_TARGET: must be host:port",
    "--profile west pooler list": "no profile is called 'west'",
    "pooler list": "kalepool profile add",
    "pooler list --token-file /nowhere": "give --tls-ca-file (TLS_CA_FILE) with --token-file",
    "pooler list --token-file /nowhere --tls-ca-file /nowhere": "/nowhere: No such file",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_told(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*line.split()) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("kalepool: ")
    assert errors.count("\n") == 1
    assert WRONG[line] in errors


def test_a_profile_is_replaced_only_when_that_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("profile", "add", "north", "--wallet-target", "a:1") == 0
    assert run("profile", "add", "north", "--wallet-target", "b:1") == 2
    assert "--replace" in capsys.readouterr().err
    assert run("profile", "add", "north", "--wallet-target", "b:1", "--replace") == 0
    assert profiles.load().by_name == {"north": {"wallet_target": "b:1"}}


def test_files_that_are_of_no_use_are_told_before_they_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {name: tmp_path / name for name in ("cert", "key", "ca", "token")}
    for path in paths.values():
        path.write_text("nothing of use", encoding="utf-8")
    own = ("--tls-cert-file", str(paths["cert"]), "--tls-key-file", str(paths["key"]))
    authority = ("--tls-ca-file", str(paths["ca"]))
    assert run("profile", "add", "north", *own, *authority) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert run("profile", "add", "north", "--token-file", str(paths["token"]), *authority) == 2
    assert "holds no API token" in capsys.readouterr().err
    assert profiles.load() == Profiles()


def test_a_profile_is_shown_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    saved(wallet_target="north:1", **CERTIFICATE)
    others = {"wallet_target": "[::1]:1", "work_target": "dns:///south.example.com:50054"}
    profiles.save(profiles.load().put("south", others))
    assert run("profile", "show") == 0
    output = capsys.readouterr().out
    assert all(text in output for text in ("north:1", "/pool/me.key", "wallet target"))
    assert run("profile", "show", "south", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"profile": "south", "settings": others}
    assert run("profile", "remove", "north") == 0
    assert "no profile is selected now" in capsys.readouterr().err
    assert listed(capsys) == {"selected": "", "profiles": {"south": shown["settings"]}}
    assert run("profile", "remove", "south") == 0
    capsys.readouterr()
    assert run("profile", "list") == 0
    output, errors = capsys.readouterr()
    assert (output, "there are none; kalepool profile add" in errors) == ("", True)


def test_files_that_are_gone_are_told_with_the_profile(capsys: pytest.CaptureFixture[str]) -> None:
    saved(**CERTIFICATE)
    assert run("pooler", "list") == 2
    assert "/pool/me.pem: No such file or directory (profile north)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("selected = ", "not TOML"),
        ("\xff", "not TOML"),
        ("selected = 7", "selected: must be a name"),
        ("selected = 'west'", "no profile is called 'west'"),
        ("profiles = 7", "profiles: must be tables"),
        ("other = 7", "other: not known"),
        ("[profiles]\nnorth = 7", "profiles.north: must be a table"),
        ("[profiles.north]\nkey = 'x'", "profiles.north.key: not known"),
        ("[profiles.north]\nwallet_target = 7", "wallet_target: must be a text in one line"),
        ("[profiles.north]\nwallet_target = 'north'", "wallet_target: must be host:port"),
        ("[profiles.north]\ntransport = 'tls'", "transport: must be mtls or plaintext"),
        ("[profiles.north]\ntls_key_file = 'me.key'", "tls_key_file: must be a path"),
        (
            '[profiles.north]\ntls_key_file = """\n-----BEGIN PRIVATE KEY-----\nabc\n"""',
            "tls_key_file: must be a text in one line",
        ),
        ("[profiles.north]\ntoken_file = 'kp_abc'", "token_file: must be a path from the root"),
    ],
)
def test_a_file_that_holds_anything_else_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    home.mkdir()
    (home / "profiles.toml").write_bytes(content.encode("latin-1"))
    assert run("pooler", "list") == 2
    errors = capsys.readouterr().err
    assert "profiles.toml: " in errors
    assert said in errors
    # Help and certificates do without.
    assert run("--help") == 0


def test_what_is_written_are_addresses_and_paths_only(home: Path) -> None:
    saved(wallet_target="north:1", **CERTIFICATE)
    found = tomllib.loads((home / "profiles.toml").read_text(encoding="utf-8"))
    assert found == {
        "selected": "north",
        "profiles": {"north": {"wallet_target": "north:1", **CERTIFICATE}},
    }

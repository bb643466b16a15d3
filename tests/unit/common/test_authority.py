"""The development authority does not write over what is somebody else's."""

from pathlib import Path

import pytest

from cli.main import main
from libs.common.authority import CERTIFICATE_FILE, PARTS, SERVERS, load_authority, make_authority
from libs.common.grpc.certificates import FlawError, Use, read_shown
from libs.common.grpc.identity import CallerKind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An authority's, with a service's certificate."""
    authority = make_authority("pool.example")
    authority.save(tmp_path)
    authority.issue(CallerKind.SERVICE, "wallet").save(tmp_path, "wallet")
    return tmp_path


def test_a_database_may_have_a_certificate_as_services_do() -> None:
    assert SERVERS == ("wallet", "registry", "plant", "work", "harvest", "postgres")
    assert (*SERVERS, "gateway") == PARTS


def test_a_certificate_without_its_key_is_somebody_elses_still(folder: Path) -> None:
    (folder / "wallet.key").unlink()
    before = contents(folder)
    assert main(["certificates", "issue", "operator", "wallet", "--folder", str(folder)]) == 2
    assert contents(folder) == before


def test_an_authority_and_its_certificates_make_their_folders(tmp_path: Path) -> None:
    authority = make_authority("pool.example")
    for _ in range(2):
        authority.save(tmp_path / "one" / "authority")
        authority.issue(CallerKind.SERVICE, "wallet").save(tmp_path / "two" / "wallet", "wallet")
    assert load_authority(tmp_path / "one" / "authority").trust_domain == "pool.example"
    assert {path.name for path in (tmp_path / "two" / "wallet").iterdir()} == {
        "wallet.pem",
        "wallet.key",
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["ca", "wallet"])
def test_somebody_elses_certificate_is_not_written_over(folder: Path, name: str) -> None:
    before = contents(folder)
    assert main(["certificates", "issue", "operator", name, "--folder", str(folder)]) == 2
    assert contents(folder) == before


def test_ones_own_certificate_is_renewed(folder: Path) -> None:
    before = contents(folder)
    assert main(["certificates", "issue", "service", "wallet", "--folder", str(folder)]) == 0
    after = contents(folder)
    assert {name for name in after if after[name] != before[name]} == {"wallet.pem", "wallet.key"}


def test_a_service_that_there_is_not_gets_no_certificate(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    assert main(["certificates", "issue", "service", "walet", "--folder", str(folder)]) == 2
    assert contents(folder) == before
    assert "no service is called 'walet'" in capsys.readouterr().err


def test_what_is_no_authority_does_not_sign(folder: Path) -> None:
    for ending in ("pem", "key"):
        (folder / f"ca.{ending}").write_bytes((folder / f"wallet.{ending}").read_bytes())
    with pytest.raises(ValueError, match=CERTIFICATE_FILE):
        load_authority(folder)


def test_the_gateway_calls_services_and_cannot_pose_as_one(folder: Path) -> None:
    assert main(["certificates", "issue", "service", "gateway", "--folder", str(folder)]) == 0
    shown = (folder / "gateway.pem").read_bytes()
    sound = read_shown(shown, b"", Use.CLIENT)
    assert sound.uri == "spiffe://pool.example/service/gateway"
    with pytest.raises(FlawError, match="to serve"):
        read_shown(shown, b"", Use.SERVER)
    authority = load_authority(folder)
    renewed = authority.renew(shown).certificate
    assert read_shown(renewed, b"", Use.CLIENT).uri == sound.uri
    with pytest.raises(FlawError, match="to serve"):
        read_shown(renewed, b"", Use.SERVER)


def test_an_owner_account_gets_no_certificate() -> None:
    """It logs in by its key; a certificate would count for it whoever asks."""
    with pytest.raises(ValueError, match="logs in by its key"):
        make_authority("pool.example").issue(CallerKind.OWNER, "G" + "A" * 55)

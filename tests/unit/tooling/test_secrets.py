"""What `make secrets` draws, and `make certificates` renews while containers run."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from cli.main import main as kalepool
from libs.common.authority import PARTS, load_authority, make_authority
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.tls import Certificates, TlsFiles
from scripts import make_secrets
from scripts.make_secrets import secret_files

CERTIFICATES = {f"{name}.{ending}" for name in PARTS for ending in ("pem", "key")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One with secrets."""
    folder = tmp_path / "secrets"
    assert make_secrets.main([str(folder)]) == 0
    return folder


def read(folder: Path) -> dict[str, str]:
    """Files by name."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def mounted(folder: Path, place: Path, name: str) -> TlsFiles:
    """As a container has them: the very files, whatever takes their names in the folder later."""
    place.mkdir()
    for file in (f"{name}.pem", f"{name}.key", "ca.pem"):
        (place / file).hardlink_to(folder / file)
    return TlsFiles(
        certificate=place / f"{name}.pem", key=place / f"{name}.key", authority=place / "ca.pem"
    )


def test_secrets_are_drawn_once_into_a_closed_folder(folder: Path) -> None:
    assert mode(folder) == 0o700
    assert mode(folder / "wallet") == 0o755
    drawn = read(folder)
    authority = load_authority(folder / "authority")
    assert set(drawn) == set(secret_files(authority))
    assert drawn["ca.pem"] == (folder / "authority" / "ca.pem").read_text(encoding="utf-8")
    assert (folder / "authority" / "operator.key").stat().st_mode & 0o077 == 0
    assert len(base64.b64decode(drawn["wallet_master_key"], validate=True)) == 32
    assert drawn["plant_db_password"] in drawn["plant_database_url"]
    assert make_secrets.main([str(folder)]) == 0
    assert drawn == read(folder)


def test_a_renewal_changes_certificates_and_nothing_else(folder: Path) -> None:
    before, operators = read(folder), read(folder / "authority")
    assert make_secrets.main([str(folder), "--renew"]) == 0
    after = read(folder)
    assert {name for name in after if after[name] != before.get(name)} == CERTIFICATES
    now = read(folder / "authority")
    assert {name for name in now if now[name] != operators.get(name)} == {
        "operator.pem",
        "operator.key",
    }
    assert mode(folder / "authority" / "operator.key") == 0o600


def test_a_folder_from_before_the_gateway_gets_its_certificate(folder: Path) -> None:
    for ending in ("pem", "key"):
        (folder / f"gateway.{ending}").unlink()
    assert make_secrets.main([str(folder), "--renew"]) == 0
    certificate = x509.load_pem_x509_certificate((folder / "gateway.pem").read_bytes())
    certificate.verify_directly_issued_by(load_authority(folder / "authority").certificate)


@pytest.mark.parametrize("name", make_secrets.LATER_KEYS)
def test_a_folder_from_before_a_key_gets_it_and_keeps_the_others(folder: Path, name: str) -> None:
    (folder / name).unlink()
    others = {
        other: (folder / other).read_bytes() for other in make_secrets.LATER_KEYS if other != name
    }
    assert make_secrets.main([str(folder), "--renew"]) == 0
    assert len(base64.b64decode((folder / name).read_bytes(), validate=True)) == 32
    assert {other: (folder / other).read_bytes() for other in others} == others


@pytest.mark.parametrize("name", PARTS)
def test_a_running_container_sees_the_renewed_files(
    folder: Path, tmp_path: Path, name: str
) -> None:
    now = [0.0]
    shown = Certificates(mounted(folder, tmp_path / "run", name), clock=lambda: now[0])
    first = x509.load_pem_x509_certificate(shown.current.chain)
    assert make_secrets.main([str(folder), "--renew"]) == 0
    now[0] += 2
    second = x509.load_pem_x509_certificate(shown.current.chain)
    assert second.serial_number != first.serial_number
    assert (second.not_valid_after_utc - datetime.now(UTC)).days >= 364
    # uid 10001 has to read them, too.
    assert mode(folder / f"{name}.key") == 0o644


def test_a_renewed_certificate_has_all_names_of_the_one_before(folder: Path) -> None:
    authority = load_authority(folder / "authority")
    addresses = ("plant.example", "10.0.0.7")
    authority.issue(CallerKind.SERVICE, "plant", addresses=addresses).save(folder, "plant")
    before = names_of(folder / "plant.pem")
    assert make_secrets.main([str(folder), "--renew"]) == 0
    assert names_of(folder / "plant.pem") == before


def names_of(path: Path) -> x509.SubjectAlternativeName:
    found = x509.load_pem_x509_certificate(path.read_bytes())
    return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


@pytest.mark.parametrize("file", ["authority/ca.key", "authority/ca.pem", "plant.pem", "ca.pem"])
def test_what_another_authority_made_is_left_alone(
    folder: Path, tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_authority("kalepool")
    other.save(tmp_path / "other")
    other.issue(CallerKind.SERVICE, "plant").save(tmp_path / "other", "plant")
    (folder / file).write_bytes((tmp_path / "other" / Path(file).name).read_bytes())
    before = read(folder)
    assert make_secrets.main([str(folder), "--renew"]) == 1
    assert Path(file).name in capsys.readouterr().err
    assert read(folder) == before


def test_an_authority_that_is_kept_elsewhere_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "authority" / "ca.key").unlink()
    before = read(folder)
    assert make_secrets.main([str(folder), "--renew"]) == 1
    assert "ca.key" in capsys.readouterr().err
    assert read(folder) == before


@pytest.mark.parametrize("name", ["postgres", "plant"])
def test_a_single_certificate_is_renewed_for_who_could_read_it(folder: Path, name: str) -> None:
    before = read(folder)
    command = ["certificates", "issue", "service", name, "--out", str(folder)]
    assert kalepool([*command, "--folder", str(folder / "authority")]) == 0
    after = read(folder)
    assert {file for file in after if after[file] != before[file]} == {f"{name}.pem", f"{name}.key"}
    assert mode(folder / f"{name}.key") == 0o644

"""Files of other people's packages are what scripts/bundled.toml says."""

from pathlib import Path

from scripts import bundle

ROOT = Path(__file__).resolve().parents[3]
FILES = bundle.listed(bundle.LIST.read_text(encoding="utf-8"))


def test_every_file_is_the_packages_own() -> None:
    assert list(bundle.check(FILES, ROOT)) == []


def test_every_package_has_its_licence_beside_it() -> None:
    for package in {file.package for file in FILES}:
        own = [file for file in FILES if file.package == package]
        (licence,) = (file for file in own if file.source == "LICENSE")
        assert {Path(file.place).parent for file in own} == {Path(licence.place).parent}


def test_a_file_that_was_changed_is_named(tmp_path: Path) -> None:
    file = FILES[0]
    (line,) = bundle.check([file], tmp_path)
    assert file.place in line
    place = tmp_path / file.place
    place.parent.mkdir(parents=True)
    place.write_bytes(b"changed")
    (line,) = bundle.check([file], tmp_path)
    assert file.version in line


def test_fetching_writes_down_what_was_fetched() -> None:
    text = bundle.LIST.read_text(encoding="utf-8")
    changed = bundle._with_hash(text, FILES[0], "0" * 64)
    assert [file.sha256 for file in bundle.listed(changed)] == [
        "0" * 64,
        *(file.sha256 for file in FILES[1:]),
    ]

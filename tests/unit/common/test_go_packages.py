"""Each proto names its package in Go: no stubs can be made of one that does not."""

from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[3] / "protos" / "kalepool"
FILES = sorted(PROTOS.glob("*/v*/*.proto"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_proto_names_its_package_in_go(path: Path) -> None:
    version, name = path.parent.name, path.parent.parent.name
    lines = path.read_text(encoding="utf-8").splitlines()
    assert f'option go_package = "kalepool/{name}/{version};{name}{version}";' in lines


def test_all_protos_are_looked_at() -> None:
    assert set(FILES) == set(PROTOS.rglob("*.proto"))
    assert len(FILES) > 20

"""How many processors there are for the miner."""

from pathlib import Path

import pytest

from miner import processors


@pytest.fixture
def quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with a container's limit, on a machine with eight processors."""
    monkeypatch.setattr(processors, "_usable", lambda: set(range(8)))
    path = tmp_path / "cpu.max"
    monkeypatch.setattr(processors, "_QUOTA", path)
    return path


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("100000 100000", 1),
        ("1000 100000", 1),
        ("50000 20000", 3),
        ("400000", 4),
        ("900000 100000", 8),
        ("max 100000", 8),
        ("", 8),
        ("1 0", 8),
    ],
)
def test_a_containers_limit_stands_for_processors(quota: Path, limit: str, count: int) -> None:
    quota.write_text(limit + "\n")
    assert processors.processors() == count


def test_without_a_limit_all_usable_processors_count(quota: Path) -> None:
    assert not quota.exists()
    assert processors.processors() == 8


def test_a_limit_is_described(quota: Path) -> None:
    quota.write_text("200000 100000")
    assert processors.describe() == "2 of 8 processors, by the container's limit"
    quota.write_text("max 100000")
    assert processors.describe().startswith("8 processors")

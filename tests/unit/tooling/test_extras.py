"""What only miners need is in files of its own, and the services' image has none of it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
REQUIREMENTS = ROOT / "requirements"


def pins(name: str) -> dict[str, set[str]]:
    """Packages and the versions that a file pins, of which there may be one for each Python."""
    found: dict[str, set[str]] = {}
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    for package, version in re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^ ;\\]+)", text, re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


def test_the_services_do_without_compilers_and_drivers() -> None:
    assert not {"llvmlite", "pyopencl", "numpy"} & set(pins("runtime"))
    assert "llvmlite" in pins("miner")
    assert "pyopencl" in pins("opencl")


def test_a_miner_needs_nothing_of_the_pool() -> None:
    assert not {"grpcio", "asyncpg", "stellar-sdk"} & set(pins("miner"))


def test_all_files_pin_the_same_versions() -> None:
    every = pins("dev")
    for name in ("runtime", "miner", "opencl"):
        assert {
            one: versions for one, versions in pins(name).items() if every[one] != versions
        } == {}


def test_the_extras_of_the_project_are_what_the_files_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, wanted in project["optional-dependencies"].items():
        for requirement in wanted:
            name = re.split(r"[^\w-]", requirement, maxsplit=1)[0]
            assert name in pins(extra)


def test_only_the_target_that_mines_installs_the_compiler() -> None:
    stages = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")
    installing = [stage for stage in stages if "requirements/miner.txt" in stage]
    assert [stage.splitlines()[0] for stage in installing] == ["build AS mining"]
    assert "mining" not in stages[-1]

"""The scripts behind `make check`: each finds what it is there to find."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check_breaking, gen
from scripts.check_style import check_machine, check_name, check_sizes

ROOT = Path(__file__).resolve().parents[3]


def lines_of(count: int) -> str:
    return "\n".join("    x = 1" for _ in range(count))


def test_a_long_file_is_found() -> None:
    assert not list(check_sizes(Path("a.py"), "x = 1\n" * 600))
    assert list(check_sizes(Path("a.py"), "x = 1\n" * 601)) == ["a.py: 601 lines, 600 at most"]


def test_a_long_function_is_found_also_inside_a_class() -> None:
    fits = f"def fits():\n{lines_of(59)}\n"
    assert not list(check_sizes(Path("a.py"), fits))
    long = f"class C:\n  async def long(self):\n{lines_of(60)}\n"
    assert list(check_sizes(Path("a.py"), long)) == ["a.py:2: long has 61 lines, 60 at most"]


@pytest.mark.parametrize("path", ["libs/utils.py", "libs/helpers/money.py", "misc.md"])
def test_empty_names_are_found(path: str) -> None:
    assert list(check_name(Path(path)))
    assert not list(check_name(Path("libs/common/clock.py")))


@pytest.mark.parametrize(
    "line",
    [
        "see /" + "root/notes",
        'path = "/' + 'home/me/kale"',
        "https://registry." + "npmjs.org/stellar",
        "--index" + "-url https://example.org",
        "https://files." + "pythonhosted.org/packages/x.whl",
    ],
)
def test_what_belongs_to_one_machine_is_found(line: str) -> None:
    assert list(check_machine(Path("a.md"), line))


@pytest.mark.parametrize(
    "line", ["/var/lib/postgresql", "services/work/store", "https://pypi.org/project/grpcio/"]
)
def test_what_is_the_same_everywhere_is_not_found(line: str) -> None:
    assert not list(check_machine(Path("a.md"), line))


PROTO = """syntax = "proto3";
package kalepool.scratch.v1;
message Thing { string name = 1; }
service ThingService { rpc Get(Thing) returns (Thing); }
"""


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """A folder with one small proto."""
    folder = tmp_path / "protos"
    source = folder / "kalepool/scratch/v1/scratch.proto"
    source.parent.mkdir(parents=True)
    source.write_text(PROTO, encoding="utf-8")
    return folder


def generate(protos: Path, out: Path, *options: str) -> int:
    return gen.main(["--protos", str(protos), "--out", str(out), *options])


def test_generated_code_imports_and_has_types(protos: Path, tmp_path: Path) -> None:
    out = tmp_path / "gen"
    assert generate(protos, out) == 0
    folder = out / "kalepool/scratch/v1"
    assert (out / "kalepool/py.typed").exists()
    assert {path.name for path in folder.iterdir()} == {
        "__init__.py",
        *(f"scratch_pb2{kind}" for kind in (".py", ".pyi", "_grpc.py", "_grpc.pyi")),
    }
    code = "from kalepool.scratch.v1 import scratch_pb2; print(scratch_pb2.Thing(name='kale').name)"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(out)!r}); {code}"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "kale\n"


def test_comments_are_kept_by_the_full_name_of_what_they_stand_at(
    protos: Path, tmp_path: Path
) -> None:
    source = protos / "kalepool/scratch/v1/scratch.proto"
    text = PROTO.replace(
        "message Thing { string",
        "// A thing.\n//\n// Of two parts.\nmessage Thing {\n // Its name.\n string",
    )
    text = text.replace("{ rpc", "{\n // Gets it.\n rpc")
    source.write_text(
        f"{text}// Kinds.\nenum Kind {{\n // None.\n KIND_UNSPECIFIED = 0; }}\n", "utf-8"
    )
    assert generate(protos, tmp_path / "gen") == 0
    written = (tmp_path / "gen/kalepool/comments.json").read_text(encoding="utf-8")
    assert json.loads(written) == {
        "kalepool.scratch.v1.Kind": "Kinds.",
        "kalepool.scratch.v1.Kind.KIND_UNSPECIFIED": "None.",
        "kalepool.scratch.v1.Thing": "A thing.\n\nOf two parts.",
        "kalepool.scratch.v1.Thing.name": "Its name.",
        "kalepool.scratch.v1.ThingService.Get": "Gets it.",
    }


def test_generating_twice_changes_nothing(protos: Path, tmp_path: Path) -> None:
    out = tmp_path / "gen"
    generate(protos, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert generate(protos, out) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert generate(protos, out, "--check") == 0


def test_check_finds_stale_missing_and_changed_files(
    protos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gen"
    generate(protos, out)
    folder = out / "kalepool/scratch/v1"
    (folder / "old_pb2.py").touch()
    (folder / "scratch_pb2.pyi").unlink()
    (folder / "scratch_pb2.py").write_text("edited", encoding="utf-8")
    capsys.readouterr()
    assert generate(protos, out, "--check") == 1
    found = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in found] == ["changed", "missing", "stale"]
    assert generate(protos, out) == 0
    assert not (folder / "old_pb2.py").exists()
    assert generate(protos, out, "--check") == 0


def test_a_broken_proto_fails_and_leaves_the_code_alone(protos: Path, tmp_path: Path) -> None:
    out = tmp_path / "gen"
    generate(protos, out)
    (protos / "kalepool/scratch/v1/scratch.proto").write_text("message", encoding="utf-8")
    assert generate(protos, out) == 1
    assert (out / "kalepool/scratch/v1/scratch_pb2.py").exists()


class Repository:
    """A scratch git repository with protos and the check that runs in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        command = ["git", *identity, *arguments]
        subprocess.run(command, cwd=self.root, check=True, capture_output=True)

    def commit(self, field: str) -> None:
        """Commits the proto with `name` of another type or number."""
        source = self.root / "protos/kalepool/scratch/v1/scratch.proto"
        source.write_text(PROTO.replace("string name = 1;", field), encoding="utf-8")
        self.git("add", ".")
        self.git("commit", "-m", field)


@pytest.fixture
def repository(protos: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """An empty repository on main, with protos that are not committed yet."""
    made = Repository(protos.parent)
    shutil.copy(ROOT / "buf.yaml", made.root)
    made.git("init", "--initial-branch=main")
    monkeypatch.setattr(check_breaking, "ROOT", made.root)
    monkeypatch.delenv("PROTO_BASE", raising=False)
    return made


def test_without_a_base_it_passes_and_says_so(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_breaking.main() == 0
    repository.commit("string name = 1;")
    assert check_breaking.main() == 0
    assert capsys.readouterr().out.count("nothing to compare with: no tag") == 2


def test_a_breaking_change_on_main_is_found(repository: Repository) -> None:
    repository.commit("string name = 1;")
    repository.commit("string name = 1; string more = 2;")
    assert check_breaking.main() == 0
    repository.commit("int64 name = 1; string more = 2;")
    assert check_breaking.main() != 0


def test_a_tag_is_the_base_however_long_ago(repository: Repository) -> None:
    repository.commit("string name = 1;")
    repository.git("tag", "v0.1.0")
    repository.commit("int64 name = 1;")
    repository.commit("int64 name = 1; string more = 2;")
    assert check_breaking.find_base() == "v0.1.0"
    assert check_breaking.main() != 0


def test_a_branch_is_compared_with_main(repository: Repository) -> None:
    repository.commit("string name = 1;")
    repository.git("switch", "--create", "topic")
    repository.commit("int64 name = 1;")
    repository.commit("int64 name = 1; string more = 2;")
    assert check_breaking.find_base() == "main"
    assert check_breaking.main() != 0


def test_a_shallow_clone_says_that_it_is_shallow(
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    repository.commit("string name = 1;")
    repository.commit("int64 name = 1;")
    clone = tmp_path / "clone"
    repository.git("clone", "--depth=1", repository.root.as_uri(), str(clone))
    monkeypatch.setattr(check_breaking, "ROOT", clone)
    assert check_breaking.main() == 0
    assert "shallow" in capsys.readouterr().out


def test_a_base_that_is_asked_for_must_exist(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("string name = 1;")
    monkeypatch.setenv("PROTO_BASE", "nowhere")
    assert check_breaking.main() == 1


#: An interpreter that finds two packages and then does what the test's file says.
INTERPRETER = """#!/bin/sh
case "$*" in
*" install "*) echo "Collecting a==1"; echo "Collecting b==2"; . ./pip ;;
esac
"""


def make_venv(place: Path, pip: str) -> "subprocess.Popen[str]":
    """Start the script on an environment that is there; `pip` is what installing does."""
    interpreter = place / "venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text(INTERPRETER, encoding="utf-8")
    interpreter.chmod(0o755)
    (place / "pip").write_text(pip, encoding="utf-8")
    (place / "requirements").mkdir()
    pinned = "a==1 \\\n    --hash=sha256:00\nb==2 \\\n    --hash=sha256:00\nc==3\n# via d==4\n"
    (place / "requirements" / "dev.txt").write_text(pinned, encoding="utf-8")
    return subprocess.Popen(
        ["sh", str(ROOT / "scripts" / "make_venv.sh"), "venv"],  # noqa: S607
        cwd=place,
        env={"PATH": os.environ["PATH"], "SETUP_EVERY": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_setting_up_says_which_python_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(ROOT / "scripts" / "make_venv.sh"), "venv"],  # noqa: S607
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHON": str(tmp_path / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == "setup: Python 3.11 or newer is needed on PATH, found: none"
    assert "make setup PYTHON=" in second


def test_setting_up_says_what_it_does_and_how_far_it_is(tmp_path: Path) -> None:
    with make_venv(tmp_path, "sleep 3") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "setup: installing the 3 packages of requirements/dev.txt" in output
    assert re.search("setup: 2 of 3 packages found, [1-9] s", output)


def test_setting_up_says_how_many_packages_are_installed(tmp_path: Path) -> None:
    packages = "venv/lib/python3.11/site-packages"
    installs = (
        f"mkdir -p {packages}/pip-1.dist-info {packages}/a-1.dist-info\n"
        f"mkdir -p {packages}/a/_vendor/b-1.dist-info\n"
        "echo 'Installing collected packages: a, b'; sleep 3\n"
        "echo 'Successfully installed a-1 b-2'; sleep 3"
    )
    with make_venv(tmp_path, installs) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "setup: 1 of 3 packages installed," in output
    assert "setup: all packages installed, now this project," in output


def test_setting_up_that_fails_tells_the_end_of_what_pip_said(tmp_path: Path) -> None:
    with make_venv(tmp_path, "echo hashes differ >&2; exit 1") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "hashes differ" in output
    assert "venv/setup.log has all that it said" in output

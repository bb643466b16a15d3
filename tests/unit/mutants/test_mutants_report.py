"""Excuses, changed lines, targets, and when the command is content."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from trials.mutants.campaign import Campaign, Plan
from trials.mutants.excuses import Excuse, ExcuseError, excused, read_excuses, stale
from trials.mutants.model import Outcome, Verdict
from trials.mutants.python_code import python_mutants
from trials.mutants.report import as_json, by_package, show, tally
from trials.mutants.targets import files_of_tests, mutants_of, parse_diff, target_files
from trials.mutants.tree import Tree

ROOT = Path(__file__).resolve().parents[3]
PATH = "services/a/domain/b.py"
SOURCE = "def f():\n    return a + 1 + 1\n"
MUTANTS = python_mutants(PATH, SOURCE)
ENTRY = """
[[mutant]]
file = "services/a/domain/b.py"
function = "f"
mutation = "`1` to `2`"
line = "return a + 1 + 1"
nth = 2
reason = "Nothing reads it."
"""


def read(folder: Path, text: str) -> list[Excuse]:
    path = folder / "equivalent.toml"
    path.write_text(text, encoding="utf-8")
    return read_excuses(path)


def test_an_excuse_is_for_one_mutant(tmp_path: Path) -> None:
    excuses = read(tmp_path, ENTRY)
    [name] = excused(MUTANTS, excuses)
    [mutant] = [item for item in MUTANTS if item.id == name]
    assert (mutant.mutation, mutant.nth) == ("`1` to `2`", 2)
    assert stale(MUTANTS, excuses) == []


def test_an_excuse_for_what_is_not_made_any_more_is_stale(tmp_path: Path) -> None:
    excuses = read(tmp_path, ENTRY.replace("a + 1 + 1", "a + 1"))
    assert excused(MUTANTS, excuses) == {}
    assert stale(MUTANTS, excuses) == excuses
    # Nothing is said of files that are not looked at.
    assert stale([replace(item, path="other.py") for item in MUTANTS], excuses) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTRY.replace('reason = "Nothing reads it."', ""), "reason is missing"),
        (ENTRY.replace("Nothing reads it.", " "), "reason is missing"),
        (ENTRY.replace("nth", "number"), "what is 'number'"),
        (ENTRY.replace("nth = 2", "nth = 0"), "counts from 1"),
        (ENTRY + ENTRY, "entry 2 stands twice"),
    ],
)
def test_an_excuse_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ExcuseError, match=message):
        read(tmp_path, text)


def test_the_list_of_excuses_names_mutants_that_are_made() -> None:
    excuses = read_excuses(ROOT / "tests/mutants/equivalent.toml")
    paths = sorted({excuse.path for excuse in excuses})
    assert stale([item for path in paths for item in mutants_of(ROOT, path)], excuses) == []


def outcomes(killed: int, survived: int, excused_ones: int, late: int = 0) -> list[Outcome]:
    verdicts = [Verdict.KILLED] * killed + [Verdict.SURVIVED] * survived
    verdicts += [Verdict.EXCUSED] * excused_ones + [Verdict.TIMED_OUT] * late
    return [Outcome(mutant=MUTANTS[0], verdict=verdict) for verdict in verdicts]


@pytest.mark.parametrize(
    ("found", "is_good"),
    [
        ([], True),
        (outcomes(90, 10, 0), True),
        (outcomes(89, 11, 0), False),
        (outcomes(83, 9, 8), True),
        (outcomes(91, 0, 9), False),
        (outcomes(89, 0, 0, 11), False),
    ],
)
def test_the_goals(found: list[Outcome], is_good: bool) -> None:
    assert tally(found).is_good() is is_good


def test_the_report_has_packages_survivors_and_stale_excuses(tmp_path: Path) -> None:
    excuses = read(tmp_path, ENTRY)
    found = outcomes(3, 1, 0)
    found[0] = replace(found[0], mutant=replace(MUTANTS[0], path="libs/c.py"))
    assert list(by_package(found)) == ["libs", "services/a/domain"]
    text = io.StringIO()
    show(Console(file=text, width=200), found, excuses)
    line = f"survived {MUTANTS[0].id}: services/a/domain/b.py:2 f: `+` to `-`: return a + 1 + 1"
    assert line in text.getvalue()
    assert "stale excuse: services/a/domain/b.py f: `1` to `2`" in text.getvalue()
    told = as_json(found, excuses)
    assert (told["killed"], told["is_good"]) == (0.75, False)


def test_a_larger_sample_holds_the_smaller_one() -> None:
    def sampled(count: int) -> list[str]:
        plan = Plan(root=ROOT, only=("libs/kale/reward.py",), sample=count)
        return Campaign(plan, lambda _: None).listing()

    few, more, everything = sampled(5), sampled(10), sampled(0)
    assert (len(few), len(more)) == (5, 10)
    assert set(few) < set(more) < set(everything)


def test_targets_and_their_tests() -> None:
    files = [
        "libs/common/db/pool.py",
        "services/plant/domain/model.py",
        "services/plant/servicer.py",
        "services/plant/store/queries.sql",
        "services/plant/store/schema.sql",
        "services/wallet/chain/read/entries.py",
        "services/wallet/store/queries/keys.sql",
        "tests/integration/plant/test_a.py",
        "tests/unit/plant/test_b.py",
        "tests/unit/plant/cases.py",
        "tests/unit/wallet/test_c.py",
    ]
    everything = target_files(files)
    assert everything == [*files[:2], files[3], *files[5:7]]
    plant = target_files(files, ["services/plant/"])
    assert plant == [files[1], files[3]]
    assert target_files(files, ["services/*/store/*.sql"]) == [files[3], files[6]]
    assert files_of_tests(files, plant) == files[7:9]
    assert files_of_tests(files, plant, ["tests/unit"]) == [files[8]]


def test_lines_that_a_diff_adds_or_changes() -> None:
    diff = """--- a/libs/a.py
+++ b/libs/a.py
@@ -1,2 +1,3 @@ def f():
@@ -9 +11 @@
@@ -20,2 +21,0 @@
--- /dev/null
+++ b/libs/b.py
@@ -0,0 +1,2 @@
"""
    assert parse_diff(diff) == {"libs/a.py": {1, 2, 3, 11}, "libs/b.py": {1, 2}}


def test_a_mutant_is_written_into_the_copy_alone(tmp_path: Path) -> None:
    root, copy = tmp_path / "root", tmp_path / "copy"
    root.mkdir()
    copy.mkdir()
    (root / "a.py").write_text("x = 1\n", encoding="utf-8")
    (copy / "a.py").write_text("x = 1\n", encoding="utf-8")
    tree = Tree(root, copy)
    times = set()
    for text in ("x = 2\n", "x = 3\n", "x = 1\n"):
        tree.write("a.py", text)
        assert (copy / "a.py").read_text(encoding="utf-8") == text
        # A compiled file is told by size and time: each write has another time.
        times.add(int((copy / "a.py").stat().st_mtime))
    assert len(times) == 3
    assert (root / "a.py").read_text(encoding="utf-8") == "x = 1\n"

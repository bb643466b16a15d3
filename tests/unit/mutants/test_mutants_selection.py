"""Which tests a mutant is tried against: those that run its line, the likeliest first."""

from dataclasses import replace
from pathlib import Path

from trials.mutants.measured import MapStore, Measured
from trials.mutants.model import Mutant, Outcome, Span, Verdict
from trials.mutants.results import ResultStore
from trials.mutants.selection import Selection, Selector
from trials.mutants.usage import Usage

QUICK = "tests/unit/wallet/test_wallet_rules.py::test_quick"
ABOUT = "tests/unit/wallet/test_wallet_bids.py::test_about"
SLOW = "tests/integration/wallet/test_bids.py::test_slow[a b]"
LONG = "tests/integration/wallet/test_more.py::test_long"
SOURCE = "LIMIT = 5\nTWICE = LIMIT * 2\n\n\ndef f():\n    return TWICE\n"
PATH = "services/wallet/domain/bids.py"
MUTANT = Mutant(
    path=PATH,
    function="f",
    mutation="`5` to `6`",
    text="LIMIT = 5",
    line=6,
    span=Span(first=6, last=7),
    start=8,
    end=9,
    replacement="6",
)


def measured() -> Measured:
    return Measured(
        seconds={QUICK: 0.1, ABOUT: 0.5, SLOW: 5.0, LONG: 50.0},
        lines={PATH: {6: {QUICK, SLOW}, 7: {ABOUT, LONG}, 8: {"other"}}},
        statements={"abc": {SLOW}},
    )


def selector(budget: float = 60.0, sources: dict[str, str] | None = None) -> Selector:
    return Selector(measured(), Usage(sources or {}), budget=budget)


def test_tests_that_run_a_line_are_tried_the_quick_ones_first() -> None:
    found = selector().select(MUTANT)
    assert found.tests == (ABOUT, QUICK, SLOW, LONG)
    assert found.left_out == 0
    assert found.seconds == 55.6


def test_what_does_not_fit_into_the_time_is_left_out_and_told() -> None:
    found = selector(budget=6.0).select(MUTANT)
    assert (found.tests, found.left_out) == ((ABOUT, QUICK, SLOW), 1)
    # One is tried, however long it takes.
    alone = selector(budget=0.01).select(MUTANT)
    assert (alone.tests, alone.left_out) == ((ABOUT,), 3)


def test_what_failed_for_a_neighbour_is_tried_first() -> None:
    chooser = selector()
    chooser.note_killer(MUTANT, SLOW)
    chooser.note_killer(MUTANT, LONG)
    assert chooser.select(MUTANT).tests == (LONG, SLOW, ABOUT, QUICK)
    elsewhere = chooser.select(replace(MUTANT, function="g"))
    assert elsewhere.tests[0] == ABOUT


def test_a_query_has_the_tests_that_send_it() -> None:
    assert selector().select(MUTANT, ["abc"]).tests == (SLOW,)
    assert selector().select(MUTANT, ["nobody"]).tests == ()


def test_a_constant_has_the_tests_of_its_users_also_through_another_constant() -> None:
    constant = replace(MUTANT, span=Span(first=1, last=1), names=frozenset({"LIMIT"}))
    assert selector().select(constant).tests == ()
    used = selector(sources={PATH: SOURCE}).select(constant)
    assert used.tests == (QUICK, SLOW)


def test_a_constant_has_the_tests_that_name_it_themselves() -> None:
    test = "from a import LIMIT\n\ndef test_about():\n    assert LIMIT\n"
    constant = replace(MUTANT, span=Span(first=1, last=1), names=frozenset({"LIMIT"}))
    named = selector(sources={"tests/unit/wallet/test_wallet_bids.py": test})
    assert named.select(constant).tests == (ABOUT,)
    cases = selector(sources={"tests/unit/wallet/test_wallet_rules.py": "CASES = [LIMIT]\n"})
    assert cases.select(constant).tests == (QUICK,)


def tree(folder: Path) -> Path:
    for path in (PATH, "tests/a.py", "tests/b.py"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"# {path}\n", encoding="utf-8")
    return folder


def test_code_that_runs_at_an_import_is_told() -> None:
    chooser = Selector(replace(measured(), outside={PATH: {1, 7}}), Usage({}), budget=60.0)
    assert chooser.select(MUTANT).is_imported
    assert not chooser.select(replace(MUTANT, span=Span(first=6, last=6))).is_imported
    # Nothing is measured of queries.
    assert chooser.select(replace(MUTANT, path="services/wallet/store/queries.sql")).is_imported


def test_a_test_file_is_measured_again_when_what_it_runs_has_changed(tmp_path: Path) -> None:
    root = tree(tmp_path)
    record = {
        "seconds": {"tests/a.py::one": 1.0, "tests/a.py::bad": 1.0, "tests/b.py::two": 2.0},
        "failed": ["tests/a.py::bad"],
        "statements": {"tests/a.py::one": ["s"], "": ["t"]},
        "lines": {PATH: {"1": ["tests/a.py::one", "tests/a.py::bad"]}},
        "outside": {PATH: [1, 2], "services/other.py": [1]},
    }
    files = ["tests/a.py", "tests/b.py"]
    store = MapStore(root, root / "map")
    assert store.stale(files) == files
    store.keep(record, files)
    assert store.stale(files) == []
    found = store.read(files)
    assert found.seconds == {"tests/a.py::one": 1.0, "tests/b.py::two": 2.0}
    assert found.lines == {PATH: {1: {"tests/a.py::one"}}}
    assert found.statements == {"s": {"tests/a.py::one"}}
    assert found.outside == {PATH: {1, 2}}
    (root / PATH).write_text("changed", encoding="utf-8")
    assert MapStore(root, root / "map").stale(files) == ["tests/a.py"]


def test_a_test_file_is_measured_again_when_a_query_that_it_sends_has_changed(
    tmp_path: Path,
) -> None:
    """Its record names the statement by its old text."""
    root, queries = tree(tmp_path), "services/queries.sql"
    (root / queries).write_text("-- name: one :one", encoding="utf-8")
    record = {
        "seconds": {"tests/a.py::one": 1.0, "tests/b.py::two": 2.0},
        "failed": [],
        "statements": {"tests/a.py::one": ["s"], "tests/b.py::two": ["t"]},
        "lines": {},
        "outside": {},
    }
    files = ["tests/a.py", "tests/b.py"]
    MapStore(root, root / "map", {"s": {queries}}).keep(record, files)
    assert MapStore(root, root / "map").stale(files) == []
    (root / queries).write_text("-- name: other :one", encoding="utf-8")
    assert MapStore(root, root / "map").stale(files) == ["tests/a.py"]


def test_what_was_tried_counts_until_the_file_or_its_tests_change(tmp_path: Path) -> None:
    root = tree(tmp_path)
    selection = Selection(tests=("tests/a.py::one", "tests/b.py::two"), left_out=0, seconds=3.0)
    killed = Outcome(mutant=MUTANT, verdict=Verdict.KILLED, killer="tests/b.py::two", tests=2)
    other = replace(MUTANT, nth=2)
    survived = Outcome(mutant=other, verdict=Verdict.SURVIVED, tests=2)
    store = ResultStore(root, root / "results")
    for outcome in (killed, survived):
        store.keep(outcome, selection)

    def known(mutant: Mutant, chosen: Selection = selection) -> Outcome | None:
        return ResultStore(root, root / "results").find(mutant, chosen)

    assert known(MUTANT) == killed
    assert known(other) == survived
    # A test more may notice what none has noticed.
    more = replace(selection, tests=(*selection.tests, "tests/b.py::three"))
    assert known(MUTANT, more) == killed
    assert known(other, more) is None
    # Of a killed one, the test that noticed it counts.
    (root / "tests/a.py").write_text("changed", encoding="utf-8")
    assert known(MUTANT) == killed
    assert known(other) is None
    (root / PATH).write_text("changed", encoding="utf-8")
    assert known(MUTANT) is None

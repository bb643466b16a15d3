"""The server for the tests of all mutants in a copy: where it starts, and when it is cleaned."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.mutants.test_mutants_processes import ROOT, SOURCE, mutant
from trials.mutants import runner
from trials.mutants.model import Verdict
from trials.mutants.runner import Attempts, Lane
from trials.mutants.selection import Selection

TEST = "tests/integration/test_server.py"
#: It fails wherever the standing server is not told of, and where the change is noticed.
CONTENT = """import os

import money


def test_a_server():
    assert os.environ.get("STANDING_POSTGRES") == "told"
    assert not money.is_full(3)
"""


class Server:
    """Takes the place of the process with a server."""

    made: list["Server"] = []  # noqa: RUF012  (of this test alone)

    def __init__(self, *_: object) -> None:
        self.environment: Mapping[str, str] = {"STANDING_POSTGRES": "told"}
        self.cleaned = 0
        self.is_closed = False
        self.made.append(self)

    def clean(self) -> None:
        self.cleaned += 1

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lane:
    monkeypatch.setattr(runner, "StandingPostgres", Server)
    monkeypatch.setattr(Server, "made", [])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    lane = Lane(tmp_path / "root", tmp_path)
    for folder in (tmp_path / "root", lane.tree.folder):
        (folder / TEST).parent.mkdir(parents=True)
        (folder / TEST).write_text(CONTENT, encoding="utf-8")
        (folder / "conftest.py").write_text("", encoding="utf-8")
        (folder / "money.py").write_text(SOURCE, encoding="utf-8")
    return lane


def test_a_server_stands_for_tests_with_a_database_and_is_cleaned_after_each(
    lane: Lane, tmp_path: Path
) -> None:
    attempts = Attempts(tmp_path / "root", lane, [TEST])
    try:
        (server,) = Server.made
        name = f"{TEST}::test_a_server"
        selection = Selection(tests=(name,), left_out=0, seconds=0, is_imported=False)
        for change, verdict in ((">=", Verdict.KILLED), (">  ", Verdict.SURVIVED)):
            outcome = attempts.attempt(mutant("> ", change), selection)
            assert outcome.verdict is verdict
        assert server.cleaned == 2
    finally:
        attempts.close()
    assert server.is_closed


def test_other_tests_need_none(lane: Lane, tmp_path: Path) -> None:
    Attempts(tmp_path / "root", lane, ["conftest.py"]).close()
    assert Server.made == []

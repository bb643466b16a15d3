"""What all trials tell, and how: on a terminal, on a page, for programs."""

import argparse
import io
import json
from dataclasses import replace
from enum import Enum
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.results import ORIGIN
from trials.report import (
    Output,
    Picture,
    Report,
    Table,
    add_options,
    as_json,
    as_markdown,
    console_of,
    show,
    tell,
    write,
)


class Colour(Enum):
    RED = "red"


REPORT = Report(
    name="speed",
    title="Speed",
    origin=ORIGIN,
    commands=["python -m trials.speed"],
    parts=[
        Table(
            title="Laps",
            columns=("lap", "seconds", ""),
            rows=[("1", "9.5", "met"), ("2", "11.0", "NOT met")],
            before="Around the field.",
            after="Measured by hand.",
        ),
        Table(columns=("runner",), rows=[("one",)]),
    ],
    problems=["lap 2: too slow"],
    verdict="1 of 2 laps met",
    passed=False,
    content={"colour": Colour.RED, "laps": [9.5, 11.0]},
    picture=Picture(alt="The field", svg="<svg/>"),
)
PAGE = """# Speed, 2026-11-24, commit 0123456789

a CPU, 2 cores, 8.0 GiB, Linux x86_64, Python 3.11.7, PostgreSQL 16.1

```
python -m trials.speed
```

1 of 2 laps met.

## Laps

Around the field.

| lap | seconds |  |
| --- | --- | --- |
| 1 | 9.5 | met |
| 2 | 11.0 | NOT met |

Measured by hand.

| runner |
| --- |
| one |

```
lap 2: too slow
```

![The field](speed.svg)
"""


def shown(output: Output, *, colours: bool = False) -> str:
    """What a terminal gets."""
    console = Console(file=io.StringIO(), width=80, force_terminal=colours)
    with console.capture() as said:
        show(console, output)
    return said.get()


def options(*arguments: str) -> argparse.Namespace:
    """The options of a command."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(arguments)


def test_a_page() -> None:
    assert as_markdown(REPORT) == PAGE


def test_a_page_without_anything_wrong_has_only_its_tables() -> None:
    plain = replace(REPORT, problems=(), verdict="", picture=None, parts=["A line."])
    assert as_markdown(plain).endswith("python -m trials.speed\n```\n\nA line.\n")


def test_a_terminal_gets_tables_lines_problems_and_the_verdict_in_this_order() -> None:
    text = shown(replace(REPORT, parts=[*REPORT.parts, "S is select"]))
    words = ["Laps", "9.5", "runner", "S is select", "lap 2: too slow", "1 of 2 laps met"]
    places = [text.index(word) for word in words]
    assert places == sorted(places)
    assert "Around the field" not in text


@pytest.mark.parametrize(("cell", "colour"), [("met", "32"), ("NOT met", "31"), ("FAILED", "31")])
def test_a_row_has_the_colour_of_its_last_cell(cell: str, colour: str) -> None:
    output = Output(parts=[Table(columns=("goal", ""), rows=[("a", cell)])])
    assert f"\x1b[{colour}m" in shown(output, colours=True)
    plain = Output(parts=[Table(columns=("goal", ""), rows=[("a", "ok")])])
    assert f"\x1b[{colour}m" not in shown(plain, colours=True)


def test_what_is_wrong_is_no_markup() -> None:
    assert "a[red]b" in shown(Output(parts=[], problems=["a[red]b"]))


def test_programs_get_the_values_of_enums() -> None:
    assert json.loads(as_json(REPORT)) == {"colour": "red", "laps": [9.5, 11.0]}
    with pytest.raises(TypeError, match="Path"):
        as_json(replace(REPORT, content={"path": Path()}))


def test_files_stand_in_the_folder_of_date_and_commit(tmp_path: Path) -> None:
    paths = write(REPORT, tmp_path)
    assert [path.name for path in paths] == ["speed.json", "speed.md", "speed.svg"]
    assert {path.parent for path in paths} == {tmp_path / "2026-11-24-0123456789"}
    assert paths[1].read_text(encoding="utf-8") == PAGE
    assert len(write(replace(REPORT, picture=None), tmp_path)) == 2


def test_the_options_say_what_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    quiet = options("--json", "--no-write")
    tell(console_of(quiet), REPORT, quiet)
    said = capsys.readouterr()
    assert json.loads(said.out)["laps"] == [9.5, 11.0]
    assert "1 of 2 laps met" in said.err
    assert not list(tmp_path.iterdir())
    tell(console_of(options()), REPORT, options())
    assert "speed.svg" in capsys.readouterr().out
    assert len(list(tmp_path.glob("trials/results/*/speed.*"))) == 3

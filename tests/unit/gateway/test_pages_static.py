"""Files of the pages: what several of them share stands once."""

import re
from pathlib import Path

import pytest

from gateway.pages.static_files import FOLDER, static_files
from libs.http.reference import viewer

SHEETS = [FOLDER / "pool.css", Path(viewer.__file__).parent / "docs.css"]

_COLOUR = re.compile(r"^  (--[a-z]+): #", flags=re.MULTILINE)


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.name)
def test_a_style_sheet_has_every_colour_light_and_dark(path: Path) -> None:
    sheet = viewer.styled(path.read_bytes()).decode()
    light, _, dark = sheet.partition("prefers-color-scheme: dark")
    colours = set(_COLOUR.findall(light))
    assert colours == set(re.findall(r"^    (--[a-z]+): #", dark, flags=re.MULTILINE))
    assert set(re.findall(r"var\((--[a-z]+)\)", sheet)) <= colours
    assert sheet.endswith(path.read_text())


def test_colours_stand_in_one_file() -> None:
    sheets = [sheet for path in SHEETS for sheet in path.parent.glob("*.css")]
    sources = [sheet.name for sheet in sheets if "--accent:" in sheet.read_text()]
    assert sources == ["base.css"]


def test_files_are_served_as_they_stand_and_named_by_their_content() -> None:
    files = static_files()
    assert files["pool.js"].body == (FOLDER / "pool.js").read_bytes()
    assert files["pool.css"].body == viewer.styled((FOLDER / "pool.css").read_bytes())
    assert len({file.address for file in files.values()}) == len(files)

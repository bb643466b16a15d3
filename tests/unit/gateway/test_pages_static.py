"""Files of the pages: what several of them share stands once."""

import re

import pytest

from gateway.pages.static_files import FOLDER, content_of, static_files

_COLOUR = re.compile(r"^  (--[a-z]+): #", flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["pool.css", "docs.css"])
def test_a_style_sheet_has_every_colour_light_and_dark(name: str) -> None:
    sheet = content_of(name).decode()
    light, _, dark = sheet.partition("prefers-color-scheme: dark")
    colours = set(_COLOUR.findall(light))
    assert colours == set(re.findall(r"^    (--[a-z]+): #", dark, flags=re.MULTILINE))
    assert set(re.findall(r"var\((--[a-z]+)\)", sheet)) <= colours
    assert sheet.endswith((FOLDER / name).read_text())


def test_colours_stand_in_one_file() -> None:
    sources = [path.name for path in FOLDER.glob("*.css") if "--accent:" in path.read_text()]
    assert sources == ["base.css"]


def test_files_are_served_as_they_stand_and_named_by_their_content() -> None:
    files = static_files()
    assert files["pool.js"].body == (FOLDER / "pool.js").read_bytes()
    assert files["pool.css"].body == content_of("pool.css")
    assert len({file.address for file in files.values()}) == len(files)

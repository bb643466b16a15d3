"""Pages as people and strict browsers read them."""

import re
from html.parser import HTMLParser


def text_of(html: str) -> str:
    """Return what a person reads."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


class Checked(HTMLParser):
    """Finds what a strict Content-Security-Policy forbids, and what is left open."""

    EMPTY = frozenset({"meta", "link", "input", "circle", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.wrong += [f"{tag} {name}" for name in given if name == "style" or name[:2] == "on"]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.wrong.append(tag)
        self.scripts += tag == "script"
        for name in ("src", "href", "action"):
            if not (given.get(name) or "/").startswith(("/", "#")):
                self.wrong.append(f"{tag} {given[name]}")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY and (not self.open or self.open.pop() != tag):
            self.wrong.append(f"</{tag}>")


def checked(html: str) -> Checked:
    found = Checked()
    found.feed(html)
    return found

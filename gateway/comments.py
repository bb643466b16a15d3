"""What the protos' comments say, by the full names of what they stand at (made by `make gen`)."""

import json
import re
from functools import cache
from importlib import resources

from gateway.words import in_http

#: Lines for those who call by gRPC or by the command line.
_NOT_HTTP = re.compile(r"^Command line: .*(?:\n(?!\n).*)*", re.MULTILINE)


@cache
def _all() -> dict[str, str]:
    text = (resources.files("kalepool") / "comments.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def comment_of(full_name: str) -> str:
    """Return a comment as paragraphs, each in one line, in the words of HTTP; empty for none."""
    text = _NOT_HTTP.sub("", _all().get(full_name, ""))
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    return in_http("\n\n".join(filter(None, paragraphs)))


def summary_of(full_name: str) -> str:
    """Return the first sentence of a comment, without its full stop."""
    first = comment_of(full_name).partition("\n")[0]
    return re.split(r"(?<=[a-z0-9)])[.:;] ", first)[0].rstrip(".")

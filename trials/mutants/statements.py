"""The statements that a service sends for a section of an .sql file, with all parts filled in.

Files that share parts belong together: `libs/batches/queries.sql` is sent by each service whose own
file fills its parts (libs/common/db/queries.py).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_HEADER = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*) :(?P<kind>\w+)[^\n]*\n", re.MULTILINE)
_PLACE = re.compile(r"\{(?P<name>[a-z][a-z0-9_]*)\}")
#: The file that services share.
SHARED = "libs/batches/queries.sql"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One query, or one part of queries."""

    #: Name of the query or part.
    name: str
    #: Whether the section is a part.
    is_part: bool
    #: SQL of the section.
    sql: str


def sections(source: str) -> list[Section]:
    """Read the sections of a file, in their order."""
    headers = list(_HEADER.finditer(source))
    ends = [header.start() for header in headers[1:]] + [len(source)]
    return [
        Section(
            name=header["name"],
            is_part=header["kind"] == "part",
            sql=source[header.end() : end].strip().rstrip(";"),
        )
        for header, end in zip(headers, ends, strict=True)
    ]


def sent(path: str, sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the texts of the statements that each section of a file contributes to, by section
    name.

    `sources` are the .sql files by path: this file, and the files that may belong to it.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for group in _groups(path, sources):
        everything = [item for name in group for item in sections(sources[name])]
        parts = {item.name: item.sql for item in everything if item.is_part}
        own = {item.name for item in sections(sources[path])}
        for query in (item for item in everything if not item.is_part):
            text = _filled(query.sql, parts)
            for name in {query.name, *_used(query.sql)} & own:
                found[name].add(text)
    return dict(found)


def _filled(sql: str, parts: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: parts.get(place["name"], ""), sql)


def _groups(path: str, sources: Mapping[str, str]) -> Iterable[list[str]]:
    """Return the files that are loaded together with this file, one group for each service."""
    sharing = [name for name in sources if name != SHARED and _shares(name, sources)]
    if path == SHARED:
        return [[name, SHARED] for name in sharing]
    return [[path, SHARED]] if path in sharing else [[path]]


def _shares(name: str, sources: Mapping[str, str]) -> bool:
    return SHARED in sources and any(item.is_part for item in sections(sources[name]))


def _used(sql: str) -> set[str]:
    return {place["name"] for place in _PLACE.finditer(sql)}


def read_sources(root: Path, files: Iterable[str]) -> dict[str, str]:
    """Read the .sql files among these files."""
    return {
        path: (root / path).read_text(encoding="utf-8") for path in files if path.endswith(".sql")
    }

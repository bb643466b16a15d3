"""Named queries from .sql files: `-- name: X :one|:many|:exec`, then one statement.

`:one` returns one row or None, `:many` returns rows, `:exec` returns the number of rows touched.

SQL that differs between otherwise equal statements is a part: `-- name: X :part`, then the SQL that
replaces `{X}` in each statement. All SQL comes from files, and none from a call.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

QueryKind = Literal["one", "many", "exec"]
_PART = "part"
_HEADER = re.compile(
    r"^-- name: (?P<name>[a-z][a-z0-9_]*) :(?P<kind>one|many|exec|part)\s*$", re.MULTILINE
)
_PLACE = re.compile(r"\{(?P<name>[a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, kw_only=True)
class Query:
    """One named statement."""

    #: Unique in its files.
    name: str
    #: Kind of its result.
    kind: QueryKind
    #: The statement, with $1, $2 ... for arguments.
    sql: str


def load_queries(*paths: Path) -> dict[str, Query]:
    """Read .sql files that belong together.

    Raise ValueError for a name that stands twice, a file without names, a part that is missing, and
    a part that no statement uses.
    """
    queries: dict[str, Query] = {}
    parts: dict[str, str] = {}
    for path in paths:
        for name, kind, sql in _sections(path):
            if name in queries or name in parts:
                raise ValueError(f"{path.name}: query {name} stands twice")
            if kind == _PART:
                parts[name] = sql
            else:
                queries[name] = Query(name=name, kind=cast("QueryKind", kind), sql=sql)
    for name, sql in parts.items():
        _filled(name, sql, {})  # a part of parts would hide what a statement does
    used = {place["name"] for query in queries.values() for place in _PLACE.finditer(query.sql)}
    if unused := parts.keys() - used:
        raise ValueError(f"parts that no query uses: {', '.join(sorted(unused))}")
    return {
        name: Query(name=name, kind=query.kind, sql=_filled(name, query.sql, parts))
        for name, query in queries.items()
    }


def _sections(path: Path) -> list[tuple[str, str, str]]:
    """Return name, kind and SQL of every section of a file, in order."""
    text = path.read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    if not headers:
        raise ValueError(f"{path.name}: no '-- name:' line")
    ends = [header.start() for header in headers[1:]] + [len(text)]
    return [
        (header["name"], header["kind"], text[header.end() : end].strip().rstrip(";"))
        for header, end in zip(headers, ends, strict=True)
    ]


def _filled(name: str, sql: str, parts: Mapping[str, str]) -> str:
    """Return the SQL with its parts in their places."""

    def part(place: re.Match[str]) -> str:
        if place["name"] not in parts:
            raise ValueError(f"{name}: no part {place['name']}")
        return parts[place["name"]]

    return _PLACE.sub(part, sql)

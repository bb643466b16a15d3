"""SQL lives in .sql files: `-- name: X :one|:many|:exec`, then one statement.

`:one` gives one row or None, `:many` rows, `:exec` the number of rows touched.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

QueryKind = Literal["one", "many", "exec"]
_HEADER = re.compile(
    r"^-- name: (?P<name>[a-z][a-z0-9_]*) :(?P<kind>one|many|exec)\s*$", re.MULTILINE
)


@dataclass(frozen=True, kw_only=True)
class Query:
    """One named statement."""

    #: Unique in its file.
    name: str
    #: What it gives back.
    kind: QueryKind
    #: The statement, with $1, $2 ... for arguments.
    sql: str


def load_queries(path: Path) -> dict[str, Query]:
    """Reads a .sql file; raises ValueError for a name that stands twice or no names at all."""
    text = path.read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    if not headers:
        raise ValueError(f"{path.name}: no '-- name:' line")
    ends = [header.start() for header in headers[1:]] + [len(text)]
    queries: dict[str, Query] = {}
    for header, end in zip(headers, ends, strict=True):
        name = header["name"]
        if name in queries:
            raise ValueError(f"{path.name}: query {name} stands twice")
        sql = text[header.end() : end].strip().rstrip(";")
        queries[name] = Query(name=name, kind=cast("QueryKind", header["kind"]), sql=sql)
    return queries

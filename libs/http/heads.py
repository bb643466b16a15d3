"""Heads of answers: the line of the status and the headers, as they are sent."""

import re
from collections.abc import Sequence
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

#: A header's name and value.
Header = tuple[bytes, bytes]

#: What every reply has, unless it has its own. Pages have further ones.
COMMON: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_NAME = re.compile(rb"[a-z0-9-]+")
#: A line end, or anything else that ends or hides a header.
_ODD = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
#: Heads that are kept: those without headers of their own are the same again and again.
_KEPT = 256


def with_common(headers: Sequence[Header]) -> list[Header]:
    """Return headers with those that every reply has."""
    own = {name for name, _ in headers}
    return [*headers, *(pair for pair in COMMON if pair[0] not in own)]


def head_of(status: int, media_type: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Return the head of an answer without its length, and without the empty line that ends it.

    Raise ValueError for a header that would be read as something else.
    """
    if not headers:
        return _plain(status, media_type)
    return _made(status, media_type, headers)


@lru_cache(maxsize=_KEPT)
def _plain(status: int, media_type: str) -> bytes:
    return _made(status, media_type, ())


def _made(status: int, media_type: str, headers: Sequence[tuple[str, str]]) -> bytes:
    own = [
        (name.encode(), value.encode("latin-1"))
        for name, value in (("content-type", media_type), *headers)
    ]
    lines = [STATUS_LINE[status]]
    for name, value in with_common(own):
        if not _NAME.fullmatch(name) or _ODD.search(value):
            raise ValueError(f"{name!r} has no value that can be sent")
        lines += [name, b": ", value, b"\r\n"]
    return b"".join(lines)

"""Lies of form and of size: answers that cannot be read, or that should not be read."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from typing import Any

from aiohttp import web

from localnet.rpc.lies.model import is_number, one_of

_FORMS = ("xdr", "no_hash", "wrong_id", "types", "no_result", "null", "html", "error")
#: Sizes when none is given, in bytes, items or levels.
_SIZES = {
    "zip": 1_500_000_000,
    "plain": 500_000_000,
    "endless": 2**62,
    "deep": 1_000_000,
    "items": 5_000_000,
}
_CHUNK = 1 << 20
#: Seconds between two pieces of an answer that does not end.
_PAUSE = 0.001
_HEAD = b'{"jsonrpc":"2.0","id":1,"result":{"latestLedger":1,"padding":'


def check_form(value: Any) -> None:
    """Check that the value is one of the forms."""
    one_of(*_FORMS)(value)


def check_huge(value: Any) -> None:
    """Check that the value is a kind, or {"kind": ..., "size": ...}."""
    given = value if isinstance(value, dict) else {"kind": value}
    if not set(given) <= {"kind", "size"}:
        raise ValueError('expected {"kind": ..., "size": ...}')
    one_of(*_SIZES)(given.get("kind"))
    is_number(given.get("size", 1))


def deformed(form: str, answer: dict[str, Any]) -> Any:
    """Return an answer in a form that it should not have; text for a form that is no JSON."""
    if form in _TWISTS:
        twisted = {n: _TWISTS[form](v) for n, v in answer.items() if n == "result"}
        return {**answer, **twisted}
    kept = {name: value for name, value in answer.items() if name != "result"}
    others: dict[str, Any] = {
        "html": "<html><body>502 Bad Gateway</body></html>",
        "null": None,
        "wrong_id": {**answer, "id": f"not {answer.get('id')}"},
        "no_result": kept,
        "error": {**kept, "error": {"code": -32603, "message": "localnet was told to say so"}},
    }
    return others[form]


def _blind(value: Any, name: str = "") -> Any:
    """Replace every XDR by one that cannot be read."""
    if isinstance(value, dict):
        return {n: _blind(v, n) for n, v in value.items()}
    if isinstance(value, list):
        return [_blind(item, name) for item in value]
    is_xdr = isinstance(value, str) and (name.lower().endswith("xdr") or name == "transactionData")
    return "AAAA" if is_xdr else value


def _nameless(value: Any) -> Any:
    """Remove every name of a transaction or an entry."""
    if isinstance(value, dict):
        names = {"txHash", "hash", "key"}
        return {n: _nameless(v) for n, v in value.items() if n not in names}
    return [_nameless(item) for item in value] if isinstance(value, list) else value


def _mistyped(value: Any) -> Any:
    """Turn numbers into lists, lists into numbers and texts into objects."""
    if isinstance(value, dict):
        return {name: _mistyped(item) for name, item in value.items()}
    if isinstance(value, list):
        return len(value)
    return [value] if isinstance(value, int) else {"text": value}


_TWISTS: dict[str, Callable[[Any], Any]] = {
    "xdr": _blind,
    "no_hash": _nameless,
    "types": _mistyped,
}


async def send_huge(request: web.Request, value: Any) -> web.StreamResponse:
    """Send an answer of a size that nobody expects."""
    given = value if isinstance(value, dict) else {"kind": value}
    kind = given["kind"]
    size = int(given.get("size", _SIZES[kind]))
    headers = {"Content-Type": "application/json"}
    if kind == "zip":
        headers["Content-Encoding"] = "gzip"
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        async for piece in _pieces(kind, size):
            await response.write(piece)
        await response.write_eof()
    except (ConnectionError, asyncio.CancelledError):
        # The client has closed the connection.
        if request.transport is not None:
            request.transport.abort()
    return response


async def _pieces(kind: str, size: int) -> AsyncIterator[bytes]:
    if kind == "zip":
        for piece in await asyncio.to_thread(_zipped, size):
            yield piece
        return
    for piece in _plain(kind, size):
        yield piece
        if kind == "endless":
            await asyncio.sleep(_PAUSE)


def _plain(kind: str, size: int) -> Iterator[bytes]:
    yield _HEAD
    if kind == "items":
        item = b'{"txHash":"00","status":"SUCCESS"},' * 1000
        yield b"["
        for _ in range(size // 1000):
            yield item
        yield b"0]}}"
    elif kind == "deep":
        yield b"[" * size
        yield b"]" * size + b"}}"
    else:
        yield b'"'
        for _ in range(size // _CHUNK):
            yield b"x" * _CHUNK
        yield b'"}}'


@lru_cache(maxsize=2)
def _zipped(size: int) -> tuple[bytes, ...]:
    """Return a gzip stream in pieces: the same block repeated, compressed once."""
    block = b"x" * _CHUNK
    count = max(1, size // _CHUNK)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = packer.compress(_HEAD + b'"') + packer.flush(zlib.Z_FULL_FLUSH)
    middle = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    tail = packer.compress(b'"}}') + packer.flush()
    checksum = zlib.crc32(_HEAD + b'"')
    for _ in range(count):
        checksum = zlib.crc32(block, checksum)
    checksum = zlib.crc32(b'"}}', checksum)
    length = len(_HEAD) + 4 + count * _CHUNK
    trailer = struct.pack("<II", checksum, length & 0xFFFFFFFF)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return (header + head, middle * count, tail + trailer)

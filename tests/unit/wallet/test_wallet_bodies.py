"""Bodies of nodes' answers: how many parts they may have, and which text."""

import asyncio
import gzip
import json
import zlib
from contextlib import AbstractAsyncContextManager
from typing import cast

import aiohttp
import pytest

from services.wallet.chain.node.bodies import BodyError, NoJsonError, Turns, parse
from services.wallet.chain.node.bounds import Bounds

MARKS = 12
BOUNDS = Bounds(size=2**20, marks=MARKS)
#: Longer than a body that may have any shape.
LONG = "A" * 70_000


def body(value: object, *, ensure_ascii: bool = True) -> bytearray:
    """Write an answer as nodes do."""
    return bytearray(json.dumps(value, ensure_ascii=ensure_ascii).encode())


def with_marks(kind: str, count: int) -> bytearray:
    """Write a long answer with so many marks of one kind besides those around it."""
    text = {",": "0," * count, "[": "[" * count + "]" * count + ",", "{": '{"a":' * count}[kind]
    end = {",": "0", "[": "0", "{": "0" + "}" * count}[kind]
    return bytearray(f'["{LONG}",{text}{end}]'.encode())


@pytest.mark.parametrize(("kind", "own"), [(",", 2), ("[", 3), ("{", 2)])
def test_a_large_body_has_parts_up_to_its_bound(kind: str, own: int) -> None:
    assert parse(with_marks(kind, MARKS - own), BOUNDS)[0] == LONG
    with pytest.raises(BodyError, match="more than 12 parts"):
        parse(with_marks(kind, MARKS - own + 1), BOUNDS)


def test_marks_of_all_kinds_count_together() -> None:
    value = [LONG, {"a": [1, 2]}, {"b": [3]}, 4]  # 4 commas, 3 "[", 2 "{"
    assert parse(body(value), Bounds(size=2**20, marks=9)) == value
    with pytest.raises(BodyError):
        parse(body(value), Bounds(size=2**20, marks=8))


def test_a_small_body_may_have_any_shape() -> None:
    value = [[0]] * 100 + ["\u20ac"]
    assert parse(body(value, ensure_ascii=False), BOUNDS) == value


@pytest.mark.parametrize("text", ["\u20ac", "\U0001f600"])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_large_body_is_ascii(text: str, escaped: bool) -> None:
    with pytest.raises(NoJsonError, match="not ASCII"):
        parse(body([LONG, text], ensure_ascii=escaped), BOUNDS)


def test_a_large_body_may_escape_what_takes_one_byte() -> None:
    value = [LONG, 'a "word"\n\\ \u00e9']
    assert parse(body(value), BOUNDS) == value


# Reading


class Wire:
    """An answer whose body arrives in pieces; notes when it was read."""

    def __init__(self, *pieces: bytes, encoding: str = "", length: int | None = None) -> None:
        self._pieces = [part for piece in pieces for part in _cut(piece)]
        self.headers = {"Content-Encoding": encoding} if encoding else {}
        self.content_length = length
        self.content = self
        self.reads = 0

    async def read(self, most: int) -> bytes:
        """As aiohttp's."""
        assert most == 16 * 1024
        self.reads += 1
        return self._pieces.pop(0) if self._pieces else b""

    def at_eof(self) -> bool:
        """As aiohttp's."""
        return not self._pieces


def _cut(piece: bytes) -> list[bytes]:
    return [piece[start : start + 16 * 1024] for start in range(0, len(piece), 16 * 1024)]


async def read(wire: Wire, size: int, room: asyncio.Semaphore | None = None) -> bytes:
    """The body."""
    turns = Turns(room or asyncio.Semaphore(1))
    bounds = Bounds(size=size, marks=9)
    async with turns.reading(cast(aiohttp.ClientResponse, wire), bounds) as found:
        return bytes(found)


@pytest.mark.parametrize("pieces", [(b"abcdef",), (b"abc", b"def"), (b"a" * 40_000,), ()])
async def test_a_body_is_read_whole_in_whatever_pieces_it_comes(pieces: tuple[bytes, ...]) -> None:
    whole = b"".join(pieces)
    assert await read(Wire(*pieces), 100_000) == whole
    assert await read(Wire(*pieces, encoding="identity"), 100_000) == whole


@pytest.mark.parametrize("pieces", [(b"abcdef",), (b"abc", b"def")])
async def test_a_body_may_be_as_large_as_its_bound_and_no_larger(pieces: tuple[bytes, ...]) -> None:
    assert await read(Wire(*pieces), 6) == b"abcdef"
    with pytest.raises(BodyError, match="more than 5 bytes"):
        await read(Wire(*pieces), 5)


async def test_a_body_that_declares_too_much_is_not_read() -> None:
    assert await read(Wire(b"abcdef", length=6), 6) == b"abcdef"
    wire = Wire(b"abcdef", length=7)
    with pytest.raises(BodyError, match="7 bytes"):
        await read(wire, 6)
    assert wire.reads == 0


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " gzip "])
async def test_a_packed_body_is_unpacked(encoding: str) -> None:
    packed = gzip.compress(b"abc" * 50_000, mtime=0)
    assert await read(Wire(packed, encoding=encoding), 150_000) == b"abc" * 50_000
    assert await read(Wire(packed[:9], packed[9:], encoding=encoding), 150_000) == b"abc" * 50_000
    with pytest.raises(BodyError, match="more than 149999 bytes unpacked"):
        await read(Wire(packed, encoding=encoding), 149_999)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (gzip.compress(b"abc", mtime=0)[:-1], "gzip without its end"),
        (b"", "gzip without its end"),
        (gzip.compress(b"abc", mtime=0) + b"x", "gzip with something behind it"),
        (b"no gzip at all", "gzip that cannot be unpacked"),
        (zlib.compress(b"abc"), "gzip that cannot be unpacked"),
    ],
)
async def test_what_is_not_packed_as_it_says_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BodyError, match=why):
        await read(Wire(body, encoding="gzip"), 1000)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip"])
async def test_what_is_packed_in_another_way_is_refused(encoding: str) -> None:
    with pytest.raises(BodyError, match="not asked for"):
        await read(Wire(b"abc", encoding=encoding), 1000)


async def test_a_packed_body_exceeds_its_bound_on_the_wire_too() -> None:
    packed = gzip.compress(bytes(range(256)) * 4, compresslevel=0)
    assert len(packed) > 1024
    assert len(await read(Wire(packed, encoding="gzip"), len(packed))) == 1024
    with pytest.raises(BodyError, match=f"more than {len(packed) - 1} bytes$"):
        await read(Wire(packed, encoding="gzip"), len(packed) - 1)


@pytest.mark.parametrize(("size", "waits"), [(64 * 1024, False), (64 * 1024 + 1, True)])
async def test_only_large_bodies_take_turns(size: int, waits: bool) -> None:
    room = asyncio.Semaphore(1)
    async with room:
        reading = asyncio.create_task(read(Wire(b"a" * size), 2**20, room))
        for _ in range(50):
            await asyncio.sleep(0)
        assert reading.done() is not waits
    assert len(await reading) == size


async def test_large_bodies_of_one_node_are_read_one_after_the_other() -> None:
    turns, bounds = Turns(asyncio.Semaphore(9)), Bounds(size=2**20, marks=9)

    def reading() -> AbstractAsyncContextManager[bytearray]:
        wire = Wire(b"a" * 100_000)
        return turns.reading(cast(aiohttp.ClientResponse, wire), bounds)

    async def second() -> int:
        async with reading() as body:
            return len(body)

    async with reading():
        waiting = asyncio.create_task(second())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == 100_000


async def test_others_have_their_turn_while_a_large_body_is_unpacked() -> None:
    """Every half mebibyte."""
    turns, ticks = asyncio.Event(), 0

    async def tick() -> None:
        nonlocal ticks
        while not turns.is_set():
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    before = ticks
    packed = gzip.compress(bytes(2**21))
    assert len(packed) < 16 * 1024
    await read(Wire(packed, encoding="gzip"), 2**22)
    # Two mebibytes are four halves; the fourth ends with the body.
    assert ticks - before == 3
    turns.set()
    await ticking


# Numbers


def test_a_number_has_up_to_twenty_digits() -> None:
    assert parse(bytearray(b"9" * 20), BOUNDS) == int("9" * 20)
    with pytest.raises(NoJsonError, match="a number without end"):
        parse(bytearray(b"9" * 21), BOUNDS)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(NoJsonError, match="is no number"):
        parse(bytearray(text.encode()), BOUNDS)


def test_shapes_are_counted_from_the_smallest_large_body_on() -> None:
    """A body of 64 KiB may have any shape."""
    small = bytearray(b"[" + b"0," * 20 + b"0]")
    largest = small + b" " * (64 * 1024 - len(small))
    assert len(parse(largest, BOUNDS)) == 21
    with pytest.raises(BodyError, match="more than 12 parts"):
        parse(largest + b" ", BOUNDS)

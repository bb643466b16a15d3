"""A hostile Stellar node: its bodies never end, or expand a small answer into a huge one."""

import asyncio
import json
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from itertools import repeat
from typing import Any

from stellar_sdk import xdr

#: Bytes that the node writes after the request, piece by piece; None: wait a second.
Pieces = Iterator[bytes | None]
Trap = Callable[[Mapping[str, Any]], Pieces]

_MIB = 2**20
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _plain(body: bytes, *, announced: bool = True) -> Pieces:
    length = f"Content-Length: {len(body)}\r\n".encode() if announced else b"Connection: close\r\n"
    yield _HEAD + length + b"\r\n"
    yield from (body[at : at + _MIB] for at in range(0, len(body), _MIB))


def _result(call: Mapping[str, Any], inside: str) -> bytes:
    """Return an answer whose `transactions` are this text."""
    head = '"latestLedger":100,"latestLedgerCloseTimestamp":1700000000,"oldestLedger":1'
    return f'{{"id":{call["id"]},"result":{{{head},"transactions":{inside}}}}}'.encode()


def bomb(_: Mapping[str, Any]) -> Pieces:
    """Send 1.5 GB packed in 1.5 MB."""
    begin, block = _packed()
    yield _HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n"
    yield begin
    yield from repeat(block, 1500 // 16)


@cache
def _packed() -> tuple[bytes, bytes]:
    """Return the beginning of a gzip stream, and 16 MiB of zeros in it."""
    packer = zlib.compressobj(9, wbits=31)
    begin = packer.compress(b"[") + packer.flush(zlib.Z_FULL_FLUSH)
    return begin, packer.compress(bytes(16 * _MIB)) + packer.flush(zlib.Z_FULL_FLUSH)


def without_end(_: Mapping[str, Any]) -> Pieces:
    """Send one chunk after the other, for ever."""
    yield _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    yield from repeat(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def announced(_: Mapping[str, Any]) -> Pieces:
    """Announce a body of 500 MB, and send it."""
    yield _HEAD + b"Content-Length: 524288000\r\n\r\n"
    yield from repeat(b" " * _MIB, 500)


def unannounced(_: Mapping[str, Any]) -> Pieces:
    """Send 500 MB until the connection closes."""
    yield _HEAD + b"Connection: close\r\n\r\n"
    yield from repeat(b" " * _MIB, 500)


def deep(call: Mapping[str, Any]) -> Pieces:
    """Send as many nested lists as an answer may have parts."""
    return _plain(_result(call, "[" * 50_000 + "]" * 50_000))


def deeper(call: Mapping[str, Any]) -> Pieces:
    """Send millions of nested lists."""
    return _plain(_result(call, "[" * 3_000_000 + "]" * 3_000_000))


def long_number(call: Mapping[str, Any]) -> Pieces:
    """Send a number of seven million digits."""
    return _plain(_result(call, "[" + "9" * 7_000_000 + "]"))


def long_fraction(call: Mapping[str, Any]) -> Pieces:
    """Send a number of seven million digits after the decimal point."""
    return _plain(_result(call, "[0." + "9" * 7_000_000 + "]"))


def many_items(call: Mapping[str, Any]) -> Pieces:
    """Send two million empty objects."""
    return _plain(_result(call, "[" + "{}," * 2_000_000 + "{}]"))


def objects(call: Mapping[str, Any]) -> Pieces:
    """Send as many objects as an answer may have parts, all different."""
    items = ",".join(f'{{"{number}":{number}}}' for number in range(25_000))
    return _plain(_result(call, f"[{items}]"))


def wide(call: Mapping[str, Any]) -> Pieces:
    """Send one character that makes all others four bytes wide."""
    return _plain(_result(call, '["\U0001f33e' + "x" * 7_000_000 + '"]'))


def wide_escaped(call: Mapping[str, Any]) -> Pieces:
    """Send that character escaped in ASCII."""
    return _plain(_result(call, '["\\ud83c\\udf3e' + "x" * 7_000_000 + '"]'))


def long_texts(call: Mapping[str, Any]) -> Pieces:
    """Send the largest body that is read, made of texts."""
    return _plain(_result(call, "[" + ",".join(['"' + "x" * 100_000 + '"'] * 75) + "]"))


def dripping(_: Mapping[str, Any]) -> Pieces:
    """Send a byte each second."""
    yield _HEAD + b"Content-Length: 1000\r\n\r\n"
    while True:
        yield None
        yield b" "


def endless_header(_: Mapping[str, Any]) -> Pieces:
    """Send a header that never ends."""
    yield b"HTTP/1.1 200 OK\r\n"
    yield from (b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(10**9))


def half_gzip(call: Mapping[str, Any]) -> Pieces:
    """Send gzip that breaks off, in a body that does not."""
    packed = zlib.compress(_result(call, "[]"), wbits=31)[:-9]
    yield _HEAD + b"Content-Encoding: gzip\r\n" + f"Content-Length: {len(packed)}\r\n\r\n".encode()
    yield packed


def other_packing(call: Mapping[str, Any]) -> Pieces:
    """Send a body packed in a way that nobody asked for."""
    packed = zlib.compress(_result(call, "[]"))
    head = f"Content-Encoding: br\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    yield _HEAD + head
    yield packed


def contracts_value(call: Mapping[str, Any]) -> Pieces:
    """Send transactions whose metas are lists of a hundred thousand empty values."""
    hashes = [f"{number:064x}" for number in range(16)]
    items = [
        {
            "txHash": name,
            "ledger": 100,
            "status": "FAILED",
            "resultXdr": "AAAAAAAAAGT/////AAAAAA==",
            "diagnosticEventsXdr": [VOIDS],
        }
        for name in hashes
    ]
    return _plain(_result(call, json.dumps(items)))


def _voids(count: int) -> str:
    void = xdr.SCVal(xdr.SCValType.SCV_VOID)
    value = xdr.SCVal(xdr.SCValType.SCV_VEC, vec=xdr.SCVec([void] * count))
    body = xdr.ContractEventV0(topics=[], data=value)
    event = xdr.ContractEvent(
        xdr.ExtensionPoint(0),
        None,
        xdr.ContractEventType.DIAGNOSTIC,
        xdr.ContractEventBody(0, body),
    )
    diagnostic = xdr.DiagnosticEvent(in_successful_contract_call=False, event=event)
    return b64encode(diagnostic.to_xdr_bytes()).decode()


VOIDS = _voids(90_000)

TRAPS: Mapping[str, Trap] = {
    trap.__name__: trap
    for trap in (
        bomb,
        without_end,
        announced,
        unannounced,
        deep,
        deeper,
        long_number,
        long_fraction,
        many_items,
        objects,
        wide,
        wide_escaped,
        long_texts,
        dripping,
        endless_header,
        half_gzip,
        other_packing,
        contracts_value,
    )
}


@asynccontextmanager
async def hostile_node(passphrase: str, trap: Trap) -> AsyncIterator[str]:
    """Run a node that is sound except for getTransactions; yield its URL."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                await _serve(reader, writer, passphrase, trap)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # also cancelled at the end: asyncio's server reports what a handler raises
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passphrase: str, trap: Trap
) -> None:
    """Serve one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    call = json.loads(await reader.readexactly(length))
    if call["method"] != "getTransactions":
        facts = {
            "passphrase": passphrase,
            "latestLedger": 100,
            "latestLedgerCloseTime": "1700000000",
            "oldestLedger": 1,
            "status": "healthy" if call["method"] == "getHealth" else "NOT_FOUND",
        }
        body = json.dumps({"id": call["id"], "result": facts}).encode()
        pieces = _plain(body)
    else:
        pieces = trap(call)
    for piece in pieces:
        if piece is None:
            await asyncio.sleep(1)
        else:
            writer.write(piece)
            await writer.drain()
    if call["method"] == "getTransactions":
        raise ConnectionResetError  # the end of the body, for those that do not announce one

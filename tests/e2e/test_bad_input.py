"""Whatever a caller sends, to any RPC of the running pool: never INTERNAL, never UNKNOWN.

The RPCs are taken from the descriptors, so a new one is covered without a line here.
"""

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from kalepool.common.v1 import common_pb2
from kalepool.harvest.v1 import harvest_pb2
from kalepool.plant.v1 import plant_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import wallet_pb2
from kalepool.work.v1 import work_pb2

from demo.stack import Stack, StackConfig, open_stack
from libs.common.grpc.client import open_channel
from libs.common.grpc.errors import from_rpc_error
from libs.common.grpc.health import is_serving
from services.migrations import SERVICES

pytestmark = pytest.mark.e2e

FILES = {
    "registry": registry_pb2,
    "wallet": wallet_pb2,
    "plant": plant_pb2,
    "work": work_pb2,
    "harvest": harvest_pb2,
}
#: Hostile requests per RPC.
ROUNDS = 12
#: Seconds of one call; a well-formed one may wait for the chain.
TIMEOUT = 2.0

STRINGS = [
    "",
    "x",
    "0" * 10_000,
    "\x00",
    "💥" * 50,
    "../../etc/passwd",
    "'; DROP TABLE registry.farmers; --",
    str(UUID(int=7)),
    "GDBZZHQDKZTZXXAVEZ4X4P5A43MYRM764RPFBG45RJVK6M57BDDNE7HN",
    "NaN",
    "1e309",
    "W10",
]
NUMBERS = [0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1]
ALLOWED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    """Every RPC, with the process that serves it; the Info RPCs with each."""
    info = common_pb2.DESCRIPTOR.services_by_name["InfoService"]
    for name, module in FILES.items():
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from ((name, method) for method in service.methods)
        yield from ((name, method) for method in info.methods)


def hostile(descriptor: Any, dice: random.Random, depth: int = 0) -> Message:
    """A message with values that nobody means."""
    message: Message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if dice.random() < 0.2 or depth > 3:
            continue
        if field.is_repeated:
            if field.message_type is None or not field.message_type.GetOptions().map_entry:
                items = [one(field, dice, depth) for _ in range(dice.choice([0, 1, 2, 3, 1100]))]
                getattr(message, field.name).extend(items)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(hostile(field.message_type, dice, depth + 1))
        else:
            setattr(message, field.name, one(field, dice, depth))
    return message


def one(field: FieldDescriptor, dice: random.Random, depth: int) -> Any:
    """One value of a field's type."""
    if field.message_type is not None:
        return hostile(field.message_type, dice, depth + 1)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            text = dice.choice(STRINGS)
            return text if field.type == FieldDescriptor.TYPE_STRING else text.encode()
        case FieldDescriptor.CPPTYPE_BOOL:
            return dice.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return dice.choice([0.0, -1.5, 1e300])
        case FieldDescriptor.CPPTYPE_ENUM:
            return dice.choice([0, 1, 77])
    bits = 64 if "64" in field_type(field) else 32
    unsigned = field_type(field).startswith("U")
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return dice.choice([number for number in NUMBERS if low <= number <= high])


def field_type(field: FieldDescriptor) -> str:
    """INT32, UINT64 ..."""
    names = {
        FieldDescriptor.CPPTYPE_INT32: "INT32",
        FieldDescriptor.CPPTYPE_INT64: "INT64",
        FieldDescriptor.CPPTYPE_UINT32: "UINT32",
        FieldDescriptor.CPPTYPE_UINT64: "UINT64",
    }
    return names[field.cpp_type]


async def answer(
    channel: grpc.aio.Channel, method: MethodDescriptor, raw: bytes
) -> grpc.aio.AioRpcError | None:
    """Sends bytes; the error, or None when the pool found the request good."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.server_streaming:
            call = channel.unary_stream(path, bytes, bytes)(raw, timeout=TIMEOUT)
            async for _ in call:
                break
            call.cancel()
        else:
            await channel.unary_unary(path, bytes, bytes)(raw, timeout=TIMEOUT)
    except grpc.aio.AioRpcError as error:
        return error
    return None


def check(error: grpc.aio.AioRpcError | None, what: str) -> None:
    """A caller can cause only errors that tell what to do about it."""
    if error is None:
        return
    assert error.code() in ALLOWED, (what, error.code(), error.details())
    typed = from_rpc_error(error)
    assert typed.reason, what
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT and "no message" not in typed.message:
        assert typed.violations, what
        assert all(violation.field for violation in typed.violations), what


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A running pool."""
    config = StackConfig(directory=tmp_path / "stack", ledger_seconds=0.5, block_seconds=20)
    async with open_stack(config) as running:
        yield running


async def test_no_request_breaks_anything(stack: Stack) -> None:
    dice = random.Random(20_261_124)
    asked = 0
    for name, method in methods():
        async with open_channel(stack.target(name)) as channel:
            requests = [hostile(method.input_type, dice) for _ in range(ROUNDS)]
            raws = [b"", *(request.SerializeToString() for request in requests)]
            raws += [dice.randbytes(40) for _ in range(3)]
            for raw in raws:
                check(await answer(channel, method, raw), f"{method.full_name} {raw[:80]!r}")
                asked += 1
    assert asked > 500
    stack.check()
    for name in SERVICES:
        async with open_channel(stack.target(name)) as channel:
            assert await is_serving(channel), name

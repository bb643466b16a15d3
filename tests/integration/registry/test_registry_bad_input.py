"""What callers may send, and what they are told when it is wrong: field by field."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from kalepool.registry.v1 import registry_pb2
from stellar_sdk import Keypair

from libs.common.errors import InvalidArgumentError, NotFoundError
from libs.common.paging import encode_token
from tests.support.registry_world import RegistryWorld, refusal

SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"
KEY = Keypair.from_raw_ed25519_seed(bytes(32)).public_key
#: A valid key with one character changed: only the checksum knows.
WRONG_KEY = KEY[:20] + ("A" if KEY[20] != "A" else "B") + KEY[21:]
SECRET_KEY = Keypair.from_raw_ed25519_seed(bytes(32)).secret


def struct(value: dict[str, Any]) -> struct_pb2.Struct:
    """A Struct out of plain values."""
    message = struct_pb2.Struct()
    message.update(value)
    return message


def nested(levels: int) -> struct_pb2.Struct:
    """Objects in one another."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"in": value}
    return struct(value)


def pooler(**changes: Any) -> Callable[[Any], Any]:
    """RegisterPooler with something wrong."""
    values = {"name": "north", "public_key": KEY, **changes}
    return lambda stub: stub.RegisterPooler(registry_pb2.RegisterPoolerRequest(**values))


def farmer(**changes: Any) -> Callable[[Any], Any]:
    """RegisterFarmer with something wrong."""
    values = {"pooler_id": SOMEBODY, **changes}
    return lambda stub: stub.RegisterFarmer(registry_pb2.RegisterFarmerRequest(**values))


def update_pooler(**changes: Any) -> Callable[[Any], Any]:
    """UpdatePooler with something wrong."""
    values = {"pooler_id": SOMEBODY, **changes}
    return lambda stub: stub.UpdatePooler(registry_pb2.UpdatePoolerRequest(**values))


def update_farmer(**changes: Any) -> Callable[[Any], Any]:
    """UpdateFarmer with something wrong."""
    values = {"farmer_id": SOMEBODY, **changes}
    return lambda stub: stub.UpdateFarmer(registry_pb2.UpdateFarmerRequest(**values))


def terms(**changes: Any) -> Callable[[Any], Any]:
    """PublishTerms with something wrong."""
    values = {"pooler_id": SOMEBODY, "pooler_fee": "0.05", **changes}
    return lambda stub: stub.PublishTerms(registry_pb2.PublishTermsRequest(**values))


def join(**changes: Any) -> Callable[[Any], Any]:
    """JoinPool with something wrong."""
    values = {"pooler_id": SOMEBODY, "owner_account": KEY, "terms_version": 1, **changes}
    return lambda stub: stub.JoinPool(registry_pb2.JoinPoolRequest(**values))


def listing(method: str, **changes: Any) -> Callable[[Any], Any]:
    """ListPoolers or ListFarmers with something wrong."""
    request = getattr(registry_pb2, f"{method}Request")
    return lambda stub: getattr(stub, method)(request(**changes))


CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "pooler: nothing": (pooler(name="", public_key=""), ["name", "public_key"]),
    "pooler: long name": (pooler(name="x" * 256), ["name"]),
    "pooler: control character": (pooler(name="a\x00b"), ["name"]),
    "pooler: key without a right checksum": (pooler(public_key=WRONG_KEY), ["public_key"]),
    "pooler: secret key": (pooler(public_key=SECRET_KEY), ["public_key"]),
    "pooler: contract": (pooler(public_key="C" + KEY[1:]), ["public_key"]),
    "pooler: lower case": (pooler(public_key=KEY.lower()), ["public_key"]),
    "pooler: letters that are not ASCII": (pooler(public_key="é" * 56), ["public_key"]),
    "pooler: long endpoint": (pooler(api_endpoint="x" * 513), ["api_endpoint"]),
    "pooler: negative max_farmers": (pooler(max_farmers=-1), ["max_farmers"]),
    "pooler: large max_farmers": (pooler(max_farmers=1001), ["max_farmers"]),
    "pooler: long request_id": (pooler(request_id="x" * 129), ["request_id"]),
    "pooler: everything": (
        pooler(
            name="\n",
            public_key="G",
            api_endpoint="\x7f",
            max_farmers=2**31 - 1,
            request_id="\t",
        ),
        ["request_id", "name", "public_key", "api_endpoint", "max_farmers"],
    ),
    "farmer: no pooler": (farmer(pooler_id=""), ["pooler_id"]),
    "farmer: rubbish pooler": (farmer(pooler_id="{" + SOMEBODY + "}"), ["pooler_id"]),
    "farmer: nil pooler": (farmer(pooler_id=SOMEBODY.replace("1", "x")), ["pooler_id"]),
    "farmer: more than all": (farmer(stake_percentage="1.0001"), ["stake_percentage"]),
    "farmer: negative stake": (farmer(stake_percentage="-0.1"), ["stake_percentage"]),
    "farmer: five decimals": (farmer(stake_percentage="0.12345"), ["stake_percentage"]),
    "farmer: not a number": (farmer(stake_percentage="NaN"), ["stake_percentage"]),
    "farmer: exponent": (farmer(stake_percentage="1e-1"), ["stake_percentage"]),
    "farmer: other digits": (farmer(stake_percentage="٠.٥"), ["stake_percentage"]),
    "farmer: line end": (farmer(stake_percentage="0.5\n"), ["stake_percentage"]),
    "farmer: much metadata": (farmer(metadata=struct({"x": "y" * 8192})), ["metadata"]),
    "farmer: deep metadata": (farmer(metadata=nested(17)), ["metadata"]),
    "farmer: NUL in metadata": (farmer(metadata=struct({"x": "a\x00"})), ["metadata"]),
    "farmer: NUL in a key": (farmer(metadata=struct({"\x00": 1})), ["metadata"]),
    "farmer: infinity": (farmer(metadata=struct({"x": float("inf")})), ["metadata"]),
    "farmer: no number": (farmer(metadata=struct({"x": [float("nan")]})), ["metadata"]),
    "farmer: owner": (farmer(owner_account=WRONG_KEY), ["owner_account"]),
    "farmer: terms": (farmer(terms_version=-1), ["terms_version"]),
    "farmer: payout": (farmer(payout_wallet_address=WRONG_KEY), ["payout_wallet_address"]),
    "farmer: everything": (
        farmer(
            pooler_id="1",
            stake_percentage="2",
            metadata=nested(20),
            payout_wallet_address="M",
            request_id="x" * 1000,
            owner_account="C",
            terms_version=-1,
        ),
        [
            *("request_id", "pooler_id", "stake_percentage", "metadata", "payout_wallet_address"),
            *("owner_account", "terms_version"),
        ],
    ),
    "update pooler: all fields": (
        update_pooler(
            pooler_id="x", name="", api_endpoint="x" * 513, max_farmers=0, request_id="\x01"
        ),
        ["request_id", "pooler_id", "name", "api_endpoint", "max_farmers"],
    ),
    "update farmer: all fields": (
        update_farmer(
            farmer_id="x",
            stake_percentage="",
            metadata=nested(17),
            payout_wallet_address="x",
            request_id="\x01",
        ),
        ["request_id", "farmer_id", "stake_percentage", "metadata", "payout_wallet_address"],
    ),
    "terms: no fee": (terms(pooler_fee=""), ["pooler_fee"]),
    "terms: all fields": (
        terms(
            pooler_id="x",
            request_id="\x01",
            stake_percentage="2",
            pooler_fee="5 %",
            miners_part="-1",
            payout_threshold=-1,
            payout_interval_seconds=-1,
            harvest_blocks=21,
            text="x" * 8001,
        ),
        [
            *("request_id", "pooler_id", "stake_percentage", "pooler_fee", "miners_part"),
            *("payout_threshold", "payout_interval_seconds", "harvest_blocks", "text"),
        ],
    ),
    "join: nothing": (
        join(owner_account="", terms_version=0),
        ["owner_account", "terms_version"],
    ),
    "join: all fields": (
        join(
            pooler_id="x",
            request_id="\x01",
            owner_account=WRONG_KEY,
            terms_version=-1,
            stake_percentage="1.1",
        ),
        ["request_id", "pooler_id", "owner_account", "terms_version", "stake_percentage"],
    ),
    "poolers: negative page": (listing("ListPoolers", page_size=-1), ["page_size"]),
    "poolers: size and token": (
        listing("ListPoolers", page_size=1001, page_token="%%%"),
        ["page_size", "page_token"],
    ),
    "farmers: all fields": (
        listing("ListFarmers", pooler_id="x", page_size=1001, page_token="AA"),
        ["pooler_id", "page_size", "page_token"],
    ),
    "farmers: another list's token": (
        listing("ListFarmers", page_token=encode_token([7])),
        ["page_token"],
    ),
}
#: Methods that take an id and perhaps a request id.
BY_ID = {
    "GetPooler": "pooler_id",
    "SuspendPooler": "pooler_id",
    "ResumePooler": "pooler_id",
    "Heartbeat": "pooler_id",
    "GetTerms": "pooler_id",
    "GetFarmer": "farmer_id",
    "SuspendFarmer": "farmer_id",
    "ResumeFarmer": "farmer_id",
    "LeaveFarmer": "farmer_id",
    "StayFarmer": "farmer_id",
    "LeavePooler": "pooler_id",
    "StayPooler": "pooler_id",
}
#: Methods that name something that may not exist.
NAMING = {**BY_ID, "UpdatePooler": "pooler_id", "UpdateFarmer": "farmer_id"} | {
    "RegisterFarmer": "pooler_id",
    "ListFarmers": "pooler_id",
}


def call(stub: Any, method: str, **values: Any) -> Any:
    """A call by names."""
    return getattr(stub, method)(getattr(registry_pb2, f"{method}Request")(**values))


async def test_every_bad_field_is_named(world: RegistryWorld) -> None:
    wrong = {}
    for name, (attempt, expected) in CASES.items():
        error = await refusal(attempt(world.stub))
        fields = [violation.field for violation in error.violations]
        if not isinstance(error, InvalidArgumentError) or fields != expected:
            wrong[name] = (type(error).__name__, fields)
    assert wrong == {}


@pytest.mark.parametrize("text", ["", "7", "0190a5f0000070008000000000000001", "\x00", "é" * 36])
async def test_malformed_ids_are_named(world: RegistryWorld, text: str) -> None:
    for method, field in BY_ID.items():
        error = await refusal(call(world.stub, method, **{field: text}))
        assert isinstance(error, InvalidArgumentError), method
        assert [violation.field for violation in error.violations] == [field]


async def test_long_request_ids_are_named_where_they_mean_nothing_else(
    world: RegistryWorld,
) -> None:
    for method in (
        *("SuspendPooler", "ResumePooler", "SuspendFarmer", "ResumeFarmer"),
        *("LeavePooler", "StayPooler", "LeaveFarmer", "StayFarmer"),
    ):
        error = await refusal(
            call(world.stub, method, **{BY_ID[method]: SOMEBODY}, request_id="x" * 129)
        )
        assert [violation.field for violation in error.violations] == ["request_id"]


async def test_unknown_ids_are_not_found(world: RegistryWorld) -> None:
    for method, field in NAMING.items():
        error = await refusal(call(world.stub, method, **{field: SOMEBODY}))
        assert isinstance(error, NotFoundError), method
        assert error.reason == f"{field.removesuffix('_id').upper()}_NOT_FOUND"
        assert error.metadata == {field: SOMEBODY}


async def test_nothing_that_was_refused_left_a_trace(world: RegistryWorld) -> None:
    for attempt, _ in CASES.values():
        await refusal(attempt(world.stub))
    for table in ("poolers", "farmers", "requests"):
        assert await world.value(f"SELECT count(*) FROM registry.{table}") == 0  # noqa: S608
    assert not world.wallet.calls


async def test_the_limits_themselves_are_allowed(world: RegistryWorld) -> None:
    pooler = await world.pooler(
        name="ü" * 255, api_endpoint="x" * 512, max_farmers=1000, request_id="x" * 128
    )
    assert pooler.name == "ü" * 255
    for metadata in (
        struct({"x": "y" * (8192 - len('{"x": ""}'))}),
        struct({"x": "ü" * ((8192 - len('{"x": ""}')) // 2)}),
        struct({"text": "no NUL: \\u0000", "list": [1, 0.5, None, True, {}], "large": 1e300}),
        nested(16),
    ):
        for stake in ("0", "1", "1.0000", "0.0001"):
            farmer = await world.farmer(pooler.pooler_id, metadata=metadata, stake_percentage=stake)
            assert farmer.metadata == metadata
            assert float(farmer.stake_percentage) == float(stake)
    listed = await world.stub.ListFarmers(registry_pb2.ListFarmersRequest())
    assert len(listed.farmers) == 16


def too_deep(levels: int) -> bytes:
    """A RegisterFarmerRequest whose metadata no protobuf parser takes; no library makes it."""

    def wrapped(number: int, data: bytes) -> bytes:
        length, size = len(data), b""
        while length > 127:
            size += bytes([length & 127 | 128])
            length >>= 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + data

    struct_bytes = b""
    for _ in range(levels):
        value = wrapped(5, struct_bytes)
        struct_bytes = wrapped(1, wrapped(1, b"in") + wrapped(2, value))
    return wrapped(4, struct_bytes)


@pytest.mark.parametrize(
    ("method", "raw"), [("GetPooler", b"\xff\xff"), ("RegisterFarmer", too_deep(60))]
)
async def test_bytes_that_are_no_message_are_refused(
    world: RegistryWorld, method: str, raw: bytes
) -> None:
    send = world.channel.unary_unary(
        f"/kalepool.registry.v1.RegistryService/{method}",
        request_serializer=bytes,
        response_deserializer=bytes,
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(raw, wait_for_ready=True)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

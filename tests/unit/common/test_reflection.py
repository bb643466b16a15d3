"""Reflection in both versions, and health by list, as foreign clients ask for them."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.unit.common.test_grpc_server import serving

VERSIONS = pytest.mark.parametrize("version", ["v1", "v1alpha"])
PLANT = "kalepool.plant.v1.PlantService"


async def asked(channel: grpc.aio.Channel, version: str, **request: Any) -> Any:
    """Ask reflection one thing."""
    talk: Any = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return await talk(iter([reflection_pb2.ServerReflectionRequest(**request)])).read()


def files(answer: Any) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """Return the files of an answer by name."""
    found = map(
        descriptor_pb2.FileDescriptorProto.FromString,
        answer.file_descriptor_response.file_descriptor_proto,
    )
    return {file.name: file for file in found}


@VERSIONS
async def test_the_services_are_listed(version: str) -> None:
    async with serving() as (_, channel):
        answer = await asked(channel, version, list_services="", host="here")
    assert {service.name for service in answer.list_services_response.service} == {
        PLANT,
        "kalepool.wallet.v1.WalletService",
        "kalepool.common.v1.InfoService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert (answer.valid_host, answer.original_request.host) == ("here", "here")


async def test_the_library_s_own_client_reads_it() -> None:
    async with serving() as (running, _):

        def services() -> set[str]:
            with grpc.insecure_channel(f"127.0.0.1:{running.port}") as channel:
                return set(ProtoReflectionDescriptorDatabase(channel).get_services())

        assert PLANT in await asyncio.to_thread(services)


@VERSIONS
@pytest.mark.parametrize(
    "symbol",
    [
        PLANT,
        f"{PLANT}.Plant",
        "kalepool.plant.v1.PlantRequest",
        "kalepool.plant.v1.PlantRequest.pooler_id",
    ],
)
async def test_a_symbol_gives_its_file_and_all_that_it_imports(version: str, symbol: str) -> None:
    async with serving() as (_, channel):
        found = files(await asked(channel, version, file_containing_symbol=symbol))
    assert list(found)[-1] == "kalepool/plant/v1/plant.proto"
    for name, file in found.items():
        assert set(file.dependency) <= set(list(found)[: list(found).index(name)])
    (request,) = [
        one for one in list(found.values())[-1].message_type if one.name == "PlantRequest"
    ]
    assert {field.name: field.json_name for field in request.field}["pooler_id"] == "poolerId"


@VERSIONS
async def test_reflection_and_health_are_reflected(version: str) -> None:
    async with serving() as (_, channel):
        for name in (f"grpc.reflection.{version}.ServerReflection", "grpc.health.v1.Health"):
            answer = await asked(channel, version, file_containing_symbol=name)
            (file,) = files(answer).values()
            (service,) = file.service
            assert f"{file.package}.{service.name}" == name
            for method in service.method:
                assert method.input_type.startswith(f".{file.package}.")


async def test_extensions_are_found_by_their_numbers() -> None:
    options = "google.protobuf.FieldOptions"
    async with serving() as (_, channel):
        answer = await asked(channel, "v1", all_extension_numbers_of_type=options)
        numbers = list(answer.all_extension_numbers_response.extension_number)
        assert numbers == sorted(numbers)
        names = set()
        for number in numbers:
            asking = reflection_pb2.ExtensionRequest(
                containing_type=options, extension_number=number
            )
            names |= set(files(await asked(channel, "v1", file_containing_extension=asking)))
    assert "kalepool/rules/v1/rules.proto" in names


@VERSIONS
@pytest.mark.parametrize(
    "request_of",
    [
        {"file_by_filename": "no/such.proto"},
        {"file_containing_symbol": "no.such.Symbol"},
        {"file_containing_symbol": f"{PLANT}.NoSuchMethod"},
        {"file_containing_symbol": ""},
        {"all_extension_numbers_of_type": "no.such.Message"},
    ],
)
async def test_what_is_not_known_is_not_found(version: str, request_of: dict[str, str]) -> None:
    async with serving() as (_, channel):
        answer = await asked(channel, version, **request_of)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_nothing_asked_is_an_error() -> None:
    async with serving() as (_, channel):
        answer = await asked(channel, "v1")
    assert answer.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


@VERSIONS
async def test_bytes_that_are_no_message_are_refused(version: str) -> None:
    async with serving() as (_, channel):
        method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        talk: Any = channel.stream_stream(method, request_serializer=bytes)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await talk(iter([b"\xff\xff\xff"])).read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_health_lists_its_entries() -> None:
    state, messages = [True], _health_messages()
    statuses = health_pb2.HealthCheckResponse
    async with serving(healthy=state) as (running, channel):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        names = {"", PLANT, "kalepool.wallet.v1.WalletService"}
        answer = await stub.List(messages.HealthListRequest())
        found = {name: one.status for name, one in answer.statuses.items()}
        assert found == dict.fromkeys(names, statuses.SERVING)
        state[0] = False
        await running.health.check()
        answer = await stub.List(messages.HealthListRequest())
        found = {name: one.status for name, one in answer.statuses.items()}
        assert found == dict.fromkeys(names, statuses.NOT_SERVING)


def _health_messages() -> Any:
    """Return the messages of health: their types do not know List yet."""
    return health_pb2

"""Server reflection in both of its versions, with what clients look up: methods, and JSON names.

The library's servicer knows v1alpha only, finds no method by its name, and passes descriptors on
without the JSON names that protoc leaves out of generated Python.
https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2

_OLD, _NEW = "grpc.reflection.v1alpha", "grpc.reflection.v1"
#: Full names of the two services.
NAMES = (f"{_NEW}.ServerReflection", f"{_OLD}.ServerReflection")
_pool = descriptor_pool.Default()


class Reflection:
    """The answers about the services of one server. The messages of both versions are the same."""

    def __init__(self, full_names: Iterable[str]) -> None:
        """Take the full names of the services that are listed."""
        self._full_names = sorted(full_names)
        self._answers: Mapping[str, Callable[[Any], Any]] = {
            "file_by_filename": lambda name: _files(_pool.FindFileByName(name)),
            "file_containing_symbol": lambda name: _files(_file_of(name)),
            "file_containing_extension": _file_of_extension,
            "all_extension_numbers_of_type": _numbers_of_extensions,
            "list_services": lambda _: self._services(),
        }

    async def talk(self, requests: AsyncIterator[Any], _: object) -> AsyncIterator[Any]:
        """Answer each request; what is not known is NOT_FOUND."""
        async for request in requests:
            which = request.WhichOneof("message_request")
            if which is None:
                answer = _error(grpc.StatusCode.INVALID_ARGUMENT)
            else:
                try:
                    answer = self._answers[which](getattr(request, which))
                except KeyError:
                    answer = _error(grpc.StatusCode.NOT_FOUND)
            answer.valid_host = request.host
            answer.original_request.CopyFrom(request)
            yield answer

    def _services(self) -> reflection_pb2.ServerReflectionResponse:
        answer = reflection_pb2.ServerReflectionResponse()
        for name in self._full_names:
            answer.list_services_response.service.add(name=name)
        return answer


def add_reflection(full_names: Iterable[str], server: grpc.aio.Server) -> None:
    """Serve the descriptors of these services, and reflection's own."""
    _learn_new_version()
    handler = grpc.stream_stream_rpc_method_handler(
        Reflection((*full_names, *NAMES)).talk,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, methods) for name in NAMES)
    )


@cache
def _learn_new_version() -> None:
    """Add the file of v1 to the descriptors of this process: that of v1alpha under its name."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = file.name.replace("v1alpha", "v1"), _NEW
    file.ClearField("options")
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(_OLD, _NEW)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(_OLD, _NEW)
            method.output_type = method.output_type.replace(_OLD, _NEW)
    _pool.AddSerializedFile(file.SerializeToString())


def _file_of(name: str) -> FileDescriptor:
    """Return the file of a symbol. Raise KeyError."""
    try:
        return _pool.FindFileContainingSymbol(name)
    except KeyError:
        # A method is no symbol of the pool, and in the file of its service.
        service = _pool.FindServiceByName(name.rpartition(".")[0])
        return service.methods_by_name[name.rpartition(".")[2]].containing_service.file


def _file_of_extension(asked: Any) -> reflection_pb2.ServerReflectionResponse:
    message = _pool.FindMessageTypeByName(asked.containing_type)
    extension = _pool.FindExtensionByNumber(message, asked.extension_number)
    return _files(_file_of(extension.full_name))


def _numbers_of_extensions(name: str) -> reflection_pb2.ServerReflectionResponse:
    message = _pool.FindMessageTypeByName(name)
    answer = reflection_pb2.ServerReflectionResponse()
    found = answer.all_extension_numbers_response
    found.base_type_name = name
    found.extension_number.extend(sorted(one.number for one in _pool.FindAllExtensions(message)))
    return answer


def _files(file: FileDescriptor) -> reflection_pb2.ServerReflectionResponse:
    """Return a file's descriptor after those of all files that it imports."""
    answer = reflection_pb2.ServerReflectionResponse()
    named = dict.fromkeys(_with_imports(file))
    answer.file_descriptor_response.file_descriptor_proto.extend(map(_described, named))
    return answer


def _with_imports(file: FileDescriptor) -> Iterator[str]:
    """Yield the names of a file and of all that it imports, a file's own last."""
    for imported in file.dependencies:
        yield from _with_imports(imported)
    yield file.name


@cache
def _described(name: str) -> bytes:
    """Return a file's descriptor, with the JSON name of each field."""
    file = descriptor_pb2.FileDescriptorProto()
    _pool.FindFileByName(name).CopyToProto(file)
    _name_fields(file.message_type, f"{file.package}." if file.package else "")
    return file.SerializeToString()


def _name_fields(messages: Sequence[descriptor_pb2.DescriptorProto], prefix: str) -> None:
    for message in messages:
        known = _pool.FindMessageTypeByName(f"{prefix}{message.name}").fields_by_name
        for field in message.field:
            field.json_name = known[field.name].json_name
        _name_fields(message.nested_type, f"{prefix}{message.name}.")


def _error(status: grpc.StatusCode) -> reflection_pb2.ServerReflectionResponse:
    number, words = status.value
    return reflection_pb2.ServerReflectionResponse(
        error_response=reflection_pb2.ErrorResponse(error_code=number, error_message=words)
    )

"""All gRPC services of the pool, found in the generated packages: a new one needs no line here."""

import importlib
import pkgutil
from collections.abc import Iterator

import kalepool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor


def services() -> Iterator[ServiceDescriptor]:
    """Yield every service that a proto declares."""
    for found in pkgutil.walk_packages(kalepool.__path__, "kalepool."):
        if found.name.endswith("_pb2"):
            module = importlib.import_module(found.name)
            yield from module.DESCRIPTOR.services_by_name.values()


def path_of(method: MethodDescriptor) -> str:
    """Return a method's full name as an HTTP/2 path."""
    return f"/{method.containing_service.full_name}/{method.name}"

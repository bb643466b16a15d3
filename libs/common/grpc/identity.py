"""Who calls: the one place that knows, for limits, records and the audit log."""

import re
from typing import Any

import grpc

#: Names of our own services: spiffe://pool.example/service/plant.
_SERVICE = re.compile(r"spiffe://[^/]+/service/[^/]+")


def identity_of(context: "grpc.aio.ServicerContext[Any, Any]") -> str:
    """The caller: the host that the call comes from, whatever the number of its connections."""
    return host_of(context.peer())


def host_of(peer: str) -> str:
    """The host in grpc's peer string."""
    scheme, _, rest = peer.partition(":")
    return rest.rpartition(":")[0] if scheme in {"ipv4", "ipv6"} else peer


def is_service(identity: str) -> bool:
    """Whether it is one of our own services, which the public rate limit is not for."""
    return _SERVICE.fullmatch(identity) is not None

"""The identity of callers, in one place: for permissions, limits, records and the audit log."""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, unique
from functools import lru_cache
from typing import Any

import grpc
from cryptography import x509

from libs.common.errors import UnauthenticatedError

#: The trust domain of a pool that did not choose one.
TRUST_DOMAIN = "kalepool"
#: The path after the trust domain in the names that we give. Names of services and operators are
#: short words, those of poolers their ids.
_PATH = re.compile(
    r"/(?P<kind>service|pooler|operator)/(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?)"
)

#: Callers that are cached at most, by the URIs of their certificates.
_KEPT = 4096

#: Whole names of two kinds: spiffe://pool.example/service/plant, spiffe://pool.example/pooler/7.
_SERVICE = re.compile(r"spiffe://[^/]+/service/[^/]+")
_POOLER = re.compile(r"spiffe://[^/]+/pooler/[^/]+")


@unique
class CallerKind(Enum):
    """The kinds of callers."""

    #: One of our own services, by its short name.
    SERVICE = "service"
    #: A pooler, by its id.
    POOLER = "pooler"
    #: Somebody who runs the pool, by a name.
    OPERATOR = "operator"
    #: Nobody can tell: the connection is plaintext.
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The identity of one caller."""

    #: Its kind.
    kind: CallerKind
    #: Its name among the callers of that kind.
    name: str
    #: The whole name for records: spiffe://pool.example/service/plant, or a host.
    identity: str


def caller_of(context: "grpc.aio.ServicerContext[Any, Any]", *, trust_domain: str | None) -> Caller:
    """Return the caller that its certificate names.

    `trust_domain` is None on plaintext servers only. The caller then is the host that the call
    comes from, whatever the number of its connections. Raise UnauthenticatedError when the
    certificate names none of ours.
    """
    if trust_domain is None:
        host = host_of(context.peer())
        return Caller(kind=CallerKind.UNKNOWN, name=host, identity=host)
    shown = context.auth_context()
    # Exactly one URI, says SPIFFE: of several, nobody could tell which one counts.
    uris = [*shown.get("peer_uri", ())]
    return _shown_by(bytes(uris[0]) if len(uris) == 1 else b"", trust_domain)


@lru_cache(maxsize=_KEPT)
def _shown_by(uri: bytes, trust_domain: str) -> Caller:
    """Return the caller that the certificate's URI names.

    The result depends on the certificate only: each call reads the certificate of its own
    connection.
    """
    return parse_identity(uri.decode("ascii", "replace"), trust_domain=trust_domain)


def parse_identity(uri: str, *, trust_domain: str) -> Caller:
    """Return the caller of a SPIFFE id of our trust domain.

    Raise UnauthenticatedError for any other id.
    """
    prefix = f"spiffe://{trust_domain}"
    found = _PATH.fullmatch(uri.removeprefix(prefix)) if uri.startswith(prefix) else None
    if found is None:
        raise UnauthenticatedError(
            f"the certificate names nobody of {prefix}/", reason="UNKNOWN_IDENTITY"
        )
    return Caller(kind=CallerKind(found["kind"]), name=found["name"], identity=uri)


def identity(kind: CallerKind, name: str, *, trust_domain: str) -> str:
    """Return the SPIFFE id of a caller; raise ValueError when the caller can have none."""
    uri = f"spiffe://{trust_domain}/{kind.value}/{name}"
    try:
        parse_identity(uri, trust_domain=trust_domain)
    except UnauthenticatedError as error:
        raise ValueError(f"{name!r} cannot be the name of a {kind.value}") from error
    return uri


def is_service(identity: str) -> bool:
    """Tell whether the caller is one of our services, which have no public rate limit."""
    return _SERVICE.fullmatch(identity) is not None


def is_pooler(identity: str) -> bool:
    """Tell whether a verified certificate names the caller as a pooler."""
    return _POOLER.fullmatch(identity) is not None


def is_named(identity: str) -> bool:
    """Tell whether a certificate named the caller."""
    return identity.startswith("spiffe://")


def host_of(peer: str) -> str:
    """Return the host in grpc's peer string."""
    scheme, _, rest = peer.partition(":")
    return rest.rpartition(":")[0] if scheme in {"ipv4", "ipv6"} else peer


_current: ContextVar[Caller] = ContextVar("caller")


def set_caller(caller: Caller) -> None:
    """Set the caller for the rest of this call."""
    _current.set(caller)


def caller() -> Caller:
    """Return the caller of the running call; raise LookupError outside of any call."""
    return _current.get()


def actor() -> str:
    """Return the identity of the running call's caller; "loop" outside of any call."""
    found = _current.get(None)
    return "loop" if found is None else found.identity


def uris_of(pem: bytes) -> list[str]:
    """Return the names (URIs) in the first certificate of `pem`.

    The list is empty when the certificate has no names at all.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)

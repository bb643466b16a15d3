"""The identity of callers, in one place: for permissions, limits, records and the audit log."""

import re
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, unique
from functools import lru_cache
from typing import Any

import grpc
from cryptography import x509

from libs.common.errors import UnauthenticatedError
from libs.common.grpc.certificates import FlawError, Sound, Use, read_shown

#: The trust domain of a pool that did not choose one.
TRUST_DOMAIN = "kalepool"
#: What a trust domain is made of (SPIFFE-ID, section 2.1).
DOMAIN_FORM = r"[a-z0-9._-]{1,255}"
#: The path after the trust domain in the names that we give. Names of services and operators are
#: short words, those of poolers their ids; all in small letters, so that nobody is two by writing
#: one name in two ways.
_PATH = re.compile(
    r"/(?P<kind>service|pooler|operator)/(?P<name>[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?)"
)
#: The path of an owner account's name, which is its address.
_OWNER_PATH = re.compile(r"/(?P<kind>owner)/(?P<name>G[A-Z2-7]{55})")

#: Certificates that are cached at most, each with its caller or its flaw.
_KEPT = 4096
#: The properties in which grpc keeps the certificates that the other side has shown, in PEM: its
#: own, and those between it and the authority's.
_LEAF, _ABOVE = "x509_pem_cert", "x509_pem_cert_chain"

#: Whole names by kind: spiffe://pool.example/service/plant, spiffe://pool.example/pooler/7.
_SERVICE = re.compile(r"spiffe://[^/]+/service/[^/]+")
_POOLER = re.compile(r"spiffe://[^/]+/pooler/[^/]+")
_OPERATOR = re.compile(r"spiffe://[^/]+/operator/[^/]+")
_OWNER = re.compile(r"spiffe://[^/]+/owner/[^/]+")


@unique
class CallerKind(Enum):
    """The kinds of callers."""

    #: One of our own services, by its short name.
    SERVICE = "service"
    #: A pooler, by its id.
    POOLER = "pooler"
    #: Somebody who runs the pool, by a name.
    OPERATOR = "operator"
    #: The owner account of farmers, by its address. It logs in by its key and has a token, never a
    #: certificate.
    OWNER = "owner"
    #: Somebody who shows neither a certificate nor a token, where certificates are not asked for
    #: (TOKEN_PORT).
    STRANGER = "stranger"
    #: Nobody can tell: the connection is plaintext.
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a token lets its bearer call."""

    #: Id of the API token that wallet gave the access token for.
    token_id: str
    #: Whether only methods that read may be called.
    is_read_only: bool
    #: Full names of the only methods that may be called; None: all that the subject may.
    methods: frozenset[str] | None
    #: Unix time (s) at which it ends.
    ends: int


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The identity of one caller."""

    #: Its kind.
    kind: CallerKind
    #: Its name among the callers of that kind.
    name: str
    #: The whole name for records: spiffe://pool.example/service/plant, or a host.
    identity: str
    #: Who brought the call: the gateway's whole name, or a host; empty when the caller itself did.
    via: str = ""
    #: What its token lets it call; None for a caller that has shown its certificate.
    grant: Grant | None = None

    @property
    def actor(self) -> str:
        """Return the caller for records of what was done, with who brought the call."""
        if self.grant is None:
            return self.identity
        return f"{self.identity} via {self.via}, token {self.grant.token_id}"


def caller_of(context: "grpc.aio.ServicerContext[Any, Any]", *, trust_domain: str | None) -> Caller:
    """Return the caller that its certificate names.

    `trust_domain` is None on plaintext servers only. The caller then is the host that the call
    comes from, whatever the number of its connections. Raise UnauthenticatedError when the
    certificate names none of ours, has a flaw, or has ended since the connection was made.
    """
    if trust_domain is None:
        host = host_of_peer(context.peer())
        return Caller(kind=CallerKind.UNKNOWN, name=host, identity=host)
    shown = context.auth_context()
    # What grpc reads from the certificate (peer_uri) ends at the first NUL.
    found = _shown_by(_only(shown.get(_LEAF)), _only(shown.get(_ABOVE)), trust_domain)
    if isinstance(found, UnauthenticatedError):
        raise _again(found)
    try:
        found.certificate.check_time(time.time())
    except FlawError as flaw:
        raise _refusal(flaw) from flaw
    return found.caller


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A certificate that was read, and who its holder is."""

    caller: Caller
    certificate: Sound


@lru_cache(maxsize=_KEPT)
def _shown_by(leaf: bytes, above: bytes, trust_domain: str) -> _Known | UnauthenticatedError:
    """Return whom the certificate names, or why nobody may believe it.

    The result depends on the certificates only: each call reads those of its own connection.
    """
    try:
        sound = read_shown(leaf, above, Use.CLIENT)
        caller = parse_identity(sound.uri, trust_domain=trust_domain)
        if caller.kind is CallerKind.OWNER:
            raise _nobody(f"spiffe://{trust_domain}")
    except FlawError as flaw:
        return _refusal(flaw)
    except UnauthenticatedError as error:
        return error
    return _Known(caller=caller, certificate=sound)


def _only(values: Iterable[bytes] | None) -> bytes:
    """Return the one value of a property; b"", which is no certificate, for none or several."""
    found = [*(values or ())]
    return bytes(found[0]) if len(found) == 1 else b""


def _refusal(flaw: FlawError) -> UnauthenticatedError:
    return UnauthenticatedError(str(flaw), reason="BAD_CERTIFICATE")


def _again(error: UnauthenticatedError) -> UnauthenticatedError:
    """Return a fresh copy: each raise adds its traceback to an error."""
    return UnauthenticatedError(error.message, reason=error.reason)


def parse_identity(uri: str, *, trust_domain: str) -> Caller:
    """Return the caller of a SPIFFE id of our trust domain.

    Raise UnauthenticatedError for any other id.
    """
    prefix = f"spiffe://{trust_domain}"
    path = uri.removeprefix(prefix) if uri.startswith(prefix) else ""
    found = _PATH.fullmatch(path) or _OWNER_PATH.fullmatch(path)
    if found is None:
        raise _nobody(prefix)
    return Caller(kind=CallerKind(found["kind"]), name=found["name"], identity=uri)


def _nobody(prefix: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        f"the certificate names nobody of {prefix}/", reason="UNKNOWN_IDENTITY"
    )


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


def is_operator(identity: str) -> bool:
    """Tell whether this is the name of an operator."""
    return _OPERATOR.fullmatch(identity) is not None


def is_owner(identity: str) -> bool:
    """Tell whether this is the name of an owner account."""
    return _OWNER.fullmatch(identity) is not None


def is_sharer(identity: str) -> bool:
    """Tell whether the caller is one of many who share our room: a pooler or an owner account."""
    return is_pooler(identity) or is_owner(identity)


def is_named(identity: str) -> bool:
    """Tell whether a certificate named the caller."""
    return identity.startswith("spiffe://")


def host_of_peer(peer: str) -> str:
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
    """Return the running call's caller for records; "loop" outside of any call."""
    found = _current.get(None)
    return "loop" if found is None else found.actor


def calling() -> str:
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

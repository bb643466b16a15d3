"""Certificates that an authority should never sign, and what a pool says to who shows one."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kalepool.common.v1 import common_pb2, common_pb2_grpc

from devstack.stack import Stack
from libs.common.authority import Authority
from libs.common.grpc.identity import TRUST_DOMAIN
from libs.common.names import SERVICES
from trials.report import Table

DOMAIN = TRUST_DOMAIN
ANN = f"spiffe://{DOMAIN}/operator/ann"
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
DAY = datetime.timedelta(days=1)
#: What nobody should sign any more.
WEAK_BITS = 1024


def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_1024() -> rsa.RSAPrivateKey:
    """Return a key that can be computed from the certificate, at some expense."""
    return rsa.generate_private_key(65_537, WEAK_BITS)


def _rsa_with_exponent_3() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(3, 2048)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A certificate that somebody asks an authority for; what is not changed is as it must be."""

    uris: Sequence[str] = (ANN,)
    dns: Sequence[str] = ()
    make_key: Callable[[], Any] = _p256
    uses: Sequence[x509.ObjectIdentifier] | None = (CLIENT,)
    signs: bool | None = True
    makes_others: bool = False
    is_authority: bool | None = False
    has_names: bool = True
    begins: datetime.timedelta = -DAY
    ends: datetime.timedelta = DAY
    hash: Any = field(default_factory=hashes.SHA256)

    def granted(self, authority: Authority) -> tuple[bytes, bytes]:
        """Return the certificate and its key, in PEM."""
        now, key = datetime.datetime.now(datetime.UTC), self.make_key()
        builder = (
            x509.CertificateBuilder()
            .issuer_name(authority.certificate.subject)
            .subject_name(x509.Name([]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + self.begins)
            .not_valid_after(now + self.ends)
        )
        for extension in self._extensions():
            builder = builder.add_extension(extension, critical=False)
        signed = builder.sign(authority.key, self.hash)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return signed.public_bytes(Encoding.PEM), private

    def _extensions(self) -> list[x509.ExtensionType]:
        found: list[x509.ExtensionType] = []
        if self.has_names:
            names = [x509.UniformResourceIdentifier(uri) for uri in self.uris]
            found.append(
                x509.SubjectAlternativeName([*names, *(x509.DNSName(name) for name in self.dns)])
            )
        if self.uses is not None:
            found.append(x509.ExtendedKeyUsage(self.uses))
        if self.is_authority is not None:
            found.append(x509.BasicConstraints(ca=self.is_authority, path_length=None))
        if self.signs is not None:
            found.append(_usage(signs=self.signs, makes_others=self.makes_others))
        return found


def _usage(*, signs: bool, makes_others: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        key_cert_sign=makes_others,
        key_agreement=True,
        **dict.fromkeys(
            (
                *("crl_sign", "content_commitment", "key_encipherment"),
                *("data_encipherment", "encipher_only", "decipher_only"),
            ),
            False,
        ),
    )


#: What is wrong, and what is said about it.
FLAWED: Mapping[str, tuple[dict[str, Any], str]] = {
    "a NUL ends an operator's name": ({"uris": [f"{ANN}\x00.evil"]}, "no SPIFFE id"),
    "a NUL in the domain": ({"uris": [f"spiffe://{DOMAIN}\x00.evil/operator/ann"]}, "no SPIFFE id"),
    "a line break": ({"uris": [f"{ANN}\n"]}, "no SPIFFE id"),
    "another control character": ({"uris": [f"{ANN}\x7f"]}, "no SPIFFE id"),
    "a hidden character": ({"uris": [f"{ANN}%00"]}, "no SPIFFE id"),
    "a question after it": ({"uris": [f"{ANN}?x"]}, "no SPIFFE id"),
    "a port in the domain": ({"uris": [f"spiffe://{DOMAIN}:1/operator/ann"]}, "no SPIFFE id"),
    "a user in the domain": ({"uris": [f"spiffe://{DOMAIN}@evil/operator/ann"]}, "no SPIFFE id"),
    "a scheme in capitals": ({"uris": [f"SPIFFE://{DOMAIN}/operator/ann"]}, "no SPIFFE id"),
    "a domain in capitals": ({"uris": [f"spiffe://{DOMAIN.upper()}/operator/ann"]}, "no SPIFFE id"),
    "a kind in capitals": ({"uris": [f"spiffe://{DOMAIN}/Operator/ann"]}, "names nobody"),
    "a name in capitals": ({"uris": [f"spiffe://{DOMAIN}/operator/Ann"]}, "names nobody"),
    "a wildcard": ({"uris": [f"spiffe://{DOMAIN}/operator/*"]}, "no SPIFFE id"),
    "no name": ({"uris": [f"spiffe://{DOMAIN}/operator/"]}, "no SPIFFE id"),
    "a path upwards": ({"uris": [f"spiffe://{DOMAIN}/pooler/../operator/ann"]}, "names nobody"),
    "an owner account": ({"uris": [f"spiffe://{DOMAIN}/owner/G{'A' * 55}"]}, "names nobody"),
    "another domain": ({"uris": ["spiffe://evil/operator/ann"]}, "names nobody"),
    "two roles": ({"uris": [ANN, f"spiffe://{DOMAIN}/service/plant"]}, "exactly one URI"),
    "the same name twice": ({"uris": [ANN, ANN]}, "exactly one URI"),
    "a second URI of another kind": ({"uris": [ANN, "https://evil/"]}, "exactly one URI"),
    "no URI": ({"uris": [], "dns": ["ann"]}, "exactly one URI"),
    "no names": ({"has_names": False}, "exactly one URI"),
    "a DNS wildcard": ({"dns": ["*.example"]}, "DNS names"),
    "a DNS name with a NUL": ({"dns": ["wallet\x00.evil"]}, "DNS names"),
    "RSA with 1024 bits": ({"make_key": rsa_1024}, "weaker"),
    "RSA with the exponent 3": ({"make_key": _rsa_with_exponent_3}, "weaker"),
    "no uses": ({"uses": None}, "to call"),
    "any use": ({"uses": [ANY]}, "to call"),
    "another use": ({"uses": [ExtendedKeyUsageOID.CODE_SIGNING]}, "to call"),
    "a server's use": ({"uses": [SERVER]}, "to call"),
    "an authority": ({"is_authority": True}, "authority's"),
    "the key of an authority": ({"makes_others": True, "is_authority": None}, "authority's"),
    "a key that signs nothing": ({"signs": False}, "digitalSignature"),
    "a key for whatever": ({"signs": None}, "digitalSignature"),
    "not valid yet": ({"begins": DAY / 2}, "not valid now"),
    "not valid any more": ({"ends": -DAY / 2}, "not valid now"),
}


#: Seconds of one call.
_TIMEOUT = 10.0
#: What a service says to who shows such a certificate, if the handshake lets it ask at all.
REFUSALS = frozenset({"UNAUTHENTICATED", "UNAVAILABLE"})


@dataclass(frozen=True, kw_only=True)
class Told:
    """What all services say to who shows a certificate with one flaw."""

    #: The flaw.
    flaw: str
    #: The statuses of all calls, by service and method.
    statuses: Mapping[tuple[str, str], str]

    @property
    def failures(self) -> list[str]:
        """Return in words where somebody was let in."""
        return [
            f"a certificate with the flaw {self.flaw!r} calls {method} of {service}: {status}"
            for (service, method), status in self.statuses.items()
            if status not in REFUSALS
        ]


async def show_flaws(stack: Stack) -> list[Told]:
    """Show every flawed certificate to every service."""
    authority = stack.authority_of(TRUST_DOMAIN)
    found = []
    for flaw, (changes, _) in FLAWED.items():
        pem, key = Wish(**changes).granted(authority)
        credentials = grpc.ssl_channel_credentials(
            authority.certificate.public_bytes(Encoding.PEM), key, pem
        )
        statuses = {}
        for service in SERVICES:
            options = (("grpc.ssl_target_name_override", service),)
            async with grpc.aio.secure_channel(
                stack.target(service), credentials, options=options
            ) as channel:
                for method, status in (await _ask(channel)).items():
                    statuses[service, method] = status
        found.append(Told(flaw=flaw, statuses=statuses))
    return found


async def _ask(channel: grpc.aio.Channel) -> dict[str, str]:
    """Return the statuses of a call of the service's own, and of a standard one."""
    info: Any = common_pb2_grpc.InfoServiceStub(channel)
    health: Any = health_pb2_grpc.HealthStub(channel)
    calls = {
        "GetInfo": info.GetInfo(common_pb2.GetInfoRequest(), timeout=_TIMEOUT),
        "Health/Check": health.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT),
    }
    return {method: (await one.code()).name for method, one in calls.items()}


def table_of_flaws(found: Sequence[Told]) -> Table:
    """Return how often each flawed certificate was refused, and how often let in."""
    rows = []
    for told in found:
        let_in = len(told.failures)
        words = ", ".join(sorted(set(told.statuses.values())))
        rows.append((told.flaw, str(len(told.statuses)), str(let_in), words))
    return Table(
        title="certificates with tricks, signed by the pool's own authority",
        columns=("flaw", "calls", "let in", "answers"),
        rows=rows,
    )

"""A small certificate authority for development: one key that signs the certificates of a pool.

Its certificates have what a pool's own authority (SPIRE, cert-manager) has to give, too: one SPIFFE
name each, DNS names for servers, and server use for servers only, so that no other caller can pose
as a server.
"""

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from libs.common.errors import UnauthenticatedError
from libs.common.grpc.identity import (
    DOMAIN_FORM,
    Caller,
    CallerKind,
    identity,
    parse_identity,
    uris_of,
)
from libs.common.local import LOCAL_HOSTS
from libs.common.names import GATEWAY, SERVICES
from libs.common.private_file import new_private_file

#: Names of servers that show a certificate: our services to everybody, the database to them.
SERVERS = (*SERVICES, "postgres")
#: All that a service's certificate can be for; the gateway calls the servers, and is none itself.
PARTS = (*SERVERS, GATEWAY)

#: Names of the authority's files in its folder.
CERTIFICATE_FILE, KEY_FILE = "ca.pem", "ca.key"
#: Clocks may differ by this much.
_SKEW = timedelta(minutes=5)
_LIFE = timedelta(days=3650)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate with its key, both in PEM."""

    #: The certificate.
    certificate: bytes
    #: Its private key.
    key: bytes = field(repr=False)

    def save(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write <name>.pem and <name>.key and return their paths.

        Each file is whole at every moment. A certificate of the same caller is renewed, and whoever
        could read the files still can. Raise ValueError when the file holds any other certificate,
        such as the authority's own.
        """
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        if paths[0].exists() and uris_of(paths[0].read_bytes()) != uris_of(self.certificate):
            raise ValueError(f"{paths[0]} is the certificate of somebody else")
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            _replace(path, content)
        return paths


@dataclass(frozen=True, kw_only=True)
class Authority:
    """The certificate authority that a pool trusts."""

    #: The SPIFFE trust domain of all names that it gives.
    trust_domain: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def issue(
        self,
        kind: CallerKind,
        name: str,
        *,
        days: float = 30.0,
        addresses: Sequence[str] = LOCAL_HOSTS,
    ) -> Issued:
        """Issue a certificate for a service, a pooler or an operator.

        A service's certificate is also for servers, and has the service's short name and
        `addresses` (DNS names, IP addresses); the gateway's is not. Raise ValueError for a wrong
        name, and for an owner account, which logs in by its key.
        """
        if kind is CallerKind.OWNER:
            raise ValueError("an owner account has no certificate: it logs in by its key")
        key = ec.generate_private_key(ec.SECP256R1())
        uri = identity(kind, name, trust_domain=self.trust_domain)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if kind is CallerKind.SERVICE and name != GATEWAY:
            names += [_address(text) for text in dict.fromkeys((name, *addresses))]
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        signed = (
            _builder(self.certificate.subject, x509.Name([]), key, timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            # Critical, as there is no subject beside it (RFC 5280, 4.2.1.6).
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        return Issued(certificate=signed.public_bytes(Encoding.PEM), key=_pem(key))

    def renew(self, pem: bytes, *, days: float = 30.0) -> Issued:
        """Issue a certificate with a fresh key for the same names.

        A service keeps its further DNS names and IP addresses. Raise ValueError when the
        certificate is not from this authority.
        """
        old = x509.load_pem_x509_certificate(pem)
        whose = self._whose(old)
        names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = [
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        ]
        return self.issue(whose.kind, whose.name, days=days, addresses=addresses)

    def _whose(self, certificate: x509.Certificate) -> Caller:
        try:
            certificate.verify_directly_issued_by(self.certificate)
            (uri,) = uris_of(certificate.public_bytes(Encoding.PEM))
            return parse_identity(uri, trust_domain=self.trust_domain)
        except (InvalidSignature, ValueError, UnauthenticatedError) as error:
            raise ValueError("the certificate is not from this authority") from error

    def save(self, folder: Path) -> None:
        """Write the authority's certificate and key into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / CERTIFICATE_FILE, self.certificate.public_bytes(Encoding.PEM))
        _replace(folder / KEY_FILE, _pem(self.key))


def make_authority(trust_domain: str) -> Authority:
    """Make a new authority. Raise ValueError when there can be no such trust domain."""
    if not re.fullmatch(DOMAIN_FORM, trust_domain):
        raise ValueError(f"{trust_domain!r} is no trust domain: small letters, digits and . _ -")
    key = ec.generate_private_key(ec.SECP256R1())
    # A common name has 64 characters at most (RFC 5280, appendix A.1).
    called = f"development CA of {trust_domain}"[:64]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
    root = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
    certificate = (
        _builder(name, name, key, _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([root]), critical=False)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(trust_domain=trust_domain, certificate=certificate, key=key)


def load_authority(folder: Path) -> Authority:
    """Load the authority in a folder.

    Raise OSError when there is none, ValueError when its files hold none.
    """
    certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE_FILE).read_bytes())
    if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise ValueError(f"{folder / CERTIFICATE_FILE} is no certificate of an authority")
    key = load_pem_private_key((folder / KEY_FILE).read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(  # noqa: TRY004 (the file is wrong, not the caller)
            f"{folder / KEY_FILE} is no key of a development authority"
        )
    if key.public_key() != certificate.public_key():
        raise ValueError(f"{folder / KEY_FILE} is not the key of {folder / CERTIFICATE_FILE}")
    (root,) = uris_of(certificate.public_bytes(Encoding.PEM))
    return Authority(trust_domain=root.removeprefix("spiffe://"), certificate=certificate, key=key)


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _address(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _replace(path: Path, content: bytes) -> None:
    """Replace a file: write the content under another name first.

    Only we can read the file, and whoever could read it before: a service that runs as another user
    must not lose its key by a renewal.
    """
    passing = path.with_name(f".{path.name}.new")
    passing.unlink(missing_ok=True)
    with new_private_file(passing) as file:
        file.write(content)
    if path.exists():
        passing.chmod(stat.S_IMODE(path.stat().st_mode))
    passing.replace(path)

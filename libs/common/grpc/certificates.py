"""The rules of certificates: what one must be before anybody believes the name in it.

The handshake proves that an authority of ours has signed the certificate, and that the other side
has its key. An authority that was careless, or talked into something, may have signed more than it
should: a name that ends in the eyes of a C library at a NUL, a key that can be computed, a
certificate that is for something else. So everything that counts is read again here, from the
certificate itself, and whatever is not as these rules have it is refused.
"""

import re
from dataclasses import dataclass
from enum import Enum, unique

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

#: The least size (bits) and public exponent of an RSA key.
_RSA_BITS, _RSA_EXPONENT = 2048, 65_537
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
#: These signatures name no hash: it is part of the algorithm.
_WHOLE = (SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448)
#: A DNS name without wildcards and without any character that a DNS name cannot have.
_DNS = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.I)
#: Any SPIFFE id, of whatever trust domain.
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+")


class FlawError(Exception):
    """A certificate that is not to be believed; the message says why, with nothing of its own."""


@unique
class Use(Enum):
    """What a certificate is shown for."""

    #: To call.
    CLIENT = "to call (clientAuth)"
    #: To serve.
    SERVER = "to serve (serverAuth)"


_OIDS = {
    Use.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
    Use.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
}


@dataclass(frozen=True, kw_only=True)
class Sound:
    """What a certificate without a flaw says."""

    #: Its one name.
    uri: str
    #: Unix times (s) between which it holds.
    begins: float
    ends: float

    def check_time(self, now: float) -> None:
        """Raise FlawError unless the certificate holds at this Unix time (s)."""
        if not self.begins <= now <= self.ends:
            raise FlawError("the certificate is not valid now")


def read_shown(leaf: bytes, above: bytes, *uses: Use) -> Sound:
    """Return what a certificate says that somebody shows.

    Both are PEM: the certificate, and those between it and the authority's, if any were shown.
    Raise FlawError.
    """
    try:
        return _read(leaf, above, uses)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise FlawError("the certificate cannot be read") from error


def _read(leaf: bytes, above: bytes, uses: tuple[Use, ...]) -> Sound:
    shown = x509.load_pem_x509_certificates(leaf)
    if len(shown) != 1:
        raise FlawError("there is not exactly one certificate")
    for certificate in x509.load_pem_x509_certificates(above) if above else []:
        _check_key(certificate)
        _check_signature(certificate)
    return _leaf(shown[0], uses)


def check_authority(certificate: x509.Certificate) -> None:
    """Raise FlawError unless this may be the certificate of an authority.

    Nothing rests on the signature of one that signed itself, but on its key.
    """
    try:
        constraints = _extension(certificate, x509.BasicConstraints)
        is_authority = constraints is not None and constraints.ca
    except (ValueError, x509.DuplicateExtension) as error:
        raise FlawError("the certificate cannot be read") from error
    if not is_authority:
        raise FlawError("the certificate is not an authority's")
    _check_key(certificate)
    if certificate.issuer != certificate.subject:
        _check_signature(certificate)


def _leaf(certificate: x509.Certificate, uses: tuple[Use, ...]) -> Sound:
    _check_key(certificate)
    _check_signature(certificate)
    _check_kind(certificate)
    _check_uses(certificate, uses)
    return Sound(
        uri=_name(certificate),
        begins=certificate.not_valid_before_utc.timestamp(),
        ends=certificate.not_valid_after_utc.timestamp(),
    )


def _check_key(certificate: x509.Certificate) -> None:
    match certificate.public_key():
        case rsa.RSAPublicKey() as key:
            is_strong = key.key_size >= _RSA_BITS and key.public_numbers().e >= _RSA_EXPONENT
        case ec.EllipticCurvePublicKey() as key:
            is_strong = isinstance(key.curve, _CURVES)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            is_strong = True
        case _:
            is_strong = False
    if not is_strong:
        raise FlawError("a key is weaker than RSA with 2048 bits or the curve P-256")


def _check_signature(certificate: x509.Certificate) -> None:
    if certificate.signature_algorithm_oid in _WHOLE:
        return
    if not isinstance(certificate.signature_hash_algorithm, _HASHES):
        raise FlawError("a signature has a hash that is weaker than SHA-256")


def _check_kind(certificate: x509.Certificate) -> None:
    """Raise FlawError for a certificate that can make others, or that signs nothing."""
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise FlawError("the certificate's key is not for signatures (digitalSignature)")
    if (constraints is not None and constraints.ca) or usage.key_cert_sign or usage.crl_sign:
        raise FlawError("the certificate is an authority's")


def _check_uses(certificate: x509.Certificate, uses: tuple[Use, ...]) -> None:
    """Raise FlawError for a certificate that does not name each use; "any" names none."""
    named = _extension(certificate, x509.ExtendedKeyUsage) or ()
    for use in uses:
        if _OIDS[use] not in named:
            raise FlawError(f"the certificate is not for this use: {use.value}")


def _name(certificate: x509.Certificate) -> str:
    """Return the one URI among a certificate's names."""
    names = _extension(certificate, x509.SubjectAlternativeName)
    uris = [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier)
    # Exactly one, says SPIFFE: of several, nobody could tell which one counts.
    if names is None or len(uris) != 1:
        raise FlawError("the certificate has not exactly one URI name")
    if _SPIFFE.fullmatch(uris[0]) is None:
        raise FlawError("the certificate's URI name is no SPIFFE id that we could have given")
    for name in names.get_values_for_type(x509.DNSName):
        if _DNS.fullmatch(name) is None:
            raise FlawError("one of the certificate's DNS names is none, or a wildcard")
    return str(uris[0])


def _extension(
    certificate: x509.Certificate, kind: type[x509.extensions.ExtensionTypeVar]
) -> x509.extensions.ExtensionTypeVar | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None

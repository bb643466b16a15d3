"""Mutual TLS: the files of our certificate, read again when they are renewed.

Any authority that puts SPIFFE names (https://spiffe.io, SPIFFE-ID.md) into certificates will do:
SPIRE with spiffe-helper, cert-manager, or `kalepool certificates`. Servers also need their short
name (wallet) as a DNS name: clients accept no other service in its place.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from libs.common.grpc.certificates import FlawError, Use, check_authority, read_shown
from libs.common.log import get_logger
from libs.common.metrics import METER

log = get_logger(__name__)
_expiry = METER.create_gauge(
    "kalepool.certificate.expiry", unit="s", description="Unix time until which ours is valid."
)

#: Seconds between two looks at the files: a handshake or a call needs none more often.
_LOOK = 1.0


#: The message of a command that was not told which certificate to show.
TLS_OPTIONS = "give --tls-cert-file, --tls-key-file and --tls-ca-file, or --transport plaintext"


class CertificateError(ValueError):
    """The files cannot be used; the message names the file and the reason."""


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """The paths of the certificates and the key, all in PEM."""

    #: Our certificate, then those between it and the authority's.
    certificate: Path
    #: Its private key.
    key: Path
    #: Certificates of the authorities whose word counts.
    authority: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables that name the files to a process."""
        return {
            "TLS_CERT_FILE": str(self.certificate),
            "TLS_KEY_FILE": str(self.key),
            "TLS_CA_FILE": str(self.authority),
        }

    @classmethod
    def all_of(
        cls, certificate: Path | None, key: Path | None, authority: Path | None, *, otherwise: str
    ) -> "TlsFiles":
        """Return the three files as they were set.

        Raise CertificateError with the text `otherwise` when one is not set.
        """
        if certificate is None or key is None or authority is None:
            raise CertificateError(otherwise)
        return cls(certificate=certificate, key=key, authority=authority)


@dataclass(frozen=True, kw_only=True)
class Material:
    """The contents of the files."""

    #: PEM of TlsFiles.certificate.
    chain: bytes
    #: PEM of TlsFiles.key.
    key: bytes = field(repr=False)
    #: PEM of TlsFiles.authority.
    authority: bytes

    def server_configuration(self) -> grpc.ServerCertificateConfiguration:
        """Return the configuration of a server; certificates of clients are our authority's."""
        return grpc.ssl_server_certificate_configuration(
            [(self.key, self.chain)], root_certificates=self.authority
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials of a client that shows its own certificate."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.authority, private_key=self.key, certificate_chain=self.chain
        )


class Certificates:
    """The newest files that fit together; while files are being replaced, those before them."""

    def __init__(self, files: TlsFiles, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the files; raise CertificateError when they cannot be used."""
        self._files = files
        self._clock = clock
        #: What our certificate has to be for.
        self._uses: tuple[Use, ...] = (Use.CLIENT,)
        self._marks = self._look()
        self._looked = clock()
        self._material = self._read()

    @property
    def current(self) -> Material:
        """Return the contents that count now; the same object until the files have changed."""
        if self._clock() - self._looked >= _LOOK:
            self._looked = self._clock()
            self._refresh()
        return self._material

    def server_credentials(self, *, asks_clients: bool = True) -> grpc.ServerCredentials:
        """Return the credentials of a server; each handshake uses the newest files.

        Clients have to show a certificate, unless `asks_clients` is false: then none is looked at.
        Raise CertificateError for a certificate that is not for servers.
        """
        self._uses = (Use.CLIENT, Use.SERVER)
        shown = self.current
        _check_own(self._files.certificate, shown.chain, self._uses)

        def newest() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            if self.current is shown:
                return None
            shown = self.current
            return shown.server_configuration()

        # Its stub does not know that None stands for "as before".
        return grpc.dynamic_ssl_server_credentials(
            shown.server_configuration(),
            newest,  # type: ignore[arg-type]
            require_client_authentication=asks_clients,
        )

    def _refresh(self) -> None:
        try:
            marks = self._look()
            if marks == self._marks:
                return
            self._material = self._read()
        except CertificateError as error:
            log.warning("certificates not renewed", error=str(error))
            return
        self._marks = marks
        log.info("certificates renewed", file=str(self._files.certificate))

    def _look(self) -> list[tuple[int, int, int]]:
        """Return marks that change with the files, also behind a symbolic link.

        Kubernetes renews files behind symbolic links.
        """
        paths = (self._files.certificate, self._files.key, self._files.authority)
        try:
            stats = [path.stat() for path in paths]
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from error
        return [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats]

    def _read(self) -> Material:
        material = Material(
            chain=_bytes(self._files.certificate),
            key=_bytes(self._files.key),
            authority=_bytes(self._files.authority),
        )
        own = _certificate(self._files.certificate, material.chain)
        _check_own(self._files.certificate, material.chain, self._uses)
        _check_authorities(self._files.authority, material.authority)
        if own.public_key() != _public_key(self._files.key, material.key):
            raise CertificateError(f"{self._files.key} is not the key of {self._files.certificate}")
        _expiry.set(int(own.not_valid_after_utc.timestamp()))
        return material


@dataclass(frozen=True, kw_only=True)
class Transport:
    """The security of this process's connections to others."""

    #: Mutual TLS with these; None: plaintext, which shows nobody's name.
    certificates: Certificates | None = None

    @property
    def is_plaintext(self) -> bool:
        """Tell whether no side shows a certificate."""
        return self.certificates is None


PLAINTEXT = Transport()


def transport_of(files: TlsFiles | None) -> Transport:
    """Return mutual TLS with these files; plaintext for None. Raise CertificateError."""
    return PLAINTEXT if files is None else Transport(certificates=Certificates(files))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from error


def _certificate(path: Path, pem: bytes) -> x509.Certificate:
    """Return the first certificate of a file."""
    return _all_in(path, pem)[0]


def _all_in(path: Path, pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a file; there is at least one."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError(f"{path} holds no certificate in PEM") from error


def _public_key(path: Path, pem: bytes) -> object:
    try:
        return load_pem_private_key(pem, password=None).public_key()
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{path} holds no private key in PEM without a password") from error


def _check_own(path: Path, chain: bytes, uses: tuple[Use, ...]) -> None:
    """Refuse a certificate that the others would refuse, before anybody is called with it."""
    own, *above = (one.public_bytes(Encoding.PEM) for one in _all_in(path, chain))
    try:
        read_shown(own, b"".join(above), *uses)
    except FlawError as flaw:
        raise CertificateError(f"{path}: {flaw}") from flaw


def _check_authorities(path: Path, pem: bytes) -> None:
    """Refuse an authority whose word would be worth nothing."""
    try:
        for certificate in _all_in(path, pem):
            check_authority(certificate)
    except FlawError as flaw:
        raise CertificateError(f"{path}: {flaw}") from flaw

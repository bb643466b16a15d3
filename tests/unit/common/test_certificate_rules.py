"""Single rules for certificates, each at its edge."""

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from libs.common.authority import make_authority
from libs.common.grpc.certificates import FlawError, Sound, Use, check_authority, read_shown
from trials.security.forged import DAY, DOMAIN, Wish


@pytest.mark.parametrize(
    ("now", "holds"), [(99.9, False), (100.0, True), (150.0, True), (200.0, True), (200.1, False)]
)
def test_a_certificate_holds_from_its_first_to_its_last_moment(now: float, *, holds: bool) -> None:
    sound = Sound(uri="spiffe://pool.example/pooler/ann", begins=100.0, ends=200.0)
    if holds:
        sound.check_time(now)
        return
    with pytest.raises(FlawError, match="not valid now"):
        sound.check_time(now)


@pytest.mark.parametrize("is_authority", [None, False])
def test_what_does_not_say_that_it_is_an_authoritys_is_none(is_authority: bool | None) -> None:
    pem, _ = Wish(is_authority=is_authority).granted(make_authority(DOMAIN))
    with pytest.raises(FlawError, match="not an authority's"):
        check_authority(x509.load_pem_x509_certificate(pem))


def test_a_weak_signature_counts_unless_it_is_of_the_authority_itself() -> None:
    pem, _ = Wish(is_authority=True, hash=hashes.SHA224()).granted(make_authority(DOMAIN))
    with pytest.raises(FlawError, match="weaker than SHA-256"):
        check_authority(x509.load_pem_x509_certificate(pem))
    check_authority(self_signed(hashes.SHA224()))


def self_signed(algorithm: hashes.SHA224) -> x509.Certificate:
    """An authority's certificate with a weak hash."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = make_authority(DOMAIN).certificate
    return (
        x509.CertificateBuilder()
        .issuer_name(made.subject)
        .subject_name(made.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(made.not_valid_before_utc)
        .not_valid_after(made.not_valid_before_utc + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, algorithm)
    )


class Revoking(Wish):
    """A certificate that may sign lists of revoked ones."""

    def _extensions(self) -> list[x509.ExtensionType]:
        return [
            _with_lists(item) if isinstance(item, x509.KeyUsage) else item
            for item in super()._extensions()
        ]


def _with_lists(usage: x509.KeyUsage) -> x509.KeyUsage:
    names: Sequence[str] = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign"),
    )
    values = {name: getattr(usage, name) for name in names}
    return x509.KeyUsage(**values, crl_sign=True, encipher_only=False, decipher_only=False)


def test_what_may_sign_lists_of_revoked_ones_is_an_authoritys() -> None:
    pem, _ = Revoking().granted(make_authority(DOMAIN))
    with pytest.raises(FlawError, match="an authority's"):
        read_shown(pem, b"", Use.CLIENT)


def test_what_has_no_names_at_all_names_nobody() -> None:
    pem, _ = Wish(has_names=False).granted(make_authority(DOMAIN))
    with pytest.raises(FlawError, match="exactly one URI"):
        read_shown(pem, b"", Use.CLIENT)

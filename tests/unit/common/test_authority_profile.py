"""What the development authority's certificates say: the profile that a pool's own has, too."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from libs.common.authority import Authority, Issued, make_authority
from libs.common.grpc.identity import CallerKind

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority("pool.example")


def loaded(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.certificate)


def usages(certificate: x509.Certificate) -> set[str]:
    """Return what the key may be used for."""
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert found.critical
    usage = found.value
    names = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
    ]
    return {name for name in names if getattr(usage, name)}


def lives(certificate: x509.Certificate) -> timedelta:
    """Return for how long a certificate lives; it began five minutes ago, by our clock."""
    began = datetime.now(UTC) - certificate.not_valid_before_utc
    assert timedelta(minutes=5) <= began < timedelta(minutes=5, seconds=50)
    return certificate.not_valid_after_utc - certificate.not_valid_before_utc


def test_the_authority_signs_certificates_of_callers_and_of_no_other_authority(
    authority: Authority,
) -> None:
    certificate = authority.certificate
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (found.critical, found.value.ca, found.value.path_length) == (True, True, 0)
    assert usages(certificate) == {"key_cert_sign", "crl_sign"}
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert not names.critical
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://pool.example"]
    key = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert not key.critical
    assert lives(certificate) == timedelta(days=3650, minutes=5)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (CallerKind.SERVICE, "wallet", [CLIENT, SERVER]),
        (CallerKind.SERVICE, "gateway", [CLIENT]),
        (CallerKind.POOLER, "7", [CLIENT]),
        (CallerKind.OPERATOR, "alice", [CLIENT]),
    ],
)
def test_a_callers_certificate_names_it_and_signs_nothing_else(
    authority: Authority, kind: CallerKind, name: str, expected: list[x509.ObjectIdentifier]
) -> None:
    certificate = loaded(authority.issue(kind, name))
    certificate.verify_directly_issued_by(authority.certificate)
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (found.critical, found.value.ca) == (True, False)
    assert usages(certificate) == {"digital_signature"}
    # Critical, as there is no subject beside it (RFC 5280, 4.2.1.6).
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert certificate.subject == x509.Name([])
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == [f"spiffe://pool.example/{kind.value}/{name}"]
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert (extended.critical, list(extended.value)) == (False, expected)
    issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert not issuer.critical
    assert lives(certificate) == timedelta(days=30, minutes=5)


def test_a_servers_certificate_has_its_addresses_and_a_renewal_keeps_them(
    authority: Authority,
) -> None:
    issued = authority.issue(
        CallerKind.SERVICE, "wallet", addresses=["wallet.example", "10.0.0.1"], days=2
    )
    for item, days in ((issued, 2), (authority.renew(issued.certificate), 30)):
        names = loaded(item).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["wallet", "wallet.example"]
        assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
        assert lives(loaded(item)) == timedelta(days=days, minutes=5)


def test_another_authoritys_certificate_is_not_renewed(authority: Authority) -> None:
    # One of the same trust domain, too.
    stranger = make_authority("pool.example").issue(CallerKind.OPERATOR, "alice")
    with pytest.raises(ValueError, match="not from this authority"):
        authority.renew(stranger.certificate)


@pytest.mark.parametrize("domain", ["", "pool example", "Pool", "pool/x", "pool\n", "x" * 256])
def test_a_trust_domain_that_cannot_be_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="is no trust domain"):
        make_authority(domain)


def test_a_trust_domain_may_have_every_sign_that_is_allowed_and_be_long() -> None:
    domain = "a.b-c_9" + "x" * 248
    made = make_authority(domain)
    assert made.trust_domain == domain
    loaded(made.issue(CallerKind.OPERATOR, "alice")).verify_directly_issued_by(made.certificate)


def test_no_key_is_printed(authority: Authority) -> None:
    issued = authority.issue(CallerKind.OPERATOR, "alice")
    assert "key" not in repr(issued)
    assert "PRIVATE" not in repr(issued)
    assert "key=" not in repr(authority)


def test_keys_are_ours_alone_and_whoever_could_read_them_still_can(
    authority: Authority, tmp_path: Path
) -> None:
    folder = tmp_path / "made" / "here"
    issued = authority.issue(CallerKind.OPERATOR, "alice")
    certificate, key = issued.save(folder, "alice")
    assert (certificate.read_bytes(), key.read_bytes()) == (issued.certificate, issued.key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o640)
    # What a renewal that did not end has left is in nobody's way.
    (folder / ".alice.key.new").write_bytes(b"half a key")
    again = authority.issue(CallerKind.OPERATOR, "alice")
    again.save(folder, "alice")
    assert key.read_bytes() == again.key
    assert stat.S_IMODE(key.stat().st_mode) == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["alice.key", "alice.pem"]

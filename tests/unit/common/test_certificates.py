"""Certificates that the pool's authority should never have signed get nobody in, on any method."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc
from pydantic import SecretStr

from libs.common.authority import CERTIFICATE_FILE, Authority, make_authority
from libs.common.config import ServiceSettings
from libs.common.grpc.certificates import FlawError, Use, check_authority, read_shown
from libs.common.grpc.identity import CallerKind, caller
from libs.common.grpc.server import open_server
from libs.common.grpc.tls import CertificateError, Certificates, TlsFiles, transport_of
from tests.support.plant_server import plant_spec
from trials.security.forged import ANN, CLIENT, DAY, DOMAIN, FLAWED, SERVER, Wish, rsa_1024

POOLER = "0190a5f0-0000-7000-8000-000000000001"
#: What grpc's own handshake refuses already: then no call arrives.
AT_THE_DOOR = {
    *("any use", "another use", "a server's use", "a key that signs nothing"),
    *("not valid yet", "not valid any more"),
}
SOUND: Mapping[str, dict[str, Any]] = {
    "RSA with 2048 bits": {"make_key": lambda: rsa.generate_private_key(65537, 2048)},
    "P-384": {"make_key": lambda: ec.generate_private_key(ec.SECP384R1())},
    "both uses": {"uses": [SERVER, CLIENT]},
    "SHA-384": {"hash": hashes.SHA384()},
    "no word about authorities": {"is_authority": None},
}


class Plants(plant_pb2_grpc.PlantServiceServicer):
    """Says who called."""

    async def Plant(self, request: plant_pb2.PlantRequest, context: Any) -> plant_pb2.PlantResponse:
        """The caller's name in place of a pooler's id."""
        return plant_pb2.PlantResponse(pooler_id=caller().identity)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whose word counts."""
    return make_authority(DOMAIN)


@pytest.fixture(scope="module")
async def target(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """The address of plant's server."""
    folder = tmp_path_factory.mktemp("server")
    authority.save(folder)
    certificate, key = authority.issue(CallerKind.SERVICE, "plant").save(folder, "plant")
    shown = TlsFiles(certificate=certificate, key=key, authority=folder / CERTIFICATE_FILE)
    settings = ServiceSettings(
        database_url=SecretStr("postgresql://nowhere/none"),
        tls_cert_file=shown.certificate,
        tls_key_file=shown.key,
        tls_ca_file=shown.authority,
        trust_domain=DOMAIN,
        shutdown_grace_ms=200,
    )
    async with open_server(plant_spec(Plants), settings, transport_of(shown)) as running:
        yield f"127.0.0.1:{running.port}"


@asynccontextmanager
async def calling(
    target: str, authority: Authority, shown: tuple[bytes, bytes]
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of somebody who shows this and minds nothing: none of our own code is used."""
    credentials = grpc.ssl_channel_credentials(
        authority.certificate.public_bytes(Encoding.PEM), shown[1], shown[0]
    )
    options = (("grpc.ssl_target_name_override", "plant"),)
    async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
        yield channel


async def every_kind_of_call(channel: grpc.aio.Channel) -> list[grpc.aio.AioRpcError | str]:
    """A method of our own, and the standard services: what each of them answers."""
    plants: Any = plant_pb2_grpc.PlantServiceStub(channel)
    health: Any = health_pb2_grpc.HealthStub(channel)
    reflection: Any = cast("Any", ServerReflectionStub)(channel)
    question = reflection_pb2.ServerReflectionRequest(list_services="")

    async def watched() -> str:
        async for one in health.Watch(health_pb2.HealthCheckRequest(), timeout=10):
            return str(one.status)
        return ""

    async def described() -> str:
        async for _ in reflection.ServerReflectionInfo(iter([question]), timeout=10):
            return "described"
        return ""

    async def planted() -> str:
        request = plant_pb2.PlantRequest(pooler_id=POOLER, block_index=1)
        return str((await plants.Plant(request, timeout=10)).pooler_id)

    async def checked() -> str:
        return str((await health.Check(health_pb2.HealthCheckRequest(), timeout=10)).status)

    found: list[grpc.aio.AioRpcError | str] = []
    for one in (planted, checked, watched, described):
        try:
            found.append(await one())
        except grpc.aio.AioRpcError as error:
            found.append(error)
    return found


@pytest.mark.parametrize("flaw", FLAWED)
async def test_a_certificate_with_a_flaw_lets_nobody_in(
    target: str, authority: Authority, flaw: str
) -> None:
    changes, told = FLAWED[flaw]
    shown = Wish(**changes).granted(authority)
    with structlog.testing.capture_logs() as lines:
        async with calling(target, authority, shown) as channel:
            answers = await every_kind_of_call(channel)
    statuses = {one if isinstance(one, str) else one.code() for one in answers}
    if flaw in AT_THE_DOOR:
        assert statuses == {grpc.StatusCode.UNAVAILABLE}
        with pytest.raises(FlawError, match=told):
            read_shown(shown[0], b"", Use.CLIENT).check_time(time.time())
        return
    assert statuses == {grpc.StatusCode.UNAUTHENTICATED}
    records = [line for line in lines if line.get("log") == "security"]
    assert len(records) == len(answers)
    for record in records:
        assert told in record["why"]
        assert record["identity"] == "127.0.0.1"
        assert record["reason"] in {"BAD_CERTIFICATE", "UNKNOWN_IDENTITY"}
        # Nothing of the certificate is repeated: its maker does not write into our log.
        assert "evil" not in str(record)


@pytest.mark.parametrize("what", SOUND)
async def test_a_certificate_of_another_sound_make_is_taken(
    target: str, authority: Authority, what: str
) -> None:
    shown = Wish(**SOUND[what]).granted(authority)
    async with calling(target, authority, shown) as channel:
        planted, *others = await every_kind_of_call(channel)
    assert planted == ANN
    assert all(isinstance(one, str) for one in others), others


async def test_a_weak_key_between_the_certificate_and_the_authority_is_found(
    target: str, authority: Authority
) -> None:
    """An RSA-1024 authority below the real one can be computed by others."""
    below = Wish(
        make_key=rsa_1024, is_authority=True, makes_others=True, uses=None, has_names=False
    )
    root = make_authority(DOMAIN)
    pem, _ = below.granted(root)
    middle = x509.load_pem_x509_certificate(pem)
    with pytest.raises(FlawError, match="weaker"):
        read_shown(Wish().granted(root)[0], pem, Use.CLIENT)
    with pytest.raises(FlawError, match="weaker"):
        check_authority(middle)


async def test_a_certificate_that_ends_while_its_connection_lasts_lets_nobody_in_any_more(
    target: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Wish(ends=DAY).granted(authority)
    later = time.time() + 2 * DAY.total_seconds()
    async with calling(target, authority, shown) as channel:
        assert (await every_kind_of_call(channel))[0] == ANN
        monkeypatch.setattr("libs.common.grpc.identity.time", SimpleNamespace(time=lambda: later))
        answers = await every_kind_of_call(channel)
    assert {one.code() for one in answers if not isinstance(one, str)} == {
        grpc.StatusCode.UNAUTHENTICATED
    }
    assert not any(isinstance(one, str) for one in answers)


@pytest.mark.parametrize(
    ("pem", "told"),
    [
        (b"", "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (Wish().granted(make_authority(DOMAIN))[0] * 2, "exactly one certificate"),
    ],
)
def test_what_is_no_certificate_names_nobody(pem: bytes, told: str) -> None:
    with pytest.raises(FlawError, match=told):
        read_shown(pem, b"", Use.CLIENT)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(2048),
    ],
)
def test_keys_that_no_handshake_takes_are_refused_here_too(authority: Authority, key: Any) -> None:
    with pytest.raises(FlawError, match="weaker"):
        read_shown(Wish(make_key=lambda: key).granted(authority)[0], b"", Use.CLIENT)


def test_an_edwards_key_is_strong_enough(authority: Authority) -> None:
    pem, _ = Wish(make_key=ed25519.Ed25519PrivateKey.generate).granted(authority)
    assert read_shown(pem, b"", Use.CLIENT).uri == ANN


def test_a_signature_with_a_weak_hash_is_refused(authority: Authority) -> None:
    pem, _ = Wish(hash=hashes.SHA224()).granted(authority)
    with pytest.raises(FlawError, match="weaker than SHA-256"):
        read_shown(pem, b"", Use.CLIENT)


def test_what_the_development_authority_makes_is_sound(authority: Authority) -> None:
    check_authority(authority.certificate)
    for kind, uses in ((CallerKind.SERVICE, (Use.CLIENT, Use.SERVER)), *_callers()):
        issued = authority.issue(kind, "wallet")
        sound = read_shown(issued.certificate, b"", *uses)
        assert sound.uri == f"spiffe://{DOMAIN}/{kind.value}/wallet"
        sound.check_time(time.time())
        assert read_shown(authority.renew(issued.certificate).certificate, b"", *uses)


def _callers() -> list[tuple[CallerKind, tuple[Use, ...]]]:
    return [(kind, (Use.CLIENT,)) for kind in (CallerKind.POOLER, CallerKind.OPERATOR)]


@pytest.mark.parametrize("broken", ["own", "authority"])
def test_flawed_files_stop_the_start_by_name(
    authority: Authority, tmp_path: Path, broken: str
) -> None:
    """A process that every other would refuse says so at once."""
    flawed, key = Wish(uses=None).granted(authority)
    sound, sound_key = Wish().granted(authority)
    shown = TlsFiles(
        certificate=tmp_path / "own.pem", key=tmp_path / "own.key", authority=tmp_path / "ca.pem"
    )
    authority.save(tmp_path)
    shown.certificate.write_bytes(flawed if broken == "own" else sound)
    shown.key.write_bytes(key if broken == "own" else sound_key)
    if broken == "authority":
        shown.authority.write_bytes(sound)
    with pytest.raises(CertificateError, match="own.pem" if broken == "own" else "ca.pem"):
        Certificates(shown)

"""Mutual TLS with real certificates: who gets in, who does not, and renewal without a restart."""

import datetime
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc
from pydantic import SecretStr, ValidationError

from libs.common.authority import CERTIFICATE_FILE, Authority, load_authority, make_authority
from libs.common.config import ServiceSettings
from libs.common.errors import (
    FailedPreconditionError,
    PermissionDeniedError,
    PoolError,
    UnauthenticatedError,
)
from libs.common.grpc.access import Access, AccessControl, Owned
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.identity import Caller, CallerKind, caller, identity, parse_identity
from libs.common.grpc.server import open_server
from libs.common.grpc.standing import Allows, Standing
from libs.common.grpc.tls import (
    PLAINTEXT,
    CertificateError,
    Certificates,
    TlsFiles,
    Transport,
    transport_of,
)
from tests.support.plant_server import plant_spec

DOMAIN = "pool.example"
ONE, TWO = "0190a5f0-0000-7000-8000-000000000001", "0190a5f0-0000-7000-8000-000000000002"


class Plants(plant_pb2_grpc.PlantServiceServicer):
    """Says who called."""

    async def Plant(self, request: plant_pb2.PlantRequest, context: Any) -> plant_pb2.PlantResponse:
        """The caller's name in place of a pooler's id."""
        return plant_pb2.PlantResponse(pooler_id=caller().identity)


def files(authority: Authority, folder: Path, kind: CallerKind, name: str) -> TlsFiles:
    """A fresh certificate."""
    authority.save(folder)
    certificate, key = authority.issue(kind, name).save(folder, name)
    return TlsFiles(certificate=certificate, key=key, authority=folder / CERTIFICATE_FILE)


@asynccontextmanager
async def serving(shown: TlsFiles) -> AsyncIterator[str]:
    """plant's server with these files; its address."""
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
async def posing(shown: TlsFiles) -> AsyncIterator[str]:
    """A server that is none of ours, with these files; its address."""
    server, servicer = grpc.aio.server(), cast("Any", Plants)()
    plant_pb2_grpc.add_PlantServiceServicer_to_server(servicer, server)
    pair = (shown.key.read_bytes(), shown.certificate.read_bytes())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def plant(
    target: str, transport: Transport, *, pooler: str = ONE, name: str = "plant"
) -> str:
    """Who the server says we are."""
    async with open_channel(target, transport, name=name) as channel:
        return await plant_over(channel, pooler)


async def plant_over(channel: grpc.aio.Channel, pooler: str = ONE) -> str:
    """The same over a channel that stays."""
    stub: plant_pb2_grpc.PlantServiceAsyncStub = plant_pb2_grpc.PlantServiceStub(channel)
    request = plant_pb2.PlantRequest(pooler_id=pooler, block_index=1)
    return (await call(stub.Plant, request, timeout=5)).pooler_id


async def refused(target: str, transport: Transport, **how: str) -> PoolError:
    """What is said to a caller that is not let in."""
    with pytest.raises(PoolError) as caught:
        await plant(target, transport, **how)
    return caught.value


@pytest.fixture
def authority() -> Authority:
    """Whose word counts."""
    return make_authority(DOMAIN)


async def test_a_certificate_says_who_calls_and_what_is_for_whom(
    authority: Authority, tmp_path: Path
) -> None:
    server = files(authority, tmp_path / "server", CallerKind.SERVICE, "plant")
    pooler = transport_of(files(authority, tmp_path, CallerKind.POOLER, ONE))
    operator = transport_of(files(authority, tmp_path, CallerKind.OPERATOR, "ann"))
    service = transport_of(files(authority, tmp_path, CallerKind.SERVICE, "work"))
    async with serving(server) as target:
        assert await plant(target, pooler) == f"spiffe://{DOMAIN}/pooler/{ONE}"
        assert await plant(target, operator, pooler=TWO) == f"spiffe://{DOMAIN}/operator/ann"
        anothers = await refused(target, pooler, pooler=TWO)
        assert (type(anothers), anothers.reason) == (PermissionDeniedError, "NOT_YOURS")
        # What it asks is not even looked at.
        stranger = await refused(target, service, pooler="no id")
        assert (type(stranger), stranger.reason) == (PermissionDeniedError, "ACCESS_DENIED")


async def test_who_shows_nothing_or_what_nobody_vouches_for_is_not_let_in(
    authority: Authority, tmp_path: Path
) -> None:
    server = files(authority, tmp_path / "server", CallerKind.SERVICE, "plant")
    other = make_authority(DOMAIN)
    forged = files(other, tmp_path / "forged", CallerKind.OPERATOR, "ann")
    forged = TlsFiles(certificate=forged.certificate, key=forged.key, authority=server.authority)
    elsewhere = files(
        Authority(trust_domain="evil", certificate=authority.certificate, key=authority.key),
        tmp_path / "elsewhere",
        CallerKind.OPERATOR,
        "ann",
    )
    async with serving(server) as target:
        assert (await refused(target, PLAINTEXT)).reason == "UNAVAILABLE"
        assert (await refused(target, transport_of(forged))).reason == "UNAVAILABLE"
        unknown = await refused(target, transport_of(elsewhere))
        assert (type(unknown), unknown.reason) == (UnauthenticatedError, "UNKNOWN_IDENTITY")


async def test_nobody_else_can_pose_as_a_service(authority: Authority, tmp_path: Path) -> None:
    """Neither another service nor a pooler, though the authority vouches for both."""
    own = transport_of(files(authority, tmp_path, CallerKind.POOLER, ONE))
    for kind, name in ((CallerKind.SERVICE, "work"), (CallerKind.POOLER, TWO)):
        poser = files(authority, tmp_path / name, kind, name)
        async with posing(poser) as target:
            assert (await refused(target, own)).reason == "UNAVAILABLE"


async def test_our_own_server_shows_no_certificate_that_is_not_for_servers(
    authority: Authority, tmp_path: Path
) -> None:
    pooler = files(authority, tmp_path, CallerKind.POOLER, ONE)
    with pytest.raises(CertificateError, match="not for this use: to serve"):
        async with serving(pooler):
            pass


async def test_renewed_certificates_are_taken_up_while_it_runs(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.common.grpc.tls._LOOK", 0.0)
    server = files(authority, tmp_path / "server", CallerKind.SERVICE, "plant")
    client = files(authority, tmp_path / "client", CallerKind.OPERATOR, "ann")
    async with (
        serving(server) as target,
        open_channel(target, transport_of(client), name="plant") as channel,
    ):
        assert await plant_over(channel) == f"spiffe://{DOMAIN}/operator/ann"
        # Another authority takes over, on both sides; then somebody else's name, on one.
        successor = make_authority(DOMAIN)
        files(successor, server.certificate.parent, CallerKind.SERVICE, "plant")
        files(successor, client.certificate.parent, CallerKind.OPERATOR, "ann")
        assert await plant_over(channel) == f"spiffe://{DOMAIN}/operator/ann"
        bobs = successor.issue(CallerKind.OPERATOR, "bob").save(tmp_path / "bob", "ann")
        for file in bobs:
            file.replace(client.certificate.parent / file.name)
        assert await plant_over(channel) == f"spiffe://{DOMAIN}/operator/bob"
        # One that still shows the first authority's is not let in any more.
        old = files(authority, tmp_path / "old", CallerKind.OPERATOR, "ann")
        assert (await refused(target, transport_of(old))).reason == "UNAVAILABLE"


def test_half_of_a_renewal_does_not_count(authority: Authority, tmp_path: Path) -> None:
    now = [0.0]
    shown = files(authority, tmp_path, CallerKind.OPERATOR, "ann")
    certificates = Certificates(shown, clock=lambda: now[0])
    first = certificates.current
    following = authority.issue(CallerKind.OPERATOR, "ann")
    shown.certificate.write_bytes(following.certificate)
    now[0] += 2
    assert certificates.current is first
    shown.key.write_bytes(following.key)
    assert certificates.current is first  # looked a moment ago
    now[0] += 2
    assert certificates.current.key == following.key
    shown.key.unlink()
    now[0] += 2
    assert certificates.current.key == following.key


@pytest.mark.parametrize("broken", ["certificate", "key", "authority"])
def test_files_that_cannot_be_used_stop_the_start_by_name(
    authority: Authority, tmp_path: Path, broken: str
) -> None:
    shown = files(authority, tmp_path, CallerKind.OPERATOR, "ann")
    path: Path = getattr(shown, broken)
    path.write_text("nothing")
    with pytest.raises(CertificateError, match=path.name):
        Certificates(shown)
    path.unlink()
    with pytest.raises(CertificateError, match=path.name):
        Certificates(shown)


def test_a_key_of_another_certificate_is_found(authority: Authority, tmp_path: Path) -> None:
    shown = files(authority, tmp_path, CallerKind.OPERATOR, "ann")
    shown.key.write_bytes(authority.issue(CallerKind.OPERATOR, "bob").key)
    with pytest.raises(CertificateError, match="not the key"):
        Certificates(shown)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "TLS_CERT_FILE"),
        ({"transport": "plaintext", "host": "10.0.0.1"}, "HOST"),
        ({"transport": "plaintext", "trust_domain": "Not A Domain"}, "trust_domain"),
    ],
)
def test_settings_that_would_let_everybody_in_stop_the_start(
    changes: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        ServiceSettings(database_url=SecretStr("postgresql://none"), **changes)


async def test_health_is_for_everybody_with_a_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    server = files(authority, tmp_path / "server", CallerKind.SERVICE, "plant")
    probe = transport_of(files(authority, tmp_path, CallerKind.POOLER, ONE))
    async with serving(server) as target, open_channel(target, probe, name="plant") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


# Names


@pytest.mark.parametrize(
    "uri",
    [
        "",
        f"spiffe://{DOMAIN}",
        f"spiffe://{DOMAIN}/service",
        f"spiffe://{DOMAIN}/service/",
        f"spiffe://{DOMAIN}/service/plant/x",
        f"spiffe://{DOMAIN}/service/plant\n",
        f"spiffe://{DOMAIN}/SERVICE/plant",
        f"spiffe://{DOMAIN}/admin/ann",
        f"spiffe://{DOMAIN}/pooler/..",
        f"spiffe://{DOMAIN}.evil/service/plant",
        f"spiffe://evil/{DOMAIN}/service/plant",
        f"https://{DOMAIN}/service/plant",
    ],
)
def test_other_names_are_nobodys(uri: str) -> None:
    with pytest.raises(UnauthenticatedError):
        parse_identity(uri, trust_domain=DOMAIN)


@given(st.sampled_from(["service", "pooler", "operator"]), st.text(max_size=70))
def test_a_name_that_can_be_given_is_read_as_it_was_given(kind: str, name: str) -> None:
    try:
        uri = identity(CallerKind(kind), name, trust_domain=DOMAIN)
    except ValueError:
        return
    assert parse_identity(uri, trust_domain=DOMAIN) == Caller(
        kind=CallerKind(kind), name=name, identity=uri
    )


def test_a_development_authority_is_kept_and_gives_servers_only_what_serves(
    authority: Authority, tmp_path: Path
) -> None:
    authority.save(tmp_path)
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0
    again = load_authority(tmp_path)
    assert again.trust_domain == DOMAIN
    issued = again.issue(CallerKind.SERVICE, "wallet", days=1, addresses=["10.0.0.7", "wallet.ns"])
    found = x509.load_pem_x509_certificate(issued.certificate)
    found.verify_directly_issued_by(authority.certificate)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["wallet", "wallet.ns"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    left = found.not_valid_after_utc.timestamp() - time.time()
    assert 0 < left <= datetime.timedelta(days=1).total_seconds()
    pooler = x509.load_pem_x509_certificate(again.issue(CallerKind.POOLER, ONE).certificate)
    usage = pooler.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH not in usage
    with pytest.raises(ValueError, match="cannot be the name"):
        again.issue(CallerKind.OPERATOR, "a/b")


# Whose it is


class Request:
    """A request with some fields."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


POOLER = Caller(kind=CallerKind.POOLER, name=ONE, identity=ONE)
METHOD = "/a.B/C"
FARMERS = {"mine": ONE, "too": ONE, "yours": TWO}


async def owners(ids: Any) -> set[str]:
    """As the stores tell them."""
    return {FARMERS.get(item, "") for item in ids}


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"farmer_ids": ["mine", "too"], "pooler_id": ""}, True),
        ({"farmer_ids": [], "pooler_id": ONE}, True),
        ({"farmer_ids": ["mine"], "pooler_id": ONE}, True),
        ({"farmer_ids": ["mine"], "pooler_id": TWO}, False),
        ({"farmer_ids": ["mine", "yours"], "pooler_id": ONE}, False),
        ({"farmer_ids": ["mine", "nobodys"], "pooler_id": ""}, False),
        ({"farmer_ids": ["nobodys"], "pooler_id": ""}, False),
        ({"farmer_ids": [], "pooler_id": ""}, False),
    ],
)
async def test_a_pooler_names_its_own_and_nothing_else(
    fields: dict[str, Any], allowed: bool
) -> None:
    entry = Access(poolers=True, owned={"farmer_ids": Owned.FARMER, "pooler_id": Owned.POOLER})
    control = AccessControl({METHOD: entry}, {Owned.FARMER: owners})
    if allowed:
        await control.check_owner(METHOD, POOLER, Request(**fields))
    else:
        with pytest.raises(PermissionDeniedError) as caught:
            await control.check_owner(METHOD, POOLER, Request(**fields))
        assert caught.value.reason == "NOT_YOURS"
    await control.check_owner(
        METHOD, Caller(kind=CallerKind.OPERATOR, name="ann", identity="ann"), Request(**fields)
    )


def test_what_has_no_entry_is_nobodys_and_a_gap_stops_the_start() -> None:
    control = AccessControl({}, {})
    for kind in CallerKind:
        with pytest.raises(PermissionDeniedError):
            control.check_caller(METHOD, Caller(kind=kind, name="x", identity="x"))
    entry = Access(poolers=True, owned={"farmer_id": Owned.FARMER})
    with pytest.raises(ValueError, match="nobody tells"):
        AccessControl({METHOD: entry}, {})


LIMITS = {
    Standing.POOLER_SUSPENDED: Allows.OPERATORS,
    Standing.FARMER_SUSPENDED: Allows.OPERATORS,
    Standing.FARMER_LEAVING: Allows.YES,
    # The use case refuses it, and answers repeats.
    Standing.SIGNING_PAUSED: Allows.NOTHING,
}


@pytest.mark.parametrize(
    ("standings", "reason"),
    [
        (set(), ""),
        ({Standing.FARMER_LEAVING, Standing.SIGNING_PAUSED}, ""),
        ({Standing.FARMER_SUSPENDED}, "FARMER_SUSPENDED"),
        ({Standing.FARMER_SUSPENDED, Standing.POOLER_SUSPENDED}, "POOLER_SUSPENDED"),
    ],
)
async def test_what_a_standing_leaves_to_operators_is_no_poolers(
    standings: set[Standing], reason: str
) -> None:
    asked: list[Any] = []

    async def standings_of(ids: Any) -> set[Standing]:
        asked.append(ids)
        return standings

    entry = Access(poolers=True, operators=True, owned={"farmer_id": Owned.FARMER}, limits=LIMITS)
    with pytest.raises(ValueError, match="nobody tells the standing"):
        AccessControl({METHOD: entry}, {Owned.FARMER: owners})
    control = AccessControl({METHOD: entry}, {Owned.FARMER: owners}, {Owned.FARMER: standings_of})
    request = Request(farmer_id="mine")
    if reason:
        with pytest.raises(FailedPreconditionError) as caught:
            await control.check_owner(METHOD, POOLER, request)
        assert caught.value.reason == reason
    else:
        await control.check_owner(METHOD, POOLER, request)
    assert asked == [["mine"]]
    # What is another's is told as that, whatever it stands in.
    with pytest.raises(PermissionDeniedError):
        await control.check_owner(METHOD, POOLER, Request(farmer_id="yours"))
    for kind in (CallerKind.OPERATOR, CallerKind.SERVICE, CallerKind.UNKNOWN):
        await control.check_owner(METHOD, Caller(kind=kind, name="x", identity="x"), request)


@pytest.mark.parametrize("is_set", [True, False])
async def test_a_field_for_operators_is_no_poolers_to_set(is_set: bool) -> None:
    entry = Access(
        poolers=True, owned={"pooler_id": Owned.POOLER}, operator_fields=frozenset({"most"})
    )
    control = AccessControl({METHOD: entry}, {})
    request = Request(pooler_id=ONE, HasField=lambda name: is_set and name == "most")
    if is_set:
        with pytest.raises(PermissionDeniedError) as caught:
            await control.check_owner(METHOD, POOLER, request)
        assert caught.value.reason == "OPERATORS_ONLY"
    else:
        await control.check_owner(METHOD, POOLER, request)
    ann = Caller(kind=CallerKind.OPERATOR, name="ann", identity="ann")
    await control.check_owner(METHOD, ann, request)

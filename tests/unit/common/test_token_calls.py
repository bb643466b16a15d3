"""Calls with access tokens to a real server: over the gateway's connection, and on TOKEN_PORT."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kalepool.common.v1 import common_pb2, common_pb2_grpc
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc
from kalepool.wallet.v1 import token_pb2, token_pb2_grpc, wallet_pb2, wallet_pb2_grpc
from pydantic import SecretStr, ValidationError

from devstack.ports import free_ports
from libs.common.authority import CERTIFICATE_FILE, Authority, make_authority
from libs.common.config import ServiceSettings
from libs.common.errors import PoolError
from libs.common.grpc.access import Owned
from libs.common.grpc.client import open_channel
from libs.common.grpc.errors import from_rpc_error
from libs.common.grpc.identity import CallerKind, actor, caller
from libs.common.grpc.server import RunningServer, open_server
from libs.common.grpc.tls import TlsFiles, Transport, transport_of
from tests.support.plant_server import plant_spec
from tests.support.tokens import TOKEN_ID, Issuer, bearing, without_certificate

DOMAIN = "pool.example"
ONE, TWO = "0190a5f0-0000-7000-8000-000000000001", "0190a5f0-0000-7000-8000-000000000002"
GATEWAY = f"spiffe://{DOMAIN}/service/gateway"
PLANT = "/kalepool.plant.v1.PlantService/Plant"
LIST = "/kalepool.plant.v1.PlantService/ListPlantings"


class Plants(plant_pb2_grpc.PlantServiceServicer):
    """Says who called, as records have it."""

    async def Plant(self, request: plant_pb2.PlantRequest, context: Any) -> plant_pb2.PlantResponse:
        """The actor in place of a pooler's id."""
        return plant_pb2.PlantResponse(pooler_id=actor())

    async def ListPlantings(
        self, request: plant_pb2.ListPlantingsRequest, context: Any
    ) -> plant_pb2.ListPlantingsResponse:
        """The caller's name in place of a token."""
        return plant_pb2.ListPlantingsResponse(next_page_token=caller().identity)


class Blocks(wallet_pb2_grpc.WalletServiceServicer):
    """Streams a block, and then nothing."""

    async def WatchBlocks(
        self, request: wallet_pb2.WatchBlocksRequest, context: Any
    ) -> AsyncIterator[wallet_pb2.WatchBlocksResponse]:
        """A stream without an end."""
        yield wallet_pb2.WatchBlocksResponse()
        await asyncio.Event().wait()


class Tokens(token_pb2_grpc.TokenServiceServicer):
    """Says who called."""

    async def ExchangeToken(
        self, request: token_pb2.ExchangeTokenRequest, context: Any
    ) -> token_pb2.ExchangeTokenResponse:
        """The caller's name in place of a token."""
        return token_pb2.ExchangeTokenResponse(access_token=caller().identity)


@dataclass(kw_only=True)
class World:
    """A server, its authority, and who signs tokens."""

    authority: Authority
    folder: Path
    issuer: Issuer
    running: RunningServer

    def transport(self, kind: CallerKind, name: str) -> Transport:
        """The transport of a caller with a certificate."""
        return transport_of(files(self.authority, self.folder / f"{kind.value}-{name}", kind, name))

    @asynccontextmanager
    async def channel(self, kind: CallerKind, name: str) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to the port for certificates."""
        target = f"127.0.0.1:{self.running.port}"
        async with open_channel(target, self.transport(kind, name), name="plant") as channel:
            yield channel

    def gateway(self) -> Any:
        """The gateway's channel."""
        return self.channel(CallerKind.SERVICE, "gateway")

    def without_certificate(self) -> grpc.aio.Channel:
        """A channel to the port for tokens."""
        target = f"127.0.0.1:{self.running.token_port}"
        return without_certificate(target, self.authority, "plant")


def files(authority: Authority, folder: Path, kind: CallerKind, name: str) -> TlsFiles:
    """A fresh certificate."""
    authority.save(folder)
    certificate, key = authority.issue(kind, name).save(folder, name)
    return TlsFiles(certificate=certificate, key=key, authority=folder / CERTIFICATE_FILE)


async def nobodys(ids: Sequence[str]) -> set[str]:
    """Owners where nobody asks for them."""
    raise AssertionError(ids)


async def in_no_standing(ids: Sequence[str]) -> set[Any]:
    """Standings where nothing is limited."""
    return set()


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Serve with a second port."""
    authority, folder = make_authority(DOMAIN), tmp_path_factory.mktemp("tokens")
    shown = files(authority, folder / "server", CallerKind.SERVICE, "plant")
    settings = ServiceSettings(
        database_url=SecretStr("postgresql://nowhere/none"),
        tls_cert_file=shown.certificate,
        tls_key_file=shown.key,
        tls_ca_file=shown.authority,
        trust_domain=DOMAIN,
        token_port=free_ports(1)[0],
        shutdown_grace_ms=200,
    )
    issuer = Issuer(trust_domain=DOMAIN)
    spec = plant_spec(Plants, token_keys=issuer)

    def register(server: grpc.aio.Server) -> None:
        spec.register(server)
        wallet_pb2_grpc.add_WalletServiceServicer_to_server(cast("Any", Blocks)(), server)
        token_pb2_grpc.add_TokenServiceServicer_to_server(cast("Any", Tokens)(), server)

    whole = replace(
        spec,
        full_names=(
            *spec.full_names,
            "kalepool.wallet.v1.WalletService",
            "kalepool.wallet.v1.TokenService",
        ),
        register=register,
        owners={kind: nobodys for kind in Owned if kind is not Owned.POOLER},
        accounts={kind: nobodys for kind in Owned if kind is not Owned.ACCOUNT},
        standings=dict.fromkeys(Owned, in_no_standing),
        method_timeouts={"WatchBlocks": None},
    )
    async with open_server(whole, settings, transport_of(shown)) as running:
        yield World(authority=authority, folder=folder, issuer=issuer, running=running)


async def plant(channel: grpc.aio.Channel, metadata: Any = None, *, pooler: str = ONE) -> str:
    """Who the server says we are; raises the PoolError that it answers."""
    method: Any = plant_pb2_grpc.PlantServiceStub(channel).Plant
    request = plant_pb2.PlantRequest(pooler_id=pooler, block_index=1)
    try:
        return str((await method(request, timeout=5, metadata=metadata)).pooler_id)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


async def refused(channel: grpc.aio.Channel, metadata: Any = None, *, pooler: str = ONE) -> str:
    """The reason that a call is refused with."""
    with pytest.raises(PoolError) as caught:
        await plant(channel, metadata, pooler=pooler)
    return caught.value.reason


async def test_a_call_that_the_gateway_brings_is_the_bearers(world: World) -> None:
    token = world.issuer.token(CallerKind.POOLER, ONE)
    async with world.gateway() as gateway:
        subject = f"spiffe://{DOMAIN}/pooler/{ONE}"
        assert await plant(gateway, bearing(token)) == f"{subject} via {GATEWAY}, token {TOKEN_ID}"
        # What is another's is refused as to a certificate.
        assert await refused(gateway, bearing(token), pooler=TWO) == "NOT_YOURS"


async def test_without_a_token_the_gateway_may_what_is_public_and_nothing_else(
    world: World,
) -> None:
    async with world.gateway() as gateway:
        assert await refused(gateway) == "ACCESS_DENIED"
        info = common_pb2_grpc.InfoServiceStub(gateway)
        answer: Any = await info.GetInfo(common_pb2.GetInfoRequest(), timeout=5)
        assert answer.service == "plant"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (CallerKind.OPERATOR, "ann"),
        (CallerKind.OPERATOR, "gateway"),
        (CallerKind.POOLER, ONE),
        (CallerKind.SERVICE, "plant"),
        (CallerKind.SERVICE, "wallet"),
    ],
)
async def test_a_token_that_somebody_else_brings_counts_for_nothing(
    world: World, kind: CallerKind, name: str
) -> None:
    """A token that was read on its way is of no use with another certificate, the bearer's own."""
    token = world.issuer.token(CallerKind.POOLER, ONE)
    async with world.channel(kind, name) as channel:
        assert await refused(channel, bearing(token)) == "TOKEN_REFUSED"


async def test_a_header_that_is_sent_twice_is_refused(world: World) -> None:
    """Whatever order a proxy and a server read them in, nobody is told two things."""
    poolers = world.issuer.token(CallerKind.POOLER, ONE)
    operators = world.issuer.token(CallerKind.OPERATOR, "ann")
    async with world.gateway() as gateway:
        for one, other in ((poolers, operators), (operators, poolers), (poolers, poolers)):
            twice = bearing(one, ("authorization", f"Bearer {other}"))
            assert await refused(gateway, twice) == "TOKEN_INVALID"
        joined = grpc.aio.Metadata(("authorization", f"Bearer {poolers},Bearer {operators}"))
        assert await refused(gateway, joined) == "TOKEN_INVALID"
        # Nothing else that is sent along says who calls.
        more: list[tuple[str, str | bytes]] = [
            ("authorization-bin", f"Bearer {operators}".encode()),
            ("x-forwarded-authorization", f"Bearer {operators}"),
            ("x-forwarded-client-cert", f"URI=spiffe://{DOMAIN}/operator/ann"),
        ]
        assert (await plant(gateway, bearing(poolers, *more))).startswith(
            f"spiffe://{DOMAIN}/pooler/{ONE} via"
        )


async def test_what_is_no_token_of_wallet_is_refused(world: World) -> None:
    issuer, other = world.issuer, Issuer(trust_domain=DOMAIN)
    now = int(time.time())
    wrong = {
        other.token(CallerKind.POOLER, ONE): "TOKEN_INVALID",
        issuer.token(CallerKind.POOLER, ONE, aud="spiffe://other"): "TOKEN_INVALID",
        issuer.token(CallerKind.POOLER, ONE, iat=now - 70, exp=now - 10): "TOKEN_EXPIRED",
        "kp_" + "A" * 43: "TOKEN_INVALID",
    }
    async with world.gateway() as gateway, world.without_certificate() as anybody:
        for token, reason in wrong.items():
            assert await refused(gateway, bearing(token)) == reason
            assert await refused(anybody, bearing(token)) == reason


async def test_a_token_may_no_more_than_it_says(world: World) -> None:
    reads = world.issuer.token(CallerKind.POOLER, ONE, ro=True)
    scoped = world.issuer.token(CallerKind.POOLER, ONE, scope=[LIST])
    async with world.gateway() as gateway:
        method: Any = plant_pb2_grpc.PlantServiceStub(gateway).ListPlantings
        for token, reason in ((reads, "TOKEN_READ_ONLY"), (scoped, "TOKEN_SCOPE")):
            assert await refused(gateway, bearing(token)) == reason
            request = plant_pb2.ListPlantingsRequest(pooler_id=ONE)
            answer = await method(request, timeout=5, metadata=bearing(token))
            assert answer.next_page_token == f"spiffe://{DOMAIN}/pooler/{ONE}"


async def test_no_token_makes_another_one(world: World) -> None:
    token = world.issuer.token(CallerKind.OPERATOR, "ann")
    async with world.gateway() as gateway:
        method: Any = token_pb2_grpc.TokenServiceStub(gateway).CreateToken
        request = token_pb2.CreateTokenRequest(role=token_pb2.TOKEN_ROLE_OPERATOR)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request, timeout=5, metadata=bearing(token))
        assert from_rpc_error(caught.value).reason == "TOKEN_NOT_ENOUGH"


async def test_on_the_port_for_tokens_nobody_needs_a_certificate(world: World) -> None:
    token = world.issuer.token(CallerKind.POOLER, ONE)
    async with world.without_certificate() as channel:
        subject = f"spiffe://{DOMAIN}/pooler/{ONE}"
        told = await plant(channel, bearing(token))
        assert told == f"{subject} via 127.0.0.1, token {TOKEN_ID}"
        assert await refused(channel) == "TOKEN_MISSING"
        assert await refused(channel, pooler="no id") == "TOKEN_MISSING"


async def test_a_certificate_says_nothing_on_the_port_for_tokens(world: World) -> None:
    """No certificate is asked for there, so nobody is an operator or a service by one."""
    for kind, name in ((CallerKind.OPERATOR, "ann"), (CallerKind.SERVICE, "gateway")):
        target = f"127.0.0.1:{world.running.token_port}"
        async with open_channel(target, world.transport(kind, name), name="plant") as channel:
            assert await refused(channel) == "TOKEN_MISSING"


async def test_a_token_opens_no_port_that_asks_for_certificates(world: World) -> None:
    target = f"127.0.0.1:{world.running.port}"
    token = world.issuer.token(CallerKind.OPERATOR, "ann")
    async with without_certificate(target, world.authority, "plant") as channel:
        assert await refused(channel, bearing(token)) == "UNAVAILABLE"


async def test_a_stranger_may_exchange_a_token_and_nothing_else(world: World) -> None:
    async with world.without_certificate() as channel, world.gateway() as gateway:
        for who, told in ((channel, "127.0.0.1"), (gateway, GATEWAY)):
            method: Any = token_pb2_grpc.TokenServiceStub(who).ExchangeToken
            answer = await method(token_pb2.ExchangeTokenRequest(token="kp_x"), timeout=5)
            assert answer.access_token == told
        health: Any = health_pb2_grpc.HealthStub(channel)
        question = health_pb2.HealthCheckRequest()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(question, timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        token = world.issuer.token(CallerKind.POOLER, ONE)
        answer = await health.Check(question, timeout=5, metadata=bearing(token))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_stream_ends_with_its_token(world: World) -> None:
    """Else whoever has a stream would keep it after the token was revoked."""
    async with world.gateway() as gateway:
        method: Any = wallet_pb2_grpc.WalletServiceStub(gateway).WatchBlocks
        for seconds in (2, 10, 50):  # on a busy machine a token may end before its stream begins
            ends = int(time.time()) + seconds
            token, seen = world.issuer.token(CallerKind.POOLER, ONE, exp=ends), 0
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in method(
                    wallet_pb2.WatchBlocksRequest(), timeout=60, metadata=bearing(token)
                ):
                    seen += 1
            assert from_rpc_error(caught.value).reason == "TOKEN_EXPIRED"
            assert time.time() >= ends - 0.5
            if seen:
                break
        assert seen == 1
        # The gateway's own stream has no such end.
        own = method(wallet_pb2.WatchBlocksRequest(), timeout=30)
        await own.read()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await own.read()
        own.cancel()


async def test_records_have_both_identities_and_no_token(world: World) -> None:
    token = world.issuer.token(CallerKind.POOLER, ONE)
    with structlog.testing.capture_logs() as lines:
        async with world.gateway() as gateway, world.without_certificate() as anybody:
            await plant(gateway, bearing(token))
            assert await refused(gateway, bearing(token), pooler=TWO) == "NOT_YOURS"
            assert await refused(anybody, bearing(token), pooler=TWO) == "NOT_YOURS"
            assert await refused(gateway, bearing(token[:-4] + "AAAA")) == "TOKEN_INVALID"
    subject = f"spiffe://{DOMAIN}/pooler/{ONE}"
    # A stream of another test may have ended meanwhile.
    lines = [line for line in lines if line.get("method") == PLANT]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["identity"], line["via"], line["reason"]) for line in requests] == [
        (subject, GATEWAY, None),
        (subject, GATEWAY, "NOT_YOURS"),
        (subject, "127.0.0.1", "NOT_YOURS"),
        (GATEWAY, None, "TOKEN_INVALID"),
    ]
    refusals = [line for line in lines if line.get("log") == "security"]
    assert [(line["identity"], line["via"]) for line in refusals] == [
        (subject, GATEWAY),
        (subject, "127.0.0.1"),
        (GATEWAY, None),
    ]
    assert refusals[-1]["why"] == "the access token's signature is not wallet's"
    assert not any(token[:40] in str(line) for line in lines)


def test_tokens_go_over_tls_alone() -> None:
    with pytest.raises(ValidationError, match="TOKEN_PORT"):
        ServiceSettings(
            transport="plaintext",
            database_url=SecretStr("postgresql://none"),
            token_port=1,
        )

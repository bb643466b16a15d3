"""Tokens on a running pool: what each kind lets in to, who may bring one, and when it is over."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import token_pb2, token_pb2_grpc, wallet_pb2, wallet_pb2_grpc

from cli.main import main
from client import PoolerId, Targets, TokenFiles, open_client
from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from libs.common.authority import Authority
from libs.common.errors import PermissionDeniedError, PoolError, UnauthenticatedError
from libs.common.grpc.access import Owned
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.errors import from_rpc_error
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.tokens import LIFE
from libs.common.names import SERVICES
from tests.support.database import connect
from tests.support.pool_world import eventually
from tests.support.tokens import bearing, without_certificate
from trials.security.access import attempt, make_owner, rpcs
from trials.security.tokens import (
    KINDS,
    gateway,
    make_bearer,
    replays,
    token_differences,
    token_matrix,
)

pytestmark = pytest.mark.e2e


async def test_tokens_on_a_running_pool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = StackConfig(directory=tmp_path / "stack", token_ports=True)
    async with open_stack(config) as stack:
        found = await token_matrix(stack)
        assert len(found) == len(rpcs()) * len(KINDS)
        assert token_differences(found) == []
        # The comparison does find what is not as it should be.
        path = rpcs()[0].path
        found[path, "operator"] = not found[path, "operator"]
        assert len(token_differences(found)) == 1

        assert await replays(stack) == []
        await _a_pooler_reaches_its_own_by_a_token(stack)
        # Each of both takes the minute that an access token lives.
        await asyncio.gather(
            _a_revoked_token_is_over_within_a_minute(stack),
            _the_library_follows_blocks_past_its_tokens_end(stack, tmp_path),
        )
        await _nobody_needs_a_certificate_on_the_second_port(stack)
        await _a_pooler_makes_and_revokes_its_own(stack, capsys)
        await _records_name_both(stack)


async def _a_pooler_reaches_its_own_by_a_token(stack: Stack) -> None:
    one, other = [await make_owner(stack) for _ in range(2)]
    async with gateway(stack) as through:
        bearer = await make_bearer(stack, "pooler", through, pooler_id=one.pooler_id)
        registry: Any = registry_pb2_grpc.RegistryServiceStub(through["registry"])
        metadata = bearing(await bearer.access_token())
        own = registry_pb2.GetPoolerRequest(pooler_id=one.pooler_id)
        answer = await registry.GetPooler(own, timeout=20, metadata=metadata)
        assert answer.pooler.pooler_id == one.pooler_id
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            others = registry_pb2.GetPoolerRequest(pooler_id=other.pooler_id)
            await registry.GetPooler(others, timeout=20, metadata=metadata)
        assert from_rpc_error(caught.value).reason == "NOT_YOURS"
        # What its pooler changes is recorded as by it, through the gateway.
        change = registry_pb2.UpdatePoolerRequest(pooler_id=one.pooler_id, name="north")
        await registry.UpdatePooler(change, timeout=20, metadata=metadata)
    async with connect(stack.admin_dsn) as admin:
        actor = await admin.fetchval("SELECT actor FROM registry.changes ORDER BY at DESC LIMIT 1")
    subject = f"spiffe://kalepool/pooler/{one.pooler_id}"
    assert actor == f"{subject} via spiffe://kalepool/service/gateway, token {bearer.token_id}"


async def _a_revoked_token_is_over_within_a_minute(stack: Stack) -> None:
    (rpc,) = [rpc for rpc in rpcs() if rpc.method.name == "ListPoolers"]
    async with gateway(stack) as through:
        bearer = await make_bearer(stack, "operator", through)
        given = await bearer.exchange()
        revoked = time.time()
        status = await asyncio.to_thread(
            main, [*_options(stack), "token", "revoke", bearer.token_id]
        )
        assert status == 0
        with pytest.raises(UnauthenticatedError) as caught:
            await bearer.exchange()
        assert caught.value.reason == "TOKEN_UNKNOWN"
        # The access token that was given before has its minute, and not more.
        channel, asked = through[rpc.process], time.time()
        while await attempt(channel, rpc, {}, token=given) is None:
            assert asked - revoked <= LIFE, "it still counts"
            await asyncio.sleep(1)
            asked = time.time()
        error = await attempt(channel, rpc, {}, token=given)
        assert error is not None
        assert error.reason == "TOKEN_EXPIRED"


async def _the_library_follows_blocks_past_its_tokens_end(stack: Stack, folder: Path) -> None:
    """On TOKEN_PORT, where wallet ends the stream with the access token that began it."""
    owner = await make_owner(stack)
    async with gateway(stack) as through:
        bearer = await make_bearer(stack, "pooler", through, pooler_id=owner.pooler_id)
    token = folder / "token"
    token.write_text(bearer.text, encoding="utf-8")
    files = TokenFiles(
        token=token, authority=stack.certificates(CallerKind.OPERATOR, OPERATOR).authority
    )
    targets = Targets(**{name: stack.token_target(name) for name in SERVICES})
    ledgers: list[int] = []
    ended_at: int | None = None
    async with open_client(targets, files) as client, asyncio.timeout(3 * LIFE):
        async for view in client.watch_blocks():
            ledgers.append(view.head.ledger)
            if ended_at is None and _ends_of_streams(stack, owner.pooler_id):
                ended_at = view.head.ledger
            if ended_at is not None and view.head.ledger > ended_at + 1:
                break
        # Calls go on by the same token.
        farmers = [farmer async for farmer in client.farmers(PoolerId(UUID(owner.pooler_id)))]
    assert [str(farmer.farmer_id) for farmer in farmers] == [owner.ids[Owned.FARMER]]
    assert ledgers == sorted(ledgers)


def _ends_of_streams(stack: Stack, pooler_id: str) -> int:
    """How many streams of a pooler wallet has ended because an access token had."""
    log = (stack.config.directory / "logs" / "wallet.log").read_text(encoding="utf-8")
    return sum(
        pooler_id in line and "WatchBlocks" in line and '"TOKEN_EXPIRED"' in line
        for line in log.splitlines()
    )


def _options(stack: Stack, name: str = OPERATOR) -> list[str]:
    """The command's options to call this pool."""
    kind = CallerKind.OPERATOR if name == OPERATOR else CallerKind.POOLER
    shown = stack.certificates(kind, name)
    return [
        *("--tls-cert-file", str(shown.certificate), "--tls-key-file", str(shown.key)),
        *("--tls-ca-file", str(shown.authority)),
        *(part for service in SERVICES for part in (f"--{service}-target", stack.target(service))),
    ]


def _authority(stack: Stack) -> Authority:
    return stack.authority_of("kalepool")


async def _nobody_needs_a_certificate_on_the_second_port(stack: Stack) -> None:
    """Somebody with nothing but a token and the authority's certificate works with the pool."""
    owner = await make_owner(stack)
    async with gateway(stack) as through:
        bearer = await make_bearer(stack, "pooler", through, pooler_id=owner.pooler_id)
    target = stack.token_target("wallet")
    async with without_certificate(target, _authority(stack), "wallet") as wallet:
        tokens: Any = token_pb2_grpc.TokenServiceStub(wallet)
        exchange = token_pb2.ExchangeTokenRequest(token=bearer.text)
        access_token = (await tokens.ExchangeToken(exchange, timeout=20)).access_token
        wallets: Any = wallet_pb2_grpc.WalletServiceStub(wallet)
        request = wallet_pb2.ListWalletsRequest(pooler_id=owner.pooler_id)
        listed = await wallets.ListWallets(request, timeout=20, metadata=bearing(access_token))
        assert len(listed.wallets) == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await wallets.ListWallets(request, timeout=20)
        assert from_rpc_error(caught.value).reason == "TOKEN_MISSING"
        # An API token goes to nobody but wallet's ExchangeToken.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await wallets.ListWallets(request, timeout=20, metadata=bearing(bearer.text))
        assert from_rpc_error(caught.value).reason == "TOKEN_INVALID"
    for service in SERVICES:
        target = stack.token_target(service)
        async with without_certificate(target, _authority(stack), service) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            question = health_pb2.HealthCheckRequest()
            answer = await health.Check(question, timeout=20, metadata=bearing(access_token))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.aio.AioRpcError):
                await health.Check(question, timeout=20)


async def _a_pooler_makes_and_revokes_its_own(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = [await make_owner(stack) for _ in range(2)]
    capsys.readouterr()

    async def run(*arguments: str, pooler: str = one.pooler_id) -> tuple[int, str]:
        line = [*_options(stack, pooler), *arguments]
        status = await asyncio.to_thread(main, line)
        output = capsys.readouterr()
        return status, output.out or output.err

    status, shown = await run("token", "create", "pooler", "--read-only", "--json")
    assert status == 0
    made = json.loads(shown)
    assert made["token"].startswith("kp_")
    assert made["info"]["poolerId"] == one.pooler_id
    assert made["info"]["isReadOnly"]
    status, shown = await run("token", "list", "--json")
    listed = json.loads(shown)["tokens"]
    assert made["info"]["tokenId"] in {token["tokenId"] for token in listed}
    assert {token["poolerId"] for token in listed} == {one.pooler_id}
    assert made["token"] not in shown
    token_id = made["info"]["tokenId"]
    for arguments, pooler, reason in (
        (("token", "create", "operator"), one.pooler_id, "NOT_YOURS"),
        (("token", "create", "pooler", other.pooler_id), one.pooler_id, "NOT_YOURS"),
        (("token", "revoke", token_id), other.pooler_id, "NOT_YOURS"),
        (("token", "list", "--pooler", one.pooler_id), other.pooler_id, "NOT_YOURS"),
        (("token", "replace-key"), one.pooler_id, "ACCESS_DENIED"),
    ):
        status, shown = await run(*arguments, pooler=pooler)
        assert status == 1
        assert reason in shown
    status, shown = await run("token", "revoke", token_id, "--json")
    assert status == 0
    assert json.loads(shown)["revokedBy"] == f"spiffe://kalepool/pooler/{one.pooler_id}"
    # A pooler who names itself still makes no operator's token.
    request = token_pb2.CreateTokenRequest(
        role=token_pb2.TOKEN_ROLE_OPERATOR, pooler_id=one.pooler_id
    )
    transport = stack.transport(CallerKind.POOLER, one.pooler_id)
    async with open_channel(stack.target("wallet"), transport, name="wallet") as channel:
        stub: Any = token_pb2_grpc.TokenServiceStub(channel)
        with pytest.raises(PermissionDeniedError) as caught:
            await call(stub.CreateToken, request, timeout=20)
        assert caught.value.reason == "TOKEN_ROLE"


async def _records_name_both(stack: Stack) -> None:
    """The access log of a service, and its security log."""
    owner = await make_owner(stack)
    (rpc,) = [rpc for rpc in rpcs() if rpc.path.endswith("RegistryService/ListPoolers")]
    async with gateway(stack) as through:
        bearer = await make_bearer(stack, "pooler", through, pooler_id=owner.pooler_id)
        token = await bearer.access_token()
        error: PoolError | None = await attempt(through["registry"], rpc, {}, token=token)
        assert error is not None
        assert error.reason == "ACCESS_DENIED"
    lines: list[dict[str, Any]] = []

    async def written() -> bool:
        """Tell whether the record is there; the caller has its answer before."""
        log = (stack.config.directory / "logs" / "registry.log").read_text(encoding="utf-8")
        lines[:] = [json.loads(line) for line in log.splitlines() if owner.pooler_id in line]
        return any(line["event"] == "request" and line["via"] for line in lines)

    await eventually(written)
    identity, via = f"spiffe://kalepool/pooler/{owner.pooler_id}", "service/gateway"
    refusals = [line for line in lines if line["event"] == "refused"]
    requests = [line for line in lines if line["event"] == "request" and line["via"]]
    for found in (refusals, requests):
        assert [(line["identity"], line["via"]) for line in found] == [
            (identity, f"spiffe://kalepool/{via}")
        ]
    for name in ("registry", "wallet"):
        text = (stack.config.directory / "logs" / f"{name}.log").read_text(encoding="utf-8")
        assert bearer.text not in text
        assert token[-40:] not in text

"""/auth and stellar.toml: passed on to wallet, in the words of SEP-10, within limits."""

import asyncio
import base64
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import login_pb2, wallet_pb2

from libs.common.errors import (
    FailedPreconditionError,
    FieldViolation,
    InvalidArgumentError,
    UnauthenticatedError,
    UnavailableError,
)
from tests.support.fake_backends import ACCOUNTS, FARMER, LOGIN_TOKENS, OPERATOR_TOKEN, SUBJECTS
from tests.support.gateway_world import GatewayWorld, open_gateway_world

TOML = "/.well-known/stellar.toml"
LOGIN = login_pb2.GetLoginResponse(
    signing_key=ACCOUNTS[0],
    network_passphrase='Odd "network" ; \u2603',
    home_domain="pool.example",
    web_auth_domain="auth.pool.example",
)


def told(world: GatewayWorld) -> None:
    world.pool.answers["GetLogin"] = lambda _: LOGIN


async def test_stellar_toml_says_what_a_wallet_has_to_know(world: GatewayWorld) -> None:
    told(world)
    answer = await world.get(TOML, token=None)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert tomllib.loads(answer.text) == {
        "VERSION": "2.7.0",
        "NETWORK_PASSPHRASE": 'Odd "network" ; \u2603',
        "SIGNING_KEY": ACCOUNTS[0],
        "WEB_AUTH_ENDPOINT": "http://auth.pool.example/auth",
    }
    # wallet is not asked for each of them.
    for _ in range(3):
        assert (await world.get(TOML, token=None)).text == answer.text
    assert len(world.pool.asked("GetLogin")) == 1


async def test_behind_tls_wallets_are_sent_to_https(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, behind_proxy=True) as world:
        told(world)
        found = tomllib.loads((await world.get(TOML, token=None)).text)
    assert found["WEB_AUTH_ENDPOINT"] == "https://auth.pool.example/auth"


def off(_: Any) -> Any:
    raise FailedPreconditionError("nobody logs in here", reason="LOGIN_OFF")


async def test_where_nobody_logs_in_there_is_no_stellar_toml(world: GatewayWorld) -> None:
    world.pool.answers.update({"GetLogin": off, "StartLogin": off, "FinishLogin": off})
    answer = await world.get(TOML, token=None)
    assert (answer.status_code, answer.json()["error"]) == (404, "nobody logs in here")
    assert answer.headers["access-control-allow-origin"] == "*"
    for found in (
        await world.get(f"/auth?account={ACCOUNTS[0]}", token=None),
        await world.post("/auth", token=None, json={"transaction": "AAAA"}),
    ):
        assert (found.status_code, found.json()["reason"]) == (400, "LOGIN_OFF")


async def test_while_wallet_is_away_stellar_toml_is_asked_for_again(world: GatewayWorld) -> None:
    def away(_: Any) -> Any:
        raise UnavailableError("away", retry_after=1.0)

    world.pool.answers["GetLogin"] = away
    answer = await world.get(TOML, token=None)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    told(world)
    assert (await world.get(TOML, token=None)).status_code == 200


async def test_a_challenge_is_passed_on(world: GatewayWorld) -> None:
    world.pool.answers["StartLogin"] = lambda _: login_pb2.StartLoginResponse(
        transaction="AAAA", network_passphrase="net", text="sign this"
    )
    path = f"/auth?account={ACCOUNTS[0]}&home_domain=pool.example&client_domain=wallet.example"
    answer = await world.get(path, token=None)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json() == {
        "transaction": "AAAA",
        "network_passphrase": "net",
        "text": "sign this",
    }
    (call,) = world.pool.asked("StartLogin")
    assert call.request == login_pb2.StartLoginRequest(
        account=ACCOUNTS[0], home_domain="pool.example"
    )
    assert call.identity == "spiffe://kalepool/service/gateway"
    assert call.metadata["x-forwarded-for"] == "127.0.0.1"


async def test_whoever_has_a_token_already_logs_in_like_others(world: GatewayWorld) -> None:
    """A header that brings one is not looked at: nothing here is done in its name."""
    for token in (OPERATOR_TOKEN, "kp_wrong"):
        assert (await world.get("/auth?account=G", token=token)).status_code == 200
    assert not world.pool.asked("ExchangeToken")
    assert {call.identity for call in world.pool.asked("StartLogin")} == {
        "spiffe://kalepool/service/gateway"
    }


def wrong(answer: httpx.Response, field: str, status: int = 400) -> None:
    found = answer.json()
    assert (answer.status_code, [one["field"] for one in found["violations"]]) == (status, [field])
    # As clients of SEP-10 read it, and as all others do.
    assert found["error"] == found["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("account=G&memo=7", "memo"),
        ("account=G&account=H", "account"),
        ("account=G&home_domain=a&home_domain=b", "home_domain"),
    ],
)
async def test_a_wrong_question_is_told_by_its_field(
    world: GatewayWorld, query: str, field: str
) -> None:
    wrong(await world.get(f"/auth?{query}", token=None), field)
    assert not world.pool.asked("StartLogin")


async def test_what_wallet_refuses_is_told_in_its_words(world: GatewayWorld) -> None:
    def refuse(_: Any) -> Any:
        violation = FieldViolation(field="home_domain", description="must be pool.example")
        raise InvalidArgumentError("home_domain must be pool.example", violations=[violation])

    world.pool.answers["StartLogin"] = refuse
    answer = await world.get("/auth?account=G", token=None)
    wrong(answer, "home_domain")
    assert answer.json()["error"] == "home_domain must be pool.example"


SIGNED = base64.b64encode(bytes(64)).decode()


@pytest.mark.parametrize(
    ("options", "signature"),
    [
        ({"json": {"transaction": "AAAA"}}, b""),
        ({"json": {"transaction": "AAAA", "more": 7}}, b""),
        ({"data": {"transaction": "AAAA"}}, b""),
        ({"json": {"transaction": "AAAA", "signature": SIGNED}}, bytes(64)),
        ({"data": {"transaction": "AAAA", "signature": SIGNED}}, bytes(64)),
    ],
)
async def test_a_challenge_that_was_signed_is_passed_on(
    world: GatewayWorld, options: dict[str, Any], signature: bytes
) -> None:
    world.pool.answers["FinishLogin"] = lambda _: login_pb2.FinishLoginResponse(
        token="a.b.c", subject=f"spiffe://kalepool/owner/{ACCOUNTS[0]}"
    )
    answer = await world.post("/auth", token=None, **options)
    assert (answer.status_code, answer.json()) == (200, {"token": "a.b.c"})
    assert answer.headers["access-control-allow-origin"] == "*"
    (call,) = world.pool.asked("FinishLogin")
    assert call.request == login_pb2.FinishLoginRequest(transaction="AAAA", signature=signature)


@pytest.mark.parametrize(
    ("body", "kind", "field", "status"),
    [
        (b"[]", "application/json", "body", 400),
        (b"{", "application/json", "body", 400),
        (b'{"transaction": 7}', "application/json", "transaction", 400),
        (b'{"signature": null}', "application/json", "signature", 400),
        (b'{"transaction": "a", "transaction": "b"}', "application/json", "transaction", 400),
        (b'{"transaction": "a", "signature": "!"}', "application/json", "signature", 400),
        ('{"transaction": "a", "signature": "é"}'.encode(), "application/json", "signature", 400),
        (b"transaction=a&transaction=b", "application/x-www-form-urlencoded", "body", 400),
        (b"transaction=a", "text/plain", "content-type", 415),
        (b"transaction=a", "", "content-type", 415),
        (b'"' + b"a" * 16_384 + b'"', "application/json", "body", 413),
    ],
)
async def test_what_cannot_be_a_challenge_is_told_by_its_field(
    world: GatewayWorld, body: bytes, kind: str, field: str, status: int
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = await world.post("/auth", token=None, content=body, headers=headers)
    wrong(answer, field, status)
    assert not world.pool.asked("FinishLogin")


@pytest.mark.parametrize("reason", ["LOGIN_REFUSED", "LOGIN_USED"])
async def test_who_may_not_log_in_is_told_so(world: GatewayWorld, reason: str) -> None:
    def refuse(_: Any) -> Any:
        raise UnauthenticatedError("not signed", reason=reason)

    world.pool.answers["FinishLogin"] = refuse
    answer = await world.post("/auth", token=None, json={"transaction": "AAAA"})
    found = answer.json()
    assert (answer.status_code, found["error"], found["reason"]) == (401, "not signed", reason)


async def test_a_client_tries_only_so_many_logins(tmp_path: Path) -> None:
    """Whether they succeed or not: each has wallet ask the chain."""
    async with open_gateway_world(tmp_path, wrong_token_limit=2) as world:
        for _ in range(2):
            answer = await world.post("/auth", token=None, json={"transaction": "AAAA"})
            assert answer.status_code == 200
        answer = await world.post("/auth", token=None, json={"transaction": "AAAA"})
        assert (answer.status_code, answer.json()["reason"]) == (429, "RATE_LIMITED")
        assert int(answer.headers["retry-after"]) > 0
        assert len(world.pool.asked("FinishLogin")) == 2
        # A challenge costs nothing but its signature.
        assert (await world.get("/auth?account=G", token=None)).status_code == 200


@pytest.mark.parametrize(
    ("verb", "path"), [("GET", "/auth?account=G"), ("OPTIONS", "/auth"), ("GET", TOML)]
)
async def test_a_client_asks_only_so_often(tmp_path: Path, verb: str, path: str) -> None:
    async with open_gateway_world(tmp_path, public_rate_limit=2) as world:
        told(world)
        found = [(await world.request(verb, path, token=None)).status_code for _ in range(3)]
    assert found == [200, 200, 429]


@pytest.mark.parametrize("path", ["/auth", TOML])
async def test_pages_of_any_origin_may_call(world: GatewayWorld, path: str) -> None:
    asked = {
        "Origin": "https://wallet.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = await world.request("OPTIONS", path, token=None, headers=asked)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert answer.headers["access-control-allow-headers"] == "content-type"
    assert answer.headers["access-control-max-age"] == "3600"
    # No cookie is ever sent along by such a page.
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(("verb", "path"), [("PUT", "/auth"), ("POST", TOML), ("DELETE", TOML)])
async def test_other_methods_are_refused_in_the_same_form(
    world: GatewayWorld, verb: str, path: str
) -> None:
    answer = await world.request(verb, path, token=None)
    assert answer.status_code == 405
    assert answer.json()["error"] == answer.json()["detail"]
    assert answer.headers["access-control-allow-origin"] == "*"


# What a login token is taken for -----------------------------------------------------------------


async def test_a_login_token_is_taken_as_a_bearers(world: GatewayWorld) -> None:
    world.pool.answers["GetFarmer"] = lambda request: registry_pb2.GetFarmerResponse(
        farmer=registry_pb2.Farmer(farmer_id=request.farmer_id)
    )
    answer = await world.get(f"/v1/farmers/{FARMER}", token=LOGIN_TOKENS[0])
    assert answer.json()["farmer"]["farmerId"] == FARMER
    (call,) = world.pool.asked("GetFarmer")
    assert call.identity == SUBJECTS[LOGIN_TOKENS[0]] == f"spiffe://kalepool/owner/{ACCOUNTS[0]}"
    assert LOGIN_TOKENS[0] not in str(call.metadata)


async def test_many_accounts_of_one_client_are_one_client(tmp_path: Path) -> None:
    """Else whoever makes accounts, which costs nothing, has no limit."""
    async with open_gateway_world(tmp_path, public_rate_limit=2) as world:
        found = [
            (await world.get(f"/v1/farmers/{FARMER}", token=token)).status_code
            for token in (*LOGIN_TOKENS, LOGIN_TOKENS[0])
        ]
        assert found == [200, 200, 429]
        # Who has an API token has its own.
        assert (await world.get(f"/v1/farmers/{FARMER}")).status_code == 200


async def test_streams_of_accounts_are_counted_by_the_client(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, max_streams_per_caller=1) as world:

        async def blocks(_: Any) -> AsyncIterator[Any]:
            yield wallet_pb2.WatchBlocksResponse(head=wallet_pb2.ChainHead(ledger=1))
            await asyncio.Event().wait()

        world.pool.answers["WatchBlocks"] = blocks
        headers = {"Authorization": f"Bearer {LOGIN_TOKENS[0]}"}
        async with world.http.stream("GET", "/v1/blocks:watch", headers=headers) as first:
            assert first.status_code == 200
            answer = await world.get("/v1/blocks:watch", token=LOGIN_TOKENS[1])
            assert (answer.status_code, answer.json()["reason"]) == (429, "TOO_MANY_STREAMS")

"""A farmer's owner account logs in by HTTP before a whole pool, as wallets do, and sees its own."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2
from stellar_sdk import Keypair, TransactionEnvelope
from stellar_sdk.sep.stellar_toml import fetch_stellar_toml
from stellar_sdk.sep.stellar_web_authentication import read_challenge_transaction

from devstack.callers import Stubs, stubs_of
from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from libs.common.grpc.identity import CallerKind
from libs.common.names import SERVICES
from libs.kale.signed_message import message_hash

pytestmark = pytest.mark.e2e

HOME = "pool.example"
OWNER, STRANGER, NEXT = Keypair.random(), Keypair.random(), Keypair.random()
_CALL = 30.0


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool, an owner's farmers, and one of somebody else."""

    stack: Stack
    operator: Stubs
    http: httpx.AsyncClient
    pooler: str
    own: tuple[str, str]
    other: str

    async def ask(self, token: str, verb: str, path: str, **options: Any) -> httpx.Response:
        """Send a request with a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.request(verb, path, headers=headers, **options)


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """Three farmers, two of which have the same owner account."""
    config = StackConfig(
        directory=tmp_path_factory.mktemp("login") / "stack",
        ledger_seconds=0.5,
        block_seconds=30,
        gateway=True,
        token_ports=True,
        environment={
            "wallet": {"LOGIN_HOME_DOMAIN": HOME},
            "harvest": {"FARMER_PAGES": "closed"},
            "gateway": {"WRONG_TOKEN_LIMIT": "1000"},
        },
    )
    async with open_stack(config) as stack, _farmers(stack) as opened:
        yield opened
        stack.check()


@asynccontextmanager
async def _farmers(stack: Stack) -> AsyncIterator[Pool]:
    async with (
        stubs_of(stack, CallerKind.OPERATOR, OPERATOR) as operator,
        httpx.AsyncClient(base_url=stack.gateway_url, trust_env=False, timeout=_CALL) as http,
    ):
        new = registry_pb2.RegisterPoolerRequest(name="north", public_key=NEXT.public_key)
        made = await operator.registry.RegisterPooler(new, timeout=_CALL)
        pooler = made.pooler.pooler_id
        terms = registry_pb2.PublishTermsRequest(
            pooler_id=pooler, pooler_fee="0.05", payout_threshold=10**7, stake_percentage="0.5"
        )
        await operator.registry.PublishTerms(terms, timeout=_CALL)

        async def farmer(owner: Keypair) -> str:
            request = registry_pb2.RegisterFarmerRequest(
                pooler_id=pooler, owner_account=owner.public_key
            )
            found = await operator.registry.RegisterFarmer(request, timeout=_CALL)
            name: str = found.farmer_id
            return name

        own = (await farmer(OWNER), await farmer(OWNER))
        yield Pool(
            stack=stack,
            operator=operator,
            http=http,
            pooler=pooler,
            own=own,
            other=await farmer(STRANGER),
        )


async def log_in(pool: Pool, key: Keypair, *, by_form: bool = False) -> str:
    """Log in as a wallet does: by what stellar.toml says, with the SDK's own check."""
    toml = fetch_stellar_toml(pool.stack.gateway_url.removeprefix("http://"), use_http=True)
    assert toml["WEB_AUTH_ENDPOINT"] == f"http://{HOME}/auth"
    asked = await pool.http.get("/auth", params={"account": key.public_key, "home_domain": HOME})
    assert asked.status_code == 200, asked.text
    given = asked.json()
    passphrase = toml["NETWORK_PASSPHRASE"]
    assert given["network_passphrase"] == passphrase
    challenge = read_challenge_transaction(
        given["transaction"], toml["SIGNING_KEY"], HOME, HOME, passphrase
    )
    assert challenge.client_account_id == key.public_key
    envelope = TransactionEnvelope.from_xdr(given["transaction"], passphrase)
    envelope.sign(key)
    content = {"transaction": envelope.to_xdr()}
    if by_form:
        brought = await pool.http.post("/auth", data=content)
    else:
        brought = await pool.http.post("/auth", json=content)
    assert brought.status_code == 200, brought.text
    assert brought.headers["access-control-allow-origin"] == "*"
    # Each challenge counts once.
    again = await pool.http.post("/auth", json=content)
    assert (again.status_code, again.json()["reason"]) == (401, "LOGIN_USED")
    token: str = brought.json()["token"]
    return token


def refused(answer: httpx.Response, reason: str, status: int = 403) -> None:
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text


async def test_an_owner_logs_in_and_sees_what_is_its_farmers(pool: Pool) -> None:
    token = await log_in(pool, OWNER)
    first, second = pool.own
    mine = await pool.ask(token, "GET", f"/v1/farmers?ownerAccount={OWNER.public_key}")
    assert [one["farmerId"] for one in mine.json()["farmers"]] == sorted(pool.own)
    both = f"farmerIds={first}&farmerIds={second}"
    readable = [
        f"/v1/farmers/{first}",
        f"/v1/farmers/{first}/agreements",
        f"/v1/farmers/{first}/owner-account",
        f"/v1/farmers/{first}/payout-address",
        f"/v1/farmers/{first}/balance",
        f"/v1/farmers/{first}/wallet",
        f"/v1/poolers/{pool.pooler}/plants?farmerId={first}",
        f"/v1/poolers/{pool.pooler}/works?farmerId={first}",
        f"/v1/poolers/{pool.pooler}/harvests?farmerId={first}",
        f"/v1/payouts?farmerId={first}",
        f"/v1/reports/farmers/{first}",
    ]
    for path in (*readable, f"/v1/balances?{both}"):
        answer = await pool.ask(token, "GET", path)
        assert answer.status_code == 200, (path, answer.text)
    for path in readable:
        answer = await pool.ask(token, "GET", path.replace(first, pool.other))
        assert answer.status_code == 403, (path, answer.text)
        assert answer.json()["reason"] in {"NOT_YOURS", "FARMER_PAGES_CLOSED"}
    refused(
        await pool.ask(token, "GET", f"/v1/balances?{both}&farmerIds={pool.other}"), "NOT_YOURS"
    )
    # It has to say whose, and nobody else's.
    for path in (
        f"/v1/poolers/{pool.pooler}/plants",
        f"/v1/payouts?poolerId={pool.pooler}",
        "/v1/farmers",
        f"/v1/poolers/{pool.pooler}/farmers",
        f"/v1/farmers?ownerAccount={STRANGER.public_key}",
    ):
        refused(await pool.ask(token, "GET", path), "NOT_YOURS")
    for path in ("/v1/poolers", f"/v1/poolers/{pool.pooler}", "/v1/treasury"):
        refused(await pool.ask(token, "GET", path), "ACCESS_DENIED")


async def test_an_owner_has_itself_paid_and_says_when_it_is_paid(pool: Pool) -> None:
    token = await log_in(pool, OWNER, by_form=True)
    first, _ = pool.own
    listed = await pool.ask(token, "GET", f"/v1/farmers/{first}/agreements")
    terms = listed.json()["agreements"][0]["terms"]
    wanted = {**terms, "payoutThreshold": "25000000", "payoutIntervalSeconds": 3600}
    path = f"/v1/farmers/{first}/agreement"
    made = (await pool.ask(token, "PUT", path, json={"terms": wanted})).json()["agreement"]
    assert (made["proof"], made["terms"]) == ("AGREEMENT_PROOF_OWNER", wanted)
    assert made["givenBy"].startswith(f"spiffe://kalepool/owner/{OWNER.public_key} via ")
    cheaper = {**wanted, "poolerFee": "0"}
    refused(await pool.ask(token, "PUT", path, json={"terms": cheaper}), "OWNER_MAY_NOT")
    theirs = f"/v1/farmers/{pool.other}/agreement"
    refused(await pool.ask(token, "PUT", theirs, json={"terms": wanted}), "NOT_YOURS")
    now = {"requestId": "one"}
    # There is nothing to pay; nobody else's is paid.
    paid = await pool.ask(token, "POST", f"/v1/farmers/{first}/payouts:now", json=now)
    assert paid.json()["reason"] not in {"NOT_YOURS", "ACCESS_DENIED"}, paid.text
    refused(
        await pool.ask(token, "POST", f"/v1/farmers/{pool.other}/payouts:now", json=now),
        "NOT_YOURS",
    )
    # What moves money elsewhere is signed, not asked for by a token.
    for verb, path, body in (
        ("PUT", f"/v1/farmers/{first}/payout-address", {"address": STRANGER.public_key}),
        ("PATCH", f"/v1/farmers/{first}", {"stakePercentage": "0"}),
    ):
        refused(await pool.ask(token, verb, path, json=body), "ACCESS_DENIED")


async def test_where_no_browser_is_a_text_is_signed(pool: Pool) -> None:
    given = (await pool.http.get("/auth", params={"account": OWNER.public_key})).json()
    signed = base64.b64encode(OWNER.sign(message_hash(given["text"]))).decode()
    brought = await pool.http.post(
        "/auth", json={"transaction": given["transaction"], "signature": signed}
    )
    token = brought.json()["token"]
    found = await pool.ask(token, "GET", f"/v1/farmers/{pool.own[0]}")
    assert found.status_code == 200
    wrong = base64.b64encode(STRANGER.sign(message_hash(given["text"]))).decode()
    fresh = (await pool.http.get("/auth", params={"account": OWNER.public_key})).json()
    refused(
        await pool.http.post(
            "/auth", json={"transaction": fresh["transaction"], "signature": wrong}
        ),
        "LOGIN_REFUSED",
        401,
    )


async def test_who_speaks_for_a_farmer_no_more_sees_it_no_more(pool: Pool) -> None:
    """At once, by a token from before: each service looks who speaks for the farmer now."""
    token = await log_in(pool, OWNER)
    _, second = pool.own
    wish = {"ownerAccount": NEXT.public_key}
    drafted = await pool.http.post(f"/v1/farmers/{second}/wishes:draft", json={"wish": wish})
    signature = base64.b64encode(OWNER.sign(message_hash(drafted.json()["text"]))).decode()
    done = await pool.ask(
        token,
        "POST",
        f"/v1/farmers/{second}/wishes",
        json={"wish": wish, "signature": signature},
    )
    assert done.status_code == 200, done.text
    for path in (
        f"/v1/farmers/{second}",
        f"/v1/farmers/{second}/agreements",
        f"/v1/farmers/{second}/balance",
        f"/v1/poolers/{pool.pooler}/plants?farmerId={second}",
        f"/v1/poolers/{pool.pooler}/works?farmerId={second}",
    ):
        refused(await pool.ask(token, "GET", path), "NOT_YOURS")
    after = await log_in(pool, NEXT)
    assert (await pool.ask(after, "GET", f"/v1/farmers/{second}")).status_code == 200
    mine = await pool.ask(token, "GET", f"/v1/farmers?ownerAccount={OWNER.public_key}")
    assert [one["farmerId"] for one in mine.json()["farmers"]] == [pool.own[0]]
    shown = agreement_pb2.GetOwnerAccountRequest(farmer_id=second)
    found = await pool.operator.agreements.GetOwnerAccount(shown, timeout=_CALL)
    assert found.owner_account == NEXT.public_key


async def test_a_login_token_counts_through_the_gateway_alone(pool: Pool) -> None:
    token = await log_in(pool, OWNER)
    shown = registry_pb2.GetFarmerRequest(farmer_id=pool.own[0])
    async with stubs_of(pool.stack, CallerKind.OPERATOR, OPERATOR) as ann:
        call = ann.registry.GetFarmer(
            shown, timeout=_CALL, metadata=(("authorization", f"Bearer {token}"),)
        )
        with pytest.raises(Exception, match="this caller may send no access token"):
            await call


async def kalepool(pool: Pool, *arguments: str, token: Path | None = None) -> tuple[str, str]:
    """What the command says to a farmer, who has no certificate, and beside that."""
    authority = pool.stack.certificates(CallerKind.OPERATOR, OPERATOR).authority
    named = {} if token is None else {"KALEPOOL_TOKEN_FILE": str(token)}
    targets = {f"{name.upper()}_TARGET": pool.stack.token_target(name) for name in SERVICES}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments),
        env={
            **targets,
            **named,
            "TLS_CA_FILE": str(authority),
            "KALEPOOL_CONFIG_HOME": str(pool.stack.config.directory / "no profiles"),
            "PYTHONPATH": ":".join(sys.path),
            "PATH": "/usr/bin:/bin",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode(), errors.decode()


async def test_a_farmer_does_the_same_by_the_command(pool: Pool, tmp_path: Path) -> None:
    key, first = OWNER, pool.own[0]
    shown, _ = await kalepool(pool, "login", "show", "--json")
    assert json.loads(shown)["homeDomain"] == HOME
    text, told = await kalepool(pool, "login", "draft", key.public_key)
    signature = base64.b64encode(key.sign(message_hash(text.removesuffix("\n")))).decode()
    transaction = told.split("--transaction ")[1].strip()
    options = ("--transaction", transaction, "--signature", signature)
    token = tmp_path / "login"
    token.write_text((await kalepool(pool, "login", "finish", *options))[0], encoding="utf-8")
    listed, _ = await kalepool(
        *(pool, "farmer", "list", "--owner-account", key.public_key, "--json"), token=token
    )
    assert [one["farmerId"] for one in json.loads(listed)["farmers"]] == [first]
    changed, _ = await kalepool(
        *(pool, "agreement", "set", first, "--payout-threshold", "7", "--json"), token=token
    )
    made = json.loads(changed)
    assert (made["terms"]["payoutThreshold"], made["proof"]) == (
        "70000000",
        "AGREEMENT_PROOF_OWNER",
    )

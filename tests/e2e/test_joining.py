"""A farmer finds a pooler, logs in and joins it by itself: by HTTP, before a whole pool."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2
from stellar_sdk import Keypair, TransactionEnvelope

from devstack.callers import Stubs, stubs_of
from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from libs.common.grpc.identity import CallerKind
from libs.kale.networks import NETWORKS
from libs.kale.signed_message import message_hash
from tests.support.pool_world import eventually

pytestmark = pytest.mark.e2e

HOME = "pool.example"
_CALL = 30.0


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool with one pooler."""

    stack: Stack
    operator: Stubs
    http: httpx.AsyncClient
    pooler: str

    async def ask(self, token: str, verb: str, path: str, **options: Any) -> httpx.Response:
        """Send a request with a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.request(verb, path, headers=headers, **options)

    async def log_in(self, key: Keypair) -> str:
        """Log in as a wallet does."""
        given = (await self.http.get("/auth", params={"account": key.public_key})).json()
        envelope = TransactionEnvelope.from_xdr(
            given["transaction"], NETWORKS["localnet"].passphrase
        )
        envelope.sign(key)
        brought = await self.http.post("/auth", json={"transaction": envelope.to_xdr()})
        token: str = brought.json()["token"]
        return token

    async def listed(self) -> list[dict[str, Any]]:
        """The public list."""
        found: list[dict[str, Any]] = (await self.http.get("/v1/poolers:public")).json()["poolers"]
        return found

    def join(self, token: str, owner: str, **changes: Any) -> Any:
        """Join under the terms in force."""
        given = {"ownerAccount": owner, "termsVersion": 1, "requestId": "one", **changes}
        return self.ask(token, "POST", f"/v1/poolers/{self.pooler}:join", json=given)


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """A pool that two farmers a day may join."""
    allowed = {"SELF_JOIN_DAILY": "2"}
    config = StackConfig(
        directory=tmp_path_factory.mktemp("joining") / "stack",
        ledger_seconds=0.5,
        block_seconds=30,
        gateway=True,
        environment={
            "wallet": {"LOGIN_HOME_DOMAIN": HOME},
            "registry": allowed,
            "harvest": allowed,
        },
    )
    async with open_stack(config) as stack, _pooler(stack) as opened:
        yield opened
        stack.check()


@asynccontextmanager
async def _pooler(stack: Stack) -> AsyncIterator[Pool]:
    async with (
        stubs_of(stack, CallerKind.OPERATOR, OPERATOR) as operator,
        httpx.AsyncClient(base_url=stack.gateway_url, trust_env=False, timeout=_CALL) as http,
    ):
        new = registry_pb2.RegisterPoolerRequest(
            name="north", public_key=Keypair.random().public_key, max_farmers=10
        )
        pooler = (await operator.registry.RegisterPooler(new, timeout=_CALL)).pooler.pooler_id
        terms = registry_pb2.PublishTermsRequest(
            pooler_id=pooler, pooler_fee="0.05", stake_percentage="0.5", text="Works late."
        )
        await operator.registry.PublishTerms(terms, timeout=_CALL)
        yield Pool(stack=stack, operator=operator, http=http, pooler=pooler)


def refused(answer: httpx.Response, status: int, reason: str) -> None:
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text


async def test_a_farmer_finds_a_pooler_and_joins_it(pool: Pool) -> None:
    owner, other = Keypair.random(), Keypair.random()
    assert await pool.listed() == []
    change = registry_pb2.UpdatePoolerRequest(pooler_id=pool.pooler, is_listed=True)
    await pool.operator.registry.UpdatePooler(change, timeout=_CALL)
    (found,) = await pool.listed()
    assert (found["poolerId"], found["room"], found["canJoin"]) == (pool.pooler, 10, False)
    assert (found["terms"]["poolerFee"], found["terms"]["text"]) == ("0.05", "Works late.")

    token = await pool.log_in(owner)
    refused(await pool.join(token, owner.public_key), 400, "NOT_OPEN_TO_JOIN")
    change = registry_pb2.UpdatePoolerRequest(pooler_id=pool.pooler, is_open_to_join=True)
    await pool.operator.registry.UpdatePooler(change, timeout=_CALL)

    async def can_join() -> bool:
        return [one["canJoin"] for one in await pool.listed()] == [True]

    await eventually(can_join)
    page = (await pool.http.get("/poolers")).text
    assert "north" in page
    assert "by oneself" in page

    # It speaks for itself alone.
    refused(await pool.join(token, other.public_key), 403, "NOT_YOURS")
    nobody = await pool.http.post(f"/v1/poolers/{pool.pooler}:join", json={})
    assert nobody.status_code == 401
    refused(await pool.join(token, owner.public_key, termsVersion=2), 400, "TERMS_CHANGED")

    joined = await pool.join(token, owner.public_key)
    assert joined.status_code == 200, joined.text
    farmer = joined.json()["farmer"]
    assert (farmer["ownerAccount"], farmer["termsVersion"]) == (owner.public_key, 1)
    assert farmer["status"] == "FARMER_STATUS_ACTIVE"
    again = await pool.join(token, owner.public_key)
    assert again.json()["farmer"]["farmerId"] == farmer["farmerId"]

    # The agreement is the owner's, and the farmer is its own.
    path = f"/v1/farmers/{farmer['farmerId']}"
    (agreed,) = (await pool.ask(token, "GET", f"{path}/agreements")).json()["agreements"]
    assert (agreed["proof"], agreed["terms"]["termsVersion"]) == ("AGREEMENT_PROOF_OWNER", 1)
    assert agreed["givenBy"].startswith(f"spiffe://kalepool/owner/{owner.public_key} via ")
    stranger = await pool.log_in(other)
    refused(await pool.ask(stranger, "GET", path), 403, "NOT_YOURS")

    # Its account is made on the chain, like everybody's.
    async def is_funded() -> bool:
        shown = (await pool.ask(token, "GET", path)).json()["farmer"]
        return bool(shown["isFunded"])

    await eventually(is_funded, patience=60)

    # Where it is paid, the owner account signs; the first address counts at once.
    wish = {"payoutAddress": other.public_key}
    drafted = await pool.http.post(f"{path}/wishes:draft", json={"wish": wish})
    signature = base64.b64encode(owner.sign(message_hash(drafted.json()["text"]))).decode()
    signed = await pool.http.post(f"{path}/wishes", json={"wish": wish, "signature": signature})
    assert signed.status_code == 200, signed.text
    paid = (await pool.ask(token, "GET", f"{path}/payout-address")).json()
    assert paid["address"] == other.public_key


async def test_so_many_join_within_a_day(pool: Pool) -> None:
    farmers = registry_pb2.ListFarmersRequest(pooler_id=pool.pooler)
    before = len((await pool.operator.registry.ListFarmers(farmers, timeout=_CALL)).farmers)
    assert before == 1
    owner, late = Keypair.random(), Keypair.random()
    token = await pool.log_in(owner)
    assert (await pool.join(token, owner.public_key)).status_code == 200
    refused(await pool.join(token, owner.public_key, requestId="two"), 429, "SELF_JOIN_OWNER_LIMIT")
    refused(await pool.join(await pool.log_in(late), late.public_key), 429, "SELF_JOIN_LIMIT")
    shown = agreement_pb2.GetOwnerAccountRequest(
        farmer_id=(await pool.operator.registry.ListFarmers(farmers, timeout=_CALL))
        .farmers[1]
        .farmer_id
    )
    found = await pool.operator.agreements.GetOwnerAccount(shown, timeout=_CALL)
    assert found.owner_account == owner.public_key

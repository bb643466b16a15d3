"""A whole pool tells its poolers what happened: by real changes, to a real receiver, by token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import custody_pb2, token_pb2, wallet_pb2, withdrawal_pb2
from stellar_sdk import Keypair

from devstack.stack import Stack, StackConfig, open_stack
from devstack.webhook_receiver import Receiver, open_receiver
from libs.common.grpc.client import call
from libs.common.grpc.identity import CallerKind
from tests.support.callers import Stubs, register, stubs_of
from tests.support.registry_world import eventually

pytestmark = pytest.mark.e2e

FIRST, SECOND = (Keypair.random().public_key for _ in range(2))


@asynccontextmanager
async def by_token(stack: Stack, ann: Stubs, pooler_id: str) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP in a pooler's name."""
    request = token_pb2.CreateTokenRequest(role=token_pb2.TOKEN_ROLE_POOLER, pooler_id=pooler_id)
    token = (await call(ann.tokens.CreateToken, request, timeout=20)).token
    async with httpx.AsyncClient(
        base_url=stack.gateway_url,
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=20,
    ) as http:
        yield http


async def arrived(receiver: Receiver, path: str, *expected: str) -> None:
    """Wait until these kinds have come to a path, in whatever order."""

    async def all_have() -> bool:
        return kinds(receiver, path) == sorted(expected)

    await eventually(all_have, f"{expected} have not come")


def kinds(receiver: Receiver, path: str) -> list[str]:
    return sorted(one.content["type"] for one in receiver.received(path))


async def make(http: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    reply = await http.post("/v1/webhooks", json=values)
    assert reply.status_code == 200, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def funded(ann: Stubs, farmer_id: str) -> None:
    """Wait until a farmer's account is there."""
    request = registry_pb2.GetFarmerRequest(farmer_id=farmer_id)

    async def is_there() -> bool:
        reply = await call(ann.registry.GetFarmer, request, timeout=20)
        return bool(reply.farmer.is_funded)

    await eventually(is_there, "the farmer has no account")


async def test_poolers_learn_of_what_concerns_them_and_a_killed_registry_forgets_nothing(
    tmp_path: Path,
) -> None:
    config = StackConfig(
        directory=tmp_path / "stack",
        ledger_seconds=0.5,
        services=("registry", "wallet"),
        gateway=True,
    )
    async with (
        open_receiver(tmp_path / "receiver") as receiver,
        open_stack(config) as stack,
        stubs_of(stack, CallerKind.OPERATOR, "ann") as ann,
    ):
        north, farmer = await register(ann, "north", payout_address=FIRST)
        south, _ = await register(ann, "south", payout_address=FIRST)
        async with by_token(stack, ann, north) as n, by_token(stack, ann, south) as s:
            hook = await make(n, poolerId=north, url=f"{receiver.url}/north")
            await make(s, poolerId=south, url=f"{receiver.url}/south")
            refused = await s.delete(f"/v1/webhooks/{hook['webhook']['webhookId']}")
            assert (refused.status_code, refused.json()["reason"]) == (403, "NOT_YOURS")
            await _changes(stack, ann, farmer)
            await arrived(
                receiver,
                "/north",
                *("payout_address.pending", "signing.paused", "signing.resumed", "payout.failed"),
            )
            await arrived(receiver, "/south", "signing.paused", "signing.resumed")
            assert all(one.is_signed_by(hook["secret"]) for one in receiver.received("/north"))
            listed = await n.get(f"/v1/notifications?poolerId={north}")
            assert [item["kind"] for item in listed.json()["notifications"]] == [
                "NOTIFICATION_KIND_PAYOUT_FAILED",
                "NOTIFICATION_KIND_SIGNING_RESUMED",
                "NOTIFICATION_KIND_SIGNING_PAUSED",
                "NOTIFICATION_KIND_PAYOUT_ADDRESS_PENDING",
            ]
            newest = listed.json()["notifications"][0]
            assert (newest["farmerId"], newest["facts"]["destination"]) == (farmer, FIRST)
            foreign = await s.get(f"/v1/notifications?poolerId={north}")
            assert (foreign.status_code, foreign.json()["reason"]) == (403, "NOT_YOURS")
        stack.check()


async def _changes(stack: Stack, ann: Stubs, farmer: str) -> None:
    """An address is changed, signing paused and resumed, and a payout fails; registry dies."""
    await funded(ann, farmer)
    address = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer, address=SECOND)
    await call(ann.withdrawals.SetPayoutAddress, address, timeout=20)
    await stack.end("registry")
    everything = custody_pb2.PauseReach(everything=True)
    pause = custody_pb2.PauseSigningRequest(reach=everything, reason="a test")
    await call(ann.custody.PauseSigning, pause, timeout=20)
    await call(
        ann.custody.ResumeSigning, custody_pb2.ResumeSigningRequest(reach=everything), timeout=20
    )
    await stack.begin("registry")
    await stack.wait_ready("registry")
    payout = withdrawal_pb2.WithdrawRequest(
        request_id="one",
        farmer_id=farmer,
        asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
        amount=10_000_000,
    )
    reply = await call(ann.withdrawals.Withdraw, payout, timeout=60)
    # The farmer has no KALE.
    assert reply.withdrawal.operation.state == wallet_pb2.OPERATION_STATE_FAILED

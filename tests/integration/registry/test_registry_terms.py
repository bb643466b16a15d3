"""Terms that poolers publish, and what farmers join under."""

import asyncio
from typing import Any

import asyncpg
import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2
from stellar_sdk import Keypair

from libs.common.errors import FailedPreconditionError, NotFoundError
from tests.support.database import connect
from tests.support.registry_world import RegistryWorld, refusal

OFFER: dict[str, Any] = {
    "stake_percentage": "0.5",
    "pooler_fee": "0.05",
    "miners_part": "0.2",
    "payout_threshold": 10**7,
    "payout_interval_seconds": 86_400,
    "harvest_blocks": 3,
    "text": "What is yours is yours.\nMostly.",
}
OWNER, OUTSIDE = (Keypair.random().public_key for _ in range(2))


async def publish(world: RegistryWorld, pooler_id: str, **changes: Any) -> registry_pb2.Terms:
    request = registry_pb2.PublishTermsRequest(pooler_id=pooler_id, **{**OFFER, **changes})
    return (await world.stub.PublishTerms(request)).terms


async def read(
    world: RegistryWorld, pooler_id: str, version: int = 0
) -> registry_pb2.GetTermsResponse:
    request = registry_pb2.GetTermsRequest(pooler_id=pooler_id, version=version)
    return await world.stub.GetTerms(request)


async def test_terms_are_shown_with_the_operators_fee(world: RegistryWorld) -> None:
    pooler, beside = await world.pooler(), await world.pooler()
    world.wallet.operator_fee = "0.01"
    published = await publish(world, pooler.pooler_id)
    assert {name: getattr(published, name) for name in OFFER} == OFFER
    assert (published.version, len(published.digest)) == (1, 32)
    shown = await read(world, pooler.pooler_id)
    assert (shown.terms, shown.operator_fee, shown.newest_version) == (published, "0.01", 1)
    assert (await world.read_pooler(pooler.pooler_id)).terms_version == 1
    assert (await world.read_pooler(beside.pooler_id)).terms_version == 0
    world.wallet.operator_fee = "0"


async def test_versions_follow_one_another_and_stay(world: RegistryWorld) -> None:
    pooler = (await world.pooler()).pooler_id
    first = await publish(world, pooler)
    await asyncio.gather(*(publish(world, pooler, pooler_fee=f"0.1{n}") for n in range(3)))
    assert [(await read(world, pooler, version)).terms.version for version in range(1, 5)] == [
        *range(1, 5)
    ]
    kept = await read(world, pooler, 1)
    assert (kept.terms, kept.newest_version) == (first, 4)
    assert len({(await read(world, pooler, n)).terms.digest for n in range(1, 5)}) == 4
    for statement in ("UPDATE registry.terms SET pooler_bps = 0", "DELETE FROM registry.terms"):
        async with connect(world.database.admin_dsn) as admin:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await admin.execute(statement)


async def test_a_repeat_publishes_nothing_new(world: RegistryWorld) -> None:
    pooler = (await world.pooler()).pooler_id
    first = await publish(world, pooler, request_id="one")
    assert await publish(world, pooler, request_id="one") == first
    request = registry_pb2.PublishTermsRequest(
        **{**OFFER, "pooler_id": pooler, "pooler_fee": "0.06", "request_id": "one"}
    )
    assert (await refusal(world.stub.PublishTerms(request))).reason == "REQUEST_ID_REUSED"


async def test_what_nobody_published_is_not_there(world: RegistryWorld) -> None:
    pooler = (await world.pooler()).pooler_id
    for version in (0, 1):
        error = await refusal(read(world, pooler, version))
        assert isinstance(error, NotFoundError)
        assert error.reason == "TERMS_NOT_FOUND"


@pytest.mark.parametrize("fee", ["0.2901", "1"])
async def test_fees_that_are_too_high_are_not_published(world: RegistryWorld, fee: str) -> None:
    pooler = (await world.pooler()).pooler_id
    world.wallet.operator_fee = "0.01"
    error = await refusal(publish(world, pooler, pooler_fee=fee))
    assert isinstance(error, FailedPreconditionError)
    assert (error.reason, error.metadata) == ("FEE_TOO_HIGH", {"limit": "0.29"})
    await publish(world, pooler, pooler_fee="0.29")
    # Once the operator's fee is higher, nobody joins under them.
    world.wallet.operator_fee = "0.02"
    error = await refusal(world.farmer(pooler))
    assert error.reason == "FEE_TOO_HIGH"
    assert (await world.read_pooler(pooler)).current_farmers == 0
    world.wallet.operator_fee = "0"


async def test_a_farmer_joins_under_the_terms_of_that_moment(world: RegistryWorld) -> None:
    pooler = (await world.pooler()).pooler_id
    before = await world.farmer(pooler)
    terms = await publish(world, pooler)
    joined = await world.farmer(pooler, owner_account=OWNER, payout_wallet_address=OUTSIDE)
    await publish(world, pooler, pooler_fee="0.07")
    assert (before.terms_version, joined.terms_version) == (0, 1)
    assert (joined.owner_account, joined.stake_percentage) == (OWNER, "0.1")
    assert not world.wallet.created[before.farmer_id].HasField("terms")
    told = world.wallet.created[joined.farmer_id]
    assert told.terms == agreement_pb2.AgreedTerms(
        **{name: value for name, value in OFFER.items() if name != "text"},
        terms_version=1,
        terms_digest=terms.digest,
    )
    assert (told.owner_account, told.payout_address) == (OWNER, OUTSIDE)
    assert (told.given_by, told.proof) == ("127.0.0.1", agreement_pb2.AGREEMENT_PROOF_PLAINTEXT)


async def test_who_was_shown_other_terms_does_not_join(world: RegistryWorld) -> None:
    pooler = (await world.pooler()).pooler_id
    error = await refusal(world.farmer(pooler, terms_version=1))
    assert (error.reason, error.metadata) == ("TERMS_CHANGED", {"version": "0"})
    await publish(world, pooler)
    assert (await world.farmer(pooler, terms_version=1)).terms_version == 1
    await publish(world, pooler, pooler_fee="0.1")
    error = await refusal(world.farmer(pooler, terms_version=1))
    assert (error.reason, error.metadata) == ("TERMS_CHANGED", {"version": "2"})


async def test_a_stake_is_none_above_the_terms(world: RegistryWorld) -> None:
    pooler = (await world.pooler()).pooler_id
    await publish(world, pooler, stake_percentage="0.05")
    error = await refusal(world.farmer(pooler, stake_percentage="0.06"))
    assert (error.reason, error.metadata) == ("STAKE_NOT_AGREED", {"limit": "0.05"})
    # The default is no more than that.
    assert (await world.farmer(pooler)).stake_percentage == "0.05"
    assert (await world.farmer(pooler, stake_percentage="0.04")).stake_percentage == "0.04"


async def test_registrys_role_changes_no_owner_account(world: RegistryWorld) -> None:
    """Whoever has its password makes nobody else speak for a farmer."""
    pooler = (await world.pooler()).pooler_id
    await world.farmer(pooler, owner_account=OWNER)
    for change in ("owner_account = 'GTHIEF'", "terms_version = 9", "proof = 'operator'"):
        async with connect(world.database.dsn("registry")) as thief:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await thief.execute(f"UPDATE registry.farmers SET {change}")  # noqa: S608


async def test_a_pooler_that_operators_have_marked_is_shown_so(world: RegistryWorld) -> None:
    pooler, beside = await world.pooler(), await world.pooler()
    async with connect(world.database.admin_dsn) as admin:
        for number, is_own in ((1, False), (2, True)):
            await admin.execute(
                "INSERT INTO wallet.pooler_marks (pooler_id, number, farms_for_itself, "
                "effective_at) VALUES ($1, $2, $3, now())",
                pooler.pooler_id,
                number,
                is_own,
            )
    assert (await world.read_pooler(pooler.pooler_id)).farms_for_itself
    assert not (await world.read_pooler(beside.pooler_id)).farms_for_itself

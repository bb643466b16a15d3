"""work's own queries over real tables: what each takes, what it leaves, and in which order."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from libs.common.ids import BatchId, FarmerId, PoolerId, new_id
from services.work.domain.model import FarmerState, Verdict
from services.work.store.store import QUERIES, Store
from tests.support.database import DatabaseAccess
from tests.support.ends import Ends
from tests.support.pool_world import Person, PoolWorld, open_tables_of
from tests.support.table_rows import insert_event, insert_row

BLOCK = 41
HASH = bytes(32)


@dataclass(frozen=True, kw_only=True)
class Tables:
    """work's store, and all rights besides."""

    store: Store
    world: PoolWorld
    pooler: PoolerId

    async def person(self) -> Person:
        """A farmer of the first pooler."""
        return await self.world.farmer(self.pooler)

    async def event(
        self, table: str, person: Person, *, block: int = BLOCK, reason: str = "", **values: object
    ) -> UUID:
        """An event; it is a failure when there is a reason."""
        return await insert_event(
            self.world.connection,
            table,
            farmer=person.farmer_id,
            pooler=self.pooler,
            block=block,
            reason=reason,
            **values,
        )

    async def batch(
        self, *, block: int = BLOCK, pooler: UUID | None = None, is_open: bool = True
    ) -> BatchId:
        """A batch without items."""
        batch_id = BatchId(new_id())
        await insert_row(
            self.world.connection,
            "work.batches",
            id=batch_id,
            request_id=str(batch_id),
            pooler_id=pooler or self.pooler,
            block_index=block,
            digest=b"",
        )
        if not is_open:
            await self.world.connection.execute(
                "UPDATE work.batches SET completed_at = now() WHERE id = $1", batch_id
            )
        return batch_id

    async def item(
        self, batch_id: BatchId, person: Person, *, zeros: int = 4, event: UUID | None = None
    ) -> None:
        """An item of a batch."""
        await insert_row(
            self.world.connection,
            "work.batch_items",
            batch_id=batch_id,
            farmer_id=person.farmer_id,
            id=new_id(),
            chunk=0,
            custodial_wallet=person.address,
            nonce=1,
            hash=HASH,
            zeros=zeros,
            event_id=event,
        )

    async def submitted(
        self,
        batch_id: BatchId,
        farmer: UUID,
        nonce: int,
        *,
        judgement: str = "sent",
        position: int | None = None,
        **values: object,
    ) -> None:
        """A judged nonce, at the position of its own number if no other is given."""
        await insert_row(
            self.world.connection,
            "work.submissions",
            batch_id=batch_id,
            position=nonce if position is None else position,
            farmer_id=farmer,
            nonce=nonce,
            hash=HASH,
            zeros=4,
            judgement=judgement,
            **values,
        )

    async def sent(self, person: Person, nonce: int, *, reason: str | None = "") -> UUID | None:
        """A nonce in a batch of its own: it failed for a reason, or (None) is on its way."""
        event = None if reason is None else await self.event("work.works", person, reason=reason)
        batch_id = await self.batch(is_open=reason is None)
        await self.item(batch_id, person, event=event)
        await self.submitted(batch_id, person.farmer_id, nonce)
        return event

    async def state(self, person: Person) -> FarmerState:
        """What is known of a farmer, who alone was asked for."""
        farmer_id = FarmerId(person.farmer_id)
        found = await self.store.farmers(self.pooler, BLOCK, [farmer_id])
        assert found.keys() == {farmer_id}
        return found[farmer_id]


@pytest.fixture
async def work(database: DatabaseAccess) -> AsyncIterator[Tables]:
    """A store by work's own role, and one pooler."""
    async with open_tables_of(database, "work", QUERIES) as (world, opened):
        yield Tables(
            store=Store(opened, Ends()), world=world, pooler=PoolerId(await world.pooler())
        )


async def test_a_block_is_found_by_its_index(work: Tables) -> None:
    for block in (BLOCK, BLOCK + 1):
        await work.world.head(current=block)
    for block in (BLOCK, BLOCK + 1):
        found = await work.store.block(block)
        assert found is not None
        assert found.index == block
    assert await work.store.block(BLOCK + 2) is None


# What is known of farmers ----------------------------------------------------------------------


async def test_farmers_are_a_poolers_own_with_an_account(work: Tables) -> None:
    own, also, left_out = [await work.person() for _ in range(3)]
    strange = await work.world.farmer(await work.world.pooler())
    new = new_id()
    await insert_row(
        work.world.connection,
        "registry.farmers",
        id=new,
        pooler_id=work.pooler,
        request_id="new",
        digest=b"",
    )
    asked = [FarmerId(one) for one in (own.farmer_id, also.farmer_id, strange.farmer_id, new)]
    found = await work.store.farmers(work.pooler, BLOCK, asked)
    assert {one: state.address for one, state in found.items()} == {
        own.farmer_id: own.address,
        also.farmer_id: also.address,
    }
    assert left_out.farmer_id not in found


async def test_a_stake_is_that_of_the_farmers_planting_in_the_block(work: Tables) -> None:
    planted, idle = await work.person(), await work.person()
    await work.event("plant.plantings", planted, stake_amount=250)
    for person in (planted, idle):
        await work.event("plant.plantings", person, stake_amount=999, block=BLOCK + 1)
        await work.event("plant.plantings", person, stake_amount=999, reason="FEE_CAP")
    assert [(await work.state(one)).stake for one in (planted, idle)] == [250, None]


async def test_the_best_so_far_may_be_recorded(work: Tables) -> None:
    person, other = await work.person(), await work.person()
    for zeros in (3, 5, 4):
        await work.event("work.works", person, zeros=zeros)
    await work.event("work.works", person, zeros=9, reason="FEE_CAP")
    await work.event("work.works", person, zeros=9, block=BLOCK + 1)
    await work.event("work.works", other, zeros=9)
    await work.item(await work.batch(), person, zeros=4)
    assert (await work.state(person)).best_zeros == 5


async def test_the_best_so_far_may_be_on_its_way(work: Tables) -> None:
    person, other, idle = [await work.person() for _ in range(3)]
    await work.event("work.works", person, zeros=4)
    for zeros in (3, 6, 5):
        await work.item(await work.batch(), person, zeros=zeros)
    await work.item(await work.batch(), other, zeros=9)
    await work.item(await work.batch(is_open=False), person, zeros=9)
    await work.item(await work.batch(block=BLOCK + 1), person, zeros=9)
    assert (await work.state(person)).best_zeros == 6
    assert (await work.state(idle)).best_zeros is None


async def test_nonces_that_were_sent_and_have_not_failed_are_told(work: Tables) -> None:
    person, other = await work.person(), await work.person()
    for nonce, reason in ((1, ""), (2, None), (3, "FEE_CAP"), (4, "")):
        await work.sent(person, nonce, reason=reason)
    await work.sent(other, 5)
    assert (await work.state(person)).nonces == {1, 2, 4}
    assert (await work.state(other)).nonces == {5}


async def test_nonces_of_others_and_of_elsewhere_are_not_told(work: Tables) -> None:
    person = await work.person()
    here = await work.batch()
    for nonce, judgement in ((1, "sent"), (2, "surpassed"), (3, "rejected")):
        await work.submitted(here, person.farmer_id, nonce, judgement=judgement)
    await work.submitted(await work.batch(block=BLOCK + 1), person.farmer_id, 4)
    other = await work.world.pooler()
    await work.submitted(await work.batch(pooler=other), person.farmer_id, 5)
    # What was sent counts before the plan has it.
    assert (await work.state(person)).nonces == {1}


async def test_a_nonce_has_failed_by_its_own_farmers_item(work: Tables) -> None:
    failed, done = await work.person(), await work.person()
    batch_id = await work.batch()
    for nonce, (person, reason) in enumerate(((failed, "FEE_CAP"), (done, ""))):
        event = await work.event("work.works", person, reason=reason)
        await work.item(batch_id, person, event=event)
        await work.submitted(batch_id, person.farmer_id, nonce)
    assert (await work.state(failed)).nonces == set()
    assert (await work.state(done)).nonces == {1}


async def test_a_nonce_has_failed_in_its_own_block(work: Tables) -> None:
    person = await work.person()
    event = await work.sent(person, 1, reason="FEE_CAP")
    # An id counts with its block only.
    await work.event("work.works", person, block=BLOCK + 1, id=event)
    assert (await work.state(person)).nonces == set()


async def test_a_work_that_was_found_may_tell_no_gap(work: Tables) -> None:
    person = await work.person()
    await work.world.found(person, BLOCK, "work", zeros=5)
    assert await work.store.record_found(0) == 1
    found = await work.world.connection.fetchrow("SELECT zeros, gap FROM work.works")
    assert found is not None
    assert tuple(found) == (5, 0)


# Verdicts --------------------------------------------------------------------------------------


def verdict(farmer: UUID, nonce: int, **values: Any) -> Verdict:
    """A nonce of which nothing became."""
    nothing: dict[str, Any] = {
        "reason": "",
        "message": "",
        "status": "",
        "work_reason": "",
        "work_message": "",
        "gap": 0,
        "transaction_hash": "",
        "fee_charged": 0,
        "stake": 0,
    }
    return Verdict(
        **{**nothing, **values},
        farmer_id=FarmerId(farmer),
        nonce=nonce,
        hash=HASH,
        zeros=4,
    )


async def test_each_nonce_is_told_with_what_became_of_it(work: Tables) -> None:
    done, failed, waiting = [await work.person() for _ in range(3)]
    unknown = new_id()
    paid = await work.event(
        "work.works", done, gap=3, transaction_hash="ab", fee_charged=7, ledger=9
    )
    lost = await work.event("work.works", failed, reason="FEE_CAP", error_message="in words", gap=0)
    await work.event("plant.plantings", done, stake_amount=250)
    await work.event("plant.plantings", failed, stake_amount=100)
    await work.event("plant.plantings", waiting, stake_amount=999, reason="FEE_CAP")
    await work.event("plant.plantings", waiting, stake_amount=999, block=BLOCK + 1)
    # An id counts with its block only.
    await work.event("work.works", done, id=paid, block=BLOCK + 1, reason="REFUSED")
    batch_id = await work.batch(is_open=False)
    for person, event in ((done, paid), (failed, lost), (waiting, None)):
        await work.item(batch_id, person, event=event)
    other = await work.batch(block=BLOCK + 1)
    await work.item(other, done, event=lost)
    await work.submitted(other, done.farmer_id, 1)
    words: dict[str, Any] = {"reason": "BAD_NONCE", "message": "no"}
    # Written from the last position to the first.
    await work.submitted(batch_id, unknown, 5, judgement="rejected", **words)
    await work.submitted(batch_id, waiting.farmer_id, 4)
    await work.submitted(batch_id, failed.farmer_id, 3)
    await work.submitted(batch_id, done.farmer_id, 2, judgement="surpassed")
    await work.submitted(batch_id, done.farmer_id, 1)
    assert await work.store.verdicts(batch_id) == (
        verdict(
            done.farmer_id,
            1,
            judgement="sent",
            status="success",
            gap=3,
            transaction_hash="ab",
            fee_charged=7,
            stake=250,
        ),
        verdict(done.farmer_id, 2, judgement="surpassed", stake=250),
        verdict(
            failed.farmer_id,
            3,
            judgement="sent",
            status="failed",
            work_reason="FEE_CAP",
            work_message="in words",
            stake=100,
        ),
        verdict(waiting.farmer_id, 4, judgement="sent"),
        verdict(unknown, 5, judgement="rejected", **words),
    )

"""Who asks again for what was refused is answered by the same operation, until a change."""

import asyncio

from libs.common.db.pool import Database
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.budget import FeeTerms
from services.wallet.domain.model import (
    ChainHead,
    FailureReason,
    NewOperation,
    OperationEvent,
    OperationKind,
    OperationState,
    Settlement,
)
from services.wallet.domain.refusals import Circumstances
from services.wallet.store.operations import OperationStore
from services.wallet.store.refusals import Now
from tests.integration.wallet.test_wallet_store import endow, farmer, wish
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS

BLOCK = 5


def accept(_kept: ChainHead | None) -> None:
    """Whatever is asked for makes sense."""


def now(*, rent: bool = False, paused: bool = False, daily: int = 0) -> Now:
    """What a call finds."""
    return Now(
        circumstances=Circumstances(
            inclusion_fee=100,
            usual_fit=400_000,
            is_rent_due=rent,
            is_paused=paused,
            price_stands=300.0,
        ),
        fees=FeeTerms(daily=daily, reserve=1000),
    )


class Asking:
    """Farmers' wishes, asked for again and again."""

    def __init__(self, pool: Database) -> None:
        self.pool = pool
        self.store = OperationStore(pool, ORDERS)

    async def ask(
        self, *wishes: NewOperation, kind: OperationKind = OperationKind.PLANT, now: Now
    ) -> set[OperationId]:
        """The operations that answer."""
        name = str(new_id())
        await self.store.record_batch(
            name,
            bytes(32),
            kind=kind,
            block_index=BLOCK,
            operations=wishes,
            check=accept,
            now=now,
        )
        return set(await self.store.batch_ids(name))

    async def fail(self, operation: OperationId, reason: FailureReason, *, asked: int = 0) -> None:
        """Ends it."""
        settlement = Settlement(
            operation_id=operation,
            event=OperationEvent.FAIL,
            reason=reason,
            asked=asked,
        )
        assert await self.store.settle_queued([settlement]) == 1


async def asking(pool: Database) -> tuple[Asking, WalletId]:
    """A farmer who may ask, under terms that are noted."""
    _, wallet_id, _ = await farmer(pool)
    found = Asking(pool)
    await found.store.note_terms("first")
    return found, wallet_id


async def test_one_operation_answers_twenty_calls_until_the_cap_is_raised(pool: Database) -> None:
    one, wallet_id = await asking(pool)
    (refused,) = await one.ask(wish(wallet_id), now=now())
    await one.fail(refused, FailureReason.FEE_CAP, asked=31_000_000)
    answers = [await one.ask(wish(wallet_id), now=now()) for _ in range(10)]
    answers += await asyncio.gather(*(one.ask(wish(wallet_id), now=now()) for _ in range(10)))
    assert answers == [{refused}] * 20
    await one.store.note_terms("second")
    (anew,) = await one.ask(wish(wallet_id), now=now())
    assert anew != refused
    # What did not fail goes before what was refused, also where the terms are the old ones again.
    await one.store.note_terms("first")
    assert await one.ask(wish(wallet_id), now=now()) == {anew}


async def test_a_price_that_nodes_told_is_asked_again_after_a_while(
    pool: Database, database: DatabaseAccess
) -> None:
    one, wallet_id = await asking(pool)
    (refused,) = await one.ask(wish(wallet_id), now=now())
    await one.fail(refused, FailureReason.FEE_CAP, asked=31_000_000)
    assert await one.ask(wish(wallet_id), now=now()) == {refused}
    async with connect(database.admin_dsn) as admin:
        await admin.execute("SET session_replication_role = replica")
        await admin.execute(
            "UPDATE wallet.operations SET settled_at = now() - interval '5 minutes' WHERE id = $1",
            refused,
        )
    (anew,) = await one.ask(wish(wallet_id), now=now())
    assert anew != refused


async def test_the_same_terms_noted_again_change_nothing(pool: Database) -> None:
    one, wallet_id = await asking(pool)
    (refused,) = await one.ask(wish(wallet_id), now=now())
    await one.fail(refused, FailureReason.FEE_CAP, asked=1)
    await one.store.note_terms("first")
    assert await one.ask(wish(wallet_id), now=now()) == {refused}


async def test_a_pause_and_rent_that_are_over(pool: Database) -> None:
    for reason, during in (
        (FailureReason.FARM_PAUSED, now(paused=True)),
        (FailureReason.RENT_DUE, now(rent=True)),
    ):
        one, wallet_id = await asking(pool)
        (refused,) = await one.ask(wish(wallet_id), now=during)
        await one.fail(refused, reason)
        assert await one.ask(wish(wallet_id), now=during) == {refused}
        assert await one.ask(wish(wallet_id), now=now()) != {refused}


async def test_only_so_many_are_asked_again_as_a_budget_has_room_for(pool: Database) -> None:
    await endow(pool)
    one, _ = await asking(pool)
    wallets = [(await farmer(pool))[1] for _ in range(5)]
    refused = await one.ask(*map(wish, wallets), now=now())
    for operation in refused:
        await one.fail(operation, FailureReason.FEE_BUDGET, asked=1000)
    # 1,000 for each plant, and 2,000 that are kept back for each: two fit.
    found = await one.ask(*map(wish, wallets), now=now(daily=4000))
    assert len(found) == 5
    assert len(found & refused) == 3
    assert await one.ask(*map(wish, wallets), now=now(daily=1)) == found


async def test_what_a_farmer_has_to_change_is_asked_anew(pool: Database) -> None:
    one, wallet_id = await asking(pool)
    (failed,) = await one.ask(wish(wallet_id), now=now())
    await one.fail(failed, FailureReason.INSUFFICIENT_BALANCE)
    assert await one.ask(wish(wallet_id), now=now()) != {failed}


async def test_another_nonce_is_another_wish(pool: Database) -> None:
    one, wallet_id = await asking(pool)

    def work(nonce: int) -> NewOperation:
        return NewOperation(
            id=OperationId(new_id()),
            wallet_id=wallet_id,
            amount=0,
            nonce=nonce,
            hash=bytes(32),
            zeros=3,
        )

    kind = OperationKind.WORK
    (refused,) = await one.ask(work(1), kind=kind, now=now())
    await one.fail(refused, FailureReason.FEE_CAP, asked=1)
    found = await one.ask(work(1), work(2), kind=kind, now=now())
    assert refused in found
    assert len(found) == 2
    operation = await one.store.by_id(next(iter(found - {refused})))
    assert operation is not None
    assert (operation.nonce, operation.state) == (2, OperationState.QUEUED)


async def test_others_are_not_answered_by_it(pool: Database) -> None:
    one, wallet_id = await asking(pool)
    (refused,) = await one.ask(wish(wallet_id), now=now())
    await one.fail(refused, FailureReason.FEE_CAP, asked=1)
    _, other, _ = await farmer(pool)
    found = await one.ask(wish(other), now=now())
    assert refused not in found

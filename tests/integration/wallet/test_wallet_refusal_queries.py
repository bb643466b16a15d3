"""The queries of refusals: what is kept of a refused operation, and whom it answers."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from libs.common.ids import OperationId, new_id
from services.wallet.domain.budget import FeeTerms
from services.wallet.domain.model import (
    FailureReason,
    NewOperation,
    OperationEvent,
    OperationKind,
    Settlement,
)
from services.wallet.domain.refusals import Circumstances
from services.wallet.store.operations import OperationStore
from services.wallet.store.refusals import Now, Wish, find_standing
from tests.support.orders import ORDERS
from tests.support.table_rows import new_ids
from tests.support.wallet_rows import BLOCK, WalletRow, WalletRows, ago

MARK = "these terms"
#: The rent is due, which is why operations are refused here.
DUE = Now(
    circumstances=Circumstances(
        inclusion_fee=100, usual_fit=400_000, is_rent_due=True, is_paused=False, price_stands=300.0
    ),
    fees=FeeTerms(),
)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Refused operations, and who asks for the same again."""

    rows: WalletRows

    async def one(
        self,
        owner: WalletRow,
        kind: str = "plant",
        block: int = BLOCK,
        *,
        mark: str = MARK,
        lifted: bool = False,
        **values: object,
    ) -> OperationId:
        """A refused operation."""
        columns: dict[str, Any] = {"reason": "RENT_DUE", **values}
        name = await self.rows.operation(owner, kind, "failed", block=block, **columns)
        lifted_at = ago(60) if lifted else None
        await self.rows.insert("wallet.refusals", operation_id=name, mark=mark, lifted_at=lifted_at)
        return name

    async def ask(
        self, *wishes: tuple[WalletRow, int | None], kind: OperationKind = OperationKind.PLANT
    ) -> dict[Wish, OperationId]:
        """What stands in the way of these wishes."""
        operations = [
            NewOperation(
                id=OperationId(new_id()),
                wallet_id=owner.id,
                amount=0,
                nonce=nonce,
                hash=None,
                zeros=None,
            )
            for owner, nonce in wishes
        ]
        async with self.rows.pool.session() as session:
            return await find_standing(session, kind, BLOCK, operations, DUE)


@pytest.fixture
async def refused(rows: WalletRows) -> Refused:
    """Under terms that hold."""
    await OperationStore(rows.pool, ORDERS).note_terms(MARK)
    return Refused(rows=rows)


def wish(owner: WalletRow, nonce: int | None = None) -> Wish:
    return owner.id, nonce


# Kept ------------------------------------------------------------------------------------------


async def test_terms_hold_since_they_were_noted_first(rows: WalletRows) -> None:
    store = OperationStore(rows.pool, ORDERS)

    async def noted(mark: str) -> dict[UUID, object]:
        await store.note_terms(mark)
        found = await rows.values(
            "wallet.operator_terms", "since > now() - interval '1 hour'", key="mark"
        )
        await rows.connection.execute(
            "UPDATE wallet.operator_terms SET since = now() - interval '1 day'"
        )
        return found

    assert [await noted(mark) for mark in ("one", "one", "two")] == [
        {"one": True},
        {"one": False},
        {"two": True},
    ]


def refusal(operation_id: OperationId, asked: int) -> Settlement:
    """It ends for its price."""
    return Settlement(
        operation_id=operation_id,
        event=OperationEvent.FAIL,
        reason=FailureReason.FEE_CAP,
        asked=asked,
    )


async def test_a_refusal_is_kept_once_and_with_its_price_when_that_is_known(
    refused: Refused,
) -> None:
    owner = await refused.rows.wallet()
    names = [await refused.rows.operation(owner, block=block) for block in range(3)]
    settlements = [refusal(name, asked) for asked, name in enumerate(names)]
    assert (
        await OperationStore(refused.rows.pool, ORDERS).settle_queued(
            [*settlements, settlements[0]]
        )
        == 3
    )
    kept = await refused.rows.values("wallet.refusals", "(mark, bid)::text", key="operation_id")
    assert kept == dict(zip(names, (f'("{MARK}",{bid})' for bid in ("", 1, 2)), strict=True))


async def test_lifted_is_what_is_named(refused: Refused) -> None:
    owners = [await refused.rows.wallet() for _ in range(2)]
    names = [await refused.one(owner) for owner in owners]
    await refused.rows.pool.execute("lift_refusals", names[:1])
    assert await refused.ask(*((owner, None) for owner in owners)) == {wish(owners[1]): names[1]}


# Answering -------------------------------------------------------------------------------------


async def test_a_refused_operation_answers_the_same_wish_and_no_other(refused: Refused) -> None:
    asking, other = [await refused.rows.wallet() for _ in range(2)]
    await refused.one(asking, block=BLOCK + 1)
    await refused.one(asking, kind="harvest")
    await refused.one(other)
    assert await refused.ask((asking, None)) == {}
    name = await refused.one(asking)
    assert await refused.ask((asking, None)) == {wish(asking): name}


async def test_a_refused_work_answers_for_its_nonce(refused: Refused) -> None:
    owner = await refused.rows.wallet()
    name = await refused.one(owner, "work", nonce=1)
    await refused.rows.operation(owner, "work", block=BLOCK, nonce=2)
    for nonce, expected in ((1, {wish(owner, 1): name}), (2, {}), (3, {})):
        assert await refused.ask((owner, nonce), kind=OperationKind.WORK) == expected


async def test_a_refusal_answers_under_its_terms_until_it_is_lifted(refused: Refused) -> None:
    failed, before, lifted, answered = [await refused.rows.wallet() for _ in range(4)]
    await refused.rows.operation(failed, state="failed", reason="RENT_DUE")
    await refused.one(before, mark="other terms")
    await refused.one(lifted, lifted=True)
    name = await refused.one(answered)
    asked = [(owner, None) for owner in (failed, before, lifted, answered)]
    assert await refused.ask(*asked) == {wish(answered): name}


async def test_what_was_done_elsewhere_does_not_end_a_refusal(refused: Refused) -> None:
    owner, other = [await refused.rows.wallet() for _ in range(2)]
    name = await refused.one(owner)
    await refused.rows.operation(owner, "harvest", block=BLOCK)
    await refused.rows.operation(owner, "plant", block=BLOCK + 1)
    await refused.rows.operation(other, "plant", block=BLOCK)
    assert await refused.ask((owner, None)) == {wish(owner): name}


@pytest.mark.parametrize(
    ("is_later", "state"), [(False, "succeeded"), (True, "queued"), (True, "failed")]
)
@pytest.mark.parametrize("kind", ["plant", "work"])
async def test_a_refusal_ends_with_what_stands_for_the_wish_instead(
    refused: Refused, *, kind: str, is_later: bool, state: str
) -> None:
    owner, (early, late) = await refused.rows.wallet(), new_ids(2)
    nonce: dict[str, Any] = {"nonce": 7} if kind == "work" else {}
    values: dict[str, Any] = {"id": late if is_later else early, **nonce}
    name = await refused.one(owner, kind, id=early if is_later else late, **nonce)
    asked = (owner, nonce.get("nonce"))
    assert await refused.ask(asked, kind=OperationKind(kind)) == {wish(*asked): name}
    await refused.rows.operation(owner, kind, state, block=BLOCK, **values)
    assert await refused.ask(asked, kind=OperationKind(kind)) == {}


async def test_a_refusal_is_about_the_budget_of_its_own_pooler(refused: Refused) -> None:
    owners = [await refused.rows.wallet() for _ in range(2)]
    for owner in owners:
        await refused.one(owner)
    rows = await refused.rows.pool.many(
        "refusals_of", "plant", BLOCK, [owner.id for owner in owners], [None] * 2
    )
    poolers = {row["wallet_id"]: row["pooler_id"] for row in rows}
    assert poolers == {owner.id: owner.pooler_id for owner in owners}

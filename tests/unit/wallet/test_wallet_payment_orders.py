"""What operations of payers pay: who fits into a transaction, and what stands in the way."""

from dataclasses import replace

import pytest

from libs.common.ids import OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import (
    CarriedOperation,
    FailureReason,
    OperationEvent,
    OperationKind,
    Settlement,
)
from services.wallet.domain.payment_orders import (
    Part,
    PaymentOrder,
    filling,
    obstacle,
    spread,
    takes_any,
    within,
)
from services.wallet.domain.settling import as_fee, failing_parts
from services.wallet.domain.withdrawals import Asset, Destination
from tests.support.payment_world import ELSEWHERE, OUTSIDE, PaymentWorld, payer, payment

K = OperationKind
POOL = "GPOOL"


def account(address: str = "", **fields: int | bool) -> AccountState:
    values = {"exists": True, "has_trustline": True, "kale": 100, **fields}
    return AccountState(address=address, **values)  # type: ignore[arg-type]


def order(*parts: tuple[str, int, bool]) -> PaymentOrder:
    return PaymentOrder(
        operation_id=OperationId(new_id()),
        wallet_id=WalletId(new_id()),
        parts=tuple(
            Part(destination=place, asset=Asset.KALE, amount=amount, is_fee=is_fee)
            for place, amount, is_fee in parts
        ),
    )


def places(**odd: AccountState) -> dict[str, Destination]:
    found = {"own": account(), "pool": account(), "operator": account(), **odd}
    return {name: Destination(account=state, wants_memo=False) for name, state in found.items()}


WHOLE = order(("own", 50, False), ("pool", 30, True), ("operator", 20, True))


def test_nothing_stands_in_the_way_of_what_all_accounts_can_take() -> None:
    assert obstacle(WHOLE, account(), places()) is None
    assert obstacle(replace(WHOLE, is_stopped=True), account(), places()) is FailureReason.REFUSED


def test_each_part_fits_and_all_together_do_not() -> None:
    found = obstacle(WHOLE, account(kale=99), places())
    assert found is FailureReason.INSUFFICIENT_BALANCE
    assert obstacle(WHOLE, account(kale=100, kale_bound=1), places()) is found


@pytest.mark.parametrize(
    "state",
    [account(exists=False), account(has_trustline=False), account(kale_room=19)],
    ids=["missing", "no line", "full"],
)
def test_an_account_that_cannot_take_its_fee_is_told_as_that(state: AccountState) -> None:
    assert obstacle(WHOLE, account(), places(pool=state)) is FailureReason.FEE_REFUSED
    assert obstacle(WHOLE, account(), places(operator=state)) is FailureReason.FEE_REFUSED
    own = obstacle(WHOLE, account(), places(own=state))
    assert own in {
        FailureReason.DESTINATION_MISSING,
        FailureReason.DESTINATION_REFUSES,
        FailureReason.DESTINATION_FULL,
    }


def test_a_fee_that_wants_a_memo_is_left() -> None:
    found = places()
    found["operator"] = replace(found["operator"], wants_memo=True)
    assert obstacle(WHOLE, account(), found) is FailureReason.FEE_REFUSED
    assert not takes_any(found["operator"])
    assert takes_any(found["pool"])
    # What lies with the farmer's own account is no fee's.
    frozen = account(is_frozen=True, has_trustline=False)
    assert obstacle(WHOLE, frozen, places()) is FailureReason.LINE_FROZEN


def test_nineteen_sources_and_ninety_nine_payments_fit() -> None:
    world = PaymentWorld()
    one = (POOL, 1)
    many = [world.payout(pooler=one, operator=one) for _ in range(40)]
    chosen = within(many, world.orders, source=lambda item: item.wallet_id, sources=19, payments=99)
    assert chosen == many[:19]
    few = within(many, world.orders, source=lambda item: item.wallet_id, sources=40, payments=99)
    assert (len(few), sum(len(world.orders[item.id].parts) for item in few)) == (33, 99)
    # One that does not fit does not keep a smaller one out.
    mixed = [*many[:2], world.payout()]
    fitting = within(
        mixed, world.orders, source=lambda item: item.wallet_id, sources=19, payments=4
    )
    assert fitting == [mixed[0], mixed[2]]


def test_payments_go_to_payers_by_whole_transactions() -> None:
    ids = [OperationId(new_id()) for _ in range(200)]
    payers = [WalletId(new_id()) for _ in range(3)]
    given = spread(ids, payers, each=filling(K.POOL_PAYMENT))
    assert [item for item, _ in given] == ids
    assert [[payer for _, payer in given].count(one) for one in payers] == [99, 99, 2]
    assert spread(ids, [], each=99) == []
    assert filling(K.PAYOUT) == 19
    assert filling(K.WITHDRAW) == 1
    assert [payer for _, payer in spread(ids[:4], payers, each=1)] == [*payers, payers[0]]


# Carried -----------------------------------------------------------------------------------------


async def test_a_payout_pays_all_of_its_parts_in_one_transaction() -> None:
    world, whose = PaymentWorld(), payer()
    made = [
        world.payout(amount=10, pooler=(ELSEWHERE, 3), operator=(OUTSIDE, 2)),
        world.payout(amount=0, pooler=(ELSEWHERE, 4)),
    ]
    world.payers.have(whose, *made)
    assert await world.carrier.step()
    assert world.carried == [[item.id for item in made]]
    assert [(to, amount) for _, to, _, amount in world.transactions.submitted[0].paid] == [
        (OUTSIDE, 10),
        (ELSEWHERE, 3),
        (OUTSIDE, 2),
        (ELSEWHERE, 4),
    ]
    # The cap of a raised bid is of all payments.
    assert world.transactions.counts == [4]


async def test_ninety_nine_payments_of_a_pooler_share_a_transaction() -> None:
    world, whose = PaymentWorld(), payer()
    pool = {"wallet_id": WalletId(new_id()), "address": POOL_ACCOUNT, "pooler_id": POOLER}
    world.chain.odd[POOL_ACCOUNT] = {"kale": 10_000}
    made = [world.pool_payment(to=OUTSIDE, amount=1, **pool) for _ in range(120)]
    world.payers.have(whose, *made)
    await world.carrier.step()
    assert [len(item) for item in world.carried] == [99]
    assert len(world.transactions.submitted[0].paid) == 99


POOL_ACCOUNT, POOLER = ELSEWHERE, PoolerId(new_id())


async def test_a_payout_whose_fee_cannot_arrive_is_given_up_alone() -> None:
    world, whose = PaymentWorld(), payer()
    bad = world.payout(pooler=(ELSEWHERE, 3))
    good = world.payout()
    world.chain.odd[ELSEWHERE] = {"has_trustline": False}
    world.payers.have(whose, bad, good)
    await world.carrier.step()
    assert world.carried == [[good.id]]
    assert world.reasons == {bad.id: FailureReason.FEE_REFUSED}


async def test_what_all_payouts_bring_to_an_account_has_to_fit_into_it() -> None:
    world, whose = PaymentWorld(), payer()
    made = [world.payout(pooler=(ELSEWHERE, 3)) for _ in range(3)]
    world.chain.odd[ELSEWHERE] = {"kale_room": 7}
    world.payers.have(whose, *made)
    await world.carrier.step()
    assert world.carried == [[item.id for item in made[:2]]]


async def test_an_order_that_says_another_thing_than_its_operation_is_forged() -> None:
    world, whose = PaymentWorld(), payer()
    made = world.payout(amount=10, pooler=(ELSEWHERE, 3))
    world.orders[made.id] = replace(world.orders[made.id], parts=world.orders[made.id].parts[:1])
    world.payers.have(whose, made)
    await world.carrier.step()
    assert (world.carried, world.reasons) == ([], {made.id: FailureReason.TAMPERED})


# Failed ------------------------------------------------------------------------------------------


def carried(payments: int, fees: int) -> CarriedOperation:
    found = payment(K.PAYOUT)
    return CarriedOperation(
        id=found.id,
        kind=found.kind,
        wallet_id=found.wallet_id,
        address=found.address,
        block_index=0,
        amount=found.amount,
        zeros=None,
        attempts=1,
        payments=payments,
        fees=fees,
    )


def test_places_of_payments_tell_whose_failed() -> None:
    one, two, three = carried(3, 2), carried(1, 0), carried(2, 2)
    assert failing_parts([one, two, three], [1, 4, 5]) == {
        one.id: frozenset({1}),
        three.id: frozenset({0, 1}),
    }
    assert failing_parts([one, two, three], [3]) == {two.id: frozenset({0})}
    # The last operation is the payer's own.
    assert failing_parts([one, two, three], [6]) == {}


@pytest.mark.parametrize(
    ("parts", "reason", "told"),
    [
        ({1}, "DESTINATION_FULL", "FEE_REFUSED"),
        ({0}, "DESTINATION_FULL", "DESTINATION_FULL"),
        ({0, 2}, "DESTINATION_MISSING", "DESTINATION_MISSING"),
        ({2}, "INSUFFICIENT_BALANCE", "INSUFFICIENT_BALANCE"),
        (set(), "DESTINATION_FULL", "DESTINATION_FULL"),
    ],
)
def test_only_a_destination_of_a_fee_makes_a_fee_refused(
    parts: set[int], reason: str, told: str
) -> None:
    operation = carried(3, 2)
    settlement = Settlement(
        operation_id=operation.id, event=OperationEvent.FAIL, reason=FailureReason[reason]
    )
    assert as_fee(settlement, operation, parts).reason is FailureReason[told]

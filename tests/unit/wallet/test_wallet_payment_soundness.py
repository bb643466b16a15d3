"""Payments that are not made: paid before, forged, refused by the chain, or too many at once."""

from itertools import chain
from typing import Any

import pytest

from services.wallet.domain.model import FailureReason, OperationEvent, QueuedOperation
from services.wallet.domain.withdrawals import Asset
from services.wallet.engine.forgeries import TAMPERED
from services.wallet.store.payers import LeasedPayer, PaymentInFlight
from tests.support.payment_world import ELSEWHERE, OUTSIDE, PaymentWorld, payer
from tests.support.signing import LEDGER

E, R = OperationEvent, FailureReason


async def stepped(world: PaymentWorld, *operations: QueuedOperation) -> LeasedPayer:
    """Take a step with these payments of one payer, of which something becomes."""
    whose = payer()
    world.payers.have(whose, *operations)
    assert await world.carrier.step()
    return whose


async def test_what_was_paid_before_is_settled_and_not_paid_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = PaymentWorld()
    paid, unpaid = world.withdrawal(), world.withdrawal()
    world.numbers.paid = {paid.id: "cafe"}
    await stepped(world, paid, unpaid)
    assert world.carried == [[unpaid.id]]
    (settled,) = world.queue.settled
    assert (settled.operation_id, settled.event) == (paid.id, E.SUCCEED)
    assert (settled.ledger, settled.fee) == (LEDGER, 0)
    assert "cafe" in settled.message
    assert world.settled.count == 1
    assert "not paid again" in "".join(capfd.readouterr())


async def test_nothing_is_paid_while_the_past_of_the_payer_does_not_tell() -> None:
    world = PaymentWorld()
    waiting = world.withdrawal()
    world.numbers.paid = None
    await stepped(world, waiting)
    assert (world.carried, world.queue.settled) == ([], [])
    assert world.queue.released == [waiting.id]


async def test_only_what_was_paid_before_is_no_transaction() -> None:
    world = PaymentWorld()
    paid = world.withdrawal()
    world.numbers.paid = {paid.id: "cafe"}
    await stepped(world, paid)
    assert world.carried == []


@pytest.mark.parametrize("how", ["order", "withdrawal", "no withdrawal"])
async def test_a_payment_that_wallet_did_not_write_is_given_up(how: str) -> None:
    world = PaymentWorld()
    forged = world.withdrawal(is_genuine=how != "order", is_forged=how == "withdrawal")
    if how == "no withdrawal":
        del world.orders[forged.id]
    sound = world.withdrawal()
    await stepped(world, forged, sound)
    assert world.carried == [[sound.id]]
    assert world.reasons == {forged.id: R.TAMPERED}
    assert world.queue.settled[0].message == TAMPERED
    # Who waits for it is woken: at once, or with the next ledger.
    assert world.settled.count == (0 if how == "order" else 1)


async def test_forged_payments_alone_make_no_transaction() -> None:
    world = PaymentWorld()
    await stepped(world, world.withdrawal(is_forged=True))
    assert (world.carried, world.signers.opened, world.chain.decisions) == ([], [], [])


@pytest.mark.parametrize(
    ("payer_has", "destination_has", "reason"),
    [
        ({"exists": False}, {}, R.NOT_FUNDED),
        ({"obeys": False}, {}, R.ACCOUNT_LOCKED),
        ({"kale": 29}, {}, R.INSUFFICIENT_BALANCE),
        ({}, {"exists": False}, R.DESTINATION_MISSING),
        ({}, {"kale_room": 29}, R.DESTINATION_FULL),
    ],
)
async def test_a_payment_that_would_fail_is_refused_and_the_others_are_made(
    payer_has: dict[str, Any], destination_has: dict[str, Any], reason: FailureReason
) -> None:
    world = PaymentWorld()
    refused, sound = world.withdrawal(), world.withdrawal(to=ELSEWHERE)
    world.chain.odd = {refused.address: payer_has, OUTSIDE: destination_has}
    await stepped(world, refused, sound)
    assert world.carried == [[sound.id]]
    (settled,) = world.queue.settled
    assert (settled.event, settled.reason) == (E.FAIL, reason)
    assert settled.message == "nothing was sent"
    assert world.settled.count == 1


async def test_a_payment_to_an_address_that_counts_no_more_is_refused_first() -> None:
    world = PaymentWorld()
    stopped = world.withdrawal(is_stopped=True)
    world.chain.odd = {OUTSIDE: {"exists": False}}
    await stepped(world, stopped)
    assert world.reasons == {stopped.id: R.REFUSED}
    assert world.carried == []


async def test_payments_of_one_account_are_made_as_far_as_its_balance_goes() -> None:
    world = PaymentWorld()
    first = world.withdrawal(amount=60)
    second = world.withdrawal(amount=41, address=first.address, wallet_id=first.wallet_id)
    third = world.withdrawal(amount=40, address=first.address, wallet_id=first.wallet_id)
    other = world.withdrawal(amount=100, asset=Asset.XLM, address=first.address, to=ELSEWHERE)
    await stepped(world, first, second, third, other)
    assert world.carried == [[first.id, third.id, other.id]]
    # The next ledger tells what is left for the second; nobody is told anything.
    (waiting,) = world.queue.settled
    assert (waiting.operation_id, waiting.event) == (second.id, E.RETRY)
    assert (waiting.due_ledger, world.settled.count) == (LEDGER + 1, 0)


async def test_payments_to_one_account_are_made_as_far_as_its_room_goes() -> None:
    world = PaymentWorld()
    world.chain.odd = {OUTSIDE: {"kale_room": 50, "xlm_room": 30}}
    kale = [world.withdrawal(amount=amount) for amount in (30, 21, 20)]
    xlm = [world.withdrawal(amount=amount, asset=Asset.XLM) for amount in (30, 1)]
    await stepped(world, *kale, *xlm)
    assert world.carried == [[kale[0].id, kale[2].id, xlm[0].id]]
    assert [item.operation_id for item in world.queue.settled] == [kale[1].id, xlm[1].id]


@pytest.mark.parametrize(
    ("flying", "asset", "is_made"),
    [
        ("from", Asset.KALE, False),
        ("from", Asset.XLM, True),
        ("to", Asset.KALE, False),
        ("to", Asset.XLM, True),
    ],
)
async def test_what_another_payer_has_on_its_way_counts(
    flying: str, asset: Asset, is_made: bool
) -> None:
    world = PaymentWorld()
    asked = world.withdrawal(amount=60)
    world.chain.odd = {OUTSIDE: {"kale_room": 100}}
    source = asked.address if flying == "from" else ELSEWHERE
    destination = OUTSIDE if flying == "to" else ELSEWHERE
    world.payers.flying = [
        PaymentInFlight(source=source, destination=destination, asset=asset, amount=amount)
        for amount in (20, 21)
    ]
    await stepped(world, asked)
    assert world.carried == ([[asked.id]] if is_made else [])
    world.payers.flying = world.payers.flying[:1]
    await world.carrier.step()
    assert world.carried[-1] == [asked.id]


async def test_a_withdrawal_leaves_what_is_owed_as_fees() -> None:
    world = PaymentWorld()
    most, more, other = (world.withdrawal(amount=amount) for amount in (80, 81, 81))
    xlm = world.withdrawal(amount=81, asset=Asset.XLM, wallet_id=more.wallet_id)
    world.owed = {most.wallet_id: 20, more.wallet_id: 20}
    await stepped(world, most, more, other, xlm)
    # XLM is no fee, and whoever owes nothing has all of it.
    assert world.carried == [[most.id, other.id, xlm.id]]
    assert world.reasons == {more.id: R.INSUFFICIENT_BALANCE}
    assert "20 stroops of the account are fees" in world.queue.settled[0].message


async def test_a_withdrawal_waits_for_the_fees_that_are_on_their_way() -> None:
    world = PaymentWorld()
    asked = world.withdrawal(amount=71)
    world.owed = {asked.wallet_id: 20}
    world.payers.flying = [
        PaymentInFlight(source=asked.address, destination=ELSEWHERE, asset=Asset.KALE, amount=20)
    ]
    await stepped(world, asked)
    (waiting,) = world.queue.settled
    assert (waiting.operation_id, waiting.event) == (asked.id, E.RETRY)
    world.payers.flying, world.owed = [], {}
    await world.carrier.step()
    assert world.carried == [[asked.id]]


async def test_no_fee_moves_while_a_payer_is_stopped() -> None:
    world = PaymentWorld()
    withdrawal, alone = world.withdrawal(), world.payout()
    taking = world.payout(pooler=(ELSEWHERE, 5))
    miners = world.pool_payment(to=ELSEWHERE)
    world.payers.stopped = 1
    await stepped(world, withdrawal, alone, taking, miners)
    assert set(chain.from_iterable(world.carried)) == {withdrawal.id, alone.id}
    assert {item.event for item in world.queue.settled} == {E.RETRY}
    assert {item.operation_id for item in world.queue.settled} == {taking.id, miners.id}
    world.payers.stopped = 0
    await world.carrier.step()
    assert {taking.id, miners.id} <= set(chain.from_iterable(world.carried))


async def test_a_payout_takes_its_own_fees_with_it_and_no_others() -> None:
    world = PaymentWorld()
    whole = world.payout(amount=80, pooler=(ELSEWHERE, 20))
    more = world.payout(amount=81, pooler=(ELSEWHERE, 5))
    swept = world.payout(amount=0, pooler=(ELSEWHERE, 20))
    world.owed = {item.wallet_id: 20 for item in (whole, more)} | {swept.wallet_id: 500}
    await stepped(world, whole, more, swept)
    assert world.carried == [[whole.id, swept.id]]
    assert world.reasons == {more.id: R.INSUFFICIENT_BALANCE}


async def test_a_channel_account_that_has_enough_by_now_is_paid_nothing() -> None:
    world = PaymentWorld()
    enough, low = world.top_up(), world.top_up()
    world.low.discard(enough.address)
    await stepped(world, enough, low)
    assert world.carried == [[low.id]]
    (settled,) = world.queue.settled
    assert (settled.operation_id, settled.reason) == (enough.id, R.REFUSED)
    assert settled.message == "the account has enough"


async def test_a_top_up_is_not_looked_up_among_withdrawals() -> None:
    world = PaymentWorld()
    low = world.top_up()
    world.orders[low.id] = world.orders.pop(world.withdrawal(to=ELSEWHERE).id)
    await stepped(world, low)
    (made,) = world.transactions.submitted
    assert [destination for _, destination, _, _ in made.paid] == [low.address]

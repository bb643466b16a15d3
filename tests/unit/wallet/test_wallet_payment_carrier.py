"""Payments that payers carry: when, by which payer, and what their transactions look like."""

import pytest

from libs.common.ids import PoolerId, new_id
from services.wallet.domain.model import OperationKind
from services.wallet.domain.payments import PayerRecord
from services.wallet.domain.trust import Decision
from services.wallet.domain.withdrawals import Asset
from services.wallet.engine.sequence_sources import LEASE
from services.wallet.keys.seal import SealBrokenError
from tests.support.payment_world import (
    ELSEWHERE,
    NUMBER,
    OUTSIDE,
    TREASURY,
    PaymentWorld,
    payer,
)
from tests.support.signing import LEDGER

K = OperationKind


# Whether, and whose


@pytest.mark.parametrize(("is_fresh", "can_pay"), [(False, True), (True, False)])
async def test_nothing_is_paid_by_an_old_head_or_a_treasury_that_cannot_pay(
    is_fresh: bool, can_pay: bool
) -> None:
    world = PaymentWorld(is_fresh=is_fresh, can_pay=can_pay)
    world.payers.have(payer(), world.withdrawal())
    assert not await world.carrier.step()
    assert (world.carried, world.payers.asked, world.payers.leases) == ([], [], [])


async def test_a_step_without_payments_does_nothing() -> None:
    world = PaymentWorld()
    world.payers.due = {K.WITHDRAW: {}}
    assert not await world.carrier.step()
    assert world.payers.asked == [((K.TOP_UP, K.WITHDRAW, K.PAYOUT, K.POOL_PAYMENT), LEDGER)]
    assert world.payers.leases == [None]


async def test_a_payment_of_nobody_is_assigned_and_paid_in_the_same_step() -> None:
    world, whose = PaymentWorld(), payer()
    world.payers.have(whose, world.withdrawal())
    world.payers.unassigned = {K.WITHDRAW: dict(world.payers.due[K.WITHDRAW])}
    world.payers.due = {K.WITHDRAW: {None: 1}}
    assert await world.carrier.step()
    assert len(world.carried) == 1
    assert world.payers.asked[1:] == [((K.WITHDRAW,), LEDGER)]
    # What belongs to a payer is not assigned again.
    await world.carrier.step()
    assert world.payers.assigned == [K.WITHDRAW]


async def test_a_payment_that_no_payer_takes_waits() -> None:
    world = PaymentWorld()
    world.payers.due = {K.WITHDRAW: {None: 1}}
    assert not await world.carrier.step()
    assert world.payers.leases == [None]


async def test_payments_that_another_process_has_taken_up_are_nothing_to_do() -> None:
    world, whose = PaymentWorld(), payer()
    world.payers.have(whose, world.withdrawal())
    world.payers.queued[whose.wallet_id] = []
    assert not await world.carrier.step()


async def test_one_kind_of_which_something_is_paid_is_progress() -> None:
    world, stopped, steady = PaymentWorld(), payer(), payer()
    world.payers.have(stopped, world.top_up())
    world.payers.have(steady, world.withdrawal())
    world.numbers.stopped = {stopped}
    assert await world.carrier.step()


async def test_leases_end_whatever_happens() -> None:
    world, whose = PaymentWorld(), payer()
    world.payers.have(whose, world.withdrawal())
    await world.carrier.step()
    # After the look at all payers, and after the payment.
    assert world.payers.returned == [whose, whose]
    world.numbers.error = RuntimeError("defect")
    with pytest.raises(RuntimeError):
        await world.carrier.step()
    assert world.payers.returned == [whose] * 3


async def test_all_payers_are_looked_at_every_twelve_ledgers() -> None:
    world, idle = PaymentWorld(), payer()
    world.payers.all = [idle]
    looks = []
    for ledger in (LEDGER, LEDGER + 11, LEDGER + 12, LEDGER + 23, LEDGER + 24, LEDGER - 50):
        world.at(ledger)
        await world.carrier.step()
        looks.append(len(world.numbers.looked))
    # Also when the head is turned back: the next look would not come for long.
    assert looks == [1, 1, 2, 2, 3, 4]
    assert world.numbers.looked == [[idle]] * 4


async def test_a_payer_that_may_not_sign_pays_nothing() -> None:
    world, whose = PaymentWorld(), payer()
    world.payers.have(whose, world.withdrawal())
    world.numbers.stopped = {whose}
    assert not await world.carrier.step()
    assert (world.carried, world.payers.claims) == ([], [])


# One transaction


async def test_a_farmers_account_pays_what_was_asked_for_to_its_own_address() -> None:
    world, whose = PaymentWorld(), payer()
    kale, xlm = world.withdrawal(), world.withdrawal(to=ELSEWHERE, asset=Asset.XLM, amount=7)
    world.payers.have(whose, kale, xlm)
    assert await world.carrier.step()
    (made,) = world.transactions.submitted
    key = world.signers.key
    assert made.paid == [
        (key(kale.wallet_id).address, OUTSIDE, "KALE", 30),
        (key(xlm.wallet_id).address, ELSEWHERE, "XLM", 7),
    ]
    assert world.signers.opened == [[TREASURY, whose.wallet_id, kale.wallet_id, xlm.wallet_id]]
    signed = made.envelope
    assert (signed.source, signed.sequence) == (key(whose.wallet_id).address, NUMBER + 1)
    assert (signed.bump_to, made.payer) == (NUMBER + 1001, whose.wallet_id)
    assert world.transactions.bids == [K.WITHDRAW]
    assert world.chain.decisions == [Decision.REFUSE_DESTINATION]
    assert world.payers.claims == [(K.WITHDRAW, 200, LEASE, LEDGER)]
    assert (world.queue.released, world.settled.count) == ([], 0)


async def test_the_treasury_pays_channel_accounts_whose_keys_open() -> None:
    world, whose = PaymentWorld(), payer()
    first, second = world.top_up(amount=5), world.top_up(amount=6)
    world.payers.have(whose, first, second)
    assert await world.carrier.step()
    (made,) = world.transactions.submitted
    treasury = world.signers.key(TREASURY).address
    assert made.paid == [
        (treasury, first.address, "XLM", 5),
        (treasury, second.address, "XLM", 6),
    ]
    own = [first.wallet_id, second.wallet_id]
    assert world.signers.opened == [[TREASURY, whose.wallet_id, TREASURY, TREASURY, *own]]
    # The accounts of farmers do not matter here.
    assert world.chain.decisions == []


async def test_top_ups_and_withdrawals_go_in_transactions_of_their_own() -> None:
    world, whose = PaymentWorld(), payer()
    top_up, withdrawal = world.top_up(), world.withdrawal()
    world.payers.have(whose, withdrawal, top_up)
    assert await world.carrier.step()
    assert world.carried == [[top_up.id], [withdrawal.id]]


async def test_the_same_payments_keep_their_target() -> None:
    world, whose = PaymentWorld(), payer()
    paid, other = world.withdrawal(), world.withdrawal()
    world.payers.have(whose, paid)
    members = frozenset({paid.id})
    world.numbers.records[whose] = PayerRecord(paid=NUMBER, highest=9000, members=members)
    await world.carrier.step()
    world.payers.queued[whose.wallet_id] = [paid, other]
    await world.carrier.step()
    assert [item.envelope.bump_to for item in world.transactions.submitted] == [9000, 10_000]


async def test_19_farmers_fit_and_99_top_ups_do() -> None:
    world = PaymentWorld()
    first, second = payer(), payer()
    world.payers.have(first, *(world.withdrawal() for _ in range(20)))
    world.payers.have(second, *(world.top_up() for _ in range(100)))
    await world.carrier.step()
    assert [len(item) for item in world.carried] == [99, 19]
    # What does not fit is given back at once, for the next transaction.
    assert world.queue.released == [
        world.payers.queued[second.wallet_id][-1].id,
        world.payers.queued[first.wallet_id][-1].id,
    ]


async def test_each_payer_has_its_own_turns() -> None:
    world, one, other = PaymentWorld(), payer(), payer()
    pooler = PoolerId(new_id())
    bad = [world.withdrawal(pooler_id=pooler, is_suspect=True) for _ in range(2)]
    good = [world.withdrawal() for _ in range(2)]
    for whose, items in ((one, (bad[0], good[0])), (other, (bad[1], good[1]))):
        world.payers.have(whose, *items)
    await world.carrier.step()
    await world.carrier.step()
    # Who keeps to itself goes second with each of them.
    assert world.carried == [[good[0].id], [good[1].id], [bad[0].id], [bad[1].id]]


async def test_a_key_that_does_not_open_stops_nobody_else() -> None:
    world, one, other = PaymentWorld(), payer(), payer()
    world.payers.have(one, world.withdrawal())
    world.payers.have(other, world.withdrawal())
    world.signers.error = SealBrokenError("tampered")
    assert await world.carrier.step()
    assert world.carried == []
    ids = [world.payers.queued[item.wallet_id][0].id for item in (one, other)]
    assert world.broken == [([item], world.signers.error) for item in ids]

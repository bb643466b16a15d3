"""Payouts over real PostgreSQL and gRPC: each is made once, whoever dies, and all is booked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from stellar_sdk import Keypair, MuxedAccount

from libs.common import failpoints
from libs.common.errors import FailedPreconditionError, PoolError
from libs.common.failpoints import FailpointError
from libs.common.grpc.client import open_channel
from libs.common.ids import FarmerId, PoolerId, new_id
from services.harvest.clients import WalletPayouts
from services.harvest.domain.credits import miner_id
from services.harvest.domain.payout_runs import Item, Payout, Run, Settled, Whose, name_of_run
from services.harvest.domain.payouts import Pending, Reason, Terms
from services.harvest.store.payouts import PayoutStore, PayoutTerms
from services.harvest.store.store import Store
from services.harvest.usecases.payout_runner import PayoutRunner
from services.harvest.usecases.payouts import PayoutLimits, Payouts, Wish
from tests.support.database import DatabaseAccess
from tests.support.ends import Ends
from tests.support.fake_payouts import FakePayouts
from tests.support.fake_wallet import fake_wallet
from tests.support.ledger_world import BLOCK, LedgerWorld, open_ledger
from tests.support.pool_world import Person, eventually

TERMS = PayoutTerms(
    pooler=Terms(threshold=10, interval=0),
    miner=Terms(threshold=10, interval=0),
    sweep=Terms(threshold=1_000, interval=0),
)
LIMITS = PayoutLimits(every=60, minimum=1, approval=10**6, daily_payee=0, daily_pool=0)
EVERYBODY = Whose()


@dataclass(kw_only=True)
class Pool:
    """A ledger, a wallet that pays, and processes of harvest over both."""

    ledger: LedgerWorld
    wallet: FakePayouts
    target: str
    limits: PayoutLimits = LIMITS

    @property
    def store(self) -> PayoutStore:
        """The store by harvest's own role."""
        return PayoutStore(self.ledger.database, TERMS)

    def process(self, channel: Any, **limits: int) -> Payouts:
        """A process that has just started."""
        return Payouts(
            store=self.store,
            tables=Store(self.ledger.database, Ends()),
            runner=PayoutRunner(self.store, WalletPayouts(channel), call=2, lease=3),
            limits=replace(self.limits, **limits),
        )

    async def farmer(self, available: int = 0, **terms: int) -> Person:
        """A farmer with an agreement, and KALE of its own."""
        person = await self.ledger.person()
        self.wallet.poolers[str(person.farmer_id)] = str(self.ledger.pooler)
        if terms.pop("agrees", True):
            await self.ledger.admin.execute(
                "INSERT INTO wallet.agreements (wallet_id, number, stake_bps, pooler_bps, "
                "operator_bps, miners_bps, payout_threshold, payout_interval_seconds, "
                "harvest_blocks, given_by, proof, terms_version, terms_digest, effective_at) "
                "VALUES ($1, 1, 0, 0, 0, 0, $2, $3, 1, 'test', 'operator', 0, $4, "
                "now() + interval '1 second' * 0)",
                person.wallet_id,
                terms.get("threshold", 100),
                terms.get("interval", 0),
                bytes(32),
            )
        if available:
            await self.ledger.book("deposit", person, available)
        return person

    async def earns(self, person: Person, reward: int, fees: tuple[int, int, int]) -> None:
        """A farmer's harvest, of which fees (pooler, operator, miners) are booked and due."""
        await self.ledger.harvested(person, reward_amount=reward, stake_returned=0, block=BLOCK)
        self.wallet.fees[str(person.farmer_id)] = fees

    async def miner(self, amount: int, address: str | None = None) -> str:
        """A miner who has so much of its pooler's undivided part."""
        pooler, address = self.ledger.pooler, address or Keypair.random().public_key
        name = miner_id(PoolerId(pooler), address)
        admin = self.ledger.admin
        await admin.execute(
            "INSERT INTO harvest.miners (id, pooler_id, address) VALUES ($1, $2, $3)",
            name,
            pooler,
            address,
        )
        await self.divide(name, amount, "miner:earned")
        return address

    async def divide(self, owner: UUID, amount: int, role: str) -> None:
        """So much of the pooler's undivided part is somebody's."""
        await self.ledger.admin.execute(
            "SELECT count(*) FROM harvest.write_journals("
            "ARRAY[('miner_credit', $1, NULL, $2::uuid, 1, 0, '', now())::harvest.journal_head], "
            "ARRAY[('miner_credit', $1, $2::uuid, 'miner:earned', 'kale', "
            "-$3::numeric)::harvest.journal_line, ('miner_credit', $1, $4::uuid, "
            "$5::text::harvest.account_role, 'kale', $3::numeric)::harvest.journal_line])",
            str(owner),
            self.ledger.pooler,
            amount,
            owner,
            role,
        )

    async def payouts(self) -> list[Payout]:
        """All payouts, newest first."""
        return await self.store.page(EVERYBODY, run_id=None, before=None, limit=100)

    async def balances(self, person: Person) -> Mapping[str, int]:
        """What a farmer's accounts have."""
        return await self.ledger.balances(person.farmer_id)


@dataclass(kw_only=True)
class SwitchingOff:
    """A payer during whose first chunk somebody switches payouts off."""

    wallet: WalletPayouts
    payouts: Payouts

    async def pay(
        self, request_id: str, items: Sequence[Item], *, timeout: float
    ) -> AsyncIterator[Sequence[Settled]]:
        """Switch payouts off, then pay."""
        await self.payouts.switch(is_off=True, actor="ann", reason="a theft")
        async for settled in self.wallet.pay(request_id, items, timeout=timeout):
            yield settled


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[Pool]:
    """A pool that has paid nobody yet."""
    async with (
        open_ledger(database) as ledger,
        fake_wallet(database.admin_dsn) as (wallet, target),
    ):
        yield Pool(ledger=ledger, wallet=wallet.payouts, target=target)


@pytest.fixture
async def payouts(pool: Pool) -> AsyncIterator[Payouts]:
    """A process of harvest."""
    async with open_channel(pool.target) as channel:
        process = pool.process(channel)
        yield process
        await process.runner.aclose()


async def run(payouts: Payouts, max_amount: int = 10**9, **whose: Any) -> Run:
    """A run that an operator makes."""
    wish = Wish(request_id=str(new_id()), asked_by="operator")
    return await payouts.run(wish, Whose(**whose), max_amount)


async def pending(payouts: Payouts, **whose: Any) -> list[Pending]:
    """All that was not paid yet."""
    found, _ = await payouts.pending(Whose(**whose), after=None, limit=100)
    return found


async def reason_of(call: Awaitable[object]) -> str:
    """The reason of the error that a call raises."""
    with pytest.raises(PoolError) as caught:
        await call
    return caught.value.reason


# Who is paid -------------------------------------------------------------------------------------


async def test_the_loop_pays_who_is_due_and_books_it_at_once(pool: Pool, payouts: Payouts) -> None:
    rich, poor = await pool.farmer(150), await pool.farmer(99)
    stranger = await pool.farmer(500, agrees=False)
    run_id = await payouts.step()
    assert run_id is not None
    await payouts.runner.run(run_id)
    assert pool.wallet.paid == {str(rich.farmer_id): 150}
    assert await pool.balances(rich) == {}
    assert await pool.balances(poor) == {"farmer:available": 99}
    (paid,) = await pool.payouts()
    assert (paid.state, paid.amount, paid.cause.value, paid.ledger) == (
        "paid",
        150,
        "threshold",
        321,
    )
    assert await payouts.step() is None
    told = {one.payee.payee_id: one.reason for one in await pending(payouts)}
    assert told == {
        poor.farmer_id: Reason.BELOW_THRESHOLD,
        stranger.farmer_id: Reason.NO_TERMS,
    }
    assert (await pool.ledger.ledger.check()).differences == []


async def test_fees_go_to_the_pooler_its_miners_and_the_operator_to_the_stroop(
    pool: Pool, payouts: Payouts
) -> None:
    await pool.ledger.agree(2000, 500, 5000)
    person = await pool.farmer()
    await pool.earns(person, 1000, (100, 50, 100))
    address = await pool.miner(60)
    told = {(one.reason, one.amount) for one in await pending(payouts)}
    assert told == {
        (Reason.DUE, 750),
        (Reason.NOT_COLLECTED, 100),
        (Reason.NOT_DIVIDED, 40),
        (Reason.NOT_COLLECTED, 60),
        (Reason.NOT_COLLECTED, 50),
    }
    await run(payouts)
    # What lies in the pooler's account is paid by the next run: the rest of the miners' is kept.
    assert await pool.ledger.balances(pool.ledger.pooler) == {
        "pooler:fee": 100,
        "miner:earned": 40,
        "pooler:held": 200,
    }
    await run(payouts)
    pooler = str(pool.ledger.pooler)
    assert pool.wallet.paid == {str(person.farmer_id): 750, address: 60, pooler: 100}
    assert await pool.ledger.balances(pool.ledger.pooler) == {"miner:earned": 40, "pooler:held": 40}
    own = await pool.ledger.balances()
    assert own == {"chain:mint": -1000, "chain:out": 960, "chain:moved": -40}
    assert [(one.amount, one.reason) for one in await pending(payouts)] == [
        (40, Reason.NOT_DIVIDED)
    ]
    claims = await pool.ledger.admin.fetch(
        "SELECT pooler, miners, operator FROM harvest.fee_claims"
    )
    assert list(map(tuple, claims)) == [(0, 0, 0)]
    assert (await pool.ledger.ledger.check()).differences == []


async def test_a_miner_that_cannot_be_paid_holds_up_no_other(pool: Pool, payouts: Payouts) -> None:
    await pool.ledger.agree(2000, 0, 5000)
    person = await pool.farmer()
    await pool.earns(person, 1000, (100, 0, 100))
    address = await pool.miner(60)
    odd = await pool.miner(40, MuxedAccount(Keypair.random().public_key, 7).account_muxed)
    for _ in range(2):
        await run(payouts)
    assert pool.wallet.paid[address] == 60
    waiting = [one for one in await pending(payouts) if one.reason is Reason.REFUSED]
    assert [(one.payee.address, one.amount) for one in waiting] == [(odd, 40)]
    assert waiting[0].payee.history.refusal == "DESTINATION_NOT_PAYABLE"


async def test_a_pooler_is_paid_for_its_own_hashes_from_its_miners_part(
    pool: Pool, payouts: Payouts
) -> None:
    await pool.ledger.agree(2000, 0, 5000)
    person = await pool.farmer()
    await pool.earns(person, 1000, (100, 0, 100))
    await pool.divide(pool.ledger.pooler, 100, "pooler:fee")
    for _ in range(3):
        await run(payouts)
    own = await pool.ledger.admin.fetchval(
        "SELECT public_key FROM registry.poolers WHERE id = $1", pool.ledger.pooler
    )
    assert pool.wallet.paid == {
        str(person.farmer_id): 800,
        str(pool.ledger.pooler): 100,
        own: 100,
    }
    assert await pool.ledger.balances(pool.ledger.pooler) == {}
    assert await pool.ledger.balances() == {"chain:mint": -1000, "chain:out": 1000}


async def test_fees_that_cannot_move_make_no_sweep_due(pool: Pool, payouts: Payouts) -> None:
    await pool.ledger.agree(2000, 2000, 0)
    person = await pool.farmer(agrees=False)
    # Nobody has said where the operator's part goes.
    await pool.earns(person, 6000, (1200, 0, 0))
    swept = await payouts.step()
    assert swept is not None
    await payouts.runner.run(swept)
    claims = await pool.ledger.admin.fetchrow(
        "SELECT pooler, miners, operator FROM harvest.fee_claims"
    )
    assert tuple(claims or ()) == (0, 0, 1200)
    (paid,) = await pool.payouts()
    assert (paid.amount, paid.pooler_fee, paid.operator_fee) == (0, 1200, 0)
    # The pooler is paid; nothing is swept again.
    made = await run(payouts)
    assert (made.items, made.total) == (1, 1200)


async def test_one_refusal_holds_up_nobody_and_is_retried_when_mended(
    pool: Pool, payouts: Payouts
) -> None:
    one, other = await pool.farmer(150), await pool.farmer(150)
    pool.wallet.faults.refused[str(one.farmer_id)] = "DESTINATION_MISSING"
    made = await run(payouts)
    assert (made.paid, made.failed, made.total, made.total_paid) == (1, 1, 300, 150)
    (told,) = await pending(payouts)
    assert (told.reason, told.payee.history.refusal) == (Reason.REFUSED, "DESTINATION_MISSING")
    assert told.expected_at is not None
    assert await payouts.step() is None
    pool.wallet.faults.refused.clear()
    await run(payouts)
    assert pool.wallet.times == {str(one.farmer_id): 1, str(other.farmer_id): 1}
    assert await pending(payouts) == []


async def test_what_failed_in_a_ledger_is_available_again(pool: Pool, payouts: Payouts) -> None:
    person = await pool.farmer(150)
    pool.wallet.faults.failing[str(person.farmer_id)] = "DESTINATION_FULL"
    made = await run(payouts)
    assert (made.paid, made.failed) == (0, 1)
    assert await pool.balances(person) == {"farmer:available": 150}
    pool.wallet.faults.failing.clear()
    await run(payouts)
    assert pool.wallet.paid == {str(person.farmer_id): 150}


# By hand -----------------------------------------------------------------------------------------


async def test_a_run_pays_no_more_than_was_seen_and_is_one_by_its_request(
    pool: Pool, payouts: Payouts
) -> None:
    person = await pool.farmer(150)
    assert await reason_of(run(payouts, 149)) == "PAYOUTS_EXCEED"
    assert (await payouts.preview(EVERYBODY)).total == 150
    wish = Wish(request_id="mine", asked_by="operator")
    first = await payouts.run(wish, EVERYBODY, 150)
    await pool.ledger.book("deposit", person, 500)
    assert await payouts.run(wish, EVERYBODY, 150) == first
    assert await pool.store.has_run(name_of_run("mine"))
    assert not await pool.store.has_run(name_of_run("another"))
    assert await reason_of(payouts.run(wish, EVERYBODY, 151)) == "REQUEST_ID_REUSED"
    assert pool.wallet.times == {str(person.farmer_id): 1}


async def test_a_farmer_is_paid_now_whatever_its_terms(pool: Pool, payouts: Payouts) -> None:
    person = await pool.farmer(50, agrees=False)
    farmer, wish = FarmerId(person.farmer_id), Wish(request_id="a", asked_by="pooler")
    too_much = payouts.pay_now(wish, farmer, 51, by_operator=False)
    assert await reason_of(too_much) == "PAYOUT_TOO_LARGE"
    paid = await payouts.pay_now(wish, farmer, 20, by_operator=False)
    assert (paid.state, paid.amount, paid.cause.value) == ("paid", 20, "now")
    assert await payouts.pay_now(wish, farmer, 20, by_operator=False) == paid
    rest = await payouts.pay_now(replace(wish, request_id="b"), farmer, None, by_operator=False)
    assert rest.amount == 30
    nothing = payouts.pay_now(replace(wish, request_id="c"), farmer, None, by_operator=False)
    assert await reason_of(nothing) == "PAYOUT_EMPTY"
    assert pool.wallet.paid == {str(person.farmer_id): 50}


async def test_large_payouts_are_for_operators(pool: Pool, payouts: Payouts) -> None:
    person = await pool.farmer(2 * 10**6)
    assert await payouts.step() is None
    assert [one.reason for one in await pending(payouts)] == [Reason.NEEDS_APPROVAL]
    wish = Wish(request_id="a", asked_by="pooler")
    refused = payouts.pay_now(wish, FarmerId(person.farmer_id), None, by_operator=False)
    assert await reason_of(refused) == "PAYOUT_NEEDS_APPROVAL"
    assert (await run(payouts)).paid == 1


async def test_a_day_has_its_limit(pool: Pool, payouts: Payouts) -> None:
    for _ in range(3):
        await pool.farmer(100)
    async with open_channel(pool.target) as channel:
        limited = pool.process(channel, daily_pool=250)
        assert (await run(limited)).paid == 2
        assert (await run(limited)).items == 0
        assert [one.reason for one in await pending(limited)] == [Reason.DAILY_LIMIT]


async def test_the_switch_stops_runs_and_is_kept(pool: Pool, payouts: Payouts) -> None:
    person = await pool.farmer(150)
    turn = await payouts.switch(is_off=True, actor="ann", reason="an exchange is down")
    again = await payouts.switch(is_off=True, actor="bob", reason="again")
    assert turn == again
    assert await payouts.step() is None
    assert await reason_of(run(payouts)) == "PAYOUTS_OFF"
    assert [one.reason for one in await pending(payouts)] == [Reason.SWITCHED_OFF]
    assert await payouts.warnings() == ["payouts are switched off by ann: an exchange is down"]
    await payouts.switch(is_off=False, actor="bob", reason="it is up")
    assert [one.is_off for one in await payouts.switchings(9)] == [False, True]
    assert (await run(payouts)).paid == 1
    assert pool.wallet.times == {str(person.farmer_id): 1}
    with pytest.raises(Exception, match="append-only"):
        await pool.ledger.admin.execute("DELETE FROM harvest.payout_switchings")


async def test_the_switch_stops_what_wallet_was_not_asked_for_yet(
    pool: Pool, payouts: Payouts
) -> None:
    await pool.ledger.agree(2000, 0, 5000)
    person = await pool.farmer()
    await pool.earns(person, 1000, (100, 0, 100))
    await run(payouts)
    address = await pool.miner(60)
    await pool.ledger.book("deposit", person, 150)
    async with open_channel(pool.target) as channel:
        wallet = SwitchingOff(wallet=WalletPayouts(channel), payouts=payouts)
        one = pool.process(channel)
        one.runner = PayoutRunner(pool.store, wallet, call=2, lease=3, parallel=1)
        run_id = await one.step()
        assert run_id is not None
        await asyncio.sleep(1)
        # That of the first run, and one of three chunks.
        assert len(pool.wallet.calls) == 2
        await one.runner.aclose()
    await payouts.switch(is_off=False, actor="ann", reason="it was none")
    await asyncio.sleep(3)  # the lease
    await payouts.runner.run(run_id)
    assert pool.wallet.paid == {
        str(person.farmer_id): 950,
        address: 60,
        str(pool.ledger.pooler): 100,
    }


async def test_twenty_runs_at_once_pay_once(pool: Pool, payouts: Payouts) -> None:
    people = [await pool.farmer(150) for _ in range(4)]
    await asyncio.gather(*(run(payouts) for _ in range(20)))
    assert pool.wallet.times == {str(one.farmer_id): 1 for one in people}


# Whoever dies ------------------------------------------------------------------------------------

EDGES = ("recorded", "planned", "asked", "told", "settled", "completed")


@pytest.mark.parametrize("edge", EDGES)
async def test_a_killed_run_goes_on_and_pays_once(pool: Pool, edge: str) -> None:
    await pool.ledger.agree(2000, 500, 5000)
    people = [await pool.farmer(150) for _ in range(3)]
    for person in people:
        await pool.ledger.harvested(person, reward_amount=100, stake_returned=0, block=BLOCK)
        pool.wallet.fees[str(person.farmer_id)] = (10, 5, 10)
    async with open_channel(pool.target) as channel:
        killed = pool.process(channel)
        failpoints.arm(f"harvest.payout.{edge}=raise")
        with pytest.raises(FailpointError):
            await run(killed)
        failpoints.arm("")
        await killed.runner.aclose()
        other = pool.process(channel)
        await other.runner.recover()
        for run_id in await pool.store.open_runs():
            await other.runner.run(run_id)
        await run(other)
        await other.runner.aclose()
    farmers = {str(one.farmer_id): 1 for one in people}
    assert {name: pool.wallet.times[name] for name in farmers} == farmers
    assert sum(pool.wallet.paid[name] for name in farmers) == 3 * 225
    assert [await pool.balances(one) for one in people] == [{}] * 3
    assert await pool.store.open_runs() == []
    assert (await pool.ledger.ledger.check()).differences == []


async def test_who_comes_to_a_run_that_is_complete_waits_for_nothing(
    pool: Pool, payouts: Payouts
) -> None:
    await pool.farmer(150)
    made = await run(payouts)
    async with open_channel(pool.target) as channel, asyncio.timeout(60):
        for process in (payouts, pool.process(channel)):
            await process.runner.run(made.run_id)
    assert len(pool.wallet.calls) == 1


async def test_answers_that_are_lost_are_asked_for_again(pool: Pool, payouts: Payouts) -> None:
    person = await pool.farmer(150)
    pool.wallet.faults.lost = 3
    assert (await run(payouts)).paid == 1
    assert len(set(pool.wallet.calls)) == 1
    assert pool.wallet.times == {str(person.farmer_id): 1}


async def test_what_wallet_refuses_as_a_whole_is_refused_once(pool: Pool, payouts: Payouts) -> None:
    await pool.farmer(150)
    pool.wallet.faults.refuse = "KEYS_UNUSABLE"
    made = await run(payouts)
    assert (made.failed, len(pool.wallet.calls)) == (1, 1)
    (paid,) = await pool.payouts()
    assert (paid.state, paid.reason) == ("refused", "KEYS_UNUSABLE")


async def test_what_nobody_knows_the_end_of_is_not_paid_again(pool: Pool, payouts: Payouts) -> None:
    person = await pool.farmer(150)
    pool.wallet.faults.tampered.add(str(person.farmer_id))
    assert await payouts.step() is not None
    await asyncio.sleep(1)
    assert await payouts.step() is None
    (told,) = await pending(payouts)
    assert (told.reason, told.amount) == (Reason.ON_ITS_WAY, 150)
    assert pool.wallet.times == {str(person.farmer_id): 1}


async def test_a_settled_payout_says_for_ever_what_it_said(pool: Pool, payouts: Payouts) -> None:
    await pool.farmer(150)
    await run(payouts)
    for change in (
        "UPDATE harvest.payout_items SET amount = 1",
        "DELETE FROM harvest.payout_items",
        "TRUNCATE harvest.payout_items CASCADE",
    ):
        with pytest.raises(Exception, match=r"stays as it is|append-only"):
            await pool.ledger.admin.execute(change)


async def test_what_is_beside_a_payout_on_its_way_has_a_reason_of_its_own(
    pool: Pool, payouts: Payouts
) -> None:
    person = await pool.farmer(90)
    pool.wallet.faults.tampered.add(str(person.farmer_id))
    wish = Wish(request_id="a", asked_by="pooler")
    paying = asyncio.create_task(
        payouts.pay_now(wish, FarmerId(person.farmer_id), 20, by_operator=False)
    )
    await eventually(pool.store.open_runs)
    told = {one.reason: one.amount for one in await pending(payouts)}
    assert told == {Reason.ON_ITS_WAY: 20, Reason.BELOW_THRESHOLD: 70}
    # Once it is booked as pending it is told no other way.
    await pool.ledger.book("withdrawal", person, 20)
    told = {one.reason: one.amount for one in await pending(payouts)}
    assert told == {Reason.ON_ITS_WAY: 20, Reason.BELOW_THRESHOLD: 70}
    paying.cancel()


async def test_pages_go_on_where_they_ended(pool: Pool, payouts: Payouts) -> None:
    people = sorted([(await pool.farmer(50)).farmer_id for _ in range(5)])
    found = list[UUID]()
    after = None
    while True:
        page, after = await payouts.pending(EVERYBODY, after=after, limit=2)
        found += [one.payee.payee_id for one in page]
        if after is None:
            break
    assert found == people
    whose = Whose(pooler_id=PoolerId(pool.ledger.pooler))
    assert len((await payouts.pending(whose, after=None, limit=9))[0]) == 5


async def test_a_suspended_farmer_is_paid_by_name_alone(pool: Pool, payouts: Payouts) -> None:
    person = await pool.farmer(150)
    await pool.ledger.admin.execute("UPDATE registry.farmers SET status = 'suspended'")
    assert (await run(payouts)).items == 0
    assert [one.reason for one in await pending(payouts)] == [Reason.FARMER_SUSPENDED]
    assert pool.wallet.by_name == []
    farmer_id = FarmerId(person.farmer_id)
    made = await run(payouts, farmer_id=farmer_id)
    assert made.paid == 1
    # wallet looks at standings itself, and is told who asked.
    assert pool.wallet.by_name == [True]
    await pool.ledger.book("deposit", person, 50)
    for place, by_operator in enumerate((True, False)):
        wish = Wish(request_id=f"now {place}", asked_by="x")
        await payouts.pay_now(wish, farmer_id, 20, by_operator=by_operator)
    assert pool.wallet.by_name == [True, True, False]


async def test_miners_of_a_suspended_pooler_are_paid_and_the_pooler_is_not(
    pool: Pool, payouts: Payouts
) -> None:
    person = await pool.farmer()
    await pool.earns(person, 1_000, (100, 0, 100))
    await run(payouts)
    address = await pool.miner(60)
    await pool.ledger.admin.execute("UPDATE registry.poolers SET is_active = false")
    await run(payouts)
    assert pool.wallet.paid[address] == 60
    assert pool.wallet.paid[str(pool.ledger.pooler)] == 0


async def test_a_farmer_that_there_is_not_is_told(payouts: Payouts) -> None:
    nobody = FarmerId(new_id())
    wish = Wish(request_id="a", asked_by="x")
    assert await reason_of(payouts.pay_now(wish, nobody, None, by_operator=False)) == (
        "FARMER_NOT_FOUND"
    )
    assert await reason_of(pending(payouts, farmer_id=nobody)) == "FARMER_NOT_FOUND"
    with pytest.raises(FailedPreconditionError):
        await payouts.switch(is_off=True, actor="a", reason="b")
        await run(payouts)

"""What whoever has a password or a certificate tries to take, and how that is measured."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from libs.common.names import SERVICES
from services.second_person import COVERED
from trials.report import Output, show
from trials.security.thefts import (
    addresses,
    approvals,
    holding,
    own_say,
    payments,
    records,
    treasury,
)
from trials.security.thefts.kinds import (
    ALL_RIGHTS,
    MOST_DELAYED,
    Connection,
    Outcome,
    Theft,
    Tried,
)
from trials.security.thefts.pool import Farmer, Pool
from trials.security.thefts.run import quick, steal, table_of
from trials.security.thefts.table import THEFTS

STOPPED = Tried(
    name="a payout that was made, put back",
    who="all rights",
    gain="a second payout",
    got=(),
    kale=0,
    xlm=0,
    delayed=0.4,
    stopped="its payer stopped",
    noticed=("paid, and put back: not paid again",),
)


def test_each_theft_has_a_name_of_its_own_a_thief_and_something_to_gain() -> None:
    assert len({theft.name for theft in THEFTS}) == len(THEFTS) > 30
    for theft in THEFTS:
        assert theft.gain
        assert theft.roles or theft.shows, theft.name
        assert set(theft.roles) <= {*SERVICES, ALL_RIGHTS}
    assert {"registry", "wallet", ALL_RIGHTS} <= {who for theft in quick() for who in theft.roles}


def test_each_order_that_takes_two_operators_is_given_by_one() -> None:
    farmer = Farmer(id="f", address="G1", outside="G2")
    orders = approvals.orders_of("p", farmer)
    assert set(orders) == {path.rpartition("/")[2] for path in COVERED}


@pytest.mark.parametrize(
    ("tried", "words"),
    [
        (replace(STOPPED, got=["a second payout"]), "took a second payout"),
        (replace(STOPPED, kale=5), "took 5 stroops of KALE"),
        (replace(STOPPED, xlm=7), "took 7 stroops of the treasury's XLM"),
        (replace(STOPPED, delayed=MOST_DELAYED + 1), "a payout took 16.0 s more"),
        (replace(STOPPED, delayed=None), "an honest payout was not made"),
    ],
)
def test_what_was_taken_or_delayed_is_a_failure(tried: Tried, words: str) -> None:
    assert STOPPED.failures == []
    (failure,) = tried.failures
    assert words in failure
    assert STOPPED.name in failure


def test_the_table_says_what_was_taken_delayed_and_noticed() -> None:
    console = Console(width=200)
    with console.capture() as said:
        show(console, Output(parts=[table_of([STOPPED, replace(STOPPED, kale=5_000)])]))
    text = said.get()
    for words in ("all rights", "a second payout", "0.4", "its payer stopped", "5,000 KALE"):
        assert words in text


#: Thefts that no other test tries on a running wallet. All of them: make security.
SAMPLE = (
    records.a_record_in_bobs_name,
    payments.the_rent_of_the_thiefs_choice,
    approvals.one_operator_alone,
    approvals.a_flood_of_requests,
    addresses.an_address_that_was_there_already,
    addresses.addresses_again_and_again,
    own_say.an_address_of_ones_own,
    own_say.an_address_changed_twice,
    own_say.an_address_taken_away,
    own_say.tables_of_a_service,
    own_say.an_owner_account_of_a_row,
    own_say.a_mark_of_a_row,
    own_say.a_fee_of_everything,
    own_say.a_fee_of_nothing,
    own_say.an_agreement_in_mid_block,
    own_say.an_agreement_of_a_row,
    holding.savepoints_without_an_end,
    holding.an_old_snapshot,
    treasury.fewer_farmers_than_there_are,
    treasury.poolers_that_are_invented,
)


async def a_gift(pool: Pool, thief: Connection) -> Outcome:
    """What the measure has to find: 5 stroops of KALE at the thief's address."""
    assert await thief.fetchval("SELECT current_user") == "kalepool_plant"
    address = await pool.thief()
    await pool.give(address, 5)
    assert (await pool.payments())[address, 5] == 1
    return Outcome()


@pytest.mark.e2e
async def test_nobody_takes_anything_from_a_running_pool(tmp_path: Path) -> None:
    # The last role is the one that can do most, or stands for the others.
    chosen = [replace(one, roles=one.roles[-1:]) for one in quick() if one.act in SAMPLE]
    assert len(chosen) == len(SAMPLE)
    gift = Theft(name="a gift", roles=("plant",), gain="KALE", act=a_gift)
    given, *tried = await steal(tmp_path / "stack", lambda _: None, [gift, *chosen])
    assert given.failures == ["a gift (plant's password) took 5 stroops of KALE"]
    assert [text for one in tried for text in one.failures] == []
    assert all(one.stopped or one.noticed for one in tried)
    told = {one.name: one for one in tried}
    assert "SECOND_PERSON, 23 methods" in told["every order that takes two operators"].stopped
    assert told["savepoints without an end"].noticed == ["session ended"]
    assert told["an old snapshot"].noticed == ["session ended"]
    assert "APPROVAL_LIMIT" in told["a flood of requests in operators' names"].stopped
    assert "PAYOUT_ADDRESS_NOT_YOURS" in told["a pooler's own address for its farmers"].stopped
    assert "FEE_TOO_HIGH" in told["a fee of everything"].stopped
    assert "PAYOUT_ADDRESS_LIMIT" in told["payout addresses again and again"].stopped
    assert "SPONSORSHIP_BUDGET" in told["fewer farmers than there are"].stopped

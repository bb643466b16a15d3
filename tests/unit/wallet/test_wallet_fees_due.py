"""Fees that are due: never a stroop more than was agreed, in whatever order things come."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from libs.kale.fees import Terms, split
from services.wallet.domain.fees_due import (
    NOTHING,
    WINDOW,
    Fate,
    FeeMark,
    Fees,
    Paid,
    Past,
    Reward,
    Rewards,
    accrued,
    advanced,
    are_whole,
    fees_of,
    paid,
    payable,
    unpacked_blocks,
)

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Agreed(Terms):
    """An agreement, as far as fees go by it."""

    effective_at: datetime


def agreed(pooler: int = 1_000, operator: int = 100, miners: int = 5_000, *, at: int = 0) -> Agreed:
    """Return an agreement that counts so many blocks after the first."""
    return Agreed(
        pooler_bps=pooler, operator_bps=operator, miners_bps=miners, effective_at=opened(at)
    )


def opened(block: int) -> datetime:
    """Return when a block opened."""
    return DAY + timedelta(seconds=300 * block)


def of_blocks(amounts: dict[int, int], *agreements: Agreed) -> Rewards:
    """Return rewards of blocks."""
    return Rewards(
        rewards=[Reward(block_index=block, amount=amount) for block, amount in amounts.items()],
        opened={block: opened(block) for block in amounts},
        agreements=agreements,
    )


def past(number: int, parts: Fees, fate: Fate = Fate.PAID, *, is_final: bool = True) -> Past:
    return Past(number=number, parts=parts, fate=fate, is_final=is_final)


AMOUNTS = st.dictionaries(st.integers(0, 3 * WINDOW), st.integers(0, 10**15), max_size=30)
PARTS = st.builds(
    Fees, pooler=st.integers(0, 10**12), operator=st.integers(0, 10**12), miners=st.integers(0, 99)
)
AGREEMENTS = st.lists(
    st.builds(
        agreed,
        st.integers(0, 4_000),
        st.integers(0, 1_000),
        st.integers(0, 10_000),
        at=st.integers(-10, 3 * WINDOW),
    ),
    max_size=4,
)


def test_a_reward_goes_by_the_agreement_in_force_when_its_block_opened() -> None:
    old, new = agreed(1_000), agreed(2_000, at=5)
    assert fees_of(1_000, opened(4), [old, new]).of_pooler == 100
    assert fees_of(1_000, opened(5), [old, new]).of_pooler == 200
    # In mid-block: it counts from the next block on.
    late = Agreed(
        pooler_bps=3_000,
        operator_bps=0,
        miners_bps=0,
        effective_at=opened(5) + timedelta(microseconds=1),
    )
    assert fees_of(1_000, opened(5), [old, new, late]).of_pooler == 200
    assert fees_of(1_000, opened(6), [old, new, late]).of_pooler == 300


def test_without_an_agreement_there_are_no_fees() -> None:
    assert fees_of(10**9, opened(3), []) == NOTHING
    assert fees_of(10**9, opened(3), [agreed(at=4)]) == NOTHING


@given(st.integers(0, 10**15), AGREEMENTS, st.integers(0, 3 * WINDOW))
def test_fees_are_those_that_the_ledger_books(
    reward: int, agreements: list[Agreed], block: int
) -> None:
    fees = fees_of(reward, opened(block), agreements)
    counted = [item for item in agreements if item.effective_at <= opened(block)]
    if not counted:
        assert fees == NOTHING
        return
    booked = split(reward, counted[-1])
    assert (fees.pooler, fees.operator, fees.miners) == (
        booked.pooler,
        booked.operator,
        booked.miners,
    )
    bps = counted[-1].pooler_bps + counted[-1].operator_bps
    assert fees.all == reward * bps // 10_000


def test_a_block_of_which_nobody_knows_when_it_opened_waits() -> None:
    rewards = of_blocks({3: 1_000, 4: 1_000}, agreed())
    known = Rewards(rewards=rewards.rewards, opened={3: opened(3)}, agreements=rewards.agreements)
    assert accrued(FeeMark(), known).all == 110
    mark = advanced(FeeMark(), known, [], until_block=10)
    assert accrued(mark, rewards).all == 220


@given(AMOUNTS, AGREEMENTS, st.lists(st.integers(-1, 3 * WINDOW), max_size=5))
def test_marks_change_no_sum(
    amounts: dict[int, int], agreements: list[Agreed], stops: list[int]
) -> None:
    """Whatever is marked in between, each reward counts once."""
    rewards = of_blocks(amounts, *agreements)
    whole = accrued(FeeMark(), rewards)
    mark = FeeMark()
    for stop in sorted(stops):
        mark = advanced(mark, rewards, [], until_block=stop)
        assert accrued(mark, rewards) == whole
        assert unpacked_blocks(mark.packed_blocks) == mark.blocks


@given(AMOUNTS, AMOUNTS, AGREEMENTS, st.integers(0, 3 * WINDOW))
def test_what_is_found_late_counts_once_or_never(
    early: dict[int, int], late: dict[int, int], agreements: list[Agreed], stop: int
) -> None:
    both = of_blocks({**late, **early}, *agreements)
    mark = advanced(FeeMark(), of_blocks(early, *agreements), [], until_block=stop)
    assert accrued(mark, both).all <= accrued(FeeMark(), both).all
    again = advanced(mark, both, [], until_block=stop)
    assert accrued(again, both) == accrued(mark, both)
    if all(block >= mark.first_block for block in late):
        assert accrued(mark, both) == accrued(FeeMark(), both)


def test_what_failed_is_free_and_what_may_still_be_made_is_not() -> None:
    ten = Fees(pooler=10, operator=1, miners=2)
    found = paid(
        FeeMark(),
        [past(1, ten), past(2, ten, Fate.OPEN, is_final=False), past(3, ten, Fate.FAILED)],
    )
    assert found == Paid(paid=ten, in_flight=ten)
    assert found.all == ten + ten


def test_payments_have_to_be_there_from_the_mark_to_the_newest_on_record() -> None:
    rows = [past(number, NOTHING) for number in (1, 2, 3)]
    assert are_whole(FeeMark(), rows, newest=3)
    assert not are_whole(FeeMark(), rows, newest=4)
    assert not are_whole(FeeMark(), rows, newest=2)
    assert not are_whole(FeeMark(), rows[1:], newest=3)
    assert not are_whole(FeeMark(), [rows[0], rows[2]], newest=3)
    assert are_whole(FeeMark(until_number=1), rows[1:], newest=3)
    assert are_whole(FeeMark(), [], newest=0)


FATES = st.sampled_from([(Fate.PAID, True), (Fate.PAID, False), (Fate.OPEN, False)])
FATES |= st.sampled_from([(Fate.FAILED, True), (Fate.FAILED, False)])


@given(st.lists(st.tuples(PARTS, FATES), max_size=20))
def test_a_mark_changes_nothing_of_what_was_paid(
    payments: list[tuple[Fees, tuple[Fate, bool]]],
) -> None:
    rows = [
        past(number, parts, fate, is_final=is_final)
        for number, (parts, (fate, is_final)) in enumerate(payments, start=1)
    ]
    mark = advanced(FeeMark(), Rewards(), rows, until_block=-1)
    assert paid(mark, rows) == paid(FeeMark(), rows)
    # A mark stops before the first that may still change.
    firm = next((item.number for item in rows if not item.is_final), len(rows) + 1)
    assert mark.until_number == firm - 1


STROOPS = st.integers(-5, 3 * 10**12)


@given(PARTS, STROOPS, STROOPS, STROOPS)
def test_no_part_is_more_than_is_due_and_all_no_more_than_is_free(
    due: Fees, free: int, to_pooler: int, to_operator: int
) -> None:
    fees = payable(due, free=free, to_pooler=to_pooler, to_operator=to_operator)
    assert fees.beyond(due) == NOTHING
    assert 0 <= fees.all <= max(0, free)
    assert fees.of_pooler <= max(0, to_pooler)
    assert fees.operator <= max(0, to_operator)
    if due.all <= free and due.of_pooler <= to_pooler and due.operator <= to_operator:
        assert fees == due


@given(
    AMOUNTS,
    AGREEMENTS,
    st.lists(st.tuples(st.integers(0, 10**14), FATES, st.booleans()), max_size=20),
)
def test_no_stroop_more_than_agreed_leaves_whatever_is_asked_for(
    amounts: dict[int, int],
    agreements: list[Agreed],
    asked: list[tuple[int, tuple[Fate, bool], bool]],
) -> None:
    rewards, mark, rows = of_blocks(amounts, *agreements), FeeMark(), list[Past]()
    for number, (free, (fate, is_final), marks) in enumerate(asked, start=1):
        if marks:
            mark = advanced(mark, rewards, rows, until_block=number * 50)
        due = accrued(mark, rewards).beyond(paid(mark, rows).all)
        parts = payable(due, free=free, to_pooler=10**18, to_operator=10**18)
        rows.append(past(number, parts, fate, is_final=is_final))
    agreed_of_all = accrued(FeeMark(), rewards)
    left = paid(FeeMark(), rows).all
    assert left.beyond(agreed_of_all) == NOTHING

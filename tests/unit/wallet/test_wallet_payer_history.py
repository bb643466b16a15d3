"""A payer's past: what was deleted, changed or added by somebody else is seen."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import new_id
from services.wallet.domain.model import TransactionId
from services.wallet.domain.payer_history import NOTHING, PastTransaction, PayerHistory

#: The number that an account begins with: its ledger in the upper half.
BEGINNING = 7 << 32


def past(steps: list[bool]) -> list[PastTransaction]:
    """Return a past in which each step succeeded (a target was reached) or failed."""
    number, items = BEGINNING, list[PastTransaction]()
    for is_paid in steps:
        bump_to = number + 1001
        items.append(
            PastTransaction(
                id=TransactionId(new_id()), sequence=number + 1, bump_to=bump_to, is_genuine=True
            )
        )
        number = bump_to if is_paid else number + 1
    return items


@given(st.lists(st.booleans(), max_size=12))
def test_what_wallet_wrote_has_no_flaw(steps: list[bool]) -> None:
    items, history = past(steps), PayerHistory()
    for end in range(len(items) + 1):
        assert history.flaw(items[:end]) == ""
        assert history.seen == {item.id: item.bump_to for item in items[:end]}
        assert history.mark == (end, sum(item.bump_to for item in items[:end]))


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
def test_a_row_that_a_process_has_seen_cannot_go(steps: list[bool], data: st.DataObject) -> None:
    items, history = past(steps), PayerHistory()
    assert history.flaw(items) == ""
    gone = data.draw(st.sampled_from(items))
    assert "is gone" in history.flaw([item for item in items if item is not gone])


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.data())
def test_a_row_that_led_to_another_cannot_go_unseen(steps: list[bool], data: st.DataObject) -> None:
    items = past(steps)
    gone = data.draw(st.sampled_from(items[:-1]))
    assert "is gone" in PayerHistory().flaw([item for item in items if item is not gone])


def test_a_row_that_somebody_else_wrote_is_told() -> None:
    first, second = past([True, True])
    forged = PastTransaction(
        id=second.id, sequence=second.sequence, bump_to=second.bump_to, is_genuine=False
    )
    history = PayerHistory()
    assert history.flaw([first, forged]) == (
        f"transaction {second.id} of its past was not written by wallet"
    )
    # Nothing of it is taken as seen.
    assert history.mark == NOTHING
    assert history.flaw([first, second]) == ""


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
def test_what_was_seen_is_missed_where_it_is_not_told(
    steps: list[bool], data: st.DataObject
) -> None:
    items, history = past(steps), PayerHistory()
    assert history.flaw(items) == ""
    since = data.draw(st.sampled_from(items)).id
    told = {item.id for item in data.draw(st.lists(st.sampled_from(items)))}
    expected = [item.id for item in items if item.id >= since and item.id not in told]
    assert history.missing(told, since=since) == expected
    # A target that was reached is gone on from, if anything was signed after it.
    reached = [item.bump_to for item, is_paid in zip(items, steps, strict=True) if is_paid]
    gone_on = [item.bump_to for item in items if history.goes_on_from(item.bump_to)]
    assert gone_on == [one for one in reached if one != items[-1].bump_to]

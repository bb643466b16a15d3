"""How many calls go together: never too many, never too large, and none is lost."""

from hypothesis import given
from hypothesis import strategies as st

from services.wallet.chain.lists import LONGEST, ListSize


def grown() -> ListSize:
    """The size for a node that has taken everything so far."""
    size = ListSize()
    while size.now < LONGEST:
        size.answered(size.now)
    return size


@given(st.lists(st.integers(0, 300_000).map(lambda length: "a" * length), max_size=40))
def test_lists_are_the_same_envelopes_in_their_order(texts: list[str]) -> None:
    lists = list(grown().lists(texts))
    assert [text for part in lists for text in part] == texts
    for part in lists:
        assert 1 <= len(part) <= LONGEST
        # A single one may be larger: then it is the node's to refuse.
        assert len(part) == 1 or sum(map(len, part)) <= 256 * 1024


def test_it_grows_with_answers_to_full_lists_only() -> None:
    size = ListSize()
    seen = []
    for _ in range(7):
        seen.append(size.now)
        size.answered(size.now)
    assert seen == [1, 2, 4, 8, 16, LONGEST, LONGEST]
    size.unanswered()
    assert size.now == 1
    size.answered(1)
    size.answered(1)
    assert size.now == 2


@given(st.integers(1, 1000))
def test_it_finds_what_a_node_takes_and_stays_there(longest: int) -> None:
    """However long: a refusal is never followed by another one of the same length."""
    size, refused = ListSize(), []
    for _ in range(50):
        if size.now > longest:
            refused.append(size.now)
            size.refused(size.now)
        else:
            size.answered(size.now)
    assert len(set(refused)) == len(refused) <= 2
    assert min(longest, LONGEST) / 2 < size.now + 1
    assert size.now <= longest

"""The Merkle-sum tree: sums are exact, paths lead to the root, no leaf is negative or alike."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.statements import sums_tree
from libs.kale.statements.lines import NO_HISTORY
from libs.kale.statements.roots import NO_RECORD, Root, broken_at, entry_value, read_entry
from libs.kale.statements.sums_tree import (
    MAX_SUM,
    PADDING,
    Claim,
    ClaimError,
    NegativeClaimError,
    Node,
    PathError,
    Step,
    Tree,
    depth_of,
    leaf_of,
    parent_of,
    root_above,
)

ROOT = Path(__file__).parents[3]
amounts = st.integers(0, 2**80)
balances = st.dictionaries(st.sampled_from(["farmer:available", "farmer:staked"]), amounts)


def claim(number: int, held: dict[str, int], *, salt: bytes = b"") -> Claim:
    """A claim with a salt of its own."""
    return Claim(
        owner=UUID(int=number),
        address="",
        balances=tuple(sorted(held.items())),
        history=NO_HISTORY,
        salt=salt or number.to_bytes(32, "big"),
    )


@given(st.lists(balances, max_size=40))
def test_sums_are_exact_and_every_path_leads_to_the_root(held: list[dict[str, int]]) -> None:
    claims = [claim(number, one) for number, one in enumerate(held)]
    tree = Tree(claims)
    assert tree.root.total == sum(sum(one.values()) for one in held)
    assert len(tree) == len(claims)
    for one in claims:
        path = tree.path(one.owner)
        assert len(path) == depth_of(len(claims))
        assert root_above(tree.leaf(one.owner), path) == tree.root
        assert tree.leaf(one.owner) == leaf_of(one)
    if not claims:
        assert tree.root == PADDING


@given(st.lists(balances, min_size=2, max_size=20), st.data())
def test_whatever_of_a_path_is_changed_leads_elsewhere(
    held: list[dict[str, int]], data: st.DataObject
) -> None:
    tree = Tree([claim(number, one) for number, one in enumerate(held)])
    owner = UUID(int=data.draw(st.integers(0, len(held) - 1)))
    path, leaf = tree.path(owner), tree.leaf(owner)
    place = data.draw(st.integers(0, len(path) - 1))
    step = path[place]
    changed = data.draw(
        st.sampled_from(
            [
                replace(step, total=step.total + data.draw(st.integers(1, 2**60))),
                replace(step, hash=bytes([step.hash[0] ^ 1]) + step.hash[1:]),
                replace(step, is_left=not step.is_left),
            ]
        )
    )
    assert root_above(leaf, [*path[:place], changed, *path[place + 1 :]]) != tree.root
    assert root_above(replace(leaf, total=leaf.total + 1), path) != tree.root


@given(st.integers(-(2**70), -1), st.integers(0, 5))
def test_no_leaf_and_no_sum_in_a_path_is_negative(below: int, others: int) -> None:
    claims = [claim(number, {"farmer:available": 9}) for number in range(others)]
    with pytest.raises(NegativeClaimError):
        Tree([*claims, claim(others, {"farmer:available": below, "farmer:staked": 0})])
    tree = Tree([claim(number, {"farmer:available": 9}) for number in range(2)])
    (step,) = tree.path(UUID(int=0))
    with pytest.raises(PathError) as caught:
        root_above(tree.leaf(UUID(int=0)), [replace(step, total=below)])
    assert caught.value.step == 0


def test_what_is_below_zero_in_one_account_may_be_made_good_by_another() -> None:
    one = claim(1, {"farmer:available": -7, "farmer:staked": 10})
    assert leaf_of(one).total == 3


def test_no_two_leaves_are_alike() -> None:
    same = {"farmer:available": 5}
    alike = [claim(1, same, salt=b"s" * 32), claim(2, same, salt=b"s" * 32)]
    assert len({leaf_of(one).hash for one in alike}) == 2
    salts = [claim(1, same, salt=bytes([at]) * 32) for at in range(1, 9)]
    assert len({leaf_of(one).hash for one in salts}) == 8
    with pytest.raises(ClaimError, match="two claims"):
        Tree([salts[0], salts[0]])


def test_a_leaf_covers_each_of_its_fields() -> None:
    one = claim(1, {"farmer:available": 5, "farmer:staked": 2})
    others = [
        replace(one, owner=UUID(int=2)),
        replace(one, address="G"),
        replace(one, balances=(("farmer:available", 2), ("farmer:staked", 5))),
        replace(one, history=b"h" * 32),
        replace(one, salt=b"t" * 32),
    ]
    assert len({leaf_of(other).hash for other in [one, *others]}) == 6
    assert {leaf_of(other).total for other in others} == {7}


@pytest.mark.parametrize(
    "odd",
    [
        replace(claim(1, {}), salt=b"short"),
        replace(claim(1, {}), history=b"short"),
        replace(claim(1, {}), balances=(("b", 1), ("a", 1))),
        replace(claim(1, {}), balances=(("a", 1), ("a", 1))),
        claim(1, {"a": MAX_SUM + 1}),
    ],
)
def test_what_is_no_leaf_is_refused(odd: Claim) -> None:
    with pytest.raises(ClaimError):
        leaf_of(odd)


def test_leaves_nodes_and_padding_cannot_be_taken_for_each_other() -> None:
    left, right = leaf_of(claim(1, {"a": 1})), leaf_of(claim(2, {"a": 2}))
    above = parent_of(left, right)
    # What a node hashes, given as a leaf's fields, is another hash, and so is the empty text.
    assert above.hash not in {left.hash, right.hash, PADDING.hash}
    assert parent_of(PADDING, PADDING) != PADDING
    with pytest.raises(ClaimError):
        parent_of(left, Node(hash=right.hash, total=-1))
    with pytest.raises(ClaimError):
        parent_of(left, Node(hash=right.hash, total=MAX_SUM))
    with pytest.raises(PathError):
        root_above(left, [Step(hash=b"short", total=1, is_left=True)])


def test_leaves_stand_in_no_order_of_their_owners() -> None:
    tree = Tree([claim(number, {"a": number}) for number in range(8)])
    other = Tree([claim(number, {"a": number}) for number in reversed(range(8))])
    assert tree.root == other.root


def _root(day: int, previous: bytes, journal: int = 9) -> Root:
    return Root(
        day=day,
        closed_at=day,
        last_journal=journal,
        leaves=3,
        refused=1,
        node=Node(hash=b"h" * 32, total=7),
        account="G",
        previous=previous,
    )


def test_the_record_of_a_root_covers_each_field_and_the_root_before() -> None:
    first = _root(1, NO_RECORD)
    second = _root(2, first.record)
    changed = [
        replace(second, day=3),
        replace(second, closed_at=3),
        replace(second, last_journal=10),
        replace(second, leaves=4),
        replace(second, refused=0),
        replace(second, node=Node(hash=b"i" * 32, total=7)),
        replace(second, node=Node(hash=b"h" * 32, total=8)),
        replace(second, account="H"),
        replace(second, previous=NO_RECORD),
    ]
    assert len({root.record for root in [first, second, *changed]}) == 11
    assert broken_at([first, second]) is None
    assert broken_at([first, second, _root(3, first.record)]) == 2
    assert broken_at([second, _root(2, second.record)]) == 1
    assert broken_at([second, _root(3, second.record, journal=8)]) == 1


def test_the_data_entry_holds_day_and_record() -> None:
    assert read_entry(entry_value(20_000, b"r" * 32)) == (20_000, b"r" * 32)
    with pytest.raises(ValueError, match="no root"):
        read_entry(b"1")


def test_docs_say_what_a_path_tells_of_a_neighbour() -> None:
    one, other = (claim(number, {"farmer:available": number * 100}) for number in (1, 2))
    (step,) = Tree([one, other]).path(one.owner)
    assert step.total == other.total
    guide = (ROOT / "docs/statements.md").read_text(encoding="utf-8")
    assert "A path tells sums in plain numbers" in guide
    assert "what one other owner has" in (sums_tree.__doc__ or "").replace("\n", " ")

"""Conduct that ends in a ban, terms by their version, codes by their meaning."""

from dataclasses import replace

import pytest

from pooler.shares.dividing import parts_of
from pooler.shares.domain.codes import FAULTS, MEANINGS, Code
from pooler.shares.domain.conduct import Conduct, ConductRules
from pooler.shares.domain.errors import BannedError, TermsChangedError
from pooler.shares.domain.model import BLOCK_EDGES, BlockRow, BlockState, BlockStep
from pooler.shares.domain.terms import Terms

RULES = ConductRules(faults=10, window=100.0)
TERMS = Terms(miners_bps=1000, own_hashes_take_part=True)
ROW = BlockRow(
    block=7,
    entropy=bytes(32),
    state=BlockState.CLOSED,
    opened_at=0,
    sent_at=0,
    own_hashes=500,
    miners_bps=1000,
    own_takes_part=True,
    points=0,
    rewards=0,
    pot=0,
)


def test_enough_faults_are_told_once() -> None:
    conduct = Conduct(RULES)
    assert conduct.count([Code.LOW_DIFFICULTY] * 9, 0.0) is None
    assert conduct.count([Code.BAD_TOKEN], 1.0) == "10 shares within 100 s were none"
    assert conduct.count([Code.BAD_TOKEN], 2.0) is None


def test_faults_of_long_ago_do_not_count() -> None:
    conduct = Conduct(RULES)
    assert conduct.count([Code.OUT_OF_RANGE] * 9, 0.0) is None
    assert conduct.count([Code.OUT_OF_RANGE] * 9, 101.0) is None


def test_who_brings_as_much_that_is_sound_is_not_banned() -> None:
    conduct = Conduct(RULES)
    assert conduct.count([Code.ACCEPTED] * 10 + [Code.LOW_DIFFICULTY] * 10, 0.0) is None
    assert conduct.count([Code.LOW_DIFFICULTY], 0.0) is not None


@pytest.mark.parametrize("code", [one for one in Code if one not in FAULTS])
def test_what_a_sound_miner_may_bring_is_no_fault(code: Code) -> None:
    assert Conduct(RULES).count([code] * 1000, 0.0) is None


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Code)


def test_other_terms_have_another_version() -> None:
    others = [
        replace(TERMS, miners_bps=1001),
        replace(TERMS, own_hashes_take_part=False),
        replace(TERMS, note="x"),
    ]
    assert len({one.version for one in (TERMS, *others)}) == 4
    assert replace(TERMS).version == TERMS.version
    assert TERMS.content()["minersPart"] == "0.1"


def test_errors_say_what_to_do() -> None:
    banned = BannedError.until(1_769_860_800.9, "faults")
    assert banned.metadata == {"until": "2026-01-31T12:00:00Z", "why": "faults"}
    assert TermsChangedError.to("abc").metadata == {"terms": "abc"}


def test_parts_are_of_the_blocks_own_terms_and_hashes() -> None:
    pot, parts = parts_of(ROW, 10_000, {3: 400, 5: 100})
    assert pot == 1000
    assert [(one.miner, one.points, one.amount) for one in parts] == [(3, 400, 400), (5, 100, 100)]
    pot, parts = parts_of(replace(ROW, own_takes_part=False), 10_001, {3: 400, 5: 100})
    assert pot == 1000
    assert [one.amount for one in parts] == [800, 200]


def test_nothing_is_divided_where_nobody_has_proven_anything() -> None:
    assert parts_of(ROW, 10_000, {}) == (0, [])


def test_a_block_goes_one_way() -> None:
    assert BLOCK_EDGES.initial is BlockState.MINED
    order = list(BlockState)
    for (start, _), end in BLOCK_EDGES.items():
        assert order.index(end) > order.index(start)
    assert BLOCK_EDGES[BlockState.CLOSED, BlockStep.DIVIDE] is BlockState.FINAL

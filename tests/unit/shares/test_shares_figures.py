"""The pool's figures and codes that miners' programs and operators know."""

import dataclasses

import pytest

from libs.http.errors import status_of
from pooler.shares.domain import errors
from pooler.shares.domain.codes import FAULTS, Code
from pooler.shares.domain.conduct import Conduct, ConductRules
from pooler.shares.domain.difficulty import Bounds, Vardiff, first
from pooler.shares.domain.errors import PausedError, TermsChangedError
from pooler.shares.domain.jobs import KEY_BYTES, MOST_NONCES, NONCES, TOKEN_LENGTH, new_key
from pooler.shares.domain.judging import Verdict
from pooler.shares.domain.model import BlockRow, BlockState, Share
from pooler.shares.domain.rates import WINDOWS
from pooler.shares.domain.terms import Terms
from pooler.shares.domain.withholding import FEWEST, SIGNIFICANCE, Level, Tally
from tests.support.reasons import reasons_of


def test_every_error_has_its_reason_and_status() -> None:
    assert reasons_of(errors) == {
        errors.MalformedError: "MALFORMED",
        errors.BadCredentialError: "BAD_CREDENTIAL",
        errors.BannedError: "BANNED",
        errors.LimitedError: "LIMITED",
        errors.PausedError: "PAUSED",
        errors.TermsChangedError: "TERMS_CHANGED",
        errors.BadTokenError: "BAD_TOKEN",
        errors.OtherChainError: "OTHER_CHAIN",
    }
    assert [status_of(error("x")) for error in (PausedError, TermsChangedError)] == [409, 409]


def test_an_operator_who_sets_nothing_has_these_bounds_and_rules() -> None:
    assert dataclasses.astuple(Bounds()) == (16**4, 16**10, 20)
    assert dataclasses.astuple(ConductRules()) == (200, 300.0, 600.0, 86_400.0)


def test_jobs_are_of_nonces_that_signed_numbers_hold() -> None:
    assert (NONCES, MOST_NONCES, KEY_BYTES, TOKEN_LENGTH) == (2**63, 2**40, 32, 82)
    assert len(new_key()) == 32


def test_rates_are_over_these_windows() -> None:
    assert WINDOWS == {"5m": (300, 15), "1h": (3600, 180), "24h": (86_400, 3600)}


def test_only_what_no_sound_miner_sends_is_a_fault() -> None:
    assert {Code.BAD_TOKEN, Code.LOW_DIFFICULTY, Code.OUT_OF_RANGE} == FAULTS


def test_terms_are_shown_whole() -> None:
    terms = Terms(miners_bps=2500, own_hashes_take_part=False, note="be kind")
    assert terms.content() == {
        "version": terms.version,
        "scheme": "by proven hashes, block by block",
        "minersPart": "0.25",
        "ownHashesTakePart": False,
        "note": "be kind",
    }
    # Miners keep it: the same terms have the same version in every release.
    assert terms.version == "de3b3d36ede35600"
    assert Terms(miners_bps=0, own_hashes_take_part=True).note == ""


def test_a_verdict_without_a_hash_says_so() -> None:
    verdict = Verdict(code=Code.LIMITED)
    assert (verdict.points, verdict.zeros, verdict.lateness_ms) == (0, -1, 0)


def test_a_share_is_named_by_block_farmer_and_nonce() -> None:
    share = Share(block=1, farmer=2, nonce=3, worker=4, points=5, zeros=6, at=7)
    assert share.key == (1, 2, 3)
    assert share.values == (1, 2, 3, 4, 5, 6, 7)


def test_a_pot_is_rounded_down() -> None:
    row = BlockRow(
        block=1,
        entropy=b"",
        state=BlockState.CLOSED,
        opened_at=0,
        sent_at=0,
        own_hashes=0,
        miners_bps=3333,
        own_takes_part=True,
        points=0,
        rewards=0,
        pot=0,
    )
    assert [row.pot_of(rewards) for rewards in (0, 3, 4, 10_000, 10_003)] == [0, 0, 1, 3333, 3333]


# Conduct ------------------------------------------------------------------------------------------

RULES = ConductRules(faults=10, window=100.0)
FAULT, SOUND = Code.LOW_DIFFICULTY, Code.ACCEPTED


def test_a_window_ends_after_its_last_moment() -> None:
    conduct = Conduct(RULES)
    assert conduct.count([FAULT] * 9, 0.0) is None
    assert conduct.count([FAULT], 100.0) is not None
    conduct = Conduct(RULES)
    assert conduct.count([FAULT] * 9, 0.0) is None
    assert conduct.count([FAULT], 100.5) is None


@pytest.mark.parametrize("before", [[], [FAULT] * 5 + [SOUND] * 5])
def test_a_new_window_begins_with_nothing(before: list[Code]) -> None:
    for last in ([FAULT], []):
        conduct = Conduct(RULES)
        conduct.count(before, 0.0)
        # The next window runs from 200 to 300.
        assert conduct.count([SOUND] * 9 + [FAULT] * 9, 200.0) is None
        assert (conduct.count(last, 300.0) is not None) == bool(last)


def test_whoever_was_told_begins_with_nothing() -> None:
    for sound in (0, 9):
        conduct = Conduct(RULES)
        assert conduct.count([FAULT] * 10, 0.0) is not None
        assert conduct.count([FAULT] * 9 + [SOUND] * sound, 1.0) is None
        assert conduct.count([FAULT], 2.0) is not None


# Difficulty ---------------------------------------------------------------------------------------


def test_a_worker_is_silent_a_minute_after_its_start_or_its_last_share() -> None:
    start = Vardiff(difficulty=1000, since=100.0)
    assert (start.shares, start.newest) == (0.0, 0.0)
    assert [start.is_silent(at) for at in (159.9, 160.0)] == [False, True]
    later = start.counted(130.0, 1000)
    assert [later.is_silent(at) for at in (189.9, 190.0)] == [False, True]
    assert later.shares == 1.0


def test_shares_are_wanted_from_the_start_on() -> None:
    start = first(None, 100.0, Bounds())
    assert start.since == 100.0
    assert [start.expected(at, Bounds()) for at in (50.0, 100.0, 115.0, 400.0)] == [0, 0, 1, 20]


# Withholding --------------------------------------------------------------------------------------


def test_a_level_is_tested_at_these_numbers_of_shares() -> None:
    assert (FEWEST, SIGNIFICANCE) == (200, 1e-6)
    level, tested = Level(), []
    assert (level.shares, level.better) == (0, 0)
    for number in range(1, 701):
        level.count(is_better=number % 16 == 0)
        if level.tested() is not None:
            tested.append(number)
    assert tested == [200, 300, 450, 675]


def test_a_young_level_of_a_run_before_waits_for_enough() -> None:
    tally = Tally()
    tally.restore(3, 100, 1)
    tally.restore(4, 150, 2)
    assert [level.next_test for level in tally.levels.values()] == [200, 225]
    assert (tally.levels[3].shares, tally.levels[3].better, tally.size) == (100, 1, 250)


def test_a_better_share_is_counted_as_one() -> None:
    tally = Tally()
    for zeros in (5, 6, 6):
        tally.count(level=5, zeros=zeros)
    assert {zeros: (one.shares, one.better) for zeros, one in tally.levels.items()} == {
        5: (3, 2),
        6: (2, 0),
    }

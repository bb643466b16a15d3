"""Which nonces are sent: properties of the judgement, whatever is submitted."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import FarmerId, new_id
from libs.kale.hash import leading_zeros
from libs.kale.reward import BlockStats
from services.work.domain.estimate import estimates
from services.work.domain.judging import TIMED_OUT, judge, plan
from services.work.domain.model import Block, FarmerState, Judged, Submission, Verdict

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FARMERS = [FarmerId(new_id()) for _ in range(4)]
STRANGER = FarmerId(new_id())
STATS = BlockStats(
    min_gap=1,
    max_gap=40,
    min_stake=0,
    max_stake=1000,
    min_zeros=0,
    max_zeros=8,
    staked_total=0,
    normalized_total=0,
)
BLOCK = Block(index=7, opened_at=NOW, entropy=bytes(32), stats=STATS)


def digest_with(zeros: int) -> bytes:
    """A hash with so many leading zeros."""
    return bytes.fromhex(("0" * zeros).ljust(64, "f"))


def known(best: dict[int, int | None]) -> dict[FarmerId, FarmerState]:
    """Farmers who have planted, with the most zeros that each has shown."""
    return {
        farmer: FarmerState(
            farmer_id=farmer,
            address=f"G{number}",
            stake=100 * number,
            best_zeros=best.get(number),
            nonces=frozenset({99}),
        )
        for number, farmer in enumerate(FARMERS)
    }


submissions = st.lists(
    st.tuples(
        st.sampled_from([*FARMERS, STRANGER]),
        st.integers(0, 20) | st.just(99),
        st.integers(0, 9),
        st.booleans(),
    ),
    max_size=40,
)
bests = st.dictionaries(st.integers(0, 3), st.none() | st.integers(0, 9))


def judged_all(
    items: list[tuple[FarmerId, int, int, bool]], best: dict[int, int | None]
) -> list[Judged]:
    """Judges with the hash that each item says."""
    hashes = [
        None if farmer == STRANGER else TIMED_OUT if late else digest_with(zeros)
        for farmer, _, zeros, late in items
    ]
    asked = [
        Submission(farmer_id=farmer, nonce=nonce, timestamp_ms=0) for farmer, nonce, _, _ in items
    ]
    return judge(asked, hashes, known(best), BLOCK, NOW)


@given(submissions, bests)
def test_at_most_one_nonce_a_farmer_is_sent_and_it_is_the_best(
    items: list[tuple[FarmerId, int, int, bool]], best: dict[int, int | None]
) -> None:
    judged = judged_all(items, best)
    assert len(judged) == len(items)
    sent = [one for one in judged if one.judgement == "sent"]
    assert max(Counter(one.submission.farmer_id for one in sent).values(), default=0) <= 1
    for one in sent:
        number = FARMERS.index(one.submission.farmer_id)
        before = best.get(number)
        assert before is None or one.zeros > before
        rivals = [
            other.zeros
            for other in judged
            if other.judgement == "surpassed"
            and other.submission.farmer_id == one.submission.farmer_id
        ]
        assert all(zeros <= one.zeros for zeros in rivals)


@given(submissions, bests)
def test_every_rejected_nonce_has_its_reason(
    items: list[tuple[FarmerId, int, int, bool]], best: dict[int, int | None]
) -> None:
    seen: set[tuple[FarmerId, int]] = set()
    for one, (farmer, nonce, zeros, late) in zip(judged_all(items, best), items, strict=True):
        rejected = one.judgement == "rejected"
        assert rejected == bool(one.reason) == bool(one.message)
        if farmer == STRANGER:
            assert one.reason == "UNKNOWN_FARMER"
        elif (farmer, nonce) in seen or nonce == 99:
            assert one.reason == "REPEATED_NONCE"
        elif late:
            assert one.reason == "VALIDATION_TIMEOUT"
        else:
            assert one.zeros == zeros == leading_zeros(digest_with(zeros))
        seen.add((farmer, nonce))


@given(submissions, bests)
def test_the_plan_is_what_is_sent(
    items: list[tuple[FarmerId, int, int, bool]], best: dict[int, int | None]
) -> None:
    judged = judged_all(items, best)
    planned = plan(judged, known(best))
    sent = [one for one in judged if one.judgement == "sent"]
    assert [(one.farmer_id, one.nonce) for one in planned] == [
        (one.submission.farmer_id, one.submission.nonce) for one in sent
    ]


ONE = FARMERS[0]
MS = int(NOW.timestamp() * 1000)


def judged_one(
    zeros: int | None = 4, *, farmer: FarmerState | None = None, nonce: int = 1, at: int = 0
) -> Judged:
    """Judge one nonce of a farmer who has planted; `zeros` is None when it took too long."""
    asked = Submission(farmer_id=ONE, nonce=nonce, timestamp_ms=at)
    digest = TIMED_OUT if zeros is None else digest_with(zeros)
    farmers = {ONE: farmer or known({})[ONE]}
    (judged,) = judge([asked], [digest], farmers, BLOCK, NOW)
    return judged


def test_a_good_nonce_is_sent_with_its_hash_and_zeros() -> None:
    judged = judged_one(4)
    assert (judged.judgement, judged.reason, judged.message) == ("sent", "", "")
    assert (judged.digest, judged.zeros) == (digest_with(4), 4)


@pytest.mark.parametrize("digest", [None, TIMED_OUT, digest_with(4)])
def test_nonces_of_nobodys_farmer_are_told_apart_from_bad_ones(digest: bytes | None) -> None:
    asked = Submission(farmer_id=STRANGER, nonce=1, timestamp_ms=0)
    (judged,) = judge([asked], [digest], known({}), BLOCK, NOW)
    assert (judged.judgement, judged.reason) == ("rejected", "UNKNOWN_FARMER")
    assert (judged.digest, judged.zeros) == (digest or b"", 4 if digest else 0)


def test_a_farmer_without_an_address_is_unknown() -> None:
    asked = Submission(farmer_id=ONE, nonce=1, timestamp_ms=0)
    (judged,) = judge([asked], [None], known({}), BLOCK, NOW)
    assert (judged.reason, judged.digest, judged.zeros) == ("UNKNOWN_FARMER", b"", 0)


def test_each_submission_needs_a_hash() -> None:
    asked = Submission(farmer_id=ONE, nonce=1, timestamp_ms=0)
    with pytest.raises(ValueError, match="shorter"):
        judge([asked, asked], [digest_with(4)], known({}), BLOCK, NOW)


def test_who_has_not_planted_cannot_work() -> None:
    farmer = replace(known({})[ONE], stake=None)
    assert judged_one(farmer=farmer).reason == "NOT_PLANTED"
    assert judged_one(farmer=replace(farmer, stake=0)).judgement == "sent"


@pytest.mark.parametrize(
    ("best", "zeros", "reason"),
    [(None, 0, ""), (0, 0, "ZEROS_TOO_LOW"), (0, 1, ""), (5, 4, "ZEROS_TOO_LOW"), (5, 6, "")],
)
def test_only_more_zeros_than_before_are_sent(best: int | None, zeros: int, reason: str) -> None:
    judged = judged_one(zeros, farmer=known({0: best})[ONE])
    assert judged.reason == reason
    assert judged.message == (f"{best} zeros were submitted before" if reason else "")


@pytest.mark.parametrize(
    ("at", "is_in_time"),
    [
        (0, True),
        (1, False),
        (MS - 60_001, False),
        (MS - 60_000, True),
        (MS, True),
        (MS + 60_000, True),
        (MS + 60_001, False),
    ],
)
def test_a_moment_is_in_the_block_give_or_take_a_minute(at: int, is_in_time: bool) -> None:
    assert judged_one(at=at).reason == ("" if is_in_time else "TIMESTAMP")


def test_moments_are_told_to_the_millisecond() -> None:
    opened = NOW.replace(microsecond=500_000)
    block = replace(BLOCK, opened_at=opened)
    for at, reason in ((MS - 59_500, ""), (MS - 59_501, "TIMESTAMP"), (MS + 60_700, "")):
        asked = Submission(farmer_id=ONE, nonce=1, timestamp_ms=at)
        now = NOW.replace(microsecond=700_000)
        (judged,) = judge([asked], [digest_with(4)], known({}), block, now)
        assert judged.reason == reason


def test_the_first_problem_that_applies_is_told() -> None:
    farmer = replace(known({0: 9})[ONE], stake=None)
    assert judged_one(None, farmer=farmer, nonce=99, at=1).reason == "NOT_PLANTED"
    farmer = replace(farmer, stake=1)
    assert judged_one(None, farmer=farmer, nonce=99, at=1).reason == "REPEATED_NONCE"
    assert judged_one(None, farmer=farmer, at=1).reason == "TIMESTAMP"
    assert judged_one(None, farmer=farmer).reason == "VALIDATION_TIMEOUT"
    assert judged_one(3, farmer=farmer).reason == "ZEROS_TOO_LOW"


@pytest.mark.parametrize(
    ("zeros", "judgements"),
    [
        ((3, 4, 5), ("surpassed", "surpassed", "sent")),
        ((5, 4, 3), ("sent", "surpassed", "surpassed")),
        ((4, 5, 4), ("surpassed", "sent", "surpassed")),
        ((3, 4, 5, 6), ("surpassed", "surpassed", "surpassed", "sent")),
        ((3, 5, 4, 6), ("surpassed", "surpassed", "surpassed", "sent")),
        # Of equals the first.
        ((4, 4, 4), ("sent", "surpassed", "surpassed")),
    ],
)
def test_the_best_of_a_farmers_nonces_is_sent(
    zeros: tuple[int, ...], judgements: tuple[str, ...]
) -> None:
    asked = [Submission(farmer_id=ONE, nonce=n, timestamp_ms=0) for n in range(len(zeros))]
    judged = judge(asked, [digest_with(count) for count in zeros], known({}), BLOCK, NOW)
    assert tuple(one.judgement for one in judged) == judgements
    (planned,) = plan(judged, known({}))
    assert planned.nonce == judgements.index("sent")
    assert (planned.address, planned.zeros) == ("G0", max(zeros))
    assert planned.digest == digest_with(max(zeros))


def verdict(farmer: FarmerId = ONE, **changes: str) -> Verdict:
    """Return the result of a nonce that was sent."""
    texts = {"judgement": "sent", "status": "success", **changes}
    return Verdict(
        farmer_id=farmer,
        nonce=1,
        hash=digest_with(4),
        zeros=4,
        reason="",
        message="",
        work_reason="",
        work_message="",
        gap=20,
        transaction_hash="",
        fee_charged=0,
        stake=100,
        **texts,
    )


def test_a_nonce_may_be_valid_though_the_chain_did_not_take_it() -> None:
    told = [
        verdict(),
        verdict(status="failed"),
        verdict(judgement="surpassed", status=""),
        verdict(judgement="rejected", status=""),
    ]
    assert [one.valid for one in told] == [True, True, True, False]
    assert [one.worked for one in told] == [True, False, False, False]


def test_a_judgement_without_a_hash_has_no_zeros() -> None:
    asked = Submission(farmer_id=ONE, nonce=1, timestamp_ms=0)
    assert Judged(submission=asked, judgement="rejected").zeros == 0


def test_estimates_share_out_the_pot_when_the_block_does_not_know_of_them_yet() -> None:
    verdicts = [
        verdict(farmer, status="success" if number else "failed")
        for number, farmer in enumerate(FARMERS)
    ]
    shares = estimates(verdicts, BLOCK)
    assert shares[0] == 0
    assert len(set(shares[1:])) == 1
    assert sum(shares) <= 25_050_000_000 < sum(shares) + 3

"""Which nonces are sent: properties of the judgement, whatever is submitted."""

from collections import Counter
from datetime import UTC, datetime

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


def test_estimates_share_out_the_pot_when_the_block_does_not_know_of_them_yet() -> None:
    verdicts = [
        Verdict(
            farmer_id=farmer,
            nonce=1,
            hash=digest_with(4),
            zeros=4,
            judgement="sent",
            reason="",
            message="",
            status="success" if number else "failed",
            work_reason="",
            work_message="",
            gap=20,
            transaction_hash="",
            fee_charged=0,
            stake=100,
        )
        for number, farmer in enumerate(FARMERS)
    ]
    shares = estimates(verdicts, BLOCK)
    assert shares[0] == 0
    assert len(set(shares[1:])) == 1
    assert sum(shares) <= 25_050_000_000 < sum(shares) + 3

"""Jobs: read strictly, dealt out once, every hit a share."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.engine import Appetite, Hit, Scan, Slice
from miner.engines.python import PythonEngine
from miner.judge import ANY_HEAD, found, head_of, most_head
from miner.model import WrongFindError
from miner.pool.fields import PoolAnswerError
from miner.pool.jobs import Job, JobBoard, Share, jobs_of

CONTENT: Mapping[str, Any] = {
    "job": "token",
    "block": 7,
    "entropy": "ab" * 32,
    "farmer": "G...",
    "farmerKey": "cd" * 32,
    "firstNonce": "18446744073708503040",
    "nonceCount": "1048576",
    "target": str(2**60 - 1),
    "difficulty": "16",
    "cap": 9,
    "closesAt": 100,
    "expiresAt": 160,
    "askAgainMs": 60_000,
}
JOB = Job(
    token="token",
    block=7,
    entropy=bytes(32),
    key=bytes([1]) * 32,
    first=1_000,
    nonces=500,
    target=most_head(1),
    difficulty=16,
    expires_at=0,
    ask_again_seconds=60.0,
)
APPETITE = Appetite(threads=1, hashes=64, seconds=0.01, least=1)


def test_a_job_is_read() -> None:
    (job,) = jobs_of({"jobs": [CONTENT]})
    assert job == Job(
        token="token",
        block=7,
        entropy=bytes([0xAB]) * 32,
        key=bytes([0xCD]) * 32,
        first=2**64 - 2**20,
        nonces=2**20,
        target=2**60 - 1,
        difficulty=16,
        expires_at=160,
        ask_again_seconds=60.0,
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"job": ""}, "job"),
        ({"block": 2**32}, "block"),
        ({"block": True}, "block"),
        ({"entropy": "ab" * 31}, "entropy"),
        ({"entropy": "zz" * 32}, "entropy"),
        ({"farmerKey": None}, "farmerKey"),
        ({"firstNonce": "-1"}, "firstNonce"),
        ({"firstNonce": str(2**64)}, "firstNonce"),
        ({"nonceCount": 1.5}, "nonceCount"),
        ({"nonceCount": 0}, "nonceCount"),
        ({"nonceCount": 2**20 + 1}, "nonceCount"),
        ({"askAgainMs": 0}, "askAgainMs"),
        ({"target": "²"}, "target"),
        ({"askAgainMs": "soon"}, "askAgainMs"),
    ],
)
def test_a_job_that_is_wrong_names_the_field(changes: Mapping[str, Any], field: str) -> None:
    with pytest.raises(PoolAnswerError, match=f"^{field}: "):
        jobs_of({"jobs": [{**CONTENT, **changes}]})


@pytest.mark.parametrize("content", [None, [], {}, {"jobs": {}}, {"jobs": [1]}])
def test_what_is_no_list_of_jobs_is_refused(content: object) -> None:
    with pytest.raises(PoolAnswerError):
        jobs_of(content)


def test_jobs_of_two_blocks_at_once_are_refused() -> None:
    with pytest.raises(PoolAnswerError, match="several blocks"):
        jobs_of({"jobs": [CONTENT, {**CONTENT, "block": 8}]})


def true_shares(jobs: list[Job]) -> set[Share]:
    """All shares of jobs by the judge."""
    board = JobBoard(jobs, lambda _share: None)
    places = {target.key: at for at, target in enumerate(board.work.targets)}
    return {
        Share(job, nonce)
        for job in jobs
        for nonce in range(job.first, job.first + job.nonces)
        if head_of(found(board.work, places[job.key], nonce).digest) <= job.target
    }


JOBS = st.lists(
    st.builds(
        lambda number, key, nonces, zeros: replace(
            JOB,
            token=f"job {number}",
            key=bytes([key]) * 32,
            first=number * 1_000,
            nonces=nonces,
            target=most_head(zeros),
        ),
        number=st.integers(0, 50),
        key=st.integers(1, 3),
        nonces=st.integers(1, 200),
        zeros=st.integers(0, 2),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda job: job.token,
)


@settings(max_examples=40, deadline=None)
@given(JOBS, st.integers(1, 500), st.integers(1, 3))
def test_every_share_of_all_jobs_is_found_once(jobs: list[Job], hashes: int, slices: int) -> None:
    """By an engine that ends a slice at its first hit: the rest is dealt out again."""
    shares: list[Share] = []
    board = JobBoard(jobs, shares.append)
    scanner = PythonEngine().scanner(board.work)
    appetite = replace(APPETITE, slices=slices)
    tried = 0
    while taken := board.take(hashes, appetite):
        assert len(taken) <= slices
        scan = scanner.scan(taken)
        tried += scan.hashes
        board.put(taken, scan, appetite)
    assert board.open == 0
    assert len(shares) == len(set(shares))
    assert set(shares) == true_shares(jobs)
    assert tried == sum(job.nonces for job in jobs)


def test_an_engine_that_tells_every_hit_is_given_nothing_twice() -> None:
    shares: list[Share] = []
    board = JobBoard([JOB], shares.append)
    whole = replace(APPETITE, divisor=8)
    (piece,) = board.take(10_000, whole)
    assert piece == Slice(target=0, first=1_000, nonces=500, at_most=most_head(1))
    hits = [Hit(0, share.nonce) for share in true_shares([JOB])]
    board.put([piece], Scan(500, hits), whole)
    assert set(shares) == true_shares([JOB])
    assert board.take(10_000, whole) == []


def test_a_wrong_hit_is_no_share() -> None:
    shares: list[Share] = []
    board = JobBoard([JOB], shares.append)
    (piece,) = board.take(10_000, APPETITE)
    wrong = next(nonce for nonce in range(1_000, 1_500) if found(board.work, 0, nonce).zeros == 0)
    with pytest.raises(WrongFindError):
        board.put([piece], Scan(1, [Hit(0, wrong)]), APPETITE)
    assert shares == []


def test_a_nonce_beyond_the_job_is_no_share_and_no_lie() -> None:
    """A program may search on; the pooler would call the nonce out of range."""
    shares: list[Share] = []
    board = JobBoard([replace(JOB, target=ANY_HEAD)], shares.append)
    taken = board.take(10_000, APPETITE)
    board.put(taken, Scan(1, [Hit(0, 1_500)]), APPETITE)
    assert shares == []


def test_rates_are_added_up_by_engine() -> None:
    board = JobBoard([JOB], lambda _share: None)
    board.count("one", 10, 0.5)
    board.count("one", 20, 0.25)
    assert board.rates()["one"].hashes == 30
    assert board.rates()["one"].cpu_seconds == 0.75

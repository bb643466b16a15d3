"""Tokens of jobs: opened by who has signed them, and refused when a bit differs."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.hash import leading_zeros, work_hash
from pooler.shares.domain.codes import Code
from pooler.shares.domain.errors import BadTokenError
from pooler.shares.domain.jobs import NONCES, TOKEN_LENGTH, Job, JobSigner, new_key
from pooler.shares.domain.judging import Judge
from pooler.shares.domain.points import target_of

SIGNER = JobSigner(bytes(32))
U32, U63, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1)
JOBS = st.builds(
    Job,
    worker=U32,
    block=U32,
    farmer=U32,
    issued_at=U32,
    ends_at=U32,
    first=U63,
    count=U63,
    target=U64,
)
JOB = Job(
    worker=1, block=7, farmer=2, issued_at=100, ends_at=200, first=1000, count=50, target=2**60
)
KEY, ENTROPY = bytes(range(32)), bytes(range(32, 64))


@given(JOBS)
def test_a_token_brings_its_job_back(job: Job) -> None:
    token = SIGNER.seal(job)
    assert len(token) == TOKEN_LENGTH
    assert SIGNER.open(token) == job


def test_a_token_has_its_form_and_its_bytes_and_no_others() -> None:
    token = SIGNER.seal(JOB)
    raw = urlsafe_b64decode(f"{token}==")
    assert (raw[0], len(raw)) == (1, 61)
    for other in (raw[:-1], raw[:45], raw[:44], raw[:1], raw + b"\0"):
        with pytest.raises(BadTokenError, match="was not given out by this pool"):
            SIGNER.open(urlsafe_b64encode(other).rstrip(b"=").decode())


@given(JOBS, st.data())
def test_a_changed_token_is_none(job: Job, data: st.DataObject) -> None:
    token = SIGNER.seal(job)
    place = data.draw(st.integers(0, len(token) - 2))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    letter = data.draw(st.sampled_from([one for one in letters if one != token[place]]))
    with pytest.raises(BadTokenError):
        SIGNER.open(token[:place] + letter + token[place + 1 :])


@given(st.text(max_size=200))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(BadTokenError):
        SIGNER.open(text)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(BadTokenError):
        JobSigner(new_key()).open(SIGNER.seal(JOB))
    with pytest.raises(ValueError, match="32 bytes"):
        JobSigner(b"short")


def test_a_job_has_its_nonces_and_no_others() -> None:
    assert [JOB.has(nonce) for nonce in (999, 1000, 1049, 1050)] == [False, True, True, False]


@given(nonce=st.integers(0, NONCES - 1), zeros=st.integers(0, 3))
def test_a_share_is_judged_by_the_contracts_hash(nonce: int, zeros: int) -> None:
    job = replace(JOB, first=nonce, count=1, target=target_of(16**zeros))
    digest = work_hash(index=7, nonce=nonce, entropy=ENTROPY, farmer_key=KEY)
    verdict = Judge(index=7, entropy=ENTROPY, keys=[bytes(32), KEY]).judge(job, nonce, 1)
    assert verdict.zeros == leading_zeros(digest)
    assert (verdict.code is Code.ACCEPTED) == (leading_zeros(digest) >= zeros)


def test_a_target_is_met_by_a_head_that_equals_it() -> None:
    digest = work_hash(index=7, nonce=1000, entropy=ENTROPY, farmer_key=KEY)
    head = int.from_bytes(digest[:8], "big")
    judge = Judge(index=7, entropy=ENTROPY, keys=[KEY])
    assert judge.judge(replace(JOB, target=head), 1000, 0).code is Code.ACCEPTED
    assert judge.judge(replace(JOB, target=head - 1), 1000, 0).code is Code.LOW_DIFFICULTY


def test_a_nonce_of_another_job_is_not_hashed() -> None:
    judge = Judge(index=7, entropy=ENTROPY, keys=[KEY])
    for nonce in (999, 1050):
        verdict = judge.judge(JOB, nonce, 0)
        assert (verdict.code, verdict.zeros) == (Code.OUT_OF_RANGE, -1)

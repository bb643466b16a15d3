"""Choice of the nonces to send: the best of each farmer, if it is better than those sent before."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from libs.common.ids import FarmerId
from libs.kale.hash import leading_zeros
from services.work.domain.model import Block, FarmerState, Judged, PlannedWork, Submission

#: Clocks of poolers may be ahead of ours by this much.
TOLERANCE = timedelta(minutes=1)
#: A hash that could not be computed in time.
TIMED_OUT = b""


def judge(
    submissions: Sequence[Submission],
    hashes: Sequence[bytes | None],
    farmers: Mapping[FarmerId, FarmerState],
    block: Block,
    now: datetime,
) -> list[Judged]:
    """Judge each submission; the result has one judgement per submission, in order.

    `hashes` has None for farmers without an address and TIMED_OUT for checks that took too long.
    """
    judged: list[Judged] = []
    best: dict[FarmerId, int] = {}
    seen: set[tuple[FarmerId, int]] = set()
    for position, (submission, digest) in enumerate(zip(submissions, hashes, strict=True)):
        farmer = farmers.get(submission.farmer_id)
        key = (submission.farmer_id, submission.nonce)
        one = _judge_one(submission, digest, farmer, block, now, repeated=key in seen)
        seen.add(key)
        judged.append(one)
        if one.judgement == "sent":
            _keep_best(judged, best, position)
    return judged


def plan(judged: Sequence[Judged], farmers: Mapping[FarmerId, FarmerState]) -> list[PlannedWork]:
    """Return the works that go to wallet: at most one per farmer."""
    return [
        PlannedWork(
            farmer_id=one.submission.farmer_id,
            address=farmers[one.submission.farmer_id].address,
            nonce=one.submission.nonce,
            digest=one.digest,
            zeros=one.zeros,
        )
        for one in judged
        if one.judgement == "sent"
    ]


def _judge_one(
    submission: Submission,
    digest: bytes | None,
    farmer: FarmerState | None,
    block: Block,
    now: datetime,
    *,
    repeated: bool,
) -> Judged:
    zeros = leading_zeros(digest) if digest else 0
    known = Judged(submission=submission, judgement="sent", digest=digest or TIMED_OUT, zeros=zeros)
    if farmer is None or digest is None:
        return _rejected(known, "UNKNOWN_FARMER", "no such farmer of this pooler")
    best = -1 if farmer.best_zeros is None else farmer.best_zeros
    # In this order: the first problem that applies is reported.
    problems = (
        (farmer.stake is None, "NOT_PLANTED", "the farmer has not planted in this block"),
        (
            repeated or submission.nonce in farmer.nonces,
            "REPEATED_NONCE",
            "the nonce was submitted before",
        ),
        (
            not _in_time(submission.timestamp_ms, block, now),
            "TIMESTAMP",
            "the timestamp is before the block or in the future",
        ),
        (
            digest == TIMED_OUT,
            "VALIDATION_TIMEOUT",
            "the nonce could not be checked in time",
        ),
        (zeros <= best, "ZEROS_TOO_LOW", f"{best} zeros were submitted before"),
    )
    for applies, reason, message in problems:
        if applies:
            return _rejected(known, reason, message)
    return known


def _rejected(judged: Judged, reason: str, message: str) -> Judged:
    return replace(judged, judgement="rejected", reason=reason, message=message)


def _in_time(timestamp_ms: int, block: Block, now: datetime) -> bool:
    if timestamp_ms == 0:
        return True
    # The pooler's clock may be a little behind as well as ahead.
    opened = (block.opened_at - TOLERANCE).timestamp() * 1000
    return opened <= timestamp_ms <= (now + TOLERANCE).timestamp() * 1000


def _keep_best(judged: list[Judged], best: dict[FarmerId, int], position: int) -> None:
    """Keep the nonce with most zeros among a farmer's good ones; the first of equals is sent."""
    farmer_id = judged[position].submission.farmer_id
    other = best.get(farmer_id)
    if other is None:
        best[farmer_id] = position
        return
    loser = position if judged[position].zeros <= judged[other].zeros else other
    best[farmer_id] = position + other - loser
    judged[loser] = replace(judged[loser], judgement="surpassed")

"""Examples of what miners send and get, for the reference; a test holds them against the schemas.

The job is one of block 12345 whose key is 32 zero bytes.
"""

from typing import Any

from pooler.shares.domain.jobs import KEY_BYTES, Job, JobSigner
from pooler.shares.domain.points import target_of
from pooler.shares.domain.terms import Terms
from pooler.shares.work import Work

_ACCOUNT = "GAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7JZX"
_MOMENT = "2026-01-31T12:00:00.000Z"
_TERMS = Terms(miners_bps=1000, own_hashes_take_part=True)
_BLOCK = 12345
_JOB = Job(
    worker=7,
    block=_BLOCK,
    farmer=3,
    issued_at=1_769_860_800,
    ends_at=1_769_861_700,
    first=4_611_686_018_427_387_904,
    count=268_435_456,
    target=target_of(16**6),
)
WORK = Work(
    job=_JOB,
    token=JobSigner(bytes(KEY_BYTES)).seal(_JOB),
    entropy=bytes(range(32)),
    farmer=_ACCOUNT,
    farmer_key=bytes(range(32)),
    cap=9,
    closes_at=1_769_861_040,
)
JOB: dict[str, Any] = dict(WORK.content())
#: A job as a line of arguments.
LINE = WORK.line()

MINER: dict[str, Any] = {
    "minerId": "0190a5f0-6c2e-7b41-8a53-00000000000b",
    "address": _ACCOUNT,
    "name": "three rigs",
    "terms": _TERMS.version,
    "joinedAt": _MOMENT,
}
JOIN: dict[str, Any] = {"address": _ACCOUNT, "terms": _TERMS.version, "name": "three rigs"}
JOINED: dict[str, Any] = {**MINER, "credential": "km_" + "x" * 43}
AGREE: dict[str, Any] = {"terms": _TERMS.version}
SUBMIT: dict[str, Any] = {
    "shares": [
        {"job": WORK.token, "nonce": "4611686018427387911"},
        {"job": WORK.token, "nonce": "4611686018427389000"},
    ]
}
SUBMITTED: dict[str, Any] = {
    "accepted": 1,
    "points": "16777216",
    "verdicts": [
        {"code": "ACCEPTED", "points": "16777216", "zeros": 7},
        {"code": "LOW_DIFFICULTY", "zeros": 0},
    ],
    "jobs": [],
}
_RATE = {"rate": 1_250_000, "error": 81_000, "seconds": 3600, "shares": 238}
_SHARES = {
    "ACCEPTED": 238,
    "STALE_BLOCK": 0,
    "TOO_LATE": 2,
    "DUPLICATE": 0,
    "LOW_DIFFICULTY": 0,
    "UNKNOWN_JOB": 0,
    "OUT_OF_RANGE": 0,
    "BAD_TOKEN": 0,
    "LIMITED": 0,
}
RESULT: dict[str, Any] = {
    "block": _BLOCK - 1,
    "state": "final",
    "openedAt": _MOMENT,
    "shares": 20,
    "points": "335544320",
    "allPoints": "6710886400",
    "ownHashes": "3355443200",
    "best": 7,
    "lateShares": 1,
    "latePoints": "16777216",
    "latestMs": 240,
    "pot": "2505000000",
    "amount": "83500000",
}
STATS: dict[str, Any] = {
    "miner": MINER,
    "block": {
        "block": _BLOCK,
        "worksSent": False,
        "points": "167772160",
        "allPoints": "3355443200",
        "ownHashes": "1677721600",
    },
    "rate": {"rate": 1_250_000, "error": 81_000},
    "workers": [
        {
            "worker": "rig-1",
            "isThere": True,
            "isGone": False,
            "newestShareAt": _MOMENT,
            "difficulty": "16777216",
            "isFixed": False,
            "rates": {"5m": _RATE, "1h": _RATE, "24h": _RATE},
            "shares": _SHARES,
            "latestMs": 240,
            "block": {"shares": 10, "points": "167772160", "best": 7, "luck": 0.6134},
        },
        {"worker": "rig-2", "isThere": False},
    ],
    "blocks": [RESULT],
}
POOL: dict[str, Any] = {
    "name": "KALE pool",
    "version": "0.1.0",
    "terms": _TERMS.content(),
    "limits": {
        "lowestDifficulty": "65536",
        "highestDifficulty": "1099511627776",
        "sharesPerBlock": 20,
        "mostSharesPerBlock": 20_000,
        "workersPerMiner": 100,
        "requestsPerMinute": 1200,
    },
    "miners": 12,
    "workers": 17,
    "rate": {"rate": 21_000_000, "error": 1_300_000},
    "streams": 9,
    "block": {
        "block": _BLOCK,
        "closesAt": 1_769_861_040,
        "worksSent": False,
        "farmers": 25,
        "cap": 9,
        "points": "3355443200",
        "ownHashes": "1677721600",
        "ownRate": 11_650_000,
        "zeros": {"5": 8, "6": 17},
    },
    "blocks": [
        {
            "block": _BLOCK - 1,
            "state": "final",
            "points": "6710886400",
            "ownHashes": "3355443200",
            "rewards": "25050000000",
            "pot": "2505000000",
        }
    ],
}
EVENTS = (
    'event: job\ndata: {"jobs":[{"job":"...","block":12345}]}\n\n'
    'event: works-sent\ndata: {"block":12345}\n\n'
)

"""JSON Schemas (2020-12) of what miners send and get."""

from typing import Any

from libs.http.reference.document import PROBLEM_SCHEMA, Schema
from pooler.shares.domain.codes import MEANINGS, Code
from pooler.shares.domain.model import BlockState
from pooler.shares.domain.rates import WINDOWS


def text(description: str, **more: Any) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", "description": description, **more}


def count(description: str, **more: Any) -> Schema:
    """Return the schema of a whole number that is not negative."""
    return {"type": "integer", "minimum": 0, "description": description, **more}


def large(description: str) -> Schema:
    """Return the schema of a number of 64 bits, which JSON has as a text."""
    return text(description, pattern="^[0-9]{1,20}$")


def truth(description: str) -> Schema:
    """Return the schema of a yes or no."""
    return {"type": "boolean", "description": description}


def moment(description: str) -> Schema:
    """Return the schema of a moment."""
    return text(description, format="date-time")


def shape(
    description: str, properties: dict[str, Schema], *, optional: tuple[str, ...] = ()
) -> Schema:
    """Return the schema of an object; fields are required unless they are optional."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "description": description,
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema, description: str, **more: Any) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, "description": description, **more}


def maybe(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    description = schema.get("description", "")
    return {"anyOf": [schema, {"type": "null"}], "description": description}


ADDRESS = "^(G[A-Z2-7]{55}|M[A-Z2-7]{68})$"
_WORKER = "^[A-Za-z0-9._-]{1,32}$"
_TERMS = "^[0-9a-f]{16}$"
_NONCE: Schema = {
    "anyOf": [
        text("", pattern="^[0-9]{1,20}$"),
        {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
    ],
    "description": "The nonce: a text of digits, or a number.",
}
_STATE = text(
    "How far it is: mined, sent (its works are), closed, final (it is divided), handed_on (to be "
    "paid).",
    enum=[state.value for state in BlockState],
)
_MINER = {
    "minerId": text("Names the miner.", format="uuid"),
    "address": text("Where its parts are paid (G... or M...).", pattern=ADDRESS),
    "name": text("What it calls itself."),
    "terms": text("Version of the terms that it agreed to.", pattern=_TERMS),
    "joinedAt": moment("When it joined."),
}
_RATES = {
    "rate": count("Hashes a second."),
    "error": count("The standard error of that."),
}

SCHEMAS: dict[str, Schema] = {
    "JoinRequest": shape(
        "Who joins.",
        {
            "address": text(
                "Stellar address that its parts are paid to: an account (G...), or one of several "
                "at an account (M...).",
                pattern=ADDRESS,
            ),
            "terms": text("Version of the terms that GET /v1/pool tells.", pattern=_TERMS),
            "name": text("What it calls itself.", maxLength=64),
        },
        optional=("name",),
    ),
    "Joined": shape(
        "The miner, and its credential, which is told this one time.",
        {**_MINER, "credential": text("Goes with each request: Authorization: Bearer km_...")},
    ),
    "Miner": shape("A miner.", _MINER),
    "AgreeRequest": shape(
        "Who agrees to terms that were changed.",
        {"terms": text("Version of the terms that GET /v1/pool tells.", pattern=_TERMS)},
    ),
    "Job": shape(
        "Nonces of one farmer in one block. A hash is the Keccak-256 of block (4 bytes), nonce "
        "(8), entropy (32) and farmer's key (32), big endian; it makes a share when its first 8 "
        "bytes, as a number, are at most the target.",
        {
            "job": text("The job's token: goes with each of its shares."),
            "block": count("Index of the block."),
            "entropy": text("Entropy of the block, in hexadecimal.", pattern="^[0-9a-f]{64}$"),
            "farmer": text("Address of the farmer (G...)."),
            "farmerKey": text("The 32 bytes in it, in hexadecimal.", pattern="^[0-9a-f]{64}$"),
            "firstNonce": large("The first nonce; no other job has these nonces."),
            "nonceCount": large("How many nonces there are. After them, take the next job."),
            "target": large("A share's first 8 bytes are at most this."),
            "difficulty": large(
                "Hashes that a share takes on average, which are its points: 2^64 // (target + 1)."
            ),
            "cap": count("Zeros above which this farmer gains nothing in this block."),
            "closesAt": count("From when on the next block may be opened (unix seconds)."),
            "expiresAt": count("Until when shares may be brought (unix seconds)."),
            "askAgainMs": count(
                "Ask for new jobs after so many milliseconds, also before the end."
            ),
        },
    ),
    "Work": shape("Jobs.", {"jobs": listed(ref("Job"), "One after the other.")}),
    "SubmitRequest": {
        "type": "object",
        "description": (
            "Shares; or one nonce as a program prints it that knows no pool, whose job is in the "
            "header Kale-Job."
        ),
        "properties": {
            "job": text("The job of shares that name none."),
            "shares": listed(
                shape(
                    "A share.",
                    {"job": text("The token of its job."), "nonce": _NONCE},
                    optional=("job",),
                ),
                "The shares.",
                minItems=1,
                maxItems=1000,
            ),
            "nonce": _NONCE,
            "hash": text("Not looked at."),
        },
        "additionalProperties": False,
        "anyOf": [{"required": ["shares"]}, {"required": ["nonce"]}],
    },
    "Verdict": shape(
        "What became of a share.",
        {
            "code": text("The code.", enum=[code.value for code in Code]),
            "points": large(
                "Points that it is credited, or would have been if it had come in time."
            ),
            "zeros": count("Leading zero digits of its hash.", maximum=64),
            "latenessMs": count("Milliseconds after the works were sent."),
        },
        optional=("points", "zeros", "latenessMs"),
    ),
    "Submitted": shape(
        "What became of a batch.",
        {
            "accepted": count("Shares that are credited."),
            "points": large("Points that they have together."),
            "verdicts": listed(ref("Verdict"), "One for each share, in their order."),
            "jobs": listed(ref("Job"), "New jobs where a worker's difficulty has changed."),
        },
    ),
    "Rate": shape(
        "A rate over a window.",
        {
            **_RATES,
            "seconds": count("Seconds that it is from."),
            "shares": count("Shares that it is from."),
        },
    ),
    "TotalRate": shape("The rate of several workers together, of the last hour.", _RATES),
    "Terms": shape(
        "What a miner agrees to.",
        {
            "version": text("Names these terms; other terms have another one.", pattern=_TERMS),
            "scheme": text("How a block's reward is divided."),
            "minersPart": text(
                "Part of what a block's farmers earn that is divided among those who mined it.",
                pattern="^(0(\\.[0-9]{1,4})?|1)$",
            ),
            "ownHashesTakePart": truth("Whether the pool's own hashes take part in that."),
            "note": text("What else the operator says."),
        },
    ),
    "Limits": shape(
        "What a miner may do.",
        {
            "lowestDifficulty": large("Hashes that a share takes at least."),
            "highestDifficulty": large("Hashes that a share takes at most."),
            "sharesPerBlock": count("Shares of a worker in a block that the pool aims at."),
            "mostSharesPerBlock": count("Shares of a worker in a block at most."),
            "workersPerMiner": count("Workers of a miner at most."),
            "requestsPerMinute": count("Requests of one path in a minute; 0: no limit."),
        },
    ),
    "RunningBlock": shape(
        "The block that is mined.",
        {
            "block": count("Its index."),
            "closesAt": count("From when on the next block may be opened (unix seconds)."),
            "worksSent": truth("Whether shares are late by now."),
            "farmers": count("Farmers that are planted."),
            "cap": count("Zeros above which a farmer gains nothing."),
            "points": large("Points of all miners so far."),
            "ownHashes": large("Hashes of the pool itself so far."),
            "ownRate": count("Hashes a second of the pool itself in this block, on average."),
            "zeros": {
                "type": "object",
                "description": "Farmers by the zeros of their best nonce.",
                "additionalProperties": count("Farmers."),
            },
        },
    ),
    "PastBlock": shape(
        "A block that is over.",
        {
            "block": count("Its index."),
            "state": _STATE,
            "points": large("Points of all miners."),
            "ownHashes": large("Hashes of the pool itself."),
            "rewards": large("Stroops that its farmers earned; 0 until it is final."),
            "pot": large("Stroops that were divided; 0 until it is final."),
        },
    ),
    "Pool": shape(
        "What everybody may know.",
        {
            "name": text("What the pool is called."),
            "version": text("Version of its software."),
            "terms": ref("Terms"),
            "limits": ref("Limits"),
            "miners": count("Miners who have joined."),
            "workers": count("Workers that bring shares."),
            "rate": ref("TotalRate"),
            "streams": count("Streams that are open."),
            "block": maybe(ref("RunningBlock")),
            "blocks": listed(ref("PastBlock"), "The newest blocks that are over."),
        },
    ),
    "WorkerBlock": shape(
        "What a worker did in the running block.",
        {
            "shares": count("Shares that are credited."),
            "points": large("Their points."),
            "best": {"type": "integer", "minimum": -1, "description": "Best zeros; -1 for none."},
            "luck": maybe(
                {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 1,
                    "description": "Part of all miners with as many hashes whose best nonce is "
                    "worse; 0.5 is to be expected. Null without hashes.",
                }
            ),
        },
    ),
    "Worker": shape(
        "A worker; one that was not heard of for hours has a name only.",
        {
            "worker": text("Its name.", pattern=_WORKER),
            "isThere": truth("Whether it was heard of lately."),
            "isGone": truth("Whether it has brought shares, and brings none any more."),
            "newestShareAt": maybe(moment("When its newest share came.")),
            "difficulty": large("Hashes that its shares take."),
            "isFixed": truth("Whether it has chosen them itself."),
            "rates": shape(
                "Its rates; a window that has just begun is left out.",
                {name: ref("Rate") for name in WINDOWS},
                optional=tuple(WINDOWS),
            ),
            "shares": shape(
                "What became of its shares since the pooler has started, by code.",
                {code.value: count(meaning) for code, meaning in MEANINGS.items()},
            ),
            "latestMs": count("The longest lateness of a share in milliseconds."),
            "block": ref("WorkerBlock"),
        },
        optional=(
            *("isGone", "newestShareAt", "difficulty", "isFixed"),
            *("rates", "shares", "latestMs", "block"),
        ),
    ),
    "OwnPart": shape(
        "The miner's part of the running block so far.",
        {
            "block": count("Its index."),
            "worksSent": truth("Whether shares are late by now."),
            "points": large("The miner's points."),
            "allPoints": large("Points of all miners."),
            "ownHashes": large("Hashes of the pool itself."),
        },
    ),
    "Result": shape(
        "A block that is over, as the miner sees it.",
        {
            "block": count("Its index."),
            "state": _STATE,
            "openedAt": moment("When it was taken up."),
            "shares": count("The miner's shares that are credited."),
            "points": large("Their points."),
            "allPoints": large("Points of all miners."),
            "ownHashes": large("Hashes of the pool itself."),
            "best": {"type": "integer", "minimum": -1, "description": "Best zeros; -1 for none."},
            "lateShares": count("Shares that came too late: they are credited nothing."),
            "latePoints": large("Points that they would have had."),
            "latestMs": count("The longest lateness of them in milliseconds."),
            "pot": large("Stroops that were divided; 0 until it is final."),
            "amount": maybe(large("The miner's part in stroops; null until it is final.")),
        },
    ),
    "Stats": shape(
        "What a miner is told of itself.",
        {
            "miner": ref("Miner"),
            "block": maybe(ref("OwnPart")),
            "rate": ref("TotalRate"),
            "workers": listed(ref("Worker"), "Its workers."),
            "blocks": listed(ref("Result"), "Its newest blocks that are over."),
        },
    ),
    "Blocks": shape("A miner's blocks.", {"blocks": listed(ref("Result"), "The newest first.")}),
    "Health": shape("The process serves.", {"status": text("serving", const="serving")}),
    "Problem": PROBLEM_SCHEMA,
}

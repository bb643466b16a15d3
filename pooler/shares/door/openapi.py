"""The OpenAPI document (3.1) of the door."""

from collections.abc import Mapping
from typing import Any

from libs.common.version import VERSION
from libs.http.reference.document import Document, Schema, problems
from pooler.shares.config import SharesSettings
from pooler.shares.domain.codes import MEANINGS
from pooler.shares.door import examples
from pooler.shares.door.reading import MOST_JOBS, MOST_SHARES
from pooler.shares.door.schemas import SCHEMAS, ref
from pooler.shares.figures import FEW, MOST

_ABOUT = (
    "Work for miners. Read GET /v1/pool, join with a Stellar address, take jobs, bring shares: "
    "nonces whose hash meets the job's target. A share is worth the hashes that it takes on "
    "average; of each block, all miners get a part in proportion to what they have proven. Numbers "
    "that may be beyond 2^53 are texts; amounts are stroops (1 KALE = 10^7 stroops).\n\n"
    "Each share of a batch has a verdict of its own, by one of these codes: {codes}\n\n"
    "Errors of whole requests are problems (RFC 9457), whose `reason` is one of: MALFORMED (400; "
    "`violations` names every field), BAD_CREDENTIAL (401), BANNED (403; `metadata` has until and "
    "why), TERMS_CHANGED (409; agree by POST /terms), PAUSED (409; there is no work now), LIMITED "
    "(429; Retry-After says when to come again), DATABASE_UNAVAILABLE (503: nothing was credited, "
    "the same request succeeds later); or of HTTP itself: NO_SUCH_PATH, METHOD_NOT_ALLOWED, "
    "BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, BODY_MISSING, AMBIGUOUS_HEADERS, MALFORMED_HTTP, "
    "OVERLOADED, STOPPING."
)
_ALWAYS = {
    400: "The request is malformed; `violations` names every field.",
    429: "A limit is reached; Retry-After says when to come again.",
    503: "Something that is needed is away; the same request succeeds later.",
}
_BODY = {
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8.",
}
_MINERS = {401: "No credential, or one that there is not."}
_NOT_BANNED = {403: "The credential is banned; `metadata` says until when and why."}
_AGREED = {409: "The terms were changed, or there is no work now; see `reason`."}


def document_of(settings: SharesSettings) -> Document:
    """Return the document."""
    codes = " ".join(f"{code.value}: {meaning}" for code, meaning in MEANINGS.items())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{settings.shares_name}: work for miners",
            "version": VERSION,
            "description": _ABOUT.format(codes=codes),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"credential": []}],
        "tags": [
            {"name": "Pool", "description": "For everybody."},
            {"name": "Mining", "description": "For miners."},
        ],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "credential": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "km_...",
                    "description": "A miner's credential, which POST /join tells once.",
                }
            },
            "schemas": SCHEMAS,
        },
    }


def _paths() -> dict[str, Any]:
    return {
        "/v1/pool": {"get": _public("getPool", "Terms, limits and figures", "Pool", examples.POOL)},
        "/health": {
            "get": _public("getHealth", "Whether it serves", "Health", {"status": "serving"})
        },
        "/join": {"post": _join()},
        "/terms": {"post": _agree()},
        "/work": {"get": _work()},
        "/submit": {"post": _submit()},
        "/stats": {"get": _stats()},
        "/blocks": {"get": _blocks()},
        "/events": {"get": _events()},
    }


def _operation(
    name: str,
    summary: str,
    *,
    responses: Mapping[str, Any],
    errors: Mapping[int, str],
    **more: Any,
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "description": "",
        "tags": ["Mining"],
        "parameters": [],
        "responses": {**responses, **problems({**_ALWAYS, **errors})},
        **more,
    }


def _public(name: str, summary: str, schema: str, example: Any) -> dict[str, Any]:
    responses = {"200": _json(summary, schema, example)}
    return _operation(name, summary, responses=responses, errors={}, tags=["Pool"], security=[{}])


def _join() -> dict[str, Any]:
    return _operation(
        "join",
        "Join with a Stellar address, and get a credential",
        description="The credential is told this one time; the pool keeps a hash of it.",
        responses={"201": _json("The miner has joined.", "Joined", examples.JOINED)},
        errors={**_BODY, 409: "The terms are others by now."},
        tags=["Pool"],
        security=[{}],
        requestBody=_body("JoinRequest", examples.JOIN),
    )


def _agree() -> dict[str, Any]:
    return _operation(
        "agree",
        "Agree to terms that were changed",
        responses={"200": _json("The miner has agreed.", "Miner", examples.MINER)},
        errors={**_BODY, **_MINERS, **_NOT_BANNED, 409: "The terms are others by now."},
        requestBody=_body("AgreeRequest", examples.AGREE),
    )


def _work() -> dict[str, Any]:
    answer = _json("Jobs.", "Work", {"jobs": [examples.JOB]})
    answer["content"]["text/plain"] = {
        "schema": {
            "type": "string",
            "description": "With format=argv: BLOCK ENTROPY_B64 NONCE DIFFICULTY G...",
        },
        "example": examples.LINE,
    }
    answer["headers"] = {
        "Kale-Job": {
            "description": "With format=argv: the job, for POST /submit.",
            "schema": {"type": "string"},
        }
    }
    return _operation(
        "getWork",
        "Get jobs",
        description=(
            "A worker's first difficulty follows from its rate, if it says one, and is low; it "
            "rises and falls by what comes in, until about as many shares come in a block as the "
            "pool aims at. With format=argv the answer is a line for programs that know no pool: "
            "./miner $(curl ...)."
        ),
        responses={"200": answer},
        errors={**_MINERS, **_NOT_BANNED, **_AGREED},
        parameters=[
            *_asking(),
            _parameter("format", "json, or argv for a line.", {"enum": ["json", "argv"]}),
        ],
    )


def _submit() -> dict[str, Any]:
    return _operation(
        "submit",
        f"Bring shares, up to {MOST_SHARES:,} at a time",
        description=(
            "A share that is accepted is on the disk before it is answered. A batch whose answer "
            "was lost is brought again: what was credited then is a DUPLICATE."
        ),
        responses={"200": _json("A verdict for each.", "Submitted", examples.SUBMITTED)},
        errors={**_BODY, **_MINERS, **_NOT_BANNED, 409: "No block is mined yet: bring them again."},
        parameters=[
            {
                **_parameter("Kale-Job", "The job of shares that name none.", {"type": "string"}),
                "in": "header",
            }
        ],
        requestBody=_body("SubmitRequest", examples.SUBMIT),
    )


def _stats() -> dict[str, Any]:
    return _operation(
        "getStats",
        "Get your workers, rates with their errors, and parts of blocks",
        responses={"200": _json("The miner.", "Stats", examples.STATS)},
        errors=_MINERS,
    )


def _blocks() -> dict[str, Any]:
    return _operation(
        "listBlocks",
        "List your blocks that are over, and your part of each",
        responses={"200": _json("Blocks.", "Blocks", {"blocks": [examples.RESULT]})},
        errors=_MINERS,
        parameters=[
            _parameter(
                "before",
                "Blocks before this one.",
                {"type": "integer", "minimum": 0, "maximum": 2**32},
            ),
            _parameter(
                "limit",
                f"How many at most; {FEW} by default.",
                {"type": "integer", "minimum": 1, "maximum": MOST},
            ),
        ],
    )


def _events() -> dict[str, Any]:
    content = {
        "text/event-stream": {
            "schema": {
                "type": "string",
                "description": (
                    "Events whose data is JSON. job: {jobs}, at once, with each block, and when "
                    "the difficulty falls; they replace those before. works-sent: {block}, whose "
                    "shares are late from now on. part: {block, points, amount}, final. "
                    "worker-gone: {worker, newestShareAt}. ban: {until, why}. A comment is a sign "
                    "of life; an event error with a problem is the last one."
                ),
            },
            "example": examples.EVENTS,
        }
    }
    return _operation(
        "streamEvents",
        "Get jobs and news the moment they are there, as server-sent events",
        responses={"200": {"description": "Events.", "content": content}},
        errors={**_MINERS, **_NOT_BANNED, **_AGREED},
        parameters=_asking(),
    )


def _asking() -> list[dict[str, Any]]:
    return [
        _parameter(
            "worker",
            "Name of the worker; default is one, too.",
            {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,32}$"},
        ),
        _parameter(
            "rate",
            "Hashes a second that it has, for its first difficulty.",
            {"type": "integer", "minimum": 0, "maximum": 10**18},
        ),
        _parameter(
            "difficulty",
            "Hashes that its shares are to take, in place of the pool's choice; within the limits.",
            {"type": "integer", "minimum": 1, "maximum": 2**63},
        ),
        _parameter(
            "count",
            "Jobs at a time, of different farmers.",
            {"type": "integer", "minimum": 1, "maximum": MOST_JOBS},
        ),
    ]


def _parameter(name: str, description: str, schema: Schema) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }


def _json(description: str, schema: str, example: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": ref(schema), "example": example}}
    return {"description": description, "content": content}


def _body(schema: str, example: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": ref(schema), "example": example}}
    return {"required": True, "content": content}

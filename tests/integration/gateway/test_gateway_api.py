"""/v1: calls of services in the caller's name, and their errors as problems."""

import asyncio
from typing import Any

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import wallet_pb2

from libs.common import errors
from libs.common.errors import FieldViolation, PoolError
from tests.support.fake_backends import FARMER, OPERATOR_TOKEN, POOLER, POOLER_TOKEN, SUBJECTS
from tests.support.gateway_world import GatewayWorld, open_gateway_world


async def test_a_call_has_the_tokens_name_and_the_requests_id(world: GatewayWorld) -> None:
    world.pool.answers["GetFarmer"] = lambda request: registry_pb2.GetFarmerResponse(
        farmer=registry_pb2.Farmer(farmer_id=request.farmer_id, current_balance=2**60)
    )
    response = await world.get(
        f"/v1/farmers/{FARMER}", token=POOLER_TOKEN, headers={"X-Request-Id": "my-request"}
    )
    assert response.status_code == 200
    farmer = response.json()["farmer"]
    assert (farmer["farmerId"], farmer["currentBalance"]) == (FARMER, str(2**60))
    assert farmer["status"] == "FARMER_STATUS_UNSPECIFIED"
    (call,) = world.pool.asked("GetFarmer")
    assert call.identity == SUBJECTS[POOLER_TOKEN]
    assert call.metadata["x-request-id"] == "my-request"
    assert call.metadata["x-forwarded-for"] == "127.0.0.1"
    assert response.headers["x-request-id"] == "my-request"
    assert POOLER_TOKEN not in str(call.metadata)


async def test_no_header_of_a_caller_becomes_metadata(world: GatewayWorld) -> None:
    headers = {
        "Grpc-Metadata-Authorization": "Bearer x",
        "Grpc-Timeout": "1n",
        "X-Request-Id": "evil id\twith blanks",
        "Te": "trailers",
    }
    await world.get(f"/v1/farmers/{FARMER}", headers=headers)
    (call,) = world.pool.asked("GetFarmer")
    assert "grpc-metadata-authorization" not in call.metadata
    assert call.identity == SUBJECTS[OPERATOR_TOKEN]
    assert " " not in call.metadata["x-request-id"]


async def test_a_token_is_exchanged_once(world: GatewayWorld) -> None:
    for _ in range(3):
        await world.get(f"/v1/farmers/{FARMER}")
    await asyncio.gather(*(world.get("/v1/poolers", token=POOLER_TOKEN) for _ in range(5)))
    assert len(world.pool.asked("ExchangeToken")) == 2


async def test_a_revoked_token_ends_with_its_access_token(world: GatewayWorld) -> None:
    world.pool.life = 10.2
    assert (await world.get("/v1/poolers")).status_code == 200
    world.pool.revoked.add(OPERATOR_TOKEN)
    await asyncio.sleep(0.3)
    assert (await world.get("/v1/poolers")).status_code == 401


async def test_what_is_public_needs_no_token(world: GatewayWorld) -> None:
    world.pool.answers["GetBlock"] = lambda request: wallet_pb2.GetBlockResponse(
        block=wallet_pb2.Block(index=request.index if request.HasField("index") else 9)
    )
    for path, index in (("/v1/blocks/7", 7), ("/v1/blocks:current", 9), ("/v1/blocks/0", 0)):
        response = await world.get(path, token=None)
        assert response.json()["block"]["index"] == index
    assert world.pool.asked("ExchangeToken") == []
    # With a token, the call is made in its name all the same.
    await world.get("/v1/blocks/7")
    assert world.pool.asked("GetBlock")[-1].identity == SUBJECTS[OPERATOR_TOKEN]


@pytest.mark.parametrize(
    ("token", "reason"), [(None, "TOKEN_MISSING"), ("kp_" + "x" * 43, "TOKEN_UNKNOWN")]
)
async def test_without_a_token_that_counts_nothing_else_is_called(
    world: GatewayWorld, token: str | None, reason: str
) -> None:
    response = await world.get("/v1/poolers", token=token)
    assert (response.status_code, response.json()["reason"]) == (401, reason)
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="kalepool"')
    assert ("invalid_token" in challenge) is (token is not None)
    assert world.pool.asked("ListPoolers") == []
    # A wrong token is no better than none on what is public.
    if token is not None:
        assert (await world.get("/v1/blocks/7", token=token)).status_code == 401


@pytest.mark.parametrize("path", ["/v1/poolers", "/v1/blocks/7", "/plant", "/health"])
@pytest.mark.parametrize(
    "authorization",
    ["", OPERATOR_TOKEN, f"Basic {OPERATOR_TOKEN}", "Bearer", "Basic YW5uOng="],
)
async def test_a_header_that_brings_no_token_is_told_what_is_expected(
    world: GatewayWorld, path: str, authorization: str
) -> None:
    method = "POST" if path == "/plant" else "GET"
    headers = {"Authorization": authorization}
    response = await world.request(method, path, token=None, headers=headers)
    problem = response.json()
    assert (response.status_code, problem["reason"]) == (401, "TOKEN_MISSING")
    assert "Bearer kp_..." in problem.get("detail", problem.get("message"))
    assert response.headers["www-authenticate"] == 'Bearer realm="kalepool"'
    assert world.pool.calls == []


async def test_headers_that_bring_no_token_are_limited_like_no_headers(tmp_path: Any) -> None:
    async with open_gateway_world(tmp_path, public_rate_limit=2) as world:
        headers = {"Authorization": "Basic x"}
        answers = [await world.get("/v1/poolers", token=None, headers=headers) for _ in range(3)]
        assert [one.status_code for one in answers] == [401, 401, 429]


ERRORS = [
    (errors.InvalidArgumentError("no"), 400),
    (errors.FailedPreconditionError("no", reason="WRONG_BLOCK"), 400),
    (errors.OutOfRangeError("no"), 400),
    (errors.UnauthenticatedError("no"), 401),
    (errors.PermissionDeniedError("no", reason="NOT_YOURS"), 403),
    (errors.NotFoundError("no"), 404),
    (errors.AlreadyExistsError("no"), 409),
    (errors.ConflictError("no"), 409),
    (errors.ResourceExhaustedError("no", retry_after=0.2), 429),
    (errors.InternalError("no"), 500),
    (errors.UnavailableError("no", retry_after=3.0), 503),
    (errors.DeadlineExceededError("no"), 504),
]


@pytest.mark.parametrize(("error", "status"), ERRORS, ids=[str(status) for _, status in ERRORS])
async def test_an_error_of_a_service_is_a_problem(
    world: GatewayWorld, error: PoolError, status: int
) -> None:
    def fail(_: Any) -> None:
        raise error

    world.pool.answers["GetFarmer"] = fail
    response = await world.get(f"/v1/farmers/{FARMER}")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == "about:blank"
    assert (problem["status"], problem["reason"]) == (status, error.reason)
    assert problem["title"] == response.reason_phrase
    assert problem["instance"] == f"/v1/farmers/{FARMER}"
    assert problem["requestId"] == response.headers["x-request-id"]
    if error.retry_after is not None:
        assert int(response.headers["retry-after"]) >= 1


async def test_violations_are_named_as_json_names_fields(world: GatewayWorld) -> None:
    def fail(_: Any) -> None:
        raise errors.InvalidArgumentError(
            "submissions[3].farmer_id is no UUID",
            metadata={"current_block": "7"},
            violations=[FieldViolation(field="submissions[3].farmer_id", description="is no UUID")],
        )

    world.pool.answers["SubmitWork"] = fail
    problem = (await world.post("/v1/works", json={"poolerId": POOLER})).json()
    assert problem["violations"] == [
        {"field": "submissions[3].farmerId", "description": "is no UUID"}
    ]
    assert problem["detail"] == "submissions[3].farmerId is no UUID"
    assert problem["metadata"] == {"current_block": "7"}


@pytest.mark.parametrize(
    ("path", "way"), [("/v1/works", "POST /v1/works"), ("/work", "POST /work")]
)
async def test_an_error_names_the_way_that_was_called(
    world: GatewayWorld, path: str, way: str
) -> None:
    def fail(_: Any) -> None:
        method = "/kalepool.work.v1.WorkService/SubmitWork"
        raise errors.PermissionDeniedError(f"{method} is not for pooler 7")

    world.pool.answers["SubmitWork"] = fail
    answer = (await world.post(path, json={"poolerId": POOLER})).json()
    assert answer.get("detail", answer.get("message")) == f"{way} is not for pooler 7"


async def test_what_any_service_knows_is_asked_of_the_next_when_one_is_away(tmp_path: Any) -> None:
    async with open_gateway_world(tmp_path, registry_target="127.0.0.1:1") as world:
        world.pool.answers["GetStatus"] = lambda _: common_pb2.GetStatusResponse(
            status=common_pb2.POOL_HEALTH_DEGRADED, services={"registry": False}
        )
        response = await world.get("/v1/status", token=None)
        assert response.json()["services"] == {"registry": False}
        assert (await world.get("/v1/poolers")).status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/v1/nobody", 404, None),
        ("GET", "/v1", 404, None),
        ("GET", "/v1/farmers/", 404, None),
        ("GET", "/page", 404, None),
        ("POST", "/v1/farmers/7", 405, "GET, HEAD, PATCH"),
        ("DELETE", "/v1/blocks:watch", 405, "GET"),
        ("HEAD", "/v1/blocks:watch", 405, "GET"),
        ("GET", "/plant", 405, "POST"),
        ("HEAD", "/plant", 405, "POST"),
        ("OPTIONS", "/v1/farmers", 405, "GET, HEAD, POST"),
        ("POST", "/docs", 405, "GET, HEAD"),
    ],
)
async def test_what_is_not_served_is_told(
    world: GatewayWorld, method: str, path: str, status: int, allowed: str | None
) -> None:
    response = await world.request(method, path)
    assert response.status_code == status
    assert response.headers.get("allow") == allowed
    if method == "HEAD":
        assert response.content == b""
    else:
        assert response.json()["reason"] in {"NO_SUCH_PATH", "METHOD_NOT_ALLOWED"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/blocks/7", 200),
        ("/v1/poolers", 200),
        ("/v1/blocks/x", 400),
        ("/v1/nobody", 404),
        ("/health", 200),
        ("/info", 200),
    ],
)
async def test_head_is_answered_as_get_is_without_the_body(
    world: GatewayWorld, path: str, status: int
) -> None:
    own = {"date", "x-request-id"}
    whole, head = await world.get(path), await world.request("HEAD", path)
    assert (whole.status_code, head.status_code, head.content) == (status, status, b"")
    told = [
        {name: value for name, value in one.headers.items() if name not in own}
        for one in (whole, head)
    ]
    if "json" in whole.headers["content-type"] and status == 200:
        assert told[0] == told[1]
    assert told[0].keys() == told[1].keys()


async def test_who_has_no_token_asks_only_so_often(tmp_path: Any) -> None:
    async with open_gateway_world(tmp_path, public_rate_limit=3) as world:
        statuses = [(await world.get("/v1/blocks/7", token=None)).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        response = await world.get("/v1/blocks/8", token=None)
        assert int(response.headers["retry-after"]) >= 1
        # Other paths, and who has a token, are counted apart.
        assert (await world.get("/v1/info", token=None)).status_code == 200
        assert (await world.get("/v1/blocks/7")).status_code == 200


async def test_wrong_tokens_are_tried_only_so_often(tmp_path: Any) -> None:
    async with open_gateway_world(tmp_path, wrong_token_limit=2) as world:
        tokens = ["kp_" + letter * 43 for letter in "wxyz"]
        statuses = [(await world.get("/v1/poolers", token=one)).status_code for one in tokens]
        assert statuses == [401, 401, 429, 429]


async def test_too_many_requests_at_a_time_are_told_to_come_again(tmp_path: Any) -> None:
    async with open_gateway_world(tmp_path, max_calls_in_progress=1) as world:
        going_on = asyncio.Event()

        async def wait(_: Any) -> Any:
            await going_on.wait()
            return registry_pb2.GetFarmerResponse()

        world.pool.answers["GetFarmer"] = wait
        first = asyncio.create_task(world.get(f"/v1/farmers/{FARMER}"))
        while not world.pool.asked("GetFarmer"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        second = await world.get(f"/v1/farmers/{FARMER}")
        assert (second.status_code, second.json()["reason"]) == (503, "OVERLOADED")
        going_on.set()
        assert (await first).status_code == 200


def endless(world: GatewayWorld, method: str) -> asyncio.Event:
    """Have a method never answer; the event is set when a call of the method has ended."""
    ended = asyncio.Event()

    async def wait(_: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    world.pool.answers[method] = wait
    return ended


async def test_a_caller_who_goes_away_ends_its_call(world: GatewayWorld) -> None:
    ended = endless(world, "GetFarmer")
    task = asyncio.create_task(world.get(f"/v1/farmers/{FARMER}"))
    while not world.pool.asked("GetFarmer"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    async with asyncio.timeout(10):
        await ended.wait()


# A large body pauses the connection while it is read, and so do requests that wait behind.
@pytest.mark.parametrize(("blanks", "more"), [(200_000, 0), (0, 3)])
async def test_a_caller_who_goes_away_ends_its_call_whatever_it_sent(
    world: GatewayWorld, blanks: int, more: int, caplog: pytest.LogCaptureFixture
) -> None:
    ended = endless(world, "RegisterFarmer")
    body = b'{"poolerId":"%s"%s}' % (POOLER.encode(), b" " * blanks)
    head = (
        "POST /v1/farmers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {OPERATOR_TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(head.encode() + body + b"GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n" * more)
    async with asyncio.timeout(10):
        while not world.pool.asked("RegisterFarmer"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        writer.close()
        await ended.wait()
    assert (await world.get("/v1/info")).status_code == 200
    # A request that has no answer, as nobody waits for one, is no defect that the log tells of.
    assert [one for one in caplog.records if one.name == "uvicorn.error"] == []


async def test_a_large_reply_is_written_whole(world: GatewayWorld) -> None:
    poolers = [registry_pb2.Pooler(name=str(number) * 20) for number in range(3000)]
    world.pool.answers["ListPoolers"] = lambda _: registry_pb2.ListPoolersResponse(poolers=poolers)
    reply = (await world.get("/v1/poolers?pageSize=1000")).json()
    assert len(reply["poolers"]) == 3000


async def test_every_reply_says_how_it_may_be_used(world: GatewayWorld) -> None:
    for path in ("/v1/blocks/7", "/v1/nobody", "/health"):
        headers = (await world.get(path, token=None)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


async def test_the_reference_is_served_and_asks_nothing_of_others(world: GatewayWorld) -> None:
    document = await world.get("/openapi.json", token=None)
    assert document.json()["openapi"].startswith("3.1")
    page = await world.get("/docs", token=None)
    assert page.status_code == 200
    assert "/v1/farmers/{farmerId}" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "<script" not in page.text
    assert (await world.get("/docs.css", token=None)).headers["content-type"].startswith("text/css")
    again = await world.get("/docs", token=None, headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304

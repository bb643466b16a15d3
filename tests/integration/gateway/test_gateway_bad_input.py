"""Bad input of every kind: refused with the field named, never 500, and nobody else waits."""

import asyncio
import contextlib
import gzip
import json
from pathlib import Path

import pytest

from libs.common.errors import UnavailableError
from libs.http.request import Bodies
from tests.support.fake_backends import OPERATOR_TOKEN, POOLER, POOLER_TOKEN
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.registry_world import eventually

REGISTER = "/v1/farmers"
JSON = {"Content-Type": "application/json"}
AUTHORIZED = f"Authorization: Bearer {OPERATOR_TOKEN}"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"poolerId": NaN}', 400, "poolerId"),
        (b'{"poolerId": "a", "poolerId": "b"}', 400, "poolerId"),
        (b'{"stakePercentage": 99999999999999999999999999}', 400, "stakePercentage"),
        (b'{"nobody": 1}', 400, "nobody"),
        (b'{"metadata": ' + b'{"a":' * 65 + b"1" + b"}" * 65 + b"}", 400, "metadata"),
        (b"[" * 10_000 + b"]" * 10_000, 400, "body"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "body"),
        (b"", 200, None),
        (b"null", 400, "body"),
        (b"\xff\xfe", 400, "body"),
        (b'{"poolerId": "\\ud800"}', 400, "poolerId"),
        (b'{"\\ud800": "a name that is no text"}', 400, "?"),
        (b'{"metadata": {"\\udfff": 1}}', 400, "metadata"),
        (b'{"metadata": {"a": 1e400}}', 400, "metadata"),
        (b"x" * 3_000_000, 413, "body"),
    ],
)
async def test_a_body_that_is_wrong_is_named(
    world: GatewayWorld, body: bytes, status: int, field: str | None
) -> None:
    response = await world.post(REGISTER, content=body, headers=JSON)
    assert response.status_code == status, response.text
    if field is not None:
        assert response.json()["violations"][0]["field"] == field
        assert world.pool.asked("RegisterFarmer") == []


@pytest.mark.parametrize(
    ("headers", "body", "field"),
    [
        ({}, b"{}", "content-type"),
        ({"Content-Type": "text/plain"}, b"{}", "content-type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=1", "content-type"),
        ({"Content-Type": "application/json; charset=latin-1"}, b"{}", "content-type"),
        ({**JSON, "Content-Encoding": "gzip"}, gzip.compress(b"{}", mtime=0), "content-encoding"),
        ({**JSON, "Content-Encoding": "br"}, b"{}", "content-encoding"),
    ],
)
async def test_another_media_type_or_encoding_is_415(
    world: GatewayWorld, headers: dict[str, str], body: bytes, field: str
) -> None:
    response = await world.post(REGISTER, content=body, headers=headers)
    assert response.status_code == 415
    assert response.json()["violations"][0]["field"] == field


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=UTF-8"])
async def test_json_is_known_by_its_media_type(world: GatewayWorld, kind: str) -> None:
    response = await world.post(REGISTER, content=b"{}", headers={"Content-Type": kind})
    assert response.status_code == 200


async def test_a_body_where_there_is_none_is_refused(world: GatewayWorld) -> None:
    response = await world.request("GET", "/v1/poolers", content=b"{}", headers=JSON)
    assert (response.status_code, response.json()["violations"][0]["field"]) == (400, "body")


@pytest.mark.parametrize(
    ("query", "field"),
    [("pageSize=x", "pageSize"), ("x=1", "x"), ("pageSize=%zz", "pageSize"), ("a=%ff", "query")],
)
async def test_a_query_that_is_wrong_is_named(world: GatewayWorld, query: str, field: str) -> None:
    response = await world.get(f"/v1/poolers?{query}")
    assert (response.status_code, response.json()["violations"][0]["field"]) == (400, field)


async def raw(world: GatewayWorld, head: str, body: bytes = b"", *, end: str = "\n\n") -> bytes:
    """Send bytes as they are; return all that comes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write((head + end).replace("\n", "\r\n").encode("latin-1") + body)
    answer = b""
    with contextlib.suppress(ConnectionError):  # it ends while we still send
        async with asyncio.timeout(10):
            while part := await reader.read(65_536):
                answer += part
    writer.close()
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


SMUGGLED = [
    # Two lengths, or a length and chunks: another program may see two requests.
    f"POST {REGISTER} HTTP/1.1\nHost: x\n{AUTHORIZED}\nContent-Length: 4\n"
    "Transfer-Encoding: chunked\nConnection: close",
    f"POST {REGISTER} HTTP/1.1\nHost: x\n{AUTHORIZED}\nContent-Length: 4\nContent-Length: 5"
    "\nConnection: close",
    f"POST {REGISTER} HTTP/1.1\nHost: x\n{AUTHORIZED}\nTransfer-Encoding: gzip, chunked"
    "\nConnection: close",
    f"POST {REGISTER} HTTP/1.1\nHost: x\n{AUTHORIZED}\nContent-Length: +4\nConnection: close",
    f"GET /v1/poolers HTTP/1.1\nHost: x\n{AUTHORIZED}\n{AUTHORIZED}\nConnection: close",
    f"GET /v1/poolers HTTP/1.1\nHost: x\nHost: y\n{AUTHORIZED}\nConnection: close",
    f"GET /v1/poolers HTTP/1.1\n{AUTHORIZED}\nConnection: close",
    f"GET /v1/poolers HTTP/1.1\nHost: x\n{AUTHORIZED} \n x: folded\nConnection: close",
    f"GET /v1/poolers HTTP/1.1\nHost : x\n{AUTHORIZED}\nConnection: close",
    "GET /v1/poolers\tx HTTP/1.1\nHost: x\nConnection: close",
    "\x16\x03\x01 no HTTP at all",
]


@pytest.mark.parametrize("head", SMUGGLED, ids=range(len(SMUGGLED)))
async def test_a_head_that_may_be_read_in_two_ways_is_refused(
    world: GatewayWorld, head: str
) -> None:
    answer = await raw(world, head, b"0\r\n\r\n")
    assert status_of(answer) in {400, 401, 501}
    assert b"application/problem+json" in answer
    assert not world.pool.asked("ListPoolers")
    assert not world.pool.asked("RegisterFarmer")


async def test_a_head_without_an_end_is_refused(world: GatewayWorld) -> None:
    head = f"GET /v1/poolers HTTP/1.1\nHost: x\nX: {'a' * 200_000}"
    answer = await raw(world, head, end="")
    assert status_of(answer) in {400, 431}


async def test_a_body_that_does_not_come_is_408(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, body_timeout_ms=200) as world:
        head = f"POST {REGISTER} HTTP/1.1\nHost: x\n{AUTHORIZED}\nContent-Length: 10"
        answer = await raw(world, f"{head}\nContent-Type: application/json", b"{")
        assert status_of(answer) == 408
        assert b"BODY_MISSING" in answer


async def test_a_body_in_chunks_has_the_same_limit(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, max_body_bytes=1024) as world:
        head = f"POST {REGISTER} HTTP/1.1\nHost: x\n{AUTHORIZED}\nTransfer-Encoding: chunked"
        chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
        answer = await raw(world, f"{head}\nContent-Type: application/json", chunk * 2)
        assert status_of(answer) == 413


async def test_who_is_refused_hears_why_before_the_body_is_there(world: GatewayWorld) -> None:
    head = f"POST {REGISTER} HTTP/1.1\nHost: x\nContent-Length: 2000000"
    answer = await raw(world, f"{head}\nContent-Type: application/json")
    assert status_of(answer) == 401
    assert b"connection: close" in answer


async def test_bodies_that_are_held_are_counted(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, max_body_bytes=1024, body_timeout_ms=60_000) as world:
        head = (
            f"POST {REGISTER} HTTP/1.1\r\nHost: x\r\n{AUTHORIZED}\r\nContent-Length: 1024\r\n"
            "Content-Type: application/json\r\n\r\n"
        )
        writers = []
        for _ in range(8):  # one caller's share
            _, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(head.encode() + b" " * 1023)
            writers.append(writer)

        async def refused() -> bool:
            response = await world.post(REGISTER, json={"poolerId": POOLER})
            if response.status_code == 200:
                return False  # not all of the bodies were read so far
            assert (response.status_code, response.json()["reason"]) == (503, "OVERLOADED")
            return True

        async def taken() -> bool:
            return not await refused()

        await eventually(refused, "a body beyond the share is taken")
        for writer in writers:
            writer.close()
        await eventually(taken, "bodies whose senders are gone are still held")


def test_poolers_bodies_leave_room_for_others() -> None:
    bodies = Bodies(most=8, most_of_one=8)
    pooler = f"spiffe://kalepool/pooler/{POOLER}"
    bodies.take(pooler, 6)
    with pytest.raises(UnavailableError):
        bodies.take("spiffe://kalepool/pooler/another", 1)
    bodies.take("spiffe://kalepool/operator/ann", 2)
    bodies.give_back(pooler, 6)
    assert bodies.held == 2


async def test_slow_bodies_take_no_room_from_other_callers(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, max_calls_in_progress=4) as world:
        head = (
            f"POST {REGISTER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {POOLER_TOKEN}\r\n"
            "Content-Length: 100\r\nContent-Type: application/json\r\n\r\n{"
        )
        writers = []
        for _ in range(8):
            _, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(head.encode())
            writers.append(writer)
        await asyncio.sleep(0.5)
        for token in (OPERATOR_TOKEN, POOLER_TOKEN):
            response = await world.post(REGISTER, json={"poolerId": POOLER}, token=token)
            assert response.status_code == 200
        for writer in writers:
            writer.close()


async def test_a_body_of_get_is_not_waited_for(world: GatewayWorld) -> None:
    answer = await raw(world, "GET /v1/info HTTP/1.1\nHost: x\nContent-Length: 9")
    assert status_of(answer) == 400
    assert b'"field":"body"' in answer.replace(b" ", b"")


async def test_while_a_large_body_is_read_others_are_answered(world: GatewayWorld) -> None:
    submission = {"farmerId": POOLER, "nonce": 1}
    body = json.dumps({"poolerId": POOLER, "submissions": [submission] * 20_000}).encode()
    large = asyncio.create_task(world.post("/v1/works", content=body, headers=JSON))
    while not large.done():
        assert (await world.get("/v1/blocks/7", token=None)).status_code == 200
    assert (await large).status_code == 200
    assert len(world.pool.asked("SubmitWork")[0].request.submissions) == 20_000

"""Requests of HTTP as messages: each rule of google.api.http, and each thing that goes wrong."""

import json
from typing import Any

import pytest

from gateway.bindings import Binding, all_bindings
from gateway.transcode import message_of
from libs.common.errors import PoolError

UUID = "0190a5f0-0000-7000-8000-000000000001"
BINDINGS = {f"{one.verb} {one.template.text}": one for one in all_bindings()}


def binding(name: str) -> Binding:
    return BINDINGS[name]


async def message(name: str, **parts: Any) -> Any:
    """The message of a request."""
    body = parts.pop("body", b"")
    given = {"variables": {}, "query": "", "headers": {}, **parts}
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return await message_of(binding(name), body=body, **given)


async def refusal(name: str, **parts: Any) -> PoolError:
    with pytest.raises(PoolError) as caught:
        await message(name, **parts)
    return caught.value


GET_FARMER = "GET /v1/farmers/{farmer_id}"
UPDATE = "PATCH /v1/farmers/{farmer_id}"
LIST = "GET /v1/farmers"
REGISTER = "POST /v1/farmers"
WATCH = "GET /v1/blocks:watch"


async def test_what_the_path_says_is_set() -> None:
    assert (await message(GET_FARMER, variables={"farmer_id": UUID})).farmer_id == UUID
    found = await message("GET /v1/blocks/{index}", variables={"index": "7"})
    assert found.index == 7
    found = await message("GET /v1/addresses/{address}/wallet", variables={"address": "GA"})
    assert found.WhichOneof("by") == "address"


async def test_the_rest_of_a_message_without_a_body_stands_in_the_query() -> None:
    found = await message(LIST, query=f"poolerId={UUID}&page_size=7&pageToken=a%2Bb")
    assert (found.pooler_id, found.page_size, found.page_token) == (UUID, 7, "a+b")
    found = await message("GET /v1/balances", query="farmerIds=a&farmerIds=b")
    assert found.farmer_ids == ["a", "b"]


async def test_the_rest_of_a_message_with_a_body_stands_in_it() -> None:
    found = await message(
        UPDATE, variables={"farmer_id": UUID}, body={"stakePercentage": "0.5", "metadata": {"a": 1}}
    )
    assert (found.farmer_id, found.stake_percentage) == (UUID, "0.5")
    assert found.metadata["a"] == 1


async def test_no_body_is_an_empty_one() -> None:
    assert (await message(UPDATE, variables={"farmer_id": UUID})).farmer_id == UUID
    assert (await message(UPDATE, variables={"farmer_id": UUID}, body=b" \n")).farmer_id == UUID


async def test_a_body_may_repeat_the_path_and_not_contradict_it() -> None:
    found = await message(UPDATE, variables={"farmer_id": UUID}, body={"farmerId": UUID})
    assert found.farmer_id == UUID
    error = await refusal(UPDATE, variables={"farmer_id": UUID}, body={"farmerId": "other"})
    assert [one.field for one in error.violations] == ["farmerId"]
    assert "differs from the one in the path" in error.message


@pytest.mark.parametrize(
    ("name", "parts", "field", "why"),
    [
        (GET_FARMER, {"variables": {"farmer_id": "%ff"}}, "farmerId", "is not UTF-8"),
        ("GET /v1/blocks/{index}", {"variables": {"index": "x"}}, "index", "a whole number"),
        ("GET /v1/blocks/{index}", {"variables": {"index": "-1"}}, "index", "from 0 to"),
        (LIST, {"query": "nobody=1"}, "nobody", "is no field"),
        (LIST, {"query": "pageSize=x"}, "pageSize", "a whole number"),
        (LIST, {"query": "pageSize=1&pageSize=2"}, "pageSize", "several times"),
        (LIST, {"query": "pageSize=1&page_size=2"}, "page_size", "given twice"),
        (LIST, {"query": "=1"}, '""', "no field"),
        (REGISTER, {"body": {"": 1}}, '""', "no field"),
        ("POST /v1/works", {"body": {"submissions": [{"": 1}]}}, 'submissions[0].""', "no field"),
        (LIST, {"query": "poolerId=%ff"}, "query", "is not UTF-8"),
        (LIST, {"query": "&".join(["a=1"] * 1200)}, "query", "has more than"),
        (LIST, {"body": {"poolerId": UUID}}, "body", "is not for GET"),
        (
            GET_FARMER,
            {"variables": {"farmer_id": UUID}, "query": "farmerId=x"},
            "farmerId",
            "stands in the path already",
        ),
        (REGISTER, {"query": "poolerId=x"}, "poolerId", "cannot stand in the query"),
        (REGISTER, {"body": b"{"}, "body", "is no JSON"),
        (REGISTER, {"body": b"\xff"}, "body", "is not UTF-8"),
        (REGISTER, {"body": []}, "body", "must be an object"),
        (REGISTER, {"body": {"poolerId": 1}}, "poolerId", "must be a string"),
        (WATCH, {"headers": {"last-event-id": "x"}}, "Last-Event-ID", "is no id"),
        (WATCH, {"headers": {"last-event-id": "4294967296"}}, "Last-Event-ID", "is no id"),
        (WATCH, {"headers": {"last-event-id": "1.2.3"}}, "Last-Event-ID", "is no id"),
        (WATCH, {"headers": {"last-event-id": "9" * 30}}, "Last-Event-ID", "is no id"),
        (REGISTER, {"headers": {"idempotency-key": ""}}, "Idempotency-Key", "1 to 128"),
        (REGISTER, {"headers": {"idempotency-key": "x" * 129}}, "Idempotency-Key", "1 to 128"),
        (REGISTER, {"headers": {"idempotency-key": "\xe4"}}, "Idempotency-Key", "printable"),
    ],
)
async def test_what_is_wrong_is_named(
    name: str, parts: dict[str, Any], field: str, why: str
) -> None:
    error = await refusal(name, **parts)
    assert [one.field for one in error.violations] == [field]
    assert why in error.message


async def test_the_idempotency_key_is_the_request_id() -> None:
    for key in ("abc", '"abc"'):
        found = await message(REGISTER, headers={"idempotency-key": key})
        assert found.request_id == "abc"
    same = {"headers": {"idempotency-key": "abc"}, "body": {"requestId": "abc"}}
    assert (await message(REGISTER, **same)).request_id == "abc"
    error = await refusal(REGISTER, headers={"idempotency-key": "abc"}, body={"requestId": "other"})
    assert error.reason == "REQUEST_ID_DIFFERS"
    # What has no request_id is repeatable by itself.
    assert await message(GET_FARMER, headers={"idempotency-key": "abc"}) is not None


async def test_a_stream_goes_on_after_the_last_event() -> None:
    assert not (await message(WATCH)).HasField("after_index")
    assert (await message(WATCH, query="afterIndex=3")).after_index == 3
    again = await message(WATCH, query="afterIndex=3", headers={"last-event-id": "7.1500"})
    assert again.after_index == 7


async def test_a_large_body_is_read_as_a_small_one() -> None:
    submissions = [{"farmerId": UUID, "nonce": str(number)} for number in range(5000)]
    found = await message("POST /v1/works", body={"submissions": submissions})
    assert len(found.submissions) == 5000
    assert found.submissions[4999].nonce == 4999

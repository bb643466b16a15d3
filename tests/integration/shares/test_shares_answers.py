"""Every answer is what the OpenAPI document says."""

from typing import Any

import httpx
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from pooler.shares.door.openapi import document_of
from tests.support.share_world import ADDRESS, ShareWorld, found_in


def held(world: ShareWorld, answer: httpx.Response, verb: str, path: str) -> Any:
    """Hold an answer against the document; return its content."""
    document = document_of(world.shares.settings)
    response = document["paths"][path][verb]["responses"][str(answer.status_code)]
    kind = answer.headers["content-type"].partition(";")[0]
    schema = response["content"][kind]["schema"]
    check = Draft202012Validator({**schema, "components": document["components"]})
    content = answer.json() if "json" in kind else answer.text
    assert [error.message for error in check.iter_errors(content)] == []
    return content


async def test_answers_are_what_the_document_says(world: ShareWorld) -> None:
    pool = held(world, await world.http.get("/v1/pool"), "get", "/v1/pool")
    held(world, await world.http.get("/health"), "get", "/health")
    body = {"address": ADDRESS, "terms": pool["terms"]["version"]}
    held(world, await world.http.post("/join", json=body), "post", "/join")
    rig = await world.join()
    held(world, await rig.post("/terms", json={"terms": body["terms"]}), "post", "/terms")
    held(world, await rig.get("/stats"), "get", "/stats")
    job = held(world, await rig.get("/work?difficulty=16&count=3"), "get", "/work")["jobs"][0]
    held(world, await rig.get("/work?format=argv"), "get", "/work")
    shares = [*found_in(job, 2), {"job": "x", "nonce": "1"}]
    held(world, await rig.post("/submit", json={"shares": shares}), "post", "/submit")
    await world.shares.works_sent(100)
    world.clock.now += 5
    late = found_in(job, 1, skip=2)
    held(world, await rig.post("/submit", json={"shares": late}), "post", "/submit")
    await world.next_block()
    stale = found_in(job, 1, skip=3)
    held(world, await rig.post("/submit", json={"shares": stale}), "post", "/submit")
    await world.shares.harvested(100, 10**9)
    held(world, await rig.get("/stats"), "get", "/stats")
    held(world, await rig.get("/blocks"), "get", "/blocks")


async def test_errors_are_what_the_document_says(world: ShareWorld) -> None:
    rig = await world.join()
    held(world, await world.http.get("/stats"), "get", "/stats")
    held(world, await world.http.post("/join", json={}), "post", "/join")
    held(world, await rig.get("/work?count=0"), "get", "/work")
    held(world, await rig.post("/submit", content=b"{}"), "post", "/submit")
    held(world, await rig.post("/submit", json={}), "post", "/submit")
    held(world, await rig.post("/terms", json={"terms": "0" * 16}), "post", "/terms")
    await world.shares.works_sent(100)
    held(world, await rig.get("/work"), "get", "/work")
    miner = await world.shares.accounts.of_credential(rig.credential)
    await world.shares.ban(miner, seconds=60, why="x")
    held(world, await rig.get("/work"), "get", "/work")

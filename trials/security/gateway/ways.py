"""Every way into the gateway, /v1 and the seed's paths, and callers who send what they like."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from google.protobuf.descriptor import MethodDescriptor
from stellar_sdk import Keypair
from yarl import URL

from gateway.bindings import all_bindings
from gateway.seed import ACTIONS
from libs.common.ids import new_id
from libs.http.template import parse_template
from trials.security.access import Rpc

#: Seconds of one request; one that is let in may wait for the chain, and need not be answered.
TIMEOUT = 3.0
#: Reason of an answer that did not come in time.
SILENT = "SILENT"
#: Reason of a connection that ended without an answer.
BROKEN = "BROKEN"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One method of HTTP on one path."""

    #: GET, POST, PUT or PATCH.
    verb: str
    #: The path, with {names} where values go.
    template: str
    #: Names of these values, fields of the RPC's request.
    variables: tuple[str, ...]
    #: The RPC that is called; None for /health, which asks every service.
    method: MethodDescriptor | None
    #: Whether anybody may ask.
    is_public: bool
    #: Whether fields stand in the body; else in the query.
    has_body: bool

    @property
    def name(self) -> str:
        """Return method and path."""
        return f"{self.verb} {self.template}"

    @property
    def rpc(self) -> Rpc | None:
        """Return the RPC as the trial of the access table has it."""
        return None if self.method is None else Rpc(process="", method=self.method)

    def path(self, values: Mapping[str, str]) -> str:
        """Return the path with values, which are escaped."""
        found = self.template
        for name in self.variables:
            found = found.replace("{" + name + "}", quote(values[name], safe=""))
        return found

    def some_values(self) -> dict[str, str]:
        """Return a value of the right form for each variable; nobody has such an id."""
        return {name: _value(name) for name in self.variables}


def _value(name: str) -> str:
    if name.endswith("address"):
        return Keypair.random().public_key
    return "1" if name.endswith("index") else str(new_id())


def all_ways() -> list[Way]:
    """Return every way that the gateway serves, but for its pages."""
    return [*_of_v1(), *_of_the_seed()]


def _of_v1() -> Iterator[Way]:
    for binding in all_bindings():
        yield Way(
            verb=binding.verb,
            template=binding.template.text,
            variables=binding.template.variables,
            method=binding.method.descriptor,
            is_public=binding.method.is_public,
            has_body=binding.has_body,
        )


def _of_the_seed() -> Iterator[Way]:
    methods = {one.method.descriptor.full_name: one.method.descriptor for one in all_bindings()}
    for action in ACTIONS:
        yield Way(
            verb="POST",
            template=parse_template(action.path).text,
            variables=(),
            method=methods[action.method],
            is_public=False,
            has_body=True,
        )
    info = methods["kalepool.common.v1.InfoService.GetInfo"]
    for path, method in (("/health", None), ("/info", info)):
        yield Way(
            verb="GET",
            template=path,
            variables=(),
            method=method,
            is_public=True,
            has_body=False,
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the gateway answered."""

    #: The status; 0 when there was no answer.
    status: int
    #: The reason of a problem, SILENT or BROKEN; empty otherwise.
    reason: str
    #: The body as far as it was read: of a stream, its first part.
    text: bytes
    #: Headers by name, in small letters.
    headers: Mapping[str, str]

    def json(self) -> Any:
        """Return the body as JSON; None when it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


class Caller:
    """Somebody who sends requests, over as many connections as it takes."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(
        self,
        verb: str,
        path: str,
        *,
        token: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Answer:
        """Return the answer to a request; the path goes out just as it is."""
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with self._session.request(
                verb,
                URL(self._url + path, encoded=True),
                data=body,
                headers=sent,
                skip_auto_headers=("Content-Type", "Accept-Encoding"),
                allow_redirects=False,
                timeout=limit,
            ) as response:
                return await _answer(response)
        except TimeoutError:
            return Answer(status=0, reason=SILENT, text=b"", headers={})
        except (aiohttp.ClientError, OSError) as error:
            return Answer(status=0, reason=BROKEN, text=repr(error).encode(), headers={})

    async def ask_way(
        self,
        way: Way,
        fields: Mapping[str, Any],
        *,
        token: str = "",
        timeout: float = TIMEOUT,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask a way with fields by their names in JSON; those of the path go there."""
        path, rest = _placed(way, fields)
        body = json.dumps(rest).encode() if way.has_body else None
        query = "" if way.has_body or not rest else "?" + urlencode(rest, doseq=True)
        return await self.ask(
            way.verb, path + query, token=token, body=body, headers=headers, timeout=timeout
        )


def _placed(way: Way, fields: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the path, and the fields that stand elsewhere."""
    values, rest = way.some_values(), dict(fields)
    for name in way.variables:
        described = None if way.method is None else way.method.input_type.fields_by_name[name]
        if described is not None and described.json_name in rest:
            values[name] = str(rest.pop(described.json_name))
    return way.path(values), rest


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    is_stream = response.content_type == "text/event-stream"
    text = await (response.content.readany() if is_stream else response.read())
    reason = ""
    if response.status >= 400:
        try:
            reason = str(json.loads(text).get("reason", ""))
        except (ValueError, AttributeError):
            reason = ""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status=response.status, reason=reason, text=text, headers=headers)


@asynccontextmanager
async def open_caller(url: str) -> AsyncIterator[Caller]:
    """Open a caller of the gateway at a URL."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        yield Caller(session, url)

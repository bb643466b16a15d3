"""Hostile requests by HTTP: bodies, queries, paths and headers that no honest caller sends."""

import asyncio
import gzip
import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from trials.security.gateway.ways import BROKEN, SILENT, Answer, Caller, Way, all_ways
from trials.security.hostile import NUMBERS, TEXTS, Hostility

#: Seconds of one request; a sound one may wait for the chain.
TIMEOUT = 1.0
#: Seconds in which a way answers somebody patient.
PATIENCE = 30.0
#: Requests in progress at a time.
PARALLEL = 32
#: Complaints that are kept at most.
_KEPT = 100
#: Statuses of a service that is busy or waits: no fault of the gateway, and none of the request.
_WAITING = frozenset({503, 504})
#: Reasons of errors that name the fields which are wrong.
_OF_FIELDS = frozenset({"INVALID_REQUEST", "AMBIGUOUS_HEADERS", "REQUEST_ID_DIFFERS"})
#: Bytes of the largest body; MAX_BODY_BYTES are a little fewer.
_LARGE = 2_200_000
_JSON = "application/json"
#: What stands in a path where an id should.
_ODD_SEGMENTS = (
    *(quote(text[:3_000], safe="") for text in (*TEXTS, "..", ".", "/", "a/b", ":", "-")),
    *("%", "%zz", "%ff", "%c0%80", "%00", "x" * 10_000, "%25%32%66"),
)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One hostile request."""

    way: Way
    path: str
    body: bytes | None
    headers: Mapping[str, str]


@dataclass(kw_only=True)
class Outcome:
    """How the gateway answered hostile requests."""

    #: Requests that were sent.
    requests: int = 0
    #: Answers by status and reason.
    answers: Counter[str] = field(default_factory=Counter)
    #: Forbidden answers, at most a hundred, in words.
    complaints: list[str] = field(default_factory=list)
    #: Texts that callers got with errors.
    told: set[str] = field(default_factory=set)

    def __iadd__(self, other: "Outcome") -> "Outcome":
        self.requests += other.requests
        self.answers.update(other.answers)
        self.complaints = (self.complaints + other.complaints)[:_KEPT]
        self.told |= other.told
        return self

    def count(self, sent: Sent, answer: Answer) -> None:
        """Count an answer, and judge it."""
        if answer.status >= 400:
            self.told.add(answer.text[:4_000].decode("utf-8", "replace"))
        self.answers[f"{answer.status or ''} {answer.reason}".strip()] += 1
        fault = fault_of(answer)
        if fault and len(self.complaints) < _KEPT:
            shown = (sent.body or b"")[:100]
            self.complaints.append(f"{sent.way.verb} {sent.path[:100]} {shown!r}: {fault}")


def fault_of(answer: Answer) -> str:
    """Return what is wrong with an answer to whatever request, in words; empty when nothing is."""
    told = f"{answer.status} {answer.reason} {answer.text[:200]!r}"
    if answer.reason == SILENT or answer.status in _WAITING:
        return ""
    if answer.reason == BROKEN or answer.status >= 500:
        return told
    if answer.status < 400:
        return ""
    content = answer.json()
    if not isinstance(content, dict) or not content.get("requestId") or not answer.reason:
        return f"no problem: {told}"
    if answer.reason in _OF_FIELDS and not content.get("violations"):
        return f"no field is named: {told}"
    return ""


class HostileCaller:
    """A maker of hostile requests; the same dice make the same ones."""

    def __init__(self, dice: random.Random, ids: Sequence[str]) -> None:
        """Take ids that exist, so that some requests get far."""
        self._dice = dice
        self._messages = Hostility(dice=dice, ids=ids)
        self._bodies: Sequence[Callable[[Way], bytes]] = (
            self._sound,
            self._sound,
            self._message,
            self._message,
            self._wrong_types,
            self._twice,
            self._numbers,
            self._deep,
            self._long,
            self._torn,
            self._encoded,
            self._noise,
        )

    def request(self, way: Way) -> Sent:
        """Return one request."""
        body, headers = None, self._headers()
        if way.has_body or self._dice.random() < 0.05:
            body = self._dice.choice(self._bodies)(way)
            headers |= {"Content-Type": self._media_type()}
            if self._dice.random() < 0.02:
                headers["Content-Encoding"] = self._dice.choice(["gzip", "br", "identity", "x"])
                body = gzip.compress(body) if headers["Content-Encoding"] == "gzip" else body
        return Sent(way=way, path=self._path(way) + self._query(way), body=body, headers=headers)

    # Bodies ---------------------------------------------------------------------------------------

    def _fields(self, way: Way, *, sound: bool) -> dict[str, Any]:
        if way.method is None:
            return {}
        message = self._messages.message(way.method.input_type, sound=sound)
        try:
            found: dict[str, Any] = json_format.MessageToDict(message)
        except (ValueError, json_format.Error):  # a value that proto JSON cannot say
            return {}
        return {name: value for name, value in found.items() if name not in self._bound(way)}

    @staticmethod
    def _bound(way: Way) -> set[str]:
        fields = {} if way.method is None else way.method.input_type.fields_by_name
        return {fields[name].json_name for name in way.variables}

    def _sound(self, way: Way) -> bytes:
        return json.dumps(self._fields(way, sound=True)).encode()

    def _message(self, way: Way) -> bytes:
        return json.dumps(self._fields(way, sound=False)).encode()

    def _wrong_types(self, way: Way) -> bytes:
        fields = self._fields(way, sound=True)
        for name in list(fields):
            if self._dice.random() < 0.5:
                fields[name] = self._dice.choice(
                    [None, True, [], {}, [[]], {"a": 1}, "x", 0.5, -1, [None], {"": ""}]
                )
        if self._dice.random() < 0.3:
            fields[self._dice.choice(["nobody", "", "__proto__", "a.b", "\0", "x" * 5_000])] = 1
        return json.dumps(fields).encode()

    def _twice(self, way: Way) -> bytes:
        text = json.dumps(self._fields(way, sound=True) or {"poolerId": "x"})
        return f"{text[:-1]}, {text[1:]}".encode()

    def _numbers(self, way: Way) -> bytes:
        fields = self._fields(way, sound=True)
        for name in self._numeric(way):
            fields[name] = "@"
        text = json.dumps(fields)
        while '"@"' in text:
            text = text.replace('"@"', self._number(), 1)
        return text.encode()

    def _number(self) -> str:
        return self._dice.choice(
            [
                *("NaN", "Infinity", "-Infinity", "1e400", "-0", "0x10", "01", "1.", ".5", "+1"),
                *("1e1000000", "9" * 30, "-" + "9" * 5_000, "0." + "3" * 5_000, "1E2", "5.0"),
                *(str(number) for number in NUMBERS),
                str(math.pi),
            ]
        )

    @staticmethod
    def _numeric(way: Way) -> list[str]:
        if way.method is None:
            return []
        text = (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE)
        return [one.json_name for one in way.method.input_type.fields if one.cpp_type not in text]

    def _deep(self, way: Way) -> bytes:
        depth = self._dice.choice([63, 64, 65, 1_000, 10_000, 100_000])
        opened, closed = self._dice.choice([('{"a":', "}"), ("[", "]")])
        nested = opened * depth + "1" + closed * (depth if self._dice.random() < 0.8 else 0)
        name = self._dice.choice(["metadata", "submissions", "nobody"])
        return (f'{{"{name}": {nested}}}' if self._dice.random() < 0.7 else nested).encode()

    def _long(self, way: Way) -> bytes:
        size = self._dice.choice([1_000, 100_000, _LARGE]) if self._dice.random() < 0.2 else 1_000
        name = self._some_name(way)
        match self._dice.randrange(5):
            case 0:
                return b'{"%b": "%b"}' % (name, b"x" * size)
            case 1:
                return b'{"%b": [%b]}' % (name, b",".join([b"{}"] * (size // 3)))
            case 2:
                return b'{"%b": [%b]}' % (name, b",".join([b'"x"'] * (size // 4)))
            case 3:
                pairs = b"".join(b'"k%d": 1,' % number for number in range(size // 10))
                return b'{%b"z": 1}' % pairs
        return b" " * size

    def _some_name(self, way: Way) -> bytes:
        fields: Sequence[FieldDescriptor] = [] if way.method is None else _fields(way.method)
        names = [one.json_name for one in fields] or ["x"]
        return self._dice.choice(names).encode()

    def _torn(self, way: Way) -> bytes:
        whole = self._sound(way)
        place = self._dice.randrange(len(whole))
        if self._dice.random() < 0.5:
            return whole[:place]
        return whole[:place] + bytes([self._dice.randrange(256)]) + whole[place + 1 :]

    def _encoded(self, way: Way) -> bytes:
        text = self._sound(way).decode()
        coding = self._dice.choice(["utf-16", "utf-32", "utf-8-sig", "utf-16-le", "cp037"])
        halves = text.replace('"', '"\\ud800', 1) if '"' in text else '"\\udfff"'
        return self._dice.choice([text.encode(coding), halves.encode(), b"\xff\xfe", b"\xc0\x80"])

    def _noise(self, _way: Way) -> bytes:
        kinds = (b"", b"null", b"true", b'""', b"[]", b"1", b"{}{}", b"{}\0", b"//", b"{'a': 1}")
        if self._dice.random() < 0.5:
            return self._dice.choice(kinds)
        return self._dice.randbytes(self._dice.choice([1, 40, 4_000]))

    # What stands around them ----------------------------------------------------------------------

    def _media_type(self) -> str:
        if self._dice.random() < 0.9:
            return self._dice.choice([_JSON, f"{_JSON}; charset=utf-8", "Application/Json"])
        return self._dice.choice(
            ["", "text/plain", f"{_JSON}; charset=utf-16", "multipart/form-data", ";", "x" * 500]
        )

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if self._dice.random() < 0.3:
            names = (
                *("X-Request-Id", "Idempotency-Key", "Last-Event-ID", "traceparent", "tracestate"),
                *("Accept", "Cookie", "User-Agent", "X-Forwarded-For", "Origin", "If-None-Match"),
                *("grpc-timeout", "x-kalepool-identity", "te", "Range", "grpc-encoding"),
            )
            value = self._dice.choice(
                [
                    "",
                    "x",
                    "\t",
                    "é",
                    "\xff",
                    "0" * 5_000,
                    "1.2.3",
                    "00-" + "0" * 52,
                    '"',
                    "-1",
                    "7.x",
                ]
            )
            found[self._dice.choice(names)] = value
        return found

    def _path(self, way: Way) -> str:
        if not way.variables or self._dice.random() < 0.5:
            return way.path(way.some_values())
        odd = self._dice.choice(_ODD_SEGMENTS)
        found = way.template
        for name in way.variables:
            found = found.replace("{" + name + "}", odd or "%20")
        return found

    def _query(self, way: Way) -> str:
        kind = self._dice.random()
        if kind < 0.4:
            return ""
        if kind < 0.8:
            fields = self._fields(way, sound=kind < 0.7)
            return "?" + urlencode(fields, doseq=True, errors="replace")[:30_000]
        name = self._some_name(way).decode()
        return "?" + self._dice.choice(
            [
                *("&", "=", "?", "%", "a=%ff", "a=%zz", "a", "a=1&a=2", "a.b.c=1", "%00=1"),
                *(f"{name}=%00", f"{name}=1&{name}=2", f"{name}.x=1", f"{name}=" + "9" * 300),
                "&".join(f"a{number}=1" for number in range(2_000)),
                f"{name}=" + "x" * 20_000,
            ]
        )


def _fields(method: Any) -> Sequence[FieldDescriptor]:
    described: Descriptor = method.input_type
    return list(described.fields)


async def send_hostile(
    caller: Caller, tokens: Sequence[str], *, count: int, seed: int, ids: Sequence[str]
) -> Outcome:
    """Send `count` requests, evenly over all ways, with one token or another, or none."""
    outcome, turns = Outcome(), itertools.cycle(all_ways())
    dice = random.Random(seed)
    hostile = HostileCaller(dice, ids)

    async def worker() -> None:
        while outcome.requests < count:
            outcome.requests += 1
            sent = hostile.request(next(turns))
            answer = await caller.ask(
                sent.way.verb,
                sent.path,
                token=dice.choice(tokens),
                body=sent.body,
                headers=sent.headers,
                timeout=TIMEOUT,
            )
            outcome.count(sent, answer)

    async with asyncio.TaskGroup() as group:
        for _ in range(PARALLEL):
            group.create_task(worker())
    return outcome


async def unanswered(caller: Caller, token: str) -> list[str]:
    """Return the ways that do not answer even somebody patient, in words."""
    found = []
    for way in all_ways():
        answer = await caller.ask_way(way, {}, token=token, timeout=PATIENCE)
        if answer.status == 0 or answer.status >= 500:
            told = f"{answer.status} {answer.reason} {answer.text[:100]!r}"
            found.append(f"{way.name} after hostile requests: {told}")
    return found

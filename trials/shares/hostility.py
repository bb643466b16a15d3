"""Requests that no honest miner sends, made at random from a seed."""

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import quote

from trials.shares.miner import ADDRESS

#: Values that stand where others should.
_ODD: Sequence[Any] = (
    *(None, True, False, 0, -1, 2**63, 2**64, 10**30, 1.5, -0.0, "", " ", "0", "-1", "1e9", "١"),
    *("\u0000", "\ud800", "x" * 5000, "'; DROP TABLE shares; --", "../../etc", [], {}, [[]]),
)
#: Bodies that are no JSON, or JSON that is read in two ways.
_BROKEN: Sequence[bytes] = (
    *(b"", b"{", b"}", b"[", b"null", b"NaN", b"Infinity", b"\xff\xfe", b"\x00", b'"', b"01"),
    *(b'{"shares": NaN}', b'{"shares": [{"nonce": 1e999}]}', b'{"shares": 1' + b"0" * 5000 + b"}"),
    *(b'{"shares": [], "shares": []}', b'{"nonce": 1, "nonce": 2}', b"[" * 100_000),
    *(
        b'{"a":' * 10_000,
        b'{"shares": [' + b"{}," * 999 + b"{}]}",
        b" " * 200_000,
        b"\xef\xbb\xbf{}",
    ),
    b'{"shares": [{"job": "' + b"A" * 100_000 + b'", "nonce": "1"}]}',
)
_PATHS = (
    *("/work", "/submit", "/stats", "/blocks", "/events", "/join", "/terms", "/v1/pool", "/health"),
    *("/", "/docs", "/openapi.json", "//", "/../x", "/%00", "/%ff", "/submit/", "/SUBMIT", "/v1"),
    *("/work/" + "a" * 3000, "/v1/pool:x"),
)
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW")
_QUERIES = (
    *("", "a", "a=1", "worker=", "worker=%00", "worker=a&worker=b", "count=-1", "count=99999"),
    *("difficulty=NaN", "difficulty=0", "rate=-5", "rate=1e400", "format=exe", "&&&", "%", "%ff"),
    *("limit=0", "before=-1", "worker=" + "w" * 2000, "&".join(f"n{n}=1" for n in range(200))),
)

#: A whole request as it is sent.
Request = bytes


class Hostility:
    """Makes requests by one seed; `job` and `shares` are those of a miner who may be robbed."""

    def __init__(
        self, seed: int, *, job: Mapping[str, Any], shares: Sequence[tuple[str, int]]
    ) -> None:
        """Take a job and shares of an honest miner, which others bring again."""
        self._chance = Random(seed)
        self._job = job
        self._shares = shares
        self._kinds: Sequence[Callable[[str], Request]] = (
            self.broken_body,
            self.odd_values,
            self.forged_jobs,
            self.replayed_shares,
            self.floods_of_shares,
            self.odd_query,
            self.odd_path,
            self.wrong_credential,
            self.odd_head,
            self.joining,
        )

    def next(self, credential: str) -> Request:
        """Return a request of some kind, by a miner's credential."""
        return self._chance.choice(self._kinds)(credential)

    def broken_body(self, credential: str) -> Request:
        """Return a body that is no JSON, or that nobody would write."""
        path = self._chance.choice(("/submit", "/join", "/terms"))
        return post(path, self._chance.choice(_BROKEN), credential)

    def odd_values(self, credential: str) -> Request:
        """Return JSON with values of wrong types and sizes."""
        odd = self._chance.choice
        share = {"job": odd((*_ODD, self._job["job"])), "nonce": odd(_ODD)}
        body: Any = {
            "/submit": {"job": odd(_ODD), "shares": odd(([share], [share] * 1001, *_ODD))},
            "/join": {"address": odd((*_ODD, ADDRESS)), "terms": odd(_ODD), "name": odd(_ODD)},
            "/terms": {"terms": odd(_ODD), odd(("x", "\u0001", "terms ")): 1},
        }
        path = odd(tuple(body))
        return post(path, json.dumps(body[path]).encode("utf-8", "replace"), credential)

    def forged_jobs(self, credential: str) -> Request:
        """Return shares whose jobs nobody has given out."""
        token, place = self._job["job"], self._chance.randrange(len(self._job["job"]))
        letter = self._chance.choice("ABCabc019-_=\u00e9")
        forged = token[:place] + letter + token[place + 1 :]
        tokens = (forged, token[:-1], token + "A", token[::-1], "A" * len(token), "")
        return submit([(self._chance.choice(tokens), self._nonce())], credential)

    def replayed_shares(self, credential: str) -> Request:
        """Return shares that were credited to somebody else."""
        return submit(self._chance.sample(self._shares, k=min(5, len(self._shares))), credential)

    def floods_of_shares(self, credential: str) -> Request:
        """Return a thousand shares that are none."""
        return submit([(self._job["job"], self._nonce()) for _ in range(1000)], credential)

    def odd_query(self, credential: str) -> Request:
        """Return a query that says nothing sound."""
        path = self._chance.choice(("/work", "/blocks", "/stats", "/events", "/v1/pool"))
        query = self._chance.choice(_QUERIES)
        return request("GET", f"{path}?{query}", b"", credential)

    def odd_path(self, credential: str) -> Request:
        """Return a path or a method that is not served."""
        method, path = self._chance.choice(_METHODS), self._chance.choice(_PATHS)
        return request(method, path, b"", credential)

    def wrong_credential(self, _: str) -> Request:
        """Return a request in the name of nobody."""
        odd = self._chance.choice
        wrong = odd(("", "km_", "km_" + "x" * 43, "x" * 5000, "\u00e9", "km_" + quote("\n")))
        return request("GET", odd(("/work", "/stats")), b"", wrong)

    def odd_head(self, credential: str) -> Request:
        """Return a head that may be read in two ways, or is none."""
        sound = request("GET", "/stats", b"", credential)
        small, typed = post("/submit", b"{}", credential), b"application/json"
        end = b"\r\n\r\n"
        odd = (
            sound.replace(b"Host: x", b"Host: x\r\nHost: y"),
            sound.replace(b"HTTP/1.1", b"HTTP/9.9"),
            sound.replace(end, b"\r\nContent-Length: 5\r\nContent-Length: 6" + end + b"hello"),
            sound.replace(end, b"\r\nTransfer-Encoding: chunked" + end + b"zz\r\n"),
            sound.replace(end, b"\r\nX: " + b"y" * 70_000 + end),
            sound.replace(end, b"\r\nKale-Job: \x01" + end),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
            b"GET" + end,
            post("/submit", b"x" * 300_000, credential),
            small.replace(typed, b"text/html"),
            small.replace(end, b"\r\nContent-Encoding: gzip" + end),
        )
        return self._chance.choice(odd)

    def joining(self, _: str) -> Request:
        """Return somebody who wants to join without what it takes."""
        odd = self._chance.choice
        address = odd((ADDRESS[:-1] + "A", "M" + ADDRESS[1:] + "A" * 13, ADDRESS.lower(), "C" * 56))
        body = {"address": address, "terms": odd(("0" * 16, "x", ""))}
        return post("/join", json.dumps(body).encode(), "")

    def _nonce(self) -> int:
        first, count = int(self._job["firstNonce"]), int(self._job["nonceCount"])
        return self._chance.choice((0, first, first + count, 2**63 - 1, first + 1))


def request(method: str, path: str, body: bytes, credential: str, kind: str = "") -> Request:
    """Return a request as it is sent."""
    head = [f"{method} {path} HTTP/1.1", "Host: x"]
    if credential:
        head.append(f"Authorization: Bearer {credential}")
    if body or kind:
        head += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + body


def post(path: str, body: bytes, credential: str) -> Request:
    """Return a POST with JSON."""
    return request("POST", path, body, credential, "application/json")


def submit(shares: Sequence[tuple[str, int]], credential: str) -> Request:
    """Return a batch of shares."""
    body = {"shares": [{"job": job, "nonce": str(nonce)} for job, nonce in shares]}
    return post("/submit", json.dumps(body).encode(), credential)

"""Every kind of token on every way: who gets in, whose things are reached, what is forged."""

import asyncio
import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kalepool.wallet.v1 import token_pb2, token_pb2_grpc

from devstack.stack import Stack
from libs.common.grpc.client import call
from libs.common.grpc.tokens import LIFE
from libs.common.ids import new_id
from trials.security.access import attempt, channels, make_owner, request_of, rpcs
from trials.security.gateway.ways import Answer, Caller, Way, all_ways
from trials.security.tokens import (
    KINDS,
    Bearer,
    gateway,
    make_bearer,
    may_call,
    wait_for_keys,
)

#: Requests that are in progress at a time.
_PARALLEL = 16
#: Seconds that the shortest token lives.
_SHORTEST = 60
_TIMEOUT = 20.0
#: Reasons of answers to callers who were not let in.
_REFUSALS = frozenset(
    {
        *("ACCESS_DENIED", "TOKEN_MISSING", "TOKEN_UNKNOWN", "TOKEN_INVALID", "TOKEN_EXPIRED"),
        *("TOKEN_REFUSED", "TOKEN_NOT_ENOUGH", "TOKEN_READ_ONLY", "TOKEN_SCOPE"),
    }
)
#: A caller who shows nothing.
NOBODY = "no token"


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """All tokens of the trial, by what they are called in its table."""

    #: Bearers of tokens that count, by the kinds of `trials.security.tokens`.
    sound: Mapping[str, Bearer]
    #: Tokens that do not count, or do not yet count no more: see `ended_at`.
    dead: Mapping[str, str]
    #: When the last of the dead ones has ended (by the clock that only goes on).
    ended_at: float


async def make_tokens(stack: Stack) -> Tokens:
    """Make a token of every kind, and wait until every service knows a sound one."""
    async with gateway(stack) as through, channels(stack, stack.operator()) as opened:
        operators: token_pb2_grpc.TokenServiceAsyncStub = token_pb2_grpc.TokenServiceStub(
            opened["wallet"]
        )
        sound = {kind: await make_bearer(stack, kind, through) for kind in KINDS}
        await wait_for_keys(through, sound["operator"])
        access_token = await sound["operator"].exchange()
        revoked = await make_bearer(stack, "operator", through)
        await call(
            operators.RevokeToken,
            token_pb2.RevokeTokenRequest(token_id=revoked.token_id),
            timeout=_TIMEOUT,
        )
        short = await call(
            operators.CreateToken,
            token_pb2.CreateTokenRequest(
                role=token_pb2.TOKEN_ROLE_OPERATOR, expires_in_seconds=_SHORTEST
            ),
            timeout=_TIMEOUT,
        )
    return Tokens(
        sound=sound,
        dead={
            "forged": "kp_" + secrets.token_urlsafe(32),
            "cut short": sound["operator"].text[:-1],
            "made longer": sound["operator"].text + "A",
            "two of them": f"{sound['operator'].text}, Bearer {sound['pooler'].text}",
            "an access token": access_token,
            "an access token without a signature": _unsigned(access_token),
            "an access token of another pool": _of_another_pool(),
            "revoked": revoked.text,
            "ended": short.token,
        },
        ended_at=monotonic() + _SHORTEST,
    )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One caller on one way."""

    #: The way, and what the caller showed.
    way: Way
    kind: str
    #: What was answered.
    answer: Answer

    @property
    def is_in(self) -> bool:
        """Tell whether the caller was let in."""
        return self.answer.status != 401 and self.answer.reason not in _REFUSALS

    @property
    def is_expected(self) -> bool:
        """Tell whether the caller is let in, or kept out, as the access table says."""
        if self.kind in KINDS:
            return self.is_in is (self._takes_any_token or self._is_allowed)
        if self.kind == NOBODY:
            return self.is_in is self.way.is_public
        return self.answer.status == 401 and "www-authenticate" in self.answer.headers

    @property
    def _takes_any_token(self) -> bool:
        """Tell whether the gateway reads the answer itself, and once for everybody."""
        method = self.way.method
        return method is None or (method.server_streaming and self.way.is_public)

    @property
    def _is_allowed(self) -> bool:
        return self.way.rpc is not None and may_call(self.way.rpc, self.kind)

    @property
    def words(self) -> str:
        """Return what happened, in words."""
        told = f"{self.answer.status} {self.answer.reason}".strip()
        return f"{self.way.name} with a token ({self.kind}): {told}"


async def matrix(caller: Caller, tokens: Tokens) -> list[Cell]:
    """Let every kind of caller try every way."""
    places = asyncio.Semaphore(_PARALLEL)

    async def one(way: Way, kind: str, token: str) -> Cell:
        async with places:
            return Cell(way=way, kind=kind, answer=await caller.ask_way(way, {}, token=token))

    shown = {NOBODY: "", **{kind: bearer.text for kind, bearer in tokens.sound.items()}}
    found = await asyncio.gather(
        *(one(way, kind, token) for kind, token in shown.items() for way in all_ways())
    )
    # One of the dead has to die first.
    await asyncio.sleep(max(0.0, tokens.ended_at - monotonic()))
    found += await asyncio.gather(
        *(one(way, kind, token) for kind, token in tokens.dead.items() for way in all_ways())
    )
    return found


async def a_revocation_counts(caller: Caller, stack: Stack) -> list[str]:
    """Return what is wrong with a token that is revoked while the gateway knows it."""
    way = next(one for one in all_ways() if one.name == "GET /v1/poolers")
    async with gateway(stack) as through, channels(stack, stack.operator()) as opened:
        bearer = await make_bearer(stack, "operator", through)
        before = await caller.ask_way(way, {}, token=bearer.text)
        operators: token_pb2_grpc.TokenServiceAsyncStub = token_pb2_grpc.TokenServiceStub(
            opened["wallet"]
        )
        request = token_pb2.RevokeTokenRequest(token_id=bearer.token_id)
        await call(operators.RevokeToken, request, timeout=_TIMEOUT)
    if before.status != 200:
        return [f"a token that counts is answered {before.status} {before.reason}"]
    await asyncio.sleep(LIFE)
    after = await caller.ask_way(way, {}, token=bearer.text)
    if after.status == 401:
        return []
    return [f"a token is answered {after.status} a minute after it was revoked"]


async def trespasses(caller: Caller, stack: Stack) -> list[str]:
    """Return where a pooler's token reaches another's things, or does not reach its own."""
    one, other = [await make_owner(stack) for _ in range(2)]
    async with gateway(stack) as through:
        bearer = await make_bearer(stack, "pooler", through, pooler_id=one.pooler_id)
    found: list[str] = []
    for way in all_ways():
        rpc = way.rpc
        if rpc is None or not rpc.access.poolers:
            continue
        for field, kind in rpc.access.owned.items():
            if way.variables and field not in way.variables:
                continue  # the other way to the same RPC has it
            tries = {"its own": one.ids[kind], "another's": other.ids[kind], "no": str(new_id())}
            for whose, identifier in tries.items():
                fields = request_of(rpc, field, identifier)
                answer = await caller.ask_way(way, fields, token=bearer.text)
                is_refused = (answer.status, answer.reason) == (403, "NOT_YOURS")
                if answer.reason == "INVALID_REQUEST" or is_refused is (whose == "its own"):
                    told = f"{answer.status} {answer.reason}"
                    found.append(f"{way.name} with {whose} {field}: {told}")
    return found


async def forgeries(stack: Stack) -> list[str]:
    """Return where the gateway's certificate gets in with an access token that wallet never gave.

    Whoever has the gateway's certificate can send what the gateway never would.
    """
    async with gateway(stack) as through:
        bearer = await make_bearer(stack, "operator, read-only", through)
        sound = await bearer.exchange()
        began = monotonic()
        found = []
        for name, token in (await _forged(sound, through)).items():
            found += await _let_in(through, name, token, "TOKEN_INVALID")
        await asyncio.sleep(max(0.0, LIFE + 1 - (monotonic() - began)))
        found += await _let_in(through, "a replayed one, after its minute", sound, "TOKEN_EXPIRED")
    return found


async def _let_in(
    through: Mapping[str, grpc.aio.Channel], name: str, token: str, reason: str
) -> list[str]:
    found = []
    for rpc in rpcs():
        error = await attempt(through[rpc.process], rpc, {}, token=token)
        if error is None or error.reason != reason:
            told = "OK" if error is None else error.reason
            found.append(f"{rpc.path} with an access token ({name}): {told} instead of {reason}")
    return found


async def _forged(sound: str, through: Mapping[str, grpc.aio.Channel]) -> dict[str, str]:
    """Return access tokens that nobody may take, by what they are."""
    claims: dict[str, Any] = jwt.decode(sound, options={"verify_signature": False})
    key_id = str(jwt.get_unverified_header(sound)["kid"])
    stub: token_pb2_grpc.TokenServiceAsyncStub = token_pb2_grpc.TokenServiceStub(through["wallet"])
    keys = await call(stub.ListTokenKeys, token_pb2.ListTokenKeysRequest(), timeout=_TIMEOUT)
    public = next(key.public_key for key in keys.keys if key.key_id == key_id)
    own = Ed25519PrivateKey.generate()
    head, _, tail = sound.partition(".")
    _, _, signature = tail.partition(".")
    stronger = _encoded({**claims, "ro": False})
    return {
        "signed by a stranger, in the name of wallet's key": _signed(claims, own, key_id),
        "signed by a stranger's own key": _signed(claims, own, "own"),
        "without a signature": _unsigned(sound),
        "signed with the public key as a secret": _by_secret(claims, public, key_id),
        "claims changed after it was signed": f"{head}.{stronger}.{signature}",
        "of another pool": _of_another_pool(),
        "in the gateway's own name": _signed(
            {**claims, "sub": str(claims["aud"]) + "/service/gateway"}, own, key_id
        ),
    }


def _signed(claims: Mapping[str, Any], key: Ed25519PrivateKey, key_id: str) -> str:
    headers = {"typ": "at+jwt", "kid": key_id}
    return jwt.PyJWS().encode(
        json.dumps(dict(claims)).encode(), key, algorithm="EdDSA", headers=headers
    )


def _by_secret(claims: Mapping[str, Any], secret: bytes, key_id: str) -> str:
    headers = {"typ": "at+jwt", "kid": key_id}
    content = json.dumps(dict(claims)).encode()
    return jwt.PyJWS().encode(content, secret, algorithm="HS256", headers=headers)


def _unsigned(sound: str) -> str:
    """Return a token with the same claims, whose header says that there is no signature."""
    claims = sound.split(".")[1]
    key_id = jwt.get_unverified_header(sound)["kid"]
    return f"{_encoded({'alg': 'none', 'typ': 'at+jwt', 'kid': key_id})}.{claims}."


def _of_another_pool() -> str:
    """Return a sound token of a pool that trusts another wallet."""
    now = 1_900_000_000
    claims = {
        "iss": "spiffe://other/service/wallet",
        "sub": "spiffe://other/operator/ann",
        "aud": "spiffe://other",
        "iat": now,
        "exp": now + LIFE,
        "jti": str(new_id()),
        "tid": str(new_id()),
        "ro": False,
    }
    return _signed(claims, Ed25519PrivateKey.generate(), "other")


def _encoded(content: Mapping[str, Any]) -> str:
    text = json.dumps(dict(content)).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def shown_by(tokens: Tokens) -> Sequence[str]:
    """Return the texts that count: nobody may find them in what the pool wrote."""
    return [bearer.text for bearer in tokens.sound.values()]

"""Access tokens: what is one, and what only looks like one."""

import base64
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import PermissionDeniedError, UnauthenticatedError
from libs.common.grpc.access import Access, AccessControl
from libs.common.grpc.identity import (
    Caller,
    CallerKind,
    Grant,
    is_operator,
    is_owner,
    is_pooler,
    is_sharer,
    parse_identity,
)
from libs.common.grpc.tokens import (
    LIFE,
    AccessToken,
    TokenCheck,
    TokenExpiredError,
    TokenInvalidError,
    TokenMissingError,
    TokenRefusedError,
    bearer,
)
from tests.support.tokens import KEY_ID, TOKEN_ID, Issuer

DOMAIN = "pool.example"
POOLER = "0190a5f0-0000-7000-8000-000000000001"
GATEWAY = parse_identity(f"spiffe://{DOMAIN}/service/gateway", trust_domain=DOMAIN)
PLANT = "/kalepool.plant.v1.PlantService/Plant"


def check_by(issuer: Issuer, **how: Any) -> TokenCheck:
    return TokenCheck(issuer, trust_domain=DOMAIN, **how)


@pytest.fixture
def issuer() -> Issuer:
    """The issuer whose key the services know."""
    return Issuer(trust_domain=DOMAIN)


async def test_a_token_says_whom_it_speaks_for_and_who_brought_it(issuer: Issuer) -> None:
    check = check_by(issuer)
    token = issuer.token(CallerKind.POOLER, POOLER, ro=True, scope=[PLANT])
    caller = await check.brought(GATEWAY, token)
    assert (caller.kind, caller.name) == (CallerKind.POOLER, POOLER)
    assert caller.identity == f"spiffe://{DOMAIN}/pooler/{POOLER}"
    assert caller.via == GATEWAY.identity
    assert caller.grant is not None
    assert (caller.grant.token_id, caller.grant.is_read_only) == (TOKEN_ID, True)
    assert caller.grant.methods == frozenset({PLANT})
    assert caller.actor == f"{caller.identity} via {GATEWAY.identity}, token {TOKEN_ID}"
    host = await check.caller(token, via="203.0.113.5")
    assert host.actor == f"{caller.identity} via 203.0.113.5, token {TOKEN_ID}"


async def test_what_wallet_makes_is_taken(issuer: Issuer) -> None:
    begins = int(time.time())
    grant = Grant(
        token_id=TOKEN_ID, is_read_only=False, methods=frozenset({PLANT}), ends=begins + LIFE
    )
    subject = f"spiffe://{DOMAIN}/operator/ann"
    made = AccessToken(subject=subject, grant=grant, begins=begins, token_id="x")
    token = made.signed(issuer.private, KEY_ID, trust_domain=DOMAIN)
    caller = await check_by(issuer).caller(token, via="here")
    assert (caller.identity, caller.grant) == (subject, grant)


ACCOUNT = "GDNSSYSCSSJ76FER5WEEXME5G4MTCUBKDRQSKOYP36KUKVDB2VCMERS6"


async def test_a_token_may_speak_for_an_owner_account(issuer: Issuer) -> None:
    caller = await check_by(issuer).brought(GATEWAY, issuer.token(CallerKind.OWNER, ACCOUNT))
    assert (caller.kind, caller.name) == (CallerKind.OWNER, ACCOUNT)
    assert caller.identity == f"spiffe://{DOMAIN}/owner/{ACCOUNT}"
    assert (is_owner(caller.identity), is_sharer(caller.identity)) == (True, True)
    assert not (is_pooler(caller.identity) or is_operator(caller.identity))


#: Claims that no sound token has, by what is wrong with them.
WRONG_CLAIMS: dict[str, Mapping[str, Any]] = {
    "another pool's audience": {"aud": "spiffe://other.example"},
    "several audiences": {"aud": [f"spiffe://{DOMAIN}", "spiffe://other.example"]},
    "an audience in a list": {"aud": [f"spiffe://{DOMAIN}"]},
    "no audience": {"aud": None},
    "another issuer": {"iss": f"spiffe://{DOMAIN}/service/plant"},
    "the issuer of another pool": {"iss": "spiffe://other.example/service/wallet"},
    "no issuer": {"iss": None},
    "no subject": {"sub": None},
    "a subject of another pool": {"sub": f"spiffe://other.example/pooler/{POOLER}"},
    "a subject that is no name": {"sub": "ann"},
    "a subject that goes on": {"sub": f"spiffe://{DOMAIN}/operator/ann\x00"},
    "a service": {"sub": f"spiffe://{DOMAIN}/service/plant"},
    "the gateway": {"sub": f"spiffe://{DOMAIN}/service/gateway"},
    "a stranger": {"sub": f"spiffe://{DOMAIN}/stranger/x"},
    "an owner that is no account": {"sub": f"spiffe://{DOMAIN}/owner/ann"},
    "an owner account that goes on": {"sub": f"spiffe://{DOMAIN}/owner/{'G' + 'A' * 56}"},
    "an account that is an operator": {"sub": f"spiffe://{DOMAIN}/operator/{'G' + 'A' * 55}"},
    "a number as subject": {"sub": 7},
    "no end": {"exp": None},
    "an end in words": {"exp": "tomorrow"},
    "true as an end": {"exp": True},
    "no beginning": {"iat": None},
    "no name of its own": {"jti": None},
    "no token": {"tid": None},
    "a number for the token": {"tid": 7},
    "no word on reading": {"ro": None},
    "a word on reading that is none": {"ro": 0},
    "a scope that is no list": {"scope": PLANT},
    "a scope of numbers": {"scope": [1]},
    "a claim that nobody knows": {"admin": True},
}

#: The same for times, by the present one.
WRONG_TIMES: dict[str, Callable[[int], Mapping[str, Any]]] = {
    "an end that is no whole number": lambda now: {"exp": now + 30.5},
    "a life longer than a minute": lambda now: {"iat": now, "exp": now + LIFE + 1},
    "an end before its beginning": lambda now: {"iat": now, "exp": now - 1},
    "a beginning to come": lambda now: {"iat": now + 30, "exp": now + 60},
    "not yet": lambda now: {"nbf": now + 30},
}


@pytest.mark.parametrize("wrong", [*WRONG_CLAIMS, *WRONG_TIMES])
async def test_claims_that_are_not_as_they_must_be_are_refused(issuer: Issuer, wrong: str) -> None:
    times = WRONG_TIMES.get(wrong)
    changes = WRONG_CLAIMS[wrong] if times is None else times(int(time.time()))
    token = issuer.token(CallerKind.OPERATOR, "secret.name", **changes)
    with pytest.raises(TokenInvalidError) as caught:
        await check_by(issuer).caller(token, via="here")
    assert "secret.name" not in caught.value.message


async def test_a_scope_that_is_null_is_none(issuer: Issuer) -> None:
    """It would stand for everything where it is taken for one that is not there."""
    claims = {**issuer.claims(CallerKind.OPERATOR, "ann"), "scope": None}
    with pytest.raises(TokenInvalidError):
        await check_by(issuer).caller(issuer.signed(claims), via="here")


async def test_a_token_ends(issuer: Issuer) -> None:
    now = [time.time()]
    check = check_by(issuer, clock=lambda: now[0])
    token = issuer.token(CallerKind.OPERATOR, "ann")
    await check.caller(token, via="here")
    now[0] += LIFE + 1
    for _ in range(2):
        with pytest.raises(TokenExpiredError):
            await check.caller(token, via="here")
    with pytest.raises(TokenExpiredError):
        await check_by(issuer, clock=lambda: now[0]).caller(token, via="here")


async def test_clocks_may_differ_a_little(issuer: Issuer) -> None:
    check = check_by(issuer, clock=lambda: time.time() - 4)
    await check.caller(issuer.token(CallerKind.OPERATOR, "ann"), via="here")


def raw(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


async def refuse(issuer: Issuer, token: str) -> None:
    with pytest.raises(TokenInvalidError):
        await check_by(issuer).caller(token, via="here")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
async def test_a_token_without_a_signature_is_none(issuer: Issuer, algorithm: str) -> None:
    claims = issuer.claims(CallerKind.OPERATOR, "ann")
    header = {"alg": algorithm, "typ": "at+jwt", "kid": KEY_ID}
    await refuse(issuer, raw(header, claims))
    _, body, signature = issuer.signed(claims).split(".")
    head = raw(header, claims).split(".")[0]
    await refuse(issuer, f"{head}.{body}.{signature}")


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
@pytest.mark.parametrize("encoding", ["raw", "pem", "der"])
async def test_the_public_key_is_no_password(issuer: Issuer, algorithm: str, encoding: str) -> None:
    """Whoever knows the public key signs with it as if it were a shared secret."""
    public = issuer.private.public_key()
    secret = {
        "raw": public.public_bytes_raw(),
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    }[encoding]
    header = {"alg": algorithm, "typ": "at+jwt", "kid": KEY_ID}
    unsigned = raw(header, issuer.claims(CallerKind.OPERATOR, "ann")).rpartition(".")[0]
    digest = hmac.digest(secret, unsigned.encode(), f"sha{algorithm[2:]}")
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    await refuse(issuer, f"{unsigned}.{signature}")


async def test_another_signer_is_refused(issuer: Issuer) -> None:
    other = Issuer(trust_domain=DOMAIN)
    await refuse(issuer, other.token(CallerKind.OPERATOR, "ann"))
    ours = issuer.token(CallerKind.OPERATOR, "ann")
    head, body, _ = ours.split(".")
    await refuse(issuer, f"{head}.{body}.{other.token(CallerKind.OPERATOR, 'ann').split('.')[2]}")
    # Another elliptic curve, whose signatures have the same length.
    key = ec.generate_private_key(ec.SECP256R1())
    headers = {"typ": "at+jwt", "kid": KEY_ID}
    claims = issuer.claims(CallerKind.OPERATOR, "ann")
    await refuse(issuer, jwt.encode(claims, key, algorithm="ES256", headers=headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"kid": None},
        {"kid": 7},
        {"typ": "JWT"},
        {"jwk": {"kty": "OKP"}},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/key"},
        {"crit": ["b64"], "b64": True},
        {"cty": "JWT"},
    ],
    ids=str,
)
async def test_a_header_that_wallet_does_not_write_is_refused(
    issuer: Issuer, headers: Mapping[str, Any]
) -> None:
    """Also one that would bring a key of its own, or the address of one."""
    claims = issuer.claims(CallerKind.OPERATOR, "ann")
    given = {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY_ID, **headers}
    unsigned = raw(given, claims).rpartition(".")[0]
    signature = issuer.private.sign(unsigned.encode())
    await refuse(issuer, raw(given, claims, signature))


async def test_one_changed_character_is_found(issuer: Issuer) -> None:
    token = issuer.token(CallerKind.POOLER, POOLER)
    for place in range(0, len(token) - 1, 7):
        other = "A" if token[place] != "A" else "B"
        with pytest.raises(TokenInvalidError):
            changed = token[:place] + other + token[place + 1 :]
            await check_by(issuer).caller(changed, via="here")


@given(st.text(max_size=200))
async def test_no_text_is_a_token_by_chance_and_none_breaks_the_check(text: str) -> None:
    with pytest.raises(TokenInvalidError):
        await check_by(Issuer(trust_domain=DOMAIN)).caller(text, via="here")


@given(st.dictionaries(st.text(max_size=9), st.none() | st.integers() | st.text(max_size=9)))
async def test_no_signed_claims_break_the_check(claims: dict[str, Any]) -> None:
    issuer = Issuer(trust_domain=DOMAIN)
    with pytest.raises(UnauthenticatedError):
        await check_by(issuer).caller(issuer.signed(claims), via="here")


async def test_a_key_that_is_not_known_is_asked_for_once_for_each_token(issuer: Issuer) -> None:
    check = check_by(issuer)
    token = issuer.token(CallerKind.OPERATOR, "ann")
    for _ in range(3):
        await check.caller(token, via="here")
    assert issuer.asked == [KEY_ID], "a checked token is not checked again"
    claims = issuer.claims(CallerKind.OPERATOR, "ann")
    await refuse(issuer, issuer.signed(claims, kid="two"))
    assert issuer.asked == [KEY_ID, "two"]


async def test_a_key_that_counts_no_more_takes_its_tokens_with_it(issuer: Issuer) -> None:
    check = check_by(issuer)
    token = issuer.token(CallerKind.OPERATOR, "ann")
    await check.caller(token, via="here")
    issuer.public[KEY_ID] = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(TokenInvalidError):
        await check.caller(token, via="here")
    issuer.public.clear()
    with pytest.raises(TokenInvalidError):
        await check.caller(token, via="here")


async def test_what_was_checked_is_kept_within_limits(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.common.grpc.tokens._KEPT", 2)
    check = check_by(issuer)
    tokens = [issuer.token(CallerKind.OPERATOR, name) for name in ("ann", "bob", "eve")]
    for token in tokens:
        await check.caller(token, via="here")
    assert len(issuer.asked) == 3
    await check.caller(tokens[2], via="here")
    assert len(issuer.asked) == 3
    await check.caller(tokens[0], via="here")
    assert len(issuer.asked) == 4


@pytest.mark.parametrize(
    "peer",
    ["service/plant", "service/wallet", "operator/ann", "operator/gateway", f"pooler/{POOLER}"],
)
async def test_nobody_but_the_gateway_brings_tokens(issuer: Issuer, peer: str) -> None:
    """Whoever has read a token on its way has nothing by it without the gateway's certificate."""
    token = issuer.token(CallerKind.OPERATOR, "ann")
    with pytest.raises(TokenRefusedError):
        name = f"spiffe://{DOMAIN}/{peer}"
        await check_by(issuer).brought(parse_identity(name, trust_domain=DOMAIN), token)
    elsewhere = "spiffe://other.example/service/gateway"
    with pytest.raises(TokenRefusedError):
        other = parse_identity(elsewhere, trust_domain="other.example")
        await check_by(issuer).brought(other, token)


@pytest.mark.parametrize(
    "sent",
    [
        [("authorization", "Bearer a"), ("authorization", "Bearer a")],
        [("authorization", "Bearer a"), ("authorization", "")],
        [("authorization", "Basic YTpi")],
        [("authorization", "bearer a")],
        [("authorization", "")],
        [("authorization", b"Bearer a")],
        [("authorization", "Bearer " + "a" * 6000)],
    ],
    ids=lambda sent: repr(sent)[:60],
)
def test_what_stands_in_a_tokens_place_and_is_none_is_refused(sent: Any) -> None:
    with pytest.raises(TokenInvalidError):
        bearer(sent)


def test_a_call_without_a_token_has_none() -> None:
    assert bearer([]) is None
    assert bearer([("x-authorization", "Bearer a"), ("authorization-bin", b"a")]) is None
    assert bearer([("user-agent", "x"), ("authorization", "Bearer a.b.c")]) == "a.b.c"


def caller_with(**grant: Any) -> Caller:
    given = {"token_id": TOKEN_ID, "is_read_only": False, "methods": None, "ends": 0, **grant}
    name = f"spiffe://{DOMAIN}/operator/ann"
    return Caller(
        kind=CallerKind.OPERATOR, name="ann", identity=name, via="here", grant=Grant(**given)
    )


ENTRIES = {
    "/s/Acts": Access(operators=True, by_token=True),
    "/s/Reads": Access(operators=True, by_token=True, reads=True),
    "/s/Never": Access(operators=True),
    "/s/Others": Access(poolers=True, by_token=True, reads=True),
    "/s/Strangers": Access(strangers=True),
}


@pytest.mark.parametrize(
    ("grant", "allowed"),
    [
        ({}, {"/s/Acts", "/s/Reads"}),
        ({"is_read_only": True}, {"/s/Reads"}),
        ({"methods": frozenset({"/s/Acts"})}, {"/s/Acts"}),
        ({"methods": frozenset({"/s/Acts"}), "is_read_only": True}, set()),
        ({"methods": frozenset({"/s/Never", "/s/Others", "/s/Strangers"})}, set()),
        ({"methods": frozenset()}, set()),
    ],
    ids=[
        "all",
        "read-only",
        "one method",
        "one method, read-only",
        "methods of others",
        "no method",
    ],
)
def test_a_token_lets_its_bearer_call_what_table_and_token_both_say(
    grant: Mapping[str, Any], allowed: set[str]
) -> None:
    control, found = AccessControl(ENTRIES, {}), set()
    for method in ENTRIES:
        try:
            control.check_caller(method, caller_with(**grant))
        except PermissionDeniedError as error:
            assert error.reason in {
                "ACCESS_DENIED",
                "TOKEN_NOT_ENOUGH",
                "TOKEN_READ_ONLY",
                "TOKEN_SCOPE",
            }
            continue
        found.add(method)
    assert found == allowed


def test_a_stranger_may_call_what_is_for_strangers_and_is_told_what_is_missing() -> None:
    control = AccessControl(ENTRIES, {})
    stranger = Caller(kind=CallerKind.STRANGER, name="192.0.2.1", identity="192.0.2.1")
    control.check_caller("/s/Strangers", stranger)
    for method in ENTRIES.keys() - {"/s/Strangers"}:
        with pytest.raises(TokenMissingError):
            control.check_caller(method, stranger)

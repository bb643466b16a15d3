"""Access tokens: what wallet signs for the bearer of a longer-lived token; servers check them.

An access token is a JSON Web Token (RFC 7519), signed with Ed25519 (RFC 8037), and lives for a
minute. It comes as metadata `authorization: Bearer ...`, over the gateway's connection, or on a
port for callers without certificates (TOKEN_PORT); from anybody else it counts for nothing.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from libs.common.errors import UnauthenticatedError, UnavailableError
from libs.common.grpc.identity import Caller, CallerKind, Grant, identity, parse_identity
from libs.common.names import GATEWAY

#: Name of the metadata that a token comes in, and what stands before the token.
AUTHORIZATION, SCHEME = "authorization", "Bearer "
#: Seconds that an access token lives at most.
LIFE = 60
#: Seconds that the clock of wallet may be ahead of ours.
_SKEW = 5
#: The one way in which tokens are signed, and what their header says of them (RFC 9068).
_ALGORITHM, _TYPE = "EdDSA", "at+jwt"
#: Characters of a token at most; the longest that wallet makes has fewer.
_MOST = 6000
#: Tokens that are kept at most after they were checked.
_KEPT = 4096
#: Claims of every token, and those that a token may have.
_REQUIRED = frozenset({"iss", "sub", "aud", "iat", "exp", "jti", "tid", "ro"})
_ALLOWED = _REQUIRED | {"scope"}
#: Whom tokens speak for; never for a service.
_BEARERS = (CallerKind.POOLER, CallerKind.OPERATOR, CallerKind.OWNER)


class TokenInvalidError(UnauthenticatedError):
    """What came as an access token is none that wallet has signed for this pool."""

    default_reason = "TOKEN_INVALID"


class TokenExpiredError(UnauthenticatedError):
    """The access token has ended: exchange the API token again."""

    default_reason = "TOKEN_EXPIRED"


class TokenMissingError(UnauthenticatedError):
    """The call shows neither a certificate nor an access token."""

    default_reason = "TOKEN_MISSING"


class TokenRefusedError(UnauthenticatedError):
    """Access tokens are taken from the gateway alone, and on the port for tokens."""

    default_reason = "TOKEN_REFUSED"


class TokenKeysUnknownError(UnavailableError):
    """The keys that access tokens are checked with could not be read from wallet."""

    default_reason = "TOKEN_KEYS_UNKNOWN"


class KeySource(Protocol):
    """Where a server has the public keys from."""

    def known(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a key that is known already; raise TokenKeysUnknownError when none is."""
        ...

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a key, for which wallet may be asked; raise TokenKeysUnknownError.

        None: wallet has no such key.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """The content of an access token."""

    #: The name of whom it speaks for: spiffe://pool.example/pooler/7.
    subject: str
    #: What it lets its bearer call.
    grant: Grant
    #: Unix time (s) at which it was made.
    begins: int
    #: Names this token among all others.
    token_id: str

    def signed(self, key: Ed25519PrivateKey, key_id: str, *, trust_domain: str) -> str:
        """Return the token as text, signed by wallet for the services of a trust domain."""
        claims: dict[str, Any] = {
            "iss": _issuer(trust_domain),
            "sub": self.subject,
            "aud": _audience(trust_domain),
            "iat": self.begins,
            "exp": self.grant.ends,
            "jti": self.token_id,
            "tid": self.grant.token_id,
            "ro": self.grant.is_read_only,
        }
        if self.grant.methods is not None:
            claims["scope"] = sorted(self.grant.methods)
        headers = {"typ": _TYPE, "kid": key_id}
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers=headers)


def bearer(metadata: Iterable[tuple[str, Any]]) -> str | None:
    """Return the access token in a call's metadata; None when there is none.

    Raise TokenInvalidError for anything else that stands in its place.
    """
    found = [value for name, value in metadata if name == AUTHORIZATION]
    if not found:
        return None
    if len(found) > 1:
        raise TokenInvalidError("the call has more than one authorization")
    text = found[0]
    if not isinstance(text, str) or not text.startswith(SCHEME) or len(text) > _MOST:
        raise TokenInvalidError("the authorization is no access token")
    return text.removeprefix(SCHEME)


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """A token whose signature and claims were checked."""

    subject: Caller
    grant: Grant
    key_id: str
    key: Ed25519PublicKey


class TokenCheck:
    """The check of access tokens by one server."""

    def __init__(
        self, keys: KeySource, *, trust_domain: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._trust_domain = trust_domain
        self._gateway = identity(CallerKind.SERVICE, GATEWAY, trust_domain=trust_domain)
        self._clock = clock
        #: Tokens that were checked, the oldest first.
        self._checked: dict[str, _Checked] = {}

    async def brought(self, peer: Caller, token: str) -> Caller:
        """Return whom a token speaks for that a peer has sent along with its certificate.

        Raise TokenRefusedError unless the peer is the gateway, and what `caller` raises.
        """
        if peer.identity != self._gateway:
            raise TokenRefusedError("this caller may send no access token: it has a certificate")
        return await self.caller(token, via=peer.identity)

    async def caller(self, token: str, *, via: str) -> Caller:
        """Return whom a token speaks for; `via` is who has brought the token.

        Raise TokenInvalidError, TokenExpiredError, TokenKeysUnknownError.
        """
        checked = self._checked.get(token)
        # A key that does not count any more takes its tokens with it.
        if checked is None or self._keys.known(checked.key_id) is not checked.key:
            checked = await self._check(token)
            self._keep(token, checked)
        if checked.grant.ends <= self._clock():
            raise TokenExpiredError("the access token has ended")
        subject = checked.subject
        return Caller(
            kind=subject.kind,
            name=subject.name,
            identity=subject.identity,
            via=via,
            grant=checked.grant,
        )

    async def _check(self, token: str) -> _Checked:
        key_id = _key_id(token)
        key = await self._keys.find(key_id)
        if key is None:
            raise TokenInvalidError("the access token is signed by a key that is not wallet's")
        claims = self._claims(token, key)
        return _Checked(
            subject=self._subject(claims["sub"]),
            grant=_grant(claims, ends=self._end(claims)),
            key_id=key_id,
            key=key,
        )

    def _claims(self, token: str, key: Ed25519PublicKey) -> Mapping[str, Any]:
        """Return the claims, as far as signature, issuer and audience go."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=_issuer(self._trust_domain),
                audience=_audience(self._trust_domain),
                # Times are looked at here, by one clock.
                options={
                    "require": sorted(_REQUIRED),
                    "strict_aud": True,
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError as error:
            raise TokenInvalidError(_in_words(error)) from None
        if not set(claims) <= _ALLOWED:
            raise TokenInvalidError("the access token has a claim that is not known")
        return claims

    def _end(self, claims: Mapping[str, Any]) -> int:
        """Return when a token ends; a token that would live for longer than it may is none."""
        begins, ends = claims["iat"], claims["exp"]
        if type(begins) is not int or type(ends) is not int:
            raise TokenInvalidError("the access token's times are no whole numbers")
        if begins > self._clock() + _SKEW or not begins < ends <= begins + LIFE:
            raise TokenInvalidError("the access token's times cannot be")
        return ends

    def _subject(self, name: object) -> Caller:
        try:
            found = parse_identity(str(name), trust_domain=self._trust_domain)
        except UnauthenticatedError:
            raise TokenInvalidError("the access token speaks for nobody of this pool") from None
        if found.kind not in _BEARERS:
            raise TokenInvalidError("the access token speaks for a service")
        return found

    def _keep(self, token: str, checked: _Checked) -> None:
        self._checked.pop(token, None)
        while len(self._checked) >= _KEPT:
            del self._checked[next(iter(self._checked))]
        self._checked[token] = checked


def _issuer(trust_domain: str) -> str:
    return identity(CallerKind.SERVICE, "wallet", trust_domain=trust_domain)


def _audience(trust_domain: str) -> str:
    return f"spiffe://{trust_domain}"


def _key_id(token: str) -> str:
    """Return the name of the key that a token says it is signed by.

    Nothing else in the header decides anything, so nothing else may be in it: no other algorithm,
    no key, no address of one.
    """
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise TokenInvalidError("the authorization is no access token") from None
    key_id = header.get("kid")
    if header != {"alg": _ALGORITHM, "typ": _TYPE, "kid": key_id} or not isinstance(key_id, str):
        raise TokenInvalidError("the access token's header is not as wallet writes it")
    return key_id


def _grant(claims: Mapping[str, Any], *, ends: int) -> Grant:
    token_id, is_read_only, scope = claims["tid"], claims["ro"], claims.get("scope")
    if not isinstance(token_id, str) or not isinstance(is_read_only, bool):
        raise TokenInvalidError("the access token's claims are not as wallet writes them")
    if scope is None and "scope" not in claims:
        return Grant(token_id=token_id, is_read_only=is_read_only, methods=None, ends=ends)
    if not isinstance(scope, list) or not all(isinstance(method, str) for method in scope):
        raise TokenInvalidError("the access token's scope is no list of methods")
    return Grant(token_id=token_id, is_read_only=is_read_only, methods=frozenset(scope), ends=ends)


def _in_words(error: jwt.InvalidTokenError) -> str:
    """Return in words of ours what is wrong: the library's may repeat what the token says."""
    match error:
        case jwt.InvalidSignatureError():
            return "the access token's signature is not wallet's"
        case jwt.InvalidAudienceError():
            return "the access token is for another pool"
        case jwt.InvalidIssuerError():
            return "the access token is not from wallet"
        case _:
            return "the access token is not as wallet writes it"

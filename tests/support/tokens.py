"""Access tokens as tests make them: sound ones, and ones that wallet would never make."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from libs.common.authority import Authority
from libs.common.grpc.identity import CallerKind, identity
from libs.common.grpc.tokens import LIFE
from libs.common.ids import PoolerId
from services.wallet.domain.tokens import NewToken, Role

KEY_ID = "one"
TOKEN_ID = "0190a5f0-0000-7000-8000-0000000000aa"
#: The pooler of new tokens.
POOLER_ID = PoolerId(UUID("0190a5f0-0000-7000-8000-0000000000cc"))


@dataclass(kw_only=True)
class Issuer:
    """Somebody who signs access tokens, and the source of the keys that they are checked with."""

    trust_domain: str
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    #: Keys that the services know, by their names.
    public: dict[str, Ed25519PublicKey] = field(default_factory=dict)
    #: Names of keys that were asked for.
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.public = {KEY_ID: self.private.public_key()}

    def known(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a key."""
        return self.public.get(key_id)

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a key, and note that somebody asked."""
        self.asked.append(key_id)
        return self.known(key_id)

    def claims(self, kind: CallerKind, name: str, **changes: Any) -> dict[str, Any]:
        """Return the claims of a sound token, with changes; None takes a claim away."""
        now = int(time.time())
        claims = {
            "iss": f"spiffe://{self.trust_domain}/service/wallet",
            "sub": identity(kind, name, trust_domain=self.trust_domain),
            "aud": f"spiffe://{self.trust_domain}",
            "iat": now,
            "exp": now + LIFE,
            "jti": "0190a5f0-0000-7000-8000-0000000000bb",
            "tid": TOKEN_ID,
            "ro": False,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kind: CallerKind, name: str, **changes: Any) -> str:
        """Return a token with these claims, signed with the key that the services know."""
        return self.signed(self.claims(kind, name, **changes))

    def signed(self, claims: Mapping[str, Any], **headers: Any) -> str:
        """Return a token with these claims and headers, signed with the key."""
        given = {"typ": "at+jwt", "kid": KEY_ID, **headers}
        # Not by jwt.encode, which looks at claims before it signs them.
        content = json.dumps(dict(claims)).encode()
        return jwt.PyJWS().encode(content, self.private, algorithm="EdDSA", headers=given)


def bearing(token: str, *more: tuple[str, str | bytes]) -> grpc.aio.Metadata:
    """Return metadata with an access token, and more."""
    return grpc.aio.Metadata(("authorization", f"Bearer {token}"), *more)


def without_certificate(target: str, authority: Authority, name: str) -> grpc.aio.Channel:
    """Return a channel of somebody who shows no certificate and checks the service's."""
    pem = authority.certificate.public_bytes(Encoding.PEM)
    options = (
        ("grpc.ssl_target_name_override", name),
        ("grpc.use_local_subchannel_pool", 1),
    )
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(pem), options=options)


def new_token(**changes: Any) -> NewToken:
    """Return what somebody asks for who wants a token of a pooler, with changes."""
    given: dict[str, Any] = {
        "request_id": "",
        "role": Role.POOLER,
        "pooler_id": POOLER_ID,
        "name": "north",
        "methods": (),
        "is_read_only": False,
        "seconds": 3600,
        **changes,
    }
    return NewToken(**given)

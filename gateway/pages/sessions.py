"""Sessions of people: a cookie with their token in it, sealed with a key of the gateway's.

The gateway keeps no session: whoever has the key reads the cookie, so several gateways share it by
a file, and a gateway that was killed knows its people again.
"""

import base64
import binascii
import hmac
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: Seconds that a session lasts at most.
LONGEST = 43_200
#: Bytes of the secret that keys are derived from, at least.
SECRET_BYTES = 32
#: Characters of a cookie at most: a longer one is none of ours. Login tokens are the longest.
_COOKIE = 3072
_NONCE, _ID = 12, 16
#: Unix time (s) at which the session ends; the token follows its id.
_HEAD = struct.Struct(f">Q{_ID}s")
#: What the seal is for; it opens for nothing else.
_PURPOSE = b"kalepool page session 1"


@dataclass(frozen=True, kw_only=True)
class Session:
    """Somebody who has signed in."""

    #: Names the session; forms carry a proof of it.
    id: bytes = field(repr=False)
    #: The API token, or the login token of an owner account.
    token: str = field(repr=False)
    #: Unix time (s) at which it ends.
    ends: int


class Sessions:
    """Seals sessions into cookies, and opens them."""

    def __init__(
        self,
        secret: bytes | None,
        *,
        seconds: int,
        is_secure: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the secret that gateways share; None: one is made that nobody else has.

        `is_secure` tells whether browsers reach the gateway over TLS alone.
        """
        given = secrets.token_bytes(SECRET_BYTES) if secret is None else secret
        self._seal = AESGCM(_derived(given, b"seal"))
        self._forms = _derived(given, b"forms")
        self._seconds = min(seconds, LONGEST)
        self._is_secure = is_secure
        self._clock = clock

    @property
    def name(self) -> str:
        """Return the name of the cookie; the prefix has browsers keep it to this host and TLS."""
        return "__Host-kalepool" if self._is_secure else "kalepool"

    def begin(self, token: str, *, until: float | None = None) -> str:
        """Begin a session; return the header that sets its cookie.

        It ends with its token, where `until` tells when that does (Unix time, s).
        """
        now = int(self._clock())
        ends = now + self._seconds
        if until is not None:
            ends = max(now, min(ends, int(until)))
        sealed = self._sealed(Session(id=secrets.token_bytes(_ID), token=token, ends=ends))
        return f"{self.name}={sealed}; Max-Age={ends - now}{self._attributes}"

    def end(self) -> str:
        """Return the header that takes the cookie away."""
        return f"{self.name}=; Max-Age=0{self._attributes}"

    def shown_by(self, header: str | None) -> str | None:
        """Return our cookie in a Cookie header; None for none."""
        for pair in (header or "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.name and value:
                return value
        return None

    def open(self, cookie: str) -> Session | None:
        """Return the session in a cookie; None when we did not seal it, or it has ended."""
        try:
            raw = base64.b64decode(_padded(cookie), altchars=b"-_", validate=True)
            opened = self._seal.decrypt(raw[:_NONCE], raw[_NONCE:], _PURPOSE)
        except (binascii.Error, ValueError, InvalidTag):
            return None
        ends, name = _HEAD.unpack_from(opened)
        if ends <= self._clock():
            return None
        return Session(id=name, token=opened[_HEAD.size :].decode(), ends=ends)

    def proof(self, session: Session) -> str:
        """Return what the forms of a session carry: another site cannot know it."""
        mac = hmac.digest(self._forms, session.id, "sha256")
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")

    def is_proof(self, session: Session, given: str) -> bool:
        """Tell whether a form comes from a page of this session."""
        return hmac.compare_digest(self.proof(session).encode(), given.encode())

    @property
    def _attributes(self) -> str:
        secure = "; Secure" if self._is_secure else ""
        return f"; Path=/; HttpOnly; SameSite=Strict{secure}"

    def _sealed(self, session: Session) -> str:
        nonce = secrets.token_bytes(_NONCE)
        opened = _HEAD.pack(session.ends, session.id) + session.token.encode()
        sealed = nonce + self._seal.encrypt(nonce, opened, _PURPOSE)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _padded(cookie: str) -> bytes:
    """Return a cookie as base64 has it; raise ValueError for one that cannot be ours."""
    if len(cookie) > _COOKIE:
        raise ValueError("too long")
    return cookie.encode("ascii") + b"=" * (-len(cookie) % 4)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    kdf = HKDF(
        algorithm=hashes.SHA256(), length=32, salt=None, info=b"kalepool gateway 1 " + purpose
    )
    return kdf.derive(secret)

"""Logins with Stellar accounts: how long, for which host, the text to sign, and the token.

The token is a JSON Web Token (RFC 7519), as SEP-10 wants it, signed by wallet's key of tokens. It
goes to wallet alone, which gives access tokens for it; no service takes it as one of those, since
their headers and issuers differ.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.kale.address import is_account

#: Seconds for which a challenge counts, as SEP-10 recommends: several signers may have to sign.
CHALLENGE_SECONDS = 900
#: Seconds that a login lasts at most.
LONGEST_LOGIN = 86_400
#: Characters of a home domain at most: with " auth" it is the name of a data entry, of 64 bytes.
LONGEST_HOME_DOMAIN = 59
#: The same of the host at which people log in: it is the value of a data entry.
LONGEST_WEB_AUTH_DOMAIN = 64
#: A host, and a port where it is not the usual one.
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
#: What the header of a login token says of it, and how it is signed.
_TYPE, _ALGORITHM = "JWT", "EdDSA"
_CLAIMS = frozenset({"iss", "sub", "iat", "exp", "jti"})
#: Seconds that the clock of another wallet process may be ahead of ours.
_SKEW = 5


@dataclass(frozen=True, kw_only=True)
class LoginTerms:
    """The operator's terms for logins."""

    #: The pool's name for wallets: a host.
    home_domain: str
    #: The host at which people log in.
    web_auth_domain: str
    #: Seconds that a login lasts.
    seconds: int

    @property
    def issuer(self) -> str:
        """Return whom login tokens say that they are from."""
        return f"https://{self.home_domain}"


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A transaction of wallet's that an account is to sign."""

    #: The envelope (base64), with the signatures that it came with.
    transaction: str
    #: SHA-256 of what is signed.
    hash: bytes
    #: Whom it is for (strkey G...).
    account: str
    #: Our key (strkey G...) that has signed it.
    signing_key: str
    #: When it was made.
    begins: datetime
    #: Until when it counts.
    ends: datetime


@dataclass(frozen=True, kw_only=True)
class AccountSigners:
    """Who signs for an account, as the chain has it."""

    #: The account (strkey G...).
    address: str
    #: Weights by key (strkey G...), the account's own included; none of them is 0.
    weights: Mapping[str, int]
    #: Weight that ordinary operations need: the medium threshold.
    medium: int

    @classmethod
    def of_missing(cls, address: str) -> "AccountSigners":
        """Return who signs for an account that is not on the chain: its own key."""
        return cls(address=address, weights={address: 255}, medium=1)

    @property
    def needed(self) -> int:
        """Return the weight that a login needs: never nobody's."""
        return max(1, self.medium)

    @property
    def own_key_suffices(self) -> bool:
        """Tell whether the account's own key alone reaches the weight."""
        return self.weights.get(self.address, 0) >= self.needed


@dataclass(frozen=True, kw_only=True)
class Login:
    """An account that has logged in."""

    #: Names the login among all others.
    id: str
    #: The account (strkey G...).
    account: str
    #: Unix times (s) between which it counts.
    begins: int
    ends: int

    def signed(self, key: Ed25519PrivateKey, key_id: str, *, issuer: str) -> str:
        """Return the login token, signed by wallet."""
        claims: dict[str, Any] = {
            "iss": issuer,
            "sub": self.account,
            "iat": self.begins,
            "exp": self.ends,
            "jti": self.id,
        }
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"typ": _TYPE, "kid": key_id})


def read_login(
    text: str, known: Callable[[str], Ed25519PublicKey | None], *, issuer: str, now: float
) -> Login | None:
    """Return the login of a token that counts now; None for any other text.

    `known` returns the keys whose signatures count, by their names.
    """
    try:
        header = jwt.get_unverified_header(text)
        key_id = header.get("kid")
        key = known(key_id) if isinstance(key_id, str) else None
        if key is None or header != {"alg": _ALGORITHM, "typ": _TYPE, "kid": key_id}:
            return None
        claims: dict[str, Any] = jwt.decode(
            text,
            key,
            algorithms=[_ALGORITHM],
            issuer=issuer,
            # Times are looked at here, by one clock.
            options={"require": sorted(_CLAIMS), "verify_exp": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError:
        return None
    return _login(claims, now)


def _login(claims: Mapping[str, Any], now: float) -> Login | None:
    begins, ends, name = claims["iat"], claims["exp"], claims["jti"]
    is_sound = (
        set(claims) == _CLAIMS
        and type(begins) is int
        and type(ends) is int
        and isinstance(name, str)
        and isinstance(claims["sub"], str)
        and is_account(claims["sub"])
    )
    if not is_sound or begins > now + _SKEW or not now < ends <= begins + LONGEST_LOGIN:
        return None
    return Login(id=name, account=claims["sub"], begins=begins, ends=ends)


def login_text(challenge: Challenge, *, home_domain: str) -> str:
    """Return what the account signs (SEP-53) where no wallet signs the transaction."""
    ends = challenge.ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "\n".join(
        [
            "KALE pool",
            "I log in.",
            f"Pool: {home_domain}",
            f"Account: {challenge.account}",
            f"Challenge: {challenge.hash.hex()}",
            f"Until: {ends}",
        ]
    )


def is_host(text: str, *, longest: int) -> bool:
    """Tell whether a text is a host, with a port perhaps, and not too long."""
    return len(text) <= longest and _HOST.fullmatch(text) is not None

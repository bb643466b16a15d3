"""API tokens: whom they speak for, what they may, when they end; the text that is shown once."""

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, unique
from typing import NewType
from uuid import UUID

from libs.common.ids import PoolerId

TokenId = NewType("TokenId", UUID)

#: What every token begins with: so it is found in a log or a repository, where it must not be.
PREFIX = "kp_"
#: Random bytes of a token.
_SECRET_BYTES = 32
_TEXT = re.compile(r"kp_[A-Za-z0-9_-]{43}")
#: What a token may be called: as callers are.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
#: The name of a token, and the seconds until its end, where its maker gives none.
DEFAULT_NAME = "token"
DEFAULT_SECONDS = 90 * 86_400


@unique
class Role(Enum):
    """Whom a token speaks for; the values are those of callers' kinds."""

    #: A pooler.
    POOLER = "pooler"
    #: An operator.
    OPERATOR = "operator"
    #: An owner account that has logged in; wallet keeps no row of its token.
    OWNER = "owner"


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """What is asked for."""

    #: Names the request among those of its maker; empty: it is not named.
    request_id: str
    role: Role
    #: Whose token it is; None for an operator's.
    pooler_id: PoolerId | None
    #: What its maker calls it.
    name: str
    #: Full names of the only methods that it is for; empty: all that its role may.
    methods: tuple[str, ...]
    is_read_only: bool
    #: Seconds until it ends.
    seconds: int


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token as wallet keeps it, without the text that its bearer has."""

    id: TokenId
    role: Role
    #: The name that callers with it have: spiffe://<trust domain>/pooler/<id>.
    subject: str
    #: Whose token it is; None for an operator's.
    pooler_id: PoolerId | None
    #: What its maker calls it.
    name: str
    #: Full names of the only methods that it is for; empty: all that its role may.
    methods: tuple[str, ...]
    is_read_only: bool
    #: SHA-256 of the text.
    secret_hash: bytes
    #: Who made it.
    created_by: str
    created_at: datetime
    #: When it ends.
    expires_at: datetime
    #: Who revoked it, and when; None until then.
    revoked_by: str | None = None
    revoked_at: datetime | None = None


def new_text() -> str:
    """Make a token's text: 256 random bits that nobody can guess."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    return PREFIX + urlsafe_b64encode(secret).decode().rstrip("=")


def hash_of(text: str) -> bytes | None:
    """Return the hash by which a token is found; None for a text that is none.

    A token is as long as the hash, and as random: no salt and no slow function would add anything.
    """
    return hashlib.sha256(text.encode()).digest() if _TEXT.fullmatch(text) else None


def is_name(text: str) -> bool:
    """Tell whether a token may be called so."""
    return _NAME.fullmatch(text) is not None


def ending(made: datetime, *, seconds: int) -> datetime:
    """Return when a token ends that is made now."""
    return made + timedelta(seconds=seconds)

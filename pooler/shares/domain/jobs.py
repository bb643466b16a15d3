"""Jobs as tokens that miners bring back unchanged: all of a job is in it, and signed.

The pool keeps no list of jobs; so none has to be written down before it is given out, and a job
outlives a restart.
"""

import binascii
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest

from pooler.shares.domain.errors import BadTokenError

#: Bytes of the key.
KEY_BYTES = 32
#: Nonces are given out below this: there are miners that read them as signed numbers.
NONCES = 1 << 63
#: Nonces of a job that a miner searches without looking at their number.
MOST_NONCES = 1 << 40
#: Form of the token; another form gets another number.
_FORM = 1
#: Form, worker, block, farmer, issued at, ends at (unix seconds), first nonce, nonces, target.
_LAYOUT = struct.Struct(">BIIIIIQQQ")
_MAC_BYTES = 16
_BYTES = _LAYOUT.size + _MAC_BYTES
#: Characters of a token.
TOKEN_LENGTH = -(-_BYTES * 4 // 3)
_PERSON = b"kale pool job"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Some nonces of one farmer in one block, for one worker."""

    #: Number of the worker in the database: the job is nobody else's.
    worker: int
    #: Index of the block.
    block: int
    #: Number of the farmer in the database.
    farmer: int
    #: When it was given out, and until when it may be brought back (unix seconds).
    issued_at: int
    ends_at: int
    #: The nonces: so many from the first one on, all below 2^63.
    first: int
    count: int
    #: The head of a share's hash is at most this.
    target: int

    def has(self, nonce: int) -> bool:
        """Tell whether a nonce is one of the job's."""
        return self.first <= nonce < self.first + self.count


class JobSigner:
    """Makes and opens tokens by one key."""

    def __init__(self, key: bytes) -> None:
        """Take the key; raise ValueError when it has another length than KEY_BYTES."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of jobs has {KEY_BYTES} bytes")
        # A state that has taken in the key costs less to copy than to make.
        self._begun = blake2b(key=key, digest_size=_MAC_BYTES, person=_PERSON)

    def seal(self, job: Job) -> str:
        """Return the job's token: URL-safe base64 without padding."""
        content = _LAYOUT.pack(
            _FORM,
            job.worker,
            job.block,
            job.farmer,
            job.issued_at,
            job.ends_at,
            job.first,
            job.count,
            job.target,
        )
        return urlsafe_b64encode(content + self._mac(content)).rstrip(b"=").decode()

    def open(self, token: str) -> Job:
        """Return the job of a token; raise BadTokenError for what this key has not signed."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (binascii.Error, UnicodeEncodeError):
            raise BadTokenError("job is no token") from None
        content, mac = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
        # Bytes too many or too few are in the authenticator, which has another length then.
        if not compare_digest(mac, self._mac(content)):
            raise BadTokenError("job was not given out by this pool")
        _, worker, block, farmer, issued_at, ends_at, first, count, target = _LAYOUT.unpack(content)
        return Job(
            worker=worker,
            block=block,
            farmer=farmer,
            issued_at=issued_at,
            ends_at=ends_at,
            first=first,
            count=count,
            target=target,
        )

    def _mac(self, content: bytes) -> bytes:
        state = self._begun.copy()
        state.update(content)
        return state.digest()


def new_key() -> bytes:
    """Make a key."""
    return secrets.token_bytes(KEY_BYTES)

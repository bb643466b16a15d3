"""Judges a share by the contract's own hash."""

from collections.abc import Sequence
from dataclasses import dataclass

import sha3

from libs.kale.hash import leading_zeros
from pooler.shares.domain.codes import Code
from pooler.shares.domain.jobs import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of a share."""

    code: Code
    #: Points that it is credited, or would have been if it had come in time.
    points: int = 0
    #: Leading zero digits of its hash; -1 where none was computed.
    zeros: int = -1
    #: Milliseconds after the works were sent.
    lateness_ms: int = 0


class Judge:
    """The hash of one block: what stays the same for all nonces is put together once."""

    __slots__ = ("_head", "_tails")

    def __init__(self, *, index: int, entropy: bytes, keys: Sequence[bytes]) -> None:
        """Take the block, and the farmers' keys by their position."""
        self._head = index.to_bytes(4, "big")
        self._tails = [entropy + key for key in keys]

    def judge(self, job: Job, nonce: int, position: int) -> Verdict:
        """Return ACCEPTED with the zeros, OUT_OF_RANGE or LOW_DIFFICULTY; points are not told."""
        if not job.has(nonce):
            return _OUT_OF_RANGE
        # The layout is that of libs/kale/hash.py; a test compares both.
        preimage = self._head + nonce.to_bytes(8, "big") + self._tails[position]
        digest: bytes = sha3.keccak_256(preimage).digest()
        if int.from_bytes(digest[:8], "big") > job.target:
            return Verdict(code=Code.LOW_DIFFICULTY, zeros=leading_zeros(digest))
        return Verdict(code=Code.ACCEPTED, zeros=leading_zeros(digest))


_OUT_OF_RANGE = Verdict(code=Code.OUT_OF_RANGE)

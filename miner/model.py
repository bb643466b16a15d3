"""The words of the search: the work of a block, the finds, and what was hashed for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.kale.constants import MAX_U32

#: Zeros that no hash exceeds: with this cap only time ends a search.
NO_CAP = 64
_KEY_BYTES = 32


class MinerError(Exception):
    """The base of what can go wrong in a search."""


class EngineUnavailableError(MinerError):
    """This machine has not what an engine needs: a library, a device, a program."""


class EngineFailedError(MinerError):
    """An engine gave up; it may be tried again with another block."""


class WrongFindError(MinerError):
    """An engine told a nonce that is none; it must not be used any more."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A farmer to search for."""

    #: The 32 bytes in its address.
    key: bytes
    #: Zeros of its best nonce so far, by whomever; -1 without one.
    zeros: int = -1

    def __post_init__(self) -> None:
        """Raise ValueError when the key has not 32 bytes or the zeros are out of -1 to 64."""
        if len(self.key) != _KEY_BYTES:
            raise ValueError(f"key must have {_KEY_BYTES} bytes, not {len(self.key)}")
        if not -1 <= self.zeros <= NO_CAP:
            raise ValueError(f"zeros must be from -1 to {NO_CAP}, not {self.zeros}")


@dataclass(frozen=True, kw_only=True)
class Work:
    """A block, and the farmers to search for in it: those that are planted, and nobody else."""

    #: Index of the block.
    index: int
    #: Entropy of the block, 32 bytes.
    entropy: bytes
    #: The farmers; finds refer to the position here.
    targets: Sequence[Target]
    #: A farmer with this many zeros is not searched for any more.
    cap: int = NO_CAP

    def __post_init__(self) -> None:
        """Raise ValueError, with the field's name, for what is out of its range."""
        if not 0 <= self.index <= MAX_U32:
            raise ValueError(f"index must fit into 32 bits, not {self.index}")
        if len(self.entropy) != _KEY_BYTES:
            raise ValueError(f"entropy must have {_KEY_BYTES} bytes, not {len(self.entropy)}")
        if not 0 <= self.cap <= NO_CAP:
            raise ValueError(f"cap must be from 0 to {NO_CAP}, not {self.cap}")


@dataclass(frozen=True, kw_only=True)
class Find:
    """A nonce that is better than all before for its farmer, as the judge computed it."""

    #: Position of the farmer in the work's targets.
    target: int
    #: The nonce.
    nonce: int
    #: Leading zero hex digits of its hash.
    zeros: int
    #: The hash, 32 bytes.
    digest: bytes
    #: When it was found.
    found_at: datetime


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What was hashed, and what it took."""

    #: Hashes computed.
    hashes: int = 0
    #: Seconds since the search began.
    seconds: float = 0.0
    #: Seconds of processors: all threads together; without devices and other programs.
    cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Return the hashes per second; 0 before the first."""
        return self.hashes / self.seconds if self.seconds > 0 else 0.0

    @property
    def per_cpu_second(self) -> float:
        """Return the hashes per second of one processor; 0 where no processor hashed."""
        return self.hashes / self.cpu_seconds if self.cpu_seconds > 0 else 0.0

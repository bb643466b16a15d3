"""An engine: something that hashes nonces of slices and tells the good ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from miner.model import Work


class Slice(NamedTuple):
    """A run of nonces of one farmer to try; a plain tuple, as there may be thousands a second."""

    #: Position of the farmer in the work's targets.
    target: int
    #: The first nonce; the run ends before 2^64.
    first: int
    #: How many nonces it has, at least 1.
    nonces: int
    #: Heads (first 8 bytes of the hash, as a number) up to this one are good.
    at_most: int


class Hit(NamedTuple):
    """A nonce that an engine calls good."""

    #: Position of the farmer in the work's targets.
    target: int
    #: The nonce.
    nonce: int


class Scan(NamedTuple):
    """What came of some slices."""

    #: Nonces tried.
    hashes: int
    #: Good nonces, in no order.
    hits: Sequence[Hit]


@dataclass(frozen=True, kw_only=True)
class Appetite:
    """What an engine wants to be given."""

    #: Scanners that may work at the same time, each in a thread of its own.
    threads: int
    #: Nonces of the first scan, until its pace is known.
    hashes: int
    #: Seconds that a scan should take: long enough to cost nothing, short enough to be told finds
    #: of others.
    seconds: float
    #: Nonces that a slice has at least: a vector's, or a group's.
    least: int
    #: A slice has at most the nonces of an expected find over this: 1 where a slice ends at its
    #: first hit, more where it goes on to its end.
    divisor: int = 1
    #: Slices of a scan at most.
    slices: int = 4_096
    #: The thread that scans hashes by itself, so that its processor time is that of the hashes.
    is_own_thread: bool = True

    @property
    def stops_at_hit(self) -> bool:
        """Tell whether a slice ends at its first hit."""
        return self.divisor == 1


class Scanner(Protocol):
    """One thread's hold of an engine for one block."""

    def scan(self, slices: Sequence[Slice]) -> Scan:
        """Try the nonces of all slices.

        A slice may end at its first hit; after `stop` all end. Raise EngineFailedError.
        """

    def stop(self) -> None:
        """End the scan that runs and all later ones; from any thread."""

    def close(self) -> None:
        """Give back what it holds, once no scan runs any more."""


class Engine(Protocol):
    """Something that can hash."""

    @property
    def name(self) -> str:
        """Return the name that people know it by."""

    @property
    def appetite(self) -> Appetite:
        """Return what it wants to be given."""

    def warm(self) -> None:
        """Make it ready: compile, load, look for its device. It is safe to call this again.

        Raise EngineUnavailableError when this machine has not what it needs, and WrongFindError
        when it does not hash as the judge does.
        """

    def scanner(self, work: Work, *, every: bool = False) -> Scanner:
        """Return a scanner for a block; raise EngineFailedError.

        Without `every`, of a slice that does not end at its first hit the best one may be told
        alone, and better ones than were asked for.
        """

"""The fixed codes with which a share is answered."""

from collections.abc import Mapping
from enum import Enum, unique


@unique
class Code(Enum):
    """What became of a share; MEANINGS says each in a sentence."""

    ACCEPTED = "ACCEPTED"
    STALE_BLOCK = "STALE_BLOCK"
    TOO_LATE = "TOO_LATE"
    DUPLICATE = "DUPLICATE"
    LOW_DIFFICULTY = "LOW_DIFFICULTY"
    UNKNOWN_JOB = "UNKNOWN_JOB"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    BAD_TOKEN = "BAD_TOKEN"  # noqa: S105  (a code)
    LIMITED = "LIMITED"


MEANINGS: Mapping[Code, str] = {
    Code.ACCEPTED: "It is credited, and on the disk.",
    Code.STALE_BLOCK: "The job's block is over.",
    Code.TOO_LATE: "The block's works were on their way; latenessMs says for how long.",
    Code.DUPLICATE: "The nonce was brought before; a repeated batch is answered by this.",
    Code.LOW_DIFFICULTY: "The hash does not meet the job's target.",
    Code.UNKNOWN_JOB: "The job has expired, or the block has no such farmer.",
    Code.OUT_OF_RANGE: "The nonce is not one of the job's.",
    Code.BAD_TOKEN: "The job was not given out by this pool, or to another miner.",
    Code.LIMITED: "The worker has brought all shares that one may bring in a block.",
}

#: Codes of shares that no sound miner sends; many of them end in a ban.
FAULTS = frozenset({Code.BAD_TOKEN, Code.LOW_DIFFICULTY, Code.OUT_OF_RANGE})

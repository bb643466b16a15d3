"""What is kept of miners, workers, blocks and shares."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import NewType
from uuid import UUID

from libs.common.states import StateTable
from libs.kale.amounts import WHOLE

MinerId = NewType("MinerId", UUID)
#: What names a share: block, number of the farmer, nonce.
ShareKey = tuple[int, int, int]


@unique
class BlockState(Enum):
    """How far a block is."""

    #: Shares are credited.
    MINED = "mined"
    #: Its works are sent: shares are late.
    SENT = "sent"
    #: A later block is mined.
    CLOSED = "closed"
    #: Its reward is divided; nothing of that changes any more.
    FINAL = "final"
    #: Miners' parts were handed on for payment.
    HANDED_ON = "handed_on"


@unique
class BlockStep(Enum):
    """What happens to a block."""

    SEND = "works sent"
    CLOSE = "next block opened"
    DIVIDE = "harvested"
    HAND_ON = "handed on"


BLOCK_EDGES: StateTable[BlockState, BlockStep] = StateTable(
    initial=BlockState.MINED,
    edges={
        (BlockState.MINED, BlockStep.SEND): (
            BlockState.SENT,
            "The pooler sends its works; what comes now is late.",
        ),
        (BlockState.MINED, BlockStep.CLOSE): (
            BlockState.CLOSED,
            "The pooler was away when the block ended.",
        ),
        (BlockState.SENT, BlockStep.CLOSE): (
            BlockState.CLOSED,
            "The next block is mined; points by worker are written.",
        ),
        (BlockState.CLOSED, BlockStep.DIVIDE): (
            BlockState.FINAL,
            "All that the block will ever earn is harvested; its reward is divided.",
        ),
        (BlockState.FINAL, BlockStep.HAND_ON): (
            BlockState.HANDED_ON,
            "Whoever pays has taken the miners' parts.",
        ),
    },
)


@dataclass(frozen=True, kw_only=True)
class Miner:
    """Who has joined."""

    #: Number in the database.
    number: int
    #: Names the miner outside.
    miner_id: MinerId
    #: Where its parts are paid (G... or M...).
    address: str
    #: What it calls itself; may be empty.
    name: str
    #: Version of the terms that it agreed to.
    terms: str
    #: When it joined (unix ms).
    joined_at: int
    #: End of its ban (unix ms; 0: none) and its reason.
    banned_until: int = 0
    ban_reason: str = ""


@dataclass(frozen=True, kw_only=True)
class NewMiner:
    """Who joins."""

    miner_id: MinerId
    #: Hash of its credential.
    credential_hash: bytes
    address: str
    name: str
    terms: str
    #: Unix ms.
    joined_at: int


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """A worker of a miner, as kept."""

    #: Number in the database.
    number: int
    #: Number of its miner.
    miner: int
    #: Unique among the miner's.
    name: str
    #: When it first asked for work (unix ms).
    first_at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A share that is to be credited."""

    block: int
    #: Number of the farmer.
    farmer: int
    nonce: int
    #: Number of the worker.
    worker: int
    points: int
    #: Leading zero digits of the hash.
    zeros: int
    #: When it arrived (unix ms).
    at: int

    @property
    def key(self) -> ShareKey:
        """Return what names the share."""
        return self.block, self.farmer, self.nonce

    @property
    def values(self) -> tuple[int, ...]:
        """Return all of it, in the order of the fields."""
        return (
            self.block,
            self.farmer,
            self.nonce,
            self.worker,
            self.points,
            self.zeros,
            self.at,
        )


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best nonce of a farmer in a block."""

    block: int
    #: Number of the farmer.
    farmer: int
    nonce: int
    zeros: int


@dataclass(frozen=True, kw_only=True)
class BlockRow:
    """A block as kept."""

    block: int
    entropy: bytes
    state: BlockState
    #: When it was taken up, and when its works were sent (unix ms; 0: not yet).
    opened_at: int
    sent_at: int
    #: Hashes of the pool's own engines.
    own_hashes: int
    #: Ten-thousandths of its reward that are divided, and whether own hashes take part: the terms
    #: that held when it was taken up.
    miners_bps: int
    own_takes_part: bool
    #: Points of all miners; 0 until it is closed.
    points: int
    #: Stroops that its farmers earned, and those that are divided; 0 until it is final.
    rewards: int
    pot: int

    def pot_of(self, rewards: int) -> int:
        """Return the stroops of its rewards that are divided by its terms; rounded down."""
        return rewards * self.miners_bps // WHOLE


@dataclass(frozen=True, kw_only=True)
class WorkerBlock:
    """What a worker did in a block."""

    block: int
    worker: int
    shares: int
    points: int
    #: Sum of the squares of points.
    squares: float
    #: Best zeros; -1 for none.
    best: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """A miner's part of a block; final."""

    block: int
    #: Number of the miner.
    miner: int
    points: int
    #: Stroops.
    amount: int


@dataclass(frozen=True, kw_only=True)
class PaidPart:
    """A miner's part as it is handed on for payment."""

    block: int
    miner_id: MinerId
    #: Where it is paid.
    address: str
    points: int
    #: Stroops.
    amount: int

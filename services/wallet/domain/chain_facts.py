"""Facts of the chain, without XDR."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from libs.kale.constants import MAX_I64
from services.wallet.domain.packing import Usage

#: Stroops of XLM that an account keeps for each of its two first reserves and each further one.
BASE_RESERVE = 5_000_000


class Signer(Protocol):
    """Holder of one ed25519 key, which signs with it; the seed never leaves it."""

    @property
    def address(self) -> str:
        """Return the key's address (strkey G...)."""
        ...

    def sign(self, payload: bytes) -> bytes:
        """Return the 64-byte signature of `payload`."""
        ...


@dataclass(frozen=True, kw_only=True)
class LedgerHead:
    """The latest ledger that a node has."""

    #: Its sequence.
    sequence: int
    #: Its close time (unix seconds); time bounds and blocks go by it.
    close_time: int
    #: Oldest ledger of which the node still has transactions.
    oldest: int = 0


@dataclass(frozen=True, kw_only=True)
class AccountState:
    """An account and its KALE trustline."""

    #: strkey G...
    address: str
    #: Whether the account exists.
    exists: bool
    #: Stroops of XLM.
    xlm: int = 0
    #: Last used sequence number.
    sequence: int = 0
    #: Ledger that used it; 0 when the entry does not say (it is older than protocol 19).
    used_ledger: int = 0
    #: Subentries, and reserves that it sponsors less those that are sponsored for it.
    reserves: int = 0
    #: Whether its own key alone may make payments and allow calls; not after its owner has changed
    #: weights, thresholds or signers so that the key does not suffice.
    obeys: bool = True
    #: Whether its own key alone may do everything, such as merge the account.
    obeys_fully: bool = True
    #: Stroops of XLM that its own offers bind, and that it can still receive.
    xlm_bound: int = 0
    xlm_room: int = MAX_I64
    #: Whether it has a KALE trustline that may hold KALE.
    has_trustline: bool = False
    #: Whether it has a KALE trustline that the issuer has not authorised, or no longer.
    is_frozen: bool = False
    #: Stroops of KALE.
    kale: int = 0
    #: Stroops of KALE that its own offers bind, and that its line can still receive.
    kale_bound: int = 0
    kale_room: int = MAX_I64

    @property
    def xlm_free(self) -> int:
        """Return the stroops of XLM that can leave: neither reserve nor bound by offers."""
        return max(0, self.xlm - (2 + self.reserves) * BASE_RESERVE - self.xlm_bound)

    @property
    def kale_free(self) -> int:
        """Return the stroops of KALE that can leave."""
        return max(0, self.kale - self.kale_bound)


@dataclass(frozen=True, kw_only=True)
class BlockState:
    """A Block record of the farm (KALE_CONTRACT section 3)."""

    #: Its index.
    index: int
    #: Close time of the ledger that opened it.
    timestamp: int
    #: 32 bytes.
    entropy: bytes
    #: Bounds by which its pails are measured.
    min_gap: int
    max_gap: int
    min_stake: int
    max_stake: int
    min_zeros: int
    max_zeros: int
    #: Stroops planted and not yet worked.
    staked_total: int
    #: Sum of all works' weights.
    normalized_total: int
    #: Last ledger in which it exists.
    live_until: int
    #: Ledger that changed it last.
    modified: int


@dataclass(frozen=True, kw_only=True)
class FarmState:
    """The farm's instance."""

    #: Index of the running block.
    index: int
    #: FarmBlock's timestamp: from timestamp + interval on, a plant opens the next block.
    timestamp: int
    #: Planting is paused.
    paused: bool
    #: Contract id of the token that it burns and mints.
    token: str
    #: SHA-256 of its code (hex).
    code_hash: str
    #: The running block's record; None when it is gone or none was ever opened.
    block: BlockState | None
    #: Last ledger of its instance's life; 0 while that is not known.
    instance_until: int = 0
    #: Last ledger of its code's life; 0 while that is not known.
    code_until: int = 0


@dataclass(frozen=True, kw_only=True)
class PailState:
    """A Pail record: the plant and work of a farmer in a block, not harvested yet."""

    #: Ledger of the plant.
    sequence: int
    #: Stroops staked.
    stake: int
    #: Ledgers between plant and work; None before the first work.
    gap: int | None
    #: Leading zeros of the best work; None before the first work. 0 is a worked value.
    zeros: int | None
    #: Last ledger in which it exists.
    live_until: int


@dataclass(frozen=True, kw_only=True)
class SignedEnvelope:
    """A transaction that is signed and not sent yet."""

    #: Base64 of the TransactionEnvelope.
    xdr: str
    #: Its hash (hex): of the fee bump, when it is one.
    hash: str
    #: The inner transaction's hash (hex) when it is a fee bump, else None.
    inner_hash: str | None
    #: The account whose sequence number it uses.
    source: str
    #: That sequence number.
    sequence: int
    #: Close time (unix seconds) after which no ledger may take it.
    max_time: int
    #: Stroops that the network may charge at most.
    fee_bid: int
    #: Its use of a ledger's limits; None for a classic transaction, which has other limits.
    usage: Usage | None = None
    #: For a payment: the number to which its last operation bumps the source's number; else None.
    bump_to: int | None = None


@dataclass(frozen=True, kw_only=True)
class NumberState:
    """What a transaction's source account shows of itself."""

    #: Last used sequence number.
    sequence: int
    #: Whether its own key alone may be the source of calls.
    obeys: bool = True


class SendStatus(Enum):
    """A node's answer to an envelope; STELLAR.md section 1 tells what it can mean."""

    PENDING = "PENDING"
    DUPLICATE = "DUPLICATE"
    TRY_AGAIN_LATER = "TRY_AGAIN_LATER"
    ERROR = "ERROR"


@dataclass(frozen=True, kw_only=True)
class SendResult:
    """The answer of sendTransaction."""

    #: What the node said.
    status: SendStatus
    #: Transaction result code of an ERROR, such as txBAD_SEQ.
    code: str | None = None
    #: Stroops that would suffice for inclusion, told with txINSUFFICIENT_FEE.
    required_fee: int | None = None


@dataclass(frozen=True, kw_only=True)
class ContractError:
    """Cause of a call's failure on the chain, and who raised it."""

    #: farm, token, host (a trap of the host), or transaction (classic result code).
    raiser: str
    #: Name of a contract error (PailExists), or a code such as Storage/ExceededLimit, txBAD_SEQ.
    code: str

    def __str__(self) -> str:
        return f"{self.raiser} {self.code}"


class OutcomeStatus(Enum):
    """Status that getTransaction reports for a hash."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    NOT_FOUND = "NOT_FOUND"
    #: A ledger has it, with a result that is not understood: the chain's state decides.
    UNKNOWN = "unknown"


#: The statuses that nodes know, by their names.
STATUSES = {item.value: item for item in OutcomeStatus if item is not OutcomeStatus.UNKNOWN}


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """Result of one call in a transaction that worked as a whole."""

    #: What the contract returned: a work's gap, a harvest's reward; None for a plant.
    value: int | None = None
    #: Why this call failed: through a multicall one may, and the others do not.
    error: ContractError | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A node's knowledge of a transaction."""

    #: Included and worked, included and failed, or not seen.
    status: OutcomeStatus
    #: The node's head in the same answer.
    head: LedgerHead
    #: Ledger that has it; 0 when not seen.
    ledger: int = 0
    #: Stroops charged.
    fee_charged: int = 0
    #: Each call's result, in order, when it worked; empty for a classic transaction.
    results: tuple[CallResult, ...] = ()
    #: Why it failed.
    error: ContractError | None = None
    #: Positions of the operations that failed themselves; empty when no node tells them.
    failing: tuple[int, ...] = ()
    #: What is not understood, with UNKNOWN.
    unknown: str = ""

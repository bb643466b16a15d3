"""The wallet's model: wallets, operations, transactions, blocks."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, unique
from typing import NewType
from uuid import UUID

from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId
from libs.kale.amounts import WHOLE

TransactionId = NewType("TransactionId", UUID)


class KeyEnum(Enum):
    """Enum whose members are keys of many tables: Enum's own hash is a call of Python each time."""

    __hash__ = object.__hash__


@unique
class OperationKind(KeyEnum):
    """Kinds of operations by their effect on the chain, in the engine's order of preference."""

    ONBOARD = "onboard"
    PLANT = "plant"
    WORK = "work"
    HARVEST = "harvest"
    #: The treasury creates a channel account.
    OPEN_CHANNEL = "open_channel"
    #: A payer has the treasury send a channel account XLM for its fees.
    TOP_UP = "top_up"
    #: A payer has a farmer's account pay the farmer's own outside address.
    WITHDRAW = "withdraw"
    #: The treasury creates a payer account.
    OPEN_PAYER = "open_payer"
    #: A payer has a farmer's account pay the farmer, and the fees that are due of it.
    PAYOUT = "payout"
    #: A payer has a pooler's custodial account pay a miner, or the pooler itself.
    POOL_PAYMENT = "pool_payment"
    #: The treasury writes the newest root of the pool's claims into a data entry of its account.
    DATA_ENTRY = "data_entry"
    #: The treasury merges the account of a farmer or pooler that leaves.
    CLOSE_ACCOUNT = "close_account"


@unique
class OperationState(KeyEnum):
    """State of an operation (docs/states.md)."""

    QUEUED = "queued"
    SIGNED = "signed"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"


@unique
class TransactionState(KeyEnum):
    """State of a signed envelope; SIGNED and SENT are open and hold their source account."""

    SIGNED = "signed"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXCLUDED = "excluded"


@unique
class OperationEvent(KeyEnum):
    """Event of an operation."""

    SIGN = "sign"
    SEND = "send"
    SUCCEED = "succeed"
    FAIL = "fail"
    RETRY = "retry"
    EXPIRE = "expire"
    #: Its payer's number shows that it was paid, though it was given up on the word of nodes.
    CORRECT = "correct"
    #: The chain has no trace of a call that, by the word of nodes, had worked.
    DENY = "deny"


@unique
class TransactionEvent(KeyEnum):
    """Event of a transaction."""

    SEND = "send"
    SUCCEED = "succeed"
    FAIL = "fail"
    EXCLUDE = "exclude"


@unique
class FailureReason(KeyEnum):
    """Reasons of an operation's failure.

    The names are those of kalepool.common.v1.FailureReason without the prefix.
    """

    NOT_FUNDED = "NOT_FUNDED"
    NO_TRUSTLINE = "NO_TRUSTLINE"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    NOT_PLANTED = "NOT_PLANTED"
    NOT_WORKED = "NOT_WORKED"
    HASH_INVALID = "HASH_INVALID"
    ZEROS_TOO_LOW = "ZEROS_TOO_LOW"
    BLOCK_CLOSED = "BLOCK_CLOSED"
    BLOCK_EXPIRED = "BLOCK_EXPIRED"
    FARM_PAUSED = "FARM_PAUSED"
    FEE_CAP = "FEE_CAP"
    EXPIRED = "EXPIRED"
    REFUSED = "REFUSED"
    DESTINATION_MISSING = "DESTINATION_MISSING"
    DESTINATION_REFUSES = "DESTINATION_REFUSES"
    MEMO_REQUIRED = "MEMO_REQUIRED"
    FEE_BUDGET = "FEE_BUDGET"
    RENT_DUE = "RENT_DUE"
    ACCOUNT_LOCKED = "ACCOUNT_LOCKED"
    LINE_FROZEN = "LINE_FROZEN"
    LINE_FULL = "LINE_FULL"
    STAKE_NOT_AGREED = "STAKE_NOT_AGREED"
    DESTINATION_FULL = "DESTINATION_FULL"
    KEEPS_FAILING = "KEEPS_FAILING"
    TAMPERED = "TAMPERED"
    FEE_REFUSED = "FEE_REFUSED"
    ACCOUNT_NOT_EMPTY = "ACCOUNT_NOT_EMPTY"
    ACCOUNT_HOLDS = "ACCOUNT_HOLDS"

    @classmethod
    def read(cls, text: str) -> "FailureReason":
        """Return the reason in a row; REFUSED for a text that is none.

        A newer wallet may know more reasons, and who writes rows writes any: neither keeps the rows
        beside it from being read.
        """
        return cls.__members__.get(text, cls.REFUSED)


@dataclass(frozen=True, kw_only=True)
class Balances:
    """Holdings of an address on the chain, as read at one ledger."""

    #: The account exists.
    is_funded: bool
    #: It has a KALE trustline.
    has_trustline: bool
    #: Stroops of XLM.
    xlm: int
    #: Stroops of KALE.
    kale: int
    #: Base reserves beyond the first two that it must keep.
    reserves: int
    #: Ledger that this was read at; 0 when it was never read.
    ledger: int


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """A custodial wallet."""

    #: UUIDv7.
    id: WalletId
    #: The farmer that it belongs to; None for the treasury.
    farmer_id: FarmerId | None
    #: The farmer's pooler; None for the treasury.
    pooler_id: PoolerId | None
    #: strkey G...
    address: str
    #: Account and trustline exist on the chain.
    is_ready: bool
    #: As last read.
    balances: Balances
    #: When the key was made.
    created_at: datetime
    #: Ten-thousandths of the balance that a plant may stake at most.
    stake_bps: int = WHOLE


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A caller's wish for one farmer."""

    #: The farmer.
    farmer_id: FarmerId
    #: Stroops staked by a plant; 0 for others.
    amount: int = 0
    #: Nonce of a work.
    nonce: int | None = None
    #: Hash of a work, 32 bytes.
    hash: bytes | None = None
    #: Leading zeros of that hash.
    zeros: int | None = None


@dataclass(frozen=True, kw_only=True)
class NewOperation:
    """An intent that is about to become an operation."""

    #: UUIDv7.
    id: OperationId
    #: The farmer's wallet.
    wallet_id: WalletId
    #: Stroops staked by a plant; 0 for others.
    amount: int
    #: Nonce of a work.
    nonce: int | None
    #: Hash of a work.
    hash: bytes | None
    #: Leading zeros of that hash.
    zeros: int | None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation as recorded."""

    #: UUIDv7.
    id: OperationId
    #: Its kind.
    kind: OperationKind
    #: The farmer; None for a channel account.
    farmer_id: FarmerId | None
    #: The farmer's pooler; None for a channel account.
    pooler_id: PoolerId | None
    #: The farmer's address.
    address: str
    #: Block that it is for; 0 for ONBOARD.
    block_index: int
    #: Its state.
    state: OperationState
    #: Stroops: stake of a plant, reward of a harvest.
    amount: int
    #: Nonce of a work.
    nonce: int | None
    #: Hash of a work.
    hash: bytes | None
    #: Gap that a work got, in ledgers.
    gap: int | None
    #: Hash (hex) of the transaction that carries or settled it; empty when none does.
    transaction_hash: str
    #: Ledger that settled it; 0 while it is not.
    ledger: int
    #: Stroops of XLM that it cost so far.
    fee_charged: int
    #: Envelopes that were signed for it.
    attempts: int
    #: Why it failed or expired.
    reason: FailureReason | None
    #: The reason in words.
    error_message: str
    #: When it was recorded.
    created_at: datetime
    #: When it was settled.
    settled_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class PayoutParts:
    """What a payout moves, in stroops of KALE, and where to."""

    #: To the farmer's payout address.
    amount: int
    #: To the pooler's custodial account, without the miners' part.
    pooler: int
    #: To the operator's address.
    operator: int
    #: To the pooler's custodial account: the miners' part.
    miners: int
    #: The three addresses (strkey G...); empty where nothing goes.
    destination: str
    pooler_account: str
    operator_account: str


@dataclass(frozen=True, kw_only=True)
class PoolPart:
    """What leaves a pooler's custodial account."""

    #: Stroops of KALE.
    amount: int
    #: strkey G...
    destination: str
    #: Whether it is a miner's; else it is the pooler's own.
    is_miner: bool


@dataclass(frozen=True, kw_only=True)
class Movement:
    """What has moved KALE, or cost something: an end, or a payment that was asked for."""

    #: The operation; of one that was asked for, wherever it stands.
    operation: Operation
    #: Whether a withdrawal, a payout or a payment from a pooler's account was asked for.
    is_request: bool
    #: When it ended, or was asked for.
    at: datetime
    #: Stroops of KALE that a withdrawal sends; 0 for one of XLM, and for all that is none.
    withdrawn_kale: int
    #: What a payout moves; None for all that is none.
    payout: PayoutParts | None = None
    #: What leaves a pooler's custodial account; None for all that does not.
    pool_payment: PoolPart | None = None


@dataclass(frozen=True, kw_only=True)
class Ending:
    """An operation that has ended, and what the chain gave for it."""

    #: The operation.
    operation_id: OperationId
    #: SUCCEEDED, FAILED or EXPIRED.
    state: OperationState
    #: Stroops: stake of a plant, reward of a harvest, that succeeded; else 0.
    amount: int = 0
    #: Stroops of KALE that a harvest gave back besides its reward.
    stake_returned: int = 0
    #: Gap of a work, in ledgers.
    gap: int = 0
    #: Ledger that settled it; 0 for none.
    ledger: int = 0


@dataclass(frozen=True, kw_only=True)
class QueuedOperation:
    """An operation that the engine has taken up, to sign an envelope for it."""

    #: The operation.
    id: OperationId
    #: Its kind.
    kind: OperationKind
    #: Whose key signs.
    wallet_id: WalletId
    #: That key's address.
    address: str
    #: Block that it is for.
    block_index: int
    #: Stake of a plant.
    amount: int
    #: Nonce of a work.
    nonce: int | None
    #: Hash of a work.
    hash: bytes | None
    #: Envelopes that were signed for it before.
    attempts: int
    #: Operations that it may share a transaction with, itself included; None: no limit.
    pack_limit: int | None
    #: Whether wallet itself wrote the order, and the wallet that the order is for.
    is_genuine: bool = True
    #: The farmer's pooler; None for the pool's own.
    pooler_id: PoolerId | None = None
    #: Ledgers have refused payments of that pooler lately.
    is_suspect: bool = False
    #: Ten-thousandths of the balance that a plant may stake at most.
    stake_bps: int = WHOLE
    #: Stroops of KALE whose withdrawal was asked for lately: a stake may have been reckoned before.
    withdrawn: int = 0


@dataclass(frozen=True, kw_only=True)
class CarriedOperation:
    """An operation in an open transaction."""

    #: The operation.
    id: OperationId
    #: Its kind.
    kind: OperationKind
    #: The farmer's wallet.
    wallet_id: WalletId
    #: The farmer's address.
    address: str
    #: Block that it is for.
    block_index: int
    #: Stake of a plant.
    amount: int
    #: Leading zeros of a work's hash.
    zeros: int | None
    #: Envelopes that were signed for it, this one included.
    attempts: int
    #: Stroops of KALE that a harvest gives back besides its reward.
    stake_returned: int = 0
    #: Payments that it makes in its transaction, and how many of them, the last ones, are fees.
    payments: int = 1
    fees: int = 0


@dataclass(frozen=True, kw_only=True)
class OpenTransaction:
    """A signed envelope whose result is not known yet."""

    #: UUIDv7.
    id: TransactionId
    #: SIGNED or SENT.
    state: TransactionState
    #: The account whose sequence number it uses.
    source: str
    #: That number.
    sequence: int
    #: Its hash (hex): of the fee bump, when it is one.
    hash: str
    #: Hash (hex) to look it up by: of the inner transaction, when it is a fee bump.
    lookup_hash: str
    #: Base64 of the envelope.
    envelope: str
    #: Close time (unix s) after which no ledger may take it.
    max_time: int
    #: Stroops that the network may charge at most.
    fee_bid: int
    #: Ledger that was the latest when it was signed.
    signed_ledger: int
    #: From this ledger on it is to be sent (again), if no ledger has it.
    resend_ledger: int
    #: The last answer of a node to it.
    last_answer: str
    #: For a payment: the number that its payer stands at if, and only if, it succeeded.
    bump_to: int | None = None
    #: Whether it pays for longer lives of entries.
    is_rent: bool = False
    #: The row's authenticator; None when there is none.
    mac: bytes | None = field(default=None, repr=False)
    #: What it carries.
    operations: tuple[CarriedOperation, ...]


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """The change of one operation that follows from new knowledge about it."""

    #: The operation.
    operation_id: OperationId
    #: SUCCEED, FAIL, EXPIRE, or RETRY for another attempt.
    event: OperationEvent
    #: Stroops: stake of a plant, reward of a harvest.
    amount: int | None = None
    #: For SUCCEED: stroops of KALE that a harvest gave back besides its reward.
    stake_returned: int = 0
    #: Gap of a work.
    gap: int | None = None
    #: Ledger that settled it.
    ledger: int = 0
    #: Stroops of XLM to add to its cost.
    fee: int = 0
    #: Why it failed or expired.
    reason: FailureReason | None = None
    #: The reason in words.
    message: str = ""
    #: For RETRY: not before this ledger.
    due_ledger: int = 0
    #: For RETRY: nor before so many seconds have passed.
    pause: float = 0.0
    #: For RETRY: operations that it may share a transaction with from now on; None: as before.
    pack_limit: int | None = None
    #: For RETRY: nobody proved that its envelope was excluded or had failed.
    is_unproven: bool = False
    #: For FAIL: stroops that its envelope would have had to bid, when that was why; 0: not known.
    asked: int = 0


@dataclass(frozen=True, kw_only=True)
class Closing:
    """The end of a transaction, and the settlements of the operations that it carried."""

    #: The transaction.
    transaction_id: TransactionId
    #: SUCCEED, FAIL or EXCLUDE.
    event: TransactionEvent
    #: One per operation.
    settlements: tuple[Settlement, ...]
    #: Ledger that has it; 0 when none does.
    ledger: int = 0
    #: Stroops charged.
    fee: int = 0
    #: Why it failed.
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block as seen on the chain."""

    #: Its index.
    index: int
    #: Ledger that it was first seen in.
    opened_ledger: int
    #: Close time of the ledger that opened it.
    opened_at: datetime
    #: Close time from which on a plant opens the next block.
    closes_at: datetime
    #: 32 bytes.
    entropy: bytes
    #: Bounds by which its pails are measured.
    min_gap: int
    max_gap: int
    min_stake: int
    max_stake: int
    min_zeros: int
    max_zeros: int
    #: Stroops planted and not worked.
    staked_total: int
    #: Sum of all works' weights.
    normalized_total: int
    #: Last ledger in which it exists.
    expires_ledger: int


@dataclass(frozen=True, kw_only=True)
class ChainHead:
    """The chain's latest ledger and the block state at it."""

    #: Latest ledger.
    ledger: int
    #: Its close time.
    close_time: datetime
    #: Index of the current block; None when none was ever opened.
    current_block: int | None
    #: Block that a plant goes to.
    plantable_block: int
    #: Planting is paused.
    paused: bool
    #: Seconds of a block.
    block_seconds: int
